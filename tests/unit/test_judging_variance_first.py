"""Does variance first say what its documents say, and no more than its runs allow?"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from policies.evidence import Objective
from scheduler.judging import judged, make_options
from scheduler.judging._spread import chance_of_large_effect, chance_of_sigmas
from scheduler.judging.evidence import JudgedRun, Point, Sample, sample_of
from scheduler.judging.variance_first import VarianceFirst
from scheduler.report.documents import documents_of

SEEDS = (42, 137, 256, 512, 1024)
LOSS = Objective(metric="val_loss", direction="minimize", unit="nat", min_effect=0.01)
#: sd 0.01 around 4.0
BASELINE = (4.0, 4.01, 3.99, 4.0 + 0.01 * math.sqrt(2) / 2, 4.0 - 0.01 * math.sqrt(2) / 2)


def runs(config: str, values: Sequence[float], *, wall: float = 100.0, **more: Any) -> list[JudgedRun]:
    return [
        JudgedRun(config=config, seed=seed, metrics={"val_loss": value}, wall_seconds=wall, **more)
        for seed, value in zip(SEEDS, values, strict=False)
    ]


def sample(*experiments: list[JudgedRun], baseline: Sequence[float] = BASELINE) -> Sample:
    every = [*runs("baseline", baseline), *(run for made in experiments for run in made)]
    return sample_of(every, source="night/lm", objective=LOSS, baseline="baseline")


def answer(of: Sample, **options: Any) -> VarianceFirst:
    found = judged("variance_first", of, options)
    assert isinstance(found, VarianceFirst)
    return found


def shifted(sigmas: float, count: int = 3) -> list[float]:
    """Runs whose mean is better by so many baseline sd."""
    sd = statistics.stdev(BASELINE)
    return [4.0 - sigmas * sd + 0.004 * wobble for wobble in (-1, 0, 1, -1, 1)[:count]]


@pytest.mark.parametrize(
    ("sigmas", "verdict", "strength"),
    [
        (5.0, "WINNER", "winner"),
        (2.001, "WINNER", "winner"),
        (1.5, "NEUTRAL", "suggestive"),
        (0.5, "NEUTRAL", "noise"),
        (0.0, "NEUTRAL", "noise"),
        (-1.5, "NEUTRAL", "suggestive"),
        (-2.001, "LOSER", "winner"),
    ],
)
def test_two_sigma_decide_and_one_suggests(sigmas: float, verdict: str, strength: str) -> None:
    (found,) = answer(sample(runs("wide", shifted(sigmas)))).experiments
    assert found.verdict == verdict
    assert found.comparisons[0].strength == strength
    assert found.comparisons[0].sigmas == pytest.approx(sigmas)


def test_cohens_d_is_over_the_root_mean_square_of_both_sds() -> None:
    (found,) = answer(sample(runs("wide", [3.98, 3.99, 4.0]))).experiments
    pooled = math.sqrt((statistics.variance(BASELINE) + 0.01**2) / 2)
    assert found.comparisons[0].cohens_d == pytest.approx(0.01 / pooled)
    assert found.comparisons[0].difference == pytest.approx(-0.01)


@pytest.mark.parametrize(
    ("gain", "band"),
    [(0.19, "negligible"), (0.21, "small"), (0.51, "medium"), (0.81, "large"), (-0.81, "large")],
)
def test_effect_sizes_have_their_customary_bands(gain: float, band: str) -> None:
    sd = statistics.stdev(BASELINE)
    spread = sd * math.sqrt(1.0)
    own = [4.0 - gain * sd + spread * wobble for wobble in (-1.0, 0.0, 1.0)]
    (found,) = answer(sample(runs("wide", own))).experiments
    assert found.comparisons[0].effect_size == band


def test_within_two_sigma_two_more_seeds_are_asked_for_and_no_more_after_five() -> None:
    within, beyond, five = answer(
        sample(runs("a", shifted(1.2)), runs("b", shifted(3.0)), runs("c", shifted(1.2, count=5)))
    ).experiments
    assert (within.next_seeds, beyond.next_seeds, five.next_seeds) == ((512, 1024), (), ())


def test_the_warning_says_how_often_nothing_looks_large() -> None:
    text = answer(sample(runs("wide", shifted(1.2)))).markdown()
    assert (
        "With 5 + 3 seeds and no effect at all, |d| >= 0.8 (large) appears 32 % of the time"
        in text.replace("\\", "")
    )
    assert "the label alone decides nothing" in text


@pytest.mark.parametrize("sizes", [(5, 3), (5, 5), (4, 3)])
def test_the_chances_are_those_of_a_simulated_world_without_effects(sizes: tuple[int, int]) -> None:
    draw = np.random.default_rng(7)
    first, second = (draw.standard_normal((200_000, n)) for n in sizes)
    difference = np.abs(first.mean(axis=1) - second.mean(axis=1))
    own, other = first.var(axis=1, ddof=1), second.var(axis=1, ddof=1)
    large = np.mean(difference / np.sqrt((own + other) / 2) >= 0.8)
    assert chance_of_large_effect(*sizes) == pytest.approx(large, abs=0.004)
    assert chance_of_sigmas(*sizes) == pytest.approx(np.mean(difference / np.sqrt(own) >= 2), abs=0.003)


@pytest.mark.parametrize(
    ("baseline", "own", "reason"),
    [
        (BASELINE[:3], [3.9, 3.9, 3.9], "a baseline of N=3 gives no sigma; at least 4 do"),
        (BASELINE, [3.0, 3.0], "2 of 3 runs of the experiment"),
        ((4.0,) * 5, [3.0, 3.1, 3.2], "every baseline run has the same val_loss; is it constant?"),
    ],
)
def test_too_few_runs_and_a_constant_metric_are_not_judged(
    baseline: Sequence[float], own: list[float], reason: str
) -> None:
    (found,) = answer(sample(runs("wide", own), baseline=baseline)).experiments
    assert (found.verdict, found.reason) == ("NOT JUDGED", reason)


def test_four_baseline_runs_are_judged_with_a_warning() -> None:
    (found,) = answer(sample(runs("wide", [3.8, 3.81, 3.82]), baseline=BASELINE[:4])).experiments
    assert found.verdict == "WINNER"
    assert "4 of the 5 baseline runs asked for." in found.warnings


def test_pilots_are_listed_and_never_pooled() -> None:
    pilots = runs("wide", [1.0, 1.0, 1.0], prompt_set="old")
    of = sample_of(
        [
            *runs("baseline", BASELINE, prompt_set="new"),
            *runs("wide", shifted(0.0), prompt_set="new"),
            *pilots,
        ],
        source="files",
        objective=LOSS,
        baseline="baseline",
    )
    found = answer(of)
    assert found.experiments[0].verdict == "NEUTRAL"
    assert "Pilots on another prompt set, not pooled: wide s42 on old" in found.markdown()


EXPERIMENT = """\
# Experiment: wide

