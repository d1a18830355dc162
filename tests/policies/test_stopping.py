"""In-run rules stop what is not worth finishing, and nothing else."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from policies._flight import Curve, Flight, Look, delta_se
from policies._stop_rules import DEFAULT_STOPS, Advised, StopRules
from policies._stopping import Broken, Hopeless, Noop, is_audited
from policies.evidence import Objective

LOSS = Objective(metric="loss", direction="minimize", unit="nat", min_effect=0.01)


def curve(*looks: tuple[int, float, float | None], digest: str | None = "d") -> Curve:
    """Looks of (step, loss, acc), the accuracy being the objective."""
    return Curve(
        looks=tuple(
            Look(step=step, loss=loss, acc=acc, value=acc, digest=digest and f"{digest}{step}")
            for step, loss, acc in looks
        )
    )


BASELINE = curve((0, 2.0, 0.25), (10, 1.5, 0.4), (20, 1.0, 0.6), (30, 0.9, 0.65), (40, 0.8, 0.7))


def flight(ours: Curve, **changes: Any) -> Flight:
    fields: dict[str, Any] = {"max_steps": 40, "delta_se": 2.0, "n_eval": 1000, "chance": 0.25}
    return Flight(curve=ours, baseline=BASELINE, **{**fields, **changes})


def until(whole: Curve, step: int) -> Curve:
    return Curve(looks=tuple(look for look in whole.looks if look.step <= step))


# no-op


def test_a_run_that_equals_the_baseline_bit_for_bit_at_its_first_look_is_a_no_op() -> None:
    reason = Noop().reason(flight(until(BASELINE, 10)))
    assert reason == "loss and scores equal the baseline's bit for bit at step 10"


@pytest.mark.parametrize(
    "ours",
    [
        curve((0, 2.0, 0.25)),
        curve((10, math.nextafter(1.5, 2), 0.4)),
        curve((10, 1.5, math.nextafter(0.4, 1))),
        curve((10, 1.5, 0.4), digest="other"),
        curve((10, 1.5, 0.4), digest=None),
        curve((15, 1.5, 0.4)),
        curve((10, 1.5, 0.4), (15, 1.4, 0.5)),
        Curve(),
    ],
    ids=["untrained", "loss", "acc", "scores", "no scores", "another step", "a later step", "nothing"],
)
def test_a_run_that_may_differ_is_no_no_op(ours: Curve) -> None:
    assert Noop().reason(flight(ours)) is None


def test_a_rounded_loss_is_no_proof_even_when_the_baseline_has_no_scores_either() -> None:
    silent = curve((10, 1.5, 0.4), digest=None)
    assert Noop().reason(replace(flight(silent), baseline=silent)) is None


def test_where_variants_act_late_more_looks_must_be_equal() -> None:
    assert Noop(looks=2).reason(flight(until(BASELINE, 10))) is None
    assert Noop(looks=2).reason(flight(until(BASELINE, 20))) is not None
    late = curve((10, 1.5, 0.4), (20, 1.01, 0.6))
    assert Noop().reason(flight(late)) is None


# broken


@pytest.mark.parametrize(
    ("ours", "words"),
    [
        (curve((10, math.nan, 0.4)), "loss is nan at step 10"),
        (curve((10, math.inf, 0.4)), "loss is inf at step 10"),
        (curve((10, 1.5, math.nan)), "acc is nan at step 10"),
        (curve((10, 4.51, 0.4)), "loss 4.51 is more than 3 times the baseline's 1.5 at step 10"),
        (
            curve((10, 1.6, 0.25), (20, 1.6, 0.26)),
            "accuracy 0.26 is that of a guess (0.25) at step 20, where the baseline has 0.6",
        ),
    ],
)
def test_what_does_not_train_is_broken(ours: Curve, words: str) -> None:
    assert Broken().reason(flight(ours)) == words


@pytest.mark.parametrize(
    "ours",
    [
        curve((10, 4.49, 0.4)),
        curve((15, 99.0, 0.4)),
        curve((10, 1.6, 0.25)),
        curve((10, 1.6, 0.25), (20, 1.5, 0.30)),
        curve((10, 1.6, 0.30), (20, 1.5, 0.25)),
        Curve(),
    ],
    ids=["below", "nothing to compare", "one look", "learns late", "once", "nothing"],
)
def test_what_is_only_bad_is_not_broken(ours: Curve) -> None:
    assert Broken().reason(flight(ours)) is None


def test_a_guess_is_no_failure_where_the_baseline_guesses_too_or_nobody_knows_what_a_guess_is() -> None:
    ours = curve((10, 1.6, 0.25), (20, 1.6, 0.25))
    guessing = curve((10, 1.5, 0.26), (20, 1.5, 0.27))
    assert Broken().reason(replace(flight(ours), baseline=guessing)) is None
    assert Broken().reason(flight(ours, chance=None)) is None
    assert Broken(chance=0.25).reason(flight(ours, chance=None)) is not None
    assert Broken(chance=0.1).reason(flight(ours)) is None
    # curves cross: before half of the steps nothing is said
    assert Broken().reason(flight(ours, max_steps=41)) is None


def test_a_baseline_loss_of_zero_breaks_nobody() -> None:
    zero = curve((10, 0.0, 0.4))
    assert Broken().reason(replace(flight(curve((10, 1.0, 0.4))), baseline=zero)) is None


# hopeless


def test_a_run_far_behind_that_does_not_catch_up_is_hopeless_from_half_of_its_steps() -> None:
    ours = curve((10, 1.5, 0.39), (20, 1.4, 0.5), (30, 1.4, 0.5))
    assert Hopeless().reason(flight(until(ours, 10))) is None
    reason = Hopeless().reason(flight(until(ours, 20)))
    assert reason == "-10pp at step 20 is more than 3 sd (2pp) behind, and was -1pp at step 10"


@pytest.mark.parametrize(
    ("ours", "changes"),
    [
        (curve((10, 1.5, 0.25), (20, 1.4, 0.5)), {}),
        (curve((10, 1.5, 0.39), (20, 1.4, 0.55)), {}),
        (curve((10, 1.5, 0.39), (20, 1.4, 0.5)), {"delta_se": None}),
        (curve((10, 1.5, 0.39), (20, 1.4, 0.5)), {"max_steps": None}),
        (curve((10, 1.5, 0.39), (20, 1.4, 0.5)), {"max_steps": 41}),
        (curve((20, 1.4, 0.5)), {}),
    ],
    ids=["closing", "within 3 sd", "noise unknown", "length unknown", "too early", "no earlier look"],
)
def test_a_run_that_may_still_win_is_not_hopeless(ours: Curve, changes: dict[str, Any]) -> None:
    assert Hopeless().reason(flight(ours, **changes)) is None


def test_behind_means_a_higher_loss_where_a_loss_is_the_objective() -> None:
    def losses(*values: float) -> Curve:
        return Curve(looks=tuple(Look(step=10 * i, loss=v, value=v) for i, v in enumerate(values, start=1)))

    low, high = losses(1.0, 0.8), losses(1.1, 1.2)
    seen = Flight(curve=high, baseline=low, objective=LOSS, max_steps=40, delta_se=0.05)
    assert "-0.4 nat at step 20" in (Hopeless().reason(seen) or "")
    assert Hopeless().reason(replace(seen, curve=low, baseline=high)) is None


def test_the_noise_of_a_delta_is_the_moderated_one_of_two_runs() -> None:
    assert delta_se("quick", Objective(), baseline={0: 0.5}, examples=None) == pytest.approx(2**0.5 * 2.2)
    assert delta_se("medium", Objective(), baseline={}, examples=None) == pytest.approx(2**0.5 * 1.7)
    tiny = delta_se("medium", Objective(), baseline={}, examples=8)
    assert tiny is not None
    assert tiny > 2**0.5 * 1.7
    assert delta_se("quick", LOSS, baseline={0: 1.0}, examples=None) is None
    repeated = delta_se("quick", LOSS, baseline={0: 1.0, 1: 1.1, 2: 1.2}, examples=None)
    assert repeated == pytest.approx(2**0.5 * 0.1)


def test_the_audit_is_the_same_share_of_runs_every_time() -> None:
    keys = [f"key-{number}" for number in range(4000)]
    audited = [key for key in keys if is_audited(key, 0.05)]
    assert 140 < len(audited) < 260
    assert audited == [key for key in keys if is_audited(key, 0.05)]
    assert not any(is_audited(key, 0.0) for key in keys)
    assert all(is_audited(key, 1.0) for key in keys)


# options


def test_the_safe_rules_are_on_by_default_and_the_costly_ones_off() -> None:
    assert [rule.name for rule in StopRules.of({"min_delta": 1}).own] == ["broken", "noop"]
    assert set(DEFAULT_STOPS) == {"noop", "broken"}
    assert StopRules.of({"stops": []}) == StopRules()


def test_rules_take_their_options_by_name() -> None:
    rules = StopRules.of(
        {
            "stops": ["hopeless", "noop", "optuna:MedianPruner"],
            "stop_options": {
                "hopeless": {"sd": 4.0},
                "noop": {"looks": 2},
                "optuna:MedianPruner": {"n_startup_trials": 3},
            },
        }
    )
    assert rules.own == (Noop(looks=2), Hopeless(sd=4.0))
    assert rules.advised == (Advised(pruner="MedianPruner", options={"n_startup_trials": 3}),)


@pytest.mark.parametrize(
    ("stop", "needs"),
    [
        (Advised(pruner="MedianPruner"), False),
        (Advised(pruner="WilcoxonPruner"), True),
    ],
)
def test_scores_are_kept_only_for_rules_that_compare_examples(stop: Advised, needs: bool) -> None:
    assert StopRules(advised=(stop,)).needs_scores is needs


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"stops": "noop"}, "stops: must be a list of rules: broken, noop, hopeless, optuna:NAME"),
        ({"stops": ["nop"]}, "stops: no rule is called 'nop'; did you mean 'noop'?"),
        ({"stops": ["noop", "noop"]}, "stops: a rule is named twice"),
        ({"stop_options": 3}, "stop_options: must be a table of options by rule (found 3)"),
        ({"stop_options": {"sd": 3}}, "stop_options: must be a table of options by rule"),
        ({"stop_options": {"hopeless": {}}}, "stop_options: 'hopeless' is not among the stops"),
        ({"stop_options": {"noop": {"look": 2}}}, "noop.look: unknown option; did you mean 'looks'?"),
        ({"stop_options": {"noop": {"looks": 0}}}, "noop.looks: must be a whole number of at least 1"),
        ({"stop_options": {"broken": {"loss_ratio": 1}}}, "broken.loss_ratio: must be a number above 1"),
        ({"stop_options": {"broken": {"chance": 1.5}}}, "broken.chance: must be at least 0 and below 1"),
        (
            {"stops": ["hopeless"], "stop_options": {"hopeless": {"from_share": 0.2}}},
            "hopeless.from_share: must be from 0.5 to 1 (found 0.2)",
        ),
        (
            {"stops": ["hopeless"], "stop_options": {"hopeless": {"audit_share": 2}}},
            "hopeless.audit_share: must be from 0 to 1 (found 2)",
        ),
    ],
)
def test_a_wrong_option_is_refused_with_its_place(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError) as raised:
        StopRules.of(options)
    assert problem in str(raised.value)


def test_every_problem_is_told_at_once() -> None:
    options = {"stop_options": {"noop": {"looks": 0}, "broken": {"loss_ratio": 0.5}}}
    with pytest.raises(ValueError) as raised:
        StopRules.of(options)
    assert len(str(raised.value).splitlines()) == 2
