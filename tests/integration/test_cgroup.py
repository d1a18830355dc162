"""Cgroups of attempts: found where they are ours, left alone where they are not, and empty at the end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_cgroup import made_cgroup, members

from scheduler.effects.cgroup import Cgroup, Cgroups, own_folder

UNIFIED = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
HYBRID = """31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
38 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:4 - cgroup2 cgroup2 rw"""
IN_CONTAINER = "812 798 0:26 /pods/one /sys/fs/cgroup ro - cgroup2 cgroup rw"
WITH_BLANK = r"30 23 0:26 / /my\040groups rw - cgroup2 cgroup2 rw"


@pytest.mark.parametrize(
    ("cgroup", "mountinfo", "folder"),
    [
        ("0::/user.slice/x.service\n", UNIFIED, "/sys/fs/cgroup/user.slice/x.service"),
        ("9:name=systemd:/a\n0::/x.service\n", HYBRID, "/sys/fs/cgroup/unified/x.service"),
        ("0::/\n", UNIFIED, "/sys/fs/cgroup"),
        ("0::/pods/one/x\n", IN_CONTAINER, "/sys/fs/cgroup/x"),
        ("0::/elsewhere\n", IN_CONTAINER, None),
        ("0::/../other\n", UNIFIED, None),
        ("4:memory:/a\n", UNIFIED, None),
        ("0::/x\n", HYBRID.splitlines()[0], None),
        ("0::/x\n", WITH_BLANK, "/my groups/x"),
    ],
)
def test_the_own_cgroup_is_found_whatever_is_mounted(cgroup: str, mountinfo: str, folder: str | None) -> None:
    found = own_folder(cgroup, mountinfo)
    assert found == (None if folder is None else Path(folder))


@pytest.fixture
def folder() -> Iterator[Path]:
    with made_cgroup() as folder:
        yield folder


ASK = """
import os, sys
from pathlib import Path
from scheduler.effects.cgroup import delegated_groups
Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
groups = delegated_groups()
print(groups is not None, Path("/proc/self/cgroup").read_text().splitlines()[-1], flush=True)
sys.stdin.read()
"""


def asked(folder: Path) -> list[str]:
    """What a process that was put into `folder` finds: whether that is its own, and where it is then."""
    ran = subprocess.run([sys.executable, "-c", ASK, str(folder)], input="", capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split()


def test_a_daemon_alone_in_a_delegated_cgroup_moves_into_a_leaf_of_it(folder: Path) -> None:
    is_ours, where = asked(folder)
    assert is_ours == "True"
    assert where.endswith(f"/{folder.name}/daemon")


def test_a_cgroup_that_nobody_delegated_is_left_alone(folder: Path) -> None:
    os.removexattr(folder, "user.delegate")
    is_ours, where = asked(folder)
    assert is_ours == "False"
    assert where.endswith(f"/{folder.name}")
    assert [path for path in folder.iterdir() if path.is_dir()] == []


def test_a_cgroup_that_somebody_else_lives_in_is_left_alone(folder: Path) -> None:
    other = subprocess.Popen(["sleep", "60"])
    assert Cgroup(folder).take(other.pid)
    try:
        assert asked(folder)[0] == "False"
        assert [path for path in folder.iterdir() if path.is_dir()] == []
    finally:
        other.kill()
        other.wait()


def test_killing_a_group_leaves_nobody_in_it_or_below_it_and_it_can_go(folder: Path) -> None:
    group = Cgroups(folder).make("night/lr.quick.hot.s0.a1")
    assert group is not None
    storm = subprocess.Popen(
        ["sh", "-c", "read go; trap '' TERM HUP; while :; do setsid -f sleep 60; sleep 0.005; done"],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    assert group.take(storm.pid)
    assert storm.stdin is not None
    storm.stdin.write(b"go\n")
    storm.stdin.close()
    below = group.path / "made-by-the-run"
    below.mkdir()
    deadline = time.monotonic() + 20
    while len(group.pids()) < 20:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert Cgroup(below).take(max(group.pids() - {storm.pid}))
    assert group.cpu_seconds() > 0
    assert group.is_populated()
    group.kill(5.0)
    assert members(group.path) == set()
    storm.wait()
    group.remove()
    assert not group.path.exists()


def test_groups_of_an_earlier_daemon_are_known_and_others_are_not_touched(folder: Path) -> None:
    (folder / "somebody-elses").mkdir()
    made = Cgroups(folder).make("night/one")
    assert made is not None
    assert [group.path for group in Cgroups(folder).leftovers()] == [made.path]


def test_a_name_of_any_length_and_kind_makes_a_group(folder: Path) -> None:
    groups = Cgroups(folder)
    names = ["a/b c\n/../x", "n" * 400, "n" * 400, "ünï"]
    made = [groups.make(name) for name in names]
    assert len({group.path for group in made if group is not None}) == len(names)
    assert all(group is not None and group.path.parent == folder for group in made)


def test_where_no_group_can_be_made_there_is_none(tmp_path: Path) -> None:
    assert Cgroups(tmp_path / "gone").make("night/one") is None
    gone = Cgroup(tmp_path / "gone")
    assert not gone.take(os.getpid())
    gone.kill(0.0)
    gone.remove()
    assert (gone.pids(), gone.cpu_seconds(), gone.oom_kills(), gone.is_populated()) == (set(), 0.0, 0, False)


def test_what_the_kernel_says_of_memory_is_read(tmp_path: Path) -> None:
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 7\noom 2\noom_kill 3\noom_group_kill 0\n")
    assert Cgroup(tmp_path).oom_kills() == 3
