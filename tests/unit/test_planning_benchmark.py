"""The benchmark of planning goes through a whole round, and misses a demand aloud."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
VARIANTS, RUNS = 60, 9


@pytest.fixture(scope="module")
def planning() -> Iterator[ModuleType]:
    """The benchmark, which is a script in a folder and no package."""
    before = list(sys.path)
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield importlib.import_module("planning")
    finally:
        sys.path[:] = before


@pytest.mark.parametrize("policy", ["screen_confirm", "threshold"])
def test_every_place_of_a_round_is_measured(policy: str, planning: ModuleType) -> None:
    driven = planning.Driven(planning.made_round(policy, VARIANTS))
    tallies = dict(planning.JOURNEYS[policy](driven, RUNS))
    demanded = [place for place in planning.DEMANDED_PLACES if place in tallies]
    assert demanded == list(planning.DEMANDED_PLACES if policy == "screen_confirm" else tallies)
    figures = [tallies[place] for place in demanded]
    assert all(each.decisions and each.evaluations and each.statuses for each in figures)
    assert all(each.decisions for place, each in tallies.items() if "promotion" not in place)
    assert driven.folded


def test_a_missed_demand_is_told(
    planning: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(planning, "DEMANDED_VARIANTS", VARIANTS)
    monkeypatch.setattr(planning, "DEMAND_DECISION_MS", 0.0)
    missed = list(planning.report("threshold", VARIANTS, RUNS))
    assert any(each.startswith("threshold, quick, start: a decision takes") for each in missed)
    assert "memory, a finished run" in capsys.readouterr().out
