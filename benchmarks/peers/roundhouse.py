"""What does Roundhouse cost? A real daemon on a real home, with any program or a trainer prepared ahead."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from _work import HERE, Way, Work

MODULES = ("scheduler", "trainers")
PROGRAMS: tuple[str, ...] = ()
COMMAND, PREPARED = "Roundhouse, any program", "Roundhouse, prepared trainer"
WAYS = (
    Way(name=COMMAND, isolation="a process per run"),
    Way(name=PREPARED, isolation="a process per run", is_screened=True),
)
SCHEDCTL = Path(sys.executable).with_name("schedctl")
READY_SECONDS, STOP_SECONDS, LOOK_SECONDS = 60.0, 60.0, 0.02
#: far more than a run takes: the steps decide
BUDGET_SECONDS = 3600

#: the mark by which processes are found is handed on, so that what a run leaves behind is found too
SETTINGS = 'device = "cpu"\nenvironment = ["ROUNDHOUSE_PEERS_MARK"]\n'

ROUND = """
round = "peers"
objective = {{ metric = "loss", direction = "minimize", unit = "mse", min_effect = 1e-9 }}
[policy]
name = "threshold"
min_delta = 0.0
stops = []
[stages.quick]
max_steps = {quick_steps}
time_budget_sec = {budget}
{medium}
[[tasks]]
name = "rates"
trainer = "{trainer}"
[tasks.args]
{args}
[tasks.baseline]
learning_rate = {baseline}
[tasks.grid]
learning_rate = {variants}
"""
ARGS = {
    COMMAND: """
kind = {kind}
journal = {journal}
inputs = [{program}]
env = {{ OMP_NUM_THREADS = "1" }}
argv = [{python}, {program}, "--kind", "{{kind}}", "--steps", "{{steps}}",
        "--learning_rate", "{{learning_rate}}", "--journal", "{{journal}}"]
""",
    PREPARED: "kind = {kind}\njournal = {journal}\n",
}


@contextmanager
def opened(way: Way, folder: Path) -> Iterator[Callable[[Work], None]]:
    home = folder / "home"
    for name in ("queue", "results", "trainers/peer_trial"):
        (home / name).mkdir(parents=True)
    (home / "roundhouse.toml").write_text(SETTINGS)
    shutil.copy(HERE / "_home_trainer.py", home / "trainers" / "peer_trial" / "__init__.py")
    shutil.copy(HERE / "trial.py", home / "trainers" / "peer_trial" / "trial.py")
    with (home / "daemon.out").open("wb") as output:
        daemon = subprocess.Popen(
            [SCHEDCTL, "--home", home, "daemon"], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _wait_for((home / "results" / "status.json").exists, daemon, home)
        yield lambda work: run(work, way, home, daemon)
    finally:
        daemon.terminate()
        daemon.wait(timeout=STOP_SECONDS)


def run(work: Work, way: Way, home: Path, daemon: subprocess.Popen[bytes]) -> None:
    spec = home / "peers.toml"
    spec.write_text(spec_of(work, way))
    os.utime(spec, (0, 0))
    records = home / "results" / "peers" / "records.jsonl"
    spec.rename(home / "queue" / "peers.toml")
    _wait_for(lambda: _is_finished(records) or _is_rejected(home), daemon, home)
    events = [json.loads(line) for line in records.read_bytes().splitlines()] if records.exists() else []
    finished = sum(event["event"] == "run_finished" for event in events)
    if finished != work.runs:
        raise RuntimeError(f"{finished} runs instead of {work.runs}:\n{_told(home)}")


def spec_of(work: Work, way: Way) -> str:
    """The round as Roundhouse is told it: the first variant is the baseline."""
    values = {
        "kind": work.kind,
        "journal": str(work.journal),
        "program": str(HERE / "trial.py"),
        "python": sys.executable,
    }
    baseline, *variants = work.learning_rates
    medium = f"[stages.medium]\nmax_steps = {work.medium_steps}\ntime_budget_sec = {BUDGET_SECONDS}\n"
    return ROUND.format(
        quick_steps=work.quick_steps,
        budget=BUDGET_SECONDS,
        medium=medium if work.medium_steps else "",
        trainer="command" if way.name == COMMAND else "peer_trial",
        args=ARGS[way.name].format(**{name: json.dumps(value) for name, value in values.items()}),
        baseline=baseline,
        variants=variants,
    )


def _is_finished(records: Path) -> bool:
    if not records.exists():
        return False
    with records.open("rb") as file:
        file.seek(max(0, records.stat().st_size - 4096))
        return b'"round_finished"' in file.read()


def _is_rejected(home: Path) -> bool:
    return any((home / "queue" / "rejected").glob("*.txt"))


def _wait_for(condition: Callable[[], bool], daemon: subprocess.Popen[bytes], home: Path) -> None:
    while not condition():
        if daemon.poll() is not None:
            raise RuntimeError(f"the daemon ended:\n{_told(home)}")
        time.sleep(LOOK_SECONDS)


def _told(home: Path) -> str:
    paths = [home / "daemon.out", home / "results" / "launcher.log", *home.glob("queue/rejected/*.txt")]
    return "\n".join(path.read_text() for path in paths if path.exists())[-4000:]
