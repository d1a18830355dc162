"""What do search rounds look like? A simulated world fitted to the ledgers of real ones, and harsher worlds.

Values are scores in percentage points. Row 0 of a round is the baseline, the others are its variants; columns
are slots, that is seeds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

QUICK_SECONDS = 100.0
MEDIUM_SECONDS = 300.0
#: a no-op is stopped at its first look, a fifth of the way
NO_OP_SECONDS = 20.0
#: seeds drawn for each config; a policy that asks for more is told so
SLOTS = 10
TRUE_WINNER_PP = 2.0
FALSE_WINNER_PP = 0.0
DISCORDANCE = 0.10


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """How rounds are drawn."""

    name: str = "main"
    #: numbers of variants, equally likely
    variants: tuple[int, ...] = (6, 12, 24)
    #: (share, effect in pp); what is missing to 1 does exactly nothing, bit for bit
    effects: tuple[tuple[float, float], ...] = (
        (0.50, 0.0),
        (0.05, -2.0),
        (0.05, -10.0),
        (0.075, -1.0),
        (0.075, 1.0),
        (0.10, 3.0),
        (0.05, 8.0),
    )
    quick_sd_pp: float = 1.87
    medium_sd_pp: float = 1.4
    #: sd of the log of a task's noise factor
    noise_spread: float = 0.6
    #: quick effect = slope * effect + N(0, mismatch)
    quick_slope: float = 0.7
    quick_mismatch_pp: float = 1.0
    seed_correlation: float = 0.2
    #: sizes of the evaluation set, equally likely
    examples: Sequence[int] = range(24, 5001)
    accuracy: tuple[float, float] = (0.1, 0.7)
    growth_pp: tuple[float, float] = (3.8, 2.8)
    #: degrees of freedom of the noise; None for normal noise
    tails_df: float | None = None


MAIN = World()


def _with_winners(factor: float) -> tuple[tuple[float, float], ...]:
    """The effects with the winners' share changed, what they lose going to no effect."""
    shares = {effect: share * (factor if effect >= TRUE_WINNER_PP else 1.0) for share, effect in MAIN.effects}
    lost = sum(share for share, _ in MAIN.effects) - sum(shares.values())
    shares[0.0] += lost
    return tuple((share, effect) for effect, share in shares.items())


