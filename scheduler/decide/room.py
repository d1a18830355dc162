"""May a run have its device while the process of the one before is still there, or go on in that process?"""

from __future__ import annotations

from scheduler.decide.facts import PROBE_STAGE, RunIntended
from scheduler.decide.state import State, Worker, is_spare

#: free memory, as a multiple of the most that a run of the task has held
HEADROOM = 1.25


def has_room(state: State, run: RunIntended) -> bool:
    """Whether nobody else is on the run's device; or only one process whose run has ended well, beside which
    as much memory is free as runs of the task take. What such a process leaves behind is seen afterwards.

    A probe measures how much fits, and so waits until it is alone.
    """
    own = holder(state, run)
    workers = [each for each in state.live.workers.values() if each.device == run.device]
    others = [each for each in workers if each.attempt_id != run.attempt_id and each is not own]
    if not others:
        return True
    if len(others) > 1 or not others[0].is_done or run.stage == PROBE_STAGE:
        return False
    free_mib = others[0].free_memory_mib
    needed_mib = state.rounds[run.round].tasks[run.task].peak_memory_mib
    return free_mib is not None and needed_mib is not None and free_mib >= HEADROOM * needed_mib


def why_held(state: State, device: str) -> str | None:
    """Why a run that is prepared may not begin on its device yet; None when nothing is in its way there.

    Somebody else may have come while it was preparing.
    """
    if device in state.dirty:
        return f"{device} is dirty: {state.dirty[device]}"
    return None if device == "cpu" else state.live.waits.get("gpu")


def holder(state: State, run: RunIntended) -> Worker | None:
    """The worker that has just done the run from which this one goes on, and waits; none where a process of
    this one's name is there already.
    """
    if run.continue_from is None or is_spare(state, run.attempt_id):
        return None
    wanted = f"{run.round}/{run.continue_from['run_dir']}"
    workers = state.live.workers.values()
    return next((each for each in workers if each.holds == wanted and not each.is_leaving), None)
