"""Power cuts on real file systems: nothing that was acknowledged is lost."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from acknowledging import Writer, nothing_is_lost
from ended_round import ends_as_ever
from power_cut import Disk, made_disk
from real_home import Home
from violations import violations_among

from scheduler.effects.spool import submit
from scheduler.rounds.paths import HomePaths

#: xfs takes half as many: what there is to find is the same
SHARE = {"ext4": 1.0, "xfs": 0.5}
#: one in so many meets a whole daemon with its runs
WHOLE_DAEMONS = 50
LONGEST_WORK_SECONDS = 0.25
#: of a round that takes about three
LONGEST_ROUND_SECONDS = 4.0


@pytest.mark.fault(
    "a power cut", moment="at any moment", outcome="no acknowledged spec and no acknowledged record is lost"
)
@pytest.mark.amount("power_cuts")
@pytest.mark.timeout(0)
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_nothing_acknowledged_is_lost_to_a_power_cut(
    tmp_path: Path, amount: int, chance: random.Random, kind: str
) -> None:
    cuts = round(amount * SHARE[kind])
    heard: Counter[str] = Counter()
    with made_disk(kind, tmp_path / "disk") as disk:

        def one(number: int) -> None:
            heard.update(_cut_while_writing(disk, f"home{number}", chance))

        violations = violations_among(range(cuts), one)
    print(f"{cuts} power cuts of {kind}, acknowledged: {dict(heard)}, {violations} violations")
    assert heard["queued"] > cuts / 2
    assert not violations


def _cut_while_writing(disk: Disk, name: str, chance: random.Random) -> Counter[str]:
    """Cut the power of a home at work, check it, and remove it; what had been acknowledged, by step."""
    home = HomePaths(disk.folder / name)
    for folder in home.folders():
        folder.mkdir(parents=True)
    writer = Writer(home)
    time.sleep(chance.uniform(0.0, LONGEST_WORK_SECONDS))
    # Before the cut: a file system that is shut down may say that a write of that moment went well.
    acknowledged = writer.acknowledged()
    disk.cut()
    writer.end()
    disk.switch_on()
    if acknowledged:
        nothing_is_lost(home, acknowledged)
    shutil.rmtree(home.root, ignore_errors=True)
    return Counter(step for step, _, _ in acknowledged)


@pytest.mark.fault(
    "a power cut",
    moment="at any moment of a round",
    outcome="the round ends with the verdicts it would have had",
)
@pytest.mark.amount("power_cuts")
@pytest.mark.timeout(0)
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_round_ends_as_ever_after_a_power_cut(
    tmp_path: Path, amount: int, chance: random.Random, kind: str
) -> None:
    cuts = max(1, round(amount * SHARE[kind]) // WHOLE_DAEMONS)
    for number in range(cuts):
        with made_disk(kind, tmp_path / f"disk{number}") as disk:
            _cut_during_round(disk, tmp_path / f"out{number}", chance)
    print(f"{cuts} power cuts of {kind} under a whole daemon, 0 violations")


def _cut_during_round(disk: Disk, output: Path, chance: random.Random) -> None:
    home = Home(disk.folder / "home", output)
    submit(home.paths, home.spec("night", seconds=0.2).encode(), "night.toml")
    subprocess.run(["sync", "-f", disk.folder], check=True)  # what the test itself has put there
    try:
        home.start()
        time.sleep(chance.uniform(0.0, LONGEST_ROUND_SECONDS))
        disk.cut()
        home.kill()
        disk.switch_on()
        ends_as_ever(home, "night")
    finally:
        home.close()
