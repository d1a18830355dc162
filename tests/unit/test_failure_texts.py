"""Which class real messages get, as torch, CUDA, the kernel and the libraries of data sets word them."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from trainers._failure_texts import classify_text, told_in_one_line

MESSAGES = Path(__file__).parents[1] / "data" / "failure_messages.txt"


def rows() -> list[tuple[str, str]]:
    """Every message of the table with its class."""
    sections = re.split(r"(?m)^\[(\w+)\]\n", MESSAGES.read_text())[1:]
    return [
        (text.rstrip("\n"), name)
        for name, texts in zip(sections[::2], sections[1::2], strict=True)
        for text in re.split(r"(?m)^---\n", texts)
        if text
    ]


def test_there_are_enough_messages_to_mean_something() -> None:
    found = Counter(name for _, name in rows())
    assert found.keys() == {"oom", "disk", "gpu", "network", "data", "nan", "bad_args", "killed", "none"}
    assert found["none"] >= 20
    assert found.total() >= 140


@pytest.mark.fault(
    "a known error message of torch, CUDA, NCCL, data sets, the network, the kernel or a full disk",
    moment="at the end of a failed run",
    outcome="the failure has the class of the message, and its text is kept",
)
@pytest.mark.parametrize(("text", "expected"), rows(), ids=[name for _, name in rows()])
def test_a_message_gives_its_class_away(text: str, expected: str) -> None:
    assert (classify_text(text) or "none") == expected


CRASH = (
    'Traceback (most recent call last):\n  File "train.py", line 9, in <module>\n    step()\nValueError: no\n'
)
OOM = (
    'Traceback (most recent call last):\n  File "train.py", line 9, in <module>\n    loss.backward()\n'
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.\n"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(f"skipped a batch: CUDA out of memory\n{CRASH}", None, id="words on the way"),
        pytest.param(f"WARNING Max retries exceeded with url: /x\nretrying\n{CRASH}", None, id="a retry"),
        pytest.param(f"{OOM}caught, going on\n{CRASH}", None, id="an error that was caught"),
        pytest.param(
            OOM + "".join(f"step {n} loss: 0.{n}\n" for n in range(30)) + "Segmentation fault",
            None,
            id="an error long ago",
        ),
        pytest.param(
            f"{CRASH}\nDuring handling of the above exception, another\n\n{OOM}", "oom", id="the last"
        ),
        pytest.param(
            f"{OOM}\nThe above exception was the direct cause of the following exception:\n\n{CRASH}",
            "oom",
            id="the cause",
        ),
        pytest.param(
            'Traceback (most recent call last):\n  File "a.py", line 1, in x\n    raise FileNotFoundError\n'
            "ValueError: no\n",
            None,
            id="a source line",
        ),
        pytest.param("\n".join(f"[rank0]: {line}" for line in OOM.splitlines()), "oom", id="a rank's prefix"),
        pytest.param(f"\x1b[31m{OOM}\x1b[0m", "oom", id="colours"),
        pytest.param(
            f"{OOM}frame #0: c10::Error::Error\n" + "frame #1: at::native\n" * 40, "oom", id="frames below"
        ),
        pytest.param(
            'Traceback (most recent call last):\n  File "t.py", line 1, in <module>\n    next(batches)\n'
            "RuntimeError: Caught RuntimeError in DataLoader worker process 0.\nOriginal " + OOM,
            "oom",
            id="of a data loader's worker",
        ),
        pytest.param(
            f"{OOM}W0101 torch/distributed/elastic: Sending process 7 closing signal\n"
            'Traceback (most recent call last):\n  File "torchrun", line 8, in x\n    sys.exit(main())\n'
            "torch.distributed.elastic.multiprocessing.errors.ChildFailedError:\n"
            "train.py FAILED\n  exitcode  : 1 (pid: 1402)\n",
            "oom",
            id="of a process that torchrun started",
        ),
    ],
)
def test_what_a_program_ended_with_counts_and_nothing_before_it(text: str, expected: str | None) -> None:
    assert classify_text(text) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (CRASH, "ValueError: no"),
        (f"{CRASH}wandb: synced 3 files\n", "ValueError: no"),
        ("step 1\nit broke\n\n", "it broke"),
        ("", ""),
        (
            'Traceback (most recent call last):\n  File "x.py", line 1, in <module>\n    x()\n'
            "RuntimeError: CUDA error: device-side assert triggered\n"
            "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n\n",
            "RuntimeError: CUDA error: device-side assert triggered",
        ),
    ],
)
def test_one_line_tells_how_a_program_ended(text: str, told: str) -> None:
    assert told_in_one_line(text) == told
