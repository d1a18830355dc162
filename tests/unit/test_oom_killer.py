"""Does the kernel's own count tell who was ended for want of memory? Read from files as it writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainers._oom_killer import has_grown, oom_kills

VMSTAT = "nr_free_pages 7\noom_kill 3\nhtlb_buddy_alloc_success 0\n"
EVENTS = "low 0\nhigh 0\nmax 12\noom 2\noom_kill 2\noom_group_kill 0\n"
CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine whose kernel counts for all of it and tells nothing of cgroups."""
    for folder in ("proc/7", "cgroup"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "proc" / "vmstat").write_text(VMSTAT)
    return tmp_path


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def kills(machine: Path) -> int | None:
    return oom_kills(7, cgroups=machine / "cgroup", proc=machine / "proc")


def test_without_cgroups_the_machine_is_asked(machine: Path) -> None:
    assert kills(machine) == 3


def test_a_cgroup_counts_for_itself(machine: Path) -> None:
    put(machine / "proc" / "7" / "cgroup", "0::/user.slice/run\n")
    put(machine / "cgroup" / "user.slice" / "run" / "memory.events", EVENTS)
    assert kills(machine) == 2


@pytest.mark.parametrize("place", ["memory/job", "memory"])
def test_so_does_one_of_the_older_kind_and_a_container_sees_it_as_the_root(machine: Path, place: str) -> None:
    put(machine / "proc" / "7" / "cgroup", "4:memory:/job\n1:cpu,cpuacct:/job\n0::/\n")
    put(machine / "cgroup" / place / "memory.oom_control", CONTROL)
    assert kills(machine) == 5


def test_a_kernel_that_tells_nothing_is_not_believed_to_have_ended_anything(machine: Path) -> None:
    (machine / "proc" / "vmstat").unlink()
    assert kills(machine) is None
    assert not has_grown(None, None)
    assert not has_grown(None, 1)
    assert not has_grown(1, 1)
    assert has_grown(1, 2)
