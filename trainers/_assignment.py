"""What does a run begin with? All that may happen before the gate; nothing of it leaves a trace."""

from __future__ import annotations

import os
import subprocess
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from trainers import _checkpoint, _identity, _registry
from trainers._checkpoint import Kept, Origin, Unusable
from trainers.contract import BadArgumentsError, Context, DataError, TrainerConfig

#: bytes of source.diff
DIFF_BYTES = 2**20

GIT_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A run as the daemon asked for it, ready to go."""

    message: Mapping[str, Any]
    module: ModuleType
    config: TrainerConfig
    context: Context
    identity: Mapping[str, Any]
    #: what `train` is given; None for a probe
    prepared: Any
    #: where the run goes on; None where it begins with its first step
    inherited: Origin | None
    #: why it begins with its first step although it was to go on from another; None otherwise
    not_inherited: str | None
    startup_seconds: float
    git_commit: str | None
    #: uncommitted changes, cut
    git_diff: bytes

    @property
    def is_probe(self) -> bool:
        return self.message.get("mode") == "probe"


def assigned(
    message: Mapping[str, Any], asked_at: float, is_stopping: Callable[[], bool], held: Kept | None
) -> Assignment:
    """The run that a `prepare` message asks for. `held` is the state this worker kept of its run before.

    Writes nothing but the trainer's caches.
    """
    home = Path(message["home"])
    os.chdir(home)
    name = message["trainer"]
    module = _registry.load(name, home)
    config = _config(module, message["config"])
    context = _context(message, module, config, is_stopping)
    identity = _identity.identity(module, name, home, config)
    _require_unchanged(message.get("expect"), identity, name)
    prepared, inherited, not_inherited = None, None, None
    if message.get("mode") != "probe":
        prepared, inherited, not_inherited = _prepared(message, module, config, context, identity, held)
    folder = home / getattr(config, "cwd", ".")
    return Assignment(
        message=message,
        module=module,
        config=config,
        context=context,
        identity=identity,
        prepared=prepared,
        inherited=inherited,
        not_inherited=not_inherited,
        git_commit=(_git(folder, "rev-parse", "HEAD") or b"").decode().strip() or None,
        git_diff=(_git(folder, "diff", "HEAD") or b"")[:DIFF_BYTES],
        startup_seconds=round(time.monotonic() - asked_at, 6),
    )


def _prepared(
    message: Mapping[str, Any],
    module: ModuleType,
    config: TrainerConfig,
    context: Context,
    identity: Mapping[str, Any],
    held: Kept | None,
) -> tuple[Any, Origin | None, str | None]:
    """What `train` is given, where it goes on, and why it does not although it was to."""
    prepared = module.prepare(config, context)
    wanted = message.get("continue_from")
    if wanted is None:
        return prepared, None, None
    maker = _checkpoint.maker_of(message, identity)
    try:
        kept = _checkpoint.find(module, config, wanted, held, maker, context.max_steps)
        return module.resume(prepared, kept.state), kept.origin, None
    except Exception as error:  # whatever is wrong with a state, a run can do without it
        return module.prepare(config, context), None, _told(error)


def _context(
    message: Mapping[str, Any], module: ModuleType, config: TrainerConfig, is_stopping: Callable[[], bool]
) -> Context:
    fields = dict(message["context"])
    fields["cache_dir"] = Path(fields["cache_dir"])
    longer = message.get("keep_for_steps")
    keep_step = _checkpoint.step_to_keep(module, config, fields["max_steps"], longer)
    return Context(**fields, is_stopping=is_stopping, keep_step=keep_step)


def _told(error: Exception) -> str:
    """Why a state is of no use, also said in the run's output."""
    if not isinstance(error, Unusable):
        traceback.print_exc()
    why = str(error) or type(error).__name__
    print(f"begins with the first step: {why}", flush=True)
    return why


def _config(module: ModuleType, fields: Mapping[str, Any]) -> TrainerConfig:
    try:
        config: TrainerConfig = module.Config.model_validate(fields)
    except ValidationError as error:
        # The spec was checked, so this is another version's Config, or a hand-made assignment.
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadArgumentsError(f"{place}: {first['msg']}".removeprefix(": ")) from error
    return config


def _require_unchanged(expected: Mapping[str, Any] | None, found: Mapping[str, Any], name: str) -> None:
    if expected is None:
        return
    if changed := _identity.changes(expected, found):
        raise DataError(
            f"{', '.join(changed)} changed since the round was accepted (trainer {name});"
            " submit the round under another id to use the new version"
        )


def _git(folder: Path, *arguments: str) -> bytes | None:
    """What git says of `folder`; None where it is no checkout or git is not there."""
    try:
        # Without optional locks git writes nothing, not even a refreshed index.
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *arguments],
            capture_output=True,
            timeout=GIT_TIMEOUT_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
