"""Which device trains, how is it doing, and who else is using it? The only module that knows NVML."""

from __future__ import annotations

import ctypes
import importlib
import logging
import os
import platform
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from scheduler.effects.gpu_errors import DriverErrors
from scheduler.effects.gpu_sharing import GpuProcess, GpuReading
from scheduler.rounds.errors import RoundhouseError, SettingsError
from scheduler.rounds.identity import Device

log = logging.getLogger(__name__)

MIB = 1024 * 1024
#: the driver's library, by the name under which pynvml loads it too
DRIVER_LIBRARY = "libnvidia-ml.so.1"
#: NVML's codes for "nothing more comes from this device": uninitialised, driver not loaded, GPU is lost,
#: reset required, driver and library of different versions
LOST_CODES = frozenset({1, 9, 15, 16, 18})
CHOICE = re.compile(r"cuda:\d+|GPU-[0-9A-Fa-f-]{4,}")
COMPUTE_PROCESSES = (
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlDeviceGetComputeRunningProcesses_v2",
    "nvmlDeviceGetComputeRunningProcesses",
)


#: bits of what slows a device down although there is work: it is too hot, or its power supply says so
SLOWDOWNS = {
    0x08: "hardware slowdown",
    0x20: "heat (by the driver)",
    0x40: "heat (by the hardware)",
    0x80: "power brake",
}
CLOCKS = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")


class GpuLostError(RoundhouseError):
    """The GPU no longer answers: look at the kernel's log for an Xid error, then reset it or reboot."""


class DriverMissingError(RoundhouseError):
    """No NVIDIA driver can be asked: install one, or train on the CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A device as enumerated; `index` is the one nvidia-smi shows."""

    index: int
    uuid: str
    name: str
    handle: Any

    def __str__(self) -> str:
        return f"cuda:{self.index} ({self.name}, {self.uuid})"


