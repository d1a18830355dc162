"""What does launcher.log say about a fact? One line for everything a person wants to know tomorrow morning.

The words at the start of a line and the order of its fields are what users grep for; a line may gain fields
at its end, never lose or reorder them.
"""

from __future__ import annotations

from collections import Counter

from policies.evidence import Objective
from scheduler.decide import facts
from scheduler.decide.facts import PROBE_STAGE
from scheduler.decide.retention import Drop
from scheduler.decide.state import State
from scheduler.decide.xids import words_of
from scheduler.report import numbers
from scheduler.report.device_notes import hindrances
from scheduler.report.printable import first_line, one_line
from scheduler.report.prospects import warnings
from scheduler.rounds.round import Round


def line_for(fact: facts.Fact, before: State) -> str | None:
    """The line about `fact`, without timestamp, given the state before it; None where none is wanted."""
    if isinstance(fact, facts.VariantFact):
        return _decision(fact, before)
    if isinstance(fact, facts.AttemptFact):
        return _attempt(fact, before)
    if isinstance(fact, facts.RoundFact):
        return _round(fact, before)
    if isinstance(fact, facts.LedgerFact):
        return _ledger(fact, before)
    return _daemon(fact)


def warning_lines(fact: facts.Fact) -> tuple[str, ...]:
    """What a person should know of an accepted round before it runs, or of a run's device, a line each."""
    if isinstance(fact, facts.RunFinished) and fact.cached_from is None:
        run = f"task={fact.task} stage={fact.stage} cfg={fact.config} seed={fact.seed}"
        return tuple(f"WARN {run} {told} round={fact.round}" for told in hindrances(fact))
    if not isinstance(fact, facts.RoundAccepted):
        return ()
    found = warnings(Round.from_json(fact.spec))
    return tuple(
        f"WARN task={task} {one_line(limit, limit=1000)} round={fact.round}" for task, limit in found
    )


def wait_line(reason: str) -> str:
    """The line that says why nothing starts."""
    return f"WAIT reason={one_line(reason)}"


def _ledger(fact: facts.LedgerFact, before: State) -> str | None:
    match fact:
        case facts.BaselineAgreed():
            return f"CHECK {_compared(fact, before)} (baseline run anew: as before)"
        case facts.BaselineDrifted():
            again = "none of them is reused any more" if fact.stored_runs > 1 else "it is reused no more"
            runs = numbers.count(fact.stored_runs, "stored run")
            return f"DRIFT {_compared(fact, before)} (by {runs}; {again})"
        case facts.LessonLearnt(lesson=lesson):
            seeds = lesson.quick.df + lesson.medium.df
            kind = " foreign" if fact.is_foreign else ""
            return (
                f"LEDGER{kind} source={one_line(fact.source)} noise from {seeds} degrees of freedom,"
                f" {numbers.count(len(lesson.readings), 'effect')}"
            )
    return None


def _compared(fact: facts.BaselineFact, before: State) -> str:
    """A baseline that was run anew, beside what was expected of it."""
    objective = before.rounds[fact.round].round.task(fact.task).objective
    expected = "unknown"
    if fact.expected is not None:
        low, high = (numbers.value_text(objective, each).partition("=")[2] for each in fact.expected)
        expected = f"{low}..{high}"
    value = numbers.value_text(objective, fact.value).partition("=")[2]
    return (
        f"task={fact.task} protocol={fact.protocol} seed={fact.seed} value={value} expected={expected}"
        f" round={fact.round}"
    )


def _daemon(fact: facts.DaemonFact) -> str | None:
    match fact:
        case facts.DaemonStarted():
            devices = ", ".join(f"{device.id} ({one_line(device.name)})" for device in fact.devices)
            return f"DAEMON started pid={fact.pid} version={fact.version} devices={devices}"
        case facts.DaemonStopped():
            return f"DAEMON stopped: {one_line(fact.reason)}"
        case facts.SpecRejected():
            first = one_line(fact.problems[0]) if fact.problems else "no reason given"
            more = f" (and {len(fact.problems) - 1} more)" if len(fact.problems) > 1 else ""
            name = one_line(fact.file)
            return f"REJECT file={name} {first}{more}; all of it in queue/rejected/{name}.why.txt"
        case facts.QueuePaused():
            return f"PAUSE {one_line(fact.reason)}"
        case facts.QueueResumed():
            return "RESUME"
        case facts.DrainStarted():
            return f"DRAIN {one_line(fact.reason)}"
        case facts.GpuDirtied():
            return f"GPU device={fact.device} dirty: {one_line(fact.reason)}"
        case facts.RunFilesDropped():
            return f"TIDY round={fact.round} {dropped_words(fact)}"
        case facts.GpuCleared():
            return f"GPU device={fact.device} clean again"
        case facts.XidReported():
            during = f" during {', '.join(fact.attempts)}" if fact.attempts else ""
            return f"GPU device={fact.device} reports {words_of(fact.xid)}{during}"
    return None


