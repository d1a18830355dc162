"""Which failure class does a text give away? Patterns, held against what was said last and nothing else.

A log that went well says many things on its way ("skipped a batch that ran out of memory"): only the error
that a program ended with counts, so a traceback is looked for, and without one the last lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

#: lines from the end that tell how a program without a traceback ended; more of them after a traceback
#: mean that it went on
TELLING_LINES = 15

#: what the program did wrong itself, although it reads like the device or the memory of one of the classes
#: below: a kernel that wrote where it may not, a kernel too large for the device, a library loaded too late
_OF_THE_PROGRAM = re.compile(
    "|".join(
        (
            r"device-side assert triggered",
            r"an illegal (?:memory access|instruction) was encountered",
            r"misaligned address",
            r"unspecified launch failure",
            r"triton\.\S*OutOfResources: out of resource: shared memory",
            r"cannot allocate memory in static TLS block",
        )
    )
)

#: the first class with a match wins. Memory comes first: running out of it is told as a CUDA error, as an
#: assertion, and for shared memory as a full device. The network comes before the data, because a data set
#: that cannot be downloaded is reported as missing below the error of the connection
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (failure_class, re.compile("|".join(patterns)))
    for failure_class, patterns in (
        (
            "oom",
            (
                r"OutOfMemoryError",
                r"(?i:cuda|hip|xpu|mps backend) out of memory",
                r"(?i:cuda (?:error|failure)\s?:?(?: \d+)? '?out of memory)",
                r"(?:CUDA|HIP)_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation|hipErrorOutOfMemory",
                r"RESOURCE_EXHAUSTED: (?:Out of memory|Failed to allocate)",
                r"OOM when allocating tensor",
                r"CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED|CUFFT_ALLOC_FAILED",
                r"CUSOLVER_STATUS_ALLOC_FAILED|CUSPARSE_STATUS_INSUFFICIENT_RESOURCES",
                # no memory was left for the handle itself
                r"CUBLAS_STATUS_NOT_INITIALIZED when calling .?cublasCreate",
                # the allocator asks NVML how much is free only when an allocation has failed
                r"NVML_SUCCESS == .*INTERNAL ASSERT FAILED at .*CUDACachingAllocator",
                r"DefaultCPUAllocator: (?:can't allocate|not enough) memory",
                r"(?m:^(?:\w+\.)*_?(?:Array)?MemoryError\b)",
                r"Unable to allocate [\d.]+ [KMGTP]iB",
                r"std::bad_alloc",
                r"\[Errno 12\]|(?:fork|mmap|malloc|clone)\S*:? (?:failed: )?Cannot allocate memory",
                r"unable to mmap \d+ bytes .*Cannot allocate memory",
                r"(?i:out of memory: kill(?:ed)? process|oom-kill:constraint=)",
                r"Detected \d+ oom[_-]kill event",
                r"killed by the cgroup out-of-memory handler",
                r"error: \S+: tasks? [\d,-]+: Out Of Memory",
                r"out of shared memory|insufficient shared memory \(shm\)",
                r"Error while creating shared memory segment",
                r"(?:unable to (?:write to file|open shared memory object)) </torch_",
                r"malloc(?:\(\))?: (?:out of memory|memory exhausted)",
                r"xrealloc: out of memory|virtual memory exhausted",
            ),
        ),
        (
            "disk",
            (
                r"No space left on device",
                r"Disk quota exceeded",
                r"\bENOSPC\b|\bEDQUOT\b",
                r"Not enough disk space",
                r"PytorchStreamWriter failed writing file",
                r"iostream error|basic_ios::clear: iostream",
                r"database or disk is full",
                r"I/O error: No space left",
                r"MDB_MAP_FULL",
            ),
        ),
        (
            "gpu",
            (
                r"(?i:uncorrectable (?:ECC|NVLink) error)",
                r"CUDA error: (?:all CUDA-capable devices are busy|no CUDA-capable device|unknown error)",
                r"CUDA error: (?:device unavailable|the launch timed out|hardware stack error)",
                r"CUDA error: (?:system (?:not yet initialized|has unsupported)|initialization error)",
                r"CUDA_ERROR_(?:NO_DEVICE|ECC_UNCORRECTABLE|DEVICE_UNAVAILABLE|SYSTEM_NOT_READY)",
                r"CUDA driver version is insufficient",
                r"CUDA unknown error - this may be due to an incorrectly set up environment",
                r"forward compatibility was attempted on non supported HW",
                r"No CUDA GPUs are available",
                r"Found no NVIDIA driver",
                r"Driver/library version mismatch",
                r"(?i:couldn't communicate with the NVIDIA driver)",
                r"Unable to determine the device handle for GPU",
                r"GPU is lost",
                r"GPU has fallen off the bus",
                r"NVRM: Xid",
                r"NVMLError_(?:GpuIsLost|DriverNotLoaded|ResetRequired)",
            ),
        ),
        (
            "network",
            (
                r"Temporary failure in name resolution",
                r"Name or service not known",
                r"nodename nor servname provided",
                r"Could not resolve host",
                r"Network is unreachable",
                r"No route to host",
                r"Connection (?:refused|reset by peer|timed out|aborted|broken)",
                r"Max retries exceeded with url",
                r"(?:NewConnection|NameResolution|ConnectTimeout|IncompleteRead|MaxRetry)Error\b",
                r"(?:httpx|httpcore|requests\.exceptions|urllib3\.exceptions|aiohttp)\.?\w*\."
                r"(?:Connect|Connection|Read|Write|Pool|Timeout|Network|RemoteProtocol|Proxy|SSL|Server)\w*",
                r"requests\.exceptions\.(?:ConnectionError|Timeout|ChunkedEncodingError)",
                r"(?:ConnectionError|LocalEntryNotFoundError|OfflineModeIsEnabled)\b",
                r"Couldn't reach (?:the Hugging Face Hub|'?\S+'? on the Hub)",
                r"[Ww]e couldn't connect to 'https?://",
                r"Cannot reach https?://|Cannot connect to (?:https?://|host )",
                r"Read timed out|The read operation timed out",
                r"Server disconnected without sending a response",
                r"SSLError|SSL: (?:UNEXPECTED_EOF|CERTIFICATE_VERIFY_FAILED)|EOF occurred in violation",
                r"\b(?:500|502|503|504) Server Error|\b429 Client Error|HTTP Error (?:429|50[0-4])",
                r"nccl(?:System|Remote)Error|NCCL error\S*.*unhandled system error",
                r"Dist(?:Network|Store)Error\b|The (?:client|server) socket has (?:timed out|failed to)",
            ),
        ),
        (
            "data",
            (
                r"[Oo]nly (?:built|found|have|got|loaded) \d+ (?:\w+ )?"
                r"(?:example|sample|row|line|document|sequence|puzzle|item|record|image|token)s?\b",
                r"DatasetNotFoundError|DataFilesNotFoundError|DatasetGenerationError|EmptyDatasetError",
                r"NonMatching(?:Splits|Checksum)\w*Error|ExpectedMoreSplits|UnexpectedDownloadedFile",
                r"(?:GatedRepo|RepositoryNotFound|RevisionNotFound|EntryNotFound)Error",
                r"doesn't exist on the Hub",
                r"\b40[134] Client Error",
                r"FileNotFoundError",
                r"pyarrow\.lib\.Arrow(?:Invalid|IO)",
                r"Dataset .* not found",
                r"the resulting train set will be empty",
                r"num_samples should be a positive integer value, but got num_samples=0",
                r"Found array with 0 sample\(s\)",
                r"UnpicklingError|PytorchStreamReader failed|invalid header or archive is corrupted",
                r"Error while deserializing header|SafetensorError",
                r"EmptyDataError|ParserError: Error tokenizing data",
            ),
        ),
        (
            "nan",
            (
                r"\b[Ll]oss (?:is|became|=|:)\s*(?:nan|NaN|inf)\b(?![\w-])",
                r"Function '\w+' returned nan values",
                r"(?:NaN|nan) (?:loss|detected|encountered)",
                r"[Nn]on-finite (?:loss|gradients?)",
                r"The total norm of order \S+ for gradients .* is non-finite",
                r"Current loss scale already at minimum",
                r"FloatingPointError",
            ),
        ),
        (
            "bad_args",
            (
                r"error: unrecognized arguments:",
                r"error: (?:the following arguments are required:|one of the arguments)",
                r"error: argument \S+: (?:invalid|expected|not allowed)",
                r"error: ambiguous option:",
                r"\b[Nn]o such option:|Missing option|Got unexpected extra argument|Invalid value for '-",
                r"unrecognized option|Unknown command line flag|Could not consume arg:",
                r"Some specified arguments are not used by the HfArgumentParser",
                r"ConfigAttributeError|ConfigKeyError|Could not override '",
                r"can't open file '.*': \[Errno 2\]",
            ),
        ),
        (
            "killed",
            (
                r"is killed by signal: Killed",
                r"DataLoader worker \(pid\(s\) [\d, ]+\) exited unexpectedly",
                r"died with <Signals\.SIG(?:KILL|TERM)",
                r"BrokenProcessPool|TerminatedWorkerError",
                r"exitcode\s*: -9\b|Signal 9 \(SIGKILL\) received by PID",
            ),
        ),
    )
)

_TRACEBACK = re.compile(r"(?:Original )?Traceback \(most recent call last\):\s*$")
_CHAINED = re.compile(
    r"^(?:During handling of the above exception|The above exception was the direct cause"
    r"|-- Process \d+ terminated with the following error)"
)
#: errors that only report another process's end, whose own traceback stands above
_REPORTS_ANOTHER = re.compile(r"(?:ChildFailedError|CalledProcessError|ProcessRaisedException)\b")
_RANK = re.compile(r"^\[rank\d+\]:\s?", re.MULTILINE)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
#: how C++ tells where it was: says nothing of what went wrong
_FRAME = re.compile(r"^(?:frame #\d+|#\d+ |Exception raised from |C\+\+ CapturedTraceback)")


def classify_text(text: str) -> str | None:
    """The failure class that a program's output gives away; None where it is no more than a crash."""
    for part in _telling_parts(text):
        if _OF_THE_PROGRAM.search(part):
            return None
        if found := classify_message(part):
            return found
    return None


