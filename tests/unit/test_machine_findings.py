"""Is everything that would spoil a search found in a machine's readings, with a remedy, and nothing else?"""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from scheduler.cli.finding import Finding
from scheduler.cli.findings import version_findings
from scheduler.cli.machine_findings import machine_findings
from scheduler.effects.machine import MachineReadings, read_machine
from scheduler.effects.records import Journal

SOUND = MachineReadings(
    memory_available_mib=16_000,
    free_inodes=1_000_000,
    shm_total_mib=8000,
    shm_free_mib=7900,
    open_files=4096,
    processes=30_000,
    is_clock_synchronised=True,
    clock_set_back_seconds=0.0,
    has_autogroup=True,
    has_user_unit=True,
    has_linger=True,
)


def found(readings: MachineReadings) -> list[Finding]:
    return list(machine_findings(readings))


def test_a_sound_machine_has_only_good_findings() -> None:
    assert {finding.level for finding in found(SOUND)} == {"ok"}
    assert all(finding.remedy == "" for finding in found(SOUND))


@pytest.mark.parametrize(
    ("changed", "level", "words", "remedy"),
    [
        ({"memory_available_mib": 900}, "warn", "900 MiB of memory", "prepare_ahead = false"),
        ({"free_inodes": 40_000}, "warn", "40,000 files", "df -i"),
        ({"free_inodes": 10}, "fail", "10 files", "df -i"),
        ({"shm_total_mib": 64, "shm_free_mib": 64}, "warn", "64 of 64 MiB", "--shm-size"),
        ({"shm_free_mib": 3}, "warn", "3 of 8000 MiB", "dead programs"),
        ({"shm_total_mib": None, "shm_free_mib": None}, "warn", "no /dev/shm", "tmpfs"),
        ({"open_files": 256}, "warn", "256 files", "LimitNOFILE"),
        ({"open_files": 64}, "fail", "64 files", "ulimit -n"),
        ({"processes": 100}, "warn", "100 processes", "LimitNPROC"),
        ({"is_clock_synchronised": False}, "warn", "nothing keeps the clock", "set-ntp"),
        ({"clock_set_back_seconds": 3600.0}, "warn", "set back by up to 3600 s", "chrony"),
        ({"has_autogroup": False}, "warn", "between sessions", "sched_autogroup_enabled=1"),
        ({"has_linger": False}, "warn", "ends when you log out", "loginctl enable-linger"),
    ],
)
def test_what_is_not_well_is_told_with_its_remedy(
    changed: dict[str, object], level: str, words: str, remedy: str
) -> None:
    (bad,) = [finding for finding in found(replace(SOUND, **changed)) if finding.level != "ok"]
    assert bad.level == level
    assert words in bad.what
    assert remedy in bad.remedy


@pytest.mark.parametrize(
    "changed",
    [
        {"free_inodes": None},
        {"open_files": None},
        {"processes": None},
        {"memory_available_mib": None},
        {"is_clock_synchronised": None},
        {"clock_set_back_seconds": None},
        {"has_linger": None},
        {"has_user_unit": False, "has_linger": False},
    ],
)
def test_what_a_machine_does_not_tell_is_nothing_bad(changed: dict[str, object]) -> None:
    assert {finding.level for finding in found(replace(SOUND, **changed))} == {"ok"}


def test_this_machine_can_be_read(tmp_path: Path) -> None:
    readings = read_machine(tmp_path, tmp_path / "journal.jsonl")
    assert readings.memory_available_mib is not None
    assert readings.memory_available_mib > 0
    assert {field.name for field in fields(readings)} == {field.name for field in fields(SOUND)}
    gone = read_machine(tmp_path / "gone", tmp_path / "journal.jsonl")
    assert gone.free_inodes is None


@pytest.mark.fault(
    "the clock is set back", moment="while the daemon runs", outcome="doctor tells by how much"
)
def test_a_clock_that_was_set_back_is_seen_in_the_journal(tmp_path: Path) -> None:
    noon = datetime(2026, 3, 4, 12, tzinfo=UTC)
    steps = iter(noon + timedelta(seconds=seconds) for seconds in (0, 60, 30, 70, 5, 100))
    journal, _ = Journal.open(tmp_path / "journal.jsonl", clock=lambda: next(steps))
    for _ in range(6):
        journal.append({"event": "queue_resumed"})
    journal.close()
    assert read_machine(tmp_path, tmp_path / "journal.jsonl").clock_set_back_seconds == 65.0


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("3.11.3", None),
        ("4.0.0a6", "apscheduler 4.0.0a6 is installed, which is not <4,>=3.11"),
        ("3.10.4", "apscheduler 3.10.4 is installed, which is not <4,>=3.11"),
        (None, "missing: apscheduler"),
    ],
)
def test_a_package_of_another_version_is_found(version: str | None, words: str | None) -> None:
    wanted = [Requirement("apscheduler>=3.11,<4")]
    problems = list(version_findings(wanted, {"apscheduler": version}))
    assert [finding.what for finding in problems] == ([] if words is None else [words])
    assert all("apscheduler<4,>=3.11" in finding.remedy for finding in problems)
