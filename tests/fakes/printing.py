"""A program that prints without end, and what lies in its out.log meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

from fakes.daemon import Worker


def largest_seen(log: Path, act: Callable[[], object]) -> int:
    """The most bytes that lay in `log` at any look while `act` went on."""
    sizes = [0]
    is_over = Event()

    def look() -> None:
        while not is_over.wait(0.002):
            if log.exists():
                sizes.append(log.stat().st_size)

    looker = Thread(target=look)
    looker.start()
    try:
        act()
    finally:
        is_over.set()
        looker.join()
    return max(sizes)


def printed_by_command(worker: Worker, count: int) -> tuple[int, dict[str, object]]:
    """The largest out.log while a program prints `count` bytes, and the run's result."""
    script = f"head -c {count} /dev/zero; echo; echo val_acc: 0.5"
    results: list[dict[str, object]] = []
    config = {"argv": ["/bin/sh", "-c", script]}
    log = worker.home / "run" / "out.log"
    size = largest_seen(
        log, lambda: results.append(worker.run(trainer="command", config=config, seconds=600))
    )
    return size, results[0]
