"""Tests that take minutes to hours: `make torture`. How much of each is an argument."""

from __future__ import annotations

import random
import secrets
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Whoever does not ask for them gets none of them."""
    return True if FOLDER in collection_path.parents and not config.getoption("--torture") else None


@pytest.fixture
def amount(request: pytest.FixtureRequest) -> int:
    """How much the test is to do: the option that its marker `amount` names."""
    marker = request.node.get_closest_marker("amount")
    assert marker is not None, "say what the test takes: @pytest.mark.amount('kills')"
    count: int = request.config.getoption(marker.args[0])
    return count


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Whatever the test leaves to chance; the same again with the seed that is printed."""
    seed = request.config.getoption("seed") or secrets.randbits(32)
    print(f"\n{request.node.name}: --seed {seed}")
    return random.Random(seed)