def dropped_words(drop: facts.RunFilesDropped | Drop) -> str:
    """What of a round's runs goes, and why."""
    kinds = (("removed", drop.removed), ("reduced", drop.reduced), ("states", drop.states))
    counts = " ".join(f"{name}={len(runs)}" for name, runs in kinds if runs)
    return f"{counts} freed={numbers.size(drop.bytes)} ({one_line(drop.reason)})"


def _round(fact: facts.RoundFact, before: State) -> str | None:
    end = f"round={fact.round}"
    match fact:
        case facts.RoundAccepted():
            return _accepted(fact)
        case facts.TaskProbed():
            return f"PROBE task={fact.task} bsz={_bsz(fact.bsz)} ({_probe_reason(fact)}) {end}"
        case facts.TaskRebatched():
            old = before.rounds[fact.round].tasks[fact.task].bsz
            return (
                f"PROBE task={fact.task} bsz={fact.bsz} lowered from {_bsz(old)} ({one_line(fact.reason)});"
                f" the task starts again, baseline first {end}"
            )
        case facts.TaskParked():
            return (
                f"PARK task={fact.task} class={fact.failure_class} {one_line(fact.reason)};"
                f" remedy: {one_line(fact.remedy)} {end}"
            )
        case facts.TaskRetried():
            return f"RETRY task={fact.task} {end}"
        case facts.ConfirmSetFrozen():
            names = ",".join(fact.candidates) or "none"
            return (
                f"CONFIRM task={fact.task} candidates={names} looks={fact.looks} alpha={fact.alpha:g} {end}"
            )
        case facts.LookTaken():
            return _look(fact, before)
        case facts.VerdictReached():
            return _verdict(fact, before)
        case facts.TaskFinished():
            return f"TASK task={fact.task} finished {end}"
        case facts.RoundCancelled():
            return f"CANCEL {end} {one_line(fact.reason)}"
        case facts.RoundFinished():
            counts = _verdict_counts(fact, before)
            return f"ROUND {end} {fact.outcome}: {counts}; results/{fact.round}/summary.txt"
    return None


def _look(fact: facts.LookTaken, before: State) -> str:
    objective = before.rounds[fact.round].round.task(fact.task).objective
    words = [
        f"{name} {numbers.delta_text(objective, reading['delta'])} adjusted_p={reading['adjusted_p']:.3g}"
        + (" rejected" if name in fact.rejected else " given up" if name in fact.futile else "")
        for name, reading in fact.readings.items()
    ]
    return f"LOOK task={fact.task} look={fact.look} {'; '.join(words)} round={fact.round}"


def _verdict(fact: facts.VerdictReached, before: State) -> str:
    objective = before.rounds[fact.round].round.task(fact.task).objective
    words = [f"VERDICT task={fact.task} cfg={fact.config} {fact.verdict}", one_line(fact.reason)]
    for name, gain in (("raw", fact.raw_gain), ("shrunk", fact.shrunk_gain)):
        if gain is not None:
            words.append(f"{name}={numbers.signed(objective, gain)}")
    words += [f"WARN {one_line(warning)}" for warning in fact.warnings]
    return " ".join([*words, f"round={fact.round}"])


def _accepted(fact: facts.RoundAccepted) -> str:
    tasks = fact.spec["tasks"]
    variants = sum(len(task["variants"]) for task in tasks)
    return (
        f"ROUND round={fact.round} accepted: {numbers.count(len(tasks), 'task')},"
        f" {numbers.count(variants, 'variant')} (from {one_line(fact.file)})"
    )


def _probe_reason(fact: facts.TaskProbed) -> str:
    steps = "".join(f"; {stage} calibrated to {number} steps" for stage, number in fact.max_steps.items())
    taken = f"; taken from {one_line(fact.taken_from)}" if fact.taken_from is not None else ""
    return one_line(fact.reason) + steps + taken


def _verdict_counts(fact: facts.RoundFinished, before: State) -> str:
    tasks = before.rounds[fact.round].tasks.values()
    counts = Counter(verdict.verdict for task in tasks for verdict in task.verdicts.values())
    parked = sum(task.parked is not None for task in tasks)
    words = [f"{name}={number}" for name, number in sorted(counts.items())] or ["no verdicts"]
    return " ".join(words + ([f"parked={numbers.count(parked, 'task')}"] if parked else []))


