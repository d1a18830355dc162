"""A real daemon on a real home: files are dropped, processes are killed, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import orjson
import psutil
import pytest
from real_home import Home, wait_until


def ends(home: Home, round_id: str) -> list[tuple[str, str, int, str]]:
    return [
        (record["stage"], record["config"], record["attempt"], record["status"])
        for record in home.events(round_id, "run_finished")
    ]


PLAIN = [
    ("quick", "baseline", 1, "ok"),
    ("quick", "good", 1, "ok"),
    ("medium", "baseline", 1, "ok"),
    ("medium", "good", 1, "ok"),
    ("quick", "bad", 1, "ok"),
]


def test_a_dropped_spec_ends_in_records_and_a_summary(home: Home) -> None:
    home.start()
    home.drop("night", home.spec("night"))
    home.wait_for("night")
    assert ends(home, "night") == PLAIN
    verdicts = {r["config"]: r["verdict"] for r in home.events("night", "verdict_reached")}
    assert verdicts == {"good": "SUGGESTIVE", "bad": "INCONCLUSIVE"}
    summary = home.paths.round("night").summary_text
    wait_until(lambda: summary.exists() and "d_acc=+10.00pp" in summary.read_text(), "the summary")
    wait_until((home.paths.done / "night.toml").exists, "the move to done/")
    assert home.paths.round("night").spec(".toml").read_text() == home.spec("night")
    second = home.events("night", "run_started")[1]
    assert (second["config"], second["is_prepared_ahead"]) == ("good", True)


def test_a_run_leaves_its_files(home: Home) -> None:
    home.start()
    home.drop("night", home.spec("night"))
    [first, *_] = home.wait_for("night", "run_finished")
    folder = home.paths.round("night").run(first["run_dir"])
    assert orjson.loads(folder.config.read_bytes())["args"]["score"] == 0.5
    assert "val_acc: 0.5000" in folder.output.read_text()
    assert [orjson.loads(line)["acc"] for line in folder.metrics.read_bytes().splitlines()] == [0.25, 0.5]
    assert orjson.loads(folder.result.read_bytes())["acc"] == first["acc"] == 0.5


def test_plain_cp_and_mv_and_ten_at_once_all_run(home: Home, tmp_path: Path) -> None:
    home.start()
    names = [f"many-{number}" for number in range(10)]
    for name in [*names, "copied", "moved"]:
        text, _, _ = home.spec(name).partition("[tasks.variants.good]")
        (tmp_path / f"{name}.toml").write_text(text.replace("[stages.medium]\ntime_budget_sec = 120\n", ""))
    subprocess.run(["cp", tmp_path / "copied.toml", home.paths.queue], check=True)
    subprocess.run(["mv", tmp_path / "moved.toml", home.paths.queue], check=True)
    for name in names:
        shutil.copy(tmp_path / f"{name}.toml", home.paths.queue)
    for name in [*names, "copied", "moved"]:
        home.wait_for(name)
        assert ends(home, name) == [("quick", "baseline", 1, "ok")]


def broken_specs(home: Home) -> dict[str, tuple[str, str]]:
    """A bad spec by name, and words its refusal must hold."""
    sound = home.spec("x")
    return {
        "no-toml": ("round = [unclosed", "line 1"),
        "unknown-key": (sound.replace("time_budget_sec", "time_budget_secs"), "did you mean"),
        "no-trainer": (sound.replace('trainer = "command"', 'trainer = "comand"'), "did you mean 'command'"),
        "many-problems": (sound.replace("score = 0.6", "scroe = 0.6").replace("= 60", "= -1"), "scroe"),
    }


@pytest.mark.parametrize("name", ["no-toml", "unknown-key", "no-trainer", "many-problems"])
def test_a_bad_spec_is_refused_with_its_reason_and_others_run(home: Home, name: str) -> None:
    text, words = broken_specs(home)[name]
    home.start()
    home.drop(name, text)
    home.drop("sound", home.spec("sound"))
    home.wait_for("sound")
    refused = home.paths.rejected / f"{name}.toml"
    wait_until(refused.exists, "the refusal")
    assert refused.read_text() == text
    why = refused.with_name(f"{name}.toml.why.txt").read_text()
    assert words in why
    assert not (home.paths.queue / f"{name}.toml").exists()
    assert "REJECT" in home.log()


def failing_spec(home: Home, name: str, command: str, budget: int = 60) -> str:
    """A round whose variant `bad` runs another program."""
    return (
        home.spec(name)
        .replace('"train.py", "{score}", "{pause}"]', '"{script}", "{score}", "0"]')
        .replace("score = 0.4\n", f'score = 0.4\nscript = "{command}"\n')
        .replace("score = 0.5\n", 'score = 0.5\nscript = "train.py"\n')
        .replace("score = 0.6\n", 'score = 0.6\nscript = "train.py"\n')
        .replace("pause = 0.0\n", "")
        .replace("time_budget_sec = 60", f"time_budget_sec = {budget}")
    )


def test_a_command_that_exits_1_fails_with_its_text_and_the_others_run(home: Home) -> None:
    (home.paths.root / "fail.py").write_text("import sys; sys.exit('the moon is full')")
    home.start()
    home.drop("night", failing_spec(home, "night", "fail.py"))
    home.wait_for("night")
    failed = [r for r in home.events("night", "run_finished") if r["config"] == "bad"]
    assert [(r["status"], r["failure_class"]) for r in failed] == [("failed", "crash")] * 2
    assert "the moon is full" in failed[0]["error"]
    folder = home.paths.round("night").run(failed[0]["run_dir"])
    assert "the moon is full" in folder.error.read_text()
    verdicts = {r["config"]: r["verdict"] for r in home.events("night", "verdict_reached")}
    assert verdicts == {"good": "SUGGESTIVE", "bad": "LOSER"}
    assert "FAIL class=crash" in home.log()


@pytest.mark.fault(
    "a program neither ends nor answers to SIGTERM",
    moment="when its time budget is over",
    outcome="`timed_out`, and no process of it is left",
)
def test_a_command_that_hangs_is_ended_by_its_budget_and_leaves_no_process(home: Home) -> None:
    (home.paths.root / "hang.py").write_text(
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "os.fork() or os.setsid()\n"
        "time.sleep(3600)\n"
    )
    home.start()
    home.drop("night", failing_spec(home, "night", "hang.py", budget=2))
    home.wait_for("night")
    [hung] = [r for r in home.events("night", "run_finished") if r["config"] == "bad"]
    assert (hung["status"], hung["value"]) == ("timed_out", None)
    wait_until(lambda: not processes_naming(str(home.paths.root), "hang.py"), "the end of the hung command")


def processes_naming(folder: str, word: str) -> list[int]:
    """Processes that work in `folder` and have `word` among their arguments."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == folder and any(word in part for part in process.cmdline()):
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


