"""Does a program that nobody has read run to its end, and what may it touch meanwhile? Its own memory only.

For code that a model wrote. Each program gets an interpreter of its own that shuts every door behind itself
before the first line runs: see `_sandboxed.py`. Works for any user, in containers too; what it needs is Linux
on x86-64 or aarch64 with seccomp filters, and where that is missing nothing is run at all.

It contains a program, it does not outwit one: whoever means to can claim an end that was never reached.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from trainers import _sandboxed
from trainers.contract import BadArgumentsError

#: in which the interpreter has to have started, on however busy a machine
START_SECONDS = 30.0

#: bytes; a program that writes more where the verdict is awaited has none
LONGEST_VERDICT = 4096

#: what `check` tries inside; each line must be refused, or the sandbox does not hold
_ESCAPES = """
import os, socket, threading
def refused(action):
    try: action()
    except (OSError, RuntimeError): return True
assert refused(os.fork)
assert refused(threading.Thread(target=print).start)
assert refused(socket.socket)
assert refused(lambda: os.kill(os.getppid(), 0))
assert refused(lambda: open("escaped", "w"))
assert refused(lambda: os.mkdir("escaped"))
assert refused(lambda: os.execv("/bin/true", ["true"]))
"""


class Ending(enum.Enum):
    """How a program ended."""

    FINISHED = "ran to its end"
    FAILED = "raised, exited or was killed"
    TIMED_OUT = "was still running when its time was over"


class SandboxError(BadArgumentsError):
    """This machine cannot hold a program that nobody has read."""


@functools.cache
def check() -> None:
    """Raises SandboxError unless the sandbox holds on this machine."""
    try:
        ending = run([_ESCAPES], seconds=10, memory_mib=512)
    except OSError as error:
        raise _refusal(str(error)) from error
    if ending is not Ending.FINISHED:
        raise _refusal(f"a program that tries to leave it {ending.value}")


def run(parts: Sequence[str], *, seconds: int, memory_mib: int) -> Ending:
    """Execute `parts`, Python sources, one after the other in one namespace.

    They have `seconds` of processor time, twice as many by the clock, and `memory_mib` of address space.
    Raises SandboxError where the doors cannot be shut; then nothing of `parts` has run.
    """
    token = secrets.token_hex(16)
    limits = {"seconds": seconds, "memory_bytes": memory_mib * 2**20}
    request = json.dumps({"parts": list(parts), "token": token, **limits}).encode()
    # A busy machine may take twice as long by the clock.
    said, is_over = _execute(request, 2.0 * seconds + 1.0)
    if said.startswith(_sandboxed.UNHELD):
        raise _refusal(said.removeprefix(_sandboxed.UNHELD).decode(errors="replace"))
    if said == _sandboxed.HELD + token.encode():
        return Ending.FINISHED
    return Ending.TIMED_OUT if is_over else Ending.FAILED


def _execute(request: bytes, seconds: float) -> tuple[bytes, bool]:
    """What was said of the program, and whether the clock or its processor time ended it."""
    reader, writer = os.pipe()
    try:
        try:
            process = subprocess.Popen(
                # -I: neither the environment nor the working directory decides what is imported
                [sys.executable, "-I", "-S", "-B", _sandboxed.__file__, str(writer)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(writer,),
                cwd="/",
                env={"PYTHONHASHSEED": "0"},
                start_new_session=True,
            )
        finally:
            os.close(writer)
        with process:
            try:
                with (
                    contextlib.suppress(BrokenPipeError),
                    process.stdin as stream,
                ):  # it says itself why it left
                    stream.write(request)
                said, is_late = _heard(reader, seconds)
            finally:
                process.kill()
    finally:
        os.close(reader)
    return said, is_late or process.returncode in (-signal.SIGKILL, -signal.SIGXCPU)


def _heard(reader: int, seconds: float) -> tuple[bytes, bool]:
    """All that is written until the writer is gone, and whether that took too long."""
    said, deadline = b"", time.monotonic() + START_SECONDS
    while len(said) <= LONGEST_VERDICT:
        ready, _, _ = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return said, True
        chunk = os.read(reader, LONGEST_VERDICT)
        if not chunk:
            break
        if not said:  # the doors are shut, and its time begins
            deadline = time.monotonic() + seconds
        said += chunk
    return said, False


def _refusal(reason: str) -> SandboxError:
    return SandboxError(
        f"this machine cannot hold a program that a model wrote ({reason}): that takes Linux on x86-64 or "
        "aarch64 with seccomp filters (CONFIG_SECCOMP_FILTER). Set `executed = 0` to train without pass rate"
    )