def classify_message(message: str) -> str | None:
    """The failure class that an error's own words give away."""
    if _OF_THE_PROGRAM.search(message):
        return None
    for failure_class, pattern in _PATTERNS:
        if pattern.search(message):
            return failure_class
    return None


def told_in_one_line(text: str) -> str:
    """The line that best says how a program ended: its last exception, else the last it printed."""
    lines = _cleaned(text)
    exceptions = _exceptions(lines)
    told = exceptions[0].splitlines()[:1] if exceptions else [line for line in lines if line.strip()][-1:]
    return told[0].strip() if told else ""


def _telling_parts(text: str) -> Iterator[str]:
    """What is said of the error that a program ended with, the last exception first, then its causes."""
    lines = _cleaned(text)
    exceptions = _exceptions(lines)
    if not exceptions:
        yield "\n".join([line for line in lines if line.strip()][-TELLING_LINES:])
    yield from exceptions


def _cleaned(text: str) -> list[str]:
    return [line.rstrip() for line in _RANK.sub("", _COLOUR.sub("", text)).splitlines()]


def _exceptions(lines: list[str]) -> list[str]:
    """The exception that ended a program and those it came from; none where the program went on after it."""
    heads = [number for number, line in enumerate(lines) if _TRACEBACK.search(line)]
    found: list[str] = []
    end = len(lines)
    for head in reversed(heads):
        said = _said_after(lines[head + 1 : end])
        if not found and _goes_on(said):
            return []
        if said:
            found.append("\n".join(said))
        between = lines[max(0, head - 3) : head + 1]
        is_chained = any(_CHAINED.match(line.strip()) or "Original Traceback" in line for line in between)
        if not is_chained and not (said and _REPORTS_ANOTHER.search(said[0])):
            break
        end = head
    return found


def _said_after(block: list[str]) -> list[str]:
    """The exception of a traceback with its message, without the frames and the source lines above it."""
    start = next((n for n, line in enumerate(block) if line and not line[0].isspace()), len(block))
    said = block[start:]
    chained = next((n for n, line in enumerate(said) if _CHAINED.match(line.strip())), len(said))
    return said[:chained]


def _goes_on(said: list[str]) -> bool:
    """Whether so much was printed after an exception that it cannot have been the end."""
    return sum(bool(line.strip()) and not _FRAME.match(line.strip()) for line in said[1:]) > TELLING_LINES
