"""What is a worker told about its run? The `prepare` message, from the intent and the task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import orjson

from policies._stop_rules import StopRules
from scheduler.decide.actions import StartWorker
from scheduler.rounds.paths import HomePaths, RoundPaths
from scheduler.rounds.redaction import holds_markers, restored
from scheduler.rounds.settings import Settings

#: a worker sees its one GPU under this name, whatever its number on the machine
VISIBLE_GPU = "cuda:0"


def prepare_message(action: StartWorker, home: HomePaths, settings: Settings) -> dict[str, Any]:
    """The assignment of a run or a probe."""
    intended, task = action.intended, action.task
    message: dict[str, Any] = {
        "mode": "probe" if action.is_probe else "train",
        "home": str(home.root),
        "trainer": task.trainer,
        "config": _with_secrets(action.config, home.round(intended.round)),
        "context": {
            "seed": intended.seed,
            "stage": intended.stage,
            **intended.budget,
            "bsz": intended.bsz,
            "device": "cpu" if intended.device == "cpu" else VISIBLE_GPU,
            "threads": settings.threads,
            "cache_dir": str(home.cache),
        },
        "expect": {
            "source": task.identity.source,
            "data": task.identity.data,
            "parts": dict(task.identity.parts),
            "versions": dict(task.identity.versions),
        },
        "metric": task.objective.metric,
        "context_ahead": settings.context_ahead,
        "keep_scores": StopRules.of(task.policy.options).needs_scores,
    }
    message["keep_for_steps"] = intended.keep_for_steps
    origin = intended.continue_from
    if origin is not None:
        folder = home.round(intended.round).run(origin["run_dir"]).checkpoint
        message["continue_from"] = {"folder": str(folder), "step": origin["step"]}
    if action.is_probe:
        message["candidates"] = list(task.bsz)
        message["stages"] = [{"name": stage.name, **asdict(stage.budget)} for stage in task.stages]
    return message


def _with_secrets(config: Mapping[str, Any], paths: RoundPaths) -> dict[str, Any]:
    """The config with the values that stand in no record.

    Where their file is gone the markers stay: the worker then sees that this is not what was accepted.
    """
    if not holds_markers(config):
        return dict(config)
    try:
        secrets = orjson.loads(paths.secrets.read_bytes())
    except FileNotFoundError:
        secrets = {}
    told: dict[str, Any] = restored(config, secrets)
    return told
