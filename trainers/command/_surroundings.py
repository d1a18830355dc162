"""In what surroundings does a program start? Which file it is, and which variables it sees."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from trainers.contract import BadArgumentsError


def find(name: str, folder: Path) -> str:
    """The absolute path of the program. Raises BadArgumentsError."""
    search = _base_environment().get("PATH", os.defpath)
    found = shutil.which(str(folder / name) if "/" in name else name, path=search)
    if found is None and "/" in name:
        what = "is not executable" if (folder / name).is_file() else "does not exist"
        raise BadArgumentsError(f"program {name!r} {what} (looked for {folder / name})")
    if found is None:
        raise BadArgumentsError(
            f"program {name!r} is not on the PATH of commands ({search}); name it by its absolute path"
        )
    return str(Path(found).absolute())


#: how variables begin that are there for the interpreter of Roundhouse itself
_OWN_PREFIXES = ("PYTHON", "VIRTUAL_ENV")


def _base_environment() -> dict[str, str]:
    """The worker's, which passed the daemon's allow list, without what belongs to Roundhouse's own Python."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OWN_PREFIXES)}
    own = {Path(prefix, "bin") for prefix in (os.environ.get("VIRTUAL_ENV"), _own_prefix()) if prefix}
    folders = environment.get("PATH", os.defpath).split(os.pathsep)
    environment["PATH"] = os.pathsep.join(folder for folder in folders if Path(folder) not in own)
    return environment


def _own_prefix() -> str | None:
    return sys.prefix if sys.prefix != sys.base_prefix else None


def environment_for(given: Mapping[str, str]) -> dict[str, str]:
    """Everything the program sees; `given` by the spec, over all else."""
    environment = _base_environment()
    # A Python program then prints its readings when it has them, not when a buffer is full or never.
    environment["PYTHONUNBUFFERED"] = "1"
    return environment | dict(given)
