"""Of what is a person told who is away? A notice for what will not wait until morning, or is waited for.

Decided from the fact and the state before it alone, as the lines of launcher.log are.
"""

from __future__ import annotations

from collections.abc import Iterator

from policies.evidence import Objective
from scheduler.decide import facts, inputs
from scheduler.decide.after_fact import is_failure_of_device
from scheduler.decide.state import State
from scheduler.decide.xids import remedy, stops_the_queue, words_of
from scheduler.report import numbers
from scheduler.report.printable import first_line, one_line
from scheduler.rounds.notice import Notice
from scheduler.rounds.paths import HomePaths

#: verdicts of a round that are told one by one, the best first
VERDICTS_TOLD = 12
_BEST_FIRST = ("WINNER", "SUGGESTIVE", "LOSER", "NEUTRAL", "INCONCLUSIVE")


def notice_for(event: inputs.Event, before: State, home: HomePaths) -> Notice | None:
    """The notice about `event`, given the state before it; None where it can wait."""
    match event:
        case facts.RoundFinished():
            return _round_finished(event, before, home)
        case facts.TaskParked():
            return _task_parked(event, home)
        case facts.VerdictReached(verdict="WINNER"):
            return _winner_found(event, before, home)
        case facts.GpuDirtied():
            return Notice(
                kind="gpu_dirty",
                title=f"the GPU {event.device} is set aside",
                body=f"{one_line(event.reason)}\nNothing starts on it. `schedctl resume` uses it again.",
            )
        case facts.XidReported() if stops_the_queue(event.xid) and before.paused is None:
            said = f"the GPU {event.device} reported {words_of(event.xid)}"
            return _gpu_failed(said, remedy(event.device))
        case facts.RunFinished() if is_failure_of_device(event) and before.paused is None:
            said = f"the GPU failed in task {event.task} of round {event.round}"
            return _gpu_failed(said, first_line(event.error or ""))
        case facts.DaemonStarted() if before.is_served:
            return _daemon_restarted(event, before)
        case inputs.GateChanged(source="disk", wait_reason=str(reason)):
            return Notice(
                kind="disk_low",
                title="the disk is nearly full, nothing starts",
                body=f"{one_line(reason)}\n{home.results}\nThe queue goes on by itself when there is room.",
            )
    return None


def _round_finished(fact: facts.RoundFinished, before: State, home: HomePaths) -> Notice:
    tasks = before.rounds[fact.round].tasks
    verdicts = [
        (each, tasks[each.task].task.objective) for t in tasks.values() for each in t.verdicts.values()
    ]
    verdicts.sort(key=lambda each: _BEST_FIRST.index(each[0].verdict))
    counts = [
        f"{number} {name}"
        for name in _BEST_FIRST
        if (number := sum(verdict.verdict == name for verdict, _ in verdicts))
    ]
    lines = [_verdict_words(*each) for each in verdicts[:VERDICTS_TOLD]]
    if len(verdicts) > VERDICTS_TOLD:
        lines.append(f"and {len(verdicts) - VERDICTS_TOLD} more")
    for name, task in tasks.items():
        if task.parked is not None:
            lines.append(f"{name} is parked, {task.parked.failure_class}: {one_line(task.parked.reason)}")
    return Notice(
        kind="round_finished",
        title=f"round {fact.round} {fact.outcome}: {', '.join(counts) or 'no verdicts'}",
        body="\n".join([*lines, _report(home, fact.round)]),
    )


def _verdict_words(fact: facts.VerdictReached, objective: Objective) -> str:
    return " ".join([f"{fact.task} {fact.config}: {fact.verdict}", *_gains(fact, objective)])


def _gains(fact: facts.VerdictReached, objective: Objective) -> Iterator[str]:
    for name, gain in (("raw", fact.raw_gain), ("shrunk", fact.shrunk_gain)):
        if gain is not None:
            yield f"{name} {numbers.signed(objective, gain)}"


def _task_parked(fact: facts.TaskParked, home: HomePaths) -> Notice:
    return Notice(
        kind="task_parked",
        title=f"task {fact.task} of round {fact.round} is parked: {fact.failure_class}",
        body=(
            f"{one_line(fact.reason)}\nRemedy: {one_line(fact.remedy)}\n"
            f"Then: schedctl retry {fact.round} {fact.task}\n{_report(home, fact.round)}"
        ),
    )


def _winner_found(fact: facts.VerdictReached, before: State, home: HomePaths) -> Notice:
    objective = before.rounds[fact.round].round.task(fact.task).objective
    gains = ", ".join(_gains(fact, objective)) or one_line(fact.reason)
    return Notice(
        kind="winner_found",
        title=f"WINNER {fact.config} in task {fact.task} of round {fact.round}: {gains}",
        body="\n".join([one_line(fact.reason), *map(one_line, fact.warnings), _report(home, fact.round)]),
    )


def _gpu_failed(said: str, more: str) -> Notice:
    return Notice(
        kind="gpu_dirty",
        title=f"{one_line(said)}, nothing starts",
        body=f"{one_line(more)}\nWhen it is well (`schedctl doctor`), `schedctl resume` goes on.",
    )


def _daemon_restarted(fact: facts.DaemonStarted, before: State) -> Notice:
    rounds = numbers.count(len(before.rounds), "open round")
    return Notice(
        kind="daemon_restarted",
        title="the daemon is back after an end that was none of its own",
        body=(
            "It was killed or crashed, or the machine went down. What had finished is kept, the run in flight"
            f" is tried again; {rounds}. Version {one_line(fact.version)}, process {fact.pid}."
        ),
    )


def _report(home: HomePaths, round_id: str) -> str:
    return f"Report: {home.round(round_id).report}"
