"""schedctl beside a daemon that lives: requests are answered, progress is seen, the log can be followed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import termios
from pathlib import Path

import pytest
from real_home import Home, wait_until

from scheduler import daemon
from scheduler.cli import main
from scheduler.effects import ownership
from scheduler.effects.plain_text import plain_line
from scheduler.rounds.errors import CorruptRecordsError


def test_requests_are_answered_by_a_living_daemon(home: Home) -> None:
    home.start()
    assert home.schedctl("pause", "--reason", "lunch").stdout == "paused\n"
    first = home.schedctl("status").stdout.splitlines()[0]
    assert first == "nothing runs: the queue is empty"
    home.drop("night", home.spec("night"))
    wait_until(lambda: home.events("night", "round_accepted"), "the acceptance")
    wait_until(
        lambda: home.schedctl("status").stdout.startswith("nothing runs: paused: lunch\n"), "the reason"
    )
    assert home.schedctl("resume").stdout == "resumed\n"
    home.wait_for("night")
    assert home.schedctl("cancel", "night").stdout == "round night has already ended\n"
    assert home.schedctl("retry", "night").stdout == "nothing to retry\n"


def test_requests_made_while_the_daemon_was_down_are_carried_out(home: Home) -> None:
    assert "stored" in home.schedctl("pause", "--reason", "lunch").stdout
    home.drop("night", home.spec("night"))
    home.start()
    wait_until(lambda: home.events("night", "round_accepted"), "the acceptance")
    wait_until(lambda: "paused: lunch" in home.schedctl("status").stdout, "the reason")
    assert home.events("night", "run_started") == []


def test_progress_is_seen_while_a_run_trains_and_drain_lets_it_end(home: Home) -> None:
    daemon = home.start()
    home.drop("night", home.spec("night", seconds=6.0))
    wait_until(
        lambda: "step 1" in home.schedctl("status").stdout, "an evaluation of the run under way in the status"
    )
    told = json.loads(home.schedctl("status", "--json").stdout)
    [run] = told["status"]["running"]
    assert (run["round"], run["task"], run["stage"], run["config"]) == ("night", "sums", "quick", "baseline")
    first = home.schedctl("status").stdout.splitlines()[0]
    assert first.startswith("night: task 1 of 1 (sums), quick baseline seed 0, run 1 of 3 to 6, ")
    assert home.schedctl("drain").stdout == "draining\n"
    assert daemon.wait(timeout=60) == 0
    [end] = home.events("night", "run_finished")
    assert end["status"] == "ok"


def test_follow_shows_lines_as_they_are_written(home: Home) -> None:
    home.start()
    follower = subprocess.Popen(
        home.command("follow", "--lines", "0"),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert follower.stdout is not None
    try:
        home.drop("night", home.spec("night"))
        for line in follower.stdout:
            if " PRUNE task=sums cfg=bad d_acc=-10.00pp (< +0.30pp) " in line:
                break
    finally:
        follower.send_signal(signal.SIGINT)
        follower.stdout.close()
        assert follower.wait(timeout=20) == 0


def test_a_second_daemon_ends_at_once_and_names_the_first(home: Home) -> None:
    first = home.start()
    second = home.schedctl("daemon")
    assert second.returncode == 75
    assert f"process {first.pid}" in second.stderr


@pytest.fixture
def spec(home: Home, tmp_path: Path) -> Path:
    """A round of quick commands that needs nothing of a home."""
    program = tmp_path / "train.py"
    program.write_text((home.paths.root / "train.py").read_text())
    text = home.spec("tiny").replace("train.py", str(program))
    path = tmp_path / "tiny.toml"
    path.write_text(text)
    return path


def in_a_terminal(command: list[str]) -> str:
    """Everything a command writes to the terminal it runs in, colours and cursor movements left out."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
    # The terminal tells its own size, whatever a test runner says of it.
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    environment["TERM"] = "xterm-256color"
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        # Linux ends a terminal without another side with EIO.
        with contextlib.suppress(OSError):
            while data := os.read(ours, 65536):
                shown += data
        os.close(ours)
    assert process.returncode == 0, shown
    return "\n".join(plain_line(line) for line in shown.decode().split("\n"))


