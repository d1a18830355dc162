"""How does a file appear whole or not at all, and what kind of disk is it on?"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from pathlib import Path
from typing import BinaryIO

#: temporary names are `.<name>.<random>.tmp`: hidden, and ignored by the spool
_TEMPORARY_PATTERN = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
_LEFTOVER_AGE_SECONDS = 3600.0
#: how a disk, a quota or a file system without inodes says that there is no room
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})

#: types on which locks, leases or rename cannot be trusted between machines. 9p and virtiofs are not
#: listed: they are also how sandboxes and virtual machines mount a plain local disk.
NETWORK_FILESYSTEMS = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "coda", "ceph", "lustre", "gpfs", "beegfs"),
        *("pvfs2", "orangefs", "davfs", "glusterfs", "fuse.sshfs", "fuse.ceph", "fuse.ceph-fuse"),
        *("fuse.glusterfs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "fuse.goofys", "fuse.davfs"),
        *("fuse.davfs2", "fuse.juicefs", "fuse.mfs", "fuse.seaweedfs", "fuse.smbnetfs", "fuse.curlftpfs"),
        *("fuse.blobfuse", "fuse.blobfuse2", "fuse.mount-s3", "fuse.mountpoint-s3"),
    }
)


def write_all(fd: int, data: bytes) -> None:
    """Write every byte; a short write is followed up until the kernel says why. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def open_regular(path: Path) -> BinaryIO:
    """Open a file that somebody else made for reading: no link is followed, and no pipe is waited for.

    Raises ValueError when it is not a regular file, OSError when it cannot be opened.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ValueError(f"{path} is not a regular file")
    return open(fd, "rb", buffering=0)


def temporary_beside(path: Path) -> Path:
    """A name for a file that will become `path`, in the same folder; no two callers get the same one."""
    return path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")


def write_new(path: Path, data: bytes, *, mode: int, sync: bool) -> None:
    """Create `path`, which must not exist, with exactly these bytes; removes it again when that fails."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        write_all(fd, data)
        if sync:
            os.fsync(fd)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)


def replace(path: Path, data: bytes, *, mode: int = 0o640, sync: bool = True) -> None:
    """Put `data` in the place of `path`: a reader sees the old file or the new one, never a part.

    Without `sync` a power cut may leave an empty file: only for what can be made again.
    """
    temporary = temporary_beside(path)
    write_new(temporary, data, mode=mode, sync=sync)
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def publish(path: Path, data: bytes, mode: int = 0o640) -> None:
    """Put `data` in the place of `path`, durably: after the return a power cut cannot undo it."""
    replace(path, data, mode=mode)
    fsync_folder(path.parent)


def fsync_folder(path: Path) -> None:
    """Make the names in a folder durable: what was created, renamed or removed in it."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sweep_leftovers(folder: Path) -> int:
    """Remove temporary files that a killed process left in `folder` over an hour ago; says how many."""
    oldest = time.time() - _LEFTOVER_AGE_SECONDS
    removed = 0
    for path in folder.iterdir():
        if not _TEMPORARY_PATTERN.fullmatch(path.name):
            continue
        try:
            if path.lstat().st_mtime < oldest:
                path.unlink()
                removed += 1
        except FileNotFoundError:
            continue
    return removed


def free_mib(path: Path) -> int:
    """Whole MiB that this user can still write on the disk that holds `path`."""
    disk = os.statvfs(path)
    return disk.f_bavail * disk.f_frsize // 2**20


def free_files(path: Path) -> int | None:
    """How many more files this user can make on the disk that holds `path`; None where there is no limit."""
    disk = os.statvfs(path)
    return disk.f_favail if disk.f_files else None


def available_memory_mib() -> int:
    """Memory that new processes may use without pushing anything out, in MiB."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    raise OSError("/proc/meminfo does not tell MemAvailable")


def is_network_filesystem(path: Path) -> str | None:
    """The type of the file system under `path` when it is clearly a network one, else None.

    `path` need not exist yet. Where the kernel does not tell, nothing is claimed.
    """
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    kind = filesystem_type(mounts, path.resolve())
    return kind if kind in NETWORK_FILESYSTEMS else None


def filesystem_type(mountinfo: str, path: Path) -> str | None:
    """The type of the mount that `path` (absolute, resolved) lies on, by the text of a mountinfo file."""
    best: tuple[int, str] | None = None
    for line in mountinfo.splitlines():
        place, separator, source = line.partition(" - ")
        fields = place.split(" ")
        if not separator or len(fields) < 5:
            continue
        mount_point = Path(_unescaped(fields[4]))
        depth = len(mount_point.parts)
        # A later line hides an earlier one on the same mount point.
        if path.is_relative_to(mount_point) and (best is None or depth >= best[0]):
            best = (depth, source.split(" ")[0])
    return best[1] if best else None


def _unescaped(text: str) -> str:
    """mountinfo spells space, tab, newline and backslash as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
