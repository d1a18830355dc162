"""Does the repeatability band say how little three runs tell, with the figures of its document?"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.evidence import Objective
from scheduler.judging import judged, make_options
from scheduler.judging._prompt_suite import with_prompt_set
from scheduler.judging._spread import prediction_interval, sd_factors, spread
from scheduler.judging._training_curve import Windows, curve_shape
from scheduler.judging.band import PLATEAU, Band
from scheduler.judging.evidence import JudgedRun, Point, sample_of
from scheduler.report.documents import documents_of

SEEDS = (7, 11, 13)
LOSS_BEST = Objective(metric="loss_best", direction="minimize", unit="nat", min_effect=0.01)
WINDOWS = Windows(early=(0.1, 0.3), late=(0.7, 0.9), tail=0.2, least_points=5)
#: what each of a hundred points of a run sees
TOKENS = 8192


def run(
    seed: int,
    loss: Callable[[float], float],
    *,
    points: int = 100,
    tokens: bool = True,
    best: float = 1.0,
    **more: Any,
) -> JudgedRun:
    """A run whose loss is a function of the share of the way it has gone."""
    curve = tuple(
        Point(step=i, tokens=i * TOKENS if tokens else None, metrics={"loss": loss(i / points)})
        for i in range(1, points + 1)
    )
    config = more.pop("config", "gpt")
    return JudgedRun(config=config, seed=seed, curve=curve, metrics={"loss_best": best}, **more)


def bent(late: float, early: float = 1.0) -> Callable[[float], float]:
    """Falls by `early` per run until the middle, then by `late`."""
    return lambda x: -early * x if x < 0.5 else -early * 0.5 - late * (x - 0.5)


def band(runs: Sequence[JudgedRun], **options: Any) -> Band:
    of = sample_of(runs, source="files", objective=LOSS_BEST, baseline=None)
    found = judged("band", of, options)
    assert isinstance(found, Band)
    return found


def quantity(found: Band, name: str) -> Any:
    return next(each for each in found.configs[0].quantities if each.name == name)


def test_plateau_coefficients_from_0502_to_0976_have_a_cv_of_34_percent() -> None:
    found = quantity(
        band([run(s, bent(c)) for s, c in zip(SEEDS, (0.0502, 0.0656, 0.0976), strict=True)]), PLATEAU
    )
    assert found.spread.minimum == pytest.approx(0.0502)
    assert found.spread.maximum == pytest.approx(0.0976)
    assert f"{100 * found.spread.cv:.0f}" == "34"
    assert found.sentence == (
        "plateau_coefficient: a CV of 34 % at n = 3 decides nothing: the sd itself is known within x0.5..6."
    )


@pytest.mark.parametrize(
    ("losses", "mean", "sd", "tolerance"),
    [
        # as printed, with four decimals
        ((1.2741, 1.2917, 1.2776), 1.28114, 0.00933, 5e-5),
        # with a fifth, as it must have been
        ((1.27410, 1.29172, 1.27760), 1.28114, 0.00933, 5e-6),
    ],
)
def test_three_best_losses_give_their_mean_and_sd(
    losses: Sequence[float], mean: float, sd: float, tolerance: float
) -> None:
    made = band([run(s, bent(0.1), best=loss) for s, loss in zip(SEEDS, losses, strict=True)])
    found = quantity(made, "loss_best").spread
    assert found.mean == pytest.approx(mean, abs=tolerance)
    assert found.sd == pytest.approx(sd, abs=2 * tolerance)


def test_one_new_run_lies_within_t_times_sd_times_root_of_one_and_a_third() -> None:
    found = spread([1.2741, 1.29172, 1.2776])
    assert found is not None
    assert found.sd is not None
    interval = prediction_interval(found)
    assert interval is not None
    # t with 2 degrees of freedom at 97.5 % is 4.3027
    assert interval[1] - found.mean == pytest.approx(4.302653 * found.sd * math.sqrt(4 / 3), rel=1e-6)
    assert found.mean - interval[0] == pytest.approx(interval[1] - found.mean)


def test_the_sd_of_three_runs_is_known_within_half_and_six_times() -> None:
    assert sd_factors(3) == pytest.approx((0.5207, 6.2847), abs=1e-3)
    assert sd_factors(100)[1] < 1.2


@given(
    early=st.floats(min_value=-5, max_value=5).filter(lambda x: abs(x) > 1e-3),
    late=st.floats(min_value=-5, max_value=5),
    start=st.floats(min_value=-3, max_value=3),
)
def test_slopes_are_signed_and_per_million_tokens(early: float, late: float, start: float) -> None:
    bend = bent(late, early)
    shape = curve_shape(run(7, lambda x: start + bend(x)), "loss", WINDOWS)
    millions = 100 * TOKENS / 1e6
    assert shape.unit == "tokens"
    assert shape.early_slope == pytest.approx(-early / millions, abs=1e-9)
    assert shape.late_slope == pytest.approx(-late / millions, abs=1e-9)
    assert shape.plateau_coefficient == pytest.approx(abs(late / early), abs=1e-9)


def test_a_flat_start_is_held_against_the_smallest_slope_and_not_divided_by_zero() -> None:
    shape = curve_shape(run(7, bent(1.0, early=0.0)), "loss", WINDOWS)
    assert shape.early_slope == 0
    assert shape.plateau_coefficient == pytest.approx(abs(shape.late_slope or 0) / 1e-12)


@pytest.mark.parametrize(("points", "is_defined"), [(20, True), (19, False)])
def test_under_five_points_in_a_window_the_coefficient_is_undefined(points: int, is_defined: bool) -> None:
    found = band([run(s, bent(0.1), points=points) for s in SEEDS])
    assert all((shape.plateau_coefficient is not None) is is_defined for shape in found.configs[0].shapes)
    assert ("undefined" in found.markdown()) is not is_defined


def test_without_tokens_steps_take_their_place_and_the_coefficient_stays() -> None:
    with_tokens, without = (curve_shape(run(7, bent(0.07), tokens=t), "loss", WINDOWS) for t in (True, False))
    assert without.unit == "steps"
    assert without.plateau_coefficient == pytest.approx(with_tokens.plateau_coefficient)
    assert "Late slope per million steps" in band([run(7, bent(0.1), tokens=False)]).markdown()


def test_late_loss_variance_is_that_of_the_last_fifth() -> None:
    quiet_then_loud = curve_shape(
        run(7, lambda x: 0.0 if x < 0.795 else (-1.0) ** round(100 * x)), "loss", WINDOWS
    )
    # 80, 81, ..., 100: eleven times +1 and ten times -1
    assert quiet_then_loud.late_variance == pytest.approx((21 - 1 / 21) / 20)


def test_a_run_on_another_prompt_set_is_a_pilot_listed_and_not_pooled() -> None:
    counted = [run(s, bent(0.1), best=1.28, prompt_set="v2") for s in SEEDS]
    pilot = run(5, bent(0.9), best=9.75, prompt_set="v1")
    found = band([pilot, *counted])
    assert quantity(found, "loss_best").spread.maximum == 1.28
    text = found.markdown()
    assert "## Pilots" in text
    assert "| gpt s5 | v1 | 9.75000 |" in text
    assert json.loads(found.documents()["band.json"])["pilots"][0]["run"] == "gpt s5"


def test_the_document_shows_loss_against_tokens_seen_with_its_spread() -> None:
    found = band([run(s, lambda x, s=s: s + x) for s in SEEDS])  # type: ignore[misc]
    assert "### loss against tokens seen" in found.markdown()
    assert f"| 100 | {100 * TOKENS} | 11.3333 | 3.0551 | 8.0000 | 14.0000 |" in found.markdown()
    csv_lines = found.documents()["band_curves.csv"].splitlines()
    assert csv_lines[0] == "config,seed,prompt_set,step,tokens,loss"
    assert len(csv_lines) == 1 + 3 * 100


def test_the_curve_of_a_best_loss_is_that_of_the_loss() -> None:
    points = tuple(Point(step=s, metrics={"loss": 2.0 - s, "loss_best": 1.0}) for s in (1, 2))
    made = [JudgedRun(config="gpt", seed=s, curve=points, metrics={"loss_best": 1.0}) for s in SEEDS]
    assert band(made).curve == "loss"
    assert band(made, curve="loss_best").curve == "loss_best"


def test_one_run_has_values_and_no_band() -> None:
    found = quantity(band([run(7, bent(0.1), best=1.3)]), "loss_best")
    assert (found.spread.mean, found.spread.sd, found.interval, found.sentence) == (1.3, None, None, None)


def test_the_label_holds_mean_sd_cv_and_where_one_new_run_lies() -> None:
    made = band([run(s, bent(0.1), best=b) for s, b in zip(SEEDS, (1.2741, 1.29172, 1.2776), strict=True)])
    (label,) = made.labels()
    assert label.line.startswith(
        "loss_best 1.28114 sd 0.00933 CV 0.728 % (n=3) one new run 1.2348 to 1.3275;"
    )


def test_without_a_curve_the_final_metrics_still_have_a_band() -> None:
    bare = [JudgedRun(config="gpt", seed=s, metrics={"loss_best": 1.0 + s}) for s in SEEDS]
    found = band(bare)
    assert [each.name for each in found.configs[0].quantities] == ["loss_best"]
    assert list(found.documents()) == ["band.md", "band.json"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"early": [0.3, 0.1]}, "early: must be two rising shares from 0 to 1 (found [0.3, 0.1])"),
        ({"late": 0.7}, "late: must be two rising shares from 0 to 1 (found 0.7)"),
        ({"tail": 1.0}, "tail: must be a number more than 0 and less than 1 (found 1.0)"),
        ({"least_points": 1}, "least_points: must be a whole number of at least 2 (found 1)"),
        ({"seeds": [7]}, "seeds: must be different whole numbers, at least 2 (found [7])"),
        ({"curve": ""}, "curve: must be the name of a metric (found '')"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError) as caught:
        make_options("band", options)
    assert problem in str(caught.value)


def prompts(seed: int, *, suite: str = "v1", intelligible: float = 1.0) -> dict[str, Any]:
    """What a run writes: an early reading, and the last one at two temperatures."""
    rows: list[dict[str, Any]] = [
        {
            "step": step,
            "suite": suite,
            "prompt": "Once upon a time",
            "temperature": temperature,
            "text": f"<b>fox</b> {seed} at {step}",
            "intelligible": intelligible if step else 0.0,
            "trigram_repetition": 0.01 * seed,
        }
        for step in (0, 100)
        for temperature in (0.8, 0.0)
    ]
    return {"prompts.jsonl": (*rows, {"step": 100, "prompt": None})}


def noisy(late: float) -> Callable[[float], float]:
    return lambda x: bent(late)(x) + 0.01 * math.sin(1e4 * x)


def test_a_slope_has_its_error_and_one_that_drowns_in_scatter_says_so() -> None:
    steep, flat = (curve_shape(run(7, noisy(late)), "loss", WINDOWS).late for late in (0.5, 0.001))
    assert steep is not None
    assert flat is not None
    assert steep.is_distinguishable
    assert flat.is_distinguishable is False
    # scatter 0.01/sqrt(2) over 21 points that spread over a fifth of .82 million tokens
    assert steep.se == pytest.approx(0.01 / math.sqrt(2) / (0.0612 * 0.8192 * math.sqrt(20)), rel=0.3)
    said = band([run(seed, noisy(0.001)) for seed in SEEDS]).markdown()
    assert "not distinguishable from 0" in said
    assert "The late slope of gpt s7, gpt s11, gpt s13 is not distinguishable from 0" in said


def test_two_points_make_a_line_without_an_error() -> None:
    windows = Windows(early=(0.1, 0.3), late=(0.7, 0.9), tail=0.2, least_points=2)
    found = curve_shape(run(7, bent(0.1), points=8), "loss", windows).early
    assert found is not None
    assert (found.se, found.is_distinguishable) == (None, None)


@pytest.mark.parametrize(
    ("runs", "options", "status", "word"),
    [
        (3, {}, "complete", "BAND"),
        (2, {}, "incomplete", "INCOMPLETE"),
        (3, {"smoke_tokens": 1_000_000}, "smoke", "SMOKE"),
        (2, {"smoke_tokens": 1_000_000}, "smoke", "SMOKE"),
        (3, {"smoke_tokens": 800_000}, "complete", "BAND"),
        (3, {"least_points": 50}, "unread", "BAND"),
    ],
)
def test_one_status_tells_what_may_be_concluded_and_what_is_next(
    runs: int, options: dict[str, Any], status: str, word: str
) -> None:
    found = band([run(seed, bent(0.1)) for seed in SEEDS[:runs]], **options)
    assert found.standing.status == found.to_json()["status"] == status
    assert {label.word for label in found.labels()} == {word}
    for said in (found.standing.decision, *found.standing.next_actions):
        assert said in found.markdown()
    assert (found.standing.decision.startswith("Not for conclusions")) is (status == "smoke")


def test_an_incomplete_band_names_the_seeds_to_run() -> None:
    assert band([run(7, bent(0.1))]).standing.next_actions == ("gpt: run seeds 11, 13",)


def test_the_page_has_runs_training_eval_and_insights_with_what_the_models_wrote() -> None:
    made = band([run(seed, bent(0.1), exhibits=prompts(seed)) for seed in SEEDS])
    page = made.pages()["band"]
    assert [section.title for section in page.sections] == ["Runs", "Training", "Eval", "Insights"]
    assert page.words == (("", "complete"),)
    html = documents_of(made)["band.html"]
    assert "&lt;b&gt;fox&lt;/b&gt; 13 at 100" in html
    assert "at 0" not in html
    figures = {
        (each["temperature"], each["figure"]): each for each in made.to_json()["configs"][0]["prompt_suite"]
    }
    assert figures["T 0.8", "intelligible"]["mean"] == 1.0
    assert figures["greedy", "trigram_repetition"]["mean"] == pytest.approx(0.01 * 31 / 3)
    assert "fox" in made.documents()["band.md"]


def test_a_text_that_is_no_language_is_flagged() -> None:
    made = band([run(seed, bent(0.1), exhibits=prompts(seed, intelligible=0.0)) for seed in SEEDS])
    assert documents_of(made)["band.html"].count("not intelligible") == 6


def test_a_run_is_on_the_prompt_set_that_its_own_file_names() -> None:
    runs = [run(seed, bent(0.1), exhibits=prompts(seed)) for seed in SEEDS]
    pilot = run(3, bent(0.1), exhibits=prompts(3, suite="v0"))
    found = band([with_prompt_set(each) for each in (*runs, pilot)])
    assert [each.seed for each in found.configs[0].runs] == list(SEEDS)
    assert [each.prompt_set for each in found.sample.pilots] == ["v0"]
    assert "gpt s3" in documents_of(found)["band.html"]
