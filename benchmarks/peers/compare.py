"""What does a run cost beside its training, here and with the peers? The same trial, in one sitting.

Overhead per run and start-up, the share of a screening round that trains, the wall time of a whole round, and
what is left behind. Peers that are not installed are skipped by name.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

import _plan
import _tables
from _leftovers import end, running
from _peers import Entrant, find, modules
from _plan import MEDIUM_SECONDS, QUICK_SECONDS, ROUND_VARIANTS, SHORT_VARIANTS, WARM_UP, Order, Sizes
from _sitting import THREADS, Measured, PeerFailed, Piece, measure, sitting_mark
from _tables import MEMORY, ROUND, SCREENING
from _work import PROMOTED, Way, command, journal_lines
from subject import environment, heading
from trial import Trial

RESULTS = Path(__file__).resolve().parents[1] / "RESULTS.md"
SECTION = "## `benchmarks/peers/compare.py`"
#: of the run that tells how fast the machine is
CALIBRATION_STEPS = 400
#: what is left behind does not depend on the time, so it may be measured side by side
MEMORY_AT_ONCE = 2


def main() -> None:
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begun = time.monotonic()
    entrants, skipped = find(options.peers or modules())
    _tell(", ".join(entrant.way.name for entrant in entrants))
    sitting = _sit(entrants, options)
    ways = [entrant.way for entrant in entrants if entrant.way.name not in sitting.failed]
    demands, is_met = _tables.demands(sitting.measured)
    told = [*_report(ways, sitting.measured, options), demands, _tables.sameness(sitting.measured)]
    text = "\n\n".join(part for part in [*told, _tables.absent(skipped, sitting.failed)] if part)
    took = f"took:    {(time.monotonic() - begun) / 60:.0f} min, order shuffled by seed {options.seed}\n"
    print(f"{heading()}{took}\n{text}")
    if options.write:
        body = f"```\n{heading()}{took}```\n\n{text}"
        RESULTS.write_text(_tables.with_section(RESULTS.read_text(), SECTION, body))
    sys.exit(1 if sitting.failed or not is_met else 0)


@dataclass(frozen=True, slots=True)
class _Sitting:
    measured: list[Measured] = field(default_factory=list)
    #: why a way was given up, by its name
    failed: dict[str, str] = field(default_factory=dict)

    def take(self, order: Order, at_once: int = 1) -> None:
        """Measure all of it. A way that fails is left out of what follows."""
        with ThreadPoolExecutor(at_once) as pool:
            try:
                list(pool.map(lambda pair: self._take_one(*pair), order))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                end(running(sitting_mark()))
                raise

    def _take_one(self, entrant: Entrant, piece: Piece) -> None:
        name = entrant.way.name
        if name in self.failed:
            return
        try:
            done = measure(entrant, piece)
        except PeerFailed as failure:
            _tell(f"{name}, {piece.name}: FAILED\n{failure}")
            self.failed[name] = failure.reason
            return
        _tell(f"{name}, {piece.name}: {done.timeline.wall_seconds:.1f} s")
        if piece.name != WARM_UP:
            self.measured.append(done)


def _sit(entrants: Sequence[Entrant], options: argparse.Namespace) -> _Sitting:
    sizes = Sizes(
        steps_a_second=_steps_a_second(),
        repeats=options.repeats,
        screening_runs=options.screening_runs,
        budget_seconds=options.budget_seconds,
        memory_runs=options.memory_runs,
        is_thorough=options.thorough,
    )
    sitting = _Sitting()
    sitting.take(_plan.warm_up(entrants))
    if ROUND in options.parts:
        sitting.take(_plan.rounds(entrants, sizes, options.seed))
    if SCREENING in options.parts:
        sitting.take(_plan.screenings(entrants, sizes, options.seed))
    if MEMORY in options.parts:
        sitting.take(_plan.memories(entrants, sizes, options.seed), MEMORY_AT_ONCE)
    return sitting


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--peers", nargs="*", choices=modules(), help="only these")
    add("--parts", nargs="*", choices=(ROUND, SCREENING, MEMORY), default=(ROUND, SCREENING, MEMORY))
    add("--repeats", type=int, default=1, help="of the round and of the short length (default 1)")
    add("--screening-runs", type=int, default=20, help="(default 20)")
    add("--budget-seconds", type=float, default=10.0, help="of a run of the screening round (default 10)")
    add("--memory-runs", type=int, default=200, help="(default 200)")
    add("--thorough", action="store_true", help="screening with every way, memory with the trial in torch")
    add("--seed", type=int, default=random.randrange(1000), help="of the order")
    add("--write", action="store_true", help="into benchmarks/RESULTS.md")
    return parser


def _steps_a_second() -> float:
    """Of the trial, in a process of its own, as the machine is now."""
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        journal = Path(folder) / "journal.jsonl"
        trial = Trial(kind="torch", steps=CALIBRATION_STEPS, learning_rate=0.01, journal=str(journal))
        for _ in range(2):  # the first one warms the files
            subprocess.run(command(trial), check=True, stdout=subprocess.DEVNULL, env=environment() | THREADS)
        line = journal_lines(journal)[-1]
        return CALIBRATION_STEPS / (line["ended"] - line["begun"])


def _report(ways: Sequence[Way], measured: Sequence[Measured], options: argparse.Namespace) -> list[str]:
    budget = options.budget_seconds
    told: list[str] = []
    if ROUND in options.parts:
        told += [
            f"Overhead beside trainings of {QUICK_SECONDS} s, the slope between {SHORT_VARIANTS} runs and "
            f"{ROUND_VARIANTS + PROMOTED}:",
            _tables.overheads(ways, measured),
            f"A whole round: {ROUND_VARIANTS} variants at quick ({QUICK_SECONDS} s), {PROMOTED} of them at "
            f"medium ({MEDIUM_SECONDS} s):",
            _tables.rounds(ways, measured),
        ]
    if SCREENING in options.parts:
        told += [f"A screening round, runs of {budget:g} s:", _tables.screenings(ways, measured, budget)]
    if MEMORY in options.parts:
        told += [f"What {options.memory_runs} short runs leave behind:", _tables.memories(ways, measured)]
    return told


def _tell(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
