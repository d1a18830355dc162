"""Rounds as their records tell them: written down fact by fact, on a clock of their own."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from fakes.world import GPU, checked, make_round, task

from policies.evidence import Objective, VerdictName
from scheduler.decide import codec, facts
from scheduler.effects.records import encode
from scheduler.rounds.paths import HomePaths, RoundPaths
from scheduler.rounds.round import PolicyChoice, Round, Task

BEGIN = datetime(2026, 3, 4, 21, 30, tzinfo=UTC)
SPEC = b'round = "night"\ntitle = "Does it help?"\n[[tasks]]\nname = "sums"\n'


class ToldRound:
    """The records of one round, growing."""

    def __init__(self, made: Round) -> None:
        self.made = made
        self.seconds = 0.0
        self.lines: list[bytes] = []
        self.run_dirs: list[str] = []
        spec = checked(made)
        self.tell(
            facts.RoundAccepted(
                round=made.id, sha256=spec.sha256, file=spec.file, suffix=".toml", spec=made.to_json()
            )
        )

    def tell(self, fact: facts.Fact, *, after: float = 0.0) -> None:
        """Record a fact, so many seconds after the one before."""
        self.seconds += after
        ts = (BEGIN + timedelta(seconds=self.seconds)).isoformat(timespec="milliseconds")
        self.lines.append(
            encode(
                {
                    "v": 1,
                    "seq": len(self.lines) + 1,
                    "ts": ts.replace("+00:00", "Z"),
                    **codec.to_fields(fact),
                }
            )
        )

    def run(
        self,
        stage: str,
        config: str,
        value: float | None,
        *,
        slot: int = 0,
        task: str = "sums",
        seconds: float = 60.0,
        waits: float = 2.0,
        steps: int = 100,
        attempt: int = 1,
        **more: Any,
    ) -> None:
        """One attempt from its making to its end; its curve rises to `value`."""
        run_dir = f"{task}.{stage}.{config}.s{slot}.a{attempt}"
        self.run_dirs.append(run_dir)
        where: dict[str, Any] = {
            "round": self.made.id,
            "task": task,
            "stage": stage,
            "config": config,
            "seed": slot,
            "attempt": attempt,
        }
        asked: dict[str, Any] = {
            "slot": slot,
            "device": "cuda:0",
            "bsz": 32,
            "budget": {"max_steps": steps, "time_budget_sec": 600.0},
            "protocol": f"protocol-{stage}",
            "content_key": run_dir,
            "run_dir": run_dir,
        }
        self.tell(facts.RunIntended(**where, **asked))
        if more.get("cached_from") is None:
            started = {"device": GPU.id, "pid": 7, "start_time": 0.0, "boot_id": "b"}
            self.tell(facts.RunStarted(**where, **started), after=waits)
        told: dict[str, Any] = {"status": "ok", "value": value, "acc": value}
        if value is not None:
            told["curve"] = tuple((steps * i // 10, value * (1 - math.exp(-0.45 * i))) for i in range(1, 11))
            told |= {"loss": 3 * (1 - value), "n_eval": 1024, "steps": steps, "train_seconds": seconds}
            told |= {"peak_memory_mib": 9000.0 + 500 * slot, "energy_joule": 250.0 * seconds}
        self.tell(facts.RunFinished(**where, **asked, **{**told, **more}), after=seconds)

    def decide(
        self, kind: type[facts.VariantFact], stage: str, config: str, delta: float, **more: Any
    ) -> None:
        fields: dict[str, Any] = {"round": self.made.id, "task": "sums", "stage": stage, "config": config}
        fields |= {
            "protocol": f"protocol-{stage}",
            "d_acc": delta,
            "variant_mean": 0.5,
            "reason": "(declared)",
        }
        self.tell(kind(**{**fields, **more}))

    def verdict(self, config: str, name: VerdictName, reason: str, **figures: Any) -> None:
        self.tell(
            facts.VerdictReached(
                round=self.made.id, task="sums", config=config, verdict=name, reason=reason, **figures
            )
        )

    def finish(self) -> None:
        self.tell(facts.TaskFinished(round=self.made.id, task="sums"))
        self.tell(facts.RoundFinished(round=self.made.id, outcome="finished"))

    def write(self, home: HomePaths) -> RoundPaths:
        """Put the round and what its runs wrote into a home."""
        paths = home.round(self.made.id)
        paths.runs.mkdir(parents=True)
        paths.records.write_bytes(b"".join(self.lines))
        paths.spec(".toml").write_bytes(SPEC)
        for run_dir in self.run_dirs:
            paths.run(run_dir).root.mkdir(exist_ok=True)
            paths.run(run_dir).output.write_text("step 1\n")
        return paths


def accepted(**changes: Any) -> ToldRound:
    """A round of which nothing has run."""
    return ToldRound(make_round(title="Does it help?", **changes))


def confirmed(variants: int = 24, candidates: int = 4, seeds: int = 3) -> ToldRound:
    """A night under `screen_confirm`: all quick, the better half medium, the best few on fresh seeds."""
    draw = random.Random(7)
    names = [f"layer_start-{1 + i % 4}_alpha_init--{2 + i // 4}.0" for i in range(variants)]
    effects = {name: round(draw.gauss(1.0 - 0.25 * place, 1.2), 2) for place, name in enumerate(names)}
    policy = PolicyChoice(name="screen_confirm", options={"alpha": 0.1})
    told = ToldRound(
        make_round(task(variants=names, seeds=(0, 1, 2, 3), policy=policy), title="Does it help?")
    )
    _screen(told, names, effects, draw)
    ranked = sorted(names, key=lambda name: -effects[name])
    half = ranked[: math.ceil(variants / 2)]
    told.run("medium", "baseline", 0.55, seconds=240, steps=400)
    for name in half:
        told.run("medium", name, 0.55 + effects[name] / 100, seconds=240, steps=400)
    chosen = ranked[:candidates]
    for name in half:
        kind = facts.VariantPromoted if name in chosen else facts.VariantHeld
        more = {"to_stage": "confirm"} if name in chosen else {}
        told.decide(kind, "medium", name, effects[name], chance=0.5, **more)
    _confirm(told, chosen, effects, seeds, draw)
    for place, name in enumerate(ranked):
        _judge(told, name, effects[name], place if name in chosen else None)
    told.finish()
    return told


def _screen(told: ToldRound, names: Sequence[str], effects: dict[str, float], draw: random.Random) -> None:
    told.run("quick", "baseline", 0.4)
    for name in names:
        told.run("quick", name, 0.4 + (0.7 * effects[name] + draw.gauss(0, 1)) / 100)
    ranked = sorted(names, key=lambda name: -effects[name])
    for place, name in enumerate(ranked):
        kind = facts.VariantPromoted if place < math.ceil(len(names) / 2) else facts.VariantPruned
        more = {"to_stage": "medium"} if kind is facts.VariantPromoted else {}
        told.decide(kind, "quick", name, 0.7 * effects[name], chance=0.3, **more)


def _confirm(
    told: ToldRound, chosen: Sequence[str], effects: dict[str, float], seeds: int, draw: random.Random
) -> None:
    told.tell(
        facts.ConfirmSetFrozen(
            round=told.made.id,
            task="sums",
            protocol="protocol-medium",
            candidates=tuple(chosen),
            looks=seeds,
            alpha=0.1,
            chances=dict.fromkeys(chosen, 0.6),
        )
    )
    for slot in range(1, seeds + 2):
        told.run("medium", "baseline", 0.55 + draw.gauss(0, 0.6) / 100, slot=slot, seconds=240, steps=400)
        for name in chosen if slot <= seeds else ():
            value = 0.55 + (effects[name] + draw.gauss(0, 0.6)) / 100
            told.run("medium", name, value, slot=slot, seconds=240, steps=400)
        if slot <= seeds:
            reading = {"se": 0.8 / slot, "df": 6.0, "p": 0.04, "adjusted_p": 0.08, "chance": 0.7}
            told.tell(
                facts.LookTaken(
                    round=told.made.id,
                    task="sums",
                    look=slot,
                    protocol="protocol-medium",
                    readings={
                        name: {
                            "delta": effects[name],
                            **reading,
                            "variant_seeds": slot,
                            "baseline_seeds": slot,
                        }
                        for name in chosen
                    },
                    rejected=tuple(chosen[:1]) if slot == seeds else (),
                    futile=tuple(chosen[-1:]) if slot == seeds else (),
                )
            )


def _judge(told: ToldRound, name: str, effect: float, place: int | None) -> None:
    if place is None:
        told.verdict(name, "INCONCLUSIVE", "one seed, and a weak one: P(effect >= 1.00 pp) is 0.11")
        return
    names: tuple[VerdictName, ...] = ("WINNER", "SUGGESTIVE", "SUGGESTIVE", "NEUTRAL", "LOSER")
    told.verdict(
        name,
        names[min(place, 4)],
        f"raw {effect:+.2f} pp over 3 fresh seeds, adjusted p 0.031 at look 3",
        raw_gain=effect,
        shrunk_gain=0.8 * effect,
        interval=(0.8 * effect - 1.1, 0.8 * effect + 1.1),
        adjusted_p=0.031,
        more_seeds=2 if place in (1, 2) else None,
        variant_seeds=3,
        baseline_seeds=4,
        warnings=("the seed changes only the order of the data",) if place == 0 else (),
    )


def troubled() -> ToldRound:
    """A night of failures: a crash told at length, a divergence, an OOM that parks, a run from the cache."""
    made: Task = task(variants=("good", "diverges", "crashes", "huge", "lost"))
    told = ToldRound(make_round(made, title="A night of trouble"))
    told.run("quick", "baseline", 0.4)
    told.run("quick", "good", 0.43, cached_from="older-night/sums.quick.good.s0", seconds=0.0)
    told.run("quick", "diverges", None, status="failed", failure_class="nan", error="loss is nan at step 40")
    crash = f"RuntimeError: {'x' * 300}\nTraceback (most recent call last):\n  File 'train.py', line 9"
    for attempt in (1, 2):
        failed: dict[str, Any] = {"status": "failed", "failure_class": "crash", "error": crash}
        told.run("quick", "crashes", None, attempt=attempt, **failed)
    told.run("quick", "lost", None, status="lost", failure_class="lost", error="the daemon was killed")
    error = "CUDA out of memory. Tried to allocate 20.00 GiB"
    told.seconds += 900
    told.run("quick", "huge", None, status="failed", failure_class="oom", error=error)
    told.tell(
        facts.TaskParked(
            round=told.made.id,
            task="sums",
            failure_class="oom",
            reason=error,
            remedy="list smaller batch sizes in `bsz`, then retry",
        )
    )
    told.tell(facts.RoundFinished(round=told.made.id, outcome="parked"))
    return told


def by_loss(seeds: int = 3) -> ToldRound:
    """A threshold round over several seeds, judged by a loss, with a side label."""
    objective = Objective(metric="loss", direction="minimize", unit="nat", min_effect=0.01)
    made = task(variants=("hot", "cold"), seeds=tuple(range(seeds)), objective=objective)
    told = ToldRound(make_round(made, judge={"variance_first": {}}))
    for stage, level in (("quick", 3.1), ("medium", 2.7)):
        for config, shift in (("baseline", 0.0), ("hot", -0.03), ("cold", 0.02)):
            for slot in range(seeds):
                value = level + shift + 0.004 * slot
                told.run(stage, config, value, slot=slot, loss=value, acc=None)
        for config, delta in (("hot", 0.03), ("cold", -0.02)):
            per_seed = tuple((slot, delta + 0.002 * slot) for slot in range(seeds))
            told.decide(
                facts.VariantHeld, stage, config, delta, sd=0.002, per_seed=per_seed, signs="3+/0=/0-"
            )
    told.verdict("hot", "SUGGESTIVE", "+0.03nat at medium over 3 seeds; needs fresh seeds")
    told.verdict("cold", "INCONCLUSIVE", "-0.02nat at medium over 3 seeds")
    told.finish()
    return told
