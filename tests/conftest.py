"""What every test may use: a home in a temporary folder, with a real daemon on it when started."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_home import Home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """An empty home; whatever daemon was started on it is gone afterwards."""
    made = Home(tmp_path / "home")
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
