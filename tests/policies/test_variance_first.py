"""Five seeds of the baseline, three of a variant and two more where they are near: how often is it wrong?"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from policies import make_policy
from policies.evidence import BASELINE, Objective, Observation, Verdict
from policies.steps import Judge, Run, TaskView
from policies.variance_first import Policy

LOSS = Objective(metric="loss", direction="minimize", unit="nat", min_effect=0.01)
SEEDS = (42, 137, 256, 512, 1024)
#: five baseline runs with an sd of .0126
BASE = (0.7758 - 0.0126 * 1.2, 0.7758 - 0.0126 * 0.6, 0.7758, 0.7758 + 0.0126 * 0.6, 0.7758 + 0.0126 * 1.2)


def ended(config: str, slot: int, value: float | None, **more: object) -> Observation:
    fields = {"status": "ok", "protocol": "p", "value": value, "loss": value, "stage": "quick", **more}
    return Observation(config=config, slot=slot, seed=SEEDS[slot], **fields)


def searched(
    value: Callable[[str, int], float | Observation], variants: tuple[str, ...], policy: Policy | None = None
) -> tuple[list[tuple[str, int]], dict[str, Verdict]]:
    """The runs in order and the verdicts of a whole task."""
    policy = policy or Policy()
    runs: dict[str, list[Observation]] = {name: [] for name in (BASELINE, *variants)}
    order: list[tuple[str, int]] = []
    verdicts: dict[str, Verdict] = {}
    while True:
        view = TaskView(
            objective=LOSS,
            stages=("quick",),
            listed_seeds=5,
            baseline=tuple(runs[BASELINE]),
            variants={name: tuple(runs[name]) for name in variants},
            verdicts={name: verdict.name for name, verdict in verdicts.items()},
        )
        ahead = {(run.config, run.slot) for run in policy.possible_runs(view)}
        match policy.next(view):
            case Run(stage="quick", config=config, slot=slot):
                assert (config, slot) in ahead
                found = value(config, slot)
                runs[config].append(found if isinstance(found, Observation) else ended(config, slot, found))
                order.append((config, slot))
            case Judge(config=config, verdict=verdict):
                assert not ahead
                verdicts[config] = verdict
            case None:
                return order, verdicts
            case other:
                raise AssertionError(other)


def shifted(by: float) -> Callable[[str, int], float]:
    return lambda config, slot: BASE[slot] + (0.0 if config == BASELINE else by)


def test_the_baseline_runs_first_and_a_far_variant_needs_three_seeds() -> None:
    order, verdicts = searched(shifted(-0.063), ("muon",))
    assert order == [(BASELINE, slot) for slot in range(5)] + [("muon", slot) for slot in range(3)]
    verdict = verdicts["muon"]
    assert verdict.name == "WINNER"
    assert verdict.raw_gain is not None
    assert verdict.raw_gain > 0.063
    assert (verdict.variant_seeds, verdict.baseline_seeds) == (3, 5)
    assert verdict.reason.startswith("+5.90 sigma (+0.07056 nat, 3 against 5 seeds): adjusted p = ")


@pytest.mark.parametrize(
    ("by", "name"), [(-0.015, "SUGGESTIVE"), (-0.005, "NEUTRAL"), (0.011, "INCONCLUSIVE")]
)
def test_a_near_variant_gets_two_more_seeds_and_is_no_winner(by: float, name: str) -> None:
    order, verdicts = searched(shifted(by), ("v",))
    assert [slot for config, slot in order if config == "v"] == [0, 1, 2, 3, 4]
    assert verdicts["v"].name == name


def test_a_far_worse_variant_is_a_loser_after_three_seeds() -> None:
    order, verdicts = searched(shifted(0.06), ("v",))
    assert len(order) == 8
    assert verdicts["v"].name == "LOSER"


def test_the_two_more_are_run_whatever_the_first_of_them_says() -> None:
    order, _ = searched(lambda c, s: BASE[s] - (0.2 if (c, s) == ("v", 3) else 0.0), ("v",))
    assert ("v", 4) in order


def test_two_sigma_alone_make_no_winner_among_many() -> None:
    names = tuple(f"v{n}" for n in range(12))
    _, verdicts = searched(shifted(-0.019), names)
    assert {verdict.name for verdict in verdicts.values()} == {"SUGGESTIVE"}
    assert "corrected for all variants and looks" in verdicts["v0"].reason


def test_a_null_is_seldom_a_winner() -> None:
    draw = random.Random(7)
    wrong = sum(
        any(
            verdict.name == "WINNER"
            for verdict in searched(lambda config, slot: draw.gauss(0.77, 0.01), ("a", "b"))[1].values()
        )
        for _ in range(400)
    )
    assert wrong / 400 < 0.10


def test_a_broken_variant_is_not_repeated_and_infrastructure_is_nobodys_fault() -> None:
    def failing(config: str, slot: int) -> float | Observation:
        if config == BASELINE:
            return BASE[slot]
        how = "nan" if config == "broken" else "disk"
        return ended(config, slot, None, status="failed", failure_class=how)

    order, verdicts = searched(failing, ("broken", "unlucky"))
    assert [config for config, _ in order].count("broken") == 1
    assert verdicts["broken"].name == "LOSER"
    assert verdicts["unlucky"].name == "INCONCLUSIVE"
    assert verdicts["unlucky"].reason == "too few runs of the variant: infrastructure: disk"


def test_a_metric_that_never_changes_judges_nobody() -> None:
    _, verdicts = searched(lambda config, slot: 0.5, ("v",))
    assert "every baseline run has the same value" in verdicts["v"].reason


def test_a_run_that_the_clock_ended_makes_no_winner() -> None:
    def late(config: str, slot: int) -> Observation:
        return ended(config, slot, shifted(-0.1)(config, slot), status="timed_out")

    _, verdicts = searched(late, ("v",))
    assert verdicts["v"].name == "SUGGESTIVE"
    assert verdicts["v"].reason.endswith("the clock ended a run, so speed counts too")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"baseline_seeds": 3}, "baseline_seeds: must be a whole number of at least 4"),
        ({"seeds": 1}, "seeds: must be a whole number of at least 2"),
        ({"more_seeds": -1}, "more_seeds: must be a whole number of at least 0"),
        ({"suggestive_sigmas": 0}, "suggestive_sigmas: must be greater than 0"),
        ({"winner_sigmas": 0.5}, "winner_sigmas: must be at least suggestive_sigmas, 1"),
        ({"alpha": 1}, "alpha: must lie between 0 and 1"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_policy("variance_first", options)
