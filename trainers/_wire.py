"""What do the daemon and a worker say to each other? JSON objects, one a line, on two inherited descriptors.

To the worker:
    prepare   trainer, config, context, expect {source, data, versions}; mode "train" or "probe";
              for a probe: candidates (batch sizes, largest first), calibrate (time a few steps)
    go        run_dir, run (the run's fields for config.json)
    stop      status ("pruned" or "cancelled"), reason: takes effect at the next evaluation
End-of-file means exit: without a trace before `go`, at once after it.

From the worker:
    prepared    startup_seconds, identity {source, data, versions, is_complete, parts}
    evaluation  step, loss, acc, n_eval, extra, train_seconds
    heartbeat   rss_mib
    finished    result (the same object as result.json)
    failed      failure {class, message, text}: the run failed before `go`
After `finished` a worker waits for the next `prepare`, or for end-of-file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

#: environment variable that marks every process of an attempt, so that none escapes by leaving its session
ATTEMPT_VARIABLE = "ROUNDHOUSE_ATTEMPT"

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
