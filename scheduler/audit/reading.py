"""What do hand-made scripts write, and what does it say? From bytes to rows, with a word for each bad line.

Read are records in their early form (task, stage, config, status, best values, run_dir, error), in their
later one (decision rows, and a signature of what was run), and our own.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from scheduler.audit.rows import SEED_IN_NAME, Kind, Outcome, Problem, RecordFile, Row

#: other names of a stage
STAGES = {"med": "medium", "mid": "medium", "screen": "quick", "fast": "quick"}
OUTCOMES: dict[str, Outcome] = {
    **dict.fromkeys(("ok", "done", "success", "completed", "timed_out"), "ok"),
    **dict.fromkeys(("fail", "failed", "error", "crash", "crashed", "oom", "timeout", "lost"), "failed"),
    **dict.fromkeys(("skip_reuse", "reused", "cached"), "reused"),
}
#: what a signature says of one run, and not of the protocol it shares with others
_OF_ONE_RUN = frozenset({"cfg_name", "config", "seed", "task"})
_STARTED = re.compile(r"(?:^|/)(\d{8})-(\d{6})(?:/|$)")
_SECONDS_KEYS = ("wall_seconds", "wall_sec", "elapsed_seconds", "elapsed_sec", "duration_sec", "seconds")
#: events of our own records that are runs; the others are no rows
_RUN_EVENT = "run_finished"


def unreadable(source: str, text: str) -> RecordFile:
    """A file of which nothing can be read, and why."""
    return RecordFile(source=source, problems=(Problem(source=source, line=None, text=text),))


def read_records(source: str, data: bytes) -> RecordFile:
    """Every row of a file, with a problem for each line that is none. A torn last line is no problem."""
    sha256 = hashlib.sha256(data).hexdigest()
    if b"\0" in data:
        return unreadable(source, "is not text; name a file of JSON lines")
    lines = data.split(b"\n")
    rows, problems, torn, seen = [], [], None, 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        seen += 1
        try:
            row = _row(source, number, line)
        except ValueError as error:
            if number == len(lines) and isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
                torn = number
            else:
                problems.append(Problem(source=source, line=number, text=_words(error)))
            continue
        if row is not None:
            rows.append(row)
    if not rows and len(problems) == seen and problems:
        return unreadable(source, f"holds no records; its first line: {problems[0].text}")
    return RecordFile(
        source=source, sha256=sha256, rows=tuple(rows), problems=tuple(problems), torn_line=torn
    )


def _row(source: str, number: int, line: bytes) -> Row | None:
    """The row of a line; None for an event of ours that is no run. Raises ValueError."""
    try:
        fields = json.loads(line.decode("utf-8"))
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if not isinstance(fields, dict):
        raise ValueError(f"is not a JSON object (found {type(fields).__name__})")
    if "event" in fields and fields["event"] != _RUN_EVENT:
        return None
    stage, config = _text(fields, "stage"), _text(fields, "config")
    status = _text(fields, "status")
    for name, value in (("stage", stage), ("config", config), ("status", status)):
        if not value:
            raise ValueError(f"has no `{name}`; a row needs task, stage, config and status")
    signature = _signature(fields)
    run_dir = _text(fields, "run_dir")
    task = _text(fields, "task") or _task_of(run_dir, source)
    kind = _kind(stage, config)
    acc, is_best = _acc(fields)
    return Row(
        source=source,
        line=number,
        kind=kind,
        task=task,
        stage=_stage(stage),
        config=config,
        outcome=OUTCOMES.get(status.lower(), "skipped"),
        acc=acc,
        loss=_number(fields, "loss", "best_val_loss", "val_loss"),
        is_best_over_evals=is_best,
        seed=_seed(fields, signature, task),
        bsz=_whole(fields, "bsz", "batch_size"),
        run_dir=run_dir,
        error=_text(fields, "error"),
        failure_class=_text(fields, "failure_class") or None,
        reason=_text(fields, "reason"),
        round=_text(fields, "round") or None,
        signature={key: value for key, value in signature.items() if key not in _OF_ONE_RUN},
        protocol=_text(fields, "protocol") or None,
        best_step=_whole(fields, "best_step", "best_val_step"),
        last_step=_whole(fields, "steps", "last_step", "max_steps"),
        started_seconds=_started(run_dir),
        wall_seconds=_number(fields, *_SECONDS_KEYS),
        digest=hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest(),
    )


def _kind(stage: str, config: str) -> Kind:
    if stage.endswith("_decision"):
        return "decision"
    return "probe" if stage == "probe" or config == "bsz" else "run"


def _stage(stage: str) -> str:
    name = stage.removesuffix("_decision")
    return STAGES.get(name, name)


def _acc(fields: Mapping[str, Any]) -> tuple[float | None, bool]:
    """The accuracy at the end of the run where there is one, else the best over its evaluations."""
    final = _number(fields, "acc", "final_acc", "val_tok_acc")
    acc = final if final is not None else _number(fields, "best_val_tok_acc", "best_val_acc", "best_acc")
    if acc is not None and not 0.0 <= acc <= 1.0:
        raise ValueError(f"its accuracy {acc:g} is no share between 0 and 1")
    return acc, final is None and acc is not None


def _signature(fields: Mapping[str, Any]) -> dict[str, str]:
    """The signature's parts; whatever is no JSON object counts as one part."""
    signature = fields.get("signature")
    if isinstance(signature, str) and signature:
        try:
            signature = json.loads(signature)
        except ValueError:
            return {"signature": signature}
    if not isinstance(signature, dict):
        return {}
    return {str(key): str(value) for key, value in signature.items()}


def _seed(fields: Mapping[str, Any], signature: Mapping[str, str], task: str) -> int | None:
    seed = _whole(fields, "seed")
    if seed is not None:
        return seed
    if signature.get("seed", "").lstrip("-").isdigit():
        return int(signature["seed"])
    named = SEED_IN_NAME.search(task)
    return int(named[1]) if named else None


def _task_of(run_dir: str, source: str) -> str:
    """`runs/<time>/punc_restore_sft/no_fs` is of the task punc_restore; else the file's own name tells."""
    parts = [part for part in run_dir.split("/") if part]
    timed = next((index for index, part in enumerate(parts) if _STARTED.search(part)), None)
    if timed is not None and timed + 1 < len(parts):
        return parts[timed + 1].removesuffix("_sft")
    stem = source.rsplit("/", 1)[-1].split(".", 1)[0].strip("_")
    return re.sub(r"^round\d+_|_records$", "", stem) or stem


def _started(run_dir: str) -> float | None:
    """When the run's folder was made, by its name; a local time without a zone, good for differences."""
    named = _STARTED.search(run_dir)
    if named is None:
        return None
    try:
        return datetime.strptime(named[1] + named[2], "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _text(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    return "" if value is None else str(value).strip()


def _number(fields: Mapping[str, Any], *keys: str) -> float | None:
    """The first that is there and finite; scripts write NaN where there is none. Raises ValueError."""
    for key in keys:
        value = fields.get(key)
        if value is None or value == "":
            continue
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise ValueError(f"its `{key}` is {value!r}, not a number") from None
        if math.isfinite(number):
            return number
    return None


def _whole(fields: Mapping[str, Any], *keys: str) -> int | None:
    number = _number(fields, *keys)
    return None if number is None else int(number)


def _words(error: ValueError) -> str:
    match error:
        case json.JSONDecodeError():
            return f"is not JSON: {error.msg} at column {error.colno}"
        case UnicodeDecodeError():
            return f"is not UTF-8 at byte {error.start}"
    return str(error)
