"""A run that prints ten gigabytes fills no disk."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fakes.daemon import Worker
from fakes.printing import printed_by_command

from trainers._output import CAP_BYTES, DROPPED

BYTES = 10 * 1000**3


@pytest.mark.fault("a program prints ten gigabytes", moment="a run", outcome="64 MiB are kept")
def test_ten_gigabytes_of_output_take_what_the_cap_allows(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    try:
        began = time.monotonic()
        size, result = printed_by_command(worker, BYTES)
        seconds = time.monotonic() - began
    finally:
        worker.close()
    print(f"\n{BYTES / 1e9:.0f} GB printed in {seconds:.0f} s; out.log never had more than {size} bytes")
    assert size <= CAP_BYTES + len(DROPPED)
    assert (result["status"], result["acc"]) == ("ok", 0.5)
