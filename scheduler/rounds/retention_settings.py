"""How long does what takes room stay? The table `[retention]` of roundhouse.toml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

KeptCheckpoints = Literal["none", "winners", "all"]
KEPT_CHECKPOINTS: tuple[KeptCheckpoints, ...] = get_args(KeptCheckpoints)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionSettings:
    """By default only states go from which no run can go on any more."""

    #: which kept states stay once no run can go on from them
    keep_checkpoints: KeptCheckpoints = "none"
    #: run folders of a round are cleared so many days after it ended; 0 for never
    keep_run_folders_days: float = 0.0
    #: those of all but the last so many ended rounds are; 0 for no limit
    keep_rounds: int = 0
    #: the oldest ones are, while results/ takes more; 0 for no limit
    max_results_gib: float = 0.0

    @property
    def clears_runs(self) -> bool:
        """Whether any rule is about more than kept states."""
        return bool(self.keep_run_folders_days or self.keep_rounds or self.max_results_gib)
