"""What every test may use: a home in a temporary folder, with a real daemon on it when started."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import fakes.gpu
import pytest
from real_home import Ask, Home

# what tests share says what it found, as they do
pytest.register_assert_rewrite("acknowledging", "ended_round", "full_disk", "killing", "syscalls")

# A shell that starts a suite in the background has it ignore Ctrl-C, and all of its programs after it.
if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    and threading.current_thread() is threading.main_thread()
):
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: what `make torture` does how often, when nobody says: the figures that reliability is held to
AMOUNTS = {
    "kills": 500,
    "syscalls": 500,
    "full_disks": 200,
    "power_cuts": 1000,
    "specs": 100_000,
    "runs": 10_000,
    "histories": 2000,
    "races": 200,
    "stops": 200,
    "records": 1_000_000,
    "reboots": 50,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--torture", action="store_true", help="also the tests of tests/torture")
    for name, amount in AMOUNTS.items():
        option = f"--{name.replace('_', '-')}"
        parser.addoption(option, dest=name, type=int, default=amount, help=f"of tests/torture ({amount})")
    parser.addoption(
        "--seed", type=int, help="of what tests/torture leaves to chance; each test prints its own"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "amount(name): the option that says how much a torture test does")
    config.addinivalue_line(
        "markers",
        "fault(fault, moment, outcome): what the test proves, as a line of docs/fault-matrix.md",
    )


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    """A daemon that a test runs in its own process leaves a strict umask; the next test has the usual one."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fake driver, built."""
    library = fakes.gpu.built(tmp_path_factory.mktemp("nvml"))
    if library is None:
        pytest.skip("no C compiler `cc` for the fake NVML library")
    return library


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """An empty home; whatever daemon was started on it is gone afterwards."""
    made = Home(tmp_path / "home")
    yield made
    made.close()


@pytest.fixture
def ask(home: Home, capsys: pytest.CaptureFixture[str]) -> Ask:
    """`schedctl`, in this process: exit status, stdout and stderr."""
    from scheduler.cli import main

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        status = main(["--home", str(home.paths.root), *map(str, arguments)])
        return (status, *capsys.readouterr())

    return run
