"""What may be concluded from a band, and what is to be done next? Both follow from one status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from scheduler.judging.band import ConfigBand, Options

Status = Literal["smoke", "incomplete", "unread", "complete"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The status of a band, with the decision and the next actions that it stands for."""

    status: Status
    decision: str
    next_actions: tuple[str, ...]

    @property
    def is_for_conclusions(self) -> bool:
        return self.status == "complete"


def standing_of(configs: Sequence[ConfigBand], options: Options) -> Standing:
    """The first of these that applies: smoke, incomplete, unread, complete."""
    smoke = [run.name for each in configs for run in each.runs if _is_smoke(each, run.seed, options)]
    if smoke:
        return Standing(
            status="smoke",
            decision=f"Not for conclusions: {', '.join(smoke)} saw fewer than {options.smoke_tokens} tokens.",
            next_actions=(
                "Look at the curves and the samples for what is broken, and at nothing else.",
                f"Run the band at {options.smoke_tokens} tokens or more.",
            ),
        )
    missing = {
        each.config: _missing(each, options) for each in configs if len(each.runs) < len(options.seeds)
    }
    if missing or not configs:
        runs = (f"{config}: run seeds {', '.join(map(str, seeds))}" for config, seeds in missing.items())
        return Standing(
            status="incomplete",
            decision="No band yet: too few runs have ended.",
            next_actions=tuple(runs) or ("Run the seeds that were asked for.",),
        )
    unread = [each.config for each in configs if any(s.late is None for s in each.shapes)]
    if unread:
        return Standing(
            status="unread",
            decision="The final figures have a band; the shape of the curves is not known.",
            next_actions=(
                f"{', '.join(unread)}: evaluate at least {options.least_points} times in each window "
                f"(early {_window(options.early)}, late {_window(options.late)} of the run).",
            ),
        )
    return Standing(
        status="complete",
        decision="A new run of the same config inside its interval is no news; one outside of it is.",
        next_actions=(
            "Hold a change against this band with several seeds of its own (variance first), not one run.",
            "Measure the band anew where data, budget, batch size or versions change.",
        ),
    )


def _is_smoke(each: ConfigBand, seed: int | None, options: Options) -> bool:
    if not options.smoke_tokens:
        return False
    seen = (
        max((point.tokens for point in run.curve if point.tokens is not None), default=None)
        for run in each.runs
        if run.seed == seed
    )
    return any(tokens is not None and tokens < options.smoke_tokens for tokens in seen)


def _missing(each: ConfigBand, options: Options) -> list[int]:
    """As many seeds as are missing, of those asked for that have not run."""
    have = {run.seed for run in each.runs}
    return [seed for seed in options.seeds if seed not in have][: len(options.seeds) - len(each.runs)]


def _window(window: Sequence[float]) -> str:
    return f"{window[0]:.0%} to {window[1]:.0%}"
