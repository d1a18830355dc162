"""Is every dropped spec taken once and whole, however people drop it?"""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from scheduler.effects import arrivals
from scheduler.effects.clock import FakeClock
from scheduler.effects.spool import Arrival, Spool, Unreadable, submit, watch
from scheduler.rounds.errors import UsageError
from scheduler.rounds.paths import HomePaths

QUIET_SECONDS = 30.0
SPEC = b'[[tasks]]\nname = "a"\n'


@pytest.fixture
def home(tmp_path: Path) -> HomePaths:
    home = HomePaths(tmp_path)
    for folder in home.folders():
        folder.mkdir(parents=True, exist_ok=True)
    return home


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def spool(home: HomePaths, clock: FakeClock) -> Spool:
    return Spool(home, quiet_period_seconds=QUIET_SECONDS, monotonic=clock.monotonic)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A spec that was written a while ago, outside the queue."""
    path = tmp_path / "source.toml"
    path.write_bytes(SPEC)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


def names(found: list[Arrival | Unreadable]) -> list[str]:
    return [arrived.name for arrived in found]


def only(found: list[Arrival | Unreadable]) -> Arrival:
    [arrival] = found
    assert isinstance(arrival, Arrival)
    return arrival


def settled(spool: Spool, clock: FakeClock) -> list[Arrival | Unreadable]:
    """What is handed out when the daemon looks as often as it is told to."""
    found = spool.scan()
    while not found and (wait := spool.next_scan_in()) is not None:
        clock.advance(wait)
        found = spool.scan()
    return found


def can_lease(folder: Path) -> bool:
    path = folder / "probe"
    path.write_bytes(b"")
    contents = arrivals.read_unless_written(path, arrivals.Signature.of(path.stat()))
    path.unlink()
    return contents is not None and contents.has_no_writer


def test_a_file_copied_with_cp_is_taken_after_a_second_without_change(
    home: HomePaths, spool: Spool, clock: FakeClock, source: Path
) -> None:
    subprocess.run(["cp", source, home.queue / "x.toml"], check=True)
    assert spool.scan() == []
    assert spool.next_scan_in() == 1.0
    clock.advance(0.9)
    assert spool.scan() == []
    clock.advance(0.1)
    arrival = only(spool.scan())
    assert (arrival.name, arrival.suffix, arrival.data) == ("x.toml", ".toml", SPEC)
    assert len(arrival.sha256) == 64
    assert (arrival.came_complete, arrival.is_final) == (False, False)
    assert spool.next_scan_in() is None
    clock.advance(1000)
    assert spool.scan() == []


def test_a_file_moved_with_mv_is_taken_at_once(home: HomePaths, spool: Spool, source: Path) -> None:
    if not can_lease(home.root):
        pytest.skip("this file system grants no leases")
    subprocess.run(["mv", source, home.queue / "x.toml"], check=True)
    arrival = only(spool.scan())
    assert (arrival.came_complete, arrival.is_final, arrival.data) == (True, True, SPEC)


def test_without_leases_a_moved_file_waits_like_a_copied_one(
    home: HomePaths, spool: Spool, clock: FakeClock, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "_has_writer", lambda _: None)
    source.rename(home.queue / "x.toml")
    assert spool.scan() == []
    clock.advance(1)
    arrival = only(spool.scan())
    assert (arrival.came_complete, arrival.is_final) == (False, False)


def test_ten_files_at_once_are_all_taken(home: HomePaths, spool: Spool, clock: FakeClock) -> None:
    for number in range(10):
        (home.queue / f"x{number}.json").write_bytes(b"{}")
    assert len(settled(spool, clock)) == 10


WRITING = """
import sys
with open(sys.argv[1], "wb", buffering=0) as file:
    file.write(b"first = 1\\n")
    print("half", flush=True)
    sys.stdin.readline()
    file.write(b"second = 2\\n")
