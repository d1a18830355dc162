"""Histories of a home that nobody thought of, new ones every time."""

from __future__ import annotations

import pytest
from fakes.histories import Histories
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test


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
@pytest.mark.amount("histories")
def test_no_history_breaks_a_law(amount: int) -> None:
    """One that does is made short, and printed with what makes it happen again."""
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=amount,
            stateful_step_count=40,
            database=None,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