class Gpu:
    """One NVIDIA device. Its methods may block as long as the driver does, so the loop never calls them."""

    def __init__(self, nvml: Any, found: _Found, device: Device) -> None:
        self.device = device
        self.uuid = found.uuid
        self._nvml = nvml
        self._handle = found.handle
        self._is_lost = False
        self._lock = threading.Lock()
        self._errors = DriverErrors(nvml)

    @classmethod
    def open(cls, choice: str, threads: int) -> Gpu | None:
        """The GPU that `choice` ("auto", "cpu", "cuda:N" or a uuid) means; None means train on the CPU.

        "auto" takes the first device that CUDA_VISIBLE_DEVICES leaves, or the CPU. "cuda:N" counts as
        nvidia-smi does. A device that was named and is not there is a SettingsError, which lists
        those that are.
        """
        if choice == "cpu":
            return None
        if choice != "auto" and not CHOICE.fullmatch(choice):
            raise SettingsError(f'device = "{choice}": say "auto", "cpu", "cuda:N" or the uuid of a GPU')
        try:
            nvml = _load_nvml()
            devices = _devices(nvml)
        except DriverMissingError as error:
            if choice != "auto":
                raise SettingsError(f'device = "{choice}", but {error}') from error
            log.debug("training on the CPU: %s", error)
            return None
        found = _first_visible(devices) if choice == "auto" else _matching(devices, choice)
        if found is None:
            if choice == "auto":
                hidden = ", ".join(map(str, devices)) or "no device"
                log.info("training on the CPU: CUDA_VISIBLE_DEVICES leaves nothing of %s", hidden)
                return None
            known = "; it has " + ", ".join(map(str, devices)) if devices else ""
            raise SettingsError(f'device = "{choice}": this machine has no such GPU{known}')
        driver = _text(_tolerant(nvml, "nvmlSystemGetDriverVersion"))
        device = Device(id=f"cuda:{found.index}", name=found.name, driver=driver, threads=threads)
        return cls(nvml, found, device)

    def environment(self) -> dict[str, str]:
        """What a worker's environment needs so that it sees this device alone, then called cuda:0.

        By uuid, since CUDA by default counts devices by speed and nvidia-smi by bus.
        """
        return {"CUDA_VISIBLE_DEVICES": self.uuid}

    def read(self) -> GpuReading:
        """One reading. Raises GpuLostError when the device no longer answers, and tries anew next time."""
        with self._lock:
            if self._is_lost:
                self._reopen()
            try:
                reading = self._reading()
            except GpuLostError:
                self._is_lost = True
                raise
        if all(getattr(reading, field.name) is None for field in fields(reading) if field.name != "time"):
            self._is_lost = True
            raise self._lost("it answers no question at all")
        return reading

    def wait_for_xid(self, seconds: float) -> int | None:
        """The next error that the driver reports of the device, in that time or less; None for none."""
        return self._errors.wait(lambda: None if self._is_lost else self._handle, seconds)

    def _reading(self) -> GpuReading:
        memory = self._ask("nvmlDeviceGetMemoryInfo")
        utilisation = self._ask("nvmlDeviceGetUtilizationRates")
        temperature = self._ask("nvmlDeviceGetTemperature", 0)
        power = self._ask("nvmlDeviceGetPowerUsage")
        energy = self._ask("nvmlDeviceGetTotalEnergyConsumption")
        return GpuReading(
            time=time.monotonic(),
            memory_used_mib=None if memory is None else memory.used / MIB,
            memory_total_mib=None if memory is None else memory.total / MIB,
            utilisation_percent=None if utilisation is None else float(utilisation.gpu),
            temperature_celsius=None if temperature is None else float(temperature),
            power_watt=None if power is None else power / 1000,
            energy_joule=None if energy is None else energy / 1000,
            processes=self._processes(),
            slowdowns=self._slowdowns(),
        )

    def _slowdowns(self) -> tuple[str, ...] | None:
        bits = self._ask_first(CLOCKS)
        return None if bits is None else tuple(words for bit, words in SLOWDOWNS.items() if bits & bit)

    def _processes(self) -> tuple[GpuProcess, ...] | None:
        listed = self._ask_first(COMPUTE_PROCESSES)
        if listed is None:
            return None
        # A process may be listed once per instance of a divided GPU.
        memory_by_pid: dict[int, float | None] = {}
        for entry in listed:
            used = None if entry.usedGpuMemory is None else entry.usedGpuMemory / MIB
            before = memory_by_pid.get(entry.pid)
            memory_by_pid[entry.pid] = used if before is None else before + (used or 0.0)
        return tuple(
            GpuProcess(pid=pid, name=self._program(pid), memory_mib=memory)
            for pid, memory in sorted(memory_by_pid.items())
        )

    def _program(self, pid: int) -> str:
        name = _text(_tolerant(self._nvml, "nvmlSystemGetProcessName", pid))
        if not name or name.startswith("["):  # "[Not Found]": the process of another container
            try:
                name = Path(f"/proc/{pid}/comm").read_text(errors="replace")
            except OSError:
                name = ""
        program = name.strip().split(" ")[0].rpartition("/")[2]
        # The name is chosen by whoever started it, and ends up on a terminal.
        return "".join(filter(str.isprintable, program))[:60] or "a process of another user or container"

    def _ask_first(self, questions: Sequence[str]) -> Any | None:
        """The answer to the newest name of a question that is known; the names change over the years."""
        answers = (self._ask(question) for question in questions)
        return next((answer for answer in answers if answer is not None), None)

    def _ask(self, question: str, *arguments: Any) -> Any | None:
        """The device's answer; None for a question that it, its driver or this pynvml does not know."""
        try:
            return getattr(self._nvml, question)(self._handle, *arguments)
        except (self._nvml.NVMLError, AttributeError) as error:
            if getattr(error, "value", None) in LOST_CODES:
                raise self._lost(str(error)) from error
            return None

    def _lost(self, why: str) -> GpuLostError:
        return GpuLostError(
            f"GPU {self.device.id} ({self.device.name}, {self.uuid}) is lost: {why}. Look for an Xid error "
            f"with `journalctl -k --grep NVRM`, then `nvidia-smi --gpu-reset -i {self.uuid}` or reboot"
        )

    def _reopen(self) -> None:
        """After a reset the old handle is worth nothing; a device that came back has the same uuid."""
        nvml = self._nvml
        self._errors.hang_up()
        _tolerant(nvml, "nvmlShutdown")
        try:
            nvml.nvmlInit()
            self._handle = nvml.nvmlDeviceGetHandleByUUID(self.uuid.encode())
        except nvml.NVMLError as error:
            raise self._lost(str(error)) from error
        self._is_lost = False


