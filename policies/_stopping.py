"""Is it worth letting this run go on? A rule answers with the reason to stop it, or with None.

None of the answers is evidence: a stopped run has no value that a delta may be drawn from.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol

from policies._flight import Flight, Look

#: so many standard errors above chance an accuracy is above it
ABOVE_CHANCE_SE = 3.0
#: a slow start is no failure: an accuracy is at chance when it is so in so many looks in a row, ...
CHANCE_LOOKS = 2
#: ... and this share of the steps is done, where their number is known
CHANCE_FROM_SHARE = 0.5


class Rule(Protocol):
    """One in-run rule with its options."""

    @property
    def name(self) -> str: ...

    def reason(self, flight: Flight) -> str | None:
        """Why the run should stop now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noop:
    """The variant changes nothing: loss and scores equal the baseline's to the last bit."""

    name: ClassVar[str] = "noop"
    #: so many first looks must be equal; more than one where variants act late
    looks: int = 1

    def __post_init__(self) -> None:
        if not _is_whole(self.looks) or self.looks < 1:
            raise ValueError(f"looks: must be a whole number of at least 1 (found {self.looks!r})")

    def reason(self, flight: Flight) -> str | None:
        """Only a digest of the scores can tell: a share, or a rounded loss, repeats by chance."""
        pairs = flight.pairs
        if len(pairs) < self.looks or len(pairs) != len(flight.curve.trained):
            return None
        if not all(_is_same_look(ours, theirs) for ours, theirs in pairs):
            return None
        return f"loss and scores equal the baseline's bit for bit at step {pairs[-1][0].step}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The variant does not train: no number, a loss far above the baseline's, or mere guesses."""

    name: ClassVar[str] = "broken"
    #: times the baseline's loss at the same step
    loss_ratio: float = 3.0
    #: accuracy of a guess, 0..1; None takes what the trainer tells
    chance: float | None = None

    def __post_init__(self) -> None:
        if not _is_number(self.loss_ratio) or not self.loss_ratio > 1:
            raise ValueError(f"loss_ratio: must be a number above 1 (found {self.loss_ratio!r})")
        if self.chance is not None and not (_is_number(self.chance) and 0 <= self.chance < 1):
            raise ValueError(f"chance: must be at least 0 and below 1 (found {self.chance!r})")

    def reason(self, flight: Flight) -> str | None:
        if not flight.curve.looks:
            return None
        last = flight.curve.looks[-1]
        for name, reading in (("loss", last.loss), (flight.objective.metric, last.value)):
            if reading is not None and not math.isfinite(reading):
                return f"{name} is {reading} at step {last.step}"
        return self._loss(flight) or self._guesses(flight)

    def _loss(self, flight: Flight) -> str | None:
        if flight.now is None:
            return None
        ours, theirs = flight.now
        if ours.loss is None or theirs.loss is None or not 0 < self.loss_ratio * theirs.loss < ours.loss:
            return None
        return (
            f"loss {ours.loss:.4g} is more than {self.loss_ratio:g} times"
            f" the baseline's {theirs.loss:.4g} at step {ours.step}"
        )

    def _guesses(self, flight: Flight) -> str | None:
        chance = flight.chance if self.chance is None else self.chance
        last = flight.pairs[-CHANCE_LOOKS:]
        if chance is None or not flight.n_eval or flight.now is None or len(last) < CHANCE_LOOKS:
            return None
        if flight.now[0].step < CHANCE_FROM_SHARE * (flight.max_steps or 0):
            return None
        high = chance + ABOVE_CHANCE_SE * math.sqrt(max(chance * (1 - chance), 0.0) / flight.n_eval)
        if not all(_is_between(ours.acc, high, theirs.acc) for ours, theirs in last):
            return None
        ours, theirs = flight.now
        return (
            f"accuracy {ours.acc:.4g} is that of a guess ({chance:.4g}) at step {ours.step},"
            f" where the baseline has {theirs.acc:.4g}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Hopeless:
    """The variant is far behind and does not catch up. Curves cross, so this costs winners and is audited."""

    name: ClassVar[str] = "hopeless"
    #: standard errors behind the baseline
    sd: float = 3.0
    #: share of the steps before which nothing is hopeless
    from_share: float = 0.5
    #: share of its stops that run on, to tell what the rule costs
    audit_share: float = 0.05

    def __post_init__(self) -> None:
        if not _is_number(self.sd) or not self.sd > 0:
            raise ValueError(f"sd: must be a number above 0 (found {self.sd!r})")
        if not _is_number(self.from_share) or not 0.5 <= self.from_share <= 1:
            raise ValueError(f"from_share: must be from 0.5 to 1 (found {self.from_share!r})")
        if not _is_number(self.audit_share) or not 0 <= self.audit_share <= 1:
            raise ValueError(f"audit_share: must be from 0 to 1 (found {self.audit_share!r})")

    def reason(self, flight: Flight) -> str | None:
        """The gap is compared with what it was at half of the steps so far, where the noise is less a part of
        it than between two neighbours.
        """
        if flight.delta_se is None or not flight.max_steps or flight.now is None:
            return None
        step = flight.now[0].step
        gaps = dict(_gaps(flight))
        before = [earlier for earlier in gaps if earlier <= step / 2]
        if step < self.from_share * flight.max_steps or step not in gaps or not before:
            return None
        gap, then = gaps[step], gaps[before[-1]]
        if gap >= -self.sd * flight.delta_se or gap > then:
            return None
        unit = "pp" if flight.objective.unit == "pp" else f" {flight.objective.unit}"
        return (
            f"{gap:+.3g}{unit} at step {step} is more than {self.sd:g} sd"
            f" ({flight.delta_se:.3g}{unit}) behind, and was {then:+.3g}{unit} at step {before[-1]}"
        )


def is_audited(content_key: str, share: float) -> bool:
    """Whether a stop of this run is waived to learn what becomes of it. The same run always answers alike."""
    digest = hashlib.sha256(f"audit {content_key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def _gaps(flight: Flight) -> Iterator[tuple[int, float]]:
    """How far ahead of the baseline the run is, by step, in the objective's unit."""
    for ours, theirs in flight.pairs:
        if ours.value is not None and theirs.value is not None:
            yield ours.step, flight.objective.gain(ours.value, theirs.value)


def _is_same_look(ours: Look, theirs: Look) -> bool:
    return ours.digest is not None and (ours.digest, ours.loss, ours.value) == (
        theirs.digest,
        theirs.loss,
        theirs.value,
    )


def _is_between(low: float | None, middle: float, high: float | None) -> bool:
    return low is not None and high is not None and low <= middle < high


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
