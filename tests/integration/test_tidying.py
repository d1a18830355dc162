"""Does what may go really go, and nothing else, from real folders, by hand and by the daemon?"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from fakes.world import failed, make_round, ok, play
from real_home import PATIENCE_SECONDS, Home, wait_until

from scheduler.decide import codec, facts, inputs
from scheduler.decide.ended import ended_round
from scheduler.decide.result_cache import part_of
from scheduler.decide.retention import Drop
from scheduler.effects.ended_file import write_ended
from scheduler.effects.records import Journal
from scheduler.effects.reporting import records_stamp
from scheduler.effects.run_files import drop_run_files
from scheduler.effects.tidying import Tidying, UnplannedError
from scheduler.judging import exhibit_names, way_names
from scheduler.report.load import load_round
from scheduler.report.run_folders import planned
from scheduler.rounds.paths import HomePaths
from scheduler.rounds.retention_settings import RetentionSettings

EVERYTHING = {"config.json", "metrics.jsonl", "out.log", "error.txt", "result.json", "scores.npy", "model.pt"}


@pytest.fixture
def paths(tmp_path: Path) -> HomePaths:
    return HomePaths(tmp_path)


def run_folder(paths: HomePaths, name: str) -> Path:
    folder = paths.round("night").runs / name
    (folder / "checkpoint").mkdir(parents=True)
    (folder / "checkpoint" / "state.pt").write_text("state")
    (folder / "scores").mkdir()
    (folder / "scores" / "10.npy").write_text("scores")
    for file in EVERYTHING:
        (folder / file).write_text(file)
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def version(path: Path) -> tuple[int, int]:
    """Other than before whenever the file was replaced; the number of a freed inode is given again."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


def dropped(**kinds: Any) -> facts.RunFilesDropped:
    return facts.RunFilesDropped(round="night", reason="a test", **kinds)


def test_each_kind_takes_what_it_says(paths: HomePaths) -> None:
    state, reduced, removed, kept = (run_folder(paths, name) for name in ("state", "reduced", "gone", "kept"))
    fact = dropped(states=("state",), reduced=("reduced",), removed=("gone",))
    assert drop_run_files(paths, fact) == ()
    assert names(state) == EVERYTHING | {"scores"}
    assert names(reduced) == EVERYTHING - {"out.log", "model.pt"} | {"scores", "checkpoint"}
    assert not removed.exists()
    assert names(kept) == EVERYTHING | {"scores", "checkpoint"}
    assert drop_run_files(paths, fact) == ()


def test_what_ways_of_judging_look_at_stays_of_a_reduced_run(paths: HomePaths) -> None:
    run = run_folder(paths, "run")
    exhibits = [run / name for name in exhibit_names(way_names())]
    for path in exhibits:
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}\n")
    assert drop_run_files(paths, dropped(reduced=("run",))) == ()
    assert "prompts.jsonl" in names(run)
    assert all(path.exists() for path in exhibits)


