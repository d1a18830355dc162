"""Who owns this home, and who owns this GPU? One daemon each, however many are started at once.

The lock is the kernel's (flock), so that it ends with its process, whatever kills it. What the file says is
only there to name the holder.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from scheduler.effects.clock import utc_now
from scheduler.effects.files import write_all
from scheduler.effects.permissions import user_name
from scheduler.rounds.errors import AlreadyRunningError

#: how long a loser tries again, since a reader holds the lock for an instant
_PATIENCE_SECONDS = 0.1
#: And how long where the holder is dead: a child it was just making holds the lock until it runs its own
#: program, on a busy machine a good while later.
_BEREFT_SECONDS = 5.0
#: how long a new holder may take to say who it is
_SPEECHLESS_SECONDS = 0.2
_PAUSE_SECONDS = 0.01
_MAX_BYTES = 4096
_OPEN_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_DEVICE_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

#: Shared by every user and daemon of the machine. /tmp is not: a unit with PrivateTmp has its own, and
#: elsewhere files unused for ten days are swept from it, under a lock or not.
_SHARED_FOLDERS = (Path("/dev/shm"), Path("/tmp"))


class HomeLock:
    """The right to be the daemon of a home, from `acquire` until `release` or the end of the process."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def acquire(cls, path: Path) -> HomeLock:
        """The lock. When another has it, raises AlreadyRunningError within a second, naming the holder.

        Where that one is dead, and only a child of its keeps the lock, within six.
        """
        fd = os.open(path, os.O_RDWR | os.O_CREAT | _OPEN_FLAGS, 0o640)
        with _closed_on_error(fd):
            if not (_locked_in_time(fd) or _taken_over(fd)):
                raise AlreadyRunningError(
                    f"another daemon owns this home: {_described(_patient_read(fd) or _kernel_holder(fd))}. "
                    f"Talk to it with schedctl, stop it, or choose another --home. (Lock: {path})"
                )
            _write_holder(fd)
        return cls(fd)

    def release(self) -> None:
        """Give the home back. The file stays: removing it would let two daemons lock different files."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


def holder(path: Path) -> dict[str, Any] | None:
    """Who holds a home's lock: `pid`, `host`, `user`, `started`; None when nobody does.

    A holder that has not said who it is within a moment is described as far as the kernel knows it.
    """
    try:
        fd = os.open(path, os.O_RDONLY | _OPEN_FLAGS)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        return _patient_read(fd) or _kernel_holder(fd)
    finally:
        os.close(fd)


class DeviceLock:
    """The right to run on one GPU, across homes and users."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def acquire(cls, device_key: str, *, folder: Path | None = None) -> DeviceLock:
        """The lock of the device with this UUID. Raises AlreadyRunningError when another daemon has it."""
        if not _DEVICE_KEY.fullmatch(device_key):
            raise ValueError(f"not the key of a device: {device_key!r}")
        path = (folder or _shared_folder()) / f"roundhouse-{device_key}.lock"
        fd = _open_shared(path)
        with _closed_on_error(fd):
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise AlreadyRunningError(f"{path} is not a regular file. Remove it, then start again.")
            if not _locked_in_time(fd):
                raise AlreadyRunningError(
                    f"another daemon owns the device {device_key}: {_described(_kernel_holder(fd))}. "
                    f"Stop it, or choose another device in roundhouse.toml. (Lock: {path})"
                )
            if os.fstat(fd).st_ino != path.stat().st_ino:
                raise AlreadyRunningError(f"{path} was replaced while it was being locked. Start again.")
        return cls(fd)

    def release(self) -> None:
        """Give the device back."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


@contextlib.contextmanager
def _closed_on_error(fd: int) -> Iterator[None]:
    try:
        yield
    except BaseException:
        os.close(fd)
        raise


def _locked_in_time(fd: int) -> bool:
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= give_up:
                return False
        time.sleep(_PAUSE_SECONDS)


def _taken_over(fd: int) -> bool:
    """Wait for the lock as long as the one that the file names is dead, and no other has taken its place."""
    give_up = time.monotonic() + _BEREFT_SECONDS
    while _holder_is_dead(fd) and time.monotonic() < give_up:
        if _locked_in_time(fd):
            return True
    return False


def _holder_is_dead(fd: int) -> bool:
    """Whether the file names a process of this machine that is no more."""
    said = _read_holder(fd)
    pid = said.get("pid")
    if not isinstance(pid, int) or pid <= 0 or said.get("host") != os.uname().nodename:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # it is another user's, and alive
    return False


def _write_holder(fd: int) -> None:
    said = {
        "pid": os.getpid(),
        "host": os.uname().nodename,
        "user": user_name(os.getuid()),
        "started": utc_now().isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
    os.ftruncate(fd, 0)
    # A full disk must not keep the daemon from starting, only from saying who it is.
    with contextlib.suppress(OSError):
        write_all(fd, orjson.dumps(said) + b"\n")


def _patient_read(fd: int) -> dict[str, Any]:
    give_up = time.monotonic() + _SPEECHLESS_SECONDS
    while not (said := _read_holder(fd)) and time.monotonic() < give_up:
        time.sleep(_PAUSE_SECONDS)
    return said


def _read_holder(fd: int) -> dict[str, Any]:
    try:
        said = orjson.loads(os.pread(fd, _MAX_BYTES, 0))
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}


def _described(said: dict[str, Any]) -> str:
    if not said:
        return "a process that has not said who it is"
    parts = [f"process {said.get('pid')}"]
    parts += [f"of user {said['user']}"] if said.get("user") else []
    parts += [f"on host {said['host']}"] if said.get("host") else []
    parts += [f"running since {said['started']}"] if said.get("started") else []
    return " ".join(parts)


def _shared_folder() -> Path:
    return next(folder for folder in _SHARED_FOLDERS if folder.is_dir())


def _open_shared(path: Path) -> int:
    """A file that anybody may lock and nobody but its maker may write, also in a folder like /tmp."""
    while True:
        try:
            # Without O_CREAT: fs.protected_regular forbids it on another user's file, reading it does not.
            return os.open(path, os.O_RDONLY | _OPEN_FLAGS)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise AlreadyRunningError(f"{path} is a symbolic link. Remove it, then start again.") from error
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | _OPEN_FLAGS, 0o444)
        except FileExistsError:
            continue
        # Whatever the umask, other users must be able to open it.
        os.fchmod(fd, 0o444)
        return fd


def _kernel_holder(fd: int) -> dict[str, Any]:
    """Who locks this file, as the kernel knows it: the file may be another user's, and say nothing."""
    file = os.fstat(fd)
    identity = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
    for line in Path("/proc/locks").read_text(encoding="utf-8").splitlines():
        # 1: FLOCK  ADVISORY  WRITE 1234 00:1a:5678 0 EOF
        fields = line.split()
        if len(fields) < 6 or fields[1] != "FLOCK" or fields[5] != identity:
            continue
        pid = int(fields[4])
        with contextlib.suppress(OSError):
            return {"pid": pid, "user": user_name(Path(f"/proc/{pid}").stat().st_uid)}
        return {"pid": pid}
    return {}
