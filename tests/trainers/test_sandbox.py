"""Does the sandbox hold programs that mean harm, and tell those that end from those that do not?"""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from pathlib import Path

import pytest

from trainers import _sandbox, _sandboxed
from trainers._sandbox import Ending, SandboxError, run

pytestmark = pytest.mark.skipif(
    platform.system() != "Linux" or platform.machine() not in _sandboxed.ARCHITECTURES,
    reason="the sandbox refuses this machine, which test_a_machine_that_cannot_hold_... shows elsewhere",
)


def ending(*parts: str, memory_mib: int = 512) -> Ending:
    return run(parts, seconds=1, memory_mib=memory_mib)


def test_a_solution_that_passes_its_tests_runs_to_its_end() -> None:
    _sandbox.check()
    imports = "import collections, heapq, math, re, statistics\nimport xml.etree.ElementTree\n"
    solution = f"{imports}def twice(x):\n    return 2 * x\n"
    assert ending(solution, "assert twice(4) == 8", "assert twice(0) == 0") is Ending.FINISHED


@pytest.mark.parametrize(
    "program",
    [
        "def twice(x):\n    return x\nassert twice(4) == 8",
        "this is no Python",
        "import sys\nsys.exit(0)",
        "import os\nos._exit(0)",
        "import ctypes\nctypes.string_at(0)",
        "def deep():\n    deep()\ndeep()",
    ],
    ids=["wrong", "syntax", "exit", "_exit", "segfault", "recursion"],
)
def test_what_does_not_reach_its_end_has_failed_whatever_its_exit_status(program: str) -> None:
    assert ending(program) is Ending.FAILED


@pytest.mark.parametrize(
    "program",
    [
        "import time\ntime.sleep(3600)",
        "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: print('x')",
    ],
    ids=["sleep", "deaf loop"],
)
def test_an_endless_program_is_ended(program: str) -> None:
    assert ending(program) is Ending.TIMED_OUT


def children() -> set[str]:
    here = f"/proc/self/task/{os.getpid()}/children"
    return set(Path(here).read_text().split())


def test_a_fork_bomb_makes_no_process() -> None:
    before = children()
    bomb = "import os\nwhile True:\n    os.fork()"
    threads = "import threading\nwhile True:\n    threading.Thread(target=input).start()"
    patient = (
        "import os\nfor _ in range(999):\n    try:\n        os.fork()\n    except OSError:\n        pass"
    )
    # Were one of its forks to succeed, parent and child would both tell that they ended.
    assert [ending(bomb), ending(threads), ending(patient)] == [
        Ending.FAILED,
        Ending.FAILED,
        Ending.FINISHED,
    ]
    assert children() == before


def test_a_program_that_eats_memory_ends_at_its_limit() -> None:
    assert ending("whole = [bytearray(10**6) for _ in range(10**6)]", memory_mib=256) is Ending.FAILED


def test_no_file_is_made_changed_or_deleted(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("whole")
    victim.chmod(0o666)
    tmp_path.chmod(0o777)
    for program in (
        f"open({str(tmp_path / 'new')!r}, 'w').write('x')",
        f"open({str(victim)!r}, 'a').write('x')",
        f"import os; os.truncate({str(victim)!r}, 0)",
        f"import os; os.unlink({str(victim)!r})",
        f"import os; os.rename({str(victim)!r}, {str(tmp_path / 'moved')!r})",
        f"import os; os.chmod({str(victim)!r}, 0)",
        f"import os; os.mkdir({str(tmp_path / 'folder')!r})",
        f"import os; os.symlink('/', {str(tmp_path / 'link')!r})",
        f"import os; os.open({str(tmp_path)!r}, os.O_TMPFILE | os.O_WRONLY)",
    ):
        assert ending(program) is Ending.FAILED, program
    assert [path.name for path in tmp_path.iterdir()] == ["victim"]
    assert victim.read_text() == "whole"
    assert victim.stat().st_mode & 0o777 == 0o666


def test_nobody_outside_is_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert ending(f"import socket\nsocket.create_connection(('127.0.0.1', {port}))") is Ending.FAILED
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        assert ending(f"import os\nos.kill({sleeper.pid}, 9)") is Ending.FAILED
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()
    assert ending("import subprocess\nsubprocess.run(['true'])") is Ending.FAILED


def test_limits_are_not_raised_from_inside() -> None:
    raise_it = "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (9, 9))"
    assert ending(raise_it) is Ending.FAILED
    assert ending("import resource\nresource.getrlimit(resource.RLIMIT_CPU)") is Ending.FINISHED


@pytest.mark.fault(
    "the machine cannot hold a program that nobody has read",
    moment="before it is run",
    outcome="nothing is run; the message names what is missing and what to set",
)
def test_a_machine_that_cannot_hold_a_program_is_refused_by_name_and_runs_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    unheld = tmp_path / "unheld.py"
    source = Path(_sandboxed.__file__).read_text()
    unheld.write_text(source.replace('"x86_64":', '"pdp11":').replace('"aarch64":', '"vax":'))
    monkeypatch.setattr(_sandboxed, "__file__", str(unheld))
    with pytest.raises(SandboxError, match=r"cannot hold .*no system call filter.* `executed = 0`"):
        ending("assert True")
