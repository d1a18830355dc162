"""Which peers are there, and which can run here? Every file of this folder is one; what it needs, it says."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from _work import HERE, Way

#: files of this folder that are no peers, beside those that start with an underscore
NO_PEERS = frozenset({"compare", "trial"})
#: the environment with what is too heavy for the project's own
PEERS_PYTHON = HERE.parents[1] / ".venv-peers" / "bin" / "python"

FIND = "import importlib.util, sys; sys.exit(not all(map(importlib.util.find_spec, sys.argv[1:])))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """A way of running trials that can run here."""

    #: name of the peer's module
    module: str
    way: Way
    python: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A way that cannot."""

    name: str
    reason: str


def modules() -> tuple[str, ...]:
    """Names of the peers' modules, sorted."""
    stems = (path.stem for path in HERE.glob("*.py"))
    return tuple(sorted(stem for stem in stems if not stem.startswith("_") and stem not in NO_PEERS))


def find(
    names: Sequence[str], pythons: Sequence[Path] = (Path(sys.executable), PEERS_PYTHON)
) -> tuple[list[Entrant], list[Skipped]]:
    """Every way of the named peers, by whether it can run here; the first of `pythons` that fits runs it."""
    entrants: list[Entrant] = []
    skipped: list[Skipped] = []
    for name in names:
        peer = importlib.import_module(name)
        python = next((python for python in pythons if _has_modules(python, peer.MODULES)), None)
        missing = [program for program in peer.PROGRAMS if shutil.which(program) is None]
        if python is None:
            missing += peer.MODULES
        for way in peer.WAYS:
            if python is None or missing:
                skipped.append(Skipped(name=way.name, reason=f"{', '.join(missing)} not installed"))
            else:
                entrants.append(Entrant(module=name, way=way, python=python))
    return entrants, skipped


def _has_modules(python: Path, needed: Sequence[str]) -> bool:
    if not python.exists():
        return False
    asked = subprocess.run([python, "-c", FIND, *needed], check=False, stderr=subprocess.DEVNULL)
    return asked.returncode == 0