@pytest.mark.fault(
    "kill -9 of the daemon",
    moment="while a run trains",
    outcome="that attempt is lost; a new one in a folder of its own repeats it, and nothing else is repeated",
)
def test_kill_9_in_a_medium_run_loses_only_that_attempt(home: Home) -> None:
    home.start()
    home.drop("night", home.spec("night", seconds=1.0))
    wait_until(
        lambda: [r for r in home.events("night", "run_started") if r["stage"] == "medium"], "a medium run"
    )
    before = home.events("night", "run_finished")
    home.kill()
    home.start()
    home.wait_for("night")
    after = home.events("night", "run_finished")
    assert after[: len(before)] == before
    assert ends(home, "night") == [
        *PLAIN[:2],
        ("medium", "baseline", 1, "lost"),
        ("medium", "baseline", 2, "ok"),
        *PLAIN[3:],
    ]
    lost, again = (r for r in after if (r["stage"], r["config"]) == ("medium", "baseline"))
    assert lost["run_dir"] != again["run_dir"]
    assert 0 <= lost["wall_seconds"] < 60
    good = Counter((r["content_key"]) for r in after if r["status"] == "ok")
    assert set(good.values()) == {1}


@pytest.mark.fault(
    "kill -9 of the daemon",
    moment="while one run trains and the next is prepared",
    outcome="workers and programs die with it",
)
def test_a_killed_daemon_takes_its_worker_and_the_command_with_it(home: Home) -> None:
    home.start()
    home.drop("night", home.spec("night", seconds=3600.0))
    [started] = home.wait_for("night", "run_started")
    folder = str(home.paths.root)
    wait_until(lambda: processes_naming(folder, "train.py"), "the command")
    wait_until(lambda: len(processes_naming(folder, "trainers")) == 2, "the worker and the next one")
    home.kill()
    wait_until(lambda: not psutil.pid_exists(started["pid"]), "the end of the worker")
    wait_until(lambda: not processes_naming(folder, "train.py"), "the end of the command")
    wait_until(lambda: not processes_naming(folder, "trainers"), "the end of the prepared worker")


@pytest.mark.fault(
    "SIGTERM of the daemon",
    moment="while a run trains",
    outcome="the run ends as cancelled, and the next daemon repeats it",
)
def test_sigterm_ends_the_run_and_the_next_daemon_goes_on(home: Home) -> None:
    process = home.start()
    home.drop("night", home.spec("night", seconds=1.0))
    home.wait_for("night", "run_started")
    process.terminate()
    assert process.wait(timeout=30) == 0
    assert ends(home, "night") == [("quick", "baseline", 1, "cancelled")]
    home.start()
    home.wait_for("night")
    assert ends(home, "night")[1:] == [("quick", "baseline", 2, "ok"), *PLAIN[1:]]


