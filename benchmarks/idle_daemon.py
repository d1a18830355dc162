"""What does a daemon cost that has nothing to do, and how soon is it ready?"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

import psutil
from subject import SCHEDCTL, IdleDaemon, environment, heading, idle_daemon, row

DEMAND_PERCENT = 0.3
DEMAND_MIB = 60
DEMAND_AFTER_MIB = 120
DEMAND_READY_SECONDS = 0.5
#: three runs and two decisions
ROUND = """
round = "small"
[stages.quick]
time_budget_sec = 60
[[tasks]]
name = "echo"
trainer = "command"
[tasks.args]
argv = ["echo", "METRIC acc={score}"]
[tasks.baseline]
score = 0.5
[tasks.variants.better]
score = 0.6
[tasks.variants.worse]
score = 0.4
"""
#: a baseline and variants that are all pruned after one run each
ROUND_OF_RUNS = """
round = "{name}"
[policy]
name = "threshold"
d_acc = 100.0
[stages.quick]
time_budget_sec = 60
[[tasks]]
name = "echo"
trainer = "command"
[tasks.args]
argv = ["echo", "METRIC acc={{score}}"]
[tasks.baseline]
score = 0.5
[tasks.grid]
score = {scores}
"""
RUNS_A_ROUND = 20
#: after so many rounds the daemon has met everything that it keeps
FIRST_ROUNDS = 2
STARTS = 5
MIB = 1024 * 1024
#: left out at the beginning: the daemon has just started
SETTLE_SECONDS = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="how long to watch (default 5 minutes)")
    parser.add_argument("--rounds", type=int, default=20, help="rounds to see through (default 20)")
    options = parser.parse_args()
    seconds = options.seconds
    ready_seconds = []
    for _ in range(STARTS):
        with idle_daemon() as daemon:
            ready_seconds.append(daemon.ready_seconds)
    with idle_daemon() as daemon:
        percent, peak_mib, threads = watch(daemon, seconds)
        after_mib = memory_after_decisions(daemon)
        by_rounds = memory_by_rounds(daemon, options.rounds)
    print(heading())
    print(row(f"idle, share of a core over {seconds:.0f} s", f"<= {DEMAND_PERCENT} %", f"{percent:.2f} %"))
    print(
        row(
            "idle, memory before the first decision",
            f"<= {DEMAND_MIB} MB",
            f"{peak_mib:.1f} MiB, {threads} threads",
        )
    )
    print(row("memory after its decisions", f"<= {DEMAND_AFTER_MIB} MB", f"{after_mib:.1f} MiB"))
    first, last = by_rounds[FIRST_ROUNDS], by_rounds[options.rounds]
    print(
        row(
            f"memory after {options.rounds} ended rounds of {RUNS_A_ROUND} runs",
            f"<= {DEMAND_AFTER_MIB} MB",
            f"{last:.1f} MiB; after {FIRST_ROUNDS}, {first:.1f} MiB",
        )
    )
    print(
        row(
            "start to ready",
            f"<= {DEMAND_READY_SECONDS} s",
            f"{statistics.median(ready_seconds):.2f} s (worst of {STARTS}: {max(ready_seconds):.2f} s)",
        )
    )
    is_missed = (
        percent > DEMAND_PERCENT
        or peak_mib * MIB > DEMAND_MIB * 1e6
        or max(after_mib, last) * MIB > DEMAND_AFTER_MIB * 1e6
        or statistics.median(ready_seconds) > DEMAND_READY_SECONDS
    )
    sys.exit(is_missed)


def watch(daemon: IdleDaemon, seconds: float) -> tuple[float, float, int]:
    """Percent of a core, the largest resident memory in MiB and the number of threads; children included."""
    process = psutil.Process(daemon.pid)
    time.sleep(SETTLE_SECONDS)
    begun, cpu_before = time.monotonic(), cpu_seconds(process)
    peak_bytes = 0
    while (left := begun + seconds - time.monotonic()) > 0:
        peak_bytes = max(peak_bytes, resident_bytes(process))
        time.sleep(min(5.0, left))
    percent = (cpu_seconds(process) - cpu_before) / (time.monotonic() - begun) * 100
    return percent, peak_bytes / MIB, process.num_threads()


def memory_after_decisions(daemon: IdleDaemon) -> float:
    """Resident memory of the daemon in MiB, once it has seen a small round through."""
    see_through(daemon, "small", ROUND)
    time.sleep(SETTLE_SECONDS)
    return psutil.Process(daemon.pid).memory_info().rss / MIB


def memory_by_rounds(daemon: IdleDaemon, rounds: int) -> dict[int, float]:
    """Resident memory in MiB after each of `rounds` rounds, each of many short runs."""
    by_rounds = {}
    for number in range(1, rounds + 1):
        scores = [0.4 + 0.001 * number + 0.0001 * each for each in range(1, RUNS_A_ROUND)]
        name = f"round-{number}"
        see_through(daemon, name, ROUND_OF_RUNS.format(name=name, scores=scores))
        by_rounds[number] = psutil.Process(daemon.pid).memory_info().rss / MIB
    return by_rounds


def see_through(daemon: IdleDaemon, name: str, spec: str) -> None:
    """Submit a round and wait for its end."""
    submit = [SCHEDCTL, "--home", daemon.home, "submit", "-", "--name", f"{name}.toml"]
    subprocess.run(submit, input=spec, text=True, check=True, stdout=subprocess.DEVNULL, env=environment())
    records = daemon.home / "results" / name / "records.jsonl"
    while not (records.exists() and "round_finished" in records.read_text()):
        time.sleep(0.1)


def cpu_seconds(process: psutil.Process) -> float:
    """Of the process, of children that have ended, and of those that live."""
    times = process.cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    for child in process.children(recursive=True):
        try:
            own = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += own.user + own.system
    return total


def resident_bytes(process: psutil.Process) -> int:
    total = process.memory_info().rss
    for child in process.children(recursive=True):
        try:
            total += child.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


if __name__ == "__main__":
    main()
