"""Does `schedctl compare` tell any way of judging of a round or of files, as the documents people keep?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fakes.world import make_round, ok, play, task
from real_home import Ask, Home

from scheduler.decide import codec, facts
from scheduler.effects.records import Journal
from scheduler.rounds.round import PolicyChoice

SEEDS = (42, 137, 256, 512, 1024)
LOSSES = {"base": (2.00, 2.02, 1.98, 2.01, 1.99), "wide": (1.80, 1.82, 1.81), "deep": (2.01, 1.99, 2.00)}


def write_folders(root: Path, *, steps: int = 4, longer: int = 0) -> Path:
    """A folder for each run, as a training script leaves it: metrics.jsonl with steps, losses and tokens."""
    for config, losses in LOSSES.items():
        for seed, loss in zip(SEEDS, losses, strict=False):
            folder = root / f"{config}_1M_seed{seed}"
            folder.mkdir(parents=True)
            last = steps + (longer if config == "wide" else 0)
            lines = [
                {
                    "step": 10 * i,
                    "tokens": 640 * i,
                    "val_loss": loss + (steps - i) * 0.1,
                    "wall_time": 5.0 * i,
                }
                for i in range(1, last + 1)
            ]
            (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root


def record(home: Home, **changes: Any) -> None:
    """A finished round of five seeds, as a daemon would have recorded it."""

    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        gain = {"baseline": 0.0, "good": 0.05, "bad": 0.0}[intended.config]
        return ok(0.5 + gain + 0.001 * (intended.seed % 5))

    folder = home.paths.round("night")
    folder.root.mkdir(parents=True)
    policy = PolicyChoice(name="threshold", options={"min_delta": -9.0})
    journal, _ = Journal.open(folder.records)
    for fact in play(outcome, make_round(task(seeds=SEEDS, policy=policy), **changes)).facts:
        if isinstance(fact, facts.RoundFact):
            journal.append(codec.to_fields(fact))
    journal.close()


def test_folders_are_compared_by_variance_first(ask: Ask, tmp_path: Path) -> None:
    root = write_folders(tmp_path / "runs")
    arguments = ("compare", root, "--as", "variance_first", "--baseline", "base_1M", "--metric", "val_loss")
    status, out, err = ask(*arguments, "--direction", "minimize")
    assert (status, err) == (0, "")
    assert "# Baseline Variance Report: 1M" in out
    assert "Seeds used: 42, 137, 256, 512, 1024" in out
    wide, deep = out.split("# Experiment: ")[1:]
    assert "## Verdict: NEUTRAL" in (wide if wide.startswith("deep") else deep)
    assert "## Verdict: WINNER" in (wide if wide.startswith("wide") else deep)


def test_the_documents_are_written_under_their_customary_names(ask: Ask, tmp_path: Path) -> None:
    root = write_folders(tmp_path / "runs")
    pattern = f"{root}/*/metrics.jsonl"
    out_folder = tmp_path / "docs"
    status, out, err = ask(
        "compare", pattern, "--as", "variance-first", "--baseline", "base_1M", "--out", out_folder
    )
    assert (status, err) == (0, "")
    names = [
        "baseline_variance_1M.md",
        "experiment_deep_1M_1M.md",
        "experiment_wide_1M_1M.md",
        "variance_first.json",
        "variance_first.html",
    ]
    assert out.splitlines() == [str(out_folder / name) for name in names]
    assert sorted(path.name for path in out_folder.iterdir()) == sorted(names)


def test_runs_that_went_on_are_read_at_the_last_common_step(ask: Ask, tmp_path: Path) -> None:
    root = write_folders(tmp_path / "runs", longer=3)
    status, out, _ = ask("compare", root, "--as", "variance_first", "--baseline", "base_1M", "--json")
    told = json.loads(out)
    assert status == 0
    by_config = {each["config"]: each for each in told["experiments"]}
    assert by_config["wide_1M"]["metrics"][0]["experiment"]["mean"] == pytest.approx(1.81)
    assert any("All runs are read at step 40" in note for note in told["notes"])


def test_a_best_loss_is_the_best_up_to_the_common_step(ask: Ask, tmp_path: Path) -> None:
    root = write_folders(tmp_path / "runs", longer=3)
    arguments = ("compare", root, "--as", "band", "--metric", "val_loss_best", "--set", "curve=val_loss")
    status, out, _ = ask(*arguments, "--config", "wide_1M", "--baseline", "base_1M", "--json")
    assert status == 0
    (wide,) = [each for each in json.loads(out)["configs"] if each["config"] == "wide_1M"]
    (best,) = [each for each in wide["quantities"] if each["name"] == "val_loss_best"]
    assert best["mean"] == pytest.approx(1.81)


@pytest.mark.parametrize("way", ["variance_first", "band", "significance", "litmus"])
def test_every_way_reads_a_round(ask: Ask, home: Home, way: str) -> None:
    record(home)
    status, out, err = ask("compare", "night", "--as", way)
    assert (status, err) == (0, "")
    assert "good" in out


def test_the_ways_that_a_round_asks_for_bring_their_options(ask: Ask, home: Home) -> None:
    record(home, judge={"targets": {"gates": ["acc > 52 %"]}})
    status, out, _ = ask("compare", "night")
    assert status == 0
    assert "acc" in out
    assert "52 %" in out


def test_rebuild_and_show_tell_what_compare_tells(ask: Ask, home: Home) -> None:
    record(home, judge={"variance_first": {}})
    assert ask("rebuild", "night")[0] == 0
    written = home.paths.round("night").judged / "sums" / "experiment_good_1M.md"
    assert written.read_text() in ask("compare", "night")[1]
    assert ask("show", "night")[1] == home.paths.round("night").summary_text.read_text()
    assert "WINNER" in ask("show", "night")[1].partition("side labels")[2]


def test_what_cannot_be_compared_is_said_with_what_to_do(ask: Ask, home: Home, tmp_path: Path) -> None:
    root = write_folders(tmp_path / "runs")
    record(home)
    for arguments, status, words in (
        (
            (root, "--as", "variance_first"),
            2,
            "name the baseline with --baseline; configs here: base_1M, deep_1M",
        ),
        ((root, "--as", "varience"), 2, "there is no such way of judging; there are band, campaign, litmus"),
        ((root,), 2, "say with --as in which way to judge"),
        ((root, "night", "--as", "band"), 2, "rounds and files are not judged together"),
        ((tmp_path / "nothing", "--as", "band"), 3, "is no round of this home, no file and no folder"),
        (("night", "--as", "band", "--set", "tale=1"), 2, "tale: unknown option; did you mean 'tail'?"),
        (("night", "--as", "band", "--task", "sum"), 3, "round night has no task 'sum'; it has sums"),
    ):
        told = ask("compare", *arguments)
        assert (told[0], told[1]) == (status, ""), arguments
        assert words in told[2]


def test_a_folder_that_cannot_be_made_is_said(ask: Ask, home: Home, tmp_path: Path) -> None:
    record(home)
    (tmp_path / "docs").write_text("in the way")
    status, _, err = ask("compare", "night", "--as", "band", "--out", tmp_path / "docs")
    assert status == 2
    assert "docs cannot be written" in err


def test_report_makes_every_document_of_a_round_and_names_its_file(
    ask: Ask, home: Home, tmp_path: Path
) -> None:
    record(home, judge={"variance_first": {}})
    status, out, err = ask("report", "night")
    folder = home.paths.round("night").root
    named = [str(Path(line).relative_to(folder)) for line in out.splitlines()]
    assert (status, err) == (0, "")
    assert named[:3] == ["report.html", "summary.txt", "summary.md"]
    assert "judged/sums/variance_first.json" in named
    made = {name: (folder / name).read_bytes() for name in named}
    for name in named:
        (folder / name).unlink()

    assert ask("report", "night", "--out", tmp_path / "gallery")[0] == 0
    assert {name: (tmp_path / "gallery" / name).read_bytes() for name in named} == made
    assert ask("report", "nowhere")[0] == 3
