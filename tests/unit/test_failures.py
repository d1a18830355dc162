"""Which class an exception gets, and what is kept of it."""

from __future__ import annotations

import errno
import socket
import urllib.error

import pytest

from trainers._failures import TEXT_LIMIT, classify, failure_of, head_and_tail, one_line
from trainers.contract import BadArgumentsError, DataError, TrainerError


class OutOfMemoryError(RuntimeError):
    """As torch calls it."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OutOfMemoryError("Allocation on device"), "oom"),
        (MemoryError(), "oom"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "network"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "network"),
        (socket.gaierror(-3, "Temporary failure in name resolution"), "network"),
        (
            urllib.error.URLError(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")),
            "network",
        ),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "corpus.txt"), "data"),
        (DataError("Only 3 lines"), "data"),
        (BadArgumentsError("heads must divide width; CUDA out of memory is no reason"), "bad_args"),
        (TrainerError("no idea"), "crash"),
        (FloatingPointError("overflow"), "nan"),
        (ZeroDivisionError("division by zero"), "crash"),
        (KeyboardInterrupt(), "crash"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_exception_has_a_class(error: BaseException, expected: str) -> None:
    assert classify(error) == expected


def test_a_cause_is_looked_at_where_the_exception_itself_says_nothing() -> None:
    outer = ValueError("could not load the data set")
    outer.__cause__ = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    assert classify(outer) == "network"


def test_a_suppressed_context_is_not_looked_at() -> None:
    outer = ValueError("bad value")
    outer.__context__ = MemoryError()
    outer.__suppress_context__ = True
    assert classify(outer) == "crash"


def test_a_circle_of_causes_ends() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert classify(one) == "crash"


def test_the_text_holds_output_and_traceback_and_ends_with_the_message() -> None:
    try:
        raise ValueError("wrong width")
    except ValueError as error:
        failure = failure_of(error, "step 1\nstep 2\n")
    assert failure.text.startswith("step 1\nstep 2\n\nTraceback")
    assert failure.text.endswith("ValueError: wrong width")
    assert failure.message == "ValueError: wrong width"


def test_what_was_written_for_a_person_stands_alone() -> None:
    assert one_line(DataError("Only built 374 examples (wanted 900)\nmore")) == (
        "Only built 374 examples (wanted 900)"
    )
    assert one_line(ValueError()) == "ValueError"


@pytest.mark.parametrize("size", [0, 1, TEXT_LIMIT, TEXT_LIMIT + 1, 10 * TEXT_LIMIT])
def test_a_long_text_keeps_head_and_tail(size: int) -> None:
    text = "".join(chr(ord("a") + i % 26) for i in range(size))
    cut = head_and_tail(text)
    if size <= TEXT_LIMIT:
        assert cut == text
    else:
        assert cut.startswith(text[:2000])
        assert cut.endswith(text[-6000:])
        assert f"{size - TEXT_LIMIT} characters cut" in cut
