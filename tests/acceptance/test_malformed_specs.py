"""Whatever is dropped into the queue at once: a sound round runs meanwhile, the rest is told why not."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from malformed_specs import MALFORMED, furnish
from real_home import Home, wait_until

from scheduler.effects.records import read_records

#: some of each kind, with one that takes all the time there is
SAMPLE = (*MALFORMED[::40], next(row for row in MALFORMED if row.is_slow))

#: by file name: how what is no file of a person comes to lie there, and what is said of it
ODD: dict[bytes, tuple[Callable[[Path], object], str]] = {
    b"link.toml": (lambda path: path.symlink_to("/etc/hostname"), "symbolic link"),
    b"dangling.toml": (lambda path: path.symlink_to("/nowhere"), "symbolic link"),
    b"pipe.toml": (os.mkfifo, "not a regular file"),
    b"socket.toml": (lambda path: _bind(path), "not a regular file"),
    b"x" * 250 + b".toml": (lambda path: path.write_bytes(b"a = 1"), "longer than 200 bytes"),
    b"esc\x1b[2J.toml": (lambda path: path.write_bytes(b"a = 1"), "cannot be shown"),
    b"two\nlines.toml": (lambda path: path.write_bytes(b"a = 1"), "cannot be shown"),
    "bidi\u202elmot.toml".encode(): (lambda path: path.write_bytes(b"a = 1"), "cannot be shown"),
    b"not-utf8-\xff.toml": (lambda path: path.write_bytes(b"a = 1"), "cannot be shown"),
    b"large.toml": (lambda path: path.write_bytes(b"#" * 2**20), "a spec may have 262144"),
}


def _bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


@pytest.mark.fault("many malformed specs at once", moment="any", outcome="each is told why, a sound one runs")
def test_a_sound_round_runs_while_bad_files_are_told_why(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home.paths.queue)
    furnish(home.paths.root)
    for row in SAMPLE:
        home.drop_file(row.file, row.data)
    for raw, (make, _) in ODD.items():
        make(home.paths.queue / os.fsdecode(raw))
    (home.paths.queue / "folder.toml").mkdir()
    home.drop("night", home.spec("night"))
    daemon = home.start()
    home.wait_for("night")
    wait_until(
        lambda: not [path for path in home.paths.queue.iterdir() if path.is_symlink() or not path.is_dir()],
        "the last rejection",
    )
    assert daemon.poll() is None, home.output()
    texts = {row: row.why(home.paths) for row in SAMPLE}
    assert {row.name: text for row, text in texts.items() if not row.is_in(text.splitlines())} == {}
    for raw, (_, words) in ODD.items():
        stem = os.fsdecode(raw).removesuffix(".toml")[:100]
        [told] = [path for path in home.paths.rejected.glob("*.why.txt") if path.name.startswith(stem)]
        assert words in told.read_text()
    assert (home.paths.queue / "folder.toml").is_dir()
    assert home.stop() == 0
    rejected = [r for r in read_records(home.paths.journal) if r["event"] == "spec_rejected"]
    assert len(rejected) == len(SAMPLE) + len(ODD)
