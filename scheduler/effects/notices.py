"""How does a notice reach a person without anybody waiting for it? A queue, a thread, and a niced child each.

A notice is sent at most once, whatever happens: one that is lost on the way is still in launcher.log.
"""

from __future__ import annotations

import os
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import orjson

from scheduler.decide.notice_limit import NoticeLimit
from scheduler.effects.child import run_child
from scheduler.effects.files import replace
from scheduler.rounds.notice import Notice, NotifySettings, resolved, shown, without_addresses

#: what one notice may take to all of its addresses
SEND_SECONDS = 30.0
#: notices that may wait to be sent; further ones are dropped
MOST_WAITING = 50
#: what the end of the daemon waits for notices on their way
CLOSE_SECONDS = 10.0

_MAX_ANSWER_BYTES = 256 * 1024


def deliver(
    urls: Sequence[str], notice: Notice | None, *, seconds: float = SEND_SECONDS
) -> tuple[str | None, ...]:
    """For each address None, or why the notice did not arrive; no part of an address is in it.

    Without a notice the addresses are only looked at.
    """
    asked = {"urls": urls} if notice is None else {"urls": urls, "title": notice.title, "body": notice.body}
    ended = run_child(
        [sys.executable, "-P", "-m", "scheduler.effects.messenger"],
        stdin=orjson.dumps(asked),
        seconds=seconds,
        environment=os.environ,
        max_stdout_bytes=_MAX_ANSWER_BYTES,
    )
    try:
        answers = orjson.loads(ended.stdout)
    except orjson.JSONDecodeError:
        answers = None
    if isinstance(answers, list) and len(answers) == len(urls):
        return tuple(answers)
    if ended.exceeded == "time":
        return (f"no answer within {seconds:g} s",) * len(urls)
    last = ended.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
    why = f"the messenger ended with {ended.returncode}: {last or 'no message'}"
    return (without_addresses(why, urls),) * len(urls)


def exposed(path: Path, settings: NotifySettings) -> bool:
    """Whether others can read addresses in the file at `path`."""
    if not settings.has_literal_urls:
        return False
    try:
        return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
    except OSError:
        return False


class Notices:
    """Sends what is told. Nothing here makes the daemon wait, or ends it.

    `report` is called, in a thread, with a line about what went wrong: once for each address and reason.
    """

    def __init__(
        self,
        settings: NotifySettings,
        path: Path,
        *,
        environment: Mapping[str, str],
        report: Callable[[str], None],
        sender: str = "roundhouse",
        deliver: Callable[[Sequence[str], Notice], tuple[str | None, ...]] = deliver,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._kinds = frozenset(settings.on) if settings.urls else frozenset()
        self._urls, missing = resolved(settings.urls, environment)
        self._path = path
        self._report = report
        self._sender = sender
        self._deliver = deliver
        self._now = now
        self._changed = threading.Condition()
        self._waiting: deque[Notice] = deque()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._is_overrun = False
        #: (number of the address, reason) that were reported and have not been well since
        self._reported: set[tuple[int, str]] = set()
        for name in missing:
            report(f"NOTIFY the environment variable {name} holds no address; nothing is sent there")

    def tell(self, notice: Notice) -> None:
        """Have it sent, if it is of a kind that is wanted. Never waits."""
        if notice.kind not in self._kinds or not self._urls:
            return
        with self._changed:
            if self._is_closed:
                return
            is_overrun = len(self._waiting) >= MOST_WAITING
            if not is_overrun:
                self._waiting.append(notice)
                self._changed.notify()
            is_news, self._is_overrun = is_overrun and not self._is_overrun, is_overrun
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="notices", daemon=True)
                self._thread.start()
        if is_news:
            self._report(f"NOTIFY {MOST_WAITING} notices wait to be sent; further ones are dropped")

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Send what waits, but let nobody wait for it longer than that."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(seconds)

    def _serve(self) -> None:
        while (notice := self._next()) is not None:
            try:
                self._send(notice)
            except Exception as error:  # a notice that cannot be sent must not end those to come
                self._report_once(-1, f"NOTIFY {notice.kind} was not sent: {type(error).__name__}: {error}")

    def _next(self) -> Notice | None:
        """The oldest notice; None once closed, when nothing waits."""
        with self._changed:
            while not self._waiting and not self._is_closed:
                self._changed.wait()
            return self._waiting.popleft() if self._waiting else None

    def _send(self, notice: Notice) -> None:
        limit = self._limit()
        before, limit = limit, limit.after(notice.kind, self._now())
        # Written before it is sent: a daemon that is killed now sends nothing twice.
        replace(self._path, orjson.dumps(limit.to_json()) + b"\n", sync=False)
        if not limit.admits(notice.kind):
            return
        left_out = before.left_out.get(notice.kind, 0)
        more = f"\n\n{left_out} more of this kind were not sent before this one." if left_out else ""
        told = Notice(kind=notice.kind, title=f"{self._sender}: {notice.title}", body=f"{notice.body}{more}")
        for number, error in enumerate(self._deliver(self._urls, told)):
            if error is None:
                self._reported = {each for each in self._reported if each[0] != number}
            else:
                self._report_once(number, f"NOTIFY {shown(self._urls[number])} was not reached: {error}")

    def _limit(self) -> NoticeLimit:
        try:
            return NoticeLimit.from_json(orjson.loads(self._path.read_bytes()))
        except (OSError, ValueError, TypeError, KeyError):
            return NoticeLimit()

    def _report_once(self, number: int, line: str) -> None:
        if (number, line) not in self._reported:
            self._reported.add((number, line))
            self._report(without_addresses(line, self._urls) if number < 0 else line)
