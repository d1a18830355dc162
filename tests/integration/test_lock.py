"""Is there ever more than one owner, and does everybody else learn who it is?"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.effects.lock import DeviceLock, HomeLock, holder
from scheduler.rounds.errors import AlreadyRunningError

STARTER = """
import sys, time
from pathlib import Path
from scheduler.effects.lock import DeviceLock, HomeLock
from scheduler.rounds.errors import AlreadyRunningError
sys.stdin.readline()
started = time.monotonic()
try:
    lock = HomeLock.acquire(Path(sys.argv[1]))
except AlreadyRunningError as error:
    print(time.monotonic() - started, error, flush=True)
    sys.exit(error.exit_code)
print("owner", flush=True)
sys.stdin.readline()
"""


def starter(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", STARTER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def say(child: subprocess.Popen[str], text: str) -> None:
    assert child.stdin is not None
    child.stdin.write(text)
    child.stdin.flush()


def heard(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline()


def test_of_eight_starters_one_wins_and_the_others_name_it_within_a_second(tmp_path: Path) -> None:
    path = tmp_path / "daemon.lock"
    children = [starter(path) for _ in range(8)]
    for child in children:
        say(child, "go\n")
    answers = {child: heard(child) for child in children}
    winners = [child for child, answer in answers.items() if answer == "owner\n"]
    assert len(winners) == 1
    for child in set(children) - set(winners):
        seconds, _, message = answers[child].partition(" ")
        assert float(seconds) < 1.0
        assert f"process {winners[0].pid} " in message
        assert child.wait() == 75
    assert holder(path) is not None
    for child in children:
        child.kill()
        child.communicate()
    assert holder(path) is None


@pytest.mark.fault(
    "kill -9 of the daemon",
    moment="while a child of it lives on",
    outcome="home and GPU are free for the next daemon",
)
def test_the_lock_ends_with_its_process_even_when_a_child_of_it_lives(tmp_path: Path) -> None:
    path = tmp_path / "daemon.lock"
    script = (
        "import subprocess, sys; from pathlib import Path\n"
        "from scheduler.effects.lock import HomeLock\n"
        "lock = HomeLock.acquire(Path(sys.argv[1]))\n"
        "print(subprocess.Popen(['sleep', '60'], close_fds=False).pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    grandchild = int(heard(child))
    said = holder(path)
    assert said is not None
    assert said["pid"] == child.pid
    child.kill()
    child.wait()
    assert Path(f"/proc/{grandchild}").exists()
    assert holder(path) is None
    HomeLock.acquire(path).release()
    os.kill(grandchild, 9)
    child.communicate()


@pytest.mark.fault(
    "kill -9 of the daemon",
    moment="while it makes a child, on a busy machine",
    outcome="the next daemon waits until the child runs its own program",
)
def test_a_child_that_a_dead_holder_was_making_does_not_keep_the_next_one_out(tmp_path: Path) -> None:
    path = tmp_path / "daemon.lock"
    # the child has been forked, and does not get to its own program before somebody says so
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from scheduler.effects.lock import HomeLock\n"
        "lock = HomeLock.acquire(Path(sys.argv[1]))\n"
        "if os.fork() == 0:\n"
        "    sys.stdin.readline(); os.execv('/bin/true', ['true'])\n"
        "print('forked', flush=True); signal.pause()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert heard(child) == "forked\n"
    child.kill()
    child.wait()
    assert holder(path) is not None
    timer = threading.Timer(0.5, say, (child, "go\n"))
    timer.start()
    HomeLock.acquire(path).release()
    timer.join()
    child.communicate()


def test_the_holder_says_who_it_is(tmp_path: Path) -> None:
    path = tmp_path / "daemon.lock"
    assert holder(path) is None
    lock = HomeLock.acquire(path)
    said = holder(path)
    assert said == json.loads(path.read_text())
    assert said["pid"] == os.getpid()
    assert said.keys() == {"pid", "host", "user", "started"}
    lock.release()
    assert holder(path) is None
    assert path.exists()


def test_what_a_dead_holder_said_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "daemon.lock"
    path.write_text(json.dumps({"pid": 1, "host": "h" * 500}))
    lock = HomeLock.acquire(path)
    said = holder(path)
    assert said is not None
    assert (said["pid"], said.keys()) == (os.getpid(), {"pid", "host", "user", "started"})
    lock.release()


def test_a_holder_that_said_nothing_is_known_by_the_kernel(tmp_path: Path) -> None:
    path = tmp_path / "daemon.lock"
    lock = HomeLock.acquire(path)
    path.write_bytes(b"")
    said = holder(path)
    assert said is not None
    assert said["pid"] == os.getpid()
    lock.release()


def test_readers_never_make_a_starter_fail(tmp_path: Path) -> None:
    path = tmp_path / "daemon.lock"
    HomeLock.acquire(path).release()
    reading = (
        "import sys; from pathlib import Path; from scheduler.effects.lock import holder\n"
        "print('reading', flush=True)\n"
        "while True: holder(Path(sys.argv[1]))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", reading, str(path)], stdout=subprocess.PIPE, text=True)
    heard(child)
    for _ in range(200):
        HomeLock.acquire(path).release()
    child.kill()
    child.communicate()


def test_a_reader_that_holds_the_lock_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "daemon.lock"
    path.touch()
    reading = os.open(path, os.O_RDONLY)
    fcntl.flock(reading, fcntl.LOCK_SH)
    done = threading.Timer(0.02, os.close, [reading])
    done.start()
    HomeLock.acquire(path).release()
    done.join()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "daemon.lock").symlink_to(victim)
    (tmp_path / "roundhouse-GPU-1.lock").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic"):
        HomeLock.acquire(tmp_path / "daemon.lock")
    with pytest.raises(AlreadyRunningError, match="symbolic link"):
        DeviceLock.acquire("GPU-1", folder=tmp_path)
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("key", ["", "../x", "a/b", ".hidden", "a\n"])
def test_a_key_that_is_no_devices_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        DeviceLock.acquire(key, folder=tmp_path)


def test_a_device_has_one_owner(tmp_path: Path) -> None:
    lock = DeviceLock.acquire("GPU-1", folder=tmp_path)
    DeviceLock.acquire("GPU-2", folder=tmp_path).release()
    with pytest.raises(AlreadyRunningError, match=f"process {os.getpid()} of user"):
        DeviceLock.acquire("GPU-1", folder=tmp_path)
    lock.release()
    DeviceLock.acquire("GPU-1", folder=tmp_path).release()


@pytest.fixture
def shared_key() -> Iterator[str]:
    """A device that nobody has, locked where real ones are."""
    key = f"test-{secrets.token_hex(8)}"
    yield key
    for folder in ("/dev/shm", "/tmp"):
        Path(folder, f"roundhouse-{key}.lock").unlink(missing_ok=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to become another user")
@pytest.mark.parametrize("maker", ["root", "nobody"])
def test_a_device_has_one_owner_across_users(shared_key: str, maker: str) -> None:
    if maker == "root":
        umask = os.umask(0o077)
        DeviceLock.acquire(shared_key).release()
        os.umask(umask)
    script = (
        "import os, sys; from scheduler.effects.lock import DeviceLock\n"
        "os.umask(0o077); os.setgid(65534); os.setuid(65534)\n"
        "lock = DeviceLock.acquire(sys.argv[1])\n"
        "print('owner', flush=True); sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, shared_key],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert heard(child) == "owner\n"
    with pytest.raises(AlreadyRunningError, match=rf"process {child.pid} of user nobody"):
        DeviceLock.acquire(shared_key)
    child.kill()
    child.communicate()
    lock = DeviceLock.acquire(shared_key)
    refused = subprocess.run(
        [sys.executable, "-c", script, shared_key], capture_output=True, text=True, check=False
    )
    assert f"process {os.getpid()} of user root" in refused.stderr
    lock.release()


def test_losing_takes_less_than_half_a_second(tmp_path: Path) -> None:
    lock = HomeLock.acquire(tmp_path / "daemon.lock")
    started = time.monotonic()
    with pytest.raises(AlreadyRunningError, match="schedctl"):
        HomeLock.acquire(tmp_path / "daemon.lock")
    assert time.monotonic() - started < 0.5
    lock.release()
