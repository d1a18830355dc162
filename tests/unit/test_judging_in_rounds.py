"""Do a round's other ways of judging see what its verdicts rest on, and stay beside them?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fakes.world import failed, make_round, ok, play, task

from policies.evidence import Objective
from scheduler.decide import facts
from scheduler.decide.state import RoundState
from scheduler.judging.evidence import Count, UnfitRunsError
from scheduler.report.round_evidence import task_sample
from scheduler.report.scores import right_and_all
from scheduler.report.side_labels import side_labels
from scheduler.report.summary import publish_summary, summary_markdown, summary_text
from scheduler.rounds.paths import RoundPaths
from scheduler.rounds.round import Budget, PolicyChoice, Round, Stage

SEEDS = (42, 137, 256, 512, 1024)
GAINS = {"baseline": 0.0, "good": 0.05, "bad": -0.05}
WAYS: dict[str, Any] = {"variance_first": {}, "band": {"seeds": list(SEEDS)}}


def scored(intended: facts.RunIntended) -> dict[str, Any]:
    acc = 0.5 + GAINS[intended.config] + 0.001 * (intended.seed % 7)
    return ok(acc, loss=1 - acc, extra={"exact": acc / 2})


def night(**changes: Any) -> Round:
    """A round whose seeds all decide."""
    policy = PolicyChoice(name="threshold", options={"min_delta": -9.0})
    return make_round(task(seeds=SEEDS, policy=policy), **{"judge": WAYS, **changes})


def played(outcome: Any = scored, made: Round | None = None) -> RoundState:
    return play(outcome, made or night()).round()


@pytest.fixture
def paths(tmp_path: Path) -> RoundPaths:
    (tmp_path / "night").mkdir()
    return RoundPaths(tmp_path / "night")


def published(state: RoundState, paths: RoundPaths) -> dict[str, bytes]:
    publish_summary(state, paths)
    return {
        str(path.relative_to(paths.root)): path.read_bytes()
        for path in sorted(paths.root.rglob("*.*"))
        if path.is_file()
    }


def test_a_sample_holds_the_last_stage_that_both_sides_have_been_through(paths: RoundPaths) -> None:
    state = played()
    sample = task_sample(state, state.tasks["sums"], paths)
    assert sample.stage == "medium"
    assert [run.seed for run in sample.baseline] == list(SEEDS)
    assert list(sample.experiments) == ["good", "bad"]
    run = sample.experiments["good"][0]
    assert (run.metrics["acc"], run.metrics["exact"], run.wall_seconds) == (
        pytest.approx(0.55),
        pytest.approx(0.275),
        1.5,
    )
    assert run.parameters == {"x": "good"}
    assert run.cost == {"train_seconds": 1.0}
    assert [point.step for point in run.curve] == [10]


def test_no_clock_is_compared_of_a_run_that_shared_its_device(paths: RoundPaths) -> None:
    shared = {"seconds": 1.0, "share": 0.5, "by": []}
    state = played(lambda intended: {**scored(intended), "contaminated": shared})
    run = task_sample(state, state.tasks["sums"], paths).experiments["good"][0]
    assert (run.wall_seconds, run.cost) == (None, {})


def test_of_a_round_that_confirms_only_fresh_seeds_of_candidates_are_judged(paths: RoundPaths) -> None:
    state = played(made=make_round(task(policy=PolicyChoice(name="screen_confirm", options={})), judge=WAYS))
    frozen = state.tasks["sums"].confirm_set
    assert frozen is not None
    assert "good" in frozen.candidates
    sample = task_sample(state, state.tasks["sums"], paths)
    screened = {
        key.seed for key, tries in state.tasks["sums"].attempts.items() for a in tries if a.intended.slot == 0
    }
    assert not {run.seed for run in sample.runs} & screened
    assert set(sample.experiments) <= set(frozen.candidates)
    assert len(sample.baseline) >= 2
    assert "Fresh seeds only: the seed that selected the candidates is left out." in sample.notes


def test_long_runs_of_a_winner_are_no_evidence_for_its_verdict(paths: RoundPaths) -> None:
    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        acc = 0.3 + (0.2 if intended.config == "good" else 0.0) + 0.001 * (intended.seed % 7)
        return ok(acc, loss=1 - acc, n_eval=5000)

    policy = PolicyChoice(name="screen_confirm", options={})
    stages = tuple(
        Stage(name=name, budget=Budget(max_steps=steps, time_budget_sec=60.0))
        for name, steps in (("quick", 10), ("medium", 40), ("long", 100))
    )
    state = played(outcome, make_round(task(stages=stages, policy=policy), judge=WAYS))
    assert ("long", "good") in {(key.stage, key.config) for key in state.tasks["sums"].attempts}
    assert task_sample(state, state.tasks["sums"], paths).stage == "medium"
    later = task_sample(state, state.tasks["sums"], paths, stage="long")
    assert {run.stage for run in later.runs} == {"long"}


def test_a_run_that_failed_is_told_and_left_out(paths: RoundPaths) -> None:
    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        is_bad = intended.stage == "medium" and intended.config == "bad" and intended.seed == 256
        return failed("crash") if is_bad else scored(intended)

    state = played(outcome)
    sample = task_sample(state, state.tasks["sums"], paths)
    assert 256 not in [run.seed for run in sample.experiments["bad"]]
    assert "Failed and left out: bad s256." in sample.notes


def test_without_runs_of_both_sides_there_is_nothing_to_judge(paths: RoundPaths) -> None:
    state = played(lambda _: failed("data"))
    with pytest.raises(UnfitRunsError, match="night/sums: no stage has runs of both"):
        task_sample(state, state.tasks["sums"], paths)
    assert (
        "[sums] band\n    -                        NOT JUDGED night/sums: no stage has runs"
        in summary_text(state, side_labels(state, paths))
    )


def test_curves_are_those_that_the_run_wrote_with_its_tokens(paths: RoundPaths) -> None:
    state = played()
    (attempt,) = (
        tries[0]
        for key, tries in state.tasks["sums"].attempts.items()
        if (key.stage, key.config, key.seed) == ("medium", "good", 42)
    )
    folder = paths.run(attempt.intended.run_dir).root
    folder.mkdir(parents=True)
    lines = [
        {"step": s, "value": 0.1 * s, "loss": 1.0, "extra": {"tokens_seen": 1}, "tokens": 64 * s}
        for s in (1, 2)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = task_sample(state, state.tasks["sums"], paths).experiments["good"][0]
    assert [(point.step, point.tokens) for point in run.curve] == [(1, 64), (2, 128)]
    assert [point.metrics["acc"] for point in run.curve] == pytest.approx([0.1, 0.2])
    assert "value" not in run.curve[0].metrics


def test_another_objective_may_be_asked_of_the_same_runs(paths: RoundPaths) -> None:
    state = played()
    objective = Objective(metric="exact", direction="minimize", unit="", min_effect=0.1)
    sample = task_sample(state, state.tasks["sums"], paths, stage="quick", objective=objective)
    assert sample.stage == "quick"
    assert sample.values(sample.baseline)[0] == pytest.approx(0.25)


def test_an_accuracy_is_a_count_only_where_every_example_is_right_or_wrong(tmp_path: Path) -> None:
    import numpy as np

    np.save(tmp_path / "scores.npy", np.array([0, 1, 1, 0, 1], dtype=np.float32))
    assert right_and_all(tmp_path / "scores.npy") == (3, 5)
    np.save(tmp_path / "scores.npy", np.array([0.5, 0.5], dtype=np.float32))
    assert right_and_all(tmp_path / "scores.npy") is None
    assert right_and_all(tmp_path / "nothing.npy") is None
    (tmp_path / "scores.npy").write_bytes(b"torn")
    assert right_and_all(tmp_path / "scores.npy") is None


def test_counts_of_a_round_come_from_its_scores(paths: RoundPaths) -> None:
    import numpy as np

    state = played()
    for tries in state.tasks["sums"].attempts.values():
        folder = paths.run(tries[0].intended.run_dir).root
        folder.mkdir(parents=True)
        np.save(folder / "scores.npy", np.array([1, 0, 0, 0], dtype=np.float32))
    run = task_sample(state, state.tasks["sums"], paths).baseline[0]
    assert run.counts == {"acc": Count(successes=1, n=4)}


def test_a_report_writes_the_documents_of_each_way_and_its_labels(paths: RoundPaths) -> None:
    files = published(played(), paths)
    assert [name for name in files if name.startswith("judged/")] == [
        "judged/sums/band.html",
        "judged/sums/band.json",
        "judged/sums/band.md",
        "judged/sums/baseline_variance_1M.md",
        "judged/sums/experiment_bad_1M.md",
        "judged/sums/experiment_good_1M.md",
        "judged/sums/variance_first.html",
        "judged/sums/variance_first.json",
    ]
    text = files["summary.txt"].decode()
    assert "side labels: Other ways of judging the same runs. They decide nothing" in text
    assert "    good                     WINNER +" in text
    assert "    bad                      LOSER -" in text
    markdown = files["summary.md"].decode()
    assert "## Side labels" in markdown
    assert "(judged/sums/experiment_good_1M.md)" in markdown


def test_a_side_label_never_changes_a_verdict(paths: RoundPaths) -> None:
    with_ways, without = played(), played(made=night(judge={}))
    assert with_ways.tasks["sums"].verdicts == without.tasks["sums"].verdicts
    assert summary_text(with_ways, side_labels(with_ways, paths)).startswith(summary_text(without))
    assert summary_markdown(with_ways, side_labels(with_ways, paths)).startswith(summary_markdown(without))


def test_a_round_that_asks_for_nothing_has_no_section_and_no_folder(paths: RoundPaths) -> None:
    files = published(played(made=night(judge={})), paths)
    assert list(files) == ["summary.md", "summary.txt"]
    assert b"side labels" not in files["summary.txt"]


def test_the_same_records_give_the_same_documents_and_stale_ones_go(paths: RoundPaths) -> None:
    state = played()
    first = published(state, paths)
    (paths.judged / "sums" / "experiment_gone_1M.md").write_text("of a variant that was")
    (paths.judged / "sums" / "band.md").unlink()
    assert published(state, paths) == first


def test_options_that_are_no_longer_taken_cost_the_section_and_not_the_report(paths: RoundPaths) -> None:
    files = published(played(made=night(judge={"band": {"tale": 1}, "variance_first": {}})), paths)
    text = files["summary.txt"].decode()
    assert "NOT JUDGED tale: unknown option; did you mean 'tail'?" in text
    assert "WINNER" in text
