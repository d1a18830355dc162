"""A machine that systemd has booted, inside namespaces of this one. Its disk is a copy of what is here.

It holds systemd, its journal and what a test adds. Nothing it does reaches this machine: the disk is an
overlay, kernel settings and devices are read-only, and it has processes, users and control groups of its own,
and no network.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import stat
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
#: what a command may take, or a boot; a busy machine needs a tenth of it
COMMAND_SECONDS, BOOT_SECONDS = 40.0, 60.0
NAMESPACES = ("--mount", "--uts", "--ipc", "--pid", "--cgroup", "--net")

#: $1 is the disk, $2 systemd; the others are folders that lie on other disks of this machine and are to be
#: there too. Whatever the machine may not change of this one is read-only in it.
MOUNT = """
set -e
umask 022
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
disk=$1 init=$2
shift 2
for folder; do
  mkdir -p "$disk/root$folder"
  mount --rbind "$folder" "$disk/root$folder"
  mount -o remount,bind,ro "$disk/root$folder"
done
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
  "$init" --system --unit=multi-user.target --log-target=console --log-level=notice --show-status=no
"""


def why_none() -> str | None:
    """What this machine lacks to have one booted inside it."""
    if os.geteuid() != 0:
        return "only root may boot a machine"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing or not INIT.is_file():
        return f"no {', '.join(missing) or INIT}"
    groups = _control_groups()
    if groups is None or not os.access(groups, os.W_OK):
        return "no cgroup2 that may be written to"
    if not _everybody_reads(Path(sys.executable).resolve()) or not _everybody_reads(Path(__file__)):
        return "the checkout or the interpreter is readable to its owner only"
    if not DISKS.is_dir():
        return f"no {DISKS}"
    with tempfile.TemporaryDirectory(dir=DISKS) as disk:
        try:
            tried = subprocess.run(
                _apart(MOUNT, disk),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=BOOT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return f"its namespaces are not made within {BOOT_SECONDS:g} s"
    return f"no namespaces or overlay: {tried.stderr.strip()}" if tried.returncode else None


def python_reads() -> list[Path]:
    """The folders, none of them inside another, where the interpreter finds itself, its modules and ours."""
    names = [ROOT, sys.prefix, sys.base_prefix, *filter(os.path.isabs, sys.path)]
    folders = {folder for name in names for folder in (Path(name), Path(name).resolve()) if folder.is_dir()}
    return sorted(folder for folder in folders if not folders & set(folder.parents))


class Machine:
    """One machine. Its disk outlives a power cut, and is gone after `close`."""

    def __init__(self) -> None:
        self.disk = Path(tempfile.mkdtemp(prefix="roundhouse-machine-", dir=DISKS))
        (self.disk / "upper").mkdir()
        self._groups: Path | None = None
        self._outer: subprocess.Popen[bytes] | None = None
        self.init = 0
        for folder in python_reads():
            self._open_way(folder)
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
                    *_apart(MOUNT + BOOT, str(self.disk)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._is_up, "the boot of the machine", BOOT_SECONDS)
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

    def run(
        self, *command: str, user: str = "root", seconds: float = COMMAND_SECONDS, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Carry out a command inside, to its end, which it has to come to within `seconds`."""
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
        try:
            return subprocess.run(
                [*inside, *command],
                env=environment | options.pop("env", {}),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=seconds,
                umask=0o022,
                **options,
            )
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"`{shlex.join(command)}` did not end within {seconds:g} s in the machine; its console:\n"
                f"{self.console()}"
            ) from None

    def schedctl(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name("schedctl")
        return self.run(str(program), *arguments, **options)

    def systemctl(self, *arguments: str, **options: Any) -> str:
        done = self.run("systemctl", *arguments, **options)
        assert done.returncode == 0, f"{arguments}: {done.stderr}\n{self.journal()}"
        return done.stdout.strip()

    def shown(self, unit: str) -> dict[str, str]:
        """What systemd knows of a unit."""
        lines = self.systemctl("show", unit).splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def journal(self, *arguments: str) -> str:
        return self.run("journalctl", "--no-pager", "--output=cat", *arguments).stdout

    def console(self) -> str:
        """What it said while it booted, and where it was beside itself since."""
        return (self.disk / "console").read_text(errors="replace")

    def _is_up(self) -> bool:
        assert self._outer is not None
        assert self._outer.poll() is None, self.console()
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text().split()
        if not children:
            return False
        self.init = int(children[0])
        if not Path(f"/proc/{self.init}/root/run/systemd/private").exists():
            return False
        return self.run("systemctl", "is-active", "multi-user.target").stdout == "active\n"

    def _open_way(self, path: Path) -> None:
        """Let every user of the machine come to `path`, below folders that only their owner enters here."""
        for folder in (*reversed(path.parents), path):
            if folder.is_symlink():
                return
            mine = self.path(str(folder))
            if not mine.exists():
                mine.mkdir()
            mine.chmod(stat.S_IMODE(folder.stat().st_mode) | (0o055 if folder == path else 0o011))

    def _sweep_groups(self) -> None:
        """The kernel gives a control group free a moment after its last process."""
        if self._groups is None:
            return
        groups, self._groups = self._groups, None
        wait_until(lambda: _removed(groups), "the end of the machine's control groups")


def _apart(script: str, disk: str) -> list[str]:
    """The command that carries out `script` in namespaces of its own."""
    elsewhere = [str(folder) for folder in python_reads() if _is_on_another_disk(folder)]
    return [
        *("unshare", *NAMESPACES, "--fork", "--kill-child"),
        *("sh", "-c", script, "sh", disk, str(INIT), *elsewhere),
    ]


def _is_on_another_disk(folder: Path) -> bool:
    """Whether an overlay of / does not show it: a folder of the host in a container, a tmpfs on /tmp."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    mounts = {Path(line.split()[4].replace("\\040", " ")) for line in lines} - {Path("/")}
    return bool(mounts & {folder, *folder.parents})


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
