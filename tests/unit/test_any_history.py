"""Whatever happens to a home, and wherever its daemon dies, no law of the house is broken."""

from __future__ import annotations

import pytest
from fakes.histories import Histories
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

#: of the same histories at each call; `make torture` lives through others every time
SMALL = settings(
    max_examples=20,
    stateful_step_count=12,
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.fault(
    "kill -9 of the daemon",
    moment="at any action, of a recovery too, amid failing runs, full disks, requests and a busy GPU",
    outcome="the records replay to the state that lived, no finished run is repeated, every spec ends once",
)
@pytest.mark.fault(
    "a power cut",
    moment="at any action, with any part lost of what had not been fsynced",
    outcome="every effect has its record, and no spec that was accepted is lost",
)
def test_no_history_breaks_a_law() -> None:
    run_state_machine_as_test(Histories, settings=SMALL)
