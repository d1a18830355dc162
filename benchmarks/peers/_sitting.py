"""What did each peer do with each piece of work? All of them in one sitting, in shuffled order."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _figures import Timeline, timeline
from _leftovers import MARK, end, left, new_segments, shared_segments
from _peers import Entrant
from _work import HERE, Work, journal_lines

#: the same for every peer: one thread, and the bytecode cache that an installed program has
THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
LONGEST_SECONDS = 3600.0


class PeerFailed(Exception):
    """A peer did not do its work. The message has the end of what it said."""

    @property
    def reason(self) -> str:
        """In one line: that of the exception, where there is one."""
        lines = str(self).splitlines()
        raised = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Exit)\b", line)]
        return (raised or lines or ["it said nothing"])[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Work as the plan has it, before it has a folder."""

    name: str
    kind: str
    variants: int
    quick_steps: int
    medium_steps: int | None = None
    #: whether to look at what the peer holds before and after
    is_watched: bool = False

    def work(self, folder: Path) -> Work:
        return Work(
            kind=self.kind,
            variants=self.variants,
            quick_steps=self.quick_steps,
            medium_steps=self.medium_steps,
            folder=folder,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """What 200 runs left. Looks are those of `_leftovers`, as JSON."""

    before: Mapping[str, Any]
    after: Mapping[str, Any]
    #: once the peer had ended
    processes_left: int
    #: names in /dev/shm
    segments_left: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A piece of work, done."""

    way: str
    piece: Piece
    timeline: Timeline
    #: by (steps, learning rate)
    losses: Mapping[tuple[int, float], float]
    leftovers: Leftovers | None


def shuffled(
    entrants: Sequence[Entrant], pieces: Sequence[Piece], repeats: int, seed: int
) -> list[tuple[Entrant, Piece]]:
    """Everything `repeats` times, each repeat shuffled by itself: a drift of the machine hits all alike."""
    order: list[tuple[Entrant, Piece]] = []
    dice = random.Random(seed)
    for _ in range(repeats):
        block = [(entrant, piece) for entrant in entrants for piece in pieces]
        dice.shuffle(block)
        order += block
    return order


def sitting_mark() -> str:
    """How the marks begin of all that this program runs."""
    return f"{os.getpid()}-"


def measure(entrant: Entrant, piece: Piece) -> Measured:
    """Have the peer do the work in a fresh folder. Nothing of it is left afterwards; raises PeerFailed."""
    folder = Path(tempfile.mkdtemp(prefix="peers-"))
    mark, segments = f"{sitting_mark()}{uuid.uuid4().hex}", shared_segments()
    try:
        work = piece.work(folder)
        opened = time.monotonic()
        _drive(entrant, work, mark, is_watched=piece.is_watched)
        told = json.loads((folder / "told.json").read_text())
        lines = journal_lines(work.journal)
        if len(lines) != work.runs:
            raise PeerFailed(f"{len(lines)} runs instead of {work.runs}")
        return Measured(
            way=entrant.way.name,
            piece=piece,
            timeline=timeline(opened, told["done"], lines),
            losses={(int(line["steps"]), line["learning_rate"]): line["loss"] for line in lines},
            leftovers=_leftovers(told, mark, segments) if piece.is_watched else None,
        )
    finally:
        end(left(mark))
        shutil.rmtree(folder, ignore_errors=True)


def _leftovers(told: Mapping[str, Any], mark: str, segments: Collection[str]) -> Leftovers:
    processes = left(mark, [(pid, created) for pid, created in told["after"]["known"]])
    end(processes)
    return Leftovers(
        before=told["before"],
        after=told["after"],
        processes_left=len(processes),
        segments_left=new_segments(segments),
    )


def _drive(entrant: Entrant, work: Work, mark: str, is_watched: bool) -> None:
    """The peer's process, from its start to its end."""
    file = work.folder / "work.json"
    file.write_text(work.as_json())
    command = [entrant.python, HERE / "_drive.py", entrant.module, entrant.way.name, file]
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    output = work.folder / "driver.out"
    with output.open("wb") as told:
        driver = subprocess.Popen(
            [*command, *(["--watched"] if is_watched else [])],
            env=kept | THREADS | {MARK: mark},
            cwd=work.folder,
            stdout=told,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = driver.wait(timeout=LONGEST_SECONDS)
        except BaseException:
            os.killpg(driver.pid, signal.SIGKILL)
            driver.wait()
            raise
    if status != 0:
        raise PeerFailed(output.read_text(errors="replace").strip()[-2000:])
