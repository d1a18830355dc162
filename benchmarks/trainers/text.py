"""How long do the text tasks of `future_seed` take on their fixtures, and do they learn there?

Times are processor seconds of one thread: the clock of a shared machine tells little.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]

from subject import heading  # noqa: E402
from text_fixtures import TASKS, config_of, context  # noqa: E402

from trainers import _sandbox  # noqa: E402
from trainers.contract import Evaluation  # noqa: E402
from trainers.future_seed import prepare, train  # noqa: E402

#: programs run in a row to time the sandbox
PROGRAMS = 20

#: what a row shows of a task beside its accuracy
SHOWN = {
    "mbpp": ("pass_rate",),
    "protein_ss": ("constant_floor",),
    "protein_contact": ("balanced_acc", "auc"),
    "retrieval_embedding": ("r5", "mrr10"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60, help="optimizer steps of each task")
    parser.add_argument("--task", action="append", choices=[*TASKS], help="only this, or these")
    arguments = parser.parse_args()
    print(heading())
    print(f"| Task, {arguments.steps} steps of 8 | train, eval | prepare | train and score | loss | acc | |")
    print("|---|---|---|---|---|---|---|")
    for task in arguments.task or TASKS:
        print(row(task, arguments.steps), flush=True)
    print(f"\nThe sandbox: {sandbox_seconds() * 1000:.0f} ms of the clock a program")


def row(task: str, steps: int) -> str:
    with tempfile.TemporaryDirectory(prefix="roundhouse-benchmark-") as folder, redirect_stdout(StringIO()):
        here = context(Path(folder), max_steps=steps, eval_every=max(1, steps // 4), bsz=8)
        begun = time.process_time()
        prepared = prepare(config_of(task), here)
        ready = time.process_time()
        evaluations: list[Evaluation] = list(train(prepared, here))
        ended = time.process_time()
    sides = prepared.exercise
    first, last = evaluations[0], evaluations[-1]
    shown = ", ".join(f"{name} {last.extra[name]:.2f}" for name in SHOWN.get(task, ()))
    return (
        f"| `{task}` | {len(sides.train)}, {len(sides.evaluation)} | {ready - begun:.2f} s "
        f"| {ended - ready:.2f} s | {first.loss:.2f} -> {last.loss:.2f} "
        f"| {last.acc:.2f} (chance {last.extra['chance']:.2f}) | {shown} |"
    )


def sandbox_seconds() -> float:
    """By the clock, and so with the start of the interpreter that each program gets."""
    _sandbox.check()
    begun = time.monotonic()
    for _ in range(PROGRAMS):
        ending = _sandbox.run(["def f(x):\n    return x", "assert f(1) == 1"], seconds=3, memory_mib=512)
        assert ending is _sandbox.Ending.FINISHED
    return (time.monotonic() - begun) / PROGRAMS


if __name__ == "__main__":
    main()