def test_no_link_is_followed_and_nothing_outside_the_runs_is_touched(
    paths: HomePaths, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("years")
    run = run_folder(paths, "run")
    (run / "out.log").unlink()
    (run / "out.log").symlink_to(precious)
    (paths.round("night").runs / "link").symlink_to(precious)
    fact = dropped(
        states=("../..", ".", ""), reduced=("run", "link", "../../precious"), removed=("link", "..", "a/b")
    )
    assert drop_run_files(paths, fact) == ()
    assert names(precious) == {"thesis.tex"}
    assert names(run) == EVERYTHING - {"out.log", "model.pt"} | {"scores", "checkpoint"}
    assert not (paths.round("night").runs / "link").exists()


class TestPlan:
    """What is read of a home's folders for a plan."""

    @pytest.fixture
    def told(self, paths: HomePaths) -> list[facts.RunFinished]:
        """A round that has ended, with a folder for each of its runs and one that no record knows."""
        world = play(lambda intended: failed("nan") if intended.config == "bad" else ok(0.5), make_round())
        folder = paths.round("night")
        folder.root.mkdir(parents=True)
        (paths.root / "queue").mkdir()
        journal, _ = Journal.open(folder.records)
        for fact in world.facts:
            if isinstance(fact, facts.RoundFact):
                journal.append(codec.to_fields(fact))
        journal.close()
        current = load_round(folder)
        write_ended(folder, ended_round(current), part_of(current))
        ends = [fact for fact in world.facts if isinstance(fact, facts.RunFinished)]
        for name in {*(end.run_dir for end in ends), "made-by-hand"}:
            run_folder(paths, name)
        (folder.runs / "link").symlink_to(folder.runs / "made-by-hand")
        folder.report.write_text("the page")
        stamp = records_stamp(folder)
        os.utime(folder.report, ns=(stamp, stamp))
        return ends

    def plan(self, paths: HomePaths, **rules: Any) -> tuple[Drop, ...]:
        return planned(paths, RetentionSettings(**rules), now=time.time() + 86_400)

    def test_states_go_by_default_and_nothing_else(
        self, paths: HomePaths, told: list[facts.RunFinished]
    ) -> None:
        (drop,) = self.plan(paths)
        assert set(drop.states) == {end.run_dir for end in told if not end.has_failed}
        assert drop.reduced == drop.removed == ()
        assert drop.bytes > 0
        assert self.plan(paths, keep_checkpoints="all") == ()

    def test_failed_runs_go_whole_and_those_for_reuse_are_reduced(
        self, paths: HomePaths, told: list[facts.RunFinished]
    ) -> None:
        (drop,) = self.plan(paths, keep_run_folders_days=0.5)
        assert set(drop.removed) == {end.run_dir for end in told if end.has_failed}
        assert set(drop.reduced) == {end.run_dir for end in told if not end.has_failed}

    def test_results_that_a_person_had_forgotten_go_whole(
        self, paths: HomePaths, told: list[facts.RunFinished]
    ) -> None:
        ledger, _ = Journal.open(paths.ledger)
        ledger.append(codec.to_fields(facts.ResultsForgotten(round="night")))
        ledger.close()
        (drop,) = self.plan(paths, keep_rounds=0, keep_run_folders_days=0.5)
        assert set(drop.removed) == {end.run_dir for end in told}

    @pytest.mark.fault(
        "the daemon is killed while old runs are cleared",
        moment="after the record of it",
        outcome="the next look finds what is left",
    )
    def test_what_was_decided_and_is_still_there_is_found_again(
        self, paths: HomePaths, told: list[facts.RunFinished]
    ) -> None:
        (drop,) = self.plan(paths, keep_run_folders_days=0.5)
        half = dropped(states=drop.states, removed=drop.removed[:1])
        drop_run_files(paths, half)
        (again,) = self.plan(paths, keep_run_folders_days=0.5)
        assert (again.states, again.reduced) == ((), drop.reduced)
        assert again.removed == drop.removed[1:]
        drop_run_files(paths, dropped(reduced=again.reduced, removed=again.removed))
        assert self.plan(paths, keep_run_folders_days=0.5) == ()
        assert names(paths.round("night").runs) == {
            "made-by-hand",
            "link",
            *(end.run_dir for end in told if not end.has_failed),
        }

    @pytest.mark.parametrize("missing", ["report", "ended"])
    def test_nothing_goes_before_the_page_is_there_or_of_a_round_that_goes_on(
        self, paths: HomePaths, told: list[facts.RunFinished], missing: str
    ) -> None:
        getattr(paths.round("night"), missing).unlink()
        assert self.plan(paths, keep_run_folders_days=0.5, max_results_gib=1e-9) == ()

    def test_a_page_that_is_older_than_the_records_is_not_the_last_one(
        self, paths: HomePaths, told: list[facts.RunFinished]
    ) -> None:
        os.utime(paths.round("night").report, (1, 1))
        assert self.plan(paths, keep_run_folders_days=0.5) == ()


class TestThread:
    """The queue of looks and removals."""

    def made(self, home: HomePaths, planned: Any, **options: Any) -> tuple[Tidying, dict[str, list[Any]]]:
        heard: dict[str, list[Any]] = {"post": [], "dropped": [], "report": []}
        calls = {name: each.append for name, each in heard.items()}
        tidying = Tidying(home, RetentionSettings(), planned=planned, **calls, **options)
        return tidying, heard

    def test_a_look_waits_a_while_and_several_wishes_are_one(self, paths: HomePaths) -> None:
        looks: list[float] = []

        def look(*_: Any) -> tuple[Drop, ...]:
            looks.append(time.monotonic())
            return (Drop(round="night", reason="x"),)

        tidying, heard = self.made(paths, look, delay_seconds=3600.0)
        tidying.look(is_hurried=False)
        tidying.look(is_hurried=False)
        tidying.look(is_hurried=True)
        wait_until(lambda: heard["post"], "the plan")
        assert heard["post"] == [inputs.TidyPlanned(drops=(Drop(round="night", reason="x"),))]
        assert len(looks) == 1
        tidying.close()

    @pytest.mark.fault("records of an ended round are damaged", moment="a look", outcome="nothing is removed")
    def test_a_look_that_fails_is_reported_and_removes_nothing(self, paths: HomePaths) -> None:
        def broken(*_: Any) -> tuple[Drop, ...]:
            raise UnplannedError("time")

        tidying, heard = self.made(paths, broken)
        tidying.look(is_hurried=True)
        wait_until(lambda: heard["report"], "the report")
        assert "nothing is removed" in heard["report"][0]
        tidying.close()

    def test_a_round_that_lost_files_gets_its_page_anew(self, paths: HomePaths) -> None:
        run_folder(paths, "run")
        tidying, heard = self.made(paths, lambda *_: ())
        tidying.drop(dropped(removed=("run",)))
        wait_until(lambda: heard["dropped"], "the removal")
        assert heard["dropped"] == ["night"]
        assert not (paths.round("night").runs / "run").exists()
        tidying.close()

    def test_nobody_waits_for_a_look_at_the_end(self, paths: HomePaths) -> None:
        release = threading.Event()
        tidying, _ = self.made(paths, lambda *_: release.wait(60) and ())
        tidying.look(is_hurried=True)
        began = time.monotonic()
        tidying.close()
        assert time.monotonic() - began < 5
        release.set()


@pytest.mark.fault(
    "old runs fill the disk", moment="every day", outcome="they are cleared by rule, and reuse goes on"
)
def test_a_daemon_clears_what_may_go_and_still_reuses_the_rest(home: Home) -> None:
    home.drop("night", home.spec("night"))
    home.start("--until-idle")
    assert home.processes[-1].wait(timeout=PATIENCE_SECONDS) == 0
    paths = home.paths.round("night")
    runs = sorted(paths.runs.iterdir())
    assert all("out.log" in names(run) for run in runs)
    with home.paths.settings.open("a") as settings:
        settings.write("[retention]\nkeep_run_folders_days = 0.0000001\n")
    dry = home.schedctl("tidy", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert dry.stdout.startswith("night: reduced=")
    assert "older than" in dry.stdout
    assert all("out.log" in names(run) for run in runs)
    before = version(paths.report)

    home.start()
    asked = home.schedctl("tidy")
    assert "looking for what may go" in asked.stdout
    wait_until(lambda: not any("out.log" in names(run) for run in runs), f"the removal\n{home.log()}")
    assert all("result.json" in names(run) for run in runs)
    assert " TIDY round=night reduced=" in home.log()
    wait_until(lambda: version(paths.report) != before, "the page without its links")
    assert planned(home.paths, RetentionSettings(keep_run_folders_days=1e-7), now=time.time()) == ()
    home.drop("again", home.spec("again"))
    reused = home.wait_for("again", "run_finished", count=len(runs))
    assert all(run["cached_from"] for run in reused)
    assert home.schedctl("cache", "verify").returncode == 0