def _decision(fact: facts.VariantFact, before: State) -> str | None:
    word, end = _decision_words(fact)
    if word is None:
        return None
    objective = before.rounds[fact.round].round.task(fact.task).objective
    delta = [numbers.delta_text(objective, fact.d_acc)] if fact.d_acc is not None else []
    seeds = []
    if fact.sd is not None:
        seeds = [numbers.spread_text(objective, fact.sd), f"signs={fact.signs}"]
    speed = ["(speed effect)"] if fact.is_speed_effect else []
    fields = [f"task={fact.task}", f"cfg={fact.config}", *delta, f"({one_line(fact.reason)})"]
    return " ".join([word, *fields, *seeds, *speed, *end, f"round={fact.round}"])


def _decision_words(fact: facts.VariantFact) -> tuple[str | None, list[str]]:
    """The first word of the line about a decision, and its last fields."""
    match fact:
        case facts.VariantPruned():
            return "PRUNE", [f"stage={fact.stage}"]
        case facts.VariantPromoted():
            return "PROMOTE", [f"stage={fact.stage}", f"to={fact.to_stage}"]
        case facts.VariantHeld():
            return "HOLD", [f"stage={fact.stage}"]
    return None, []


def _attempt(fact: facts.AttemptFact, before: State) -> str | None:
    match fact:
        case facts.RunStarted():
            return _started(fact, before)
        case facts.StopDecided():
            return _stop(fact)
        case facts.RunFinished():
            return _finished(fact, before)
    return None


def _started(fact: facts.RunStarted, before: State) -> str:
    task = before.rounds[fact.round].tasks[fact.task]
    tries = [*task.attempts.get(fact.key, ())]
    intended = next(a.intended for a in tries if a.intended.attempt == fact.attempt)
    if fact.stage == PROBE_STAGE:
        sizes = ",".join(str(size) for size in task.task.bsz)
        return f"PROBE task={fact.task} trying bsz={sizes or '-'} device={fact.device} round={fact.round}"
    again = f" attempt={fact.attempt}" if fact.attempt > 1 else ""
    steps = intended.budget.get("max_steps")
    return (
        f"RUN task={fact.task} stage={fact.stage} cfg={fact.config} seed={fact.seed}"
        f" bsz={_bsz(intended.bsz)} budget={intended.budget['time_budget_sec']:g}s"
        f"{f' steps={steps}' if steps is not None else ''}{again} device={fact.device} round={fact.round}"
    )


def _stop(fact: facts.StopDecided) -> str:
    """Why a run ends at its next evaluation, or goes on although a rule would end it."""
    word, end = ("AUDIT", " goes on to its end") if fact.is_audit else ("STOP", "")
    run = f"task={fact.task} stage={fact.stage} cfg={fact.config} seed={fact.seed}"
    return f"{word} {run} rule={fact.rule} ({one_line(fact.reason)}){end} round={fact.round}"


def _finished(fact: facts.RunFinished, before: State) -> str | None:
    run = f"task={fact.task} stage={fact.stage} cfg={fact.config} seed={fact.seed}"
    if fact.has_failed:
        message = first_line(fact.error or "") or "no message"
        return f"FAIL class={fact.failure_class or fact.status} {run} {message} round={fact.round}"
    if fact.stage == PROBE_STAGE:
        return None
    # A stopped run has had its STOP line when that was decided.
    word = "DONE" if fact.status in ("ok", "timed_out", "pruned") else "STOP"
    objective = before.rounds[fact.round].round.task(fact.task).objective
    fields = [run, *_readings(fact, objective)]
    if fact.cached_from is not None:
        word = "CACHE"
        fields.append(f"from={one_line(fact.cached_from)}")
    if fact.status != "ok":
        fields.append(f"status={fact.status}")
    if fact.stopped_by is not None:
        fields.append(f"stopped_by={fact.stopped_by}")
    if fact.is_recovered:
        fields.append("(recovered: it had finished while the daemon was down)")
    if fact.contaminated is not None:
        fields.append(f"contaminated={100 * fact.contaminated['share']:.0f}%")
    return " ".join([word, *fields, f"round={fact.round}"])


def _readings(fact: facts.RunFinished, objective: Objective) -> list[str]:
    """The objective's value first, then the loss, steps and seconds, as far as they are known."""
    readings = []
    if fact.value is not None:
        readings.append(numbers.value_text(objective, fact.value))
    if fact.loss is not None and objective.metric != "loss":
        readings.append(f"loss={numbers.plain_number(fact.loss)}")
    if fact.steps is not None:
        readings.append(f"steps={fact.steps}")
    if fact.train_seconds is not None:
        readings.append(f"seconds={fact.train_seconds:.1f}")
    if fact.inherited_steps:
        readings.append(f"inherited={fact.inherited_steps}")
    return readings


def _bsz(size: int | None) -> str:
    return "-" if size is None else str(size)
