"""From which state may a run go on where a shorter one was, and how does that state outlive its worker?

A checkpoint is a folder: what the trainer's `save` wrote, and a manifest with digests of it. It appears whole
or not at all.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson

from trainers.contract import TrainerConfig

#: in the run's folder
FOLDER = "checkpoint"
MANIFEST = "checkpoint.json"

#: of the manifest; raise it when an older one can no longer be read
VERSION = 1

#: what a trainer needs for its runs to be continued
REQUIRED = ("shared_steps", "save", "load", "resume")


class Unusable(Exception):
    """A run cannot go on from this state. The message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a state comes from, and what was known of its run by then."""

    #: optimizer steps done
    step: int
    #: the budget of the run that had done them
    max_steps: int
    #: all that a run must have in common with that one to take the same steps: see `maker_of`
    maker: Mapping[str, Any]
    #: the stage's size of the evaluation set; None where it leaves that to the trainer
    n_eval: int | None
    #: seconds it took, those of runs that it went on from included
    train_seconds: float
    #: the evaluations up to `step`, as they were told, those of earlier runs included
    evaluations: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A state that is still in memory."""

    #: names it, whether or not it was ever written
    folder: Path
    origin: Origin
    #: of the trainer's own kind
    state: Any


def maker_of(message: Mapping[str, Any], identity: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the steps of a run, its budget apart. `message` is its assignment."""
    context = {name: message["context"][name] for name in ("seed", "bsz", "device", "threads")}
    made_by = {name: identity[name] for name in ("source", "data", "versions")}
    return {"trainer": message["trainer"], "config": dict(message["config"]), **context, **made_by}


def step_to_keep(
    module: ModuleType, config: TrainerConfig, max_steps: int | None, longer: int | None
) -> int | None:
    """The last step of a run to `max_steps` that one to `longer` need not repeat; None: there is none."""
    if longer is None or max_steps is None or not _can_continue(module):
        return None
    step = int(module.shared_steps(config, max_steps, longer))
    return step if 1 <= step <= max_steps else None


def find(
    module: ModuleType,
    config: TrainerConfig,
    wanted: Mapping[str, Any],
    held: Kept | None,
    maker: Mapping[str, Any],
    max_steps: int | None,
) -> Kept:
    """The state that `wanted` names by folder and step: `held` if that is it, else the one on disk.

    Raises Unusable where there is none from which a run to `max_steps` may go on.
    """
    if not _can_continue(module) or max_steps is None:
        raise Unusable("this trainer cannot continue a run")
    folder = Path(wanted["folder"])
    is_held = held is not None and held.folder == folder
    manifest = {} if is_held else _manifest(folder)
    origin = held.origin if is_held else _origin(manifest)
    if origin.step != wanted["step"]:
        raise Unusable(f"{folder} is of step {origin.step}, not {wanted['step']}")
    _require_fitting(module, config, origin, maker, max_steps)
    return held if is_held else Kept(folder=folder, origin=origin, state=_state(module, folder, manifest))


def write(kept: Kept, module: ModuleType) -> int:
    """Make `kept` outlive this process; the bytes that it takes.

    When this returns the folder is there and durable. An older one of that name is gone.
    """
    partial = kept.folder.with_name(f".{kept.folder.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        module.save(kept.state, partial)
        files = {str(path.relative_to(partial)): _entry(path) for path in sorted(_files(partial))}
        manifest = {"v": VERSION, **_as_json(kept.origin), "files": files}
        (partial / MANIFEST).write_bytes(orjson.dumps(manifest) + b"\n")
        for path in (*_files(partial), *_folders(partial)):
            _sync(path)
        size = sum(path.stat().st_size for path in _files(partial))
        shutil.rmtree(kept.folder, ignore_errors=True)
        partial.rename(kept.folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _sync(kept.folder.parent)
    return size


def _can_continue(module: ModuleType) -> bool:
    return all(hasattr(module, name) for name in REQUIRED)


def _require_fitting(
    module: ModuleType, config: TrainerConfig, origin: Origin, maker: Mapping[str, Any], max_steps: int
) -> None:
    different = sorted(name for name in maker if maker[name] != origin.maker.get(name))
    if different:
        raise Unusable(f"the state is of a run with another {', '.join(different)}")
    if origin.step >= max_steps:
        raise Unusable(f"the state is of step {origin.step}, which leaves nothing to do until {max_steps}")
    if origin.max_steps == max_steps:
        return
    shared = module.shared_steps(config, origin.max_steps, max_steps)
    if origin.step > shared:
        raise Unusable(
            f"the state is of step {origin.step}, but runs to {origin.max_steps} and to {max_steps} steps"
            f" have {shared} in common"
        )


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = orjson.loads((folder / MANIFEST).read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise Unusable(f"there is no checkpoint in {folder}: {error}") from error
    if manifest.get("v") != VERSION:
        raise Unusable(f"{folder} is a checkpoint of version {manifest.get('v')}, not {VERSION}")
    return manifest


def _origin(manifest: Mapping[str, Any]) -> Origin:
    return Origin(**{name: manifest[name] for name in Origin.__slots__})


def _as_json(origin: Origin) -> dict[str, Any]:
    return {name: getattr(origin, name) for name in Origin.__slots__}


def _state(module: ModuleType, folder: Path, manifest: Mapping[str, Any]) -> Any:
    """What `save` wrote, as it wrote it."""
    for name, expected in manifest["files"].items():
        if not (folder / name).is_file() or _entry(folder / name) != expected:
            raise Unusable(f"{folder / name} is damaged: it is not what was written")
    return module.load(folder)


def _entry(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _folders(folder: Path) -> list[Path]:
    return [*(path for path in folder.rglob("*") if path.is_dir()), folder]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
