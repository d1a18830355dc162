"""Is the GPU read truthfully? Through pynvml and a fake driver, each in a child process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.gpu import MIB

ROOT = Path(__file__).parents[2]
NVML_DRIVER_NOT_LOADED, NVML_GPU_IS_LOST, NVML_UNKNOWN = 9, 15, 999

ONE_GPU = ("driver\t560.35.03", "device\t0\tGPU-1111\tNVIDIA GeForce RTX 4090")
TWO_GPUS = (*ONE_GPU, "device\t1\tGPU-2222\tNVIDIA H100")
FIGURES = (
    f"set\t0\tmemory_total\t{24564 * MIB}",
    f"set\t0\tmemory_used\t{420 * MIB}",
    "set\t0\tutilisation\t37",
    "set\t0\ttemperature\t61",
    "set\t0\tpower\t180500",
    "set\t0\tenergy\t5000500",
)

#: Evaluates one expression a line and answers with JSON: the value, or the error's type, text and exit code.
CHILD = """
import dataclasses, json, os, sys, time
from scheduler.effects.gpu import *
from scheduler.effects.gpu_sharing import *
from scheduler.effects.meter import *
names = globals()
for line in sys.stdin:
    try:
        value = eval(line, names)
        value = dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value
        answer = {"value": value}
    except Exception as error:
        exit_code = getattr(error, "exit_code", None)
        answer = {"error": type(error).__name__, "text": str(error), "exit": exit_code}
    print(json.dumps(answer, default=repr), flush=True)
