"""What does a run cost beside its training, here and with the peers? The same trial, in one sitting.

Overhead per run and start-up, the share of a screening round that trains, the wall time of a whole round, and
what is left behind. Peers that are not installed are skipped by name.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

import _tables
from _peers import Entrant, find, modules
from _sitting import THREADS, Measured, PeerFailed, Piece, measure, shuffled
from _tables import MEMORY, ROUND, SCREENING, SHORT
from _work import PROMOTED, Way, command, journal_lines
from subject import environment, heading
from trial import Trial

RESULTS = Path(__file__).resolve().parents[1] / "RESULTS.md"
SECTION = "## `benchmarks/peers/compare.py`"
WARM_UP = "warm-up"
#: of the run that tells how fast the machine is
CALIBRATION_STEPS = 400
QUICK_SECONDS, MEDIUM_SECONDS = 1.1, 2.2
SHORT_VARIANTS, ROUND_VARIANTS = 2, 6
#: a plain trial is over at once
PLAIN_STEPS, LEAST_STEPS = 20, 10


def main() -> None:
    options = _parser().parse_args()
    begun = time.monotonic()
    entrants, skipped = find(options.peers or modules())
    _tell(", ".join(entrant.way.name for entrant in entrants))
    measured, failed = _measure_all(_plan(entrants, options, _steps_a_second()))
    ways = [entrant.way for entrant in entrants if entrant.way.name not in failed]
    text = f"{_report(ways, measured, options)}\n{_tables.absent(skipped, failed)}".strip()
    took = f"took:    {(time.monotonic() - begun) / 60:.0f} min, order shuffled by seed {options.seed}\n"
    print(f"{heading()}{took}\n{text}")
    if options.write:
        body = f"```\n{heading()}{took}```\n\n{text}"
        RESULTS.write_text(_tables.with_section(RESULTS.read_text(), SECTION, body))
    sys.exit(1 if failed else 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--peers", nargs="*", choices=modules(), help="only these")
    add("--parts", nargs="*", choices=(ROUND, SCREENING, MEMORY), default=(ROUND, SCREENING, MEMORY))
    add("--repeats", type=int, default=2, help="of the round and of the short length (default 2)")
    add("--screening-runs", type=int, default=20, help="(default 20)")
    add("--budget-seconds", type=float, default=10.0, help="of a run of the screening round (default 10)")
    add("--memory-runs", type=int, default=200, help="(default 200)")
    add("--thorough", action="store_true", help="screening with every way, memory with the trial in torch")
    add("--seed", type=int, default=random.randrange(1000), help="of the order")
    add("--write", action="store_true", help="into benchmarks/RESULTS.md")
    return parser


def _plan(
    entrants: Sequence[Entrant], options: argparse.Namespace, steps_a_second: float
) -> list[tuple[Entrant, Piece]]:
    """All the work in its order; first a little that is not timed, so that files are warm and faults show."""

    def steps(seconds: float) -> int:
        return max(LEAST_STEPS, round(seconds * steps_a_second))

    quick, medium = steps(QUICK_SECONDS), steps(MEDIUM_SECONDS)
    warm_up = Piece(name=WARM_UP, kind="torch", variants=SHORT_VARIANTS, quick_steps=LEAST_STEPS)
    timed = [
        Piece(name=SHORT, kind="torch", variants=SHORT_VARIANTS, quick_steps=quick),
        Piece(name=ROUND, kind="torch", variants=ROUND_VARIANTS, quick_steps=quick, medium_steps=medium),
    ]
    screening = Piece(
        name=SCREENING,
        kind="torch",
        variants=options.screening_runs,
        quick_steps=steps(options.budget_seconds),
    )
    screened = [entrant for entrant in entrants if entrant.way.is_screened or options.thorough]
    order = [(entrant, warm_up) for entrant in entrants]
    if ROUND in options.parts:
        order += shuffled(entrants, timed, options.repeats, options.seed)
    if SCREENING in options.parts:
        order += shuffled(screened, [screening], 1, options.seed)
    if MEMORY in options.parts:
        watched = [(entrant, _watched(entrant, options)) for entrant in entrants]
        random.Random(options.seed).shuffle(watched)
        order += watched
    return order


def _watched(entrant: Entrant, options: argparse.Namespace) -> Piece:
    """A process takes with it all it had, whatever that was; only one that goes on needs to load torch."""
    is_torch = options.thorough or not entrant.way.has_process_per_run
    return Piece(
        name=MEMORY,
        kind="torch" if is_torch else "plain",
        variants=options.memory_runs,
        quick_steps=LEAST_STEPS if is_torch else PLAIN_STEPS,
        is_watched=True,
    )


def _measure_all(order: Sequence[tuple[Entrant, Piece]]) -> tuple[list[Measured], dict[str, str]]:
    """What was measured, and by way why it was given up."""
    measured: list[Measured] = []
    failed: dict[str, str] = {}
    for entrant, piece in order:
        name = entrant.way.name
        if name in failed:
            continue
        try:
            done = measure(entrant, piece)
        except PeerFailed as failure:
            _tell(f"{name}, {piece.name}: FAILED\n{failure}")
            failed[name] = failure.reason
            continue
        _tell(f"{name}, {piece.name}: {done.timeline.wall_seconds:.1f} s")
        if piece.name != WARM_UP:
            measured.append(done)
    return measured, failed


def _steps_a_second() -> float:
    """Of the trial, in a process of its own, as the machine is now."""
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        journal = Path(folder) / "journal.jsonl"
        trial = Trial(kind="torch", steps=CALIBRATION_STEPS, learning_rate=0.01, journal=str(journal))
        for _ in range(2):  # the first one warms the files
            subprocess.run(command(trial), check=True, stdout=subprocess.DEVNULL, env=environment() | THREADS)
        line = journal_lines(journal)[-1]
        return CALIBRATION_STEPS / (line["ended"] - line["begun"])


def _report(ways: Sequence[Way], measured: Sequence[Measured], options: argparse.Namespace) -> str:
    runs = ROUND_VARIANTS + PROMOTED
    parts = [
        (
            f"Overhead beside trainings of {QUICK_SECONDS} s, from {SHORT_VARIANTS} and from {runs} runs",
            _tables.overheads(ways, measured),
        ),
        (
            f"A whole round: {ROUND_VARIANTS} variants at quick ({QUICK_SECONDS} s), {PROMOTED} of them at "
            f"medium ({MEDIUM_SECONDS} s)",
            _tables.rounds(ways, measured),
        ),
        (
            f"A screening round: {options.screening_runs} runs of {options.budget_seconds:g} s",
            _tables.screenings(ways, measured, options.budget_seconds),
        ),
        (f"Left behind by {options.memory_runs} short runs", _tables.memories(ways, measured)),
    ]
    told = [f"{title}:\n\n{table}\n" for title, table in parts if table.count("\n") > 1]
    return "\n".join([*told, _tables.sameness(measured), ""])


def _tell(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
