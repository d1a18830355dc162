"""What ran once is not run again, whatever its round is called, while nothing that it depends on changed."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import orjson
import pytest
from fakes.world import CPU, GPU, Crash, World, checked, failed, make_round, ok, play, task, watched

from policies.evidence import Objective
from scheduler.decide import actions as act
from scheduler.decide import codec, facts, inputs
from scheduler.decide.failures import Limits
from scheduler.decide.result_cache import ResultCache, part_of
from scheduler.decide.state import State, fold
from scheduler.report.lines import line_for
from scheduler.rounds.round import Budget, PolicyChoice, Stage, Task, TrainerIdentity, Variant

SCORES = {"baseline": 0.50, "good": 0.58, "bad": 0.49, "null": 0.5005, "late": 0.53}
SCREENS = PolicyChoice(name="screen_confirm")


def scored(intended: facts.RunIntended) -> Mapping[str, Any]:
    if intended.stage == "probe":
        return {"status": "ok", "bsz": 64, "extra": {}}
    acc = SCORES[intended.config] + (0.04 if intended.stage == "medium" else 0.0)
    noise = 0.001 * (intended.seed % 7) + 0.0005 * len(intended.config)
    return ok(acc + noise, scores_digest=f"d{acc + noise}", n_eval=5000, n_clusters=4800)


def with_oom(intended: facts.RunIntended) -> Mapping[str, Any]:
    if intended.stage == "medium" and intended.bsz == 64:
        return failed("oom", "CUDA out of memory")
    return scored(intended)


def stopping(intended: facts.RunIntended) -> Mapping[str, Any]:
    """The variant `bad` is a copy of the baseline, and is stopped as one."""
    steps = intended.budget["max_steps"]
    name = "good" if intended.config == "good" else "baseline"
    end = SCORES[name]
    looks = [
        (steps * part // 4, 2.0 - end * part / 4, end * part / 4, f"{name}{part}") for part in (1, 2, 3, 4)
    ]
    return watched(end, *looks)


def of_kind(world: World, kind: type[Any], round_id: str | None = None) -> list[Any]:
    found = [fact for fact in world.facts if isinstance(fact, kind)]
    return [fact for fact in found if round_id is None or fact.round == round_id]


def ran(world: World, round_id: str) -> list[tuple[str, str, int]]:
    return [(f.stage, f.config, f.slot) for f in of_kind(world, facts.RunIntended, round_id)]


def reused(world: World, round_id: str) -> list[facts.RunFinished]:
    return [f for f in of_kind(world, facts.RunFinished, round_id) if f.cached_from is not None]


def told(world: World, round_id: str) -> list[Any]:
    """What a round decided, in its own words but its name."""
    kinds = facts.VariantFact | facts.VerdictReached | facts.ConfirmSetFrozen | facts.LookTaken
    decided = [f for f in world.facts if isinstance(f, kinds) and f.round == round_id]
    return [
        replace(f, round="", **({"warnings": ()} if isinstance(f, facts.VerdictReached) else {}))
        for f in decided
    ]


def twice(one: Task, other: Task | None = None, outcome: Any = scored, **options: Any) -> World:
    second = make_round(other or replace(one, name="renamed"), id="two")
    return play(outcome, make_round(one, id="one"), second, **options)


STOPS = PolicyChoice(name="threshold", options={"min_delta": 0.3, "stops": ["noop"]})
KINDS: dict[str, tuple[Task, Any]] = {
    "threshold": (task(variants=("good", "bad", "late")), scored),
    "two seeds": (task(seeds=(0, 5)), scored),
    "screened": (task(variants=tuple(SCORES)[1:], policy=SCREENS), scored),
    "probed": (task(bsz=(64, 32)), scored),
    "out of memory": (task(bsz=(64, 32)), with_oom),
    "stopped": (task(policy=STOPS), stopping),
    "alone": (task(variants=(), seeds=(1, 2, 3)), scored),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_round_that_comes_again_under_another_name_runs_nothing(kind: str) -> None:
    one, outcome = KINDS[kind]
    world = twice(one, replace(one), outcome, device=GPU)
    assert ran(world, "one")
    assert ran(world, "two") == []
    if kind == "out of memory":  # it begins where the first came to
        assert told(world, "two") == told(world, "one")[1:]
    else:
        assert told(world, "two") == told(world, "one")
    ends = [
        [e for e in of_kind(world, facts.RunFinished, name) if e.stage != "probe"] for name in ("one", "two")
    ]
    known = {end.content_key: end for end in ends[0] if not end.has_failed}
    for end in ends[1]:
        origin = known[end.content_key]
        assert end.cached_from == f"one/{origin.run_dir}"
        own = {"round", "task", "attempt", "slot", "run_dir", "cached_from", "stage", "kept_step"}
        same = {name: value for name, value in asdict(origin).items() if name not in own}
        assert same.items() <= asdict(end).items()


def test_a_stopped_run_is_taken_with_its_rule() -> None:
    world = twice(task(policy=STOPS), outcome=stopping)
    stopped = [end for end in reused(world, "two") if end.status == "pruned"]
    assert [(end.config, end.stopped_by) for end in stopped] == [("bad", "noop")]


def test_the_log_tells_where_a_run_and_a_probe_were_taken_from() -> None:
    world = twice(task(bsz=(64, 32), policy=STOPS), outcome=stopping_or_probed, device=GPU)
    state, lines = State(), list[str]()
    for fact in world.facts:
        lines.append(line_for(fact, state) or "")
        state = fold(state, fact)
    taken = [line for line in lines if "round=two" in line]
    assert "PROBE task=renamed bsz=64 (the largest that fits; taken from one/sums) round=two" in taken
    stopped = next(line for line in taken if line.startswith("CACHE") and "cfg=bad" in line)
    assert "from=one/sums.quick.bad.s0.a1 status=pruned stopped_by=noop" in stopped


def test_a_stopped_run_counts_for_nothing_under_another_policy() -> None:
    changed = replace(STOPS, options={**STOPS.options, "min_delta": 0.4})
    world = twice(task(policy=STOPS), task(policy=changed), outcome=stopping)
    assert ran(world, "two") == [("quick", "bad", 0)]


def test_the_second_time_nothing_is_learnt_and_the_verdicts_say_so() -> None:
    world = twice(task(variants=tuple(SCORES)[1:], policy=SCREENS))
    assert [fact.source for fact in of_kind(world, facts.LessonLearnt)] == ["one/sums"]
    for verdict in of_kind(world, facts.VerdictReached, "two"):
        assert "rests on runs of round one; no new evidence" in verdict.warnings
    for verdict in of_kind(world, facts.VerdictReached, "one"):
        assert not [warning for warning in verdict.warnings if "rests" in warning]


def test_an_equal_task_begins_with_what_was_known_the_first_time() -> None:
    world = twice(task(variants=tuple(SCORES)[1:], policy=SCREENS))
    first, second = of_kind(world, facts.TaskBegun)
    assert (second.ledger, second.stored, second.taken_from) == (first.ledger, first.stored, "one/sums")
    other = task(variants=("good",), policy=SCREENS)
    first, second = of_kind(twice(task(policy=SCREENS), other), facts.TaskBegun)
    assert second.taken_from is None


def test_a_new_variant_beside_known_ones_is_all_that_runs() -> None:
    world = twice(task(variants=("good", "bad")), task(variants=("good", "late", "bad")))
    assert ran(world, "two") == [("quick", "late", 0), ("medium", "late", 0)]
    assert {end.config for end in reused(world, "two")} == {"baseline", "good", "bad"}
    named = {
        v.config: [w for w in v.warnings if "rests" in w] for v in of_kind(world, facts.VerdictReached, "two")
    }
    assert named["good"]
    assert not named["late"]


def test_a_variant_of_another_name_with_the_same_arguments_is_the_same_run() -> None:
    renamed = Variant(name="best", changes={"x": "good"}, config={"x": "good"})
    world = twice(task(variants=("good",)), replace(task(variants=()), variants=(renamed,)))
    assert ran(world, "two") == []


OTHER_GOOD = Variant(name="good", changes={"x": 1}, config={"x": "another good"})
CHANGES: dict[str, dict[str, Any]] = {
    "code": {"identity": TrainerIdentity(source="other", data="d")},
    "data": {"identity": TrainerIdentity(source="s", data="other")},
    "version": {"identity": TrainerIdentity(source="s", data="d", versions={"torch": "3"})},
    "arguments": {"args": {"argv": ["false"]}},
    "the variant": {"variants": (OTHER_GOOD,)},
    "seed": {"seeds": (7,)},
    "batch size": {"bsz": (16,)},
    "metric": {"objective": Objective(metric="loss", direction="minimize", unit="nat", min_effect=0.1)},
    "budget": {
        "stages": (
            Stage(name="quick", budget=Budget(max_steps=11, time_budget_sec=60.0)),
            Stage(name="medium", budget=Budget(max_steps=41, time_budget_sec=240.0)),
        )
    },
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_variant_runs_where_anything_that_it_depends_on_changed(change: str) -> None:
    one = task(variants=("good",))
    world = twice(one, replace(one, **CHANGES[change]))
    assert ("quick", "good", 0) in ran(world, "two")
    assert not [end for end in reused(world, "two") if end.config == "good"]


def test_nothing_is_taken_from_another_device() -> None:
    world = play(scored, make_round(id="one"), device=CPU)
    world.device = GPU
    world.start()
    world.give(checked(make_round(id="two")))
    assert ran(world, "two") == ran(world, "one")


def test_nothing_is_taken_while_nobody_knows_what_a_result_depends_on() -> None:
    unknown = task(identity=TrainerIdentity(source="s", data="d", is_complete=False))
    world = twice(unknown)
    assert ran(world, "two") == ran(world, "one")
    assert not of_kind(world, facts.TaskBegun)[0].signature


@pytest.mark.parametrize("status", ["timed_out", "failed"])
def test_a_run_that_did_not_end_well_is_tried_again(status: str) -> None:
    def outcome(intended: facts.RunIntended) -> Mapping[str, Any]:
        if intended.config != "bad":
            return scored(intended)
        return failed("crash") if status == "failed" else {**scored(intended), "status": status}

    world = twice(task(), outcome=outcome)
    tried = [run for run in ran(world, "one") if run[1] == "bad"]
    assert set(ran(world, "two")) == set(tried)


def test_a_fresh_round_runs_everything_and_is_newer() -> None:
    one, two, three = (make_round(task(policy=SCREENS), id=name) for name in ("one", "two", "three"))
    world = play(scored, one, replace(two, fresh=True), three)
    assert ran(world, "two") == ran(world, "one")
    assert ran(world, "three") == []
    variants = [end for end in reused(world, "three") if end.config != "baseline"]
    assert {end.cached_from.partition("/")[0] for end in variants if end.cached_from} == {"two"}
    assert len(of_kind(world, facts.LessonLearnt)) == 1


def test_a_setting_turns_it_off_and_leaves_baselines_reused() -> None:
    world = twice(task(), limits=Limits(reuse_results=False))
    assert {run[1] for run in ran(world, "two")} == {"good", "bad"}


def test_the_origin_is_always_the_run_itself() -> None:
    made = [make_round(id=name) for name in ("one", "two", "three")]
    world = play(scored, *made)
    assert {end.cached_from.partition("/")[0] for end in reused(world, "three") if end.cached_from} == {"one"}


def test_nothing_from_before_a_drift_is_reused_after_it() -> None:
    checks = Limits(baseline_check_every=1)
    shift: list[float] = []

    def outcome(intended: facts.RunIntended) -> Mapping[str, Any]:
        result = scored(intended)
        if intended.round == "one":
            return result
        shift.append(1.0)
        return {**result, "value": result["value"] + 1.0}

    stages = (Stage(name="medium", budget=Budget(max_steps=40, time_budget_sec=240.0)),)
    one = task(variants=("good",), seeds=(0, 1, 2), stages=stages)
    world = play(outcome, make_round(one, id="one"), make_round(one, id="two"), limits=checks)
    drifts = of_kind(world, facts.BaselineDrifted)
    assert drifts
    assert {run for run in ran(world, "two") if run[1] == "good"} == {
        ("medium", "good", s) for s in (0, 1, 2)
    }
    values = [v for v in of_kind(world, facts.RunFinished, "two") if v.cached_from is None]
    assert all(run.value > 1.0 for run in values)
    world.start()
    world.give(checked(make_round(one, id="three")))
    assert {end.cached_from.partition("/")[0] for end in reused(world, "three") if end.cached_from} <= {"two"}


@pytest.mark.parametrize("restarts", [False, True])
def test_what_a_person_wants_forgotten_is_run_again(restarts: bool) -> None:
    world = play(scored, make_round(id="one"))
    world.give(inputs.RequestMade(id="1", verb="forget", round="one"))
    if restarts:
        world.start()
    world.give(checked(make_round(id="two")))
    assert ran(world, "two") == ran(world, "one")
    world.give(checked(make_round(id="three")))
    assert ran(world, "three") == []


def test_one_result_can_be_forgotten_by_its_key() -> None:
    world = play(scored, make_round(id="one"))
    key = next(e.content_key for e in of_kind(world, facts.RunFinished) if e.config == "bad")
    world.give(inputs.RequestMade(id="1", verb="forget", key=key))
    world.give(checked(make_round(id="two")))
    assert ran(world, "two") == [("quick", "bad", 0)]
    world.give(checked(make_round(id="three")))
    assert ran(world, "three") == []


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({"round": "none"}, "no round is called 'none'"),
        ({"key": "0" * 16}, "no result has the key"),
        ({"round": "one"}, "forgot 4 results of round one"),
    ],
)
def test_forgetting_is_answered(asked: dict[str, str], answer: str) -> None:
    world = play(scored, make_round(task(variants=("good",)), id="one"))
    world.give(inputs.RequestMade(id="1", verb="forget", **asked))
    said = [action.answer for action in world.performed if isinstance(action, act.DiscardRequest)]
    assert said[0].startswith(answer)


def test_a_damaged_result_is_made_anew_and_not_asked_for_again() -> None:
    world = play(scored, make_round(id="one"))
    world.damaged.add("one")
    world.give(checked(make_round(id="two")))
    variants = [run for run in ran(world, "one") if run[1] != "baseline"]
    assert ran(world, "two") == variants
    asked = [a for a in world.performed if isinstance(a, act.FetchResult) and a.round == "one"]
    assert len(asked) == len({a.content_key for a in asked}) == len(variants)
    world.give(checked(make_round(id="three")))
    assert ran(world, "three") == []


def test_a_paused_queue_takes_nothing_and_a_closed_window_holds_nothing_back() -> None:
    world = play(scored, make_round(id="one"))
    world.give(inputs.RequestMade(id="1", verb="pause"))
    world.give(checked(make_round(id="two")))
    assert {end.config for end in reused(world, "two")} <= {"baseline"}
    world.give(inputs.GateChanged(source="window", wait_reason="outside of the window"))
    world.give(inputs.RequestMade(id="2", verb="resume"))
    assert of_kind(world, facts.RoundFinished, "two")
    assert ran(world, "two") == []


def test_results_are_looked_up_while_the_run_before_them_trains() -> None:
    world = twice(task(variants=("good", "bad")), task(variants=("late", "good", "bad")))
    kinds = (act.FetchResult, act.OpenGate)
    done = [a for a in world.performed if isinstance(a, kinds)]
    opened = [n for n, a in enumerate(done) if isinstance(a, act.OpenGate) and a.started.config == "late"]
    assert isinstance(done[opened[-1] + 1], act.FetchResult)
    assert ran(world, "two") == [("quick", "late", 0), ("medium", "late", 0)]


def test_a_replay_knows_the_same_results() -> None:
    world = twice(task(policy=SCREENS))
    live = world.state.results
    world.start()
    assert dict(world.state.results.shelves.items()) == dict(live.shelves.items())
    assert dict(world.state.results.beginnings.items()) == dict(live.beginnings.items())


def test_what_a_round_adds_can_be_kept_as_json_and_taken_back() -> None:
    world = twice(task(bsz=(64, 32), policy=STOPS), outcome=stopping_or_probed, device=GPU)
    whole = world.state.results
    again = ResultCache()
    for name in ("one", "two"):
        again = again.having(orjson.loads(orjson.dumps(whole.part(name))))
    for kept in ("shelves", "probes", "beginnings"):
        assert dict(getattr(again, kept).items()) == dict(getattr(whole, kept).items())
    assert whole.part("two") == {"shelves": [], "tasks": []}
    assert len(whole.part("one")["tasks"]) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_round_adds_follows_from_its_own_state(kind: str) -> None:
    one, outcome = KINDS[kind]
    state = twice(one, replace(one), outcome, device=GPU).state
    for name, current in state.rounds.items():
        assert part_of(current) == state.results.part(name)


def stopping_or_probed(intended: facts.RunIntended) -> Mapping[str, Any]:
    return scored(intended) if intended.stage == "probe" else stopping(intended)


def test_records_from_before_the_cache_are_read() -> None:
    world = twice(task())
    state = State()
    for record in world.records:
        old = {k: v for k, v in record.items() if k not in ("drifts", "signature", "taken_from")}
        fact = codec.from_record(old)
        if fact is not None:
            state = fold(state, fact)
    assert [key for key, _ in state.results.results()] == [key for key, _ in world.state.results.results()]


def taken(world: World, round_id: str) -> Counter[Any]:
    """What was reused; an attempt that was lost counts in the name of the origin's folder alone."""
    return Counter((end.stage, end.config, end.seed, end.value) for end in reused(world, round_id))


