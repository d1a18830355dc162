"""Does a light program stay light? What is imported is asked of a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "scipy", "optuna", "numpy", "pandas", "matplotlib", "jinja2", "apprise", "requests"}
#: they alone cost more than `schedctl status` may take
SLOW_FOR_STATUS = {"typer", "rich", "click", "pydantic", "apscheduler", "watchfiles", "pynvml", "msgspec"}
REPORT = "\nimport json, sys\nprint('\\n' + json.dumps(sorted(m.partition('.')[0] for m in sys.modules)))"


def loaded_by(program: str) -> set[str]:
    """Top-level packages that a fresh interpreter holds after `program`."""
    ran = subprocess.run([sys.executable, "-c", program + REPORT], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return set(json.loads(ran.stdout.splitlines()[-1]))


@pytest.mark.parametrize("module", ["scheduler.daemon", "scheduler.cli", "policies", "trainers._registry"])
def test_nothing_heavy_is_loaded_before_it_is_needed(module: str) -> None:
    assert loaded_by(f"import {module}") & HEAVY == set()


@pytest.mark.parametrize("arguments", [["status"], ["status", "--json"]], ids=" ".join)
def test_status_takes_a_path_past_the_slow_packages(tmp_path: Path, arguments: list[str]) -> None:
    for folder in ("queue", "results"):
        (tmp_path / folder).mkdir()
    program = f"from scheduler.cli import main\nassert main({['--home', str(tmp_path), *arguments]!r}) == 0"
    assert loaded_by(program) & (SLOW_FOR_STATUS | HEAVY) == set()


def test_a_loaded_package_is_noticed() -> None:
    assert "numpy" in loaded_by("import numpy.linalg")
