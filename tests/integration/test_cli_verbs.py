"""Every verb works on files alone, says what is wrong in a line, and ends with the promised status."""

from __future__ import annotations

import io
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
from fakes.world import failed, make_round, ok, play, task
from real_home import Home

from scheduler.cli import main
from scheduler.cli.follow import log_lines
from scheduler.cli.home import find_home
from scheduler.decide import codec, facts
from scheduler.effects.ended_file import read_ended
from scheduler.effects.lock import HomeLock
from scheduler.effects.records import Journal, decode, encode
from scheduler.rounds.paths import HomePaths

ESCAPE = "boom \x1b[2J\x1b]0;owned\x07\u202egnp.exe"


def outcome(intended: facts.RunIntended) -> dict[str, Any]:
    if intended.config == "bad" and intended.task == "moody":
        return failed("crash", ESCAPE)
    return ok({"baseline": 0.5, "good": 0.6, "bad": 0.4}[intended.config], loss=1.25)


def record(paths: HomePaths, round_id: str = "night") -> None:
    """Put the records of a finished round into the home, as a daemon would have written them."""
    folder = paths.round(round_id)
    folder.root.mkdir()
    journal, _ = Journal.open(folder.records)
    for fact in play(outcome, make_round(task(), task("moody"), id=round_id)).facts:
        if isinstance(fact, facts.RoundFact):
            journal.append(codec.to_fields(fact))
    journal.close()


class Called:
    """schedctl on one home, in this process."""

    def __init__(self, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *arguments: str) -> int:
        status = main(["--home", str(self.home.paths.root), *arguments])
        self.out, self.err = self._capsys.readouterr()
        return status


@pytest.fixture
def schedctl(home: Home, capsys: pytest.CaptureFixture[str]) -> Called:
    return Called(home, capsys)


@pytest.fixture
def recorded(home: Home) -> Home:
    record(home.paths)
    return home


