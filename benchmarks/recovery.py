"""How long does a daemon take to know again what a million records say, and in how much memory?

Homes with real files of records are made first: every line by the writer's own encoding, one fsync a file,
since writing is not what is measured. Each replay runs in a fresh process.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from subject import environment, heading, row

DEMAND_SECONDS = 10.0
RECORDS = 1_000_000
ENDED_ROUNDS = 2000
#: as many as a round may have
MOST_VARIANTS = 10_000
#: evaluations of a run
EVALUATIONS = 8
RECORDS_A_RUN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """A home to be made: rounds that have ended, and at most one that has not."""

    name: str
    ended_rounds: int
    #: in ended rounds, and in the open one
    ended_records: int
    open_records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What one start cost: processor time, and memory beyond that of the imported program."""

    seconds: float
    wall_seconds: float
    peak_mib: float
    program_mib: float
    #: kept once the state is known
    kept_mib: float
    open_attempts: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=RECORDS, help="records in all (default a million)")
    parser.add_argument("--replay", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--shares", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.replay is not None:
        print(json.dumps(replayed(options.replay)))
    elif options.shares is not None:
        print(json.dumps(shares(options.shares)))
    else:
        compare(options.records)


def compare(records: int) -> None:
    """Print a row for every home and start; status 1 where one takes longer than is demanded of a million."""
    half, rounds = records // 2, max(1, ENDED_ROUNDS * records // RECORDS)
    homes = (
        Home(name="all in ended rounds", ended_rounds=rounds, ended_records=records, open_records=0),
        Home(
            name="half in ended rounds, half in an open one",
            ended_rounds=max(1, rounds // 2),
            ended_records=half,
            open_records=records - half,
        ),
        Home(name="all in one open round", ended_rounds=0, ended_records=0, open_records=records),
    )
    print(heading())
    is_missed = False
    for home in homes:
        with tempfile.TemporaryDirectory(prefix="roundhouse-benchmark-") as folder:
            written = make(Path(folder), home)
            for start in (
                ("the first start reads every line", "a later start") if home.ended_rounds else ("",)
            ):
                told = Replayed(**in_child("--replay", folder))
                is_missed = is_missed or told.seconds > DEMAND_SECONDS
                what = ", ".join(filter(None, (f"{written:,} records, {home.name}", start)))
                demand = f"<= {DEMAND_SECONDS:g} s" if records == RECORDS else "-"
                print(row(what, demand, words(told, written)), flush=True)
            if home.open_records == records:
                print(row("of that", "-", shares_in_words(in_child("--shares", folder))), flush=True)
    sys.exit(is_missed)


def words(told: Replayed, records: int) -> str:
    return (
        f"{told.seconds:.2f} s of processor time ({told.wall_seconds:.2f} s on the clock), "
        f"{records / told.seconds:,.0f} records/s, peak {told.peak_mib:.0f} MiB, "
        f"kept {told.kept_mib:.0f} MiB (the program itself {told.program_mib:.0f} MiB)"
    )


def shares_in_words(seconds: dict[str, float]) -> str:
    return ", ".join(f"{what} {taken:.2f} s" for what, taken in seconds.items())


def in_child(*arguments: str) -> dict[str, Any]:
    """What this script prints, asked to measure one thing in a process of its own."""
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment())
    told: dict[str, Any] = json.loads(done.stdout)
    return told


# In the child


def replayed(home: Path) -> dict[str, float]:
    """One replay, as a daemon does it before it serves."""
    from scheduler import daemon  # noqa: F401 the whole program, as it is when it replays
    from scheduler.decide.state import open_attempts
    from scheduler.effects.recovery import replay
    from scheduler.rounds.paths import HomePaths

    program_mib, begun, clock = peak_mib(), time.process_time(), time.monotonic()
    recovery = replay(HomePaths(home))
    return {
        "seconds": time.process_time() - begun,
        "wall_seconds": time.monotonic() - clock,
        "program_mib": program_mib,
        "peak_mib": peak_mib(),
        "kept_mib": resident_mib(),
        "open_attempts": sum(1 for _ in open_attempts(recovery.state)),
    }


def shares(home: Path) -> dict[str, float]:
    """Processor seconds of each part of reading all records whole; each pass does one part more."""
    import gc

    from scheduler.effects.fact_lines import read_fact
    from scheduler.effects.record_lines import check
    from scheduler.effects.recovery import replay
    from scheduler.rounds.paths import HomePaths

    paths = [path for path in sorted(home.glob("results/**/*.jsonl")) if path.stat().st_size]

    def timed(part: Any) -> float:
        begun = time.process_time()
        for path in paths:
            with path.open("rb") as file:
                for line in file:
                    part(line)
        return time.process_time() - begun

    gc.disable()  # as in a replay
    reading = timed(len)
    checking = timed(check) - reading
    making = timed(read_fact) - reading - checking
    begun = time.process_time()
    replay(HomePaths(home))
    rest = time.process_time() - begun - reading - checking - making
    return {
        "reading lines": reading,
        "checksums": checking,
        "decoding them into facts": making,
        "folding and keeping these": rest,
    }


def peak_mib() -> float:
    """Of this program: what getrusage tells begins with the peak of the one that started it."""
    told = Path("/proc/self/status").read_text()
    return int(told.partition("VmHWM:")[2].split()[0]) / 1024


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


# The homes


def make(folder: Path, home: Home) -> int:
    """Write the home's files; returns how many records they hold."""
    from scheduler.rounds.paths import HomePaths

    paths = HomePaths(folder)
    for each in paths.folders():
        each.mkdir(parents=True, exist_ok=True)
    written = 0
    for number in range(home.ended_rounds):
        count = home.ended_records // home.ended_rounds
        made = round_facts(f"round-{number:05d}", count, is_ended=True)
        written += write(paths.round(f"round-{number:05d}").records, made, number)
    if home.open_records:
        made = round_facts("tonight", home.open_records, is_ended=False)
        written += write(paths.round("tonight").records, made, home.ended_rounds)
    return written


def write(path: Path, made: Iterator[dict[str, Any]], number: int) -> int:
    from scheduler.effects.record_lines import VERSION, encode

    path.parent.mkdir(parents=True)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(1_780_000_000 + 60 * number))
    seq = 0
    with path.open("wb") as file:
        for seq, fields in enumerate(made, start=1):
            file.write(encode({"v": VERSION, "seq": seq, "ts": stamp, **fields}))
        file.flush()
        os.fsync(file.fileno())
    return seq


