"""A person reads why runs were stopped, and what the audit says that costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes.world import World, make_round, play, task, watched

from scheduler.decide import facts
from scheduler.decide.state import RoundState, State
from scheduler.effects.records import encode
from scheduler.report.attachments import find_attachments
from scheduler.report.lines import line_for
from scheduler.report.load import load_history
from scheduler.report.page import render_page
from scheduler.report.reading import read_round
from scheduler.report.stops import stop_counts
from scheduler.report.summary import summary_markdown, summary_text
from scheduler.rounds.paths import RoundPaths
from scheduler.rounds.round import PolicyChoice

ATTEMPT: dict[str, Any] = {
    "round": "night",
    "task": "sums",
    "stage": "quick",
    "config": "copy",
    "seed": 7,
    "attempt": 1,
}
STOP = facts.StopDecided(**ATTEMPT, rule="noop", reason="equals the baseline at step 10", step=10)
CURVES = {
    "baseline": (0.30, 0.40, 0.45, 0.50),
    "copy": (0.30, 0.40, 0.45, 0.50),
    "lost": (0.28, 0.10, 0.10, 0.10),
    "late": (0.29, 0.10, 0.20, 0.55),
}


def outcome(intended: facts.RunIntended) -> dict[str, Any]:
    accs, steps = CURVES[intended.config], intended.budget["max_steps"]
    seen = [(steps * n // 4, 2.0 - acc, acc, f"{acc}") for n, acc in enumerate(accs, start=1)]
    return watched(accs[-1], *seen)


def world_with(audit_share: float) -> World:
    options = {
        "stops": ["noop", "hopeless"],
        "stop_options": {"hopeless": {"audit_share": audit_share}},
    }
    made = task(variants=("copy", "lost", "late"), policy=PolicyChoice(name="threshold", options=options))
    return play(outcome, make_round(made))


def round_with(audit_share: float) -> RoundState:
    return world_with(audit_share).round()


def test_a_stop_has_a_line_when_it_is_decided() -> None:
    assert line_for(STOP, State()) == (
        "STOP task=sums stage=quick cfg=copy seed=7 rule=noop (equals the baseline at step 10) round=night"
    )
    audited = replace(STOP, rule="hopeless", is_audit=True)
    assert line_for(audited, State()) == (
        "AUDIT task=sums stage=quick cfg=copy seed=7 rule=hopeless (equals the baseline at step 10)"
        " goes on to its end round=night"
    )


def test_the_end_of_a_stopped_run_is_no_second_stop() -> None:
    current = round_with(0.0)
    attempts = current.tasks["sums"].attempts
    end = next(each[-1].finished for key, each in attempts.items() if key.config == "copy")
    assert end is not None
    line = line_for(end, State(rounds={"night": current}))
    assert line is not None
    assert line.startswith("DONE task=sums stage=quick cfg=copy seed=0 acc=40.00%")
    assert line.endswith("status=pruned stopped_by=noop round=night")


def test_the_summary_counts_the_stops_by_rule() -> None:
    current = round_with(0.0)
    assert stop_counts(read_round(current).stops) == ["2 by hopeless", "1 by noop"]
    assert "\nstops: 2 by hopeless, 1 by noop\n" in summary_text(current)
    assert "\n- stops: 2 by hopeless, 1 by noop\n" in summary_markdown(current)


def test_the_summary_tells_how_many_audited_runs_came_up_to_the_baseline() -> None:
    current = round_with(1.0)
    # `late` is behind at quick and at medium, and comes up both times; `lost` never does
    words = "1 by noop, audit: 2 of 3 runs that went on came up to the baseline (67 %)"
    assert f"\nstops: {words}\n" in summary_text(current)


def test_the_page_of_the_round_counts_them_too(tmp_path: Path) -> None:
    paths = RoundPaths(tmp_path)
    of_round = [record for record in world_with(0.0).records if "round" in record]
    lines = [encode({**record, "seq": number}) for number, record in enumerate(of_round, start=1)]
    paths.records.write_bytes(b"".join(lines))
    history = load_history(paths)
    assert "Stops: 2 by hopeless, 1 by noop." in render_page(history, find_attachments(history, paths))


@pytest.mark.parametrize("render", [summary_text, summary_markdown])
def test_without_stops_nothing_is_said_of_them(render: Any) -> None:
    made = task(variants=("late",), policy=PolicyChoice(name="threshold", options={"stops": []}))
    assert "stops: " not in render(play(outcome, make_round(made)).round())
