"""Does a journal on a real disk lose, double or change nothing that was acknowledged?"""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from full_disk import mounted_tmpfs

from scheduler.decide import facts
from scheduler.decide.facts import TaskFinished
from scheduler.effects.books import Books
from scheduler.effects.fact_lines import Recorded
from scheduler.effects.patience import Patience
from scheduler.effects.records import DiskFullError, Journal, encode, read_records
from scheduler.rounds.errors import AlreadyRunningError, CorruptRecordsError, RecordsWriteError
from scheduler.rounds.paths import HomePaths


def filled(path: Path, count: int) -> list[dict[str, object]]:
    journal, _ = Journal.open(path)
    fields = {"event": "task_finished", "round": "night"}
    records = [journal.append({**fields, "task": f"t{number}"}) for number in range(count)]
    journal.close()
    return records


def opened(path: Path) -> list[dict[str, object]]:
    journal, records = Journal.open(path)
    journal.close()
    return records


@pytest.fixture
def fast_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: thousands of fsyncs go through it."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    folder = shared / f"roundhouse-test-{os.getpid()}"
    folder.mkdir()
    yield folder
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def only(names: object) -> str:
    assert isinstance(names, list)
    [name] = names
    return str(name)


def test_records_are_numbered_stamped_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    journal, records = Journal.open(path, clock=lambda: datetime(2026, 11, 20, 13, 5, 1, 250000, tzinfo=UTC))
    assert records == []
    first = journal.append({"event": "task_finished", "task": "a", "scores": (1, float("nan"))})
    second = journal.append({"event": "task_finished", "task": "b"})
    journal.close()
    assert list(first)[:4] == ["v", "seq", "ts", "event"]
    assert (first["seq"], first["ts"], first["scores"]) == (1, "2026-11-20T13:05:01.250Z", [1, "nan"])
    assert list(read_records(path)) == [first, second]
    assert opened(path) == [first, second]


def test_a_journal_goes_on_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    filled(path, 2)
    filled(path, 1)
    assert [record["seq"] for record in read_records(path)] == [1, 2, 3]


