"""Does a daemon know again what real files say, and does it trust no derived one that it should not?"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from fakes.told_home import told_home

from scheduler.decide import facts
from scheduler.decide.codec import to_fields
from scheduler.decide.state import State, open_attempts
from scheduler.effects import ended_file
from scheduler.effects.ended_file import read_ended, write_ended
from scheduler.effects.record_lines import decode, encode
from scheduler.effects.records import Journal, read_records
from scheduler.effects.recovery import Recovery, recovered, reopened_round, replay
from scheduler.rounds.errors import CorruptRecordsError, UnknownIdError
from scheduler.rounds.paths import HomePaths


def started(home: HomePaths) -> State:
    recovery = replay(home)
    close(recovery)
    return recovery.state


def close(recovery: Recovery) -> None:
    for journal in (recovery.journal, recovery.ledger, *recovery.rounds.values()):
        journal.close()


@pytest.mark.parametrize("minutes", [(0, 1, 2), (1, 1, 1), (2, 1, 0)], ids=str)
def test_rounds_come_back_in_the_order_of_their_acceptance_whatever_the_clock_showed(
    tmp_path: Path, minutes: tuple[int, ...]
) -> None:
    home = told_home(tmp_path, but_last=3, minutes=minutes)
    recovery = replay(home)
    assert recovery.state.accepted == ("second", "first", "last")
    assert {name: each.outcome for name, each in recovery.state.ended.items()} == {
        "second": "finished",
        "first": "parked",
    }
    assert list(recovery.state.rounds) == list(recovery.rounds) == ["last"]
    close(recovery)
    assert started(home) == recovery.state


def test_a_start_leaves_a_file_for_each_ended_round_and_the_next_one_reads_nothing_else(
    tmp_path: Path,
) -> None:
    home = told_home(tmp_path)
    before = started(home)
    for name in before.accepted:
        paths = home.round(name)
        ended = read_ended(paths)
        assert ended is not None
        assert ended.ended == before.ended[name]
        # Damage that only reading every line would find: neither size nor end change.
        data = paths.records.read_bytes()
        paths.records.write_bytes(data[:1000] + bytes([data[1000] ^ 1]) + data[1001:])
    assert started(home) == before


def test_the_file_holds_the_same_bytes_however_often_it_is_made(tmp_path: Path) -> None:
    home = told_home(tmp_path)
    started(home)
    once = home.round("first").ended.read_bytes()
    home.round("first").ended.unlink()
    started(home)
    assert home.round("first").ended.read_bytes() == once


def rewritten(**changes: Any) -> Callable[[bytes], bytes]:
    """The file with other fields, and a checksum that fits them."""

    def change(data: bytes) -> bytes:
        return encode({**decode(data), **changes})

    return change


WRONG_FILES: dict[str, Callable[[bytes], bytes | None]] = {
    "gone": lambda _: None,
    "empty": lambda _: b"",
    "zero bytes": lambda data: bytes(len(data)),
    "cut short": lambda data: data[:-20],
    "one bit": lambda data: data.replace(b'"runs_done":5', b'"runs_done":4'),
    "of another version": rewritten(version=ended_file.VERSION + 1),
    "without a version": rewritten(version=None),
    "of another kind": rewritten(ended=[]),
    "with a field of another version": rewritten(ended={"mood": "good"}),
    "of a shorter file": rewritten(bytes=17),
    "of another last record": rewritten(last_crc="00000000"),
    "of another number": rewritten(seq=3),
    "some other JSON": lambda _: orjson.dumps({"v": 1}),
}


@pytest.mark.parametrize("wrong", WRONG_FILES.values(), ids=WRONG_FILES)
def test_a_file_that_is_not_as_it_was_written_changes_nothing_and_is_made_again(
    tmp_path: Path, wrong: Callable[[bytes], bytes | None]
) -> None:
    home = told_home(tmp_path)
    before = started(home)
    path = home.round("second").ended
    sound = path.read_bytes()
    damaged = wrong(sound)
    if damaged is None:
        path.unlink()
    else:
        assert damaged != sound
        path.write_bytes(damaged)
    assert started(home) == before
    assert path.read_bytes() == sound


def test_records_that_were_added_later_are_read(tmp_path: Path) -> None:
    home = told_home(tmp_path)
    assert started(home).ended["first"].outcome == "parked"
    journal, _ = Journal.open(home.round("first").records)
    journal.append(to_fields(facts.TaskRetried(round="first", task="broken")))
    journal.close()
    state = started(home)
    assert list(state.rounds) == ["first"]
    assert not home.round("first").ended.exists()


def test_a_last_record_of_equal_length_that_is_another_one_is_not_trusted(tmp_path: Path) -> None:
    home = told_home(tmp_path)
    started(home)
    paths = home.round("second")
    *rest, last = paths.records.read_bytes().splitlines(keepends=True)
    other = encode({**decode(last), "outcome": "canceled"})
    assert len(other) == len(last)
    paths.records.write_bytes(b"".join([*rest, other]))
    assert started(home).ended["second"].outcome == "canceled"


def test_a_torn_tail_behind_an_ended_round_is_repaired(tmp_path: Path) -> None:
    home = told_home(tmp_path)
    before = started(home)
    paths = home.round("second")
    with paths.records.open("ab") as file:
        file.write(b'{"v":1,"seq"')
    assert started(home) == before
    *_, repaired = read_records(paths.records)
    assert repaired["event"] == "repaired"
    ended = read_ended(paths)
    assert ended is not None
    assert started(home) == before


@pytest.mark.parametrize("name", ["second", "last"])
def test_damage_in_the_middle_is_refused_where_the_records_are_read(tmp_path: Path, name: str) -> None:
    home = told_home(tmp_path, but_last=3)
    path = home.round(name).records
    data = path.read_bytes()
    path.write_bytes(data[:1000] + bytes([data[1000] ^ 1]) + data[1001:])
    with pytest.raises(CorruptRecordsError, match=rf"{name}/records\.jsonl, line 1 "):
        started(home)


def test_a_fact_that_cannot_follow_is_refused_with_its_place(tmp_path: Path) -> None:
    home = told_home(tmp_path, but_last=3)
    journal, records = Journal.open(home.round("last").records)
    journal.append(to_fields(facts.TaskFinished(round="last", task="unheard-of")))
    journal.close()
    with pytest.raises(CorruptRecordsError, match=rf"line {len(records) + 1} .*unheard-of"):
        started(home)


def test_a_whole_record_that_makes_no_sense_is_refused_and_never_taken_for_a_torn_tail(
    tmp_path: Path,
) -> None:
    home = told_home(tmp_path, but_last=3)
    path = home.round("last").records
    journal, _ = Journal.open(path)
    journal.append({"event": "lesson_learnt", "source": "x", "lesson": {"unit": 7}})
    journal.close()
    before = path.read_bytes()
    with pytest.raises(CorruptRecordsError, match="makes no sense to this version"):
        started(home)
    assert path.read_bytes() == before


def test_a_copy_of_a_rounds_folder_is_no_round(tmp_path: Path) -> None:
    home = told_home(tmp_path)
    before = started(home)
    copy = home.round("second-copy")
    copy.root.mkdir()
    copy.records.write_bytes(home.round("second").records.read_bytes())
    assert started(home) == before


def test_an_ended_round_is_whole_again_when_it_is_loaded(tmp_path: Path) -> None:
    home = told_home(tmp_path)
    started(home)
    journal, current = reopened_round(home.round("first"))
    assert current.tasks["broken"].parked is not None
    assert current.tasks["broken"].can_be_retried
    assert journal.append({"event": "x"})["seq"] == sum(1 for _ in read_records(home.round("first").records))
    journal.close()


def test_an_ended_round_whose_records_are_damaged_or_gone_is_not_loaded(tmp_path: Path) -> None:
    home = told_home(tmp_path)
    started(home)
    path = home.round("first").records
    data = path.read_bytes()
    path.write_bytes(b"x" + data[1:])
    with pytest.raises(CorruptRecordsError):
        reopened_round(home.round("first"))
    path.write_bytes(b"")
    with pytest.raises(UnknownIdError, match="empty"):
        reopened_round(home.round("first"))
    path.unlink()
    with pytest.raises(UnknownIdError, match="gone"):
        reopened_round(home.round("first"))
    assert not path.exists()


def test_a_full_disk_leaves_the_file_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = told_home(tmp_path)
    before = started(home)
    home.round("first").ended.unlink()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ended_file, "replace", full)
    write_ended(home.round("first"), before.ended["first"], {})
    assert started(home) == before
    assert not home.round("first").ended.exists()


def test_a_folder_that_is_gone_is_nothing_to_keep_it_in(tmp_path: Path) -> None:
    home = told_home(tmp_path)
    before = started(home)
    shutil.rmtree(home.round("first").root)
    write_ended(home.round("first"), before.ended["first"], {})
    assert not home.round("first").root.exists()


def test_a_last_record_of_any_length_is_found(tmp_path: Path) -> None:
    home = told_home(tmp_path)
    journal, _ = Journal.open(home.round("second").records)
    journal.append({"event": "repaired", "files": ["x" * 100] * 1000})
    journal.close()
    before = started(home)
    ended = read_ended(home.round("second"))
    assert ended is not None
    assert ended.ended == before.ended["second"]


def test_the_start_of_an_open_attempt_is_known(tmp_path: Path) -> None:
    home = told_home(tmp_path)
    told = [record["event"] for record in read_records(home.round("last").records)]
    last_start = len(told) - told[::-1].index("run_started")
    kept = home.round("last").records.read_bytes().splitlines(keepends=True)[:last_start]
    home.round("last").records.write_bytes(b"".join(kept))
    recovery = replay(home)
    [(attempt_id, moment)] = recovery.started_at.items()
    assert attempt_id.startswith("last/")
    assert moment.isoformat() == "2026-11-20T13:02:00+00:00"
    close(recovery)


@pytest.mark.fault(
    "kill -9 of the daemon",
    moment="while a run trains",
    outcome="the attempt is lost, and charged up to its last heartbeat",
)
@pytest.mark.parametrize("last_sign", ["heartbeat", "evaluation", "none"])
def test_a_lost_attempt_is_charged_up_to_its_last_sign_of_life(tmp_path: Path, last_sign: str) -> None:
    home = told_home(tmp_path)
    records = home.round("last").records
    told = [record["event"] for record in read_records(records)]
    last_start = len(told) - told[::-1].index("run_started")
    records.write_bytes(b"".join(records.read_bytes().splitlines(keepends=True)[:last_start]))
    recovery = replay(home)
    [(attempt_id, moment)] = recovery.started_at.items()
    [(_, _, attempt)] = open_attempts(recovery.state)
    run = home.round("last").run(attempt.intended.run_dir)
    if last_sign != "none":
        run.root.mkdir(parents=True)
        run.metrics.touch()
        os.utime(run.metrics, (moment.timestamp() + 100,) * 2)
        os.utime(run.root, (moment.timestamp() + (250 if last_sign == "heartbeat" else 1),) * 2)
    seconds = recovered(home, recovery).wall_seconds
    assert seconds == {attempt_id: {"heartbeat": 250.0, "evaluation": 100.0, "none": 0.0}[last_sign]}
    close(recovery)
