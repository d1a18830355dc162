"""Does fsck name every damage as the daemon would, change nothing, and leave nobody stuck?"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.told_home import told_home

from scheduler.cli import main
from scheduler.effects.lock import HomeLock
from scheduler.effects.records import decode, encode
from scheduler.effects.recovery import replay
from scheduler.rounds.errors import CorruptRecordsError
from scheduler.rounds.paths import HomePaths


@pytest.fixture
def home(tmp_path: Path) -> HomePaths:
    """Two rounds that have ended, and `last`, which has not."""
    return told_home(tmp_path / "home", but_last=3)


@pytest.fixture
def fsck(home: HomePaths, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def call(*arguments: str) -> tuple[int, str, str]:
        status = main(["--home", str(home.root), "fsck", *arguments])
        return (status, *capsys.readouterr())

    return call


def flip(path: Path, line: int) -> int:
    """Change a byte in the middle of a line; returns where the line begins."""
    lines = path.read_bytes().splitlines(keepends=True)
    middle = len(lines[line - 1]) // 2
    changed = bytearray(lines[line - 1])
    changed[middle] ^= 1
    path.write_bytes(b"".join([*lines[: line - 1], bytes(changed), *lines[line:]]))
    return sum(map(len, lines[: line - 1]))


def renumbered(line: bytes, **changes: object) -> bytes:
    record = decode(line)
    return encode({**record, **changes})


def contents(home: HomePaths) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(home.root.rglob("*")) if path.is_file()}


def start_is_refused(home: HomePaths) -> str:
    with pytest.raises(CorruptRecordsError) as refused:
        replay(home)
    return str(refused.value)


def test_a_whole_home_is_told_file_by_file_and_nothing_is_changed(home: HomePaths, fsck: Callable) -> None:
    before = contents(home)
    status, out, _ = fsck()
    assert status == 0
    for path in (home.ledger, *(home.round(name).records for name in ("first", "second", "last"))):
        assert f"ok       {path}  " in out
    assert "4 files: 4 whole, 0 with a torn tail, 0 damaged" in out
    assert contents(home) == before


@pytest.mark.fault(
    "a flipped byte inside the records", moment="while no daemon runs", outcome="refused with file and line"
)
@pytest.mark.parametrize("name", ["ledger", "last"])
def test_a_flipped_byte_is_named_with_line_and_offset_as_the_daemon_names_it(
    home: HomePaths, fsck: Callable, name: str
) -> None:
    path = home.ledger if name == "ledger" else home.round(name).records
    offset = flip(path, 2)
    before = contents(home)
    status, out, _ = fsck()
    place = f"{path}, line 2 (byte {offset}): the record is damaged, and whole records follow it"
    assert status == os.EX_CONFIG
    assert place in out
    assert f"schedctl fsck --set-aside {name}" in out
    assert contents(home) == before
    refusal = start_is_refused(home)
    assert place in refusal
    assert "`schedctl fsck`" in refusal


def test_damage_in_a_round_that_has_ended_is_found_too(home: HomePaths, fsck: Callable) -> None:
    flip(home.round("first").records, 2)
    status, out, _ = fsck()
    assert status == os.EX_CONFIG
    assert f"corrupt  {home.round('first').records}" in out


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda lines: [*lines[:1], *lines[2:]], "has seq 3, so records are missing or doubled"),
        (lambda lines: [*lines[:1], lines[0], *lines[1:]], "has seq 1, so records are missing or doubled"),
        (lambda lines: [lines[0], renumbered(lines[1], v=2), *lines[2:]], "written by a newer version"),
        (
            lambda lines: [lines[0], renumbered(lines[1], event="run_started"), *lines[2:]],
            "makes no sense",
        ),
        (lambda lines: [renumbered(lines[1], seq=1)], "cannot follow the ones before it"),
    ],
    ids=["a gap", "a double", "a newer version", "no sense", "cannot follow"],
)
def test_what_cannot_be_built_upon_is_told_in_its_own_words(
    home: HomePaths, fsck: Callable, damage: Callable[[list[bytes]], list[bytes]], words: str
) -> None:
    path = home.round("last").records
    path.write_bytes(b"".join(damage(path.read_bytes().splitlines(keepends=True))))
    status, out, _ = fsck()
    assert status == os.EX_CONFIG
    assert words in out
    assert words in start_is_refused(home)


@pytest.mark.fault("a torn record", moment="after a crash", outcome="told; the next start moves it aside")
def test_a_torn_tail_is_told_as_what_the_daemon_repairs_itself(home: HomePaths, fsck: Callable) -> None:
    path = home.round("last").records
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b'{"v":1,"seq":')
    status, out, _ = fsck()
    assert status == 0
    assert f"torn     {path}" in out
    assert f"(byte {size}): 13 bytes of a record that was never acknowledged" in out
    recovery = replay(home)
    for journal in (recovery.journal, recovery.ledger, *recovery.rounds.values()):
        journal.close()
    status, out, _ = fsck()
    assert status == 0
    assert f"{next(path.parent.glob('records.torn.*')).name}: moved aside by a repair" in out
    assert "1 with a torn tail" not in out


def test_a_copied_folder_is_told_and_counts_for_nothing(home: HomePaths, fsck: Callable) -> None:
    copied = home.round("copied").root
    copied.mkdir()
    (copied / "records.jsonl").write_bytes(home.round("last").records.read_bytes())
    status, out, _ = fsck()
    assert status == 0
    assert "is of another round, last, and counts for nothing" in out


def test_a_damaged_round_is_set_aside_whole_and_the_daemon_starts_without_it(
    home: HomePaths, fsck: Callable
) -> None:
    paths = home.round("last")
    paths.spec(".toml").write_bytes(b"round = 'last'")
    (home.active / "last.toml").write_bytes(b"round = 'last'")
    flip(paths.records, 2)
    before = {path.name: path.read_bytes() for path in paths.root.iterdir()}
    status, out, _ = fsck("--set-aside", "last")
    assert status == 0
    moved = home.set_aside / "last"
    assert str(moved) in out
    assert {path.name: path.read_bytes() for path in moved.iterdir()} == before
    assert not paths.root.exists()
    assert list(home.active.iterdir()) == []
    assert "set aside" in (home.rejected / "last.toml.why.txt").read_text()
    recovery = replay(home)
    assert "last" not in recovery.state.rounds
    assert set(recovery.state.ended) == {"first", "second"}


def test_a_damaged_ledger_is_set_aside_and_a_new_one_begins(home: HomePaths, fsck: Callable) -> None:
    flip(home.ledger, 1)
    damaged = home.ledger.read_bytes()
    assert fsck("--set-aside", "ledger")[0] == 0
    assert (home.set_aside / "ledger.jsonl").read_bytes() == damaged
    recovery = replay(home)
    assert set(recovery.state.rounds) == {"last"}


def test_a_second_one_of_the_same_name_hides_nothing(home: HomePaths, fsck: Callable) -> None:
    (home.set_aside / "last").mkdir(parents=True)
    flip(home.round("last").records, 2)
    assert fsck("--set-aside", "last")[0] == 0
    assert (home.set_aside / "last.2" / "records.jsonl").exists()


@pytest.mark.parametrize(("name", "expected"), [("last", 2), ("nobody", 3)])
def test_what_is_whole_or_unknown_is_not_set_aside(
    home: HomePaths, fsck: Callable, name: str, expected: int
) -> None:
    before = contents(home)
    assert fsck("--set-aside", name)[0] == expected
    assert contents(home) == before


def test_nothing_is_set_aside_under_a_daemon(home: HomePaths, fsck: Callable) -> None:
    flip(home.round("last").records, 2)
    lock = HomeLock.acquire(home.lock)
    assert fsck("--set-aside", "last")[0] == os.EX_TEMPFAIL
    lock.release()
    assert home.round("last").records.exists()
