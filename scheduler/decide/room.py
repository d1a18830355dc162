"""May a run have its device while the process of the one before is still leaving it?"""

from __future__ import annotations

from scheduler.decide.facts import RunIntended
from scheduler.decide.state import PROBE_STAGE, State

#: free memory, as a multiple of the most that a run of the task has held
HEADROOM = 1.25


def has_room(state: State, run: RunIntended) -> bool:
    """Whether nobody else is on the run's device; or only one process whose run has ended well, beside which
    as much memory is free as runs of the task take. What such a process leaves behind is seen afterwards.

    A probe measures how much fits, and so waits until it is alone.
    """
    workers = state.live.workers.values()
    others = [each for each in workers if each.device == run.device and each.attempt_id != run.attempt_id]
    if not others:
        return True
    if len(others) > 1 or not others[0].is_done or run.stage == PROBE_STAGE:
        return False
    free_mib = others[0].free_memory_mib
    needed_mib = state.rounds[run.round].tasks[run.task].peak_memory_mib
    return free_mib is not None and needed_mib is not None and free_mib >= HEADROOM * needed_mib
