"""Who does what may take a while? Threads that are there only while there is something to do."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

#: a thread waits so long for more: making one costs more than most errands
LINGER_SECONDS = 1.0


class Errands:
    """Calls what it is given, in the order given, a few at a time. Nobody waits for it.

    An errand may not raise: those that wait behind it would wait for the next one.
    """

    def __init__(self, name: str, *, most_threads: int = 1) -> None:
        self._name = name
        self._most_threads = most_threads
        self._changed = threading.Condition()
        self._waiting: deque[Callable[[], None]] = deque()
        #: threads that there are, and those of them that have nothing to do
        self._threads = self._idle = 0
        self._is_closed = False

    def run(self, errand: Callable[[], None]) -> None:
        """Have it called soon."""
        with self._changed:
            self._waiting.append(errand)
            self._changed.notify()
            if len(self._waiting) <= self._idle or self._threads >= self._most_threads:
                return
            self._threads += 1
        threading.Thread(target=self._serve, name=self._name).start()

    def close(self) -> None:
        """Forget what has not begun."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._changed.notify_all()

    def _serve(self) -> None:
        try:
            while (errand := self._next()) is not None:
                errand()
        except BaseException:
            with self._changed:
                self._threads -= 1
            raise

    def _next(self) -> Callable[[], None] | None:
        """The next one; None when the thread is to go, and no longer counts."""
        with self._changed:
            if not self._waiting and not self._is_closed:
                self._idle += 1
                self._changed.wait(LINGER_SECONDS)
                self._idle -= 1
            if self._waiting:
                return self._waiting.popleft()
            self._threads -= 1
            return None
