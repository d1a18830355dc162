"""Facts folded in place give the state that they give one by one, wherever the records end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from fakes.world import World, checked, failed, make_round, ok, play, task, watched, whole_round

from policies.evidence import Objective
from scheduler.decide import facts, inputs
from scheduler.decide.ended import EndedRound, ended_round
from scheduler.decide.forecast import forecast_round
from scheduler.decide.replay import Replay, RoundReplay
from scheduler.decide.state import RoundState, State, accepted_round, fold, fold_round, with_loaded
from scheduler.rounds.round import BASELINE, PolicyChoice

SCORES = {"baseline": 0.5, "good": 0.6, "bad": 0.4, "null": 0.5005}


def outcome(intended: facts.RunIntended) -> dict[str, Any]:
    if intended.config == "crashing":
        return failed("crash", "boom")
    if intended.task == "batches" and intended.stage == "medium" and intended.bsz == 64:
        return failed("oom", "CUDA out of memory")
    acc = SCORES.get(intended.config, 0.5) + 0.001 * (intended.seed % 3)
    if intended.task == "stopped":
        steps = intended.budget["max_steps"]
        return watched(acc, *((steps * n // 4, 2.0 - acc, acc, f"{acc}{n}") for n in (1, 2, 3, 4)))
    return ok(acc)


def eventful() -> World:
    """Rounds with failed, reused and stopped runs, a lower batch size, verdicts, a cancel and retries."""
    stops = PolicyChoice(name="threshold", options={"stops": ["noop"]})
    screens = PolicyChoice(name="screen_confirm", options={})
    world = World(outcome)
    world.start()
    world.give(checked(make_round(task(variants=("good", "crashing", "bad"), seeds=(0, 7)), id="first")))
    stopped = task("stopped", variants=("good", "copy"), policy=stops)
    world.give(checked(make_round(task("batches", bsz=(64, 32)), stopped, id="second")))
    world.give(checked(make_round(task(seeds=(0, 7)), id="again", after=("first",))))
    world.give(inputs.RequestMade(id="1", verb="pause"))
    world.give(checked(make_round(id="dropped", fresh=True)))
    world.give(inputs.RequestMade(id="2", verb="cancel", round="dropped"))
    world.give(inputs.RequestMade(id="3", verb="resume"))
    world.give(inputs.RequestMade(id="4", verb="retry", round="first"))
    world.outcome = lambda _: failed("data", "Only built 374 examples (wanted 900)")
    world.give(checked(make_round(task("screened", policy=screens), id="parked")))
    world.outcome = outcome
    world.give(inputs.RequestMade(id="5", verb="retry", round="parked"))
    return world


def one_by_one(told: Iterable[facts.Fact]) -> State:
    """Every fact folded as it comes; an ended round that is retried is first made whole."""
    state, wholes = State(), dict[str, RoundState]()
    for fact in told:
        if isinstance(fact, facts.TaskRetried) and fact.round in state.ended:
            state = with_loaded(state, wholes[fact.round])
        state = fold(state, fact)
        if isinstance(fact, facts.RoundAccepted):
            wholes[fact.round] = accepted_round(fact)
        elif isinstance(fact, facts.RoundFact):
            wholes[fact.round] = fold_round(wholes[fact.round], fact)
    return state


def replayed(told: Iterable[facts.Fact]) -> State:
    replay = Replay()
    for fact in told:
        replay.take(fact)
    return replay.state()


TOLD = list(eventful().facts)


def test_the_facts_are_of_every_kind_that_a_replay_treats_in_its_own_way() -> None:
    kinds = {type(fact) for fact in TOLD}
    assert kinds >= {facts.StopDecided, facts.TaskRetried, facts.TaskRebatched, facts.VerdictReached}
    assert kinds >= {facts.VariantPruned, facts.VariantPromoted, facts.RoundCancelled, facts.TaskParked}
    assert any(isinstance(fact, facts.RunFinished) and fact.cached_from for fact in TOLD)
    assert [fact.round for fact in TOLD if isinstance(fact, facts.TaskRetried)] == ["first", "parked"]


def test_a_replay_ends_in_the_state_of_facts_folded_one_by_one_wherever_they_end() -> None:
    for count in range(len(TOLD) + 1):
        expected, found = one_by_one(TOLD[:count]), replayed(TOLD[:count])
        assert found == expected, TOLD[count - 1]
        assert list(found.rounds) == list(expected.rounds)
        for name, current in found.rounds.items():
            for task_name, each in current.tasks.items():
                # in the same order: whoever goes through them must come to the same end
                assert list(each.attempts) == list(expected.rounds[name].tasks[task_name].attempts)


def test_a_replay_of_each_round_by_itself_gives_the_same_state() -> None:
    expected = replayed(TOLD)
    by_round, rest = dict[str, RoundReplay](), Replay()
    for fact in TOLD:
        if isinstance(fact, facts.RoundFact):
            by_round.setdefault(fact.round, RoundReplay()).take(fact)
        else:
            rest.take(fact)
    for each in by_round.values():
        rest.add(each.current)
    assert rest.state() == expected


def test_what_is_known_of_ended_rounds_takes_the_place_of_their_facts() -> None:
    expected = replayed(TOLD)
    replay = Replay()
    for fact in TOLD:
        if not isinstance(fact, facts.RoundFact):
            replay.take(fact)
    for name in expected.accepted:
        replay.add_ended(expected.ended[name], expected.results.part(name))
    assert replay.state() == expected


def test_interleaved_attempts_and_one_that_goes_on_after_a_look_are_told_alike() -> None:
    """Two devices would start runs in turns; and a state that was looked at is gone on with."""
    accepted, *_ = (fact for fact in TOLD if isinstance(fact, facts.RoundAccepted))
    first, second, *_ = (f for f in TOLD if isinstance(f, facts.RunIntended) and f.round == "first")
    ends = [
        next(f for f in TOLD if isinstance(f, facts.RunFinished) and f.attempt_id == intended.attempt_id)
        for intended in (first, second)
    ]
    told = [accepted, first, second, ends[0], ends[1]]
    assert replayed(told) == one_by_one(told)
    replay = Replay()
    for fact in told:
        replay.take(fact)
        replay.state()
    assert replay.state() == one_by_one(told)


@pytest.mark.parametrize("kind", [facts.RunStarted, facts.RunFinished, facts.VerdictReached])
def test_a_fact_that_cannot_follow_is_refused(kind: type[facts.RoundFact]) -> None:
    accepted, *_ = TOLD_OF_FIRST = [f for f in TOLD if isinstance(f, facts.RoundFact) and f.round == "first"]
    fact = next(fact for fact in TOLD_OF_FIRST if isinstance(fact, kind))
    replay = RoundReplay()
    with pytest.raises(ValueError, match="never accepted"):
        replay.take(fact)
    replay.take(accepted)
    with pytest.raises(ValueError, match="has not"):
        replay.take(replace(fact, task="unheard-of"))


class TestEndedRounds:
    """A round that has ended is told in few words, and these are enough."""

    def test_the_state_forgets_the_runs_of_an_ended_round(self) -> None:
        world = eventful()
        assert world.state.rounds == {}
        assert world.state.accepted == ("first", "second", "again", "dropped", "parked")
        assert set(world.state.ended) == set(world.state.accepted)

    def test_counts_are_those_of_the_whole_round(self) -> None:
        for name, ended in replayed(TOLD).ended.items():
            whole = whole_round(TOLD, name)
            assert ended.runs_done == forecast_round(whole).runs_done
            ends = [f for f in TOLD if isinstance(f, facts.RunFinished) and f.round == name]
            reused = [end for end in ends if end.cached_from and end.config == BASELINE]
            assert ended.runs_reused == len(reused)
        assert replayed(TOLD).ended["again"].runs_reused > 0

    def test_one_comes_back_from_json_as_it_was(self) -> None:
        for ended in replayed(TOLD).ended.values():
            assert EndedRound.from_json(ended.to_json()) == ended

    def test_a_round_that_has_not_ended_cannot_be_told_so(self) -> None:
        accepted = next(fact for fact in TOLD if isinstance(fact, facts.RoundAccepted))
        with pytest.raises(ValueError, match="has not ended"):
            ended_round(accepted_round(accepted))

    def test_a_fact_of_an_ended_round_is_refused_unless_it_was_loaded(self) -> None:
        state = replayed(TOLD)
        retried = facts.TaskRetried(round="first", task="sums")
        with pytest.raises(ValueError, match="has ended"):
            fold(state, retried)
        state = with_loaded(state, whole_round(TOLD, "first"))
        assert fold(state, retried).rounds["first"].finished is None

    def test_a_retry_of_an_ended_round_goes_on_where_it_was_among_the_others(self) -> None:
        world = World(lambda _: failed("data", "no such file"))
        world.start()
        for name in ("early", "late"):
            world.give(checked(make_round(id=name)))
        world.outcome = outcome
        world.start()  # nothing is left in memory
        world.give(inputs.RequestMade(id="1", verb="pause"))
        world.give(inputs.RequestMade(id="2", verb="retry", round="late"))
        world.give(inputs.RequestMade(id="3", verb="retry", round="early"))
        assert list(world.state.rounds) == ["early", "late"]
        world.give(inputs.RequestMade(id="4", verb="resume"))
        assert {name: ended.outcome for name, ended in world.state.ended.items()} == {
            "early": "finished",
            "late": "finished",
        }

    def test_a_retry_with_nothing_to_retry_leaves_it_ended(self) -> None:
        world = play(outcome, make_round(task(variants=("good",))))
        before = world.state
        world.give(inputs.RequestMade(id="1", verb="retry", round="night"))
        assert (world.state.rounds, world.state.ended) == ({}, before.ended)
        assert [type(action).__name__ for action in world.performed[-3:]] == [
            "LoadRound",
            "UnloadRound",
            "DiscardRequest",
        ]

    def test_a_loss_is_counted_in_its_own_unit_too(self) -> None:
        lossy = task(
            objective=Objective(metric="loss", direction="minimize", unit="nat", min_effect=0.01),
            policy=PolicyChoice(name="threshold", options={"min_delta": 0.01}),
        )
        ended = play(outcome, make_round(lossy)).state.ended["night"]
        assert sum(ended.verdicts.values()) == 2
