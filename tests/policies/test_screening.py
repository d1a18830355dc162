"""Selection: prune the weak, promote the better half, freeze the few."""

from __future__ import annotations

import math

import pytest

from policies._confirming import baseline_slots
from policies._delta import Estimate
from policies._looks import SAFE_SHARE
from policies._screening import (
    Screened,
    ScreenRule,
    baseline_quick_slots,
    confirm_set,
    promoted,
)

QUICK_SE = 2.2 * math.sqrt(2 - 0.08)
MEDIUM_SE = 1.7 * math.sqrt(2 - 0.08)


def variant(
    name: str, quick: float | None, medium: float | None = None, stopped: str | None = None
) -> Screened:
    def measured(delta: float | None, se: float) -> Estimate | None:
        if delta is None:
            return None
        return Estimate(delta=delta, se=se, df=4, variant_seeds=1, baseline_seeds=1)

    return Screened(
        name=name, quick=measured(quick, QUICK_SE), medium=measured(medium, MEDIUM_SE), stopped=stopped
    )


@pytest.mark.parametrize(
    ("rule", "delta", "is_weak"),
    [
        (ScreenRule(), -3.0, True),
        (ScreenRule(), 6.0, False),
        (ScreenRule(rule="threshold", min_delta=0.3), 0.29, True),
        (ScreenRule(rule="threshold", min_delta=0.3), 0.31, False),
    ],
)
def test_the_weak_are_pruned_by_the_rule_named(rule: ScreenRule, delta: float, is_weak: bool) -> None:
    assert (rule.why_weak(variant("v", delta)) is not None) is is_weak


def test_the_posterior_prunes_at_its_probability() -> None:
    chances = {delta: variant("v", delta).posterior().at_least(1.0) for delta in (-2, -1, 0, 1, 2)}
    for delta, chance in chances.items():
        assert (ScreenRule().why_weak(variant("v", delta)) is not None) is (chance < 0.15)
    assert min(chances.values()) < 0.15 < max(chances.values())


@pytest.mark.parametrize("rule", ["posterior", "threshold"])
def test_a_variant_that_was_stopped_does_not_go_on_whatever_its_delta(rule: str) -> None:
    why = ScreenRule(rule=rule).why_weak(variant("v", 9.0, stopped="broken: nan"))  # type: ignore[arg-type]
    assert why == "broken: nan"


def test_a_variant_without_a_delta_cannot_go_on() -> None:
    assert ScreenRule().why_weak(variant("v", None)) == "no quick delta"


def test_what_was_decided_after_quick_stays_so_when_medium_has_run() -> None:
    late = variant("late", 3.0, medium=-9.0)
    assert ScreenRule().why_weak(late) is None
    assert promoted([late, variant("a", 2.0), variant("b", 1.0)], screened=3) == ("late", "a")


def test_the_better_half_is_promoted_best_first() -> None:
    variants = [variant(name, delta) for name, delta in zip("abcdef", (0, 3, 1, 2, -1, 0.5), strict=True)]
    assert promoted(variants, screened=6) == ("b", "d", "c")
    assert promoted(variants, screened=7) == ("b", "d", "c", "f")


def test_at_least_two_are_promoted() -> None:
    assert promoted([variant("a", 0), variant("b", 1), variant("c", 2)], screened=2) == ("c", "b")


def test_everyone_likely_to_be_worth_it_is_promoted() -> None:
    variants = [variant(name, 12.0) for name in "abcde"]
    assert promoted(variants, screened=6) == tuple("abcde")


def test_the_frozen_set_holds_at_most_four() -> None:
    candidates = [variant(name, 6.0, 6.0 + index) for index, name in enumerate("abcdef")]
    assert confirm_set(candidates) == ("f", "e", "d", "c")


def test_the_frozen_set_holds_nobody_without_a_chance() -> None:
    candidates = [variant("a", 5.0, 5.0), variant("b", 5.0, -3.0), variant("c", 9.0), variant("d", 0.0, 0.0)]
    assert confirm_set(candidates) == ("a",)
    assert candidates[1].posterior().at_least(1.0) < 0.35 <= candidates[0].posterior().at_least(1.0)


def test_a_stopped_variant_is_never_confirmed() -> None:
    assert confirm_set([variant("a", 9.0, 9.0, stopped="oom")]) == ()


@pytest.mark.parametrize(("variants", "slots"), [(15, (0,)), (16, (0, 8))])
def test_many_variants_are_worth_a_second_baseline(variants: int, slots: tuple[int, ...]) -> None:
    assert baseline_quick_slots(variants) == slots


def test_no_seed_that_screens_is_ever_read_by_a_verdict() -> None:
    screens = {slot for variants in (4, 16, 48) for slot in baseline_quick_slots(variants)}
    assert screens.isdisjoint(slot for looks in SAFE_SHARE for slot in baseline_slots(looks))
