"""Which samples should somebody look at? Those that were flagged, before and after cleaning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scheduler.judging.evidence import JudgedRun

#: in a run's folder: objects with prompt, raw, cleaned, flags_raw and flags_cleaned
SAMPLES = "samples.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownSample:
    """One flagged sample."""

    prompt: str
    raw: str
    cleaned: str
    flags_raw: tuple[str, ...]
    flags_cleaned: tuple[str, ...]
    finish_reason: str

    @property
    def kept(self) -> tuple[int, int]:
        """Where the cleaned text lies in the raw one; the whole where it does not."""
        begin = self.raw.find(self.cleaned) if self.cleaned else -1
        return (begin, begin + len(self.cleaned)) if begin >= 0 else (0, len(self.raw))


@dataclass(frozen=True, slots=True, kw_only=True)
class FlaggedSamples:
    """The samples of one iteration."""

    config: str
    samples: int
    #: how many have any flag before cleaning, and after
    flagged_raw: int
    flagged_cleaned: int
    #: of each kind of flag the first, then the next ones
    shown: tuple[ShownSample, ...]


def flagged_samples(config: str, runs: Iterable[JudgedRun], most: int) -> FlaggedSamples | None:
    """At most `most` flagged samples of an iteration; None where no samples are kept."""
    rows = [row for run in runs for row in run.exhibits.get(SAMPLES, ()) if isinstance(row.get("raw"), str)]
    if not rows:
        return None
    samples = [_sample(row) for row in rows]
    flagged = [sample for sample in samples if sample.flags_raw or sample.flags_cleaned]
    return FlaggedSamples(
        config=config,
        samples=len(samples),
        flagged_raw=sum(bool(sample.flags_raw) for sample in samples),
        flagged_cleaned=sum(bool(sample.flags_cleaned) for sample in samples),
        shown=tuple(_varied(flagged))[:most],
    )


def _varied(flagged: Iterable[ShownSample]) -> Iterator[ShownSample]:
    """First of every combination of flags one, then the others, each in order."""
    others: list[ShownSample] = []
    seen: set[tuple[tuple[str, ...], tuple[str, ...]]] = set()
    for sample in flagged:
        kind = (sample.flags_raw, sample.flags_cleaned)
        if kind in seen:
            others.append(sample)
        else:
            seen.add(kind)
            yield sample
    yield from others


def _sample(row: Mapping[str, Any]) -> ShownSample:
    return ShownSample(
        prompt=str(row.get("prompt", "")),
        raw=str(row["raw"]),
        cleaned=str(row.get("cleaned", "")),
        flags_raw=_words(row.get("flags_raw")),
        flags_cleaned=_words(row.get("flags_cleaned")),
        finish_reason=str(row.get("finish_reason", "")),
    )


def _words(told: Any) -> tuple[str, ...]:
    return tuple(map(str, told)) if isinstance(told, list) else ()
