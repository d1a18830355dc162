"""A machine that systemd has booted, inside namespaces of this one. Its disk is a copy of what is here.

It holds systemd, its journal and what a test adds. Nothing it does reaches this machine: the disk is an
overlay, kernel settings and devices are read-only, and it has processes, users and control groups of its own,
and no network.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from real_home import wait_until

ROOT = Path(__file__).parents[1]
INIT = Path("/lib/systemd/systemd")
TOOLS = ("unshare", "nsenter", "setpriv", "systemctl", "journalctl", "systemd-sysusers", "systemd-tmpfiles")
#: a researcher of the machine, and her number
USER, UID = "ada", 4242
#: keeps its files over a power cut of the machine, and may lie on top of an overlay
DISKS = Path("/dev/shm")
NAMESPACES = ("--mount", "--uts", "--ipc", "--pid", "--cgroup", "--net")

#: $1 is the disk. Whatever the machine may not change of this one is read-only in it.
MOUNT = """
set -e
mount --make-rprivate /
mkdir -p "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
  touch dev/$device
  mount --bind /dev/$device dev/$device
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
"""
#: Of the units that this machine has enabled none is started: they would look for its disks and devices.
BOOT = """
mkdir -p old
if [ ! -e booted-before ]; then
  for folder in usr/lib/systemd/system etc/systemd/system; do
    rm -rf $folder/*.target.wants $folder/*.target.requires
  done
  mkdir etc/systemd/system/sockets.target.wants
  ln -s /usr/lib/systemd/system/systemd-journald.socket etc/systemd/system/sockets.target.wants/
  touch booted-before
fi
pivot_root . old
cd /
umount -l /old
systemd-sysusers --inline "u ada 4242 - /home/ada /bin/sh"
exec env -i container=test PATH="$PATH" LANG=C.UTF-8 setpriv --bounding-set=-sys_module,-sys_rawio \
  "$2" --system --unit=multi-user.target --log-target=console --log-level=notice --show-status=no
"""


def why_none() -> str | None:
    """What this machine lacks to have one booted inside it."""
    if os.geteuid() != 0:
        return "only root may boot a machine"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing or not INIT.is_file():
        return f"no {', '.join(missing) or INIT}"
    if _control_groups() is None:
        return "no cgroup2"
    if not _everybody_reads(Path(sys.executable).resolve()) or not _everybody_reads(Path(__file__)):
        return "the checkout or the interpreter is readable to its owner only"
    if not DISKS.is_dir():
        return f"no {DISKS}"
    with tempfile.TemporaryDirectory(dir=DISKS) as disk:
        tried = subprocess.run(
            ["unshare", *NAMESPACES, "--fork", "--kill-child", "sh", "-c", MOUNT, "sh", disk],
            capture_output=True,
            text=True,
        )
    return f"no namespaces or overlay: {tried.stderr.strip()}" if tried.returncode else None


class Machine:
    """One machine. Its disk outlives a power cut, and is gone after `close`."""

    def __init__(self) -> None:
        self.disk = Path(tempfile.mkdtemp(prefix="roundhouse-machine-", dir=DISKS))
        (self.disk / "upper").mkdir()
        self._groups: Path | None = None
        self._outer: subprocess.Popen[bytes] | None = None
        self.init = 0
        for path in map(Path, (sys.executable, sys.base_prefix, ROOT)):
            self._open_way(path.resolve())
        home = self.path(f"/home/{USER}")
        home.mkdir(parents=True)
        os.chown(home, UID, UID)

    def path(self, path: str) -> Path:
        """A place on its disk, as seen from here."""
        root = Path(f"/proc/{self.init}/root") if self.init else self.disk / "upper"
        return root / path.lstrip("/")

    def write(self, path: str, text: str) -> None:
        """Put a file onto the disk."""
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path(path).write_text(text)

    def boot(self) -> float:
        """Switch it on; seconds until systemd has started what is enabled."""
        began = time.monotonic()
        groups = _control_groups()
        assert groups is not None
        self._groups = groups / f"roundhouse-test-{os.getpid()}-{time.monotonic_ns()}"
        self._groups.mkdir()
        console = (self.disk / "console").open("ab")
        with console:
            self._outer = subprocess.Popen(
                [
                    *("sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', str(self._groups)),
                    *("unshare", *NAMESPACES, "--fork", "--kill-child"),
                    *("sh", "-c", MOUNT + BOOT, "sh", str(self.disk), str(INIT)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._is_up, "the boot of the machine")
        return time.monotonic() - began

    def cut_power(self) -> None:
        """Every process of it is gone at once."""
        assert self._outer is not None
        os.kill(self.init, signal.SIGKILL)
        self._outer.wait()
        self.init = 0
        self._sweep_groups()

    def close(self) -> None:
        """Switch it off, and throw its disk away."""
        if self.init:
            self.cut_power()
        elif self._outer is not None:
            self._outer.kill()
            self._outer.wait()
            self._sweep_groups()
        shutil.rmtree(self.disk)

    def run(self, *command: str, user: str = "root", **options: Any) -> subprocess.CompletedProcess[str]:
        """Carry out a command inside, to its end."""
        inside = ["nsenter", "--all", f"--target={self.init}"]
        if user != "root":
            inside += ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": f"/home/{user}",
            "USER": user,
            "LOGNAME": user,
        }
        return subprocess.run(
            [*inside, *command],
            env=environment | options.pop("env", {}),
            capture_output=True,
            text=True,
            timeout=120,
            **options,
        )

    def schedctl(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name("schedctl")
        return self.run(str(program), *arguments, **options)

    def systemctl(self, *arguments: str) -> str:
        done = self.run("systemctl", *arguments)
        assert done.returncode == 0, f"{arguments}: {done.stderr}\n{self.journal()}"
        return done.stdout.strip()

    def shown(self, unit: str) -> dict[str, str]:
        """What systemd knows of a unit."""
        lines = self.systemctl("show", unit).splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def journal(self, *arguments: str) -> str:
        return self.run("journalctl", "--no-pager", "--output=cat", *arguments).stdout

    def _is_up(self) -> bool:
        assert self._outer is not None
        assert self._outer.poll() is None, (self.disk / "console").read_text()
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text().split()
        if not children:
            return False
        self.init = int(children[0])
        if not Path(f"/proc/{self.init}/root/run/systemd/private").exists():
            return False
        return self.run("systemctl", "is-active", "multi-user.target").stdout == "active\n"

    def _open_way(self, path: Path) -> None:
        """Let every user of the machine come to `path`, below folders that only their owner enters here."""
        for folder in reversed(path.parents):
            mine = self.path(str(folder))
            if not mine.exists():
                mine.mkdir()
                mine.chmod(folder.stat().st_mode | 0o011)

    def _sweep_groups(self) -> None:
        """The kernel gives a control group free a moment after its last process."""
        if self._groups is None:
            return
        groups, self._groups = self._groups, None
        wait_until(lambda: _removed(groups), "the end of the machine's control groups")


def _removed(groups: Path) -> bool:
    try:
        for folder, _, _ in os.walk(groups, topdown=False):
            os.rmdir(folder)
    except OSError:
        return False
    return not groups.exists()


def _control_groups() -> Path | None:
    """The folder of this process below the mount of cgroup2."""
    mounts = (line.split(" - ") for line in Path("/proc/self/mountinfo").read_text().splitlines())
    places = [place.split()[4] for place, kind in mounts if kind.startswith("cgroup2 ")]
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    own = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    return Path(places[0]) / own[0] if places and own else None


def _everybody_reads(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o004)
