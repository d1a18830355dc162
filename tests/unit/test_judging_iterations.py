"""What targets tell of iterations beside their gates: other stages, samples, learnings, the cost of all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes.world import failed, make_round, ok, play, task

from policies.evidence import Objective
from scheduler.decide import facts
from scheduler.judging import judged, make_options
from scheduler.judging._flagged_samples import SAMPLES
from scheduler.judging.evidence import JudgedRun, Sample, counts_in
from scheduler.judging.page import Passage
from scheduler.judging.targets import TargetsJudged
from scheduler.report.learnings import judge_options
from scheduler.report.round_evidence import task_sample
from scheduler.rounds.paths import RoundPaths
from scheduler.rounds.round import PolicyChoice

GATES = ["runaway_rate < 5 %"]


def run(config: str, runaway: int, cases: int = 30, *, stage: str = "quick", **more: Any) -> JudgedRun:
    metrics = {
        "runaway_rate": runaway / cases,
        "runaway_rate_successes": float(runaway),
        "runaway_rate_n": float(cases),
    }
    fields = {"seed": 0, "wall_seconds": 36.0, "stage": stage, **more}
    return JudgedRun(config=config, metrics=metrics, counts=counts_in(metrics), **fields)


def row(raw: str, cleaned: str, raw_flags: list[str], cleaned_flags: list[str]) -> dict[str, Any]:
    return {
        "prompt": "Tell a tale.",
        "raw": raw,
        "cleaned": cleaned,
        "flags_raw": raw_flags,
        "flags_cleaned": cleaned_flags,
    }


def answer(
    *runs: JudgedRun, elsewhere: tuple[JudgedRun, ...] = (), options: dict[str, Any] | None = None
) -> TargetsJudged:
    sample = Sample(
        source="night/tales",
        objective=Objective(),
        baseline=(runs[0],),
        experiments={each.config: (each,) for each in runs[1:]},
        stage="quick",
        elsewhere=elsewhere,
    )
    found = judged("targets", sample, {"gates": GATES, **(options or {})})
    assert isinstance(found, TargetsJudged)
    return found


def test_the_ledger_counts_what_ran_at_other_stages_and_what_failed() -> None:
    lost = JudgedRun(config="stops", seed=1, stage="medium", wall_seconds=36.0)
    found = answer(
        run("baseline", 20),
        run("stops", 0),
        elsewhere=(run("stops", 0, 100, stage="medium"), lost),
        options={"cost_per_hour": 100.0, "budget": 5.0},
    )
    assert [(each.config, each.spent.runs, each.so_far.money) for each in found.ledger] == [
        ("baseline", 1, pytest.approx(1.0)),
        ("stops", 3, pytest.approx(4.0)),
    ]
    assert "Remaining of 5 USD: 1.00." in found.markdown()


def test_an_iteration_is_read_at_every_stage_and_judged_at_one() -> None:
    scale = run("stops", 0, 500, stage="long")
    found = answer(
        run("baseline", 20), run("stops", 0), elsewhere=(scale, replace(scale, seed=1)), options={}
    )
    assert [each.word for each in found.iterations] == ["FAIL", "PASS_UNPROVEN"]
    (elsewhere,) = found.other_stages
    assert (elsewhere.stage, elsewhere.config, elsewhere.word) == ("long", "stops", "PASS")
    assert "0 of 1000" in found.markdown()


def test_flagged_samples_are_shown_before_and_after_cleaning_with_what_was_cut() -> None:
    rows = (
        row("A fox.\n\n### Instruction:", "A fox.", ["runaway_fixed"], []),
        row("A bee.", "A bee.", [], []),
        row("A hen", "A hen", [], ["truncation"]),
        row("An owl.\n\n### Instruction:", "An owl.", ["runaway_fixed"], []),
    )
    found = answer(run("baseline", 2, exhibits={SAMPLES: rows}), options={"shown": 2})
    (samples,) = found.samples
    assert (samples.samples, samples.flagged_raw, samples.flagged_cleaned) == (4, 2, 1)
    page = found.pages()["targets"]
    passages = [block for part in page.sections for block in part.blocks if isinstance(block, Passage)]
    assert [(each.text, each.flags) for each in passages] == [
        ("A fox.\n\n### Instruction:", ("runaway_fixed",)),
        ("A fox.", ()),
        ("A hen", ("truncation",)),
    ]
    (mark,) = passages[0].marks
    assert passages[0].text[mark.begin : mark.end] == "\n\n### Instruction:"


def test_learnings_stand_beside_the_figures_also_of_what_has_not_run() -> None:
    told = {
        "later": {"hypothesis": "It will not be needed."},
        "stops": {"hypothesis": "It ends | every runaway.", "lesson": "Keep it."},
    }
    found = answer(run("baseline", 20), run("stops", 0), options={"learnings": told})
    assert [(each.config, each.reality) for each in found.learnings] == [
        ("stops", "runaway_rate 0.0 % (< 5 %: PASS_UNPROVEN)"),
        ("later", ""),
    ]
    assert "It ends \\| every runaway." in found.markdown()
    assert "has not run" in found.markdown()
    assert "targets" in found.pages()


def test_without_samples_and_learnings_there_is_no_page() -> None:
    assert answer(run("baseline", 20)).pages() == {}


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ("it helps", "learnings: must be a table"),
        ({"stops": "it helps"}, "learnings.stops: must be a table"),
        ({"stops": {"reality": "it helped"}}, "learnings.stops.reality: unknown"),
        ({"stops": {"why": 3}}, "learnings.stops.why: must be a text"),
    ],
)
def test_learnings_that_cannot_be_are_refused_by_their_path(told: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make_options("targets", {"gates": GATES, "learnings": told})


def night(judge: dict[str, Any]) -> Any:
    policy = PolicyChoice(name="threshold", options={"min_delta": -9.0})

    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        is_lost = (intended.config, intended.stage) == ("bad", "medium")
        return failed("nan") if is_lost else ok(0.5, extra={"quality": 0.9})

    return play(outcome, make_round(task(policy=policy), judge=judge)).round()


@pytest.fixture
def paths(tmp_path: Path) -> RoundPaths:
    (tmp_path / "night").mkdir()
    return RoundPaths(tmp_path / "night")


def test_a_sample_knows_of_every_run_that_it_does_not_judge(paths: RoundPaths) -> None:
    state = night({})
    sample = task_sample(state, state.tasks["sums"], paths)
    assert sample.stage == "medium"
    told = {(each.config, each.stage, bool(each.metrics)) for each in sample.elsewhere}
    assert {("baseline", "quick", True), ("good", "quick", True), ("bad", "quick", True)} <= told
    assert ("bad", "medium", False) in told
    assert not {("good", "medium"), ("baseline", "medium")} & {(each[0], each[1]) for each in told}


def test_why_and_lesson_are_added_in_a_file_and_a_hypothesis_is_not(paths: RoundPaths) -> None:
    declared = {"good": {"hypothesis": "It helps."}}
    state = night({"targets": {"gates": ["quality > 0"], "learnings": declared}})
    assert judge_options(state, paths) == state.round.judge
    paths.learnings.write_text(
        '[good]\nwhy = "It does."\nhypothesis = "I knew it."\n[bad]\nlesson = "Never again."\n'
    )
    told = judge_options(state, paths)["targets"]["learnings"]
    assert told == {
        "good": {"hypothesis": "It helps.", "why": "It does."},
        "bad": {"lesson": "Never again."},
    }
    paths.learnings.write_text("good = [")
    assert "cannot be read" in judge_options(state, paths)["targets"]["learnings"]["learnings.toml"]["why"]