class TestDemo:
    def demo(self, home: Home, folder: Path, spec: Path) -> subprocess.CompletedProcess[str]:
        return home.schedctl("demo", "--dir", str(folder), "--spec", str(spec))

    def test_a_round_is_run_and_reported_and_may_be_run_again(
        self, home: Home, spec: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "demo"
        for _ in range(2):
            ran = self.demo(home, folder, spec)
            assert ran.returncode == 0, ran.stderr
            assert " PROMOTE task=sums cfg=good d_acc=+10.00pp " in ran.stdout
            assert "    good                     d_acc=+10.00pp acc=60.00%" in ran.stdout
            assert ran.stdout.endswith(f"records: {folder}/results/tiny/records.jsonl\n")
            records = (folder / "results" / "tiny" / "records.jsonl").read_text()
            assert records.count('"event":"round_finished"') == 1

    def test_a_terminal_sees_decisions_fall_above_a_bar(self, home: Home, spec: Path, tmp_path: Path) -> None:
        spec.write_text(spec.read_text().replace("pause = 0.0", "pause = 1.0"))
        shown = in_a_terminal(home.command("demo", "--dir", str(tmp_path / "demo"), "--spec", str(spec)))
        assert "PROMOTE task=sums cfg=good d_acc=+10.00pp (>= +0.30pp) stage=quick to=medium" in shown
        assert "tiny: task 1 of 1 (sums), quick baseline seed 0, run 1 of 3 to 6, " in shown
        assert "\u2501" in shown
        assert "RUN task=" not in shown
        assert "medium confirmed:" in shown

    def test_a_folder_that_is_not_the_demos_is_left_alone(
        self, home: Home, spec: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "precious"
        folder.mkdir()
        (folder / "thesis.txt").write_text("years of work")
        ran = self.demo(home, folder, spec)
        assert ran.returncode == 2
        assert "is not empty and was not made by the demo" in ran.stderr
        assert [path.name for path in folder.iterdir()] == ["thesis.txt"]
        (tmp_path / "link").symlink_to(folder)
        assert self.demo(home, tmp_path / "link", spec).returncode == 2

    def test_a_spec_with_problems_ends_it_before_it_begins(
        self, home: Home, spec: Path, tmp_path: Path
    ) -> None:
        spec.write_text(spec.read_text().replace("d_acc", "d_ac"))
        ran = self.demo(home, tmp_path / "demo", spec)
        assert ran.returncode == 2
        assert ran.stderr.startswith("tiny.toml: ")

    def test_ctrl_c_ends_the_daemon_in_order_and_says_how_to_go_on(
        self, home: Home, spec: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "demo"
        spec.write_text(spec.read_text().replace("pause = 0.0", "pause = 60.0"))
        demo = subprocess.Popen(
            home.command("demo", "--dir", str(folder), "--spec", str(spec)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        assert demo.stdout is not None
        for line in demo.stdout:
            if " RUN task=sums " in line:
                break
        demo.send_signal(signal.SIGINT)
        _, error = demo.communicate(timeout=60)
        assert demo.returncode == 130
        assert f"`schedctl --home {folder} daemon` goes on where it was" in error
        assert "Traceback" not in error
        records = (folder / "results" / "tiny" / "records.jsonl").read_text()
        assert '"status":"cancelled"' in records
        journal = (folder / "results" / "journal.jsonl").read_text()
        assert '"event":"daemon_stopped"' in journal


@pytest.mark.fault(
    "a home on a network file system",
    moment="at the start",
    outcome="refused, unless the settings say otherwise",
)
def test_a_home_on_a_network_file_system_is_refused_unless_told_otherwise(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ownership, "is_network_filesystem", lambda _: "nfs4")
    monkeypatch.setattr(daemon, "replay", refuse)
    assert main(["--home", str(home.paths.root), "daemon"]) == os.EX_USAGE
    assert "is on a network file system (nfs4)" in capsys.readouterr().err
    home.set("allow_network_filesystem", "true")
    assert main(["--home", str(home.paths.root), "daemon"]) == os.EX_CONFIG


def refuse(*_: object) -> None:
    raise CorruptRecordsError("as far as the records")
