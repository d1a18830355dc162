"""What do the daemon and a worker say to each other? JSON objects, one a line, on two inherited descriptors.

Every message has a `type`. To the worker:
    prepare   mode "train" or "probe", home, trainer, config (the trainer's whole Config), context (the fields
              of `Context` but run_dir), expect {source, data, versions} or null, context_ahead, whether the
              GPU's context is opened before `go`; to train: metric, the
              objective's, and keep_scores, whether the scores of every evaluation are wanted in the run's
              folder; where a longer run may follow, keep_for_steps, its max_steps, and keep_on_disk, whether
              the state to go on from is written into checkpoint/ in the run's folder (as a rule) or only
              held in memory until the next message; to go on from such a state, continue_from {folder, step},
              that checkpoint/ and its step: the worker that still holds it takes it from memory, any other
              from disk; to probe: candidates (batch sizes, first choice first; may be empty) and stages
              [{name, max_steps, time_budget_sec}]: those without max_steps are calibrated. The result
              then has bsz, and among extra seconds_per_step and "max_steps.<stage>"
    go        run_dir (absolute)
    stop      status ("pruned" or "cancelled"), reason: takes effect at the next evaluation
End-of-file means exit: without a trace before `go`, at once after it.

From the worker:
    prepared    startup_seconds, identity {source, data, versions, is_complete, parts}, inherited_steps (0: it
                begins with its first step), not_inherited (why it does so, although it was to go on from
                another; else null), keep_step (after which its own state will be kept; null: none will)
    evaluation  step, loss, acc, value, n_eval, n_clusters, extra, train_seconds, scores_digest
    heartbeat   rss_mib
    finished    result (the same object as result.json)
    failed      failure {class, message, text}: the run failed before `go`
A result has inherited_steps, those of its steps that the run did not do itself, inherited_seconds, the time
they took, and kept, {step, bytes (null: in memory only)} of the state that a longer run may go on from, or
null. After `finished` or `failed` a worker waits for the next `prepare`, or for end-of-file. Numbers that are
not finite travel as the strings "nan", "inf" and "-inf".
"""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

#: environment variable that marks every process of an attempt, so that none escapes by leaving its session
ATTEMPT_VARIABLE = "ROUNDHOUSE_ATTEMPT"

#: has a worker print where each of its threads stands; sent before one that hangs is ended
HUNG_SIGNAL = signal.SIGQUIT

#: seconds between two heartbeats of a worker
HEARTBEAT_SECONDS = 2.0


def write_message(fd: int, message: Mapping[str, Any]) -> None:
    """Write one message to `fd`, whole. Raises BrokenPipeError when the other side is gone."""
    data = memoryview(orjson.dumps(message, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n")
    while data:
        data = data[os.write(fd, data) :]


def read_messages(fd: int) -> Iterator[dict[str, Any]]:
    """The messages that arrive on `fd`, until end-of-file. A torn last line is dropped."""
    with os.fdopen(fd, "rb", closefd=False) as stream:
        for line in stream:
            if line.endswith(b"\n"):
                yield orjson.loads(line)


def number(value: float | None) -> float | str | None:
    """`value` as JSON can hold it: "nan", "inf" and "-inf" where it is not finite."""
    if value is None:
        return None
    value = float(value)
    return value if math.isfinite(value) else str(value)
