"""What is a peer asked to do? A round of trials, of which the best go on to a longer stage."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from trial import Trial, arguments

HERE = Path(__file__).resolve().parent
#: of the first variant, to which Roundhouse compares the others, and of the only one that beats it
BASELINE_RATE, BETTER_RATE = 0.03, 0.1
#: the other variants hardly learn, each less than the one before
WORSE_RATE, WORSE_FACTOR = 0.001, 0.97


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A round: every variant runs `quick`; where there is a `medium`, the best two run it from its start."""

    kind: str
    #: two or more: a baseline and what is compared with it
    variants: int
    quick_steps: int
    #: None: nothing is promoted
    medium_steps: int | None = None
    #: for whatever files there are; the journal is among them
    folder: Path

    @property
    def learning_rates(self) -> tuple[float, ...]:
        """By variant. The first is the baseline."""
        worse = (WORSE_RATE * WORSE_FACTOR**number for number in range(self.variants))
        return (BASELINE_RATE, BETTER_RATE, *worse)[: self.variants]

    @property
    def journal(self) -> Path:
        return self.folder / "journal.jsonl"

    @property
    def runs(self) -> int:
        return self.variants + (PROMOTED if self.medium_steps else 0)

    def trial(self, steps: int, learning_rate: float) -> Trial:
        return Trial(kind=self.kind, steps=steps, learning_rate=learning_rate, journal=str(self.journal))

    def as_json(self) -> str:
        return json.dumps({**asdict(self), "folder": str(self.folder)})


#: 30 % of six variants, in whole ones
PROMOTED = 2


def work_from(text: str) -> Work:
    """What `as_json` wrote."""
    values = json.loads(text)
    return Work(**{**values, "folder": Path(values["folder"])})


@dataclass(slots=True)
class Agenda:
    """Which trial is next? For peers that leave that to a program of the user's."""

    work: Work
    _given: int = 0
    _losses: dict[float, float] = field(default_factory=dict)

    def next(self) -> Trial | None:
        """The next trial; None when there is none, or none until a loss is told."""
        rates, number = self.work.learning_rates, self._given
        if number < len(rates):
            trial = self.work.trial(self.work.quick_steps, rates[number])
        elif self.work.medium_steps and number < self.work.runs and len(self._losses) == len(rates):
            best = sorted(rates, key=self._losses.__getitem__)[:PROMOTED]
            trial = self.work.trial(self.work.medium_steps, best[number - len(rates)])
        else:
            return None
        self._given += 1
        return trial

    def tell(self, learning_rate: float, loss: float) -> None:
        """The loss of a quick run; that of a medium one changes nothing."""
        self._losses.setdefault(learning_rate, loss)

    def tell_all(self, lines: Sequence[dict[str, float]]) -> None:
        """The losses of a journal."""
        for line in lines:
            self.tell(line["learning_rate"], line["loss"])


def journal_lines(path: Path) -> list[dict[str, float]]:
    """The runs that are over, in the order of their ends."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def command(trial: Trial) -> list[str]:
    """The trial as a program of its own."""
    return [sys.executable, str(HERE / "trial.py"), *arguments(trial)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way in which a peer runs trials: a row of the tables."""

    #: unique among all peers
    name: str
    #: what the program keeps apart, as a reader of the table should know it
    isolation: str
    #: whether every run has a process of its own, with which everything goes that it took
    has_process_per_run: bool = True
    #: whether the screening round, by far the longest, is measured without being asked for
    is_screened: bool = False


class Peer(Protocol):
    """A module of this folder whose name begins with a letter, beside `trial` and `compare`."""

    #: packages and programs without which it is left out
    MODULES: tuple[str, ...]
    PROGRAMS: tuple[str, ...]
    WAYS: tuple[Way, ...]

    def opened(self, way: Way, folder: Path) -> AbstractContextManager[Callable[[Work], None]]:
        """The peer, ready for work; all that it started is ended afterwards."""
        ...
