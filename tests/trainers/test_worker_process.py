"""A worker as the daemon meets it: a real child behind two pipes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.daemon import Worker

TRAINER = '''
"""A trainer whose every move a test decides."""
import os, pathlib, sys, time
import numpy as np
from trainers.contract import Evaluation, Fingerprint, TrainerConfig, DataError

print("imported")

class Config(TrainerConfig):
    steps: int = 3
    says: str = ""
    pause_seconds: float = 0.0
    fails_at: int = 0
    nan_at: int = 0
    fails_to_prepare: str = ""
    goes_on: bool = False

def fingerprint(config):
    path = pathlib.Path("data.txt")
    digest = str(path.stat().st_size) if path.exists() else "none"
    return Fingerprint(digest=digest, parts={"data.txt": digest})

def prepare(config, context):
    print("prepared", os.getcwd())
    if config.fails_to_prepare:
        raise DataError(config.fails_to_prepare)
    return config

def train(config, context):
    print("training in", context.run_dir.name)
    if config.says:
        os.system(config.says)
    try:
        for step in range(1, config.steps + 1):
            time.sleep(config.pause_seconds)
            if step == config.fails_at:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
            loss = float("nan") if step == config.nan_at else 1.0 / step
            scores = np.full(4, step / 10, dtype=np.float32)
            yield Evaluation(step=step, loss=loss, acc=step / 10, scores=scores, extra={"gate": step * 1.5})
    finally:
        print("closed")
'''


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "trainers").mkdir()
    (tmp_path / "trainers" / "fake.py").write_text(TRAINER)
    return tmp_path


@pytest.fixture
def worker(home: Path) -> Iterator[Worker]:
    worker = Worker(home)
    yield worker
    worker.close()


def tree(home: Path) -> set[str]:
    return {str(p.relative_to(home)) for p in home.rglob("*") if p.is_file() and "__pycache__" not in p.parts}


def test_a_run_to_max_steps_is_ok_and_leaves_every_file(worker: Worker, home: Path) -> None:
    result = worker.run()
    assert (result["status"], result["steps"], result["acc"], result["value"]) == ("ok", 3, 0.3, 0.3)
    assert result["loss"] == pytest.approx(1 / 3)
    assert result["best_val_loss"] == pytest.approx(1 / 3)
    assert result["best_val_tok_acc"] == 0.3
    assert result["curve"] == [[1, 0.1], [2, 0.2], [3, 0.3]]
    assert result["n_eval"] == 4
    assert result["extra"] == {"gate": 4.5}
    assert result["failure"] is None
    assert 0 < result["train_seconds"] <= result["wall_seconds"]
    assert 0.05 < result["startup_seconds"] < 30
    assert result["peak_memory_mib"] > 10
    assert json.loads((home / "run/result.json").read_bytes()) == result
    scores = np.load(home / "run/scores.npy")
    assert scores.dtype == np.float32
    assert result["scores_digest"] == hashlib.sha256(scores.tobytes()).hexdigest()[:16]
    lines = [json.loads(line) for line in (home / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert lines[2]["extra"] == {"gate": 4.5}
    assert [e["value"] for e in worker.evaluations] == [0.1, 0.2, 0.3]
    assert tree(home) == {
        "trainers/fake.py", "run/metrics.jsonl", "run/out.log", "run/result.json", "run/scores.npy"
    }  # fmt: skip


def test_what_was_printed_before_go_lies_in_out_log(worker: Worker, home: Path) -> None:
    worker.run()
    lines = (home / "run/out.log").read_text().splitlines()
    assert lines == ["imported", f"prepared {home}", "training in run", "closed"]


def test_end_of_file_before_go_leaves_no_trace(worker: Worker, home: Path) -> None:
    worker.prepare()
    worker.hear("prepared")
    worker.hang_up()
    assert worker.process.wait(timeout=10) == 0
    assert tree(home) == {"trainers/fake.py"}
    assert "prepared" in worker.printed()


def test_end_of_file_during_a_run_ends_it_at_once_with_its_children(worker: Worker, home: Path) -> None:
    worker.prepare(config={"says": "sleep 600 & echo $! > child", "pause_seconds": 600})
    worker.hear("prepared")
    worker.say("go", run_dir=str(home / "run"))
    wait_for(lambda: (home / "child").exists() and (home / "child").read_text().strip())
    child = int((home / "child").read_text())
    worker.hang_up()
    worker.process.wait(timeout=10)
    wait_for(lambda: not is_running(child))
    assert not (home / "run/result.json").exists()


def test_a_worker_serves_one_run_after_the_other(worker: Worker, home: Path) -> None:
    first = worker.run("one", config={"steps": 2}, max_steps=2)
    second = worker.run("two", config={"steps": 3}, max_steps=3)
    assert (first["steps"], second["steps"]) == (2, 3)
    assert second["startup_seconds"] < first["startup_seconds"]
    assert "training in two" not in (home / "one/out.log").read_text()
    assert (home / "two/out.log").read_text().splitlines()[0].startswith("prepared")


def test_a_failure_to_prepare_is_told_and_leaves_no_trace(worker: Worker, home: Path) -> None:
    worker.prepare(config={"fails_to_prepare": "Only built 374 examples (wanted 900)"})
    failure = worker.hear("failed")["failure"]
    assert failure["class"] == "data"
    assert failure["message"] == "Only built 374 examples (wanted 900)"
    assert failure["text"].startswith("imported")
    assert tree(home) == {"trainers/fake.py"}
    assert worker.run()["status"] == "ok"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"trainer": "fak"}, "no trainer 'fak': did you mean 'fake'?"),
        ({"config": {"stps": 1}}, "stps"),
    ],
)
def test_an_impossible_assignment_is_told(worker: Worker, fields: dict[str, Any], said: str) -> None:
    worker.prepare(**fields)
    failure = worker.hear("failed")["failure"]
    assert failure["class"] == "bad_args"
    assert said in failure["text"]


def test_a_failure_while_training_keeps_its_whole_text(worker: Worker, home: Path) -> None:
    result = worker.run(config={"fails_at": 2})
    assert result["status"] == "failed"
    assert result["failure"]["class"] == "oom"
    assert (result["acc"], result["value"], result["curve"]) == (None, None, [[1, 0.1]])
    text = (home / "run/error.txt").read_text()
    assert "Traceback" in text
    assert "training in run" in text
    assert text.rstrip().endswith("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_a_loss_that_is_not_a_number_fails_the_run(worker: Worker, home: Path) -> None:
    result = worker.run(config={"nan_at": 2})
    assert (result["status"], result["failure"]["class"]) == ("failed", "nan")
    assert result["failure"]["message"] == "loss is nan at step 2"
    assert result["loss"] == "nan"
    assert result["best_val_loss"] == 1.0
    assert "closed" in (home / "run/out.log").read_text()


def test_seconds_kill_at_the_next_evaluation(worker: Worker, home: Path) -> None:
    result = worker.run(config={"steps": 50, "pause_seconds": 0.2}, max_steps=50, seconds=0.5)
    assert result["status"] == "timed_out"
    assert result["steps"] == 3
    assert result["value"] == pytest.approx(0.3)
    assert "closed" in (home / "run/out.log").read_text()


def test_a_stop_takes_effect_at_the_next_evaluation(worker: Worker, home: Path) -> None:
    worker.prepare(config={"steps": 500, "pause_seconds": 0.05}, max_steps=500)
    worker.hear("prepared")
    worker.say("go", run_dir=str(home / "run"))
    worker.hear("evaluation")
    worker.say("stop", status="pruned", reason="a no-op")
    result = worker.hear("finished")["result"]
    assert result["status"] == "pruned"
    assert 1 <= result["steps"] < 500
    assert result["value"] == pytest.approx(result["steps"] / 10)


def test_a_trainer_that_ends_too_early_has_failed(worker: Worker) -> None:
    result = worker.run(config={"steps": 2}, max_steps=9)
    assert result["status"] == "failed"
    assert "step 2 of 9" in result["failure"]["message"]
    assert result["value"] is None


def test_a_run_without_the_objectives_metric_has_failed(worker: Worker) -> None:
    result = worker.run(metric="bleu")
    assert result["status"] == "failed"
    assert "no metric 'bleu'" in result["failure"]["message"]
    assert "gate" in result["failure"]["message"]


def test_an_objective_may_be_a_further_metric(worker: Worker) -> None:
    assert worker.run(metric="gate")["value"] == 4.5


@pytest.mark.parametrize(
    ("part", "changed"),
    [("source", "the trainer's source"), ("data", "data.txt"), ("versions", "torch (was 1.0, is absent)")],
)
def test_a_run_on_anything_but_what_was_accepted_is_refused(
    worker: Worker, home: Path, part: str, changed: str
) -> None:
    worker.prepare()
    accepted = worker.hear("prepared")["identity"]
    if part == "source":
        (home / "trainers/fake.py").write_text(TRAINER + "# changed\n")
    elif part == "data":
        (home / "data.txt").write_text("x")
    else:
        accepted["versions"] = {"torch": "1.0"}
    later = Worker(home)
    try:
        later.prepare(expect=accepted)
        failure = later.hear("failed")["failure"]
    finally:
        later.close()
    assert failure["class"] == "data"
    assert failure["message"].startswith(f"{changed} changed since the round was accepted")
    assert "submit the round under another id" in failure["message"]


def test_a_worker_runs_the_code_that_it_loaded(worker: Worker, home: Path) -> None:
    worker.prepare()
    accepted = worker.hear("prepared")["identity"]
    worker.say("go", run_dir=str(home / "one"))
    worker.hear("finished")
    (home / "trainers/fake.py").write_text(TRAINER + "# changed\n")
    worker.prepare(expect=accepted)
    assert worker.hear("prepared")["identity"] == accepted


def test_out_log_is_capped(worker: Worker, home: Path) -> None:
    says = "head -c 70000000 /dev/zero | tr '\\0' x"
    worker.run(config={"says": says})
    log = home / "run/out.log"
    assert log.stat().st_size == 64 * 2**20
    assert log.read_bytes().rstrip().endswith(b"[output beyond 64 MiB is dropped from here on]")


def test_a_worker_beats_while_it_trains(worker: Worker, home: Path) -> None:
    worker.prepare(config={"pause_seconds": 600})
    worker.hear("prepared")
    worker.say("go", run_dir=str(home / "run"))
    wait_for((home / "run/metrics.jsonl").exists)
    os.utime(home / "run", (0, 0))
    assert worker.hear("heartbeat", timeout=10)["rss_mib"] > 5
    wait_for(lambda: (home / "run").stat().st_mtime > time.time() - 60)


def test_sigterm_ends_a_worker_and_what_it_started(worker: Worker, home: Path) -> None:
    worker.prepare(config={"says": "setsid sleep 600 & echo $! > child", "pause_seconds": 600})
    worker.hear("prepared")
    worker.say("go", run_dir=str(home / "run"))
    wait_for(lambda: (home / "child").exists() and (home / "child").read_text().strip())
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(timeout=10) == 143
    wait_for(lambda: not is_running(int((home / "child").read_text())))


def test_a_probe_goes_down_until_a_step_fits_and_calibrates(home: Path, worker: Worker) -> None:
    (home / "trainers/probed.py").write_text(
        TRAINER.replace("time.sleep(config.pause_seconds)", "time.sleep(0.002)").replace(
            "range(1, config.steps + 1)",
            "range(context.eval_every, context.max_steps + 1, context.eval_every)",
        )
        + "\ndef full_step(config, context):\n"
        + "    if context.bsz > 32: raise MemoryError\n"
    )
    worker.prepare(
        trainer="probed",
        mode="probe",
        candidates=[64, 48, 32, 16],
        stages=[
            {"name": "quick", "max_steps": None, "time_budget_sec": 60.0},
            {"name": "medium", "max_steps": 650, "time_budget_sec": 420.0},
        ],
    )
    worker.hear("prepared")
    worker.say("go", run_dir=str(home / "probe"))
    result = worker.hear("finished")["result"]
    assert (result["status"], result["bsz"]) == ("ok", 32)
    seconds = result["extra"]["seconds_per_step"]
    assert 0.0003 < seconds < 0.1
    assert result["extra"]["max_steps.quick"] == int(0.85 * 60.0 / seconds)
    assert "max_steps.medium" not in result["extra"]
    assert "does not fit: 64: out of memory" in (home / "probe/out.log").read_text()


def test_a_probe_that_fails_otherwise_fails_with_its_message(home: Path, worker: Worker) -> None:
    (home / "trainers/probed.py").write_text(
        TRAINER + "\ndef full_step(config, context): raise DataError('no such corpus')\n"
    )
    worker.prepare(trainer="probed", mode="probe", candidates=[64, 32], stages=[])
    worker.hear("prepared")
    worker.say("go", run_dir=str(home / "probe"))
    result = worker.hear("finished")["result"]
    assert (result["status"], result["failure"]["class"]) == ("failed", "data")
    assert result["failure"]["message"] == "no such corpus"


def test_a_folder_that_cannot_be_written_fails_the_run_and_is_told(worker: Worker, home: Path) -> None:
    (home / "run").write_text("in the way")
    result = worker.run()
    assert result["status"] == "failed"
    assert "File exists" in result["failure"]["message"]
    assert worker.run("other")["status"] == "ok"


def test_a_result_that_cannot_be_published_is_no_success(worker: Worker, home: Path) -> None:
    result = worker.run(config={"says": "mkdir run/result.json"})
    assert (result["status"], result["value"], result["steps"]) == ("failed", None, 3)
    assert "Is a directory" in result["failure"]["message"]


def test_a_trainer_that_exits_fails_its_run_and_not_the_worker(home: Path, worker: Worker) -> None:
    code = TRAINER.replace("raise RuntimeError(", "sys.exit(").replace('print("closed")', "raise KeyError(1)")
    (home / "trainers/exiting.py").write_text(code)
    result = worker.run(trainer="exiting", config={"fails_at": 2})
    assert (result["status"], result["failure"]["class"]) == ("failed", "oom")
    assert worker.run("other", trainer="exiting", config={"steps": 9}, max_steps=1)["status"] == "ok"
    assert "KeyError" in (home / "other/out.log").read_text()


def test_uncommitted_changes_are_kept_with_the_run(home: Path, worker: Worker) -> None:
    git = ["git", "-C", str(home), "-c", "user.name=n", "-c", "user.email=e@x.example"]
    (home / "notes.txt").write_text("one\n")
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "notes.txt"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    (home / "notes.txt").write_text("two\n")
    result = worker.run()
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert result["git_commit"] == head.stdout.strip()
    assert "+two" in (home / "run/source.diff").read_text()


def test_a_worker_does_not_import_torch_by_itself(home: Path) -> None:
    code = "import sys, trainers._worker, trainers._check, trainers.command; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


#: prepares with a torch that only says what is asked of it
TORCH_OF_PAPER = """
import sys, types
from trainers.contract import Fingerprint, TrainerConfig
class Config(TrainerConfig):
    pass
def fingerprint(config):
    return Fingerprint(digest="paper")
def prepare(config, context):
    torch = types.ModuleType("torch")
    torch.zeros = lambda size, device: print(f"zeros on {device}", flush=True)
    torch.cuda = types.SimpleNamespace(synchronize=lambda: print("synchronized", flush=True))
    sys.modules["torch"] = torch
def train(prepared, context):
    yield None
"""


@pytest.mark.parametrize(
    ("asked", "device", "printed"),
    [
        (True, "cuda:0", "zeros on cuda:0\nsynchronized\n"),
        (False, "cuda:0", ""),
        (True, "cpu", ""),
    ],
)
def test_the_gpu_is_touched_before_go_only_where_that_is_asked_for(
    home: Path, worker: Worker, asked: bool, device: str, printed: str
) -> None:
    (home / "trainers" / "paper.py").write_text(TORCH_OF_PAPER)
    worker.prepare(trainer="paper", context_ahead=asked, context={"device": device})
    worker.hear("prepared")
    assert worker.printed() == printed


def wait_for(condition: Any, timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
