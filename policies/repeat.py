"""How far apart do runs of one config end? Every config runs `seeds` slots at every stage; nothing is judged.

For tasks without variants, which measure the noise of their baseline; variants are measured alike.
"""

from __future__ import annotations

from dataclasses import dataclass

from policies._measured import Measured

#: slots beyond it would only measure what is measured
MOST_SEEDS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(Measured):
    """Repeat every config."""

    #: slots from 0 on that run at every stage; beyond the listed seeds they have seeds of their own
    seeds: int = 5

    def __post_init__(self) -> None:
        if type(self.seeds) is not int or not 1 <= self.seeds <= MOST_SEEDS:
            raise ValueError(f"seeds: must be a whole number from 1 to {MOST_SEEDS} (found {self.seeds!r})")

    def slots(self, stage: str, listed: int) -> tuple[int, ...]:
        """As many as were asked for, however many are listed."""
        return tuple(range(self.seeds))
