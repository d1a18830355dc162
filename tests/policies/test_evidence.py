"""A delta exists only between runs of one protocol, seed by seed."""

from __future__ import annotations

import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.evidence import Objective, Observation, UnmatchedError, matched_delta

PP = Objective()
NAT = Objective(metric="loss", direction="minimize", unit="nat", min_effect=0.01)


def run(value: float | None, seed: int = 0, protocol: str = "p", **more: Any) -> Observation:
    fields: dict[str, Any] = {"stage": "quick", "config": "x", "slot": 0, "status": "ok", **more}
    return Observation(value=value, seed=seed, protocol=protocol, **fields)


def test_pp_is_the_raw_score_times_100() -> None:
    delta = matched_delta(PP, [run(0.6416)], [run(0.5889)])
    assert delta is not None
    assert delta.mean == pytest.approx(5.27)


def test_a_smaller_loss_is_a_positive_delta() -> None:
    delta = matched_delta(NAT, [run(3.0)], [run(3.5)])
    assert delta is not None
    assert delta.mean == pytest.approx(0.5)


def test_runs_of_different_protocols_are_never_compared() -> None:
    with pytest.raises(UnmatchedError, match="run the baseline at the variant's protocol"):
        matched_delta(PP, [run(0.9, protocol="medium")], [run(0.5, protocol="quick")])


def test_a_seed_without_its_baseline_is_left_out() -> None:
    delta = matched_delta(PP, [run(0.6, 0), run(0.9, 1)], [run(0.5, 0)])
    assert delta is not None
    assert [seed for seed, _ in delta.per_seed] == [0]
    assert delta.variant_mean == 0.6


@pytest.mark.parametrize(
    "unusable",
    [
        run(None, status="timed_out"),
        run(None, status="failed", failure_class="nan"),
        run(float("nan")),
        run(float("inf")),
        run(0.9, status="pruned"),
        run(0.9, status="cancelled"),
        run(0.9, status="lost"),
    ],
)
def test_a_run_without_a_value_gives_no_delta(unusable: Observation) -> None:
    assert matched_delta(PP, [unusable], [run(0.5)]) is None
    assert matched_delta(PP, [run(0.5)], [unusable]) is None


def test_the_sign_pattern_counts_better_equal_and_worse_seeds() -> None:
    variant = [run(value, seed) for seed, value in enumerate((0.6, 0.7, 0.5, 0.5, 0.4))]
    delta = matched_delta(PP, variant, [run(0.5, seed) for seed in range(5)])
    assert delta is not None
    assert delta.signs == "2+/2=/1-"


def test_a_run_ended_by_the_clock_is_compared_where_both_sides_were() -> None:
    slow = run(0.55, status="timed_out", curve=((10, 0.4), (20, 0.55)))
    full = run(0.9, curve=((10, 0.35), (20, 0.5), (30, 0.9)))
    delta = matched_delta(PP, [slow], [full])
    assert delta is not None
    assert delta.mean == pytest.approx(5.0)
    assert delta.is_speed_effect


def test_without_a_common_evaluation_a_run_ended_by_the_clock_gives_no_delta() -> None:
    slow = run(0.4, status="timed_out", curve=((7, 0.4),))
    assert matched_delta(PP, [slow], [run(0.9, curve=((10, 0.9),))]) is None


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8))
def test_the_mean_delta_is_the_delta_of_the_means(values: list[tuple[float, float]]) -> None:
    variant = [run(value, seed) for seed, (value, _) in enumerate(values)]
    baseline = [run(value, seed) for seed, (_, value) in enumerate(values)]
    delta = matched_delta(PP, variant, baseline)
    assert delta is not None
    assert delta.mean == pytest.approx(PP.gain(delta.variant_mean, delta.baseline_mean), abs=1e-9)
    if len(values) > 1:
        assert delta.sd == pytest.approx(statistics.stdev(d for _, d in delta.per_seed))
    else:
        assert delta.sd is None


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_a_variant_against_itself_has_no_delta(values: list[float]) -> None:
    runs = [run(value, seed) for seed, value in enumerate(values)]
    delta = matched_delta(PP, runs, runs)
    assert delta is not None
    assert delta.mean == 0
    assert delta.signs == f"0+/{len(values)}=/0-"