class TestWhichHome:
    def test_the_option_goes_before_the_environment_and_the_current_folder(
        self, home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ROUNDHOUSE_HOME", "/elsewhere")
        monkeypatch.chdir(home.paths.root)
        assert find_home("/chosen").root == Path("/chosen")
        assert find_home(None).root == Path("/elsewhere")
        monkeypatch.delenv("ROUNDHOUSE_HOME")
        assert find_home(None).root == home.paths.root

    def test_a_folder_without_queue_and_results_is_no_home(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("ROUNDHOUSE_HOME", raising=False)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        monkeypatch.chdir(tmp_path)
        (tmp_path / "queue").mkdir()
        assert find_home(None).root == tmp_path / "state" / "roundhouse"
        monkeypatch.setenv("XDG_STATE_HOME", "not/absolute")
        assert find_home(None).root == Path.home() / ".local" / "state" / "roundhouse"


class TestSubmit:
    def test_a_sound_spec_is_queued_and_the_daemon_that_is_down_is_named(
        self, schedctl: Called, tmp_path: Path
    ) -> None:
        spec = tmp_path / "one.toml"
        spec.write_text(schedctl.home.spec("one"))
        assert schedctl("submit", str(spec)) == 0
        assert (schedctl.home.paths.queue / "one.toml").read_text() == spec.read_text()
        assert schedctl.out.startswith("queued one.toml in ")
        assert "the daemon is down" in schedctl.out

    def test_problems_are_told_a_line_each_and_keep_only_their_file_out(
        self, schedctl: Called, tmp_path: Path
    ) -> None:
        bad, good = tmp_path / "bad.toml", tmp_path / "good.toml"
        bad.write_text(schedctl.home.spec("bad").replace("= 60", "= -1").replace("d_acc", "d_ac"))
        good.write_text(schedctl.home.spec("good"))
        assert schedctl("submit", str(bad), str(good)) == 2
        lines = schedctl.err.splitlines()
        assert len(lines) == 2
        assert all(line.startswith("bad.toml: ") for line in lines)
        assert any("stages.quick.time_budget_sec" in line for line in lines)
        assert [path.name for path in schedctl.home.paths.queue.glob("*.toml")] == ["good.toml"]

    def test_no_check_leaves_the_judgement_to_the_daemon(self, schedctl: Called, tmp_path: Path) -> None:
        (tmp_path / "odd.toml").write_text("= nonsense")
        assert schedctl("submit", "--no-check", str(tmp_path / "odd.toml")) == 0
        assert (schedctl.home.paths.queue / "odd.toml").read_text() == "= nonsense"

    def test_stdin_needs_a_name(self, schedctl: Called, monkeypatch: pytest.MonkeyPatch) -> None:
        text = schedctl.home.spec("piped").encode()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
        assert schedctl("submit", "-") == 2
        assert schedctl.err == "schedctl: a spec from stdin needs --name NAME.toml (or .json)\n"
        assert schedctl("submit", "-", "--name", "piped.toml") == 0
        assert (schedctl.home.paths.queue / "piped.toml").read_bytes() == text

    @pytest.mark.parametrize(
        ("arguments", "status", "words"),
        [
            (["submit", "nowhere.toml"], 3, "there is no file nowhere.toml"),
            (["submit", "queue"], 2, "is a folder"),
            (["submit", "train.py"], 2, "a spec must be called *.toml or *.json"),
            (["submit"], 2, "Missing argument"),
            (["submit", "--name", "x.toml", "a.toml", "b.toml"], 2, "--name goes with one file"),
        ],
    )
    def test_what_cannot_be_submitted_is_explained(
        self,
        schedctl: Called,
        monkeypatch: pytest.MonkeyPatch,
        arguments: list[str],
        status: int,
        words: str,
    ) -> None:
        monkeypatch.chdir(schedctl.home.paths.root)
        assert schedctl(*arguments) == status
        assert words in schedctl.err
        assert "Traceback" not in schedctl.err


class TestLookingAhead:
    def test_validate_queues_nothing(self, schedctl: Called, tmp_path: Path) -> None:
        (tmp_path / "one.toml").write_text(schedctl.home.spec("one"))
        assert schedctl("validate", str(tmp_path / "one.toml")) == 0
        assert schedctl.out == "one.toml: sound: round one, 1 task, 2 variants\n"
        assert list(schedctl.home.paths.queue.glob("*.toml")) == []
        (tmp_path / "one.toml").write_text("round = 'x'")
        assert schedctl("validate", str(tmp_path / "one.toml")) == 2
        assert schedctl.err.startswith("one.toml: ")

    def test_explain_tells_order_number_and_time(self, schedctl: Called, tmp_path: Path) -> None:
        (tmp_path / "one.toml").write_text(schedctl.home.spec("one"))
        assert schedctl("explain", str(tmp_path / "one.toml")) == 0
        assert "to run: 3 to 6 runs, " in schedctl.out
        assert "worst case: 9 min, with every run at its time budget" in schedctl.out
        _, _, table = schedctl.out.partition("in this order:\n")
        runs = [line.split()[1:3] for line in table.splitlines()[1:]]
        assert runs == [
            ["quick", "baseline"],
            ["quick", "good"],
            ["medium", "baseline"],
            ["medium", "good"],
            ["quick", "bad"],
            ["medium", "bad"],
        ]
        assert "is cached" not in schedctl.out

    def test_explain_says_when_nothing_can_be_cached(self, schedctl: Called, tmp_path: Path) -> None:
        spec = schedctl.home.spec("one").replace('inputs = ["train.py"]\n', "")
        (tmp_path / "one.toml").write_text(spec)
        assert schedctl("explain", str(tmp_path / "one.toml")) == 0
        assert (
            "nothing of this task is cached across rounds: not all that it depends on is known"
            in schedctl.out
        )

    def test_explain_of_a_known_round_tells_what_is_left(self, schedctl: Called, recorded: Home) -> None:
        assert schedctl("explain", "night") == 0
        assert "the round is finished; nothing is left to run" in schedctl.out
        assert schedctl("explain", "nowhere") == 3

    def test_the_schema_accepts_a_real_spec(self, schedctl: Called) -> None:
        assert schedctl("schema") == 0
        schema = orjson.loads(schedctl.out)
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.validate(tomllib.loads(schedctl.home.spec("one")), schema)


class TestShow:
    def test_a_round_is_shown_as_its_summary(self, schedctl: Called, recorded: Home) -> None:
        assert schedctl("show", "night") == 0
        assert "    good                     d_acc=+10.00pp acc=60.00%\n" in schedctl.out

    def test_a_task_is_shown_run_by_run(self, schedctl: Called, recorded: Home) -> None:
        assert schedctl("show", "night", "sums") == 0
        lines = schedctl.out.splitlines()
        assert "  medium seed=0 ok acc=60.00% loss=1.2500 steps=10 seconds=1.0" in lines
        assert "  promoted at quick: d_acc=+10.00pp (>= +0.30pp)" in lines
        assert f"    {recorded.paths.round('night').root}/runs/sums.medium.good.s0.a1" in lines
        assert any(line.startswith("  SUGGESTIVE: ") for line in lines)

    def test_one_variant_is_shown_alone(self, schedctl: Called, recorded: Home) -> None:
        assert schedctl("show", "night", "sums", "bad") == 0
        assert schedctl.out.splitlines()[0] == "bad:"
        assert "good" not in schedctl.out

    def test_an_error_is_shown_without_what_would_steer_the_terminal(
        self, schedctl: Called, recorded: Home
    ) -> None:
        for arguments in (["show", "night"], ["show", "night", "moody"], ["show", "night", "moody", "bad"]):
            assert schedctl(*arguments) == 0
            assert "boom" in schedctl.out
            assert all(line.isprintable() for line in schedctl.out.split("\n"))

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["nowhere"], "no round 'nowhere'"),
            (["night", "nothing"], "round night has no task 'nothing'; it has sums, moody"),
            (["night", "sums", "none"], "task sums has no variant 'none'; it has baseline, good, bad"),
        ],
    )
    def test_what_is_not_there_gives_3(
        self, schedctl: Called, recorded: Home, arguments: list[str], words: str
    ) -> None:
        assert schedctl("show", *arguments) == 3
        assert words in schedctl.err
        assert len(schedctl.err.splitlines()) == 1


