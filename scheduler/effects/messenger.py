"""Who carries a notice to its addresses? A program of its own: apprise would make the daemon heavy.

It reads one JSON object from standard input, `{urls, title, body}`, and writes one list: for each address
null, or why nothing arrived there. Without a body nothing is sent, and the addresses are only looked at.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import orjson

from scheduler.rounds.notice import without_addresses

#: training comes first
NICENESS = 10
#: longer than whoever started it waits: where that one is gone, this one ends by itself
MAX_SECONDS = 60
NOT_INSTALLED = "apprise is not installed; pip install 'roundhouse[notify]'"
NOT_KNOWN = "this is no address that apprise knows; see its list of services"


def main() -> None:
    """Carry one notice."""
    os.nice(NICENESS)
    signal.alarm(MAX_SECONDS)
    asked = orjson.loads(sys.stdin.buffer.read())
    urls = asked["urls"]
    with ThreadPoolExecutor(max_workers=max(1, len(urls))) as senders:
        errors = list(senders.map(lambda url: _carried(url, asked.get("title", ""), asked.get("body")), urls))
    told = [None if error is None else without_addresses(error, urls) for error in errors]
    sys.stdout.buffer.write(orjson.dumps(told))
    sys.stdout.buffer.flush()
    os._exit(0)  # threads that apprise keeps for a service that does not answer are not waited for


def _carried(url: str, title: str, body: str | None) -> str | None:
    """None once the notice has arrived; else why it did not."""
    try:
        import apprise
    except ImportError:
        return NOT_INSTALLED
    heard = _Heard()
    _HEARD.set(heard)
    logging.getLogger("apprise").addHandler(heard)
    try:
        service = apprise.Apprise()
        if not service.add(url):
            return NOT_KNOWN
        if body is None or service.notify(title=title, body=body, body_format="text"):
            return None
    except Exception as error:  # whatever a service's plugin raises, the others get their notice
        return f"{type(error).__name__}: {error}"
    return heard.last or "it was refused without a reason"


class _Heard(logging.Handler):
    """The last warning about one address. apprise may leave the thread that asked it, but not its context."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        if _HEARD.get(None) is self:
            self.last = record.getMessage()


_HEARD: ContextVar[_Heard] = ContextVar("heard")


if __name__ == "__main__":
    main()
