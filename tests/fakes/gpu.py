"""A GPU that is not there: a fake driver, built from C, whose device a test plays under a daemon."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "data" / "fake_nvml.c"
MIB = 1024 * 1024
IDLE_MIB = 300
LOST = 15


def built(folder: Path) -> Path | None:
    """The fake driver's library, in that folder; None without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    library = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, SOURCE], check=True)
    return library


class FakeGpu:
    """One device, idle at first. Every change is seen at the driver's next answer."""

    def __init__(self, folder: Path, library: Path) -> None:
        self.uuid = f"GPU-{uuid.uuid4()}"
        self._state = folder / "gpu"
        self._questions = folder / "questions"
        self._library = library
        self._figures = {
            "memory_total": 24_000 * MIB,
            "memory_used": IDLE_MIB * MIB,
            "events": 8,
            "energy": 0,
        }
        self._processes: dict[int, str] = {}
        self._xids: list[int] = []
        self._error: int | None = None
        self._questions.touch()
        self._publish()

    @property
    def environment(self) -> dict[str, str]:
        """Of a process that takes the fake driver for the machine's."""
        return {
            "LD_LIBRARY_PATH": str(self._library.parent),
            "FAKE_NVML_STATE": str(self._state),
            "FAKE_NVML_QUESTIONS": str(self._questions),
        }

    @property
    def questions(self) -> int:
        """How often anybody asked which processes are on the device."""
        return self._questions.stat().st_size

    def holds(self, mib: int) -> None:
        """So much memory is in use, by whomever."""
        self._set("memory_used", mib * MIB)

    def slows_down(self, reasons: int) -> None:
        self._set("clocks_event_reasons", reasons)

    def runs(self, pid: int, name: str, mib: int) -> None:
        """A process computes on the device."""
        self._processes[pid] = f"process\t0\t{pid}\t{mib * MIB}\t{name}"
        self._publish()

    def runs_no_more(self, pid: int) -> None:
        del self._processes[pid]
        self._publish()

    def reports(self, xid: int) -> None:
        """The driver reports an error."""
        self._xids.append(xid)
        self._publish()

    def is_lost(self) -> None:
        """Every question is answered with the device's loss, until it `is_reset`."""
        self._error = LOST
        self._publish()

    def is_reset(self) -> None:
        self._error = None
        self._publish()

    def _set(self, figure: str, value: int) -> None:
        self._figures[figure] = value
        self._publish()

    def _publish(self) -> None:
        lines = ["driver\t560.35.03", f"device\t0\t{self.uuid}\tNVIDIA GeForce RTX 4090"]
        lines += [f"set\t0\t{name}\t{value}" for name, value in self._figures.items()]
        lines += [*self._processes.values(), *(f"xid\t0\t{xid}" for xid in self._xids)]
        lines += [] if self._error is None else [f"error\t0\t{self._error}"]
        whole = self._state.with_suffix(".new")
        whole.write_text("".join(f"{line}\n" for line in lines))
        whole.replace(self._state)
