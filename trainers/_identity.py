"""What, beside its arguments, decides a trainer's results? Its source, its data, the versions it runs on."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from trainers import _registry
from trainers.contract import TrainerConfig

#: recorded as the version of a distribution that is not installed
ABSENT = "absent"

DIGEST_LENGTH = 16

_PACKAGE = Path(__file__).parent
#: an import of a module of the package that starts with `_`, in the one way or the other
_SHARED = re.compile(
    rb"^\s*(?:(?:from|import)\s+trainers\.(_\w+)|from\s+trainers\s+import\s+(\([^)]*\)|.*))", re.MULTILINE
)


def identity(module: ModuleType, name: str, home: Path, config: TrainerConfig) -> dict[str, Any]:
    """source, data, parts, versions and is_complete, as the daemon keeps them for a task."""
    fingerprint = module.fingerprint(config)
    return {
        "source": _source_when_loaded(name, home),
        "data": fingerprint.digest,
        "parts": dict(fingerprint.parts),
        "versions": dict(_versions_when_loaded(tuple(getattr(module, "DISTRIBUTIONS", ())))),
        "is_complete": fingerprint.is_complete,
    }


@functools.cache
def _source_when_loaded(name: str, home: Path) -> str:
    """Asked for right after the trainer is first loaded, and then the same as long as its code is."""
    return source_digest(_registry.source(name, home))


@functools.cache
def _versions_when_loaded(distributions: tuple[str, ...]) -> dict[str, str]:
    """What is installed later is not what this process has loaded, and the search takes 20 ms."""
    return installed_versions(distributions)


def source_digest(path: Path) -> str:
    """Digest of a trainer's file, or of every file of its folder with its name.

    And of what it shares with other trainers: the modules `trainers/_*.py` that it imports, and those that
    these import.
    """
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and not _is_derived(file, path))
    whole = hashlib.sha256()
    for file in files:
        whole.update(f"{file.relative_to(path.parent)}\0{_file_digest(file)}\n".encode())
    for file in _shared_by(files):
        whole.update(f"{file.relative_to(_PACKAGE.parent)}\0{_file_digest(file)}\n".encode())
    return whole.hexdigest()[:DIGEST_LENGTH]


def _shared_by(files: Sequence[Path]) -> list[Path]:
    """The shared modules that `files` import, directly or not, by name."""
    known: set[Path] = set()
    unread = [file for file in files if file.suffix == ".py"]
    while unread:
        source = unread.pop().read_bytes()
        named = {
            name for each in _SHARED.findall(source) for name in re.findall(rb"_\w+", each[0] or each[1])
        }
        found = {_PACKAGE / f"{name.decode()}.py" for name in named} - known
        new = [file for file in found if file.is_file()]
        known.update(new)
        unread += new
    return sorted(known)


def installed_versions(distributions: tuple[str, ...]) -> dict[str, str]:
    """Version by distribution; for torch also those of CUDA and cuDNN. Imports none of them."""
    versions = {name: _version(name) for name in distributions}
    if versions.get("torch", ABSENT) != ABSENT:
        versions["cuda"] = _cuda_version()
        versions["cudnn"] = _cudnn_version()
    return versions


def changes(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """What differs between two identities, in words; empty when nothing does."""
    found_changes = []
    if expected["source"] != found["source"]:
        found_changes.append("the trainer's source")
    if expected["data"] != found["data"]:
        found_changes.append(_changed_parts(expected.get("parts"), found["parts"]))
    for name in sorted(expected["versions"].keys() | found["versions"].keys()):
        before, now = expected["versions"].get(name, ABSENT), found["versions"].get(name, ABSENT)
        if before != now:
            found_changes.append(f"{name} (was {before}, is {now})")
    return found_changes


def _changed_parts(expected: Mapping[str, str] | None, found: Mapping[str, str]) -> str:
    if expected is None:
        return "the data"
    changed = sorted(part for part in expected.keys() | found.keys() if expected.get(part) != found.get(part))
    return ", ".join(changed) or "the data"


def _is_derived(file: Path, folder: Path) -> bool:
    parts = file.relative_to(folder).parts
    return "__pycache__" in parts or any(part.startswith(".") for part in parts) or file.suffix == ".pyc"


def _file_digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ABSENT


def _cuda_version() -> str:
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return ABSENT
    text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    found = re.search(r"^cuda(?:\s*:[^=]*)?\s*=\s*['\"]([^'\"]+)['\"]", text, re.MULTILINE)
    return found[1] if found else ABSENT


def _cudnn_version() -> str:
    """The version of the wheel that carries it; a torch that brings its own cuDNN has none."""
    for distribution in importlib.metadata.distributions():
        name = distribution.name or ""
        if name.startswith("nvidia-cudnn"):
            return distribution.version
    return ABSENT