night/lm: val\\_loss, minimize

## Baseline Statistics (N=5 runs)

| Metric | Mean | Std | Min | Max |
|---|---|---|---|---|
| val\\_loss | 4.0000 | 0.0086603 | 3.9900 | 4.0100 |
| wall\\_time (s) | 100.00 | 0.00 | 100.00 | 100.00 |

## Experiment Statistics (N=3 runs)

| Metric | Mean | Std | Min | Max |
|---|---|---|---|---|
| val\\_loss | 3.9000 | 0.0100 | 3.8900 | 3.9100 |
| wall\\_time (s) | 112.50 | 0.00 | 112.50 | 112.50 |

Seeds used: 42, 137, 256

## Statistical Test

| Metric | Cohen's d | Effect Size | Sigma | Significant? |
|---|---|---|---|---|
| val\\_loss | +10.69 | large | +11.55 | yes |

A positive d and sigma are better.

## Wall Clock

|  | Baseline Mean | Experiment Mean | Delta |
|---|---|---|---|
| wall\\_time (s) | 100.00 | 112.50 | +12.5 % |

## Verdict: WINNER

val\\_loss is 11.55 sigma better than the baseline.

> A side label: it never decides a verdict.
>
"""


def test_the_documents_have_the_layout_and_the_names_their_users_know() -> None:
    found = answer(sample(runs("wide", [3.89, 3.9, 3.91], wall=112.5)))
    documents = found.documents()
    assert list(documents) == [
        "baseline_variance_1M.md",
        "experiment_wide_1M.md",
        "variance_first.json",
    ]
    assert documents["experiment_wide_1M.md"].startswith(EXPERIMENT)
    assert documents["baseline_variance_1M.md"].splitlines()[0] == "# Baseline Variance Report: 1M"
    assert "Seeds used: 42, 137, 256, 512, 1024" in documents["baseline_variance_1M.md"]
    told = json.loads(documents["variance_first.json"])
    assert told["experiments"][0]["verdict"] == "WINNER"
    assert told["experiments"][0]["wall_percent"] == pytest.approx(12.5)


def test_the_budget_and_foreign_names_make_safe_and_different_file_names() -> None:
    names = list(
        answer(sample(runs("../a", [4.0] * 3), runs("_/a", [4.0] * 3)), budget="500-steps").documents()
    )
    assert names[0] == "baseline_variance_500-steps.md"
    assert names[1:3] == ["experiment__a_500-steps.md", "experiment___a_500-steps.md"]


def test_the_line_of_a_label_holds_sigma_effect_and_wall_clock() -> None:
    (label,) = answer(sample(runs("wide", shifted(1.5), wall=90.0))).labels()
    assert (label.config, label.word) == ("wide", "NEUTRAL")
    assert label.line.startswith("+1.50 sigma, d=+1.9")
    assert "wall clock -10.0 %" in label.line
    assert label.line.endswith("within 2 sigma: run seeds 512, 1024 too.")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"baseline_seeds": [1]}, "baseline_seeds: must be different whole numbers, at least 2 (found [1])"),
        ({"seeds": [1, 1, 2]}, "seeds: must be different whole numbers"),
        ({"more_seeds": "512"}, "more_seeds: must be different whole numbers"),
        ({"seeds": [[1], [2]]}, "seeds: must be different whole numbers"),
        ({"winner_sigmas": 0.5}, "winner_sigmas: must be at least suggestive_sigmas, 1 (found 0.5)"),
        ({"suggestive_sigmas": 0}, "suggestive_sigmas: must be a number more than 0 (found 0)"),
        ({"budget": "a/b"}, "budget: must be a short word such as \"1M\" (found 'a/b')"),
        ({"metrics": 3}, "metrics: must be a word or a list of words (found 3)"),
        ({"winner_sigma": 2}, "winner_sigma: unknown option; did you mean 'winner_sigmas'?"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError) as caught:
        make_options("variance_first", options)
    assert problem in str(caught.value)


def test_the_page_shows_every_experiment_with_its_word_and_what_its_model_wrote() -> None:
    written = ({"step": 9, "suite": "v1", "prompt": "Once", "temperature": 0.8, "text": "a <fox>"},)
    shown = {"exhibits": {"prompts.jsonl": written}, "curve": (Point(step=9, metrics={"val_loss": 4.0}),)}
    found = answer(sample(runs("wide", shifted(5.0), **shown), runs("null", shifted(0.1))))
    page = found.pages()["variance_first"]
    assert page.words == (("wide", "WINNER"), ("null", "NEUTRAL"))
    assert page.lead == "Against the noise of 5 baseline runs, wide is 2 sigma or more better."
    html = documents_of(found)["variance_first.html"]
    assert "a &lt;fox&gt;" in html
    assert "+5.00" in html
    assert "the label alone decides nothing" in html
