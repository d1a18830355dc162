"""What kind of failure is this? From an exception, or a program's output, to a class; all text is kept."""

from __future__ import annotations

import errno
import re
import traceback
from dataclasses import dataclass

from trainers.contract import TrainerError

#: characters of a failure's text that travel in a record; error.txt holds the whole
TEXT_LIMIT = 8000


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A run that did not succeed, as a value."""

    #: of the table of failure classes: oom, data, network, disk, gpu, bad_args, nan, crash
    failure_class: str
    #: one line for a person
    message: str
    #: everything that was said, the message last
    text: str

    def to_json(self) -> dict[str, str]:
        """The `failure` of a result, its text cut to head and tail."""
        return {"class": self.failure_class, "message": self.message, "text": head_and_tail(self.text)}


#: text by failure class; the first class with a match wins. Memory comes before the device, because an
#: out-of-memory is told as a CUDA error, and the network before the data, because a data set that cannot be
#: downloaded is reported as missing below the error of the connection
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (failure_class, re.compile("|".join(patterns)))
    for failure_class, patterns in (
        (
            "oom",
            (
                r"OutOfMemoryError",
                r"CUDA out of memory",
                r"CUDA error: out of memory",
                r"CUDA_ERROR_OUT_OF_MEMORY",
                r"HIP out of memory",
                r"RESOURCE_EXHAUSTED: Out of memory",
                r"CUBLAS_STATUS_ALLOC_FAILED",
                r"CUDNN_STATUS_ALLOC_FAILED",
                r"DefaultCPUAllocator: can't allocate memory",
                r"DefaultCPUAllocator: not enough memory",
                r"(?m:^MemoryError\b)",
                r"Unable to allocate [\d.]+ [KMGT]iB",
            ),
        ),
        (
            "disk",
            (
                r"No space left on device",
                r"Disk quota exceeded",
                r"ENOSPC",
                r"PytorchStreamWriter failed writing file",
            ),
        ),
        (
            "gpu",
            (
                r"CUDA error: uncorrectable ECC error",
                r"CUDA error: (?:all CUDA-capable devices are busy|no CUDA-capable device|unknown error)",
                r"CUDA error: (?:device unavailable|the launch timed out|hardware stack error)",
                r"CUDA_ERROR_(?:NO_DEVICE|ECC_UNCORRECTABLE|DEVICE_UNAVAILABLE|SYSTEM_NOT_READY)",
                r"CUDA driver version is insufficient",
                r"No CUDA GPUs are available",
                r"Found no NVIDIA driver",
                r"Unable to determine the device handle for GPU",
                r"GPU is lost",
                r"GPU has fallen off the bus",
                r"NVRM: Xid",
            ),
        ),
        (
            "network",
            (
                r"Temporary failure in name resolution",
                r"Name or service not known",
                r"nodename nor servname provided",
                r"Network is unreachable",
                r"No route to host",
                r"Connection (?:refused|reset by peer|timed out|aborted)",
                r"Max retries exceeded with url",
                r"NewConnectionError",
                r"NameResolutionError",
                r"(?:httpx|httpcore|requests\.exceptions|urllib3\.exceptions|aiohttp)\.?\w*\."
                r"(?:Connect|Connection|Read|Write|Pool|Timeout|Network|RemoteProtocol|Proxy|SSL)\w*",
                r"requests\.exceptions\.(?:ConnectionError|Timeout|ChunkedEncodingError)",
                r"(?:ConnectionError|LocalEntryNotFoundError|OfflineModeIsEnabled)\b",
                r"Couldn't reach (?:the Hugging Face Hub|'?\S+'? on the Hub)",
                r"Cannot (?:reach|connect to) https?://",
                r"Read timed out",
                r"\b(?:502 Server Error|503 Server Error|504 Server Error|429 Client Error)",
            ),
        ),
        (
            "data",
            (
                r"Only built \d+ examples? \(wanted \d+\)",
                r"DatasetNotFoundError",
                r"DataFilesNotFoundError",
                r"DatasetGenerationError",
                r"doesn't exist on the Hub",
                r"FileNotFoundError",
                r"pyarrow\.lib\.ArrowInvalid",
                r"Dataset .* not found",
            ),
        ),
        (
            "nan",
            (
                r"\b(?:loss|Loss) (?:is|became|=|:)\s*(?:nan|NaN|inf)\b",
                r"Function '\w+' returned nan values",
                r"(?:NaN|nan) (?:loss|detected|encountered)",
                r"FloatingPointError",
            ),
        ),
        (
            "bad_args",
            (
                r"error: unrecognized arguments:",
                r"error: the following arguments are required:",
                r"error: argument \S+: (?:invalid|expected)",
                r"\b[Nn]o such option:",
                r"unrecognized option",
                r"can't open file '.*': \[Errno 2\]",
            ),
        ),
    )
)

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
    return Failure(failure_class=classify(error), message=one_line(error), text=text.rstrip())


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
        if found := classify_text(f"{kind.__module__}.{kind.__qualname__}: {link}"):
            return found
    return "crash"


def classify_text(text: str) -> str | None:
    """The failure class that a text gives away; None where it is no more than a crash."""
    for failure_class, pattern in _PATTERNS:
        if pattern.search(text):
            return failure_class
    return None


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
