"""schedctl why, from the files of a home alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.told_round import confirmed, troubled

from scheduler.cli import main
from scheduler.effects.status import StatusFile
from scheduler.rounds.paths import HomePaths


@pytest.fixture
def home(tmp_path: Path) -> HomePaths:
    home = HomePaths(tmp_path)
    for folder in home.folders():
        folder.mkdir(parents=True, exist_ok=True)
    return home


def why(home: HomePaths, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["--home", str(home.root), "why", *arguments]) == 0
    return capsys.readouterr().out


def test_with_the_daemon_down_it_says_so_and_how_to_start_it(
    home: HomePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    told = why(home, capsys)
    assert "nothing runs: the daemon is down" in told
    assert f"schedctl --home {home.root} daemon" in told


def test_every_parked_task_is_told_with_its_remedy_and_what_tells_more(
    home: HomePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    parked = {"task": "sums", "failure_class": "data", "reason": "no rows", "remedy": "mend it"}
    StatusFile(home.status).offer({"rounds": [{"id": "night", "parked": [parked]}]})
    (home.rejected / "bad.toml").write_text("x")
    told = why(home, capsys)
    assert "parked: night sums (data): no rows\n  remedy: mend it\n  more: schedctl why night sums\n" in told
    assert f"{home.rejected / 'bad.toml'}.why.txt" in told


def test_a_round_tells_of_each_task_what_failed_and_of_a_task_everything(
    home: HomePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    night = troubled()
    paths = night.write(home)
    name, task = night.made.id, night.made.tasks[0].name
    run = paths.run("sums.quick.huge.s0.a1")
    run.error.write_text("CUDA out of memory")
    run.output.write_text("".join(f"step {n}\n" for n in range(100)) + "\x1b[31mCUDA out of memory\x1b[0m\n")
    told = why(home, capsys, name)
    assert told.startswith(f"{name}: parked\n{task} is parked (oom)")
    assert f"schedctl retry {name} {task}" in told
    assert "diverges quick seed 0 (nan): loss is nan at step 40" in told
    assert "crashes quick seed 0 (crash, 2 attempts):" in told
    whole = why(home, capsys, name, task)
    huge, *_ = whole.split("\n\n")[1:]
    assert huge.startswith("huge quick seed 0 (oom): CUDA out of memory. Tried to allocate 20.00 GiB")
    assert f"whole text: {run.error}" in huge
    assert huge.endswith("    step 99\n    CUDA out of memory")
    assert "step 90" not in huge


def test_a_round_that_went_well_says_that_nothing_failed(
    home: HomePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    night = confirmed(variants=4, candidates=1, seeds=1)
    night.write(home)
    assert "is finished, nothing failed" in why(home, capsys, night.made.id)


def test_a_round_that_was_never_accepted_says_why(
    home: HomePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    (home.rejected / "night.toml.why.txt").write_text("It was not accepted: 1 problem.\n\n  tasks: none\n")
    (home.queue / "later.toml").write_text("x")
    assert "tasks: none" in why(home, capsys, "night")
    assert "is not accepted yet" in why(home, capsys, "later")


@pytest.mark.parametrize("arguments", [("nowhere",), ("night", "nothing")])
def test_what_nobody_knows_is_an_error_with_a_code_of_its_own(
    home: HomePaths, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    night = troubled()
    night.write(home)
    given = [night.made.id if word == "night" else word for word in arguments]
    assert main(["--home", str(home.root), "why", *given]) == 3
    assert "schedctl: " in capsys.readouterr().err
