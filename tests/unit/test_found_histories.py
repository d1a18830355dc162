"""Histories that once broke a law, each as short as it gets."""

from __future__ import annotations

from typing import Any

from fakes.world import World, checked, failed, make_round, ok, task

from scheduler.decide import facts, inputs


def moody(intended: facts.RunIntended) -> dict[str, Any]:
    """The first try at a variant crashes."""
    return failed("crash") if intended.config == "good" and intended.attempt == 1 else ok(0.5)


def test_a_retry_of_many_tasks_is_recorded_whole_before_anything_follows_from_it() -> None:
    world = World(moody)
    world.start()
    world.give(checked(make_round(task("first", variants=("good",)), task("second", variants=("good",)))))
    world.give(inputs.RequestMade(id="1", verb="retry", round="night"))
    told = [type(fact) for fact in world.facts]
    start = told.index(facts.TaskRetried)
    assert told[start : start + 2] == [facts.TaskRetried, facts.TaskRetried]
    assert told.count(facts.RoundFinished) == 2
    assert world.state.ended["night"].outcome == "finished"
