"""`schedctl status` answers whatever state a home is in, from files alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from fakes.world import failed, make_round, ok, play, task

from scheduler.cli import main
from scheduler.cli.status_text import status_lines
from scheduler.decide import facts, inputs
from scheduler.decide.progress import status_of
from scheduler.decide.state import State, Worker, fold
from scheduler.effects.lock import HomeLock
from scheduler.rounds.paths import HomePaths


@pytest.fixture
def paths(tmp_path: Path) -> HomePaths:
    made = HomePaths(tmp_path / "home")
    for folder in made.folders():
        folder.mkdir(parents=True)
    return made


@pytest.fixture
def lock(paths: HomePaths) -> Iterator[None]:
    """This process holds the home, as a daemon would."""
    held = HomeLock.acquire(paths.lock)
    yield
    held.release()


def told_by(paths: HomePaths, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["--home", str(paths.root), "status", *options]) == 0
    return capsys.readouterr().out


def say(paths: HomePaths, state: State, *, at: datetime | None = None, **options: Any) -> None:
    """Write the status as the daemon of this process would."""
    options = {"wait_reason": None, "gpu": None, **options}
    told = status_of(state, now=at or datetime.now().astimezone(), pid=os.getpid(), **options)
    paths.status.write_bytes(orjson.dumps(told))


def outcome(intended: facts.RunIntended) -> dict[str, Any]:
    if intended.task == "dead":
        return failed("data", "Only built 374 examples\x1b[2J (wanted 900)")
    return ok({"baseline": 0.5, "good": 0.6, "bad": 0.4}[intended.config])


def in_the_middle() -> State:
    """A daemon in the middle of the medium run of `good`, with an evaluation behind it."""
    state = State()
    for fact in play(outcome, make_round(task(), task("more"), title="Is it\x1b[31m good?")).facts:
        state = fold(state, fact)
        if isinstance(fact, facts.RunStarted) and (fact.stage, fact.config) == ("medium", "good"):
            break
    heard = inputs.RunEvaluated(
        attempt_id=fact.attempt_id, step=10, loss=1.5, acc=0.25, value=0.25, train_seconds=1.0
    )
    worker = Worker(attempt_id=fact.attempt_id, device="cpu", evaluations=(heard,))
    return replace(state, live=replace(state.live, workers={worker.attempt_id: worker}))


def test_progress_comes_first(paths: HomePaths, lock: None, capsys: pytest.CaptureFixture[str]) -> None:
    say(paths, in_the_middle())
    first, second, *_ = told_by(paths, capsys).splitlines()
    assert first.startswith("night: task 1 of 2 (sums), medium good seed 0, run 4 of 8 to 12, ")
    assert first.endswith(" left")
    assert second == "  [######------------------] 25 %  step 10 of 40  acc=25.00%  loss=1.5000  1 s  on cpu"


def test_a_reason_is_told_when_nothing_runs(
    paths: HomePaths, lock: None, capsys: pytest.CaptureFixture[str]
) -> None:
    say(paths, State(paused="by hand"), wait_reason="paused: by hand")
    assert told_by(paths, capsys).splitlines()[0] == "nothing runs: paused: by hand"


def test_a_daemon_that_is_down_is_told_with_how_to_start_it(
    paths: HomePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    say(paths, in_the_middle(), at=datetime(2026, 1, 2, tzinfo=UTC))
    (paths.queue / "next.toml").write_text("")
    lines = told_by(paths, capsys).splitlines()
    assert lines[0] == (
        f"nothing runs: the daemon is down; start it with `schedctl --home {paths.root} daemon`"
    )
    assert lines[1] == "  this is how it left things at 2026-01-02T00:00:00+00:00:"
    assert "not accepted yet: next.toml" in lines
    assert not any("step 10 of 40" in line for line in lines)


def test_no_file_but_the_status_is_read_however_many_records_there_are(paths: HomePaths, lock: None) -> None:
    """Whoever opened one of these pipes would wait for ever."""
    state = in_the_middle()
    say(paths, state)
    for name in state.accepted:
        paths.round(name).root.mkdir()
        os.mkfifo(paths.round(name).records)
        os.mkfifo(paths.round(name).ended)
    os.mkfifo(paths.journal)
    os.mkfifo(paths.ledger)
    command = [sys.executable, "-P", "-m", "scheduler.cli", "--home", str(paths.root), "status"]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "night: task 1 of 2" in asked.stdout


def test_the_status_does_not_grow_with_the_rounds_that_have_ended(paths: HomePaths) -> None:
    def size(rounds: int) -> int:
        say(paths, play(outcome, *(make_round(id=f"round-{n:03}") for n in range(rounds))).state)
        return paths.status.stat().st_size

    assert size(5) == size(40)


def test_an_empty_home_is_no_error(paths: HomePaths, capsys: pytest.CaptureFixture[str]) -> None:
    assert "the daemon is down" in told_by(paths, capsys)


def test_a_status_that_is_not_renewed_is_said_to_be_old(
    paths: HomePaths, lock: None, capsys: pytest.CaptureFixture[str]
) -> None:
    say(paths, in_the_middle(), at=datetime(2026, 1, 2, tzinfo=UTC))
    first = told_by(paths, capsys).splitlines()[0]
    assert first.startswith(f"the daemon (process {os.getpid()}) is alive but has not said anything for ")


def test_the_words_of_an_earlier_daemon_are_not_taken_for_the_new_ones(
    paths: HomePaths, lock: None, capsys: pytest.CaptureFixture[str]
) -> None:
    told = status_of(in_the_middle(), now=datetime.now().astimezone(), pid=1, wait_reason=None, gpu=None)
    paths.status.write_bytes(orjson.dumps(told))
    lines = told_by(paths, capsys).splitlines()
    assert lines[0] == "the daemon is starting"
    assert not any("step 10 of 40" in line for line in lines)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"v": 1}'])
def test_a_damaged_status_is_survived(
    paths: HomePaths, lock: None, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    paths.status.write_bytes(content)
    assert "daemon" in told_by(paths, capsys)


def test_a_parked_task_is_told_with_its_remedy(
    paths: HomePaths, lock: None, capsys: pytest.CaptureFixture[str]
) -> None:
    say(paths, play(outcome, make_round(task("dead"))).state)
    told = told_by(paths, capsys)
    assert "  night, task dead (data): Only built 374 examples (wanted 900)\n" in told
    assert "schedctl retry night dead\n" in told


def test_rejected_files_and_requests_are_told(
    paths: HomePaths, lock: None, capsys: pytest.CaptureFixture[str]
) -> None:
    (paths.rejected / "bad.toml").write_text("")
    (paths.rejected / "bad.toml.why.txt").write_text("")
    main(["--home", str(paths.root), "status"])
    assert "rejected: bad.toml (queue/rejected/FILE.why.txt says why)" in capsys.readouterr().out


def test_json_holds_everything(
    paths: HomePaths, lock: None, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    say(paths, in_the_middle())
    assert main(["--home", str(paths.root), "status", "--json"]) == 0
    told = json.loads(capfdbinary.readouterr().out)
    assert told["daemon"]["pid"] == os.getpid()
    assert (told["is_stale"], told["is_starting"]) == (False, False)
    assert told["status"]["running"][0]["config"] == "good"


def test_no_escape_sequence_reaches_the_terminal(
    paths: HomePaths, lock: None, capsys: pytest.CaptureFixture[str]
) -> None:
    (paths.queue / "a\x1b[31m.toml").write_text("")
    state = fold(
        in_the_middle(),
        facts.TaskParked(
            round="night", task="more", failure_class="data", reason="\x1b]0;x\x07a", remedy="\u202eb"
        ),
    )
    say(paths, state)
    told = told_by(paths, capsys)
    assert all(line.isprintable() for line in told.split("\n"))
    assert "not accepted yet: a.toml" in told


def test_a_home_that_is_not_there_gives_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--home", str(tmp_path / "nowhere"), "status"]) == 3
    error = capsys.readouterr().err
    assert error.startswith(f"schedctl: there is no home in {tmp_path / 'nowhere'}")
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments", [["status", "--jsn"], ["status", "extra"], ["--hom", "x", "status"], ["--home"], ["statu"]]
)
def test_wrong_use_is_explained_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "Error: " in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error(paths: HomePaths) -> None:
    command = [sys.executable, "-P", "-m", "scheduler.cli", "--home", str(paths.root), "status"]
    gone, stdout = os.pipe()
    os.close(gone)
    try:
        ran = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(stdout)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_queue_of_rounds_is_listed_with_runs_and_time() -> None:
    waiting = {
        "id": "later",
        "title": "The next one",
        "state": "waiting",
        "waits_for": ["night"],
        "task": None,
        "runs_done": 0,
        "runs_least": 3,
        "runs_most": 6,
        "time_left_seconds": [90, 600],
        "parked": [],
        "verdicts": {},
    }
    status = {"running": [], "why": "paused: by hand", "rounds": [waiting], "devices": []}
    told = {
        "home": "/h",
        "daemon": {"pid": 1},
        "is_stale": False,
        "is_starting": False,
        "age_seconds": 1.0,
        "unread_files": [],
        "rejected_files": [],
        "requests_waiting": 0,
        "status": status,
    }
    assert status_lines(told) == [
        "nothing runs: paused: by hand",
        "queue:",
        "  later: waiting, 0 of 3 to 6 runs, 90 s to 10 min left, waits for night  The next one",
        "daemon: process 1; home: /h",
    ]
