"""A round says before it runs what it can find, in words that need no glossary."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fakes.world import make_round, ok, play, task

from policies._assessment import Ledger
from policies._planning import independent_examples
from policies._race_level import Counters
from policies._variance import NoisePrior
from policies.evidence import Objective, Observation
from scheduler.cli.explain import explanation
from scheduler.decide import facts
from scheduler.decide.floors import stored_baseline
from scheduler.decide.state import State, fold
from scheduler.report.lines import warning_lines
from scheduler.report.prospects import Background, prospects, warnings
from scheduler.rounds.round import Budget, PolicyChoice, Stage, Task

SCREENS = PolicyChoice(name="screen_confirm")


def stages(examples: int | None, clusters: int | None = None) -> tuple[Stage, ...]:
    return tuple(
        Stage(
            name=name,
            budget=Budget(max_steps=steps, time_budget_sec=60.0),
            examples=examples,
            clusters=clusters,
        )
        for name, steps in (("quick", 10), ("medium", 40))
    )


def told(made: Task, background: Background | None = None) -> str:
    return "\n".join(prospects(made, background or Background()))


def test_a_round_that_cannot_find_what_it_looks_for_says_so_and_what_helps() -> None:
    said = told(task(policy=SCREENS, stages=stages(5000)), Background(ledger=LEARNT, tasks=12))
    assert "noise: sd 2.5 pp a run at quick and sd 2.0 pp a run at medium, measured on 12 tasks here" in said
    assert "evaluation set: 5000 independent examples, which alone leave a delta uncertain by 0.45 pp" in said
    assert "With 3 fresh seeds a candidate it finds effects of +" in said
    assert "It looks for +1.0 pp, which takes" in said
    assert "raise min_effect, raise looks (at most 5), or look for larger effects only" in said


LEARNT = Ledger(quick=NoisePrior(sd=2.5, df=8.0), medium=NoisePrior(sd=2.0, df=8.0))
QUIET = Ledger(quick=NoisePrior(sd=0.2, df=8.0), medium=NoisePrior(sd=0.1, df=8.0))


def test_a_race_says_its_level_and_its_stopping_rate_and_why() -> None:
    known = replace(LEARNT, counters=Counters(winners=30.0, nulls=60.0, medium_runs=400.0))
    race = task(policy=PolicyChoice(name="race"), stages=stages(5000))
    said = told(race, Background(ledger=known, tasks=12))
    assert "level 0.056 a candidate, for about 5% false ones among all winners" in said
    assert "saw 30 winners and about 60 without an effect" in said
    assert "promises less than 0.0357 winners: the time of 400.0 medium runs has brought 30" in said
    assert "With 4 fresh seeds a candidate it finds effects of +" in said
    assert "raise looks" not in said


def test_a_round_that_finds_what_it_looks_for_needs_no_remedy() -> None:
    said = told(task(policy=SCREENS, stages=stages(50_000)), Background(ledger=QUIET, tasks=12))
    assert "With 3 fresh seeds" in said
    assert "It looks for" not in said


def test_a_guess_is_called_one_and_measuring_is_the_first_remedy() -> None:
    said = told(task(policy=SCREENS, stages=stages(5000)))
    assert "a guess from other projects; `schedctl noise` measures it" in said
    assert "measure the noise, which is a guess" in said


def test_clusters_count_and_not_examples() -> None:
    said = told(task(policy=SCREENS, stages=stages(1024, 48)))
    assert "eval_limited: 48 independent examples leave a delta uncertain by 4.6 pp" in said
    assert "use at least 250 examples, or a min_effect of 2.3 pp" in said


def test_a_set_whose_size_nobody_knows_yet_is_said_to_be_unknown_until_a_run_told() -> None:
    assert "of a size that only its first run tells" in told(task(policy=SCREENS))
    assert "eval_limited: 48" in told(task(policy=SCREENS), Background(sized_run=sized(48)))


def sized(n_eval: int, n_clusters: int | None = None) -> Observation:
    return Observation(
        stage="medium",
        config="baseline",
        seed=0,
        slot=0,
        status="ok",
        protocol="p",
        value=0.5,
        n_eval=n_eval,
        n_clusters=n_clusters,
    )


@pytest.mark.parametrize(
    ("run", "declared", "worth"),
    [
        (None, None, None),
        (None, 128, 128),
        (sized(1024, 48), None, 48),
        (sized(1024), 48, 48),
        (sized(48), 1024, 48),
        (sized(1024, 900), 1024, 900),
    ],
)
def test_the_smaller_number_of_examples_holds(
    run: Observation | None, declared: int | None, worth: int | None
) -> None:
    assert independent_examples(run, declared) == worth


def test_a_set_that_only_the_spec_tells_of_caps_the_verdict_as_it_was_warned() -> None:
    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        score = {"baseline": 0.5, "good": 0.9, "bad": 0.4}[intended.config]
        return ok(score + 0.002 * (intended.seed % 7), n_eval=None)

    small, large = (
        play(outcome, make_round(task(policy=SCREENS, stages=stages(examples)))) for examples in (24, 5000)
    )
    verdicts = [
        next(f for f in world.facts if isinstance(f, facts.VerdictReached) and f.config == "good")
        for world in (small, large)
    ]
    assert [verdict.verdict for verdict in verdicts] == ["SUGGESTIVE", "WINNER"]
    assert "eval_limited: 24 examples" in verdicts[0].reason


def test_threshold_says_what_it_can_claim_and_how_often_nothing_passes() -> None:
    said = told(task(stages=stages(5000)))
    assert "its best verdict is SUGGESTIVE" in said
    assert "a delta of 1 seed at medium differs from 0 by sd 2.4 pp where there is no effect at all" in said
    assert "a variant without any effect reaches +0.3 pp at quick 46 times in 100" in said
    assert "With 3 fresh" not in said


def test_an_unknown_unit_is_measured_first() -> None:
    nats = Objective(metric="loss", direction="minimize", unit="nat", min_effect=0.01)
    said = told(task(policy=SCREENS, objective=nats))
    assert "unknown in nat; `schedctl noise` measures it" in said
    assert "what it can find is not known before its noise is" in said
    assert "evaluation set" not in said


def test_a_task_without_variants_looks_for_nothing() -> None:
    said = told(task(policy=SCREENS, variants=(), stages=stages(48)))
    assert "It looks for" not in said
    assert "With 3" not in said


def test_a_newcomer_reads_few_lines_a_task() -> None:
    for policy in (SCREENS, PolicyChoice(name="threshold")):
        assert len(told(task(policy=policy, stages=stages(1024, 48))).splitlines()) <= 5


def test_acceptance_warns_of_tasks_that_cannot_decide_and_of_no_others() -> None:
    made = make_round(
        task("small", stages=stages(24)),
        task("large", stages=stages(5000)),
        task("unknown"),
        task("measured", variants=(), stages=stages(24)),
        task("loss", stages=stages(24), objective=Objective(metric="loss", unit="nat", min_effect=0.1)),
    )
    assert [name for name, _ in warnings(made)] == ["small"]
    world = play(lambda intended: ok(0.5), made)
    (accepted,) = (fact for fact in world.facts if isinstance(fact, facts.RoundAccepted))
    (line,) = warning_lines(accepted)
    assert line.startswith("WARN task=small eval_limited: 24 independent examples")
    assert line.endswith("round=night")
    assert warning_lines(facts.QueueResumed()) == ()


def rerun(*, keeps: int) -> tuple[State, Any]:
    """A home that has stored so many runs of the medium baseline, and the task in a new round."""
    medium = (Stage(name="medium", budget=Budget(max_steps=40, time_budget_sec=60.0)),)
    repeats = PolicyChoice(name="repeat", options={"seeds": keeps})
    measured = task(variants=(), policy=repeats, stages=medium)
    world = play(
        lambda intended: ok(0.5 + 0.01 * intended.slot), make_round(measured, id="one"), make_round(id="two")
    )
    again = task(policy=SCREENS, stages=(stages(5000)[0], replace(medium[0], examples=5000)))
    fact = facts.RoundAccepted(
        round="three",
        sha256="0",
        file="three.toml",
        suffix=".toml",
        spec=make_round(again, id="three").to_json(),
    )
    return world.state, fold(State(), fact).rounds["three"]


def test_stored_runs_of_the_baseline_are_found_by_stage_and_told() -> None:
    known, round_state = rerun(keeps=5)
    found = stored_baseline(known, round_state.tasks["sums"], "medium")
    assert found is not None
    assert sorted(found.values.values()) == pytest.approx([0.50, 0.51, 0.52, 0.53, 0.54])
    said = "\n".join(explanation(round_state, known))
    assert "a run at medium, by 5 runs of this baseline and a guess from other projects" in said
    assert "a run at quick, a guess from other projects" in said
    assert "stored runs of the baseline, which are reused: 5 at medium" in said


def test_what_is_stored_costs_nothing_in_the_plan() -> None:
    known, round_state = rerun(keeps=5)
    with_it, without = ("\n".join(explanation(round_state, state)) for state in (known, State()))
    # quick at slot 0, and medium at slots 0 to 4
    rows = [
        sum(text.count(f"{stage:<8} baseline ") for stage in ("quick", "medium"))
        for text in (without, with_it)
    ]
    assert rows == [6, 0]
    assert "to run: 3 to 16 runs" in without
    # its variants ran at quick in round two
    assert "runs of earlier rounds, which are reused: 2 at quick" in with_it
    assert "to run: 0 to 8 runs" in with_it


def test_a_fresh_round_is_explained_as_one_that_runs_everything() -> None:
    known, round_state = rerun(keeps=5)
    fresh = replace(round_state, round=replace(round_state.round, fresh=True))
    said = "\n".join(explanation(fresh, known))
    assert "fresh: everything is run" in said
    assert "to run: 3 to 16 runs" in said
    assert "which are reused" not in said


def test_a_batch_size_still_to_be_probed_is_looked_up_among_those_listed() -> None:
    known, round_state = rerun(keeps=3)
    listed = replace(round_state.tasks["sums"], task=replace(round_state.tasks["sums"].task, bsz=(64, 32)))
    assert stored_baseline(known, listed, "medium") is None


def test_a_spec_that_was_dropped_is_explained_like_one_that_was_accepted() -> None:
    made = make_round(task(policy=SCREENS, stages=stages(1024, 48)))
    state = fold(
        State(), facts.RoundAccepted(round="night", sha256="", file="", suffix="", spec=made.to_json())
    )
    said = "\n".join(explanation(state.rounds["night"], State()))
    assert "eval_limited: 48" in said
    assert said.index("eval_limited") < said.index("in this order")
