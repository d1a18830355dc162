"""Does the significance report recommend what its rule says, and does it say what few seeds cannot show?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from policies.evidence import Objective
from scheduler.judging import judged, make_options
from scheduler.judging.evidence import Count, JudgedRun, Point, Sample, UnfitRunsError
from scheduler.judging.protocol import as_json_text
from scheduler.judging.significance import SignificanceJudged

SIX_BETTER = [0.020, 0.031, 0.012, 0.025, 0.018, 0.028]


def runs(config: str, values: Sequence[float], *, first_seed: int | None = 1) -> tuple[JudgedRun, ...]:
    return tuple(
        JudgedRun(
            config=config, seed=None if first_seed is None else first_seed + index, metrics={"acc": value}
        )
        for index, value in enumerate(values)
    )


def sample(baseline: tuple[JudgedRun, ...], *experiments: tuple[JudgedRun, ...]) -> Sample:
    return Sample(
        source="files",
        objective=Objective(),
        baseline=baseline,
        experiments={group[0].config: group for group in experiments},
    )


def lifted(deltas: Sequence[float]) -> Sample:
    """Pairs that differ by `deltas`, on a baseline that itself varies by far more."""
    base = [0.50 + 0.05 * index for index in range(len(deltas))]
    better = [value + delta for value, delta in zip(base, deltas, strict=True)]
    return sample(runs("baseline", base), runs("v", better))


def answer(of: Sample, **options: object) -> SignificanceJudged:
    found = judged("significance", of, options)
    assert isinstance(found, SignificanceJudged)
    return found


@pytest.mark.parametrize(
    ("deltas", "word", "code"),
    [
        (SIX_BETTER, "statistically_significant_improvement", 0),
        ([-delta for delta in SIX_BETTER], "significant_degradation", 1),
        (SIX_BETTER[:3], "insufficient_statistical_evidence", 4),
        ([0.02, -0.03, 0.01, 0.0, 0.02, -0.01], "insufficient_statistical_evidence", 4),
        ([0.0] * 6, "insufficient_statistical_evidence", 4),
    ],
)
def test_the_recommendation_follows_its_rule(deltas: list[float], word: str, code: int) -> None:
    found = answer(lifted(deltas))
    assert [label.word for label in found.labels()] == [word]
    assert found.exit_code == code


def test_pairs_decide_where_the_arms_overlap() -> None:
    test = answer(lifted(SIX_BETTER)).tests[0]
    assert test.arms.is_paired
    assert test.permutation is not None
    assert test.permutation.p == pytest.approx(2 / 64)
    assert test.arms.delta == pytest.approx(100 * sum(SIX_BETTER) / 6)
    assert test.cohens_d is not None
    assert test.cohens_d < 0.5
    assert test.needed is not None
    assert test.needed <= 6


def test_a_loss_that_falls_is_an_improvement() -> None:
    falling = replace(
        lifted([-delta for delta in SIX_BETTER]),
        objective=Objective(metric="acc", direction="minimize", unit="nat", min_effect=0.01),
    )
    test = answer(falling).tests[0]
    assert test.recommendation == "statistically_significant_improvement"
    assert test.arms.delta == pytest.approx(sum(SIX_BETTER) / 6)
    assert test.arms.unit == "nat"


def test_three_seeds_cannot_reach_alpha_and_it_is_said() -> None:
    two, one = (answer(lifted(SIX_BETTER[:3]), sides=sides) for sides in (2, 1))
    assert not two.tests[0].can_reach_alpha
    assert "3 pairs can give no p below 0.25" in " ".join(two.notes)
    assert "can be reached from 6 pairs on" in " ".join(two.notes)
    assert "3 pairs can give no p below 0.125" in " ".join(one.notes)
    assert "from 5 pairs on" in " ".join(one.notes)
    assert "can give no p" not in " ".join(answer(lifted(SIX_BETTER)).notes)


def test_one_pair_gives_no_interval_and_no_recommendation() -> None:
    found = answer(lifted([0.3]), sides=1)
    assert found.tests[0].interval is None
    assert found.exit_code == 4
    assert "| v | acc | 1 pair |" in found.markdown()


def test_arms_without_common_seeds_are_tested_unpaired_and_it_is_said() -> None:
    found = answer(
        sample(
            runs("baseline", [0.50, 0.51, 0.49, 0.50], first_seed=None),
            runs("v", [0.60, 0.61, 0.62, 0.60], first_seed=None),
        )
    )
    test = found.tests[0]
    assert not test.arms.is_paired
    assert test.permutation is not None
    assert test.permutation.p == pytest.approx(2 / 70)
    assert test.recommendation == "statistically_significant_improvement"
    assert any("dealt anew as independent" in note for note in found.notes)


def test_runs_without_a_partner_are_left_out_and_counted() -> None:
    found = answer(sample(runs("baseline", [0.5] * 8), runs("v", [0.6, 0.61, 0.62])))
    assert found.tests[0].arms.left_out == 5
    assert any("5 runs have no partner" in note for note in found.notes)


def test_holm_counts_metrics_and_experiments() -> None:
    base = runs("baseline", [0.50 + 0.05 * index for index in range(6)])
    good = runs("good", [0.50 + 0.05 * index + delta for index, delta in enumerate(SIX_BETTER)])
    none = runs("none", [0.50 + 0.05 * index + (-1) ** index * 0.01 for index in range(6)])
    both = sample(base, good, none)
    plain, adjusted = answer(both), answer(both, holm=True)
    assert plain.labels()[0].word == "statistically_significant_improvement"
    assert plain.tests[0].adjusted_p == pytest.approx(2 * 2 / 64)
    assert any("compared with alpha as it is" in note for note in plain.notes)
    assert adjusted.labels()[0].word == "insufficient_statistical_evidence"
    assert adjusted.tests[0].attainable_from == 7
    assert plain.exit_code == 0
    assert adjusted.exit_code == 4
    told = [note for note in adjusted.notes if "can be reached from 7 pairs on" in note]
    assert told[0].startswith("In every test: 6 pairs can give no p below 0.03125")
    assert len(told) == 1


def test_the_first_metric_is_the_one_recommended_on() -> None:
    of = lifted(SIX_BETTER)
    doubled = replace(
        of,
        baseline=tuple(
            replace(run, metrics={**run.metrics, "ppl": 9.0 + run.metrics["acc"]}) for run in of.baseline
        ),
        experiments={
            "v": tuple(
                replace(run, metrics={**run.metrics, "ppl": 11.0 + run.metrics["acc"]})
                for run in of.experiments["v"]
            )
        },
    )
    assert answer(doubled, metrics=["acc", "ppl"]).exit_code == 0
    worse = answer(doubled, metrics="ppl", lower_is_better="ppl")
    assert worse.labels()[0].word == "significant_degradation"
    assert answer(doubled, metrics="ppl").labels()[0].word == "statistically_significant_improvement"


def test_pooled_episodes_are_offered_and_labelled_and_decide_nothing() -> None:
    def counted(config: str, successes: int) -> JudgedRun:
        return JudgedRun(
            config=config, seed=1, metrics={"acc": 0.5}, counts={"correct": Count(successes=successes, n=160)}
        )

    found = answer(sample((counted("baseline", 3),), (counted("v", 40),)), lift=0.0126)
    shares = found.shares[0]
    assert shares.p < 1e-6
    assert shares.needed_for_planned == 2414
    assert found.exit_code == 4
    text = found.markdown()
    assert "3/160 = 1.9 %" in text
    assert "| v | correct | +0.0126 (planned) | 2414 | episodes an arm |" in text
    assert "those of one run are not. No evidence." in text


def test_pooled_steps_are_offered_and_labelled_and_decide_nothing() -> None:
    def curve(config: str, offset: float) -> JudgedRun:
        points = tuple(Point(step=step, metrics={"acc": offset + 0.001 * (step % 3)}) for step in range(30))
        return JudgedRun(config=config, seed=1, metrics={"acc": offset}, curve=points)

    found = answer(sample((curve("baseline", 0.5),), (curve("v", 0.51),)), resamples=999)
    steps = found.steps[0]
    assert steps.permutation.p == steps.permutation.smallest_p
    assert steps.delta == pytest.approx(1.0)
    assert found.exit_code == 4
    assert "## Steps, pooled" in found.markdown()


def test_equal_data_give_equal_bytes() -> None:
    deltas = [0.01 * (index % 5 - 1) for index in range(20)]
    first, again = (answer(lifted(deltas), resamples=999) for _ in range(2))
    other = answer(lifted(deltas), resamples=999, seed=5)
    assert first.tests[0].permutation != other.tests[0].permutation
    assert first.documents() == again.documents()
    assert as_json_text(first.to_json()) == first.documents()["significance.json"]


def test_without_a_baseline_nothing_is_compared() -> None:
    with pytest.raises(UnfitRunsError, match="--baseline"):
        answer(sample((), runs("v", [0.5])))


def test_a_metric_nobody_reports_is_named_with_those_there_are() -> None:
    with pytest.raises(UnfitRunsError, match="no run reports reward; reported are acc"):
        answer(lifted(SIX_BETTER), metrics="reward")


@pytest.mark.parametrize(
    ("option", "value"),
    [("alpha", 0), ("alpha", "small"), ("sides", 3), ("metrics", [1]), ("resamples", 1), ("holm", "yes")],
)
def test_an_option_that_cannot_be_used_is_named(option: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{option}: must be"):
        make_options("significance", {option: value})
