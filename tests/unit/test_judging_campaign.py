"""Does a campaign's report say what it may, and why the one small p in it is no evidence?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from policies.evidence import Objective
from scheduler.judging import judged, make_options
from scheduler.judging._campaign_warnings import warnings
from scheduler.judging.campaign import CampaignJudged
from scheduler.judging.evidence import JudgedRun, Point, Sample, UnfitRunsError
from scheduler.report.documents import documents_of

OBJECTIVE = Objective(metric="correct_rate", min_effect=2.0)
#: of four conditions that hardly differ, three seeds each, one happens to look good
LUCKY = {
    "a": (0.010, 0.011, 0.009),
    "b": (0.02, -0.03, 0.01),
    "c": (-0.01, 0.0, 0.02),
    "d": (0.0, 0.01, -0.02),
}
#: pairs that agree, as many as it takes
SURE = (0.03, 0.04, 0.035, 0.03, 0.045, 0.04, 0.03, 0.035)


def run(config: str, seed: int, level: float, *, steps: int = 12, **metrics: Any) -> JudgedRun:
    """A run that ends at `level`; a metric is a number for all steps or a list."""
    curve = tuple(
        Point(
            step=step,
            metrics={
                "correct_rate": level * step / steps if step < 3 else level,
                **{k: float(v[step - 1] if isinstance(v, list) else v) for k, v in metrics.items()},
            },
        )
        for step in range(1, steps + 1)
    )
    return JudgedRun(config=config, seed=seed, metrics=curve[-1].metrics, curve=curve)


def sample(deltas: Mapping[str, Sequence[float]] = LUCKY, base: float = 0.5) -> Sample:
    seeds = range(max(len(each) for each in deltas.values()))
    return Sample(
        source="files",
        objective=OBJECTIVE,
        baseline=tuple(run("baseline", seed, base + 0.03 * seed) for seed in seeds),
        experiments={
            config: tuple(run(config, seed, base + 0.03 * seed + delta) for seed, delta in enumerate(each))
            for config, each in deltas.items()
        },
    )


def answer(of: Sample, **options: Any) -> CampaignJudged:
    found = judged("campaign", of, {"resamples": 999, **options})
    assert isinstance(found, CampaignJudged)
    return found


def titles(*runs: JudgedRun) -> list[str]:
    of = replace(sample({"a": (0.1,)}), baseline=runs[:1], experiments={"a": runs[1:]})
    return [warned.title for warned in warnings(of, token_limit=0.1)]


def test_one_small_p_among_several_is_no_evidence_and_the_report_says_why() -> None:
    found = answer(sample())
    assert {label.word for label in found.labels()} == {"insufficient_statistical_evidence"}
    assert found.exit_code == 4
    assert found.smallest is not None
    assert found.smallest.config == "a"
    assert found.smallest.p < 0.01
    text = found.markdown()
    assert "Why the smallest p is no evidence" in text
    for words in (
        "one of 4 comparisons",
        f"in {100 * (1 - (1 - found.smallest.p) ** 4):.0f} % of such campaigns",
        "(Holm)",
        "3 pairs can give no p below 0.25",
        "0.05 after Holm is within reach from 8 pairs on",
        "their sd is known within x0.52..6.3",
        "their number is no n",
    ):
        assert words in text


def test_enough_pairs_that_all_agree_are_evidence() -> None:
    found = answer(sample({"a": SURE, "b": (0.001, -0.001) * 4}))
    assert [label.word for label in found.labels()] == [
        "statistically_significant_improvement",
        "insufficient_statistical_evidence",
    ]
    assert found.exit_code == 0
    assert found.reasons == ()
    assert found.litmus is not None
    assert [each.word for each in found.litmus.experiments] == ["CONFIRMED", "FAILED"]


def test_the_level_is_the_mean_of_the_last_steps() -> None:
    jumpy = run("a", 0, 0.5, correct_rate=[0.0] * 10 + [0.4, 0.6])
    of = replace(sample({"a": (0.0,)}), experiments={"a": (jumpy,)})
    assert answer(of, last=2).levels["a"].mean == pytest.approx(0.5)
    assert answer(of, last=1).levels["a"].mean == pytest.approx(0.6)


def test_bands_are_over_seeds_at_the_steps_that_all_of_them_told() -> None:
    of = sample({"a": (0.0, 0.1, 0.2)})
    short = of.experiments["a"][2]
    of = replace(of, experiments={"a": (*of.experiments["a"][:2], replace(short, curve=short.curve[:9]))})
    band = next(band for band in answer(of).bands if band.config == "a")
    assert band.steps == tuple(range(1, 10))
    assert (band.low[-1], band.mean[-1], band.high[-1]) == pytest.approx((0.50, 0.63, 0.76))
    assert band.n == 3


def test_a_campaign_that_was_cut_short_is_read_on_its_whole_pairs() -> None:
    of = sample()
    of = replace(of, experiments={**of.experiments, "d": of.experiments["d"][:2]})
    found = answer(of)
    assert (found.completeness.whole, found.completeness.partial) == ((0, 1), (2,))
    assert {t.arms.config: t.arms.units for t in found.significance.primary} == {
        "a": 3,
        "b": 3,
        "c": 3,
        "d": 2,
    }
    assert "Incomplete: seed 2" in found.markdown()


def test_the_declared_order_is_held_against_the_one_found() -> None:
    of = sample({"a": (0.01, 0.01), "b": (0.02, 0.03), "c": (-0.01, 0.05)})
    order = answer(of, expected_order=["baseline", "a", "b", "c", "never_run"]).order
    assert order is not None
    assert order.declared == ("baseline", "a", "b", "c")
    assert order.found == ("baseline", "a", "c", "b")
    assert (order.holds, order.steps_held, order.seeds_held, order.seeds) == (False, 2, 1, 2)
    assert order.chance == pytest.approx(1 / 24)
    held = answer(of, expected_order=["baseline", "a", "b"])
    assert held.order is not None
    assert held.order.holds
    assert "one campaign in 6" in held.markdown()


def test_each_thing_that_makes_numbers_worth_less_is_warned_of_by_run() -> None:
    good = run("baseline", 0, 0.5, loss=0.1, max_token_hit_rate=0.0, reward_uniform_rate=0.1)
    assert titles(good, run("a", 0, 0.6, loss=0.2)) == []
    for title, metrics in (
        ("Completions cut at the token limit", {"max_token_hit_rate": [0.0] * 6 + [0.4] + [0.0] * 5}),
        ("Losses that are none", {"loss_is_placeholder": 1.0}),
        ("Losses that are none", {"loss": 0.0}),
        ("Losses that are none", {"loss": 0.1, "backend_reports_sync_loss": 0.0}),
        ("Groups with equal rewards", {"reward_uniform_rate": 0.7}),
    ):
        assert titles(good, run("a", 0, 0.6, **metrics)) == [title]
    sepa = run("gtpo_sepa", 0, 0.6, sepa_lambda=0.0)
    assert titles(good, sepa) == ["SEPA that never pooled"]
    assert titles(good, replace(good, config="a")) == ["Conditions that change nothing"]
    holey = run("a", 0, 0.6)
    assert titles(good, replace(holey, curve=holey.curve[:4] + holey.curve[6:])) == ["Steps without a row"]
    assert titles(good, replace(holey, curve=())) == ["Steps that nobody told"]


def test_a_run_that_tells_every_fourth_step_has_no_gaps() -> None:
    good = run("baseline", 0, 0.5)
    assert titles(good, replace(run("a", 0, 0.6), curve=run("a", 0, 0.6).curve[3::4])) == []


def test_the_same_campaign_gives_the_same_documents_and_a_page() -> None:
    documents = documents_of(answer(sample(), expected_order=["baseline", "a"]))
    assert sorted(documents) == ["campaign.html", "campaign.json", "campaign.md", "campaign_curves.csv"]
    assert documents == documents_of(answer(sample(), expected_order=["baseline", "a"]))
    told = json.loads(documents["campaign.json"])
    assert told["whole_seeds"] == [0, 1, 2]
    assert len(told["why_no_evidence"]) == 4
    rows = documents["campaign_curves.csv"].splitlines()
    assert rows[0] == "metric,condition,step,mean,lowest,highest,runs"
    assert len(rows) == 1 + 5 * 12


def test_without_a_declared_lift_there_is_no_litmus_and_all_the_rest() -> None:
    of = replace(sample(), objective=Objective(metric="correct_rate", unit="", min_effect=0.0))
    found = answer(of)
    assert found.litmus is None
    assert "no smallest lift was declared" in found.markdown()
    assert [label.word for label in found.labels()] == ["insufficient_statistical_evidence"] * 4
    assert answer(of, min_lift=0.02).litmus is not None


def test_a_campaign_without_a_baseline_is_refused() -> None:
    with pytest.raises(UnfitRunsError, match="name one with --baseline"):
        answer(replace(sample(), baseline=()))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"last": 0}, "last: must be a whole number of at least 1"),
        ({"expected_order": ["a"]}, "expected_order: must name at least two conditions"),
        ({"expected_order": ["a", "a"]}, "expected_order: must name each condition once"),
        ({"alpha": 2}, "alpha: must be a number"),
        ({"token_limit": 0}, "token_limit: must be a number more than 0"),
    ],
)
def test_options_that_cannot_be_are_refused(options: Mapping[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        make_options("campaign", options)
