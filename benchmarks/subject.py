"""What is measured, and on which machine? An idle daemon in an empty home of its own."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

SCHEDCTL = Path(sys.executable).with_name("schedctl")
READY_SECONDS = 30.0
STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleDaemon:
    """A daemon that has nothing to do."""

    home: Path
    pid: int
    #: from the start of the process to its first status.json
    ready_seconds: float


@contextmanager
def idle_daemon() -> Iterator[IdleDaemon]:
    """A daemon in a fresh home, ready; stopped, and its home deleted, afterwards."""
    home = Path(tempfile.mkdtemp(prefix="roundhouse-benchmark-"))
    begun = time.monotonic()
    with (home / "daemon.out").open("wb") as output:
        daemon = subprocess.Popen(
            [SCHEDCTL, "--home", home, "daemon"], stdout=output, stderr=subprocess.STDOUT, env=environment()
        )
    try:
        while not (home / "results" / "status.json").exists():
            if daemon.poll() is not None or time.monotonic() - begun > READY_SECONDS:
                sys.exit(f"the daemon did not become ready:\n{(home / 'daemon.out').read_text()}")
            time.sleep(0.002)
        yield IdleDaemon(home=home, pid=daemon.pid, ready_seconds=time.monotonic() - begun)
    finally:
        daemon.terminate()
        try:
            daemon.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
        shutil.rmtree(home)


def environment() -> dict[str, str]:
    """This environment, with the bytecode cache that an installed program has."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def heading() -> str:
    """Where and when a figure was measured, and by which command."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    now = datetime.datetime.now(datetime.UTC)
    arguments = shlex.join(["python", *_relative(sys.argv)])
    return (
        f"machine: {os.cpu_count()} x {model}, Linux {platform.release()}, "
        f"Python {platform.python_version()}\n"
        f"date:    {now:%Y-%m-%d}, Roundhouse {version('roundhouse')}\n"
        f"command: {arguments}\n"
    )


def row(figure: str, demand: str, measured: str) -> str:
    """A line of the table in RESULTS.md."""
    return f"| {figure} | {demand} | {measured} |"


def _relative(arguments: list[str]) -> list[str]:
    root = Path(__file__).resolve().parents[1]
    return [str(Path(arguments[0]).resolve().relative_to(root)), *arguments[1:]]


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
