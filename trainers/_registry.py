"""Where is the trainer of that name? Shipped with Roundhouse, or in the home's own `trainers/`."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import trainers
from trainers.contract import BadArgumentsError, TrainerConfig

#: modules of the package that are no trainers, beside those that start with an underscore
NO_TRAINERS = frozenset({"contract", "kept_data", "prepared_data", "testing"})

#: package name under which a home's trainers are imported, so that none can hide a shipped module
HOME_PACKAGE = "roundhouse_home_trainers"

#: what a module must have to be a trainer
REQUIRED = ("Config", "fingerprint", "prepare", "train")


class UnknownTrainerError(BadArgumentsError):
    """There is no trainer of that name. The message names the nearest known one."""


def names(home: Path) -> tuple[str, ...]:
    """Every trainer that a spec of `home` may name, sorted."""
    return tuple(sorted({*_sources(_shipped_folder()), *_sources(home / "trainers")}))


def load(name: str, home: Path) -> ModuleType:
    """The trainer's module. Raises UnknownTrainerError, or whatever its own import raises."""
    path = source(name, home)
    if path.is_relative_to(_shipped_folder()):
        module = importlib.import_module(f"trainers.{name}")
    else:
        module = _load_from_home(name, path)
    missing = [attribute for attribute in REQUIRED if not hasattr(module, attribute)]
    if missing:
        raise UnknownTrainerError(
            f"{path} is no trainer: it lacks {', '.join(missing)}; see trainers/contract.py"
        )
    return module


def has_steps(module: ModuleType, config: TrainerConfig) -> bool:
    """Whether a budget in steps means something to the trainer with this config."""
    told = getattr(module, "HAS_STEPS", True)
    return bool(told(config) if callable(told) else told)


def source(name: str, home: Path) -> Path:
    """The file or folder that holds the trainer's code. Raises UnknownTrainerError."""
    shipped = _sources(_shipped_folder()).get(name)
    own = _sources(home / "trainers").get(name)
    if shipped and own and not own.samefile(shipped):
        raise UnknownTrainerError(
            f"trainer {name!r} is shipped with Roundhouse and also in {own}; give your own another name"
        )
    if found := shipped or own:
        return found
    words = hint(name, names(home))
    raise UnknownTrainerError(f"no trainer {name!r}: {words} (your own go into {home / 'trainers'})")


def hint(name: str, known: Sequence[str]) -> str:
    """The known name that is most like `name`, or else all of them."""
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(known)}"


def _shipped_folder() -> Path:
    return Path(trainers.__file__).parent


def _sources(folder: Path) -> dict[str, Path]:
    found = {path.stem: path for path in folder.glob("*.py")}
    found |= {path.parent.name: path.parent for path in folder.glob("*/__init__.py")}
    return {
        name: path for name, path in found.items() if not name.startswith("_") and name not in NO_TRAINERS
    }


def _load_from_home(name: str, path: Path) -> ModuleType:
    if HOME_PACKAGE not in sys.modules:
        sys.modules[HOME_PACKAGE] = ModuleType(HOME_PACKAGE)
    full_name = f"{HOME_PACKAGE}.{name}"
    if full_name in sys.modules:
        return sys.modules[full_name]
    file = path / "__init__.py" if path.is_dir() else path
    folders = [str(path)] if path.is_dir() else None
    spec = importlib.util.spec_from_file_location(full_name, file, submodule_search_locations=folders)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[full_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[full_name]
        raise
    return module
