"""How many variants came how far? A step for each stage, and what became of those that went no further."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from scheduler.decide import facts
from scheduler.report.reading import TaskReading
from scheduler.report.runs import runs_at


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelStep:
    """One level, and how many variants reached it."""

    name: str
    variants: int
    #: share of the declared ones, 0..1
    share: float
    #: what became of those that stay here: `3 pruned, 1 failed`
    note: str


def funnel(task: TaskReading, candidates: int | None) -> Iterator[FunnelStep]:
    """From the declared variants to the WINNERs; `candidates`: size of the confirm set, if there is one."""
    declared = len(task.state.task.variants)

    def step(name: str, variants: int, note: str = "") -> FunnelStep:
        return FunnelStep(
            name=name, variants=variants, share=variants / declared if declared else 0.0, note=note
        )

    yield step("declared", declared)
    for stage in task.state.task.stages:
        yield step(stage.name, _reached(task, stage.name), _note(task, stage.name))
    if candidates is not None:
        yield step("confirm set", candidates)
    if task.state.verdicts:
        winners = sum(verdict.verdict == "WINNER" for verdict in task.state.verdicts.values())
        yield step("WINNER", winners)


def _reached(task: TaskReading, stage: str) -> int:
    """Variants with a usable run at the stage, or a decision after it."""
    return sum(
        bool(runs_at(task.state, stage, variant.name))
        or any(fact.stage == stage for fact in task.state.decisions.get(variant.name, ()))
        for variant in task.state.task.variants
    )


def _note(task: TaskReading, stage: str) -> str:
    words: Counter[str] = Counter()
    for decisions in task.state.decisions.values():
        for fact in decisions:
            if fact.stage == stage:
                words[_WORDS[type(fact)]] += 1
    return ", ".join(f"{words[word]} {word}" for word in _WORDS.values() if words[word])


_WORDS = {
    facts.VariantPromoted: "promoted",
    facts.VariantPruned: "pruned",
    facts.VariantHeld: "held",
}
