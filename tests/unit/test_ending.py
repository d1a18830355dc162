"""How does the end of a run read, when all that is known of it is how its process went?"""

from __future__ import annotations

from typing import Any

import pytest
from fakes.world import World, checked, failed, make_round, ok

from scheduler.decide import facts, inputs
from scheduler.decide.ending import reported_end, unreported_end

OOM = "killed by the kernel, which was out of memory"


def intended() -> facts.RunIntended:
    world = World(lambda _: ok(0.5))
    world.start()
    world.give(checked(make_round()))
    return next(fact for fact in world.facts if isinstance(fact, facts.RunIntended))


@pytest.mark.parametrize(
    ("gone", "ended_for", "failure_class", "error"),
    [
        ({"returncode": -9}, "", "killed", "the worker was killed by signal 9\nlast words"),
        ({"returncode": 1}, "", "crash", "the worker exited with status 1\nlast words"),
        ({"returncode": -9, "oom_kills": 1}, "", "oom", f"{OOM}\nlast words"),
        ({"returncode": 1, "oom_kills": 2}, "", "oom", f"{OOM}\nlast words"),
        ({"returncode": -9, "ended_by": "hung"}, "it was mute", "hung", "it was mute\nlast words"),
        (
            {"returncode": -9, "ended_by": "hung", "oom_kills": 1},
            "",
            "hung",
            "the worker was hung\nlast words",
        ),
        ({"returncode": -15, "ended_by": "cancelled"}, "", None, "cancelled by request"),
    ],
)
def test_a_worker_that_went_without_a_word_leaves_a_class_and_a_text(
    gone: dict[str, Any], ended_for: str, failure_class: str | None, error: str
) -> None:
    ended = inputs.WorkerEnded(attempt_id="x", output_tail="last words\n", **gone)
    end = unreported_end(intended(), ended, (), ended_for)
    assert (end.failure_class, end.error) == (failure_class, error)


@pytest.mark.fault(
    "the kernel's OOM killer ends a process of a run",
    moment="where each attempt has a cgroup that counts it",
    outcome="`oom`, with its remedy, although all that is seen is a killed process",
)
@pytest.mark.parametrize(
    ("told", "kills", "failure_class"),
    [("killed", 1, "oom"), ("killed", 0, "killed"), ("data", 1, "data"), ("oom", 1, "oom")],
)
def test_a_failure_that_says_killed_is_known_by_the_kernels_count(
    told: str, kills: int, failure_class: str
) -> None:
    end = reported_end(intended(), failed(told, "worker 7 is killed"), oom_kills=kills)
    assert end.failure_class == failure_class
    assert end.error is not None
    assert end.error.startswith(OOM if (told, kills) == ("killed", 1) else "worker 7 is killed")


def test_a_run_that_ended_well_is_none_the_worse_for_what_the_kernel_killed() -> None:
    assert reported_end(intended(), ok(0.5), oom_kills=1).status == "ok"
