"""The table of verdicts: what each word may be said of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies._confirming import Confirmed
from policies._delta import Estimate
from policies._looks import Rejection
from policies._planning import Design
from policies._posterior import medium_reading, posterior, quick_reading
from policies._variance import Noise, NoisePrior
from policies._verdict import Confirmation, Evidence, Screening, judge
from policies.evidence import Objective, Verdict

PP = Objective()
NAT = Objective(metric="loss", direction="minimize", unit="nat", min_effect=0.01)
DESIGN = Design(noise=NoisePrior(sd=1.7, df=4), candidates=2)
CLEAR = Rejection(look=2, adjusted_p=0.004)


def measured(delta: float, se: float, seeds: int = 3, *, is_measured: bool = True) -> Estimate:
    return Estimate(
        delta=delta, se=se, df=9, variant_seeds=seeds, baseline_seeds=seeds + 1, is_measured=is_measured
    )


def confirmation(
    delta: float,
    se: float = 1.2,
    seeds: int = 3,
    *,
    sd: float = 1.7,
    is_measured: bool = True,
    **more: Any,
) -> Confirmation:
    estimate = measured(delta, se, seeds, is_measured=is_measured)
    effect = posterior([medium_reading(estimate)])
    fresh = Confirmed(estimate=estimate, noise=Noise(variance=sd**2, df=9), posterior=effect, steering=effect)
    return Confirmation(fresh=fresh, **more)


def screening(delta: float, se: float = 3.0, *, has_worse_loss: bool = False) -> Screening:
    quick = measured(delta, se, 1)
    return Screening(quick=quick, posterior=posterior([quick_reading(quick)]), has_worse_loss=has_worse_loss)


def verdict(**fields: Any) -> Verdict:
    return judge(Evidence(**{"objective": PP, "design": DESIGN, **fields}))


WON = confirmation(5.0, rejection=CLEAR)


def test_a_winner_is_rejected_large_and_comparable() -> None:
    judged = verdict(confirmation=WON)
    assert judged.name == "WINNER"
    assert judged.reason == "adjusted p = 0.004 <= 0.1 at look 2, 3 fresh seeds"
    assert judged.adjusted_p == 0.004


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        pytest.param({"confirmation": confirmation(5.0)}, "SUGGESTIVE", id="not rejected"),
        pytest.param(
            {"confirmation": confirmation(5.0, rejection=Rejection(look=3, adjusted_p=0.11))},
            "SUGGESTIVE",
            id="rejected at another alpha",
        ),
        pytest.param(
            {"confirmation": confirmation(0.4, 0.05, rejection=CLEAR)}, "NEUTRAL", id="delta too small"
        ),
        pytest.param(
            {"confirmation": confirmation(0.9, 0.6, rejection=CLEAR)},
            "INCONCLUSIVE",
            id="shrunk gain too small",
        ),
        pytest.param({"confirmation": WON, "caps": ("eval_limited",)}, "SUGGESTIVE", id="eval_limited"),
        pytest.param({"confirmation": WON, "caps": ("speed effect",)}, "SUGGESTIVE", id="not comparable"),
        pytest.param({"confirmation": WON, "invalid": "a leak"}, "INCONCLUSIVE", id="leak"),
        pytest.param({"screening": screening(14.0)}, "SUGGESTIVE", id="screened only"),
    ],
)
def test_anything_less_is_no_winner(fields: dict[str, Any], name: str) -> None:
    assert verdict(**fields).name == name


def test_noise_that_is_a_guess_never_makes_a_winner() -> None:
    guessed = confirmation(5.0, rejection=CLEAR, is_measured=False)
    judged = verdict(objective=NAT, confirmation=guessed)
    assert judged.name == "SUGGESTIVE"
    assert "it takes three baseline seeds" in judged.reason


def test_a_suggestion_tells_the_seeds_it_needs() -> None:
    judged = verdict(confirmation=confirmation(2.5, 1.0))
    assert judged.name == "SUGGESTIVE"
    assert judged.more_seeds is not None
    assert f"needs {judged.more_seeds} more seed" in judged.reason


def test_a_noisier_task_needs_more_seeds() -> None:
    calm, noisy = (verdict(confirmation=confirmation(2.5, 1.0, sd=sd)).more_seeds for sd in (1.0, 3.0))
    assert calm is not None
    assert noisy is not None
    assert calm < noisy


def test_no_seeds_are_asked_for_where_they_would_not_help() -> None:
    judged = verdict(confirmation=confirmation(5.0), caps=("eval_limited: 100 examples",))
    assert judged.more_seeds is None
    assert judged.reason.endswith("; eval_limited: 100 examples")


def test_a_suggestion_is_told_shrunk() -> None:
    judged = verdict(confirmation=confirmation(3.0, 2.0))
    assert judged.shrunk_gain is not None
    assert judged.raw_gain == pytest.approx(3.0)
    assert judged.shrunk_gain < 2.0


def test_the_gain_of_the_screening_seed_is_never_quoted() -> None:
    judged = verdict(screening=screening(14.0))
    assert judged.raw_gain is None
    assert judged.shrunk_gain is not None
    assert judged.shrunk_gain < 14.0
    assert "14" not in judged.reason
    both = verdict(screening=screening(14.0), confirmation=confirmation(1.0))
    assert both.raw_gain == pytest.approx(1.0)
    assert both == verdict(confirmation=confirmation(1.0))


def test_a_no_op_is_neutral_without_an_interval() -> None:
    judged = verdict(is_no_op=True, screening=screening(0.0))
    assert judged == Verdict(name="NEUTRAL", reason="no-op: equals the baseline bit for bit")


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"confirmation": confirmation(0.0, 0.3)}, "NEUTRAL"),
        ({"confirmation": confirmation(-1.0, 1.5, is_futile=True)}, "NEUTRAL"),
        ({"confirmation": confirmation(-1.0, 1.5, is_futile=False)}, "INCONCLUSIVE"),
        ({"confirmation": confirmation(-2.5, 1.5, is_futile=True)}, "INCONCLUSIVE"),
        ({"screening": screening(0.0)}, "INCONCLUSIVE"),
    ],
)
def test_nothing_is_said_only_when_it_is_shown(fields: dict[str, Any], name: str) -> None:
    assert verdict(**fields).name == name


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"broken": "nan"}, "LOSER"),
        ({"confirmation": confirmation(-6.0, 1.2, 2)}, "LOSER"),
        ({"confirmation": confirmation(-6.0, 1.2, 1)}, "INCONCLUSIVE"),
        ({"screening": screening(-9.5, has_worse_loss=True)}, "LOSER"),
        ({"screening": screening(-9.5, has_worse_loss=False)}, "INCONCLUSIVE"),
        ({"screening": screening(-8.5, has_worse_loss=True)}, "INCONCLUSIVE"),
        ({"screening": screening(-9.5, has_worse_loss=True), "caps": ("eval_limited",)}, "INCONCLUSIVE"),
    ],
)
def test_a_loser_is_shown_to_be_one(fields: dict[str, Any], name: str) -> None:
    assert verdict(**fields).name == name


@pytest.mark.parametrize("failure_class", ["oom", "data", "network", "disk", "gpu", "killed", "lost", "hung"])
@given(delta=st.floats(-30, 0), has_worse=st.booleans())
def test_infrastructure_is_never_a_loser(failure_class: str, delta: float, has_worse: bool) -> None:
    judged = verdict(
        infrastructure=failure_class,
        screening=screening(delta, has_worse_loss=has_worse),
        confirmation=confirmation(delta),
    )
    assert judged.name == "INCONCLUSIVE"
    assert failure_class in judged.reason


def test_a_winner_stays_one_when_a_later_run_fails() -> None:
    assert verdict(confirmation=WON, infrastructure="gpu").name == "WINNER"


def test_without_any_run_nothing_is_said() -> None:
    assert verdict() == Verdict(name="INCONCLUSIVE", reason="no run to compare")


def test_gains_are_told_in_the_unit_of_the_objective() -> None:
    judged = verdict(objective=NAT, confirmation=WON)
    assert judged.raw_gain == pytest.approx(0.05)
    assert judged.interval is not None
    assert 0.0 < judged.interval[0] < judged.interval[1] < 0.1
    suggested = verdict(objective=NAT, confirmation=confirmation(5.0))
    assert "P(effect >= 0.01 nat)" in suggested.reason


@given(st.floats(-11, 13), st.floats(0.2, 5), st.booleans(), st.booleans())
def test_every_evidence_has_one_verdict_with_its_numbers(
    delta: float, se: float, is_futile: bool, is_rejected: bool
) -> None:
    rejection = CLEAR if is_rejected else None
    seen = confirmation(delta, se, rejection=rejection, is_futile=is_futile)
    judged = verdict(confirmation=seen)
    assert judged.interval is not None
    assert judged.raw_gain is not None
    assert (judged.more_seeds is not None) <= (judged.name == "SUGGESTIVE")
    if judged.name == "WINNER":
        assert min(judged.raw_gain, judged.shrunk_gain or 0) >= 0.5
    capped = judge(replace(Evidence(objective=PP, design=DESIGN, confirmation=seen), caps=("eval_limited",)))
    assert capped.name in ("SUGGESTIVE", "INCONCLUSIVE")
