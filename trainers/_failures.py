"""What kind of failure is this? From an exception, or a program's output, to a class; all text is kept."""

from __future__ import annotations

import errno
import os
import traceback
from dataclasses import dataclass

from trainers._failure_texts import classify_message
from trainers._secrets import redacted, secrets_of
from trainers.contract import TrainerError

#: characters of a failure's text that travel in a record; error.txt holds the whole
TEXT_LIMIT = 8000

#: characters of it that travel to be kept whole
WHOLE_LIMIT = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A run that did not succeed, as a value."""

    #: of the table of failure classes: oom, data, network, disk, gpu, killed, bad_args, nan, crash
    failure_class: str
    #: one line for a person
    message: str
    #: everything that was said, the message last
    text: str

    def to_json(self) -> dict[str, str]:
        """The `failure` of a result, its text cut to head and tail."""
        return {"class": self.failure_class, "message": self.message, "text": head_and_tail(self.text)}


_ERRNO_CLASSES = {
    errno.ENOSPC: "disk",
    errno.EDQUOT: "disk",
    errno.ENOMEM: "oom",
    errno.ENETUNREACH: "network",
    errno.EHOSTUNREACH: "network",
    errno.ENETDOWN: "network",
}


def failure_of(error: BaseException, output: str = "") -> Failure:
    """The failure that `error` is, with its traceback; `output` is what the run had printed last."""
    trace = "".join(traceback.format_exception(error))
    text = f"{output.rstrip()}\n\n{trace}" if output.strip() else trace
    secrets = secrets_of(os.environ)
    return Failure(
        failure_class=classify(error),
        message=redacted(one_line(error), secrets),
        text=redacted(text.rstrip(), secrets),
    )


def classify(error: BaseException) -> str:
    """The failure class of an exception: what it says itself, else what it and its causes look like."""
    if isinstance(error, TrainerError):
        return error.failure_class
    for link in _chain(error):
        if isinstance(link, MemoryError):
            return "oom"
        if isinstance(link, OSError) and link.errno in _ERRNO_CLASSES:
            return _ERRNO_CLASSES[link.errno]
        kind = type(link)
        if found := classify_message(f"{kind.__module__}.{kind.__qualname__}: {link}"):
            return found
    return "crash"


def one_line(error: BaseException) -> str:
    """The first line of what the exception says, with its type unless it was written for a person."""
    lines = str(error).strip().splitlines()
    said = lines[0] if lines else ""
    if isinstance(error, TrainerError) and said:
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def head_and_tail(text: str, limit: int = TEXT_LIMIT) -> str:
    """`text`, or its first quarter and its end where it is longer than `limit` characters."""
    if len(text) <= limit:
        return text
    head = limit // 4
    tail = limit - head
    cut = len(text) - limit
    return f"{text[:head]}\n[... {cut} characters cut; the whole is in error.txt ...]\n{text[-tail:]}"


def _chain(error: BaseException) -> list[BaseException]:
    """The exception, what it was raised from, and so on."""
    links: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in links:
        links.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return links
