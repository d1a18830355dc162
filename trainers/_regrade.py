"""What are the metrics of runs that are over by another version of their definitions? From what they stored.

On stdin  {"home", "trainer", "version": text or null, "paths": [...]}, each a run's folder or stored file;
on stdout {"problem": text or null, "version": text, "runs": [{"metrics": {...}} or {"problem": text}]}.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson

from trainers import _registry
from trainers._failures import one_line
from trainers._processes import die_with_parent


def regrade() -> None:
    """Answer the one request on stdin. Reads what lies in the folders, and writes nothing."""
    die_with_parent()
    answer_fd = os.dup(1)
    os.dup2(2, 1)  # a trainer that prints must not garble the answer
    request = orjson.loads(sys.stdin.buffer.read())
    with os.fdopen(answer_fd, "wb") as stream:
        stream.write(orjson.dumps(answer(request)))


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a request."""
    name = request["trainer"]
    try:
        module = _registry.load(name, Path(request["home"]).resolve())
    except Exception as error:  # the trainer's own import may raise anything
        return _refused(f"trainer {name}: {one_line(error)}")
    versions: Sequence[str] = getattr(module, "DEFINITIONS", ())
    if not hasattr(module, "regrade") or not versions:
        return _refused(f"trainer {name} stores nothing that its metrics could be made from again")
    version = versions[-1] if request["version"] is None else request["version"]
    if version not in versions:
        return _refused(f"trainer {name} has no definitions {version!r}; it has {', '.join(versions)}")
    runs = [_regraded(module, Path(path), version) for path in request["paths"]]
    return {"problem": None, "version": version, "runs": runs}


def _refused(problem: str) -> dict[str, Any]:
    return {"problem": problem, "version": "", "runs": []}


def _regraded(module: ModuleType, path: Path, version: str) -> dict[str, Any]:
    try:
        return {"metrics": dict(module.regrade(path, version))}
    except Exception as error:  # whatever it is, the other runs are graded all the same
        return {"problem": one_line(error)}
