"""Do targets pass only what is proven to pass, and tell what changed and was spent on the way?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from policies._gates import parse_gate
from policies.evidence import Objective
from scheduler.judging import judged, make_options
from scheduler.judging.evidence import Count, JudgedRun, Point, Sample, UnfitRunsError
from scheduler.judging.targets import TargetsJudged

RUNAWAY = "runaway_rate < 5 %"


def run(
    config: str,
    *,
    runaway: tuple[int, int] | None = None,
    parameters: Mapping[str, Any] | None = None,
    seed: int | None = None,
    **metrics: float,
) -> JudgedRun:
    counts = {} if runaway is None else {"runaway_rate": Count(successes=runaway[0], n=runaway[1])}
    return JudgedRun(
        config=config,
        seed=seed,
        metrics=metrics,
        counts=counts,
        parameters=parameters or {},
        wall_seconds=1800,
    )


def sample(*runs: JudgedRun) -> Sample:
    configs: dict[str, tuple[JudgedRun, ...]] = {}
    for each in runs:
        configs[each.config] = (*configs.get(each.config, ()), each)
    return Sample(source="files", objective=Objective(), baseline=(), experiments=configs)


def answer(of: Sample, *gates: str, **options: object) -> TargetsJudged:
    found = judged("targets", of, {"gates": list(gates), **options})
    assert isinstance(found, TargetsJudged)
    return found


@pytest.mark.parametrize(
    ("text", "metric", "sign", "limit"),
    [
        ("runaway_rate < 5 %", "runaway_rate", "<", 0.05),
        ("runaway_rate<5%", "runaway_rate", "<", 0.05),
        ("mean_tokens <= 400", "mean_tokens", "<=", 400.0),
        (" quality >= 0.8 ", "quality", ">=", 0.8),
        ("eval/acc ≥ .5", "eval/acc", ">=", 0.5),
        ("delta > -1e-3", "delta", ">", -0.001),
    ],
)
def test_a_gate_is_read_from_text(text: str, metric: str, sign: str, limit: float) -> None:
    gate = parse_gate(text)
    assert (gate.metric, gate.sign) == (metric, sign)
    assert gate.limit == pytest.approx(limit)


@pytest.mark.parametrize("text", ["runaway_rate", "< 5", "a = 5", "a < b", "a < 5 % x", "", 5])
def test_what_is_no_gate_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ValueError, match="such as"):
        parse_gate(text)


@pytest.mark.parametrize(
    ("runaway", "word", "code"),
    [
        ((3, 39), "FAIL", 1),
        ((0, 39), "PASS_UNPROVEN", 4),
        ((1, 39), "PASS_UNPROVEN", 4),
        ((0, 100), "PASS", 0),
        ((5, 100), "FAIL", 1),
    ],
)
def test_a_rate_passes_when_its_whole_interval_does(runaway: tuple[int, int], word: str, code: int) -> None:
    found = answer(sample(run("pilot", runaway=runaway)), RUNAWAY)
    assert [label.word for label in found.labels()] == [word]
    assert found.exit_code == code


def test_three_of_thirty_nine_has_its_wilson_interval() -> None:
    found = answer(sample(run("pilot", runaway=(3, 39))), RUNAWAY)
    interval = found.iterations[0].readings[0].interval
    assert interval is not None
    assert (round(100 * interval.low, 1), round(100 * interval.high, 1)) == (2.7, 20.3)
    assert "7.7 %, 3 of 39 (2.7 % to 20.3 %) FAIL" in found.markdown().replace("\\", "")


def test_a_rate_without_counts_takes_its_cases_from_the_metric_that_is_named() -> None:
    one = sample(run("pilot", runaway_rate=0.077, samples=39))
    assert answer(one, RUNAWAY).iterations[0].readings[0].count is None
    counted = answer(one, RUNAWAY, trials="samples").iterations[0].readings[0].count
    assert counted == Count(successes=3, n=39)
    odd = sample(run("pilot", runaway_rate=0.5, samples=39))
    assert answer(odd, RUNAWAY, trials="samples").iterations[0].readings[0].count is None


def test_a_mean_is_proven_by_its_interval_over_runs() -> None:
    steady = [run("a", seed=seed, mean_tokens=value) for seed, value in enumerate((300.0, 301.0, 302.0))]
    wild = [run("a", seed=seed, mean_tokens=value) for seed, value in enumerate((100.0, 300.0, 500.0))]
    assert answer(sample(*steady), "mean_tokens <= 400").labels()[0].word == "PASS"
    assert answer(sample(*wild), "mean_tokens <= 400").labels()[0].word == "PASS_UNPROVEN"
    single = answer(sample(steady[0]), "mean_tokens <= 400")
    assert single.labels()[0].word == "PASS_UNPROVEN"
    assert any("no interval" in note for note in single.notes)
    assert answer(sample(*steady), "mean_tokens >= 400").labels()[0].word == "FAIL"


def test_the_worst_metric_is_the_iterations_verdict() -> None:
    good = [run("a", seed=seed, runaway=(0, 100), quality=0.9 + seed / 1000) for seed in range(3)]
    assert answer(sample(*good), RUNAWAY, "quality >= 0.8").labels()[0].word == "PASS"
    assert answer(sample(*good), RUNAWAY, "quality >= 0.95").labels()[0].word == "FAIL"


def test_what_was_not_measured_passes_no_gate() -> None:
    found = answer(sample(run("a", quality=0.9), run("b", runaway=(0, 200))), RUNAWAY)
    assert [label.word for label in found.labels()] == ["FAIL", "PASS"]
    assert any("a: runaway_rate was not measured" in note for note in found.notes)


def test_a_metric_nobody_reports_is_named_with_those_there_are() -> None:
    with pytest.raises(UnfitRunsError, match="no run reports runaway; reported are quality, runaway_rate"):
        answer(sample(run("a", quality=0.9, runaway=(0, 9))), "runaway < 5 %")


def test_iterations_are_compared_with_the_one_before_by_fishers_test() -> None:
    found = answer(
        sample(run("pilot", runaway=(9, 43)), run("one", runaway=(7, 13)), run("two", quality=1.0)), RUNAWAY
    )
    first, second, third = found.iterations
    assert first.fisher_p == {}
    assert second.fisher_p["runaway_rate"] == pytest.approx(0.03468, abs=1e-5)
    assert third.fisher_p == {}
    assert "↑ p 0.0347" in found.markdown()


def test_more_than_one_changed_parameter_is_warned_of() -> None:
    pilot = run("pilot", runaway=(9, 43), parameters={"temperature": 0.7, "top_p": 0.9, "seed": 1})
    both = run("one", runaway=(7, 13), parameters={"temperature": 0.6, "top_p": 0.85, "seed": 2})
    single = run("two", runaway=(7, 13), parameters={"temperature": 0.6, "top_p": 0.85, "stop": "###"})
    found = answer(sample(pilot, both, single), RUNAWAY)
    warnings = [note for note in found.notes if note.startswith("WARNING")]
    assert len(warnings) == 1
    assert "2 parameters changed at once from pilot to one (temperature, top_p)" in warnings[0]
    text = found.markdown()
    assert "| pilot → one | temperature | 0.7 | 0.6 |" in text
    assert "| one → two | stop | not set | ### |" in text


def test_nested_parameters_are_named_by_their_path_and_a_seed_is_no_change() -> None:
    before = [
        run("a", seed=seed, quality=1.0, parameters={"opt": {"lr": 0.1}, "data_seed": seed})
        for seed in (1, 2)
    ]
    after = [run("b", seed=3, quality=1.0, parameters={"opt": {"lr": 0.2}, "data_seed": 3})]
    changes = answer(sample(*before, *after), "quality >= 0.5").iterations[1].changes
    assert changes is not None
    assert [change.name for change in changes] == ["opt.lr"]


def test_the_ledger_cumulates_seconds_energy_tokens_and_money() -> None:
    pilot = replace(
        run("pilot", quality=1.0), cost={"energy_joule": 500.0}, curve=(Point(step=9, tokens=4000),)
    )
    paid = replace(run("one", quality=1.0, tokens=6000), cost={"usd": 0.31, "gpu_seconds": 900.0})
    found = answer(sample(pilot, paid), "quality >= 0.5", cost_per_hour=2.0, budget=5.0)
    first, second = found.ledger
    assert first.spent.money == pytest.approx(1.0)
    assert first.is_estimate
    assert second.spent.money == pytest.approx(0.31)
    assert not second.is_estimate
    assert second.so_far.money == pytest.approx(1.31)
    assert second.so_far.seconds == 2700
    assert second.so_far.tokens == 10000
    assert second.so_far.energy_joule == 500
    assert "| pilot | 1 | 1800 | 500 | 4000 | ~1.00 | 1800 | 500 | 4000 | 1.00 |" in found.markdown()
    assert "Remaining of 5 USD: 3.69." in found.markdown()


def test_without_a_rate_money_is_only_what_was_reported() -> None:
    paid = replace(run("one", quality=1.0), cost={"usd": 0.31})
    found = answer(sample(paid, replace(run("one", quality=1.0), seed=2)), "quality >= 0.5")
    assert found.ledger[0].spent.money == pytest.approx(0.31)
    bare = answer(sample(replace(paid, cost={"cost": 0.2})), "quality >= 0.5", currency="EUR")
    assert bare.ledger[0].spent.money == pytest.approx(0.2)
    assert "estimate" not in found.markdown()


def test_the_exit_code_is_about_any_iteration_or_the_one_named() -> None:
    both = sample(run("pilot", runaway=(0, 200)), run("one", runaway=(90, 200)))
    assert answer(both, RUNAWAY).exit_code == 0
    assert answer(both, RUNAWAY, iteration="one").exit_code == 1
    with pytest.raises(UnfitRunsError, match="there are pilot, one"):
        answer(both, RUNAWAY, iteration="two")


def test_a_baseline_is_the_first_iteration() -> None:
    of = sample(run("v", runaway=(0, 200)))
    found = answer(replace(of, baseline=(run("baseline", runaway=(90, 200)),)), RUNAWAY)
    assert [label.config for label in found.labels()] == ["baseline", "v"]
    assert found.iterations[1].fisher_p["runaway_rate"] < 0.001


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "gates: declare at least one"),
        ({"gates": ["a < b"]}, "gates: must be a metric"),
        ({"gates": RUNAWAY, "level": 95}, "level: must be"),
        ({"gates": RUNAWAY, "cost_per_hour": -1}, "cost_per_hour: must be"),
        ({"gates": RUNAWAY, "gate": 1}, "gate: unknown option; did you mean 'gates'"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(options: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make_options("targets", options)