BOTH = [make_round(task(variants=("good", "bad", "late"), seeds=(0, 5)), id=name) for name in ("one", "two")]
UNBROKEN = play(scored, *BOTH)


@pytest.mark.parametrize("crash_after", range(1, len(UNBROKEN.lines) + 1))
def test_a_crash_after_any_record_changes_neither_decisions_nor_what_is_reused(crash_after: int) -> None:
    world = World(scored, crash_after=crash_after)
    dropped = [checked(made) for made in BOTH]
    try:
        world.start()
        world.give(*dropped)
    except Crash:
        world.crash_after = None
        world.start()
        world.give(*dropped)
    for name in ("one", "two"):
        assert told(world, name) == told(UNBROKEN, name)
        assert set(ran(world, name)) == set(ran(UNBROKEN, name))
        assert taken(world, name) == taken(UNBROKEN, name)


def test_once_others_run_a_round_that_has_ended_is_kept_alive_by_nothing() -> None:
    """Not by what was worked out of it either: a night of large rounds would fill the memory."""
    rounds = (make_round(task(name=name, policy=SCREENS), id=name) for name in ("long_gone", "later", "last"))
    state = play(scored, *rounds).state
    assert list(state.ended) == ["long_gone", "later", "last"]
    assert state.results.shelves
    gc.collect()
    alive = {each.name for each in gc.get_objects() if type(each) is Task}
    assert "long_gone" not in alive