"""


class Machine:
    """A child process on a machine whose GPUs the test describes, and may change while it runs."""

    def __init__(self, folder: Path, library: Path | None) -> None:
        self.state = folder / "state"
        self._library = library
        self._child: subprocess.Popen[str] | None = None

    def has(self, *lines: str) -> Machine:
        whole = self.state.with_suffix(".new")
        whole.write_text("".join(f"{line}\n" for line in lines))
        whole.replace(self.state)
        return self

    def boot(self, *python_path: Path, **environment: str) -> Machine:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CUDA_")}
        if self._library is not None:
            clean |= {"LD_LIBRARY_PATH": str(self._library.parent), "FAKE_NVML_STATE": str(self.state)}
        clean["PYTHONPATH"] = os.pathsep.join(map(str, (*python_path, ROOT)))
        self._child = subprocess.Popen(
            [sys.executable, "-c", CHILD],
            env=clean | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def answer(self, expression: str) -> dict[str, Any]:
        assert self._child is not None
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(expression.replace("\n", " ") + "\n")
        self._child.stdin.flush()
        answer: dict[str, Any] = json.loads(self._child.stdout.readline())
        return answer

    def value(self, expression: str) -> Any:
        answer = self.answer(expression)
        assert "value" in answer, answer
        return answer["value"]

    def open(self, choice: str = "auto") -> Machine:
        self.value(f"names.update(gpu=Gpu.open({choice!r}, 2))")
        return self

    def read(self) -> dict[str, Any]:
        reading: dict[str, Any] = self.value("gpu.read()")
        return reading

    def close(self) -> None:
        if self._child is not None:
            self._child.communicate()


@pytest.fixture
def machine(tmp_path: Path, nvml_library: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path, nvml_library)
    yield machine
    machine.close()


@pytest.fixture
def without_driver(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path, None)
    if machine.boot().answer("ctypes.CDLL('libnvidia-ml.so.1')").get("error") != "OSError":
        machine.close()
        pytest.skip("this machine has an NVIDIA driver")
    yield machine
    machine.close()


@pytest.mark.fault(
    "no NVIDIA driver, or one that is not loaded",
    moment="at the start",
    outcome="the CPU trains, unless the settings name a GPU: then the start is refused with the reason",
)
def test_an_absent_driver_means_cpu(without_driver: Machine) -> None:
    assert without_driver.value("Gpu.open('auto', 1)") is None
    assert without_driver.value("'pynvml' in sys.modules") is False


def test_a_named_gpu_without_a_driver_is_a_bad_setting(without_driver: Machine) -> None:
    answer = without_driver.answer("Gpu.open('cuda:0', 1)")
    assert (answer["error"], answer["exit"]) == ("SettingsError", 64)
    assert "no NVIDIA driver is installed" in answer["text"]


def test_a_driver_that_is_not_loaded_means_cpu(machine: Machine) -> None:
    machine.has(*ONE_GPU, f"error\tinit\t{NVML_DRIVER_NOT_LOADED}").boot()
    assert machine.value("Gpu.open('auto', 1)") is None
    assert "Driver Not Loaded" in machine.answer("Gpu.open('cuda:0', 1)")["text"]


@pytest.mark.parametrize("choice", ["cuda", "gpu:0", "0", "", "cuda:-1", "GPU-"])
def test_a_device_that_makes_no_sense_is_a_bad_setting(machine: Machine, choice: str) -> None:
    answer = machine.has(*ONE_GPU).boot().answer(f"Gpu.open({choice!r}, 1)")
    assert (answer["error"], answer["exit"]) == ("SettingsError", 64)


def test_one_gpu_is_named_and_read(machine: Machine) -> None:
    machine.has(*ONE_GPU, *FIGURES).boot().open()
    assert machine.value("gpu.device") == {
        "id": "cuda:0",
        "name": "NVIDIA GeForce RTX 4090",
        "driver": "560.35.03",
        "threads": 2,
    }
    assert machine.value("gpu.uuid") == "GPU-1111"
    assert machine.value("gpu.environment()") == {"CUDA_VISIBLE_DEVICES": "GPU-1111"}
    reading = machine.read()
    assert abs(reading.pop("time") - machine.value("time.monotonic()")) < 5
    assert reading == {
        "memory_used_mib": 420.0,
        "memory_total_mib": 24564.0,
        "utilisation_percent": 37.0,
        "temperature_celsius": 61.0,
        "power_watt": 180.5,
        "energy_joule": 5000.5,
        "processes": [],
        "slowdowns": None,
    }


def test_cpu_is_taken_when_it_is_asked_for(machine: Machine) -> None:
    machine.has(*ONE_GPU).boot()
    assert machine.value("Gpu.open('cpu', 1)") is None


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, "GPU-1111"),
        ("0", "GPU-1111"),
        ("1", "GPU-2222"),
        ("1,0", "GPU-2222"),
        ("GPU-2222", "GPU-2222"),
        ("GPU-22", "GPU-2222"),
        ("", None),
        ("-1", None),
        ("2", None),
        ("MIG-3333", None),
    ],
)
def test_auto_takes_what_cuda_visible_devices_leaves(
    machine: Machine, visible: str | None, expected: str | None
) -> None:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    machine.has(*TWO_GPUS).boot(**environment).open()
    assert machine.value("gpu and gpu.uuid") == expected


@pytest.mark.parametrize(("choice", "expected"), [("cuda:1", "GPU-2222"), ("GPU-1111", "GPU-1111")])
def test_a_named_gpu_is_taken_whatever_is_visible(machine: Machine, choice: str, expected: str) -> None:
    machine.has(*TWO_GPUS).boot(CUDA_VISIBLE_DEVICES="").open(choice)
    assert machine.value("gpu.uuid") == expected


def test_a_named_gpu_that_is_not_there_is_answered_with_those_that_are(machine: Machine) -> None:
    answer = machine.has(*TWO_GPUS).boot().answer("Gpu.open('cuda:2', 1)")
    assert (answer["error"], answer["exit"]) == ("SettingsError", 64)
    for named in ("cuda:0", "NVIDIA GeForce RTX 4090", "GPU-1111", "cuda:1", "NVIDIA H100", "GPU-2222"):
        assert named in answer["text"]


@pytest.mark.fault(
    "one of several GPUs is broken",
    moment="at the start",
    outcome="the next one is taken, and the log says so",
)
def test_a_broken_gpu_leaves_the_other_usable(machine: Machine) -> None:
    machine.has(*TWO_GPUS, f"error\t0\t{NVML_GPU_IS_LOST}").boot().open()
    assert machine.value("gpu.uuid") == "GPU-2222"


def test_a_question_the_gpu_does_not_support_is_none(machine: Machine) -> None:
    machine.has(*ONE_GPU, *(line for line in FIGURES if "energy" not in line)).boot().open()
    reading = machine.read()
    assert reading["energy_joule"] is None
    assert reading["power_watt"] == 180.5


def test_a_foreign_process_is_seen_while_it_is_there(machine: Machine) -> None:
    machine.has(*ONE_GPU, *FIGURES).boot().open()
    reason = "(lambda r: wait_reason(r, foreign({77}, r), 420.0))(gpu.read())"
    assert machine.value(reason) is None

    ours = f"process\t0\t77\t{900 * MIB}\t/home/ada/.venv/bin/python3"
    theirs = f"process\t0\t4123\t{2310 * MIB}\t/usr/bin/python"
    machine.has(*ONE_GPU, *FIGURES, ours, theirs)
    assert machine.read()["processes"] == [
        {"pid": 77, "name": "python3", "memory_mib": 900.0},
        {"pid": 4123, "name": "python", "memory_mib": 2310.0},
    ]
    busy = "GPU busy: python (pid 4123, 2310 MiB) is not ours; waiting for it to end"
    assert machine.value(reason) == busy

    machine.has(*ONE_GPU, *FIGURES, ours)
    assert machine.value(reason) is None


def test_a_process_whose_memory_is_hidden_is_still_seen(machine: Machine) -> None:
    machine.has(*ONE_GPU, "process\t0\t4123\t-\t/usr/bin/python").boot().open()
    assert machine.read()["processes"] == [{"pid": 4123, "name": "python", "memory_mib": None}]


def test_a_program_name_brings_no_terminal_escapes(machine: Machine) -> None:
    machine.has(*ONE_GPU, "process\t0\t4123\t1\t/tmp/\x1b[2Jevil\u202e").boot().open()
    assert machine.read()["processes"][0]["name"] == "[2Jevil"


def test_many_processes_are_all_listed(machine: Machine) -> None:
    processes = [f"process\t0\t{pid}\t{MIB}\tp{pid}" for pid in range(1000, 1060)]
    machine.has(*ONE_GPU, *processes).boot().open()
    assert [process["pid"] for process in machine.read()["processes"]] == list(range(1000, 1060))


@pytest.mark.fault(
    "the GPU no longer answers",
    moment="while the daemon watches it",
    outcome="it is told as lost, and found again after a reset without a restart",
)
@pytest.mark.parametrize("code", [NVML_GPU_IS_LOST, NVML_UNKNOWN])
def test_a_lost_gpu_is_an_error_until_it_is_back(machine: Machine, code: int) -> None:
    machine.has(*ONE_GPU, *FIGURES).boot().open()
    assert machine.read()["memory_used_mib"] == 420.0

    machine.has(*ONE_GPU, *FIGURES, f"error\t0\t{code}")
    for _ in range(2):
        answer = machine.answer("gpu.read()")
        assert answer["error"] == "GpuLostError"
        assert "GPU-1111" in answer["text"]

    machine.has(*ONE_GPU, *FIGURES)
    assert machine.read()["memory_used_mib"] == 420.0


def test_a_run_is_metered_by_the_counter_of_the_device(machine: Machine) -> None:
    machine.has(*ONE_GPU, *FIGURES).boot().open()
    machine.value("names.update(meter=Meter(gpu.read, period_seconds=0.02))")
    machine.value("meter.start('a', idle_memory_mib=420.0)")
    wait_until(lambda: machine.value("meter._attempts['a'].tally._last is not None"))
    busy = [line for line in FIGURES if "energy" not in line and "memory_used" not in line]
    machine.has(*ONE_GPU, *busy, "set\t0\tenergy\t5042500", f"set\t0\tmemory_used\t{3000 * MIB}")
    usage = machine.value("meter.stop('a')")
    assert usage["energy_joule"] == 42.0
    assert usage["peak_memory_mib"] == 2580.0
    assert usage["busy_share"] == pytest.approx(0.37)
    assert usage["error"] is None


@pytest.mark.parametrize("question", ["clocks_event_reasons", "clocks_throttle_reasons"])
@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (0x0, []),
        (0x4, []),  # the power limit: every card under load is at it
        (0x40, ["heat (by the hardware)"]),
        (0xA8, ["hardware slowdown", "heat (by the driver)", "power brake"]),
    ],
)
def test_what_slows_the_gpu_down_is_known_from_old_drivers_too(
    machine: Machine, question: str, bits: int, expected: list[str]
) -> None:
    machine.has(*ONE_GPU, *FIGURES, f"set\t0\t{question}\t{bits}").boot().open()
    assert machine.read()["slowdowns"] == expected


WAIT = "next((x for x in iter(lambda: gpu.wait_for_xid(0.2), 0) if x is not None), None)"


def test_an_error_is_heard_as_it_comes_and_once(machine: Machine) -> None:
    past, events = "xid\t0\t31", "set\t0\tevents\t8"
    machine.has(*ONE_GPU, *FIGURES, events, past).boot().open()
    assert machine.value("gpu.wait_for_xid(0.05)") is None
    machine.has(*ONE_GPU, *FIGURES, events, past, "xid\t0\t79", "xid\t0\t13")
    assert [machine.value(WAIT), machine.value(WAIT)] == [79, 13]
    assert machine.value("gpu.wait_for_xid(0.05)") is None


def test_without_events_an_uncorrectable_error_is_counted(machine: Machine) -> None:
    def has(errors: int) -> None:
        machine.has(*ONE_GPU, *FIGURES, f"set\t0\tecc_uncorrected\t{errors}")

    has(7)
    machine.boot().open()
    assert machine.value("[gpu.wait_for_xid(0.01) for _ in range(3)]") == [None] * 3
    has(8)
    assert machine.value(WAIT) == 48
    assert machine.value("gpu.wait_for_xid(0.01)") is None


def test_a_device_that_tells_no_errors_at_all_is_asked_in_vain(machine: Machine) -> None:
    machine.has(*ONE_GPU, *FIGURES).boot().open()
    assert machine.value("[gpu.wait_for_xid(0.01) for _ in range(3)]") == [None] * 3


def test_errors_are_heard_again_after_a_reset(machine: Machine) -> None:
    events = "set\t0\tevents\t8"
    machine.has(*ONE_GPU, *FIGURES, events).boot().open()
    assert machine.value("gpu.wait_for_xid(0.05)") is None
    machine.has(*ONE_GPU, *FIGURES, events, f"error\t0\t{NVML_GPU_IS_LOST}")
    assert machine.answer("gpu.read()")["error"] == "GpuLostError"
    assert machine.value("gpu.wait_for_xid(0.05)") is None
    machine.has(*ONE_GPU, *FIGURES, events)
    assert machine.read()["memory_used_mib"] == 420.0
    assert machine.value("gpu.wait_for_xid(0.05)") is None
    machine.has(*ONE_GPU, *FIGURES, events, "xid\t0\t119")
    assert machine.value(WAIT) == 119


@pytest.mark.fault(
    "the Python packages pynvml and nvidia-ml-py are mixed",
    moment="at the start",
    outcome="the CPU trains, and the log names the package to remove",
)
@pytest.mark.parametrize(
    "package",
    [
        pytest.param("raise ImportError('mixed')", id="raises at import"),
        pytest.param("", id="knows nothing"),
        pytest.param("def nvmlInit(): pass", id="has no errors"),
        pytest.param("class NVMLError(Exception): pass\ndef nvmlInit(): pass", id="cannot count"),
    ],
)
def test_a_mixed_pynvml_install_means_cpu(machine: Machine, tmp_path: Path, package: str) -> None:
    (tmp_path / "site" / "pynvml").mkdir(parents=True)
    (tmp_path / "site" / "pynvml" / "__init__.py").write_text(package)
    machine.has(*ONE_GPU).boot(tmp_path / "site")
    assert machine.value("Gpu.open('auto', 1)") is None
    answer = machine.answer("Gpu.open('cuda:0', 1)")
    assert (answer["error"], answer["exit"]) == ("SettingsError", 64)


def test_an_old_pynvml_that_answers_in_bytes_is_understood(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "pynvml.py").write_text(
        "class NVMLError(Exception): value = 3\n"
        "def nvmlInit(): pass\n"
        "def nvmlDeviceGetCount(): return 1\n"
        "def nvmlDeviceGetHandleByIndex(index): return index\n"
        "def nvmlDeviceGetUUID(handle): return b'GPU-1111'\n"
        "def nvmlDeviceGetName(handle): return b'NVIDIA Old'\n"
        "def nvmlSystemGetDriverVersion(): return b'470.1'\n"
        "def nvmlDeviceGetPowerUsage(handle): return 90000\n"
    )
    machine.has(*ONE_GPU).boot(tmp_path / "site").open()
    assert machine.value("gpu.device")["name"] == "NVIDIA Old"
    assert machine.value("gpu.device")["driver"] == "470.1"
    reading = machine.read()
    assert (reading["power_watt"], reading["memory_used_mib"], reading["processes"]) == (90.0, None, None)


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
    pytest.fail("waited in vain")
