"""What is kept of every sample, so that it can be graded again by other definitions? One JSON line each."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

#: in a run's folder
FILE_NAME = "samples.jsonl"
#: of a line: raise it when a field changes its meaning; new fields need no new version
FORMAT_VERSION = 1


class SamplesError(ValueError):
    """A file does not hold samples. The message says which line, and what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One prompt and what came of it. Facts alone: what they are worth is a metric's business."""

    #: 0 for the first of its run
    index: int
    #: the instruction, without the marks around it
    prompt: str
    #: as the model wrote it, up to a stop sequence
    raw: str
    #: the answer in it, as `texts.cleaned` cut it out then
    cleaned: str
    #: "stop:<sequence>", "eos" or "length"
    finish_reason: str
    #: generated; None where nobody counted
    tokens: int | None = None
    #: the critic's log-probabilities, nat, that the answer is good and that it is not; None without a critic
    log_p_accept: float | None = None
    log_p_reject: float | None = None
    #: the version of the cleaning, 0 where it is not known
    cleaning: int = 0

    @property
    def margin(self) -> float | None:
        """How much likelier, nat, the critic finds the answer good than not; None without a critic."""
        if self.log_p_accept is None or self.log_p_reject is None:
            return None
        return self.log_p_accept - self.log_p_reject


def append(path: Path, samples: Iterable[Sample], flags: Iterable[Mapping[str, Any]]) -> None:
    """Add a line for each sample, with what was flagged in it, and make them durable."""
    with path.open("a", encoding="utf-8") as stream:
        for sample, flagged in zip(samples, flags, strict=True):
            line = {"v": FORMAT_VERSION, **asdict(sample), **flagged}
            stream.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def read(path: Path) -> list[Sample]:
    """The samples of a file, in its order. Raises SamplesError or OSError."""
    found = []
    # Not `splitlines`: a model may write any of the characters that it takes for line ends.
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found.append(_sample(json.loads(line)))
        except (ValueError, TypeError) as error:
            raise SamplesError(f"{path}, line {number}: {error}") from error
    return found


_KNOWN = tuple(field.name for field in fields(Sample))
_TEXTS = ("prompt", "raw", "cleaned", "finish_reason")


def _sample(line: Any) -> Sample:
    if not isinstance(line, dict):
        raise TypeError("a sample is a JSON object")
    if line.get("v", FORMAT_VERSION) > FORMAT_VERSION:
        raise ValueError(f"written by a later version (v {line['v']}); update Roundhouse to read it")
    for name in _TEXTS:
        if not isinstance(line.get(name), str):
            raise ValueError(f"{name} must be a text (found {line.get(name)!r})")
    return Sample(**{name: line[name] for name in _KNOWN if name in line})
