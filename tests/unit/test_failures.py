"""Which class a failure gets, by exception and by text."""

from __future__ import annotations

import errno
import socket
import urllib.error

import pytest

from trainers._failures import TEXT_LIMIT, classify, classify_text, failure_of, head_and_tail, one_line
from trainers.contract import BadArgumentsError, DataError, TrainerError

TEXTS = [
    ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has", "oom"),
    ("torch.cuda.OutOfMemoryError: CUDA out of memory.", "oom"),
    ("RuntimeError: CUDA error: out of memory", "oom"),
    ("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "oom"),
    ("RuntimeError: [enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory", "oom"),
    ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 7.45 GiB for an array", "oom"),
    ("Traceback (most recent call last):\nMemoryError", "oom"),
    ("jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying", "oom"),
    ("OSError: [Errno 28] No space left on device", "disk"),
    (
        "RuntimeError: [enforce fail at inline_container.cc:603] . PytorchStreamWriter failed writing file",
        "disk",
    ),
    ("OSError: [Errno 122] Disk quota exceeded", "disk"),
    ("RuntimeError: CUDA error: uncorrectable ECC error encountered", "gpu"),
    ("RuntimeError: No CUDA GPUs are available", "gpu"),
    ("Unable to determine the device handle for GPU0: 0000:01:00.0: GPU is lost.", "gpu"),
    ("NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.", "gpu"),
    ("RuntimeError: CUDA error: all CUDA-capable devices are busy or unavailable", "gpu"),
    ("httpx.ConnectError: [Errno -3] Temporary failure in name resolution", "network"),
    ("httpx.ConnectTimeout: timed out", "network"),
    ("httpcore.ReadTimeout: The read operation timed out", "network"),
    (
        "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='huggingface.co', port=443): Max",
        "network",
    ),
    ("requests.exceptions.ReadTimeout: HTTPSConnectionPool", "network"),
    ("ConnectionError: Couldn't reach 'imdb' on the Hub (ConnectError)", "network"),
    ("urllib3.exceptions.NameResolutionError: Failed to resolve", "network"),
    ("huggingface_hub.errors.LocalEntryNotFoundError: An error happened while trying to locate", "network"),
    ("urllib.error.URLError: <urlopen error [Errno 111] Connection refused>", "network"),
    ("datasets.exceptions.DatasetNotFoundError: Dataset 'x/y' doesn't exist on the Hub", "data"),
    ("FileNotFoundError: [Errno 2] No such file or directory: 'data/train.bin'", "data"),
    ("RuntimeError: Only built 374 examples (wanted 900)", "data"),
    ("RuntimeError: Function 'MulBackward0' returned nan values in its 0th output.", "nan"),
    ("AssertionError: loss is nan", "nan"),
    ("train.py: error: unrecognized arguments: --lrr", "bad_args"),
    ("train.py: error: argument --lr: invalid float value: 'x'", "bad_args"),
    ("python3: can't open file '/home/me/trian.py': [Errno 2] No such file or directory", "bad_args"),
    ("RuntimeError: CUDA error: device-side assert triggered", None),
    ("RuntimeError: CUDA error: an illegal memory access was encountered", None),
    ("ValueError: shapes (3,4) and (5,6) not aligned", None),
    ("Segmentation fault (core dumped)", None),
    ("KeyError: 'out_of_memory_policy'", None),
    ("step 10 loss: 0.5 network: mlp data: cifar disk: none", None),
]


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_a_text_gives_its_class_away(text: str, expected: str | None) -> None:
    assert classify_text(text) == expected


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