@pytest.mark.fault(
    "a second daemon is started on a home",
    moment="at any time",
    outcome="it names the first and exits with 75",
)
def test_a_second_daemon_on_the_home_exits_75_and_names_the_first(home: Home) -> None:
    first = home.start()
    began = time.monotonic()
    second = home.schedctl("daemon")
    assert second.returncode == os.EX_TEMPFAIL
    assert str(first.pid) in second.stderr
    assert "Traceback" not in second.stderr
    assert time.monotonic() - began < 10


def test_a_spec_dropped_while_no_daemon_ran_is_taken_at_the_start(home: Home) -> None:
    home.drop("night", home.spec("night"))
    process = home.start("--until-idle")
    assert process.wait(timeout=90) == 0
    assert ends(home, "night") == PLAIN


@pytest.mark.fault(
    "a spec is submitted again",
    moment="at any time",
    outcome="the same bytes change nothing, others under its id are refused",
)
def test_the_same_file_again_changes_nothing_and_another_under_its_id_is_refused(home: Home) -> None:
    home.start()
    home.drop("night", home.spec("night"))
    home.wait_for("night")
    home.drop("night", home.spec("night"))
    wait_until(lambda: not (home.paths.queue / "night.toml").exists(), "the known file's move")
    home.drop("night", home.spec("night").replace("0.6", "0.7"))
    refused = home.paths.rejected / "night.toml.why.txt"
    wait_until(refused.exists, "the conflict's refusal")
    assert "another id" in refused.read_text()
    assert ends(home, "night") == PLAIN


def test_pause_resume_and_cancel_are_obeyed(home: Home) -> None:
    home.start()
    assert home.schedctl("pause").returncode == 0
    wait_until(lambda: "paused" in home.log(), "the pause")
    home.drop("night", home.spec("night", seconds=3600.0))
    home.wait_for("night", "round_accepted")
    wait_until(lambda: "paused" in home.schedctl("status").stdout, "the reason in status")
    assert home.events("night", "run_intended") == []
    assert home.schedctl("resume").returncode == 0
    home.wait_for("night", "run_started")
    assert home.schedctl("cancel", "night").returncode == 0
    home.wait_for("night")
    assert ends(home, "night") == [("quick", "baseline", 1, "cancelled")]


def damage(path: Path) -> bytes:
    """Change a byte in the middle; returns the file as it then is."""
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"night", b"light", 1)
    path.write_bytes(b"".join(lines))
    return path.read_bytes()


def test_records_of_an_open_round_damaged_in_the_middle_refuse_a_start_with_78(home: Home) -> None:
    process = home.start()
    home.drop("night", home.spec("night", seconds=3600.0))
    home.wait_for("night", "run_started")
    process.kill()
    process.wait()
    path = home.paths.round("night").records
    damaged = damage(path)
    refused = home.schedctl("daemon")
    assert refused.returncode == os.EX_CONFIG
    assert "records.jsonl, line 2 " in refused.stderr
    assert path.read_bytes() == damaged


def test_records_of_an_ended_round_damaged_in_the_middle_are_found_by_doctor(home: Home) -> None:
    home.drop("night", home.spec("night"))
    assert home.start("--until-idle").wait(timeout=90) == 0
    path = home.paths.round("night").records
    damaged = damage(path)
    assert home.start("--until-idle").wait(timeout=90) == 0
    assert path.read_bytes() == damaged
    looked = home.schedctl("doctor")
    assert looked.returncode == 1
    assert f"{path}, line 2 " in looked.stdout


def test_wrong_settings_are_refused_with_64(home: Home) -> None:
    home.paths.settings.write_text('devise = "cpu"')
    refused = home.schedctl("daemon")
    assert refused.returncode == os.EX_USAGE
    assert "did you mean" in refused.stderr


def test_summaries_are_rebuilt_byte_for_byte(home: Home) -> None:
    home.drop("night", home.spec("night"))
    assert home.start("--until-idle").wait(timeout=90) == 0
    paths = home.paths.round("night")
    before = {path: path.read_bytes() for path in (paths.summary_text, paths.summary_markdown)}
    for path in before:
        path.unlink()
    assert home.schedctl("rebuild").returncode == 0
    assert {path: path.read_bytes() for path in before} == before


def test_status_says_why_nothing_runs(home: Home) -> None:
    home.start()
    wait_until(lambda: "the queue is empty" in home.schedctl("status").stdout, "the reason in status")
    assert home.stop() == 0
    assert "the daemon is down" in home.schedctl("status").stdout
