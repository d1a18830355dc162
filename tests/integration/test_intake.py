"""Do real children tell rounds from hostile files, whatever they hold and whatever trainers do?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from scheduler.decide.inputs import SpecChecked
from scheduler.effects import child
from scheduler.effects.child import run_child
from scheduler.effects.intake import check_spec, rejection_text
from scheduler.rounds.paths import HomePaths
from scheduler.rounds.round import Round

TRAINER = '''
"""Fits a line."""
from trainers.contract import Fingerprint, TrainerConfig

class Config(TrainerConfig):
    width: int = 8
    lr: float = 0.1

def fingerprint(config):
    return Fingerprint(digest="d")

def prepare(config, context):
    raise NotImplementedError

def train(prepared, context):
    raise NotImplementedError
'''
SPEC = """
round = "night"
[policy]
d_acc = 0.3
[stages.quick]
max_steps = 5
time_budget_sec = 10
[[tasks]]
name = "line"
trainer = "line"
[tasks.args]
width = 4
[tasks.variants.hot]
lr = 1.0
[tasks.grid]
lr = [0.2, 0.3]
"""


@pytest.fixture
def home(tmp_path: Path) -> HomePaths:
    paths = HomePaths(tmp_path)
    paths.trainers.mkdir()
    (paths.trainers / "line.py").write_text(TRAINER)
    return paths


def checked(home: HomePaths, text: str | bytes, file: str = "x.toml", **limits: float) -> SpecChecked:
    return check_spec(text.encode() if isinstance(text, str) else text, file, home, **limits)


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_a_sound_file_becomes_a_round(home: HomePaths) -> None:
    found = checked(home, SPEC, "dropped.TOML")
    assert found.problems == ()
    assert found.spec is not None
    assert (found.file, found.suffix) == ("dropped.TOML", ".toml")
    made = Round.from_json(found.spec)
    (task,) = made.tasks
    assert made.id == "night"
    assert [variant.name for variant in task.variants] == ["hot", "lr-0.2", "lr-0.3"]
    assert task.variant("lr-0.2").config == {"width": 4, "lr": 0.2}
    assert task.policy.options == {"min_delta": 0.3}
    assert Round.from_json(json.loads(json.dumps(found.spec))) == made


def test_toml_and_json_of_the_same_shape_are_the_same_round(home: HomePaths) -> None:
    spec = {
        "stages": {"quick": {"time_budget_sec": 10}},
        "tasks": [{"name": "line", "trainer": "line", "variants": {"hot": {"lr": 1.0}}}],
    }
    toml = """
        stages.quick.time_budget_sec = 10
        [[tasks]]
        name = "line"
        trainer = "line"
        variants.hot.lr = 1.0
    """
    assert checked(home, json.dumps(spec), "a.json").spec == checked(home, toml, "a.toml").spec is not None


def test_problems_of_the_file_and_of_the_trainer_come_together(home: HomePaths) -> None:
    text = SPEC.replace("d_acc", "d_ac").replace("lr = 1.0", 'lr = "hot"').replace("width = 4", "widht = 4")
    paths = {problem.partition(": ")[0] for problem in checked(home, text).problems}
    assert paths == {"policy.d_ac", "tasks[0].variants.hot.lr", "tasks[0].args.widht"}


def test_two_variants_that_are_the_same_are_refused(home: HomePaths) -> None:
    (problem,) = checked(home, SPEC + "[tasks.variants.again]\nlr = 1\n").problems
    assert problem.startswith("tasks[0].variants.again: is the same as hot")


def test_an_unknown_trainer_is_refused_with_the_nearest_known_one(home: HomePaths) -> None:
    (problem,) = checked(home, SPEC.replace('trainer = "line"', 'trainer = "lime"')).problems
    assert problem.startswith("tasks[0].trainer: ")
    assert "'line'" in problem


@pytest.mark.parametrize(
    ("data", "file", "words"),
    [
        (b"", "x.toml", "the file is empty"),
        (b"\0" * 100, "x.toml", "NUL"),
        (b"\xff\xfe", "x.json", "not UTF-8"),
        (b"a = " + b"[" * 100_000, "x.toml", "nested more than 16 levels deep"),
        (b'{"a":' * 40_000, "x.json", "nested more than 16 levels deep"),
        (b"x" * 300_000, "x.toml", "at most 262144 are read"),
        (b"a" + b".a" * 10_000 + b" = 1", "x.toml", ""),
        (b"a" + b".a" * 120_000 + b" = 1", "x.toml", "more than 2 s of processor time"),
        (b"x = 1", "x.yaml", "must be called *.toml or *.json"),
        (b"x = 1", "x", "must be called *.toml or *.json"),
    ],
    ids=["empty", "nul", "latin", "arrays", "objects", "large", "dotted", "very dotted", "yaml", "no suffix"],
)
@pytest.mark.fault("a spec makes the parser slow or large", moment="intake", outcome="2 s, 512 MiB, rejected")
def test_hostile_bytes_are_refused_within_the_limits(
    home: HomePaths, data: bytes, file: str, words: str
) -> None:
    (problem,) = checked(home, data, file).problems
    assert words in problem


def test_a_small_file_that_becomes_a_large_round_is_refused(home: HomePaths) -> None:
    base = "\n".join(f"k{i} = 1" for i in range(15_000))
    axes = f"a = {list(range(99))}\nb = {list(range(100))}"
    head = SPEC.partition("[tasks.grid]")[0]
    text = f"{head}[tasks.grid_base]\n{base}\n[tasks.grid]\n{axes}\n"
    (problem,) = checked(home, text).problems
    assert "MiB" in problem or "processor time" in problem


@pytest.mark.fault("a trainer hangs when it is imported", moment="intake", outcome="ended, the spec rejected")
def test_a_trainer_that_hangs_is_ended_with_all_it_started(home: HomePaths) -> None:
    (home.trainers / "line.py").write_text(
        "import subprocess, sys, time\nsubprocess.Popen(['sleep', '600'])\ntime.sleep(600)\n"
    )
    before = children()
    (problem,) = checked(home, SPEC, trainers_seconds=2.0).problems
    assert "the trainers did not answer within 2 s" in problem
    assert children() == before


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise RuntimeError('no luck')", "no luck"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by SIGKILL"),
        ("import os; os.kill(os.getpid(), 11)", "was ended by SIGSEGV"),
        ("import os; os._exit(0)", "ended with status 0"),
        ("import os; os._exit(7)", "ended with status 7"),
        ("import sys; sys.exit('enough')", "enough"),
        ("x = (", "line"),
    ],
    ids=["raises", "killed", "crashes", "vanishes", "exits", "sys.exit", "no python"],
)
def test_a_trainer_that_breaks_is_a_problem_in_plain_words(home: HomePaths, code: str, words: str) -> None:
    (home.trainers / "line.py").write_text(code)
    (problem,) = checked(home, SPEC).problems
    assert words in problem
    assert problem.isprintable()


@pytest.mark.fault("a trainer takes all memory", moment="intake", outcome="8 GiB, then it is a problem")
def test_a_trainer_that_takes_all_memory_is_a_problem(home: HomePaths) -> None:
    eager = "class Config(TrainerConfig):\n    width: int = len(bytearray(9 * 1024**3))\n"
    (home.trainers / "line.py").write_text(TRAINER.replace("class Config(TrainerConfig):\n", eager))
    (problem,) = checked(home, SPEC).problems
    assert "cannot be imported: MemoryError" in problem


def test_a_trainer_that_prints_is_not_in_the_way(home: HomePaths) -> None:
    (home.trainers / "line.py").write_text(TRAINER + "\nprint('hello' * 100_000)\n")
    assert checked(home, SPEC).problems == ()


def test_a_home_that_is_gone_is_a_problem(home: HomePaths) -> None:
    (problem,) = checked(HomePaths(home.root / "gone"), SPEC).problems
    assert "could not be started" in problem


@pytest.mark.fault("a file of the home is named like a module", moment="intake", outcome="it is not imported")
def test_no_module_of_the_home_hides_one_of_ours(home: HomePaths) -> None:
    (home.root / "json.py").write_text("raise RuntimeError('hidden')")
    (home.root / "trainers" / "pydantic.py").write_text("raise RuntimeError('hidden')")
    assert checked(home, SPEC).problems == ()


def test_files_are_checked_side_by_side(home: HomePaths) -> None:
    found: dict[str, SpecChecked] = {}

    def check(name: str, text: str) -> None:
        found[name] = checked(home, text, f"{name}.toml")

    texts = {f"r{i}": SPEC.replace('"night"', f'"r{i}"') for i in range(4)} | {"broken": "x ="}
    threads = [threading.Thread(target=check, args=item) for item in texts.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: spec.spec["id"] if spec.spec else None for name, spec in found.items()} == {
        **{f"r{i}": f"r{i}" for i in range(4)},
        "broken": None,
    }


def test_no_descriptor_is_left_open(home: HomePaths) -> None:
    checked(home, SPEC)
    before = os.listdir("/proc/self/fd")
    checked(home, SPEC)
    checked(home, "x =")
    assert os.listdir("/proc/self/fd") == before


def test_a_rejection_tells_every_problem_and_what_to_do(home: HomePaths) -> None:
    found = checked(home, SPEC.replace("max_steps", "max_step").replace("round =", "rnd ="))
    text = rejection_text(found)
    assert text.startswith("x.toml was not accepted: 2 problems.\n")
    assert 'stages.quick.max_step: unknown key; did you mean "max_steps"? (found 5)' in text
    assert "Correct the file and put it into queue/ again" in text
    assert found.sha256 in text


def test_reading_a_file_needs_none_of_the_slow_imports() -> None:
    code = (
        "import io, runpy, sys; slow = ('typer', 'rich', 'trainers', 'torch', 'numpy', 'scipy');"
        "sys.stdin = io.TextIOWrapper(io.BytesIO(b'[[\"x.toml\", 5]]\\nx = 1'));"
        "sys.argv = ['scheduler.rounds', '2'];"
        "runpy.run_module('scheduler.rounds', run_name='__main__');"
        "print([name for name in slow if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def test_a_child_that_closes_its_pipes_and_stays_is_ended_in_time() -> None:
    code = "import os, time; os.close(1); os.close(2); time.sleep(600)"
    started = time.monotonic()
    end = run_child(
        [sys.executable, "-c", code], stdin=b"", seconds=1.0, environment=os.environ, max_stdout_bytes=100
    )
    assert end.exceeded == "time"
    assert end.returncode == -9
    assert time.monotonic() - started < 10


def test_a_child_whose_own_child_holds_its_pipes_does_not_hold_us() -> None:
    code = "import subprocess; subprocess.Popen(['sleep', '600']); print('done')"
    before = children()
    end = run_child(
        [sys.executable, "-c", code], stdin=b"", seconds=30.0, environment=os.environ, max_stdout_bytes=100
    )
    assert (end.exceeded, end.stdout) == (None, b"done\n")
    assert children() == before


@pytest.mark.fault("a check answers just as it is looked at", moment="intake", outcome="the answer is heard")
def test_what_a_child_says_at_its_very_end_is_heard_however_late_one_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def looked_at_late(pid: int) -> bool:
        """As a busy machine does it: the process ends between the question and the answer."""
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT) is not None

    monkeypatch.setattr(child, "_has_ended", looked_at_late)
    code = "import time; time.sleep(0.3); print('done')"
    end = run_child(
        [sys.executable, "-c", code], stdin=b"", seconds=30.0, environment=os.environ, max_stdout_bytes=100
    )
    assert (end.exceeded, end.stdout) == (None, b"done\n")


def test_a_child_that_says_too_much_is_ended() -> None:
    code = "while True: print('x' * 10_000)"
    end = run_child(
        [sys.executable, "-c", code],
        stdin=b"",
        seconds=30.0,
        environment=os.environ,
        max_stdout_bytes=100_000,
    )
    assert end.exceeded == "output"


def test_a_child_gets_its_whole_input_even_when_it_reads_late() -> None:
    code = "import sys; sys.stdout.write('y' * 300_000); sys.stdout.flush(); print(len(sys.stdin.read()))"
    end = run_child(
        [sys.executable, "-c", code],
        stdin=b"x" * 1_000_000,
        seconds=30.0,
        environment=os.environ,
        max_stdout_bytes=1_000_000,
    )
    assert end.stdout.endswith(b"y1000000\n")