SCENARIOS = (
    MAIN,
    dataclasses.replace(MAIN, name="winners half as common", effects=_with_winners(0.5)),
    dataclasses.replace(MAIN, name="no effects at all", effects=((0.9, 0.0),)),
    dataclasses.replace(MAIN, name="noise x2", quick_sd_pp=3.74, medium_sd_pp=2.8),
    dataclasses.replace(MAIN, name="noise x0.5", quick_sd_pp=0.935, medium_sd_pp=0.7),
    dataclasses.replace(MAIN, name="seed correlation .6", seed_correlation=0.6),
    dataclasses.replace(MAIN, name="quick a weak proxy", quick_mismatch_pp=3.0),
    dataclasses.replace(MAIN, name="tiny evals", examples=range(24, 129)),
    dataclasses.replace(MAIN, name="large evals", examples=range(1000, 5001)),
    dataclasses.replace(MAIN, name="evals of 24 128 256 1000 5000", examples=(24, 128, 256, 1000, 5000)),
    dataclasses.replace(MAIN, name="heavy tails", tails_df=3.0),
    dataclasses.replace(MAIN, name="4 variants", variants=(4,)),
    dataclasses.replace(MAIN, name="48 variants", variants=(48,)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedRound:
    """One task with everything that would be seen if every run were made."""

    #: true effect at medium of each config; the baseline's is 0
    effects: Floats
    is_no_op: NDArray[np.bool_]
    quick: Floats
    medium: Floats
    examples: int
    #: rounds of one task have its number, its baseline's runs, its noise and its luck with seeds
    task: int = 0

    @property
    def variants(self) -> range:
        """Rows of the variants."""
        return range(1, len(self.effects))


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What a search says, and what it cost."""

    #: claimed gain in pp by row; None where a winner is named without one
    winners: Mapping[int, float | None]
    seconds: float
    #: the gains as measured, where the claimed ones are shrunk
    raw: Mapping[int, float | None] = field(default_factory=dict)


def rounds(
    world: World, count: int, seed: int, part: int = 0, *, per_task: int = 1
) -> Iterator[SimulatedRound]:
    """The same rounds for the same seed and part, so that searches are compared on the same luck.

    So many `per_task` follow one another, each with variants of its own.
    """
    random = np.random.default_rng([seed, part, *map(ord, world.name)])
    for number in range(count):
        if number % per_task == 0:
            task = _Task(number=number // per_task)
        yield _round(world, random, task)


@dataclass(slots=True, kw_only=True)
class _Task:
    """What the rounds of a task share, once the first of them is drawn."""

    number: int
    examples: int = 0
    factor: float = 0.0
    start: float = 0.0
    grown: float = 0.0
    #: by stage: the luck of each seed, and the baseline's scores
    luck: dict[str, Floats] = field(default_factory=dict)
    baseline: dict[str, Floats] = field(default_factory=dict)


def _round(world: World, random: np.random.Generator, task: _Task) -> SimulatedRound:
    count = int(random.choice(world.variants))
    shares = [share for share, _ in world.effects]
    kinds = random.choice(len(shares) + 1, size=count, p=[*shares, max(0.0, 1.0 - sum(shares))])
    sizes = np.array([*(effect for _, effect in world.effects), 0.0])
    effects = np.concatenate([[0.0], sizes[kinds]])
    is_no_op = np.concatenate([[False], kinds == len(shares)])
    mismatch = random.normal(0.0, world.quick_mismatch_pp, count + 1)
    mismatch[0] = 0.0
    if not task.examples:
        task.examples = int(world.examples[random.integers(len(world.examples))])
        task.factor = float(random.lognormal(0.0, world.noise_spread))
        task.start = 100.0 * random.uniform(*world.accuracy)
        task.grown = task.start + random.normal(*world.growth_pp)
    quick = task.start + world.quick_slope * effects + mismatch
    return SimulatedRound(
        effects=effects,
        is_no_op=is_no_op,
        quick=_runs(world, random, task, "quick", quick, world.quick_sd_pp, is_no_op),
        medium=_runs(world, random, task, "medium", task.grown + effects, world.medium_sd_pp, is_no_op),
        examples=task.examples,
        task=task.number,
    )


def _runs(
    world: World,
    random: np.random.Generator,
    task: _Task,
    stage: str,
    means: Floats,
    sd: float,
    is_no_op: NDArray[np.bool_],
) -> Floats:
    """Scores by config and slot, in whole examples: mean, luck with the seed, luck with the examples."""
    shape = (len(means), SLOTS)
    if stage not in task.luck:
        task.luck[stage] = _noise(world, random, (1, SLOTS))
    shared = np.sqrt(world.seed_correlation) * task.luck[stage]
    luck = sd * task.factor * (shared + np.sqrt(1.0 - world.seed_correlation) * _noise(world, random, shape))
    # two runs on one set disagree on a share of it: each carries half of that variance
    scored = random.normal(0.0, 100.0 * np.sqrt(DISCORDANCE / (2 * task.examples)), shape)
    values = np.round((means[:, None] + luck + scored) / 100.0 * task.examples) / task.examples * 100.0
    # the baseline's runs of a round before are the same runs
    values[0] = task.baseline.setdefault(stage, values[0].copy())
    values[is_no_op] = values[0]
    return np.asarray(values)


def _noise(world: World, random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    if world.tails_df is None:
        return random.standard_normal(shape)
    scale = np.sqrt((world.tails_df - 2.0) / world.tails_df)
    return np.asarray(random.standard_t(world.tails_df, shape) * scale)
