"""A whole task under the race: fresh seeds judge, the baseline is fixed in number, and a drop is final."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from fakes.search import Search, scores, searched
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import make_policy
from policies._assessment import Ledger
from policies._ledger import learnt, lesson_from
from policies._race_level import Counters
from policies._variance import Spread
from policies.evidence import BASELINE, Objective
from policies.race import Policy
from policies.steps import Decide, Freeze, Judge, Look, Run, TaskView

EFFECTS = {"great": 8.0, "good": 4.0, "none": 0.0, "zero": 0.0, "bad": -10.0}
MANY = {f"v{number}": 3.0 for number in range(12)}


def played(
    effects: dict[str, float] | None = None, *, seed: int = 0, policy: Any = None, **more: Any
) -> Search:
    effects = EFFECTS if effects is None else effects
    return searched(policy or Policy(), scores(effects, seed=seed), effects, **more)


def fresh(search: Search) -> list[Run]:
    return [run for run in search.of(Run) if run.stage == "medium"]


def test_true_winners_win_and_the_rest_does_not() -> None:
    verdicts = {name: verdict.name for name, verdict in played().verdicts.items()}
    assert verdicts["great"] == verdicts["good"] == "WINNER"
    assert not {"WINNER", "SUGGESTIVE"} & {verdicts[name] for name in ("none", "zero", "bad")}


@given(seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_the_race_keeps_its_rules(seed: int) -> None:
    search = played(MANY, seed=seed)
    (freeze,) = search.of(Freeze)
    steps = search.steps
    first_fresh = next((i for i, step in enumerate(steps) if step in fresh(search)), len(steps))
    assert steps.index(freeze) < first_fresh
    candidates = freeze.confirm_set.candidates
    by_config = {name: sorted(run.slot for run in fresh(search) if run.config == name) for name in MANY}
    for name, slots in by_config.items():
        assert slots == list(range(1, len(slots) + 1))
        assert len(slots) <= 4
        assert not slots or name in candidates
    assert [run.slot for run in search.of(Run) if run.stage == "quick" and run.config == BASELINE] == [
        0,
        8,
        9,
    ]
    assert [run.slot for run in fresh(search) if run.config == BASELINE] == (
        [1, 2, 3, 4] if candidates else []
    )
    looks = search.of(Look)
    assert [look.look for look in looks] == list(range(1, len(looks) + 1))
    assert len(looks) <= freeze.confirm_set.looks
    assert all(1 <= len(look.candidates) <= 6 for look in looks)
    ended: set[str] = set()
    for look in looks:
        assert not ended & look.candidates.keys()
        ended |= {*look.rejected, *look.futile}
        assert look.reasons.keys() == set(look.futile)
        assert all(look.reasons.values())
    won = {name for look in looks for name in look.rejected}
    named = {name for name, verdict in search.verdicts.items() if verdict.name == "WINNER"}
    assert named <= won


def test_a_lap_gives_every_candidate_in_it_one_seed() -> None:
    search = played(MANY, seed=3)
    lap: list[Run] = []
    for step in search.steps:
        if isinstance(step, Run) and step.stage == "medium" and step.config != BASELINE:
            lap.append(step)
        elif isinstance(step, Look):
            assert sorted(run.config for run in lap) == sorted(step.candidates)
            lap = []
    assert lap == []


def test_a_variant_without_a_chance_is_pruned_with_the_reason() -> None:
    search = played()
    bad = next(step for step in search.of(Decide) if step.config == "bad")
    assert bad.decision.reason.startswith("weak: P(effect >= min_effect) = 0.01 < 0.05")
    assert not [run for run in fresh(search) if run.config == "bad"]


def test_the_level_is_that_of_the_home_and_frozen_with_the_task() -> None:
    ledger = Ledger(counters=Counters(winners=30, nulls=60, medium_runs=500))
    (freeze,) = played(ledger=ledger).of(Freeze)
    assert freeze.confirm_set.alpha == pytest.approx(0.05 * 35 / (0.45 * 70), abs=5e-5)
    (strict,) = played(policy=Policy(profile="strict"), ledger=ledger).of(Freeze)
    assert strict.confirm_set.alpha == pytest.approx(0.03 * 35 / (0.45 * 70), abs=5e-5)


def test_a_home_that_finds_nothing_gives_fewer_seeds_for_a_rate_that_is_high() -> None:
    eager = Ledger(counters=Counters(winners=100, nulls=100, medium_runs=400))
    patient = Ledger(counters=Counters(winners=0, nulls=0, medium_runs=4000))
    weak = {f"w{number}": 1.0 for number in range(8)}
    assert len(fresh(played(weak, seed=5, ledger=eager))) < len(fresh(played(weak, seed=5, ledger=patient)))


def test_the_lesson_counts_winners_nulls_and_time_once() -> None:
    search = played()
    lesson = Policy().lesson(search.view)
    assert lesson.counters.winners == 2
    quick = [run for run in search.of(Run) if run.stage == "quick"]
    assert lesson.counters.medium_runs == pytest.approx(len(fresh(search)) + len(quick) / 3)
    assert lesson.protocol == "medium"
    again = lesson_from(dataclasses.asdict(lesson))
    assert again == lesson


def reused(view: TaskView) -> TaskView:
    """The same runs, taken from an earlier round."""

    def taken(runs: Any) -> Any:
        return tuple(dataclasses.replace(run, is_reused=True) for run in runs)

    return dataclasses.replace(
        view,
        baseline=taken(view.baseline),
        variants={name: taken(runs) for name, runs in view.variants.items()},
    )


def test_a_round_whose_runs_were_all_made_before_teaches_nothing() -> None:
    lesson = Policy().lesson(reused(played().view))
    assert lesson.counters == Counters()
    assert lesson.candidates == Spread()
    assert lesson.is_empty


def test_a_later_round_of_the_task_knows_how_noisy_its_candidates_were() -> None:
    lesson = Policy().lesson(played(MANY, seed=1).view)
    assert lesson.candidates.df > 0
    objective = Objective()
    assert learnt([lesson], objective, {"medium"}).own == lesson.candidates
    assert learnt([lesson], objective, {"another"}).own == Spread()
    assert learnt([lesson], objective, {"another"}).counters == lesson.counters


def test_candidates_of_a_task_known_to_be_noisy_are_less_sure() -> None:
    quiet, noisy = Ledger(own=Spread(ss=10.0, df=20)), Ledger(own=Spread(ss=200.0, df=20))
    p = [played(seed=2, ledger=ledger).of(Look)[0].candidates["great"].p for ledger in (quiet, noisy)]
    assert p[0] < p[1]


def test_a_candidate_whose_fresh_run_fails_is_no_loser() -> None:
    gone = {"status": "failed", "value": None, "loss": None, "acc": None, "failure_class": "lost"}
    usual = scores(EFFECTS)

    def outcome(run: Run) -> Any:
        return {**usual(run), **gone} if (run.config, run.stage) == ("great", "medium") else usual(run)

    search = searched(Policy(), outcome, EFFECTS)
    assert search.verdicts["great"].name == "INCONCLUSIVE"
    assert search.verdicts["good"].name == "WINNER"


def test_slot_0_of_either_side_is_in_no_number_of_a_verdict() -> None:
    search = played()
    view = dataclasses.replace(search.view, verdicts={})

    def moved(run: Any) -> Any:
        return dataclasses.replace(run, value=run.value + 0.003) if run.slot == 0 else run

    shifted = dataclasses.replace(
        view,
        baseline=tuple(map(moved, view.baseline)),
        variants={name: tuple(map(moved, runs)) for name, runs in view.variants.items()},
    )
    numbers = []
    for seen in (view, shifted):
        step = Policy().next(seen)
        assert isinstance(step, Judge)
        assert step.config == "great"
        numbers.append((step.verdict.raw_gain, step.verdict.shrunk_gain, step.verdict.adjusted_p))
    assert numbers[0] == numbers[1]


def test_a_task_of_one_stage_screens_and_races_there() -> None:
    search = searched(Policy(), scores(EFFECTS), EFFECTS, stages=("medium",))
    assert search.verdicts["great"].name == "WINNER"
    assert {run.stage for run in search.of(Run)} == {"medium"}


def test_a_task_without_variants_runs_its_listed_seeds() -> None:
    search = searched(Policy(), scores({}), (), listed_seeds=3)
    assert [(run.stage, run.slot) for run in search.of(Run)] == [
        (stage, slot) for stage in ("quick", "medium") for slot in range(3)
    ]


def test_what_may_still_run_holds_what_does_run() -> None:
    policy, search = Policy(), played(MANY, seed=4)
    view = dataclasses.replace(
        search.view,
        baseline=(),
        variants=dict.fromkeys(MANY, ()),
        confirm_set=None,
        looks_taken=0,
        decisions={},
        verdicts={},
    )
    ahead = {(run.stage, run.config, run.slot) for run in policy.possible_runs(view)}
    known = {(run.stage, run.config, run.slot) for run in search.of(Run) if run.stage == "quick"}
    assert known <= ahead
    assert {(stage, slot) for stage, config, slot in ahead if config == BASELINE and stage == "medium"} == {
        ("medium", slot) for slot in (1, 2, 3, 4)
    }


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"profile": "bold"}, "profile: must be one of explore, default, strict (found 'bold')"),
        ({"guarantee": "yes"}, "guarantee: must be true or false (found 'yes')"),
        ({"discordance": 2.0}, "discordance: must lie between 0 and 1 (found 2.0)"),
        ({"alpha": 0.1}, "alpha: unknown option"),
    ],
)
def test_options_that_cannot_be_are_told(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError) as found:
        make_policy("race", options)
    assert told in str(found.value)
