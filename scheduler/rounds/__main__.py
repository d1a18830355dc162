"""The child that reads specs: `python -m scheduler.rounds CPU_SECONDS`, files on stdin, answers on stdout.

stdin: a line with [[name, bytes], ...] as JSON, then the bytes of all files, one after the other. Each is
read in a process of its own, within limits of time and memory that end that process alone: whatever bytes do
to a parser happens there, and holds up no other file. stdout: a line for each as it is done, {"number",
"draft", "problems"}, or {"number", "exceeded"} where a limit ended it.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scheduler.rounds.parse import ANSWER_BYTES, MEMORY_BYTES, WALL_SECONDS, parse

#: files that are read side by side: one that takes all its time holds up no other
_AT_ONCE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """A file that is being read in a process of its own."""

    number: int
    pid: int
    #: where its answer lies when it has ended
    answer_fd: int
    kill_at: float


def main() -> None:
    cpu_seconds = int(sys.argv[1])
    # no plugin of another package runs here, and looking for them costs 15 ms
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    # numpy, which comes with Optuna: a thread for each of many cores does not fit into the memory
    os.environ["OPENBLAS_NUM_THREADS"] = "1"

    import json

    # what every file needs is imported once, and copied to each by fork
    import scheduler.rounds.check  # noqa: F401

    files = [(name, sys.stdin.buffer.read(size)) for name, size in json.loads(sys.stdin.buffer.readline())]
    waiting = deque(enumerate(files))
    readings: dict[int, _Reading] = {}
    while waiting or readings:
        while waiting and len(readings) < _AT_ONCE:
            number, (name, data) = waiting.popleft()
            reading = _started(number, name, data, cpu_seconds)
            readings[os.pidfd_open(reading.pid)] = reading
        for descriptor in _ended(readings):
            _tell(readings.pop(descriptor))
            os.close(descriptor)


def _started(number: int, name: str, data: bytes, cpu_seconds: int) -> _Reading:
    answer_fd = os.memfd_create("answer")
    pid = os.fork()
    if pid == 0:
        try:
            _limit(cpu_seconds)
            _read(name, data, answer_fd)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return _Reading(number=number, pid=pid, answer_fd=answer_fd, kill_at=time.monotonic() + WALL_SECONDS)


def _limit(cpu_seconds: int) -> None:
    """Bound what this process may use."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _read(name: str, data: bytes, answer_fd: int) -> None:
    """Put {"draft": ... or null, "problems": [...]} into the descriptor, and end."""
    import json

    from scheduler.rounds.check import check
    from scheduler.rounds.problems import rendered

    try:
        draft, problems = check(parse(data, os.path.splitext(name)[1].lower()), name)
        answer = {"draft": draft.to_json() if draft is not None else None, "problems": rendered(problems)}
        text = json.dumps(answer)
    except MemoryError:
        message = f"reading the file takes more than {MEMORY_BYTES >> 20} MiB of memory; write it more simply"
        text = json.dumps({"draft": None, "problems": [message]})
    with os.fdopen(answer_fd, "w") as stream:
        stream.write(text)
    os._exit(0)


def _ended(readings: dict[int, _Reading]) -> Sequence[int]:
    """Wait until one has ended, or its time has; the descriptors of those that have."""
    poller = select.poll()
    for descriptor in readings:
        poller.register(descriptor, select.POLLIN)
    first = min(reading.kill_at for reading in readings.values())
    ready = poller.poll(max(0.0, first - time.monotonic()) * 1000)
    for descriptor, reading in readings.items():
        if time.monotonic() >= reading.kill_at:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    return [descriptor for descriptor, _ in ready]


def _tell(reading: _Reading) -> None:
    """Reap it and pass its answer on."""
    import json

    _, status = os.waitpid(reading.pid, 0)
    size = os.fstat(reading.answer_fd).st_size
    told: dict[str, Any] = {"number": reading.number}
    with os.fdopen(reading.answer_fd, "rb") as stream:
        stream.seek(0)
        if os.WIFSIGNALED(status):
            is_overdue = time.monotonic() >= reading.kill_at
            told["exceeded"] = "wall time" if is_overdue else _limit_of(os.WTERMSIG(status))
        elif size > ANSWER_BYTES:
            told["exceeded"] = "answer"
        elif os.WEXITSTATUS(status) == 0:
            told |= json.loads(stream.read())
        else:
            told["exceeded"] = "anything we know of"
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def _limit_of(number: int) -> str:
    return "processor time" if number in (signal.SIGXCPU, signal.SIGKILL) else signal.Signals(number).name


if __name__ == "__main__":
    main()
