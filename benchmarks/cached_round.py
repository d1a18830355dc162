"""What does a round cost that ran before under another name? The same search twice, by one daemon.

A small trainer of the home's own, so that what is seen is the daemon: its plan, its records with their
fsyncs, and the look at the first round's records and folders. A third round, `fresh`, runs it all once more.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson
from subject import SCHEDCTL, environment, heading, row

DEMANDED_MS = 20.0
READY_SECONDS = 30.0
ROUND_SECONDS = 600.0

TRAINER = '''
"""A score that is known beforehand, reached in a few steps."""

from collections.abc import Iterator

from trainers.contract import Context, Evaluation, Fingerprint, TrainerConfig


class Config(TrainerConfig):
    #: where the run ends
    score: float = 0.5


def fingerprint(config: Config) -> Fingerprint:
    return Fingerprint(digest="tiny", parts={})


def prepare(config: Config, context: Context) -> Config:
    return config


def train(prepared: Config, context: Context) -> Iterator[Evaluation]:
    for step in range(1, context.max_steps + 1):
        acc = prepared.score * step / context.max_steps
        yield Evaluation(step=step, loss=2.0 - acc, acc=acc, scores=None, extra={})
'''

SPEC = """
round = "{name}"
fresh = {fresh}
[policy]
name = "threshold"
d_acc = 100.0
stops = []
[stages.quick]
max_steps = 4
time_budget_sec = 60
eval_every = 1
[[tasks]]
name = "tiny"
trainer = "tiny"
[tasks.grid]
score = {scores}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", type=int, default=29, help="beside the baseline (default 29)")
    variants = parser.parse_args().variants
    with tempfile.TemporaryDirectory(prefix="roundhouse-benchmark-") as folder:
        home = Path(folder)
        (home / "trainers").mkdir()
        (home / "trainers" / "tiny.py").write_text(TRAINER)
        (home / "roundhouse.toml").write_text('device = "cpu"\n')
        with (home / "daemon.out").open("wb") as output:
            daemon = subprocess.Popen(
                [SCHEDCTL, "--home", home, "daemon"], stdout=output, stderr=output, env=environment()
            )
        try:
            wait_for(home / "results" / "status.json", READY_SECONDS, home)
            first = played(home, "first", variants)
            begun = cpu_seconds(daemon.pid)
            again = played(home, "again", variants)
            cpu_ms = 1000 * (cpu_seconds(daemon.pid) - begun) / (variants + 1)
            fsync_ms = fsyncs(home / "results" / "fsync", 3 * (variants + 1))
            fresh = played(home, "fresh", variants)
        finally:
            daemon.terminate()
            daemon.wait()
    print(heading())
    told = {"first": first, "again": again, "fresh": fresh}
    is_met = report(told, variants + 1, cpu_ms, fsync_ms)
    sys.exit(0 if is_met else 1)


def played(home: Path, name: str, variants: int) -> list[dict[str, Any]]:
    """The records of a round, from its submission to its end."""
    scores = [round(0.3 + 0.6 * number / variants, 4) for number in range(variants)]
    spec = SPEC.format(name=name, fresh=str(name == "fresh").lower(), scores=scores)
    temporary = home / f"{name}.partial"
    temporary.write_text(spec)
    temporary.rename(home / "queue" / f"{name}.toml")
    records = home / "results" / name / "records.jsonl"
    wait_for(records, ROUND_SECONDS, home)
    give_up = time.monotonic() + ROUND_SECONDS
    while time.monotonic() < give_up:
        lines = records.read_bytes().splitlines()
        if lines and b'"round_finished"' in lines[-1]:
            return [orjson.loads(line) for line in lines]
        time.sleep(0.05)
    sys.exit(f"round {name} did not end:\n{(home / 'daemon.out').read_text()}")


def wait_for(path: Path, seconds: float, home: Path) -> None:
    give_up = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > give_up:
            sys.exit(f"{path} did not come:\n{(home / 'daemon.out').read_text()}")
        time.sleep(0.01)


def cpu_seconds(pid: int) -> float:
    """What the daemon's process has used so far, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def fsyncs(path: Path, times: int) -> float:
    """Milliseconds of an append and its fsync here and now, on average: what every record costs."""
    begun = time.monotonic()
    with path.open("ab", buffering=0) as file:
        for _ in range(times):
            file.write(b"x" * 1000)
            os.fsync(file.fileno())
    return 1000 * (time.monotonic() - begun) / times


def report(told: dict[str, list[dict[str, Any]]], runs: int, cpu_ms: float, fsync_ms: float) -> bool:
    """Print the rows; whether the demands are met."""
    made = {name: count(records, "run_started") for name, records in told.items()}
    walls = {name: seconds(records, "round_accepted", "round_finished") for name, records in told.items()}
    cached = [r for r in told["again"] if r["event"] == "run_finished" and r["cached_from"] is not None]
    whole_ms = 1000 * seconds(cached, "run_finished", "run_finished") / max(1, len(cached) - 1)
    each_ms = sorted(lookups_ms(told["again"]))
    mean_ms, p95_ms = statistics.fmean(each_ms), each_ms[int(0.95 * (len(each_ms) - 1))]
    print("| Figure | Demand | Measured |")
    print("|---|---|---|")
    print(row("runs that the first round made", "-", f"{made['first']} of {runs}"))
    print(row("runs that the same round under another name made", "0", f"{made['again']} of {runs}"))
    demand = f"<= {DEMANDED_MS:g} ms"
    print(row("a reused run: looked up, checked, recorded", demand, f"{mean_ms:.1f} ms (p95 {p95_ms:.1f})"))
    print(
        row(
            "the same with its decision and its verdict, three records and one fsync",
            "-",
            f"{whole_ms:.1f} ms",
        )
    )
    print(row("of that, the daemon's processor time, the whole round shared out", "-", f"{cpu_ms:.1f} ms"))
    print(row("one append with its fsync, in the same sitting", "-", f"{fsync_ms:.1f} ms"))
    for name, way in (("first", "first time"), ("again", "another name"), ("fresh", "`fresh = true`")):
        each = f"{1000 * walls[name] / runs:.0f} ms a run"
        print(row(f"the whole round, {way}", "-", f"{walls[name]:.2f} s ({each}, {made[name]} made)"))
    return made["again"] == 0 and len(cached) == runs and mean_ms <= DEMANDED_MS


def lookups_ms(records: list[dict[str, Any]]) -> list[float]:
    """From the record before a reused run to its own: an fsync, the plan, and the look at where it ran."""
    return [
        1000 * (time_of(record) - time_of(before))
        for before, record in itertools.pairwise(records)
        if record["event"] == "run_finished"
    ]


def time_of(record: dict[str, Any]) -> float:
    return datetime.datetime.fromisoformat(record["ts"]).timestamp()


def count(records: list[dict[str, Any]], event: str) -> int:
    return sum(record["event"] == event for record in records)


def seconds(records: list[dict[str, Any]], first: str, last: str) -> float:
    """By the daemon's clock, from the first record of one kind to the last of another."""
    begun = next(time_of(record) for record in records if record["event"] == first)
    return next(time_of(record) for record in reversed(records) if record["event"] == last) - begun


if __name__ == "__main__":
    main()
