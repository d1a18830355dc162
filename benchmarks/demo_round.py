"""What does the demo's round take, against the same runs with a fresh process each? And with continuation?

The round is run by a real daemon. Then each of its runs is made again, whole, by a program of a few lines
in a process of its own, one after the other, and has to end with the same scores, bit for bit.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from subject import SCHEDCTL, environment, heading, row

SPEC = Path(__file__).resolve().parents[1] / "queue" / "examples" / "demo.toml"
SCHEDULES = ("cosine", "wsd")
#: demanded share of the time by hand
DEMANDS = {"cosine": 0.88, "wsd": 0.75}

BY_HAND = """
import sys
from pathlib import Path
import orjson
from trainers import future_seed
from trainers._recorder import scores_digest
from trainers.contract import Context
told = orjson.loads(sys.argv[1])
config = future_seed.Config.model_validate(told["config"])
context = Context(**told["context"], device="cpu", threads=1, cache_dir=Path(sys.argv[2]))
for evaluation in future_seed.train(future_seed.prepare(config, context), context):
    pass
print(orjson.dumps([evaluation.loss, evaluation.acc, scores_digest(evaluation)]).decode())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A round that has ended."""

    #: from its acceptance to its end
    wall_seconds: float
    #: finished runs that were really made
    runs: Sequence[Mapping[str, Any]]
    #: the whole config of a run, by its folder
    configs: Mapping[str, Mapping[str, Any]]

    @property
    def train_seconds(self) -> float:
        """Training and evaluating."""
        return sum(run["train_seconds"] for run in self.runs)

    @property
    def inherited_steps(self) -> int:
        return sum(run["inherited_steps"] or 0 for run in self.runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--schedules", nargs="*", choices=SCHEDULES, default=SCHEDULES)
    schedules = parser.parse_args().schedules
    rows = []
    with tempfile.TemporaryDirectory(prefix="roundhouse-benchmark-") as folder:
        for schedule in schedules:
            done = by_roundhouse(Path(folder) / schedule, schedule)
            hand_seconds, different = by_hand(Path(folder), done)
            rows += told_of(schedule, done, hand_seconds, different)
    print(heading())
    print("\n".join(rows))


def told_of(schedule: str, done: Done, hand_seconds: float, different: int) -> list[str]:
    runs = len(done.runs)
    share = done.wall_seconds / hand_seconds
    same = f"{runs - different} of {runs} runs ended alike, bit for bit"
    return [
        row(f"{schedule}: {runs} runs with a fresh process each", "-", f"{hand_seconds:.0f} s"),
        row(
            f"{schedule}: the round by Roundhouse",
            f"<= {100 * DEMANDS[schedule]:.0f} % of that",
            f"{done.wall_seconds:.0f} s, {100 * share:.1f} %; training {done.train_seconds:.0f} s",
        ),
        row(f"{schedule}: results", "the same", f"{same}; {done.inherited_steps} steps inherited"),
    ]


def by_roundhouse(home: Path, schedule: str) -> Done:
    """The demo's round under one learning-rate schedule, in a home of its own."""
    (home / "queue").mkdir(parents=True)
    spec = SPEC.read_text()
    if schedule != SCHEDULES[0]:  # that is the trainer's own
        spec = spec.replace("[tasks.args]\n", f'[tasks.args]\nlr_schedule = "{schedule}"\n')
    (home / "queue" / "demo.toml").write_text(spec)
    (home / "roundhouse.toml").write_text('device = "cpu"\n')
    daemon = [SCHEDCTL, "--home", home, "daemon", "--until-idle"]
    subprocess.run(daemon, check=True, stdout=subprocess.DEVNULL, env=environment())
    results = home / "results" / "demo"
    records = [orjson.loads(line) for line in (results / "records.jsonl").read_bytes().splitlines()]
    runs = [r for r in records if r["event"] == "run_finished" and r["cached_from"] is None]
    configs = {
        run["run_dir"]: orjson.loads((results / "runs" / run["run_dir"] / "config.json").read_bytes())["args"]
        for run in runs
    }
    ends = {r["event"]: moment(r) for r in records if r["event"] in ("round_accepted", "round_finished")}
    return Done(wall_seconds=ends["round_finished"] - ends["round_accepted"], runs=runs, configs=configs)


def by_hand(folder: Path, done: Done) -> tuple[float, int]:
    """Seconds of all those runs, and how many of them ended otherwise."""
    alone = {**environment(), "OMP_NUM_THREADS": "1"}
    seconds, different = 0.0, 0
    for run in done.runs:
        context = {"seed": run["seed"], "stage": run["stage"], "bsz": run["bsz"], **run["budget"]}
        told = orjson.dumps({"config": done.configs[run["run_dir"]], "context": context}).decode()
        begun = time.monotonic()
        ended = subprocess.run(
            [sys.executable, "-c", BY_HAND, told, str(folder)],
            check=True,
            env=alone,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        seconds += time.monotonic() - begun
        told_at_last = ended.stdout.splitlines()[-1]  # a trainer may print, too
        different += orjson.loads(told_at_last) != [run["loss"], run["acc"], run["scores_digest"]]
    return seconds, different


def moment(record: Mapping[str, Any]) -> float:
    return datetime.datetime.fromisoformat(record["ts"]).timestamp()


if __name__ == "__main__":
    main()