def cpu_device(threads: int) -> Device:
    """The machine's processor; the name is the kernel's."""
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        told = ""
    match = re.search(r"^model name\s*:\s*(.+)$", told, re.MULTILINE)
    return Device(id="cpu", name=match[1].strip() if match else platform.machine(), threads=threads)


def _load_nvml() -> Any:
    """pynvml, initialised. Raises DriverMissingError, whose message continues the sentence "..., but "."""
    try:
        # A machine without a driver is spared the import of pynvml: 5 MiB that an idle daemon would keep.
        ctypes.CDLL(DRIVER_LIBRARY)
    except OSError as error:
        raise DriverMissingError(f"no NVIDIA driver is installed ({error})") from error
    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
        if not issubclass(nvml.NVMLError, Exception):
            raise ImportError(f"{nvml} is not nvidia-ml-py")
    except Exception as error:
        # Anything can come from a `pynvml` that is mixed from two distributions, and from a driver that was
        # updated under the running kernel. It must not pass silently: somebody expects a GPU here.
        why = f"the NVIDIA driver cannot be used ({type(error).__name__}: {error})"
        remedy = "compare `nvidia-smi`; of the packages pynvml and nvidia-ml-py only nvidia-ml-py is wanted"
        log.warning("%s: %s", why, remedy, extra={"event": "gpu_unusable"})
        raise DriverMissingError(f"{why}: {remedy}") from error
    return nvml


def _devices(nvml: Any) -> list[_Found]:
    devices = []
    for index in range(_tolerant(nvml, "nvmlDeviceGetCount") or 0):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid, name = _text(nvml.nvmlDeviceGetUUID(handle)), _text(nvml.nvmlDeviceGetName(handle))
        except nvml.NVMLError as error:
            log.warning("GPU %d is left out: %s", index, error, extra={"event": "gpu_unusable"})
            continue
        devices.append(_Found(index=index, uuid=uuid, name=name, handle=handle))
    return devices


def _first_visible(devices: list[_Found], environment: Mapping[str, str] = os.environ) -> _Found | None:
    """The device that CUDA would call 0, as far as CUDA_VISIBLE_DEVICES says: "1,0", uuids, or ""."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return devices[0] if devices else None
    first = visible.split(",")[0].strip()
    return _matching(devices, f"cuda:{first}" if first.isdecimal() else first)


def _matching(devices: list[_Found], choice: str) -> _Found | None:
    """The device called `choice`; of a uuid, the beginning suffices when it fits only one."""
    for found in devices:
        if choice == f"cuda:{found.index}":
            return found
    if not choice.startswith("GPU-"):
        return None
    fitting = [found for found in devices if found.uuid.lower().startswith(choice.lower())]
    return fitting[0] if len(fitting) == 1 else None


def _tolerant(nvml: Any, question: str, *arguments: Any) -> Any | None:
    try:
        return getattr(nvml, question)(*arguments)
    except (nvml.NVMLError, AttributeError):
        return None


def _text(value: str | bytes | None) -> str:
    """Older versions of pynvml answer in bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""
