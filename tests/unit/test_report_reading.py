"""What stands on the page follows from the records: gains, curves, the forest, the funnel, and advice."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.told_round import ToldRound, accepted, by_loss, confirmed, troubled

from policies.evidence import Objective
from scheduler.report.advice import advice
from scheduler.report.curves import NAMED_AT_MOST, POINTS_AT_MOST, Panel, panels
from scheduler.report.forest import ROWS_AT_MOST, forest
from scheduler.report.fresh_seeds import fresh_seeds
from scheduler.report.funnel import funnel
from scheduler.report.gains import Gain, gains
from scheduler.report.load import load_history
from scheduler.report.looks import look_rows
from scheduler.report.reading import RoundReading, read_round
from scheduler.report.text import baseline_fields
from scheduler.rounds.paths import HomePaths

Read = Callable[[ToldRound], RoundReading]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    return lambda told: read_round(load_history(told.write(HomePaths(tmp_path))).state)


def gain(config: str = "good", **figures: Any) -> Gain:
    fields: dict[str, Any] = {
        "verdict": None,
        "reason": "",
        "raw": None,
        "screening": None,
        "screening_stage": "quick",
        "screening_seeds": 1,
        "shrunk": None,
        "interval": None,
        "adjusted_p": None,
        "chance": None,
        "variant_seeds": None,
        "baseline_seeds": None,
        "more_seeds": None,
        "per_seed": (),
        "warnings": (),
        "is_speed_effect": False,
    }
    return Gain(config=config, **{**fields, **figures})


def test_what_is_known_comes_first_and_the_best_of_it(read: Read) -> None:
    rows = gains(read(confirmed(variants=6, candidates=4)).tasks[0])
    assert [row.verdict for row in rows] == [
        "WINNER",
        "SUGGESTIVE",
        "SUGGESTIVE",
        "NEUTRAL",
        "INCONCLUSIVE",
        "INCONCLUSIVE",
    ]
    assert rows[1].shrunk is not None
    assert rows[2].shrunk is not None
    assert rows[1].shrunk >= rows[2].shrunk


def test_a_screening_delta_is_never_told_as_a_gain(read: Read) -> None:
    for row in gains(read(by_loss()).tasks[0]):
        assert (row.raw, row.shrunk, row.interval) == (None, None, None)
        assert row.screening is not None
        assert row.screening_seeds == 3


def test_an_open_variant_tells_what_failed(read: Read) -> None:
    rows = {row.config: row for row in gains(read(troubled()).tasks[0])}
    assert rows["diverges"].reason == "quick failed (nan)"
    assert rows["good"].reason == ""


def panels_of(read: Read, told: ToldRound) -> list[Panel]:
    task = read(told).tasks[0]
    return list(panels(task, gains(task), has_fresh_seeds=task.state.confirm_set is not None))


def test_fresh_seeds_and_the_screening_seed_are_never_in_one_panel(read: Read) -> None:
    found = panels_of(read, confirmed(variants=8))
    assert [panel.title for panel in found] == [
        "quick, screening seed",
        "medium, screening seed",
        "medium, fresh seeds",
    ]
    baselines = [panel.baseline.seeds for panel in found if panel.baseline is not None]
    assert baselines == [(0,), (0,), (1, 2, 3, 4)]
    assert {curve.seeds for _, curve in found[2].named} == {(1, 2, 3)}


def test_all_seeds_of_the_screening_stage_are_in_one_panel(read: Read) -> None:
    told = confirmed(variants=8)
    told.run("quick", "baseline", 0.41, slot=8)
    found = panels_of(read, told)
    baselines = [(panel.title, panel.baseline.seeds) for panel in found if panel.baseline is not None]
    assert baselines == [
        ("quick, screening seed", (0, 8)),
        ("medium, screening seed", (0,)),
        ("medium, fresh seeds", (1, 2, 3, 4)),
    ]


def test_a_variant_has_one_colour_in_all_panels(read: Read) -> None:
    places: dict[str, set[int]] = {}
    for panel in panels_of(read, confirmed(variants=8)):
        assert len(panel.named) <= NAMED_AT_MOST
        for place, curve in panel.named:
            places.setdefault(curve.config, set()).add(place)
    assert places
    assert all(len(found) == 1 for found in places.values())


def test_a_band_goes_from_the_lowest_to_the_highest_seed(read: Read) -> None:
    [quick, _] = panels_of(read, by_loss(seeds=3))
    assert quick.baseline is not None
    assert quick.baseline.high[-1] - quick.baseline.low[-1] == pytest.approx(0.008, rel=0.02)
    assert quick.baseline.low[-1] < quick.baseline.mean[-1] < quick.baseline.high[-1]


def test_a_long_curve_is_thinned_to_its_ends_and_between(read: Read) -> None:
    told = accepted()
    curve = tuple((step, step / 5000) for step in range(1, 5001))
    told.run("quick", "baseline", 1.0, curve=curve)
    [panel] = panels_of(read, told)
    assert panel.baseline is not None
    assert len(panel.baseline.steps) == POINTS_AT_MOST
    assert (panel.baseline.steps[0], panel.baseline.steps[-1]) == (1, 5000)


def test_a_point_that_is_no_number_is_left_out(read: Read) -> None:
    told = accepted()
    told.run("quick", "baseline", 0.5, curve=((1, math.nan), (2, 0.5), (3, math.inf)))
    [panel] = panels_of(read, told)
    assert panel.baseline is not None
    assert panel.baseline.steps == (2,)


def test_one_broken_variant_does_not_press_the_others_into_a_line() -> None:
    rows = [gain(f"v{n}", screening=0.5 * n) for n in range(1, 8)] + [gain("broken", screening=-80.0)]
    plot = forest(Objective(), rows)
    assert plot is not None
    assert plot.limit < 15
    assert len(plot.rows) == 8


def test_a_forest_shows_what_there_is_and_says_what_it_is() -> None:
    objective = Objective()
    fresh = gain(verdict="WINNER", raw=2.0, shrunk=1.5, interval=(0.5, 2.5), screening=5.0)
    plot = forest(objective, [fresh, gain("weak", screening=0.2, verdict="INCONCLUSIVE"), gain("open")])
    assert plot is not None
    assert [(row.figure, row.raw, row.is_fresh) for row in plot.rows] == [
        ("+1.50pp shrunk", 2.0, True),
        ("+0.20pp screening", 0.2, False),
    ]
    assert forest(objective, [gain()]) is None


def test_a_forest_too_tall_says_how_many_it_leaves_out() -> None:
    plot = forest(Objective(), [gain(f"v{n}", screening=1.0) for n in range(ROWS_AT_MOST + 3)])
    assert plot is not None
    assert (len(plot.rows), plot.left_out) == (ROWS_AT_MOST, 3)


def test_a_funnel_counts_how_far_the_variants_came(read: Read) -> None:
    task = read(confirmed(variants=8, candidates=2)).tasks[0]
    assert [(step.name, step.variants, step.note) for step in funnel(task, 2)] == [
        ("declared", 8, ""),
        ("quick", 8, "4 promoted, 4 pruned"),
        ("medium", 4, "2 promoted, 2 held"),
        ("confirm set", 2, ""),
        ("WINNER", 1, ""),
    ]


def test_looks_are_told_candidate_by_candidate(read: Read) -> None:
    rows = list(look_rows(read(confirmed(variants=4, candidates=2)).tasks[0]))
    assert [(row.look, row.seeds, row.then) for row in rows] == [
        (1, "1 + 1", "goes on"),
        (1, "1 + 1", "goes on"),
        (2, "2 + 2", "goes on"),
        (2, "2 + 2", "goes on"),
        (3, "3 + 3", "null rejected"),
        (3, "3 + 3", "given up"),
    ]


def test_who_is_given_up_while_waiting_for_a_seed_is_told_with_the_look(read: Read) -> None:
    reading = read(confirmed(variants=4, candidates=2)).tasks[0]
    looks = reading.state.looks
    last = dataclasses.replace(looks[-1], futile=(*looks[-1].futile, "waiting"))
    state = dataclasses.replace(reading.state, looks=(*looks[:-1], last))
    rows = list(look_rows(dataclasses.replace(reading, state=state)))
    assert (rows[-1].config, rows[-1].seeds, rows[-1].delta, rows[-1].then) == (
        "waiting",
        "–",
        None,
        "given up while it waited",
    )


def test_every_candidate_has_its_seeds_in_order_and_how_it_ended(read: Read) -> None:
    reading = read(confirmed(variants=4, candidates=2)).tasks[0]
    looks = reading.state.looks
    last = dataclasses.replace(looks[-1], reasons=dict.fromkeys(looks[-1].futile, "weak: P = 0.04 < 0.05"))
    state = dataclasses.replace(reading.state, looks=(*looks[:-1], last))
    shown = fresh_seeds(dataclasses.replace(reading, state=state))
    assert shown is not None
    assert shown.columns == len(shown.baseline) == 4
    assert shown.baseline_source == "run in this round"
    best, other = shown.candidates
    for row in (best, other):
        assert [cell.run and cell.run.slot for cell in row.cells] == [1, 2, 3]
        assert [cell.look and cell.look.look for cell in row.cells] == [1, 2, 3]
    assert (best.verdict, best.end) == ("WINNER", "accepted at look 3: adjusted p 0.08 of 0.1")
    assert other.end == "given up at look 3: weak: P = 0.04 < 0.05"
    assert list(look_rows(dataclasses.replace(reading, state=state)))[-1].then == (
        "given up: weak: P = 0.04 < 0.05"
    )


def test_a_baseline_that_an_earlier_round_made_is_told(read: Read) -> None:
    told = accepted()
    told.run("quick", "baseline", 0.5, cached_from="first_night/sums.quick.baseline.s0.a1")
    told.run("quick", "baseline", 0.6, slot=1)
    (baseline,) = read(told).tasks[0].baselines
    assert baseline.reused == {"first_night": 1}
    assert "(1 of 2 made by first_night, not run again)" in baseline_fields(Objective(), baseline)


def advised(reading: RoundReading) -> list[str]:
    rows: dict[str, Any] = {task.name: gains(task) for task in reading.tasks}
    return [item.text for item in advice(reading, rows)]


def test_a_winner_is_to_be_adopted_with_the_gain_to_expect(read: Read) -> None:
    texts = advised(read(confirmed(variants=6)))
    assert texts[0].startswith("Adopt ")
    assert "expected (90 % interval " in texts[0]
    assert sum(text.endswith("2 more seeds to settle it.") for text in texts) == 2


def test_what_was_only_screened_is_to_be_confirmed(read: Read) -> None:
    assert advised(read(by_loss())) == [
        "Confirm hot in sums on fresh seeds: a gain on the seeds that selected a variant is an overstatement."
    ]


def test_a_parked_task_comes_with_its_remedy_and_what_to_type(read: Read) -> None:
    reading = read(troubled())
    [item] = advice(reading, {"sums": gains(reading.tasks[0])})
    assert "CUDA out of memory" in item.text
    assert item.command == "schedctl retry night sums"


def test_a_round_under_way_says_to_wait(read: Read) -> None:
    assert advised(read(accepted())) == ["Wait: the round is in progress; 2 variants not decided yet."]


@pytest.mark.parametrize(
    ("verdict", "said"), [("NEUTRAL", "no variant was better"), ("INCONCLUSIVE", "2 variants INCONCLUSIVE")]
)
def test_there_is_always_something_to_say(read: Read, verdict: Any, said: str) -> None:
    told = accepted()
    for config in ("good", "bad"):
        told.verdict(config, verdict, "as it is")
    told.finish()
    [text] = advised(read(told))
    assert said in text


def test_a_task_is_read_without_any_run(read: Read) -> None:
    task = read(accepted()).tasks[0]
    assert [step.variants for step in funnel(task, None)] == [2, 0, 0]
    assert list(panels(task, gains(task), has_fresh_seeds=False)) == []
