"""What does a run cost beside its training? The same small trainings, three ways, in one sitting.

By hand: a fresh process for each, one after the other. Roundhouse without and with preparing the next run
while one trains. The training itself is the same code and the same steps in all three.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import orjson
from subject import SCHEDCTL, environment, heading, row

VARIANTS = 7
SPEC = """
round = "handover"
[policy]
name = "threshold"
d_acc = 100.0
[stages.quick]
max_steps = {steps}
time_budget_sec = 600
n_eval = 256
[[tasks]]
name = "sudoku"
trainer = "future_seed"
bsz = 32
[tasks.args]
task = "sudoku"
side = 4
masked = 6
layout = "infill"
[tasks.grid_base]
gate = "scalar"
[tasks.grid]
alpha_init = {alphas}
"""

BY_HAND = """
import sys
from pathlib import Path
from trainers import future_seed
from trainers.contract import Context
config = future_seed.Config.model_validate(
    {"task": "sudoku", "side": 4, "masked": 6, "layout": "infill", "gate": "scalar"}
)
context = Context(
    seed=0, stage="quick", max_steps=int(sys.argv[1]), time_budget_sec=600.0, eval_every=None, n_eval=256,
    bsz=32, device="cpu", threads=1, cache_dir=Path(sys.argv[2]),
)
for evaluation in future_seed.train(future_seed.prepare(config, context), context):
    pass
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=150, help="optimizer steps of each run (default 150)")
    steps = parser.parse_args().steps
    runs = VARIANTS + 1
    with tempfile.TemporaryDirectory(prefix="roundhouse-benchmark-") as folder:
        by_hand(Path(folder), steps)  # files and bytecode are warm from here on, for everybody
        hand_seconds = sum(by_hand(Path(folder), steps) for _ in range(runs))
        rows = [("a fresh process for each, by hand", hand_seconds, None)]
        for is_ahead in (False, True):
            wall_seconds, train_seconds = by_roundhouse(Path(folder) / f"ahead-{is_ahead}", steps, is_ahead)
            what = "Roundhouse, next run prepared" if is_ahead else "Roundhouse, nothing prepared"
            rows.append((what, wall_seconds, train_seconds))
    print(heading())
    for what, wall_seconds, train_seconds in rows:
        told = f"{wall_seconds / runs:.2f} s a run, {wall_seconds / hand_seconds:.2f} of by hand"
        if train_seconds is not None:
            told += f"; training {100 * train_seconds / wall_seconds:.0f} % of the time"
        print(row(f"{runs} runs of {steps} steps: {what}", "-", told))


def by_hand(folder: Path, steps: int) -> float:
    """Seconds of one training in a process of its own."""
    begun = time.monotonic()
    command = [sys.executable, "-c", BY_HAND, str(steps), str(folder)]
    alone = {**environment(), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=alone, stderr=subprocess.DEVNULL)
    return time.monotonic() - begun


def by_roundhouse(home: Path, steps: int, is_ahead: bool) -> tuple[float, float]:
    """Seconds from the first run's intent to the last one's end, and seconds of training among them."""
    (home / "queue").mkdir(parents=True)
    alphas = [-2.0 - number / 10 for number in range(VARIANTS)]
    (home / "queue" / "handover.toml").write_text(SPEC.format(steps=steps, alphas=alphas))
    settings = f'device = "cpu"\nprepare_ahead = {str(is_ahead).lower()}\n'
    (home / "roundhouse.toml").write_text(settings)
    daemon = [SCHEDCTL, "--home", home, "daemon", "--until-idle"]
    subprocess.run(daemon, check=True, stdout=subprocess.DEVNULL, env=environment())
    records = [
        orjson.loads(line)
        for line in (home / "results" / "handover" / "records.jsonl").read_bytes().splitlines()
    ]
    times = [
        time_of(record["ts"]) for record in records if record["event"] in ("run_intended", "run_finished")
    ]
    trained = [record["train_seconds"] for record in records if record["event"] == "run_finished"]
    return max(times) - min(times), sum(trained)


def time_of(stamp: str) -> float:
    return datetime.datetime.fromisoformat(stamp).timestamp()


if __name__ == "__main__":
    main()