def round_facts(round_id: str, count: int, *, is_ended: bool) -> Iterator[dict[str, Any]]:
    """About `count` facts of a round in which every variant has its seeds at quick and is then pruned."""
    from scheduler.decide import facts
    from scheduler.decide.codec import to_fields

    frame = 4 if is_ended else 2
    own = count - frame
    variants = min(MOST_VARIANTS, max(1, own // (RECORDS_A_RUN + 1)))
    # a decision for each variant, and with its end a verdict
    seeds = max(1, math.ceil((own - (1 + is_ended) * variants) / (RECORDS_A_RUN * (variants + 1))))
    names = [f"layer_start-{number % 12}_alpha_init--{number / 100:g}" for number in range(variants)]
    accepted = accepted_round(round_id, names, seeds)
    left = count
    yield to_fields(accepted)
    yield to_fields(facts.TaskProbed(round=round_id, task="sudoku", bsz=64, reason="one size is given"))
    left -= 2
    for config in ("baseline", *names):
        for seed in range(seeds):
            if left - (frame - 2) < RECORDS_A_RUN:
                break
            yield from run_facts(round_id, config, seed)
            left -= RECORDS_A_RUN
        if config != "baseline" and left > frame - 2:
            yield {**pruned(round_id, seeds), "config": config}
            left -= 1
        if is_ended and config != "baseline" and left > frame - 2:
            yield {**judged(round_id, seeds), "config": config}
            left -= 1
    if is_ended:
        yield to_fields(facts.TaskFinished(round=round_id, task="sudoku"))
        yield to_fields(facts.RoundFinished(round=round_id, outcome="finished"))


def accepted_round(round_id: str, names: list[str], seeds: int) -> Any:
    from policies.evidence import Objective
    from scheduler.decide import facts
    from scheduler.rounds.round import Budget, PolicyChoice, Round, Stage, Task, TrainerIdentity, Variant

    def variant(name: str, number: int) -> Variant:
        changes = {"gate": "scalar", "layer_start": number % 12, "alpha_init": -number / 100}
        return Variant(
            name=name, changes=changes, config={**changes, "task": "sudoku", "side": 4, "masked": 6}
        )

    task = Task(
        name="sudoku",
        trainer="future_seed",
        seeds=tuple(range(seeds)),
        bsz=(64,),
        objective=Objective(),
        policy=PolicyChoice(name="threshold", options={"min_delta": 0.3}),
        stages=tuple(
            Stage(name=name, budget=Budget(max_steps=steps, time_budget_sec=float(steps), n_eval=256))
            for name, steps in (("quick", 180), ("medium", 650))
        ),
        args={"task": "sudoku", "side": 4, "masked": 6, "layout": "infill"},
        baseline=Variant(name="baseline", changes={"gate": "none"}, config={"gate": "none"}),
        variants=tuple(variant(name, number) for number, name in enumerate(names)),
        costliest="baseline",
        has_steps=True,
        identity=TrainerIdentity(source="037e1f55851ba42b", data="d8965ed2b1a1ee5b"),
    )
    made = Round(id=round_id, title="A night of sudoku", priority=0, after=(), tasks=(task,))
    return facts.RoundAccepted(
        round=round_id, sha256="0" * 64, file=f"{round_id}.toml", suffix=".toml", spec=made.to_json()
    )


def run_facts(round_id: str, config: str, seed: int) -> Iterator[dict[str, Any]]:
    """The three records of a run, as the daemon writes them."""
    assigned = {
        "round": round_id,
        "task": "sudoku",
        "stage": "quick",
        "config": config,
        "seed": seed,
        "attempt": 1,
        "slot": seed,
        "device": "cuda:0",
        "bsz": 64,
        "budget": {"max_steps": 180, "time_budget_sec": 120.0, "eval_every": None, "n_eval": 256},
        "protocol": "b33455065396ab91",
        "content_key": f"{hash_of(config, seed):016x}",
        "run_dir": f"sudoku.quick.{config}.s{seed}.a1",
    }
    yield {"event": "run_intended", **assigned, "keep_for_steps": 650, "continue_from": None}
    yield {
        "event": "run_started",
        **{
            name: assigned[name] for name in ("round", "task", "stage", "config", "seed", "attempt", "device")
        },
        "pid": 4468,
        "start_time": 1795187667.96,
        "boot_id": "9204f976-1ee2-40ad-95e4-6505a3bb1a0c",
        "is_prepared_ahead": True,
    }
    yield finished(assigned, hash_of(config, seed) % 1000 / 1e5)


def finished(assigned: dict[str, Any], luck: float) -> dict[str, Any]:
    points = [
        (180 * each // EVALUATIONS, 2.0 - each / 10 + luck, 0.05 * each + luck, f"{hash_of(luck, each):016x}")
        for each in range(1, EVALUATIONS + 1)
    ]
    _, loss, acc, digest = points[-1]
    return {
        **common_end(),
        **assigned,
        "value": acc,
        "acc": acc,
        "loss": loss,
        "best_val_tok_acc": acc,
        "best_val_loss": loss,
        "extra": {"exact": 0.25 + luck, "tokens_per_second": 48123.5},
        "curve": [[step, acc] for step, _, acc, _ in points],
        "evaluations": points,
        "scores_digest": digest,
        "train_seconds": 31.25 + luck,
    }


@functools.cache
def common_end() -> dict[str, Any]:
    """Every field of the end of a run, in the order in which they are written."""
    from scheduler.decide import facts
    from scheduler.decide.codec import to_fields

    end = facts.RunFinished(
        round="",
        task="",
        stage="",
        config="",
        seed=0,
        attempt=1,
        slot=0,
        device="",
        bsz=None,
        budget={},
        protocol="",
        content_key="",
        run_dir="",
        status="ok",
        n_eval=256,
        steps=180,
        kept_step=180,
        eval_seconds=2.5,
        wall_seconds=34.0,
        startup_seconds=0.021,
        peak_memory_mib=812.5,
        energy_joule=5120.0,
        git_commit="9aec63d0c2a7b1f1d3f8e2c4b5a69788c7d6e5f4",
    )
    return to_fields(end)


@functools.cache
def pruned(round_id: str, seeds: int) -> dict[str, Any]:
    """The decision about a variant, but for its name."""
    from scheduler.decide import facts
    from scheduler.decide.codec import to_fields

    decided = facts.VariantPruned(
        round=round_id,
        task="sudoku",
        stage="quick",
        config="",
        protocol="b33455065396ab91",
        reason="< +0.30pp",
        d_acc=-0.25,
        sd=0.5 if seeds > 1 else None,
        per_seed=tuple((seed, -0.25) for seed in range(seeds)),
        signs=f"0+/0=/{seeds}-",
        variant_mean=0.4,
        baseline_mean=0.4025,
    )
    return to_fields(decided)


@functools.cache
def judged(round_id: str, seeds: int) -> dict[str, Any]:
    """The verdict on a variant, but for its name."""
    from scheduler.decide import facts
    from scheduler.decide.codec import to_fields

    reached = facts.VerdictReached(
        round=round_id,
        task="sudoku",
        config="",
        verdict="INCONCLUSIVE",
        reason="pruned after quick: d_acc=-0.25pp",
        variant_seeds=seeds,
        baseline_seeds=seeds,
    )
    return to_fields(reached)


def hash_of(*values: object) -> int:
    """The same number in every process."""
    import zlib

    text = repr(values).encode()
    return zlib.crc32(text) << 32 | zlib.adler32(text)


if __name__ == "__main__":
    main()