def test_a_journal_can_be_replayed_without_holding_its_records(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    finished = {"event": "task_finished", "round": "night", "task": "sums"}
    journal, _ = Journal.open(path)
    records = [journal.append(finished), journal.append({"event": "moon_landed"})]
    journal.close()
    with path.open("ab") as file:
        file.write(b"torn")
    replayed: list[Recorded] = []
    journal = Journal.replay(path, replayed.append)
    assert [(each.seq, each.ts) for each in replayed] == [(each["seq"], each["ts"]) for each in records]
    assert [each.fact for each in replayed] == [TaskFinished(round="night", task="sums"), None]
    assert list(read_records(path))[2]["event"] == "repaired"
    assert journal.append({"event": "x"})["seq"] == 4
    journal.close()


@pytest.mark.parametrize("error", [ValueError, KeyError, TypeError])
def test_a_fact_that_cannot_follow_is_refused_with_its_place(tmp_path: Path, error: type[Exception]) -> None:
    path = tmp_path / "records.jsonl"
    filled(path, 1)

    def refuse(_: Recorded) -> None:
        raise error("no such task")

    with pytest.raises(CorruptRecordsError, match=r"line 1 .* cannot follow .*no such task"):
        Journal.replay(path, refuse)
    opened(path)  # nobody holds it


@pytest.mark.parametrize("field", ["v", "seq", "ts", "crc"])
def test_a_fact_cannot_carry_the_journals_own_fields(tmp_path: Path, field: str) -> None:
    journal, _ = Journal.open(tmp_path / "records.jsonl")
    with pytest.raises(ValueError, match=field):
        journal.append({"event": "x", field: 1})
    assert journal.append({"event": "x"})["seq"] == 1
    journal.close()


@pytest.mark.fault(
    "a second daemon",
    moment="while one writes",
    outcome="it is kept away from the records",
)
def test_a_second_writer_is_kept_out_and_the_lock_is_not_inherited(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal, _ = Journal.open(path)
    with pytest.raises(AlreadyRunningError, match=r"journal\.jsonl"):
        Journal.open(path)
    with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
        journal.close()
        opened(path)
        child.kill()
    with pytest.raises(RecordsWriteError, match="closed"):
        journal.append({"event": "x"})


TAILS = {
    "half a record": encode({"v": 1, "seq": 4, "ts": "x", "event": "x"})[:20],
    "a record without its newline": encode({"v": 1, "seq": 4, "ts": "x", "event": "x"})[:-1],
    "zero bytes": bytes(4096),
    "zero bytes and a newline": bytes(100) + b"\n",
    "a line of rubbish": b"rubbish\n",
    "several lines of rubbish": b"{\n\n\xff\xfe\n{}\n[1",
    "an empty line": b"\n",
    "half a record, then zero bytes": b'{"v":1,"seq":4,' + bytes(50),
}


@pytest.mark.fault(
    "a torn last record",
    moment="after a crash",
    outcome="it is moved aside and a record says so",
)
@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
@pytest.mark.parametrize("before", [0, 3])
def test_a_torn_tail_is_moved_aside_and_said_so(tmp_path: Path, tail: bytes, before: int) -> None:
    path = tmp_path / "records.jsonl"
    records = filled(path, before)
    with path.open("ab") as file:
        file.write(tail)
    assert list(read_records(path)) == records
    *kept, repaired = opened(path)
    assert kept == records
    assert (repaired["event"], repaired["seq"], repaired["bytes"]) == ("repaired", before + 1, len(tail))
    torn = tmp_path / only(repaired["files"])
    assert torn.name == f"records.torn.{before + 1}"
    assert torn.read_bytes() == tail
    assert opened(path) == [*records, repaired]


def test_the_name_of_a_torn_tail_comes_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b"x")
    assert opened(path)[0]["files"] == ["ledger.torn.1"]


def test_a_repair_that_was_killed_before_its_record_is_still_recorded(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    records = filled(path, 2)
    (tmp_path / "records.torn.3").write_bytes(b"rubbish")
    *kept, repaired = opened(path)
    assert kept == records
    assert (repaired["event"], repaired["bytes"]) == ("repaired", 7)


def test_a_second_torn_tail_does_not_overwrite_the_first(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    filled(path, 2)
    (tmp_path / "records.torn.3").write_bytes(b"first")
    with path.open("ab") as file:
        file.write(b"second")
    assert opened(path)[-1]["files"] == ["records.torn.3", "records.torn.3.2"]
    assert (tmp_path / "records.torn.3").read_bytes() == b"first"
    assert (tmp_path / "records.torn.3.2").read_bytes() == b"second"


def without(lines: list[bytes], number: int) -> list[bytes]:
    return lines[:number] + lines[number + 1 :]


@pytest.mark.fault(
    "a record is damaged, missing or doubled",
    moment="while no daemon runs",
    outcome="the start is refused with file and line, and nothing is changed",
)
@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda lines: [lines[0], b"rubbish\n", *lines[2:]], 2),
        (lambda lines: [b"rubbish\n", *lines], 1),
        (lambda lines: [lines[0], bytes(512) + b"\n", *lines[1:]], 2),
        (lambda lines: [lines[0], lines[1][:-9], *lines[2:]], 2),
        (lambda lines: [lines[0], b"\n", *lines[1:]], 2),
        (lambda lines: without(lines, 1), 2),
        (lambda lines: [lines[0], *lines], 2),
        (lambda lines: [lines[1], lines[0], *lines[2:]], 1),
        (lambda lines: [*lines, encode({"v": 2, "seq": 5, "ts": "x", "event": "x"})], 5),
        (lambda lines: [*lines, encode({"v": 1, "seq": 6, "ts": "x", "event": "x"})], 5),
    ],
)
def test_damage_that_would_lose_records_is_refused_and_nothing_is_touched(
    tmp_path: Path, damage: object, line: int
) -> None:
    path = tmp_path / "records.jsonl"
    filled(path, 4)
    lines = path.read_bytes().splitlines(keepends=True)
    assert callable(damage)
    path.write_bytes(b"".join(damage(lines)))
    before = path.read_bytes()
    offset = sum(map(len, before.splitlines(keepends=True)[: line - 1]))
    for read in (opened, lambda path: list(read_records(path))):
        with pytest.raises(CorruptRecordsError, match=rf"records\.jsonl, line {line} \(byte {offset}\)"):
            read(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.fault(
    "a flipped byte",
    moment="anywhere in the last three records",
    outcome="the record is moved aside, or the start refused; none is lost silently",
)
def test_every_flipped_byte_of_the_last_records_is_repaired_or_refused(fast_folder: Path) -> None:
    path = fast_folder / "records.jsonl"
    records = filled(path, 5)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    start, last = sum(map(len, lines[:2])), sum(map(len, lines[:4]))
    for offset in range(start, len(whole)):
        for byte in {whole[offset] ^ 1 << offset % 8, whole[offset] ^ 0xFF, 0x0A, 0x00} - {whole[offset]}:
            path.write_bytes(whole[:offset] + bytes([byte]) + whole[offset + 1 :])
            if offset < last:
                with pytest.raises(CorruptRecordsError):
                    opened(path)
                continue
            *kept, repaired = opened(path)
            assert kept == records[:4], offset
            torn = fast_folder / only(repaired["files"])
            assert torn.read_bytes() == whole[last:offset] + bytes([byte]) + whole[offset + 1 :]
            torn.unlink()


@pytest.mark.fault(
    "records cut short",
    moment="anywhere in the last three",
    outcome="whole records stay, the rest is moved aside",
)
def test_every_cut_through_the_last_records_is_repaired(fast_folder: Path) -> None:
    path = fast_folder / "records.jsonl"
    records = filled(path, 5)
    whole = path.read_bytes()
    ends = [0]
    for line in whole.splitlines(keepends=True):
        ends.append(ends[-1] + len(line))
    for length in range(ends[2], len(whole)):
        path.write_bytes(whole[:length])
        count = sum(end <= length for end in ends) - 1
        assert list(read_records(path)) == records[:count]
        found = opened(path)
        assert found[:count] == records[:count], length
        if length == ends[count]:
            assert len(found) == count
            continue
        torn = fast_folder / only(found[count]["files"])
        assert torn.read_bytes() == whole[ends[count] : length]
        torn.unlink()


def test_a_reader_beside_a_writer_never_sees_damage(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    filled(path, 1)
    writer = (
        "import sys; from pathlib import Path; from scheduler.effects.records import Journal\n"
        "journal, _ = Journal.open(Path(sys.argv[1]))\n"
        "for n in range(300): journal.append({'event': 'x', 'text': ['y' * 3000] * (n % 5)})\n"
    )
    seen = 0
    with subprocess.Popen([sys.executable, "-c", writer, str(path)]) as child:
        while child.poll() is None:
            count = sum(1 for _ in read_records(path))
            assert count >= seen
            seen = count
    assert child.returncode == 0
    assert sum(1 for _ in read_records(path)) == 301


class GrowingFile(io.BytesIO):
    """A file whose writer goes on between two reads of one reader."""

    def __init__(self, seen: bytes, later: bytes) -> None:
        super().__init__(seen)
        self._later = later

    def read(self, _: int | None = -1) -> bytes:
        return super().read() + self._later


def test_what_a_writer_adds_during_a_look_is_not_taken_for_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "records.jsonl"
    records = filled(path, 4)
    lines = path.read_bytes().splitlines(keepends=True)
    growing = GrowingFile(lines[0] + lines[1][:30], lines[1][30:] + lines[2] + lines[3])
    monkeypatch.setattr(Path, "open", lambda *_: growing)
    assert list(read_records(path)) == records[:1]


APPENDING = """
import sys
from pathlib import Path
from scheduler.effects.records import Journal
journal, records = Journal.open(Path(sys.argv[1]))
while True:
    seq = journal.append({"event": "x", "texts": ["y" * 3500] * (len(records) % 7)})["seq"]
    records.append(seq)
    print(seq, flush=True)
"""


@pytest.mark.fault(
    "kill -9 of the daemon",
    moment="while it writes a record",
    outcome="no acknowledged record is lost",
)
def test_no_acknowledged_record_is_lost_to_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    acknowledged = 0
    for attempt in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", APPENDING, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        with child:
            for _ in range(5 + 37 * attempt % 50):
                assert child.stdout.readline()
            child.kill()
            lines = child.stdout.read().splitlines(keepends=True)
        heard = [int(line) for line in lines if line.endswith("\n")]
        acknowledged = max([acknowledged, *heard])
        records = opened(path)
        assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
        assert len(records) >= acknowledged
        acknowledged = len(records)


@pytest.mark.fault(
    "a full disk",
    moment="with 0 to 8192 bytes left for a record",
    outcome="the record is taken back whole, and written when there is room",
)
def test_a_full_disk_takes_the_record_back_and_the_journal_resumes(
    fast_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fast_folder / "records.jsonl"
    journal, _ = Journal.open(path)
    first = journal.append({"event": "x"})
    size = path.stat().st_size
    real_write = os.write
    room = 0

    def write(fd: int, data: bytes) -> int:
        nonlocal room
        if room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = real_write(fd, bytes(data)[:room])
        room -= count
        return count

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write)
        for bytes_left in range(8193):
            room = bytes_left
            with pytest.raises(DiskFullError, match="Free some space"):
                journal.append({"event": "x", "texts": ["y" * 3000] * 3})
            assert path.stat().st_size == size
    second = journal.append({"event": "x"})
    journal.close()
    assert list(read_records(path)) == [first, second]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted_tmpfs(tmp_path / "tiny", "size=32k") as folder:
        yield folder


def appended_until_full(journal: Journal) -> int:
    for count in range(100):
        try:
            journal.append({"event": "x", "text": "y" * 700})
        except DiskFullError:
            return count
    raise AssertionError("the disk never filled")


@pytest.mark.fault(
    "a full disk",
    moment="while a record is written",
    outcome="the record is taken back whole, and written when there is room",
)
def test_a_really_full_disk_is_survived(tiny_disk: Path) -> None:
    path = tiny_disk / "records.jsonl"
    filler = tiny_disk / "filler"
    filler.write_bytes(bytes(8192))
    journal, _ = Journal.open(path)
    count = appended_until_full(journal)
    assert sum(1 for _ in read_records(path)) == count
    with pytest.raises(DiskFullError):
        journal.append({"event": "x", "text": "y" * 3900})
    filler.unlink()
    assert journal.append({"event": "x"})["seq"] == count + 1
    journal.close()
    assert len(opened(path)) == count + 1


@pytest.mark.fault(
    "a disk error",
    moment="at a write or an fsync of a record",
    outcome="nothing more is recorded; a new daemon replays the file",
)
@pytest.mark.parametrize("call", ["fsync", "write"])
def test_after_any_other_failure_nothing_more_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "records.jsonl"
    journal, _ = Journal.open(path)
    first = journal.append({"event": "x"})

    def broken(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, call, broken)
        with pytest.raises(RecordsWriteError) as raised:
            journal.append({"event": "x"})
    assert not isinstance(raised.value, DiskFullError)
    with pytest.raises(RecordsWriteError, match="Start the daemon again"):
        journal.append({"event": "x"})
    journal.close()
    assert opened(path)[0] == first


def test_an_append_that_a_signal_interrupts_is_not_built_upon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "records.jsonl"
    journal, _ = Journal.open(path)

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            journal.append({"event": "x"})
    with pytest.raises(RecordsWriteError):
        journal.append({"event": "x"})
    journal.close()
    assert [record["seq"] for record in opened(path)] == [1]


def test_a_limit_on_file_size_is_a_failure_and_not_a_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from scheduler.effects.records import Journal\n"
        "journal, _ = Journal.open(Path(sys.argv[1]))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "for n in range(100): journal.append({'event': 'x', 'text': 'y' * 100})\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False
    )
    assert "RecordsWriteError" in child.stderr
    assert "DiskFullError" not in child.stderr
    *_, repaired = opened(path)
    assert repaired["event"] == "repaired"


def test_records_that_were_written_become_durable_with_one_fsync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "records.jsonl"
    journal, _ = Journal.open(path)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    lines = [journal.write({"event": "told", "number": number}) for number in range(3)]
    assert (synced, path.read_bytes()) == ([], b"".join(lines))
    journal.sync()
    assert len(synced) == 1
    journal.close()


def test_facts_become_durable_in_the_order_in_which_they_were_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = HomePaths(tmp_path)
    home.results.mkdir()
    journal, ledger = (Journal.open(path)[0] for path in (home.journal, home.ledger))
    patience = Patience(say=lambda reason: None, may_wait=lambda: False)
    books = Books(home, journal=journal, ledger=ledger, rounds={}, patience=patience)
    synced: list[str] = []
    monkeypatch.setattr(Journal, "sync", lambda file: synced.append(file.path.stem))
    for fact in (paused(), paused(), kept(), paused()):
        books.write(fact)
    assert synced == ["journal", "ledger"], "another file waits until what came before is durable"
    books.sync()
    books.sync()
    assert synced == ["journal", "ledger", "journal"]
    books.close()


def paused() -> facts.QueuePaused:
    return facts.QueuePaused(reason="lunch")


def kept() -> facts.BaselineKept:
    run = facts.RunFinished(
        round="night",
        task="sums",
        stage="quick",
        config="baseline",
        seed=0,
        attempt=1,
        slot=0,
        device="cpu",
        bsz=None,
        budget={},
        protocol="p",
        content_key="k",
        run_dir="r",
        status="ok",
    )
    return facts.BaselineKept(family="f", metric="acc", unit="pp", run=run)
