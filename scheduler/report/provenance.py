"""Where do the figures of a task come from? Everything that decides whether they can be made again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from scheduler.decide.facts import PROBE_STAGE
from scheduler.report.reading import TaskReading


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskProvenance:
    """One task's trainer, data, budgets, protocols and arguments."""

    facts: tuple[tuple[str, str], ...]
    #: by config, as one line of JSON
    changes: tuple[tuple[str, str], ...]


def provenance(task: TaskReading) -> TaskProvenance:
    """As declared and as recorded. Texts are foreign."""
    declared = task.state.task
    identity = declared.identity
    told = [
        ("trainer", declared.trainer),
        ("trainer source", identity.source),
        ("data", identity.data),
        *((f"data, {name}", digest) for name, digest in sorted(identity.parts.items())),
        *((f"version of {name}", version) for name, version in sorted(identity.versions.items())),
        ("seeds", ", ".join(str(seed) for seed in declared.seeds)),
        ("batch size", "left to the trainer" if task.state.bsz is None else str(task.state.bsz)),
        *((f"budget of {stage.name}", _budget(task, stage.name)) for stage in declared.stages),
        *((f"protocol of {stage}", protocols) for stage, protocols in _protocols(task).items()),
        ("git commit", _commits(task)),
        ("arguments", _json(declared.args)),
    ]
    if not identity.is_complete:
        told.append(("caution", "the trainer cannot know all that a result depends on"))
    changes = [(variant.name, _json(variant.changes)) for variant in (declared.baseline, *declared.variants)]
    return TaskProvenance(facts=tuple(told), changes=tuple(changes))


def _budget(task: TaskReading, stage: str) -> str:
    budget = task.state.budget(stage)
    steps = "as many steps as fit" if budget.max_steps is None else f"{budget.max_steps} steps"
    return f"{steps}, killed after {budget.time_budget_sec:g} s of training"


def _protocols(task: TaskReading) -> Mapping[str, str]:
    """By stage; several where a batch size was lowered on the way."""
    found: dict[str, dict[str, None]] = {}
    for key, attempts in task.state.attempts.items():
        if key.stage != PROBE_STAGE:
            for attempt in attempts:
                found.setdefault(key.stage, {})[attempt.intended.protocol] = None
    return {stage: ", ".join(protocols) for stage, protocols in found.items()}


def _commits(task: TaskReading) -> str:
    ends = [attempt.finished for tries in task.state.attempts.values() for attempt in tries]
    commits = dict.fromkeys(end.git_commit for end in ends if end is not None and end.git_commit)
    return ", ".join(commits) or "none recorded"


def _json(value: Mapping[str, Any]) -> str:
    return orjson.dumps(dict(value), option=orjson.OPT_SORT_KEYS).decode() if value else "nothing"