print("whole", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def writer(home: HomePaths) -> Iterator[subprocess.Popen[str]]:
    """A program that has written half of x.toml and goes on when it gets a line."""
    child = subprocess.Popen(
        [sys.executable, "-c", WRITING, str(home.queue / "x.toml")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "half\n"
    yield child
    child.kill()
    child.communicate()


@pytest.mark.fault(
    "a spec still being copied",
    moment="while it is written",
    outcome="it is taken whole, once",
)
def test_a_slow_writer_is_waited_for(
    home: HomePaths, spool: Spool, clock: FakeClock, writer: subprocess.Popen[str]
) -> None:
    if not can_lease(home.root):
        pytest.skip("this file system grants no leases")
    for _ in range(5):
        assert spool.scan() == []
        assert spool.next_scan_in() == 1.0
        clock.advance(10)
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write("go on\n")
    writer.stdin.flush()
    assert writer.stdout.readline() == "whole\n"
    assert only(settled(spool, clock)).data == b"first = 1\nsecond = 2\n"


@pytest.mark.fault(
    "a copy that pauses",
    moment="half way through a spec",
    outcome="it is read again before it is rejected",
)
def test_a_writer_that_closes_between_its_writes_gets_its_quiet_period(
    home: HomePaths, spool: Spool, clock: FakeClock
) -> None:
    path = home.queue / "x.toml"
    path.write_bytes(b"[[tas")
    half = only(settled(spool, clock))
    spool.postpone(half.path)
    clock.advance(5)
    assert spool.scan() == []
    with path.open("ab") as file:
        file.write(b"ks]]\n")
    arrival = only(settled(spool, clock))
    assert (arrival.data, arrival.is_final) == (b"[[tasks]]\n", False)


def test_a_broken_copy_is_handed_out_again_once_when_its_quiet_period_is_over(
    home: HomePaths, spool: Spool, clock: FakeClock
) -> None:
    (home.queue / "x.toml").write_bytes(b"[[tas")
    spool.postpone(only(settled(spool, clock)).path)
    assert spool.next_scan_in() == QUIET_SECONDS - 1
    clock.advance(QUIET_SECONDS - 1.5)
    assert spool.scan() == []
    clock.advance(0.5)
    arrival = only(spool.scan())
    assert (arrival.came_complete, arrival.is_final) == (False, True)
    assert spool.next_scan_in() is None
    clock.advance(1000)
    assert spool.scan() == []


def saved_by_vim(path: Path) -> None:
    probe = path.with_name("4913")
    probe.write_bytes(b"")
    probe.unlink()
    backup = path.with_name(f"{path.name}~")
    path.rename(backup)
    path.with_name(f".{path.name}.swp").write_bytes(b"swap")
    path.write_bytes(SPEC)
    path.chmod(0o644)


def saved_by_replacing(path: Path) -> None:
    temporary = path.with_name(".goutputstream-AB12CD")
    temporary.write_bytes(SPEC)
    temporary.rename(path)


def saved_in_place(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate()
        file.write(SPEC)


def saved_by_emacs(path: Path) -> None:
    path.with_name(f"#{path.name}#").write_bytes(b"auto-save")
    path.with_name(f".#{path.name}").symlink_to("me@host.1234")
    saved_in_place(path)


def fetched_by_rsync(path: Path) -> None:
    temporary = path.with_name(f".{path.name}.Xy12Zw")
    temporary.write_bytes(SPEC)
    os.utime(temporary, (1_700_000_000, 1_700_000_000))
    temporary.rename(path)


def copied_with_its_times(path: Path) -> None:
    source = path.parent.parent / "source.toml"
    source.write_bytes(SPEC)
    os.utime(source, (1_700_000_000, 1_700_000_000))
    subprocess.run(["cp", "-p", source, path], check=True)


@pytest.mark.parametrize(
    "save",
    [
        saved_by_vim,
        saved_by_replacing,
        saved_in_place,
        saved_by_emacs,
        fetched_by_rsync,
        copied_with_its_times,
    ],
)
def test_an_editors_save_is_taken_once_and_whole(
    home: HomePaths, spool: Spool, clock: FakeClock, save: Callable[[Path], None]
) -> None:
    path = home.queue / "x.toml"
    path.write_bytes(b"old")
    assert spool.scan() == []
    clock.advance(0.5)
    save(path)
    arrival = only(settled(spool, clock))
    assert (arrival.name, arrival.data) == ("x.toml", SPEC)
    clock.advance(100)
    assert spool.scan() == []


@pytest.mark.parametrize(
    "name",
    [
        *(".x.toml", ".x.toml.swp", "x.toml~", "#x.toml#", "4913", "x.toml.part", "x.toml.tmp", "x.swp"),
        *(
            "README.md",
            "x.yaml",
            "toml",
            ".toml",
            ".goutputstream-AB12CD",
            ".x.toml.1a2b3c4d.tmp",
            "x.toml.bak",
        ),
    ],
)
def test_what_is_no_spec_is_left_alone(home: HomePaths, spool: Spool, clock: FakeClock, name: str) -> None:
    (home.queue / name).write_bytes(SPEC)
    assert settled(spool, clock) == []
    assert (home.queue / name).exists()


def test_folders_are_left_alone(home: HomePaths, spool: Spool, clock: FakeClock) -> None:
    (home.queue / "examples.toml").mkdir()
    assert settled(spool, clock) == []


@pytest.mark.fault(
    "a link, a pipe or a huge file in the queue",
    moment="at any time",
    outcome="rejected at once with the reason; never followed or waited for",
)
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.symlink_to("/etc/hostname"), "symbolic link"),
        (lambda path: path.symlink_to("/nowhere"), "symbolic link"),
        (os.mkfifo, "not a regular file"),
        (lambda path: path.write_bytes(bytes(arrivals.MAX_SPEC_BYTES + 1)), "262145 bytes"),
    ],
)
@pytest.mark.fault("a link or a pipe in the queue", moment="any", outcome="rejected, never followed")
def test_what_can_never_be_a_spec_is_told_at_once_and_once(
    home: HomePaths, spool: Spool, make: Callable[[Path], None], reason: str
) -> None:
    make(home.queue / "x.toml")
    [unreadable] = spool.scan()
    assert isinstance(unreadable, Unreadable)
    assert reason in unreadable.reason
    assert spool.scan() == []
    assert spool.next_scan_in() is None
    moved = spool.to_rejected("x.toml", unreadable.reason)
    assert moved == home.rejected / "x.toml"
    assert os.path.lexists(moved)
    assert not os.path.lexists(home.queue / "x.toml")


@pytest.mark.parametrize("name", ["x" * 240 + ".toml", "two\nlines.toml", "esc\x1b[2J.toml"])
def test_a_file_name_that_cannot_be_kept_is_told(home: HomePaths, spool: Spool, name: str) -> None:
    (home.queue / name).write_bytes(SPEC)
    [unreadable] = spool.scan()
    assert isinstance(unreadable, Unreadable)
    assert "Rename the file" in unreadable.reason
    moved = spool.to_rejected(name, unreadable.reason)
    assert moved is not None
    assert moved.with_name(f"{moved.name}.why.txt").exists()


def test_a_file_name_that_is_not_utf8_is_told(home: HomePaths, spool: Spool) -> None:
    name = os.fsdecode(b"x\xff.toml")
    (home.queue / name).write_bytes(SPEC)
    assert names(spool.scan()) == [name]
    assert spool.to_rejected(name, "Rename the file.") is not None


def test_a_spec_of_the_greatest_size_is_taken_whole(home: HomePaths, spool: Spool, clock: FakeClock) -> None:
    data = b"#" * arrivals.MAX_SPEC_BYTES
    (home.queue / "x.toml").write_bytes(data)
    assert only(settled(spool, clock)).data == data


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to become another user")
def test_a_file_that_may_not_be_read_is_told_when_it_has_settled(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path\n"
        "from scheduler.effects.clock import FakeClock\n"
        "from scheduler.effects.spool import Spool; from scheduler.rounds.paths import HomePaths\n"
        "os.chdir(sys.argv[1]); os.setgid(65534); os.setuid(65534)\n"
        "clock = FakeClock()\n"
        "spool = Spool(HomePaths(Path('.')), quiet_period_seconds=30, monotonic=clock.monotonic)\n"
        "print(spool.scan()); clock.advance(1); print(spool.scan()[0].reason)\n"
    )
    path = tmp_path / "queue" / "x.toml"
    path.parent.mkdir()
    path.write_bytes(SPEC)
    path.chmod(0o600)
    tmp_path.chmod(0o755)
    child = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert child.stdout.splitlines() == [
        "[]",
        "the file cannot be read: Permission denied. Give the daemon's user the right to read it.",
    ], child.stderr


# In a process of its own: a signal to a process goes to any of its threads, and test runners have several.
LOOKING = """
import os, signal, subprocess, sys
from scheduler.effects.arrivals import _has_writer
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGURG})
fd = os.open(sys.argv[1], os.O_RDONLY)
assert _has_writer(fd) is False
with subprocess.Popen(["sh", "-c", 'echo more >> "$0"', sys.argv[1]]) as writer:
    assert signal.sigtimedwait({signal.SIGURG}, 60) is not None
    assert writer.poll() is None
    os.close(fd)
    assert writer.wait() == 0
"""


def test_a_writer_that_comes_during_the_look_does_not_kill_the_daemon(tmp_path: Path) -> None:
    if not can_lease(tmp_path):
        pytest.skip("this file system grants no leases")
    path = tmp_path / "x.toml"
    path.write_bytes(SPEC)
    child = subprocess.run(
        [sys.executable, "-c", LOOKING, str(path)], capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr
    assert path.read_bytes() == SPEC + b"more\n"


def test_an_accepted_file_goes_to_active_and_then_to_done(
    home: HomePaths, spool: Spool, clock: FakeClock
) -> None:
    (home.queue / "x.toml").write_bytes(SPEC)
    settled(spool, clock)
    assert spool.to_active("x.toml", "night.toml") == home.active / "night.toml"
    assert list(home.active.iterdir()) == [home.active / "night.toml"]
    assert spool.to_done("night.toml") == home.done / "night.toml"
    assert list(home.active.iterdir()) == []
    assert spool.to_done("night.toml") is None
    assert spool.to_active("x.toml") is None
    assert (home.done / "night.toml").read_bytes() == SPEC


@pytest.mark.fault(
    "a spec is changed",
    moment="after it was read",
    outcome="it stays in the queue and is read anew",
)
def test_a_file_that_changed_after_it_was_read_stays_and_is_handed_out_anew(
    home: HomePaths, spool: Spool, clock: FakeClock
) -> None:
    path = home.queue / "x.toml"
    path.write_bytes(SPEC)
    settled(spool, clock)
    path.write_bytes(b"changed = 1\n")
    assert spool.to_active("x.toml") is None
    assert spool.to_rejected("x.toml", "old") is None
    assert spool.duplicate_to_done("x.toml") is None
    assert list(home.rejected.iterdir()) == []
    assert only(settled(spool, clock)).data == b"changed = 1\n"
    assert spool.to_active("x.toml") is not None


def test_a_daemon_that_starts_moves_what_the_one_before_it_accepted(home: HomePaths, spool: Spool) -> None:
    (home.queue / "x.toml").write_bytes(SPEC)
    assert spool.to_active("x.toml") == home.active / "x.toml"


def test_moves_never_overwrite(home: HomePaths, spool: Spool, clock: FakeClock) -> None:
    for number in range(1, 4):
        (home.queue / "x.toml").write_bytes(b"%d" % number)
        settled(spool, clock)
        spool.to_rejected("x.toml", f"because {number}")
    assert sorted(path.name for path in home.rejected.iterdir()) == sorted(
        f"{name}{suffix}" for name in ("x.toml", "x.2.toml", "x.3.toml") for suffix in ("", ".why.txt")
    )
    assert (home.rejected / "x.2.toml").read_bytes() == b"2"
    assert (home.rejected / "x.2.toml.why.txt").read_text() == "because 2\n"
    for number in range(2):
        (home.queue / "y.toml").write_bytes(b"%d" % number)
        settled(spool, clock)
        spool.duplicate_to_done("y.toml")
    assert [(home.done / name).read_bytes() for name in ("y.toml", "y.2.toml")] == [b"0", b"1"]


def test_the_reason_is_there_before_the_file_is(
    home: HomePaths, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home.queue / "x.toml").write_bytes(SPEC)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            spool.to_rejected("x.toml", "tasks[0].bsz: \x1b[31mtoo large")
    assert (home.rejected / "x.toml.why.txt").read_text() == "tasks[0].bsz: too large\n"
    assert (home.queue / "x.toml").exists()
    assert spool.to_rejected("x.toml", "again") == home.rejected / "x.toml"
    assert len(list(home.rejected.iterdir())) == 2


def test_a_submitted_spec_is_taken_by_the_next_scan(home: HomePaths, spool: Spool) -> None:
    if not can_lease(home.root):
        pytest.skip("this file system grants no leases")
    path = submit(home, SPEC, "x.toml")
    assert path == home.queue / "x.toml"
    assert os.listdir(home.queue).count("x.toml") == 1
    assert not [name for name in os.listdir(home.queue) if name.endswith(".tmp")]
    arrival = only(spool.scan())
    assert (arrival.data, arrival.came_complete, arrival.is_final) == (SPEC, True, True)


def test_submitting_keeps_what_waits_under_the_same_name(home: HomePaths) -> None:
    assert submit(home, b"1", "x.toml").name == "x.toml"
    assert submit(home, b"2", "x.toml").name == "x-2.toml"
    assert submit(home, b"3", "x.toml").name == "x-3.toml"
    assert submit(home, b"2", "x.toml").name == "x-2.toml"
    assert (home.queue / "x.toml").read_bytes() == b"1"


def test_submitting_works_where_there_are_no_links(home: HomePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    assert submit(home, SPEC, "x.toml").read_bytes() == SPEC


@pytest.mark.parametrize(
    "name", ["x.yaml", ".x.toml", "../x.toml", "a/x.toml", "x" * 240 + ".toml", "a\n.toml"]
)
def test_a_name_that_the_queue_would_not_take_is_refused(home: HomePaths, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be queued"):
        submit(home, SPEC, name)
    assert not [path for path in home.queue.iterdir() if path.is_file()]


def test_a_change_wakes_the_daemon_and_a_look_does_not(
    home: HomePaths, spool: Spool, clock: FakeClock
) -> None:
    woken: queue.SimpleQueue[bool] = queue.SimpleQueue()
    watching = watch([home.queue, home.control], lambda: woken.put(True))
    try:
        deadline = time.monotonic() + 20
        # The kernel's watch is set up by a thread: changes go on until one is seen.
        while woken.empty() and time.monotonic() < deadline:
            (home.queue / "x.toml").write_bytes(os.urandom(4))
            time.sleep(0.05)
        assert woken.get(timeout=10)
        (home.control / "request.json").write_bytes(b"")
        assert woken.get(timeout=10)
        is_quiet = False
        while not is_quiet:
            try:
                woken.get(timeout=1.2)
            except queue.Empty:
                is_quiet = True
        assert "x.toml" in names(settled(spool, clock))
        with pytest.raises(queue.Empty):
            woken.get(timeout=1.2)
    finally:
        watching.stop()
    (home.queue / "y.toml").write_bytes(b"")
    assert woken.empty()


def test_a_watch_that_fails_says_so_once(tmp_path: Path) -> None:
    reports: queue.SimpleQueue[str] = queue.SimpleQueue()
    watching = watch(tmp_path / "missing", lambda: None, report=reports.put)
    assert "looked at periodically" in reports.get(timeout=20)
    watching.stop()
    assert reports.empty()


def test_looking_at_the_spool_does_not_load_watchfiles() -> None:
    script = "import sys, scheduler.effects.spool; sys.exit('watchfiles' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_file_that_is_swapped_during_a_look_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(SPEC)
    seen = arrivals.Signature.of(path.stat())
    path.with_suffix(".new").write_bytes(SPEC)
    path.with_suffix(".new").rename(path)
    assert arrivals.read_unless_written(path, seen) is None


def test_a_file_that_vanishes_is_forgotten(home: HomePaths, spool: Spool, clock: FakeClock) -> None:
    path = home.queue / "x.toml"
    path.write_bytes(SPEC)
    spool.scan()
    path.unlink()
    assert spool.scan() == []
    assert spool.next_scan_in() is None
    shutil.copy(__file__, path)
    assert only(settled(spool, clock)).name == "x.toml"


def test_a_file_that_grows_while_it_is_read_is_left_to_its_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(SPEC)
    expected = arrivals.Signature.of(path.stat())
    monkeypatch.setattr(arrivals, "_has_writer", lambda _: None)  # as on a file system without leases
    with path.open("ab") as writer:

        def growing(path: Path) -> BinaryIO:
            file = path.open("rb", buffering=0)
            monkeypatch.setattr(arrivals.Signature, "of", lambda _: expected)  # the times tick too slowly
            writer.write(bytes(3 * arrivals.MAX_SPEC_BYTES))
            writer.flush()
            return file

        monkeypatch.setattr(arrivals, "open_regular", growing)
        assert arrivals.read_unless_written(path, expected) is None
