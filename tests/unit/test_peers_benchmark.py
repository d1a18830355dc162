"""The comparison with the peers measures what it says, and skips by name what is not there."""

from __future__ import annotations

import importlib
import math
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

PEERS = Path(__file__).parents[2] / "benchmarks" / "peers"
NAMES = ("_figures", "_peers", "_sitting", "_tables", "_work", "trial")
QUICK_STEPS, MEDIUM_STEPS = 20, 40


@pytest.fixture(scope="module")
def peers() -> Iterator[Any]:
    """The benchmark's modules, which are scripts in a folder and no package."""
    before = list(sys.path)
    sys.path.insert(0, str(PEERS))
    try:
        yield SimpleNamespace(**{name.strip("_"): importlib.import_module(name) for name in NAMES})
    finally:
        sys.path[:] = before


@pytest.fixture
def ghost(monkeypatch: pytest.MonkeyPatch, peers: Any) -> ModuleType:
    """A peer that needs what nobody has."""
    module = ModuleType("ghost")
    module.MODULES, module.PROGRAMS = ("no_such_package.inside",), ("no-such-program",)
    module.WAYS = (peers.work.Way(name="a ghost", isolation="none"),)
    monkeypatch.setitem(sys.modules, "ghost", module)
    return module


def test_the_slope_is_the_cost_of_one_more_run(peers: Any) -> None:
    line = peers.figures.line_through([(2, 5.0), (8, 20.0)])
    assert (line.per_run_seconds, line.start_seconds) == pytest.approx((2.5, 0.0))
    assert line.standard_error_seconds is None


def test_start_up_is_separated_from_the_runs(peers: Any) -> None:
    line = peers.figures.line_through([(2, 3.0 + 2 * 0.5), (8, 3.0 + 8 * 0.5)])
    assert (line.per_run_seconds, line.start_seconds) == pytest.approx((0.5, 3.0))


def test_repeats_give_the_slope_its_standard_error(peers: Any) -> None:
    line = peers.figures.line_through([(2, 1.0), (2, 3.0), (8, 4.0), (8, 6.0)])
    # Each point is 1 s off its line; 4 points, 2 parameters, sum of squares of runs 36.
    assert line.per_run_seconds == pytest.approx(0.5)
    assert line.standard_error_seconds == pytest.approx(math.sqrt(4 / 2 / 36))


def test_one_length_has_no_slope(peers: Any) -> None:
    with pytest.raises(ValueError, match="another number of runs"):
        peers.figures.line_through([(8, 4.0), (8, 6.0)])


def test_what_is_not_training_is_overhead(peers: Any) -> None:
    lines = [{"begun": 16.0, "ended": 18.0}, {"begun": 12.0, "ended": 15.0}]
    timeline = peers.figures.timeline(10.0, 19.0, lines)
    assert timeline.overhead_seconds == pytest.approx(9.0 - 5.0)
    assert timeline.gaps_seconds == (1.0,)
    assert timeline.busy_share == pytest.approx(5 / 6)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 2), (0.95, 4), (0.25, 1)])
def test_a_quantile_is_one_of_the_values(peers: Any, share: float, expected: int) -> None:
    assert peers.figures.quantile([4, 2, 1, 3], share) == expected


def test_every_file_but_the_program_and_the_trial_is_a_peer(peers: Any) -> None:
    assert set(peers.peers.modules()) == {
        "fresh_process",
        "optuna_in_process",
        "ray_tune",
        "roundhouse",
        "syne_tune_local",
        "task_spooler",
    }


def test_a_peer_that_is_missing_is_skipped_by_name(peers: Any, ghost: ModuleType) -> None:
    entrants, skipped = peers.peers.find(["ghost", "fresh_process"], [Path(sys.executable)])
    assert [entrant.module for entrant in entrants] == ["fresh_process"]
    assert [(one.name, one.reason) for one in skipped] == [
        ("a ghost", "no-such-program, no_such_package.inside not installed")
    ]
    assert "Skipped: a ghost (no-such-program" in peers.tables.absent(skipped, {})


