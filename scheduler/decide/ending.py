"""How does the end of a run read as a fact? From what its worker reported, or from how its process went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from scheduler.decide.codec import NON_FINITE
from scheduler.decide.facts import AssignmentFact, RunFinished, RunIntended, StopDecided
from scheduler.decide.inputs import RunEvaluated, WorkerEnded
from scheduler.decide.xids import to_blame, words_of

#: fields that a worker's result and the fact share by name
_REPORTED = (
    "value",
    "acc",
    "loss",
    "best_val_tok_acc",
    "best_val_loss",
    "n_eval",
    "n_clusters",
    "scores_digest",
    "steps",
    "inherited_steps",
    "inherited_seconds",
    "train_seconds",
    "eval_seconds",
    "wall_seconds",
    "startup_seconds",
    "peak_memory_mib",
    "energy_joule",
    "git_commit",
    "contaminated",
    "throttled",
)


#: by the count of its cgroup, which is certain
_KILLED_FOR_MEMORY = "killed by the kernel, which was out of memory"


def reported_end(
    intended: RunIntended,
    result: Mapping[str, Any],
    *,
    stop: StopDecided | None = None,
    is_recovered: bool = False,
    oom_kills: int = 0,
) -> RunFinished:
    """The end that a worker reported in its result; `stop` is what it was told to end by, if anything."""
    failure = _with_oom_killer(result.get("failure") or {}, oom_kills)
    reported = {name: _number(result[name]) for name in _REPORTED if name in result}
    return RunFinished(
        **(_assignment(intended) | {"bsz": result.get("bsz", intended.bsz)}),
        **reported,
        status=result["status"],
        kept_step=_kept_step(result.get("kept")),
        extra={name: _number(number) for name, number in (result.get("extra") or {}).items()},
        curve=tuple((step, _number(number)) for step, number in result.get("curve") or ()),
        evaluations=tuple(tuple(map(_number, each)) for each in result.get("evaluations") or ()),
        failure_class=failure.get("class"),
        # It may have come to its last evaluation before it heard of the stop.
        stopped_by=stop.rule if stop is not None and result["status"] == "pruned" else None,
        error=error_text(failure),
        is_recovered=is_recovered,
    )


def _kept_step(kept: Mapping[str, Any] | None) -> int | None:
    """Of a state on the disk; one that is only in the worker's memory goes with it."""
    return kept["step"] if kept and kept.get("bytes") is not None else None


def unreported_end(
    intended: RunIntended, ended: WorkerEnded, evaluations: tuple[RunEvaluated, ...], ended_for: str = ""
) -> RunFinished:
    """The end of a run whose worker went without a word; keeps the evaluations that were heard.

    `ended_for` is what was seen that had it ended.
    """
    status, failure_class, error = _how_it_went(ended, ended_for)
    seen = {name: value for name, value in ended.seen.items() if name in _REPORTED}
    last = evaluations[-1] if evaluations and status == "timed_out" else None
    return RunFinished(
        **_assignment(intended),
        **seen,
        status=status,
        failure_class=failure_class,
        error=error,
        value=last.value if last else None,
        acc=last.acc if last else None,
        loss=last.loss if last else None,
        steps=last.step if last else None,
        curve=tuple((e.step, e.value) for e in evaluations if e.value is not None),
        evaluations=tuple((e.step, e.loss, e.acc, e.scores_digest) for e in evaluations),
        train_seconds=evaluations[-1].train_seconds if evaluations else None,
    )


def lost_end(intended: RunIntended, wall_seconds: float | None) -> RunFinished:
    """The end of a run that was in flight when the daemon ended."""
    return RunFinished(
        **_assignment(intended),
        status="lost",
        failure_class="lost",
        error="the daemon ended while the run was in flight",
        wall_seconds=wall_seconds,
    )


def blamed_on_device(end: RunFinished, xids: tuple[int, ...]) -> RunFinished:
    """The end, with the errors that its device reported: a failure that they explain is the device's."""
    if not xids:
        return end
    guilty = to_blame(xids, end.failure_class)
    if not guilty:
        return replace(end, xids=xids)
    reasons = "; ".join(words_of(xid) for xid in guilty)
    return replace(end, xids=xids, failure_class="gpu", error=f"{reasons}\n{end.error or ''}".strip())


def error_text(failure: Mapping[str, Any]) -> str | None:
    """Message first, then the whole text where it says more."""
    message, text = failure.get("message"), failure.get("text")
    if not message:
        return text
    return message if not text or text.strip() == message.strip() else f"{message}\n{text}"


def _assignment(intended: RunIntended) -> dict[str, Any]:
    """What the end of a run repeats of its intent."""
    return {f.name: getattr(intended, f.name) for f in fields(AssignmentFact)}


def _with_oom_killer(failure: Mapping[str, Any], kills: int) -> Mapping[str, Any]:
    """The failure as it was told, or as the kernel knows it where it says only that something was killed."""
    if not kills or failure.get("class") != "killed":
        return failure
    return {**failure, "class": "oom", "message": f"{_KILLED_FOR_MEMORY}: {failure.get('message')}"}


def _how_it_went(ended: WorkerEnded, ended_for: str) -> tuple[Any, str | None, str | None]:
    """Status, failure class and error of a worker that did not report."""
    tail = ended.output_tail.strip()
    match ended.ended_by:
        case "time_budget":
            return "timed_out", None, None
        case "hung":
            return "failed", "hung", f"{ended_for or 'the worker was hung'}\n{tail}".strip()
        case "cancelled":
            return "cancelled", None, "cancelled by request"
        case "shutdown":
            return "cancelled", None, "the daemon was stopped; the run is tried again at its next start"
    if ended.oom_kills:
        return "failed", "oom", f"{_KILLED_FOR_MEMORY}\n{tail}".strip()
    if ended.returncode < 0:
        return "failed", "killed", f"the worker was killed by signal {-ended.returncode}\n{tail}".strip()
    return "failed", "crash", f"the worker exited with status {ended.returncode}\n{tail}".strip()


def _number(value: Any) -> Any:
    """A number that JSON had to spell as a word, as a number; anything else as it is."""
    return NON_FINITE.get(value, value) if isinstance(value, str) else value
