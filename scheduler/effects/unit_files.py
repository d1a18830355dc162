"""Which files make a service of a daemon, and where does systemd look for them?"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from scheduler.effects.files import publish
from scheduler.rounds.errors import UsageError

#: first line of every file that is written here; a file without it is somebody else's
MARK = "# Written by `schedctl service install`, which overwrites it. Changes: systemctl edit, a drop-in.\n"
#: where the system unit's units, users and folders are looked for
ADMINISTRATOR = {
    "unit": "etc/systemd/system",
    "sysusers": "etc/sysusers.d",
    "tmpfiles": "etc/tmpfiles.d",
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
#: a word that systemd takes as it stands
_PLAIN_WORD = re.compile(r"[A-Za-z0-9_/.,:+=-]+")
#: what ProtectHome=yes hides from the system unit
_HIDDEN = (Path("/home"), Path("/root"), Path("/run/user"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A daemon that systemd is to look after."""

    #: of the unit, without `.service`; the system unit names its folders after it
    name: str
    #: what the unit executes
    program: tuple[str, ...]
    #: what the daemon of a user unit serves; None makes a system unit, which serves /var/lib/<name>
    home: Path | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(f"{self.name!r} cannot be the name of a unit: use letters, digits, - and _")

    def unit(self) -> str:
        """The text of the unit."""
        packaged = _packaged("roundhouse.service" if self.home is not None else "system/roundhouse.service")
        text = _with_line(packaged, "ExecStart", " ".join(map(quoted, self.program)))
        if self.home is not None:
            text = _with_line(text, "Environment", quoted(f"ROUNDHOUSE_HOME={self.home}"))
        return text

    def files(self, root: Path, prefix: str = "") -> Mapping[Path, str]:
        """Every file by its place: below `root`, in the folders of an administrator or of `prefix`."""
        unit = f"{self.name}.service"
        if self.home is not None:
            return {root / unit: MARK + self.unit()}
        folders = _folders(prefix)
        folder, configuration = f"/var/lib/{self.name}", f"{self.name}.conf"
        tmpfiles = _packaged("tmpfiles.d/roundhouse.conf").replace("/var/lib/roundhouse", folder)
        return {
            root / folders["unit"] / unit: MARK + self.unit(),
            root / folders["sysusers"] / configuration: MARK + _packaged("sysusers.d/roundhouse.conf"),
            root / folders["tmpfiles"] / configuration: MARK + tmpfiles,
        }


def user_unit_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where a user's own units lie."""
    configuration = environment.get("XDG_CONFIG_HOME", "")
    # The XDG specification ignores a relative path.
    folder = Path(configuration) if os.path.isabs(configuration) else Path.home() / ".config"
    return folder / "systemd" / "user"


def this_program() -> tuple[str, ...]:
    """What starts a daemon with this very installation, whatever the PATH of a service."""
    schedctl = Path(sys.executable).with_name("schedctl")
    if os.access(schedctl, os.X_OK):
        return (str(schedctl), "daemon")
    return (sys.executable, "-P", "-m", "scheduler.cli", "daemon")


def hidden_part() -> Path | None:
    """What of this installation a user without rights, who sees no home folder, could not reach."""
    package = Path(str(resources.files("scheduler"))).resolve()
    for path in (Path(sys.executable), Path(sys.executable).resolve(), package):
        if any(path.is_relative_to(hidden) for hidden in _HIDDEN):
            return path
        if not all(folder.stat().st_mode & stat.S_IXOTH for folder in path.parents):
            return path
    return None


def write(files: Mapping[Path, str]) -> tuple[Path, ...]:
    """Put every file in its place; those that were not there already with this text.

    Raises UsageError, with nothing written, where another hand's file lies in a place.
    """
    for path in files:
        require_ours(path)
    changed = tuple(path for path, text in files.items() if _text(path) != text)
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        publish(path, files[path].encode(), mode=0o644)
    return changed


def remove(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Take away what `write` put there; those that were there. Raises UsageError as `write` does."""
    for path in paths:
        require_ours(path)
    found = tuple(path for path in paths if path.exists())
    for path in found:
        path.unlink()
    return found


def require_ours(path: Path) -> None:
    """Raises UsageError where a file lies that `write` has not written."""
    text = _text(path)
    if text is not None and not text.startswith(MARK):
        raise UsageError(f"{path} was not written by schedctl; move it away, then try again")


def quoted(word: str) -> str:
    """`word` as one word of a unit file, with nothing in it expanded."""
    escaped = word.replace("%", "%%")
    if _PLAIN_WORD.fullmatch(word):
        return escaped
    for letter, escape in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        escaped = escaped.replace(letter, escape)
    return f'"{escaped}"'


def _folders(prefix: str) -> Mapping[str, str]:
    if not prefix:
        return ADMINISTRATOR
    library = f"{prefix.strip('/')}/lib"
    return {
        "unit": f"{library}/systemd/system",
        "sysusers": f"{library}/sysusers.d",
        "tmpfiles": f"{library}/tmpfiles.d",
    }


def _packaged(name: str) -> str:
    """A file of the package, or of the checkout."""
    package = Path(str(resources.files("scheduler")))
    places = (package / "systemd" / name, package.parent / "systemd" / name)
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise UsageError(f"{name} is missing from {places[0].parent}; install Roundhouse anew")
    return found.read_text()


def _with_line(unit: str, key: str, value: str) -> str:
    """`unit` with another value in the first line of `key`."""
    return re.sub(rf"^{key}=.*$", lambda _: f"{key}={value}", unit, count=1, flags=re.MULTILINE)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
