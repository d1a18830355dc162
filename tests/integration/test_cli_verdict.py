"""`schedctl verdict` on real files and on a round: the word, the exit code, and what it asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from fakes.world import make_round, ok, play, task
from real_home import Home

from scheduler.cli import main
from scheduler.cli.option_values import read_settings
from scheduler.decide import codec, facts
from scheduler.effects.records import Journal
from scheduler.rounds.errors import UsageError

BASE = (0.500, 0.550, 0.600, 0.520, 0.480, 0.530)
LIFTS = (0.020, 0.031, 0.012, 0.025, 0.018, 0.028)


class Verdict:
    """`schedctl verdict`, in this process."""

    def __init__(self, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *arguments: str | Path) -> int:
        status = main(["--home", str(self.home.paths.root), "verdict", *map(str, arguments)])
        self.out, self.err = self._capsys.readouterr()
        return status

    @property
    def told(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def verdict(home: Home, capsys: pytest.CaptureFixture[str]) -> Verdict:
    return Verdict(home, capsys)


def csv_of(folder: Path, rows: Sequence[Mapping[str, Any]], name: str = "runs.csv") -> Path:
    file = folder / name
    head = list(rows[0])
    lines = [",".join(head), *(",".join(str(row[key]) for key in head) for row in rows)]
    file.write_text("\n".join(lines) + "\n")
    return file


def pairs(seeds: int, sign: int = 1) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for seed in range(seeds):
        rows.append({"config": "baseline", "seed": seed, "acc": BASE[seed]})
        rows.append({"config": "wide", "seed": seed, "acc": BASE[seed] + sign * LIFTS[seed]})
    return rows


def record(home: Home, **changes: Any) -> None:
    """A finished round of six seeds, as a daemon would have recorded it."""

    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        lift = {"baseline": 0.0, "good": LIFTS[intended.seed], "bad": -LIFTS[intended.seed]}[intended.config]
        # no whole number of 999 examples is right: their number is known, and no count
        return ok(BASE[intended.seed] + lift, n_eval=999)

    folder = home.paths.round("night")
    folder.root.mkdir()
    journal, _ = Journal.open(folder.records)
    for fact in play(outcome, make_round(task(seeds=tuple(range(6))), **changes)).facts:
        if isinstance(fact, facts.RoundFact):
            journal.append(codec.to_fields(fact))
    journal.close()


@pytest.mark.parametrize(
    ("seeds", "sign", "word", "code"),
    [
        (6, 1, "statistically_significant_improvement", 0),
        (6, -1, "significant_degradation", 1),
        (3, 1, "insufficient_statistical_evidence", 4),
    ],
)
def test_significance_of_a_file_is_its_exit_code(
    verdict: Verdict, tmp_path: Path, seeds: int, sign: int, word: str, code: int
) -> None:
    file = csv_of(tmp_path, pairs(seeds, sign))
    assert verdict(file, "--as", "significance") == code
    assert verdict.err == ""
    assert f"  {word} wide: acc " in verdict.out


@pytest.mark.parametrize(("lift", "seeds", "code"), [("0.02", 3, 0), ("0.03", 3, 1), ("0.02", 7, 4)])
def test_litmus_confirms_fails_or_asks_for_more(
    verdict: Verdict, tmp_path: Path, lift: str, seeds: int, code: int
) -> None:
    file = csv_of(tmp_path, pairs(6))
    assert verdict(file, "--as", "litmus", "--set", f"min_lift={lift}", "--set", f"min_seeds={seeds}") == code
    word = {0: "CONFIRMED", 1: "FAILED", 4: "INCONCLUSIVE"}[code]
    assert f"  {word} wide: " in verdict.out
    assert ("run 1 more seed of the baseline and of wide" in verdict.out) == (code == 4)


def test_litmus_on_files_needs_a_declared_lift(verdict: Verdict, tmp_path: Path) -> None:
    file = csv_of(tmp_path, pairs(3))
    assert verdict(file, "--as", "litmus") == 2
    assert "set min_lift" in verdict.err
    assert verdict(file, "--as", "litmus", "--unit", "pp", "--min-effect", "1") == 0
    assert "acc +2.10 pp (>= +1.00 pp)" in verdict.out


def test_targets_read_folders_and_the_homes_cost_per_hour(verdict: Verdict, tmp_path: Path) -> None:
    for name, runaways, temperature in (("pilot", 9, 0.7), ("second", 0, 0.6)):
        (tmp_path / name).mkdir()
        row = {"step": 1, "runaway_rate_successes": runaways, "runaway_rate_n": 100, "mean_tokens": 60.0}
        (tmp_path / name / "metrics.jsonl").write_text(json.dumps({**row, "wall_seconds": 1800}) + "\n")
        parameters = {"temperature": temperature, "top_p": temperature + 0.2}
        (tmp_path / name / "config.json").write_text(json.dumps({"config": name, "parameters": parameters}))
    verdict.home.paths.settings.write_text('cost_per_hour = 0.5\ncurrency = "EUR"\n')
    gates = ("--set", "gates=runaway_rate < 5 %")
    chosen = (tmp_path, "--as", "targets", "--metric", "mean_tokens", *gates)
    assert verdict(*chosen, "--json") == 0
    assert [each["verdict"] for each in verdict.told["iterations"]] == ["FAIL", "PASS"]
    assert verdict.told["ledger"]["currency"] == "EUR"
    assert verdict.told["ledger"]["rows"][1]["so_far"]["money"] == pytest.approx(0.5)
    assert verdict(*chosen, "--set", "iteration=pilot") == 1
    assert "WARNING: 2 parameters changed at once from pilot to second" in verdict.out
    # a mean of one run passes without being proven
    assert verdict(*chosen, "--set", "gates=mean_tokens <= 400") == 4
    assert verdict(*chosen, "--markdown") == 0
    assert verdict.out.startswith("# Targets: ")


def test_a_round_is_judged_by_its_own_objective(verdict: Verdict) -> None:
    record(verdict.home)
    assert verdict("night", "--as", "significance") == 0
    assert "statistically_significant_improvement good: acc +2.23 pp" in verdict.out
    assert verdict("night", "--as", "litmus", "--config", "good", "--json") == 0
    told = verdict.told["experiments"]
    assert list(told) == ["good"]
    assert told["good"]["checks"][0]["min_lift"] == 1.0
    gates = {gate["name"]: gate["found"] for gate in told["good"]["gates"]}
    assert gates["matched protocol"] == "equal"
    assert verdict("night", "--as", "litmus", "--config", "good", "--set", "min_episodes=999") == 0
    assert verdict("night", "--as", "litmus", "--config", "good", "--set", "min_episodes=1000") == 4
    assert "999 in the smallest" in verdict.out


def test_a_round_brings_its_own_options_and_the_command_line_goes_before(verdict: Verdict) -> None:
    record(verdict.home, judge={"litmus": {"min_lift": 2.5}})
    assert verdict("night") == 1
    assert "litmus, night/sums" in verdict.out
    assert verdict("night", "--set", "min_lift=2") == 0
    assert verdict("night", "--as", "significance") == 0


def test_without_a_way_the_ones_there_are_are_named(verdict: Verdict, tmp_path: Path) -> None:
    record(verdict.home, judge={"litmus": {}, "band": {}})
    assert verdict("night") == 2
    assert "say with --as in which way to judge; there are litmus, band" in verdict.err
    assert verdict(csv_of(tmp_path, pairs(3))) == 2
    assert "there are band, campaign, litmus" in verdict.err


def test_every_way_of_judging_takes_a_round(verdict: Verdict) -> None:
    record(verdict.home)
    # the baseline spreads over more than what the variants gain or lose
    assert verdict("night", "--as", "variance-first", "--stage", "quick") == 4
    assert verdict("night", "--as", "band", "--stage", "quick") == 0
    assert verdict("night", "--as", "targets", "--set", "gates=acc >= 10 %") == 0


def test_what_cannot_be_judged_ends_with_2_or_3_and_says_what_to_do(verdict: Verdict, tmp_path: Path) -> None:
    file = csv_of(tmp_path, pairs(3))
    record(verdict.home)
    for arguments, status, words in (
        (
            (file, "--as", "magic"),
            2,
            "there are band, campaign, litmus, significance, targets, variance_first",
        ),
        ((file, "--as", "significance", "--set", "alpha"), 2, "--set takes key=value"),
        ((file, "--as", "significance", "--set", "alpha=2"), 2, "significance: alpha: must be a number"),
        ((file, "--as", "significance", "--set", "alfa=.1"), 2, "did you mean 'alpha'"),
        ((file, "--as", "significance", "--baseline", "none"), 2, "no run of the baseline 'none'"),
        ((file, "--as", "significance", "--config", "wider"), 3, "it has wide"),
        ((file, "--as", "targets"), 2, "gates: declare at least one"),
        ((file, "night", "--as", "significance"), 2, "rounds and files are not judged together"),
        (("nowhere", "--as", "significance"), 3, "is no round of this home"),
        (("night", "--as", "significance", "--task", "nope"), 3, "has no task 'nope'; it has sums"),
        ((file, "--as", "significance", "--direction", "up"), 2, "must be maximize or minimize"),
    ):
        assert verdict(*arguments) == status, arguments
        assert words in verdict.err
        assert verdict.out == ""


@pytest.mark.parametrize(("offset", "code"), [(0.05, 0), (-0.05, 1), (0.001, 4)])
def test_variance_first_ends_by_winners_and_losers(
    verdict: Verdict, tmp_path: Path, offset: float, code: int
) -> None:
    spread = (0.500, 0.502, 0.498, 0.501, 0.499)
    rows = [{"config": "baseline", "seed": seed, "acc": value} for seed, value in enumerate(spread)]
    rows += [{"config": "wide", "seed": seed, "acc": spread[seed] + offset} for seed in range(5)]
    assert verdict(csv_of(tmp_path, rows), "--as", "variance_first") == code


def test_a_setting_is_read_as_toml_or_as_text() -> None:
    assert read_settings(["alpha=0.1", "holm = true", "lifts.ppl=0.5", "metric=acc"]) == {
        "alpha": 0.1,
        "holm": True,
        "lifts": {"ppl": 0.5},
        "metric": "acc",
    }
    assert read_settings(["gates=a < 5 %", "gates=b >= 1"]) == {"gates": ["a < 5 %", "b >= 1"]}
    assert read_settings(['gates=["a < 5 %", "b >= 1"]']) == {"gates": ["a < 5 %", "b >= 1"]}
    assert read_settings(["note=1\nother = 2"]) == {"note": "1\nother = 2"}
    for wrong in ("alpha", "=1", "a b=1"):
        with pytest.raises(UsageError, match="key=value"):
            read_settings([wrong])
    with pytest.raises(UsageError, match="set to a value before"):
        read_settings(["lifts=1", "lifts.ppl=2"])
