"""How long does a person wait for `schedctl status`? As a subprocess, beside a Python that does nothing."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from subject import SCHEDCTL, environment, heading, idle_daemon, row

DEMAND_MILLISECONDS = 150


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100, help="calls of each program (at least 50)")
    calls = max(50, parser.parse_args().calls)
    with idle_daemon() as daemon:
        status = [str(SCHEDCTL), "--home", str(daemon.home), "status"]
        nothing = [sys.executable, "-c", "pass"]
        measured = in_turns([status, nothing], calls)
    status_p95, nothing_p95 = (percentile_95(each) for each in measured)
    status_median, nothing_median = (statistics.median(each) for each in measured)
    print(heading())
    print(
        row(
            "`schedctl status`, p95",
            f"<= {DEMAND_MILLISECONDS} ms",
            f"{status_p95:.0f} ms (median {status_median:.0f} ms; {calls} calls)",
        )
    )
    print(
        row(
            "the same, beside `python -c pass`",
            "-",
            f"{status_median / nothing_median:.1f} times its median of {nothing_median:.0f} ms "
            f"(p95 {nothing_p95:.0f} ms)",
        )
    )
    sys.exit(status_p95 > DEMAND_MILLISECONDS)


def in_turns(commands: Sequence[Sequence[str]], calls: int) -> list[list[float]]:
    """Milliseconds of each call of each command; in turns, so that a busy moment meets all of them.

    A first call of each, which fills caches, is not counted.
    """
    measured: list[list[float]] = [[] for _ in commands]
    for call in range(calls + 1):
        for milliseconds, command in zip(measured, commands, strict=True):
            begun = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment())
            if call > 0:
                milliseconds.append((time.perf_counter() - begun) * 1000)
    return measured


def percentile_95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


if __name__ == "__main__":
    main()
