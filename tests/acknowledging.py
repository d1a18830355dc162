"""A process that takes specs through the queue and acknowledges each step, and what must hold of those."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from scheduler.decide.actions import MoveSpec
from scheduler.decide.codec import to_fields
from scheduler.decide.facts import RoundAccepted
from scheduler.decide.inputs import SpecChecked
from scheduler.effects import reception
from scheduler.effects.reception import Reception, SpecReturned
from scheduler.effects.records import Journal
from scheduler.effects.spool import Spool, submit
from scheduler.rounds.paths import HomePaths

#: step, round and what the step made durable: a checksum, or the number of a record
Acknowledged = tuple[str, str, str]
RECORDS = 6


class Writer:
    """A forked child at work in a home, until it is killed or its disk fails it."""

    def __init__(self, home: HomePaths) -> None:
        self._heard, said = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                _work(home, lambda *words: os.write(said, (" ".join(words) + "\n").encode()))
            finally:
                os._exit(1)
        os.close(said)
        os.set_blocking(self._heard, False)

    def acknowledged(self) -> list[Acknowledged]:
        """All that it has acknowledged until now."""
        said = b""
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self._heard, 65536):
                said += piece
        lines = said.decode().splitlines(keepends=True)
        return [_acknowledged(line) for line in lines if line.endswith("\n")]

    def end(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._heard)


def _acknowledged(line: str) -> Acknowledged:
    step, name, what = line.split()
    return step, name, what


def _work(home: HomePaths, acknowledge: Callable[..., object]) -> None:
    returned: list[SpecReturned] = []
    reception.check_spec = _unchecked
    desk = Reception(home, Spool(home, quiet_period_seconds=1.0), returned.append, {})
    for number in range(10**6):
        data = f'round = "r{number}"\n#{"x" * (number * 977 % 9000)}\n'.encode()
        submit(home, data, f"r{number}.toml")
        acknowledge("queued", f"r{number}", hashlib.sha256(data).hexdigest())
        while not returned:
            assert not desk.scan()
            time.sleep(0.001)
        _accept(desk, returned.pop(), acknowledge)


def _unchecked(data: bytes, file: str, home: HomePaths, environment: Any) -> SpecChecked:
    sha256 = hashlib.sha256(data).hexdigest()
    return SpecChecked(file=file, sha256=sha256, suffix=".toml", spec={"task": file}, problems=())


def _accept(desk: Reception, returned: SpecReturned, acknowledge: Callable[..., object]) -> None:
    """The daemon's order: bytes, record, move."""
    checked = desk.take_back(returned)
    assert checked is not None
    name = Path(checked.file).stem
    spec = RoundAccepted(
        round=name, sha256=checked.sha256, file=checked.file, suffix=".toml", spec=dict(checked.spec or {})
    )
    journal = desk.keep(spec)
    acknowledge("recorded", name, str(journal.append(to_fields(spec))["seq"]))
    acknowledge("accepted", name, checked.sha256)
    desk.move(MoveSpec(round=name, file=checked.file, suffix=".toml", to="active"))
    for number in range(RECORDS):
        record = journal.append({"event": "x", "text": "y" * (number * 700)})
        acknowledge("recorded", name, str(record["seq"]))
    journal.close()
    desk.move(MoveSpec(round=name, file=checked.file, suffix=".toml", to="done"))
    acknowledge("done", name, checked.sha256)


def nothing_is_lost(home: HomePaths, acknowledged: Iterable[Acknowledged]) -> None:
    """Raise AssertionError unless everything acknowledged is there, once."""
    folders = (home.queue, home.active, home.done)
    specs = {folder: _checksums(folder) for folder in folders}
    everywhere = sum((Counter(found) for found in specs.values()), Counter[str]())
    records: dict[str, list[dict[str, Any]]] = {}
    for step, name, what in acknowledged:
        paths = home.round(name)
        if step == "recorded":
            if name not in records:
                records[name] = _opened(paths.records)
            assert [record["seq"] for record in records[name]][int(what) - 1] == int(what), (step, name, what)
            continue
        assert everywhere[what] == 1, (step, name, specs)
        if step == "done":
            assert what in specs[home.done], (step, name)
        if step in ("accepted", "done"):
            assert hashlib.sha256(paths.spec(".toml").read_bytes()).hexdigest() == what, (step, name)
            assert paths.resolved.stat().st_size > 0, (step, name)
            assert records[name][0]["sha256"] == what, (step, name)


def _checksums(folder: Path) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.toml")]


def _opened(path: Path) -> list[dict[str, Any]]:
    """The records; opening them a second time changes nothing more."""
    journal, records = Journal.open(path)
    journal.close()
    journal, again = Journal.open(path)
    journal.close()
    assert again == records, path
    return records