def test_an_environment_that_is_not_there_skips_its_peers(peers: Any, tmp_path: Path) -> None:
    entrants, skipped = peers.peers.find(["ray_tune"], [tmp_path / "python"])
    assert entrants == []
    assert [one.name for one in skipped] == ["Ray Tune", "Ray Tune, actors reused"]


def test_each_repeat_has_every_way_once_and_its_own_order(peers: Any) -> None:
    order = peers.sitting.shuffled(list("abcdef"), ["short", "round"], 2, seed=1)
    first, second = order[:12], order[12:]
    assert sorted(first) == sorted(second)
    assert len(set(first)) == 12
    assert first != second


def test_the_best_two_go_on(peers: Any, tmp_path: Path) -> None:
    work = round_of(peers, 4).work(tmp_path)
    agenda = peers.work.Agenda(work)
    quick = [agenda.next() for _ in range(4)]
    assert agenda.next() is None  # nothing is known yet
    for asked in quick:
        agenda.tell(asked.learning_rate, peers.trial.run(asked))
    medium = [agenda.next(), agenda.next()]
    assert agenda.next() is None
    assert [(asked.steps, asked.learning_rate) for asked in medium] == [
        (MEDIUM_STEPS, peers.work.BETTER_RATE),
        (MEDIUM_STEPS, peers.work.BASELINE_RATE),
    ]


@pytest.mark.parametrize(("module", "number"), [("fresh_process", 0), ("task_spooler", 0), ("roundhouse", 0)])
def test_a_peer_runs_the_whole_round_and_leaves_nothing(peers: Any, module: str, number: int) -> None:
    if module == "task_spooler" and shutil.which("tsp") is None:
        pytest.skip("task-spooler is not installed")
    entrants, _ = peers.peers.find([module], [Path(sys.executable)])
    done = peers.sitting.measure(entrants[number], round_of(peers, 2))
    rates = (peers.work.BASELINE_RATE, peers.work.BETTER_RATE)
    assert done.losses == {
        (steps, rate): pytest.approx((1 - 2 * rate) ** (2 * steps))
        for steps in (QUICK_STEPS, MEDIUM_STEPS)
        for rate in rates
    }
    assert len(done.timeline.gaps_seconds) == 3
    assert min(done.timeline.gaps_seconds) > 0
    assert done.leftovers.before["processes"] >= 1
    assert done.leftovers.after["processes"] <= done.leftovers.before["processes"]
    assert (done.leftovers.processes_left, done.leftovers.segments_left) == (0, ())


def test_a_peer_that_fails_says_why(peers: Any) -> None:
    way = peers.work.Way(name="no such way", isolation="none")
    entrant = peers.peers.Entrant(module="no_such_peer", way=way, python=Path(sys.executable))
    with pytest.raises(peers.sitting.PeerFailed) as raised:
        peers.sitting.measure(entrant, round_of(peers, 2))
    assert raised.value.reason == "ModuleNotFoundError: No module named 'no_such_peer'"


def test_a_different_loss_is_told(peers: Any) -> None:
    def done(loss: float) -> Any:
        piece = SimpleNamespace(name="round", kind="plain")
        return SimpleNamespace(piece=piece, losses={(20, 0.1): loss, (20, 0.2): 1.0})

    assert "bit for bit" in peers.tables.sameness([done(0.5), done(0.5)])
    assert peers.tables.sameness([done(0.5), done(0.5 + 2**-52)]).startswith("Of 2 different runs 1 did not")


def test_a_sitting_replaces_its_section_and_no_other(peers: Any) -> None:
    document = "# Results\n\n## a\n\nold\n\n## b\n\nkept\n"
    replaced = peers.tables.with_section(document, "## a", "new\n")
    assert replaced == "# Results\n\n## a\n\nnew\n\n## b\n\nkept\n"
    assert peers.tables.with_section(replaced, "## c", "added").endswith("kept\n\n## c\n\nadded\n")


def round_of(peers: Any, variants: int) -> Any:
    """A round of plain trials."""
    return peers.sitting.Piece(
        name="round",
        kind="plain",
        variants=variants,
        quick_steps=QUICK_STEPS,
        medium_steps=MEDIUM_STEPS,
        is_watched=True,
    )