class TestRequests:
    @pytest.mark.parametrize(
        ("arguments", "fields"),
        [
            (["pause", "--reason", "lunch"], {"verb": "pause", "reason": "lunch"}),
            (["resume"], {"verb": "resume"}),
            (["drain"], {"verb": "drain"}),
            (
                ["cancel", "night", "--reason", "wrong"],
                {"verb": "cancel", "round": "night", "reason": "wrong"},
            ),
            (["retry", "night"], {"verb": "retry", "round": "night"}),
            (["retry", "night", "sums"], {"verb": "retry", "round": "night", "task": "sums"}),
        ],
    )
    def test_a_request_is_stored_while_the_daemon_is_down(
        self, schedctl: Called, recorded: Home, arguments: list[str], fields: dict[str, str]
    ) -> None:
        assert schedctl(*arguments) == 0
        assert schedctl.out == (
            f"the daemon is down; {arguments[0]} is stored and will be carried out when it starts\n"
        )
        [request] = recorded.paths.control.iterdir()
        assert orjson.loads(request.read_bytes()) == fields

    @pytest.mark.parametrize(
        "arguments", [["cancel", "nowhere"], ["retry", "nowhere"], ["retry", "night", "nothing"]]
    )
    def test_a_request_about_nothing_gives_3_and_is_not_stored(
        self, schedctl: Called, recorded: Home, arguments: list[str]
    ) -> None:
        assert schedctl(*arguments) == 3
        assert list(recorded.paths.control.iterdir()) == []

    def test_a_daemon_that_does_not_answer_is_not_waited_for_long(
        self, schedctl: Called, recorded: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("scheduler.cli.asking._PATIENCE_SECONDS", 0.1)
        held = HomeLock.acquire(recorded.paths.lock)
        try:
            assert schedctl("pause") == 0
        finally:
            held.release()
        assert schedctl.out == "pause was asked for; the daemon has not answered yet\n"


class TestRebuild:
    def test_what_was_deleted_comes_back_byte_for_byte(self, schedctl: Called, recorded: Home) -> None:
        paths = recorded.paths.round("night")
        assert schedctl("rebuild") == 0
        assert schedctl.out == f"{paths.summary_text}\n"
        derived = (
            paths.summary_text,
            paths.summary_markdown,
            paths.report,
            paths.ended,
            recorded.paths.index,
        )
        before = [file.read_bytes() for file in derived]
        paths.summary_text.unlink()
        paths.summary_markdown.write_text("changed by hand")
        paths.report.unlink()
        paths.ended.unlink()
        recorded.paths.index.unlink()
        assert schedctl("rebuild", "night") == 0
        assert [file.read_bytes() for file in derived] == before
        assert schedctl("rebuild", "nowhere") == 3

    def test_a_round_that_has_not_ended_has_no_summary_yet(self, schedctl: Called, recorded: Home) -> None:
        paths = recorded.paths.round("night")
        lines = paths.records.read_bytes().splitlines(keepends=True)
        paths.records.write_bytes(b"".join(lines[:-1]))
        assert schedctl("rebuild") == 0
        assert "night has not ended" in schedctl.out
        assert not paths.summary_text.exists()
        assert schedctl("show", "night") == 0
        assert "in progress" in schedctl.out

    def test_damaged_records_give_78_and_name_the_place(self, schedctl: Called, recorded: Home) -> None:
        path = recorded.paths.round("night").records
        lines = path.read_bytes().splitlines(keepends=True)
        lines[2] = lines[2].replace(b"task", b"tusk", 1)
        path.write_bytes(b"".join(lines))
        for verb in ("rebuild", "show"):
            assert schedctl(verb, "night") == 78
            assert "line 3" in schedctl.err
            assert "Traceback" not in schedctl.err


class TestTheDaemonsDoor:
    def test_settings_that_cannot_be_used_give_64(self, schedctl: Called) -> None:
        schedctl.home.paths.settings.write_text("threads = 0\n")
        assert schedctl("daemon", "--until-idle") == 64
        assert "threads" in schedctl.err

    def test_a_home_that_is_taken_gives_75_and_names_the_holder(self, schedctl: Called) -> None:
        held = HomeLock.acquire(schedctl.home.paths.lock)
        try:
            assert schedctl("daemon") == 75
        finally:
            held.release()
        assert f"process {os.getpid()}" in schedctl.err


class TestDoctor:
    def test_a_sound_home_is_told_what_was_looked_at(self, schedctl: Called) -> None:
        assert schedctl("doctor") == 0
        for words in ("Python 3", "roundhouse ", "torch", "roundhouse.toml is sound", "MiB free"):
            assert words in schedctl.out
        assert "the daemon is down" in schedctl.out

    def test_every_finding_that_is_not_well_has_a_remedy(self, schedctl: Called) -> None:
        schedctl.home.paths.queue.chmod(0o777)
        schedctl.home.paths.settings.write_text('device = "cpu"\ndisk_floor_mib = 1e9\n')
        assert schedctl("doctor") == 1
        lines = schedctl.out.splitlines()
        for number, line in enumerate(lines):
            if line.startswith(("warn", "fail")):
                assert lines[number + 1].startswith("      remedy: ")
        assert f"everybody may write to {schedctl.home.paths.queue}" in schedctl.out
        assert f"chmod o-w {schedctl.home.paths.queue}" in schedctl.out
        assert "nothing starts below 1000000000 MiB" in schedctl.out

    def test_addresses_of_notices_are_looked_at_and_never_shown(self, schedctl: Called) -> None:
        settings = schedctl.home.paths.settings
        settings.chmod(0o644)
        with settings.open("a") as file:
            file.write(
                '[notify]\nurls = ["json://127.0.0.1:9/hush-hush", "no-such://hush", "env:UNSET_URL"]\n'
            )
        assert schedctl("doctor") == 1
        assert f"chmod 600 {settings}" in schedctl.out
        assert "notices cannot be sent to no-such://***" in schedctl.out
        assert "UNSET_URL holds no address" in schedctl.out
        assert "notices go to 1 of 2 addresses" in schedctl.out
        assert "hush" not in schedctl.out
        settings.chmod(0o600)
        schedctl("doctor")
        assert "chmod 600" not in schedctl.out

    def test_bad_settings_are_a_finding_and_no_end(self, schedctl: Called) -> None:
        schedctl.home.paths.settings.write_text("thread = 1\n")
        assert schedctl("doctor") == 1
        assert "did you mean" in schedctl.out
        assert "the daemon is down" in schedctl.out

    def test_every_line_of_every_record_is_looked_at(self, schedctl: Called, recorded: Home) -> None:
        paths = recorded.paths.round("night")
        assert schedctl("rebuild") == 0
        assert schedctl("doctor") == 0
        count = len(paths.records.read_bytes().splitlines())
        assert f"{count} records in 1 file are whole" in schedctl.out
        data = paths.records.read_bytes()
        paths.records.write_bytes(data[:300] + bytes([data[300] ^ 1]) + data[301:])
        assert read_ended(paths) is not None  # a daemon would not notice
        assert schedctl("doctor") == 1
        assert f"{paths.records}, line 1 " in schedctl.out

    def test_an_ended_file_that_does_not_agree_with_its_records_is_found(
        self, schedctl: Called, recorded: Home
    ) -> None:
        paths = recorded.paths.round("night")
        assert schedctl("rebuild") == 0
        told = decode(paths.ended.read_bytes())
        paths.ended.write_bytes(encode({**told, "ended": {**told["ended"], "runs_done": 77}}))
        assert schedctl("doctor") == 1
        assert "does not agree" in schedctl.out
        assert schedctl("rebuild") == 0
        assert schedctl("doctor") == 0


class TestFollow:
    def follow(self, path: Path, *changes: Any, about: str | None = None, earlier: int = 10) -> list[str]:
        """The lines shown while the changes happen one after the other, between two looks."""
        pending: Iterator[Any] = iter(changes)

        def pause() -> bool:
            change = next(pending, None)
            if change is None:
                return False
            change()
            return True

        return list(log_lines(path, about=about, earlier=earlier, pause=pause))

    def test_it_begins_with_the_last_lines_and_goes_on(self, tmp_path: Path) -> None:
        log = tmp_path / "launcher.log"
        log.write_text("one\ntwo\nthree\n")

        def grow() -> None:
            with log.open("a") as file:
                file.write("four\nfi")

        def finish() -> None:
            with log.open("a") as file:
                file.write("ve\n")

        assert self.follow(log, grow, finish, earlier=2) == ["two", "three", "four", "five"]

    def test_a_rotation_loses_no_line(self, tmp_path: Path) -> None:
        log = tmp_path / "launcher.log"
        log.write_text("one\n")

        def rotate() -> None:
            with log.open("a") as file:
                file.write("two\n")
            log.rename(tmp_path / "launcher.log.1")
            log.write_text("three\n")

        def nothing() -> None:
            pass

        assert self.follow(log, rotate, nothing) == ["one", "two", "three"]

    def test_a_log_that_comes_later_is_waited_for(self, tmp_path: Path) -> None:
        log = tmp_path / "launcher.log"
        assert self.follow(log, lambda: log.write_text("one\n"), lambda: None) == ["one"]

    def test_lines_about_one_round_are_picked_and_none_steers_the_terminal(self, tmp_path: Path) -> None:
        log = tmp_path / "launcher.log"
        log.write_text("RUN task=a round=night\nRUN task=a round=night-2\nFAIL \x1b[31mred round=night\n")
        assert self.follow(log, about="night") == ["RUN task=a round=night", "FAIL red round=night"]

    def test_an_unknown_round_gives_3(self, schedctl: Called) -> None:
        assert schedctl("follow", "nowhere") == 3
