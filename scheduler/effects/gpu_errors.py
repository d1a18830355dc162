"""Which errors does the driver report of a GPU? As they come, or where it cannot tell so, by its counter."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from scheduler.decide.xids import UNCORRECTABLE_ECC

#: of NVML: the event of an Xid, and the counter of memory errors since the driver was loaded
XID_EVENT = 0x8
UNCORRECTED, SINCE_DRIVER_LOAD = 1, 0
NVML_TIMEOUT = 10
#: the longest wait in one go: as long may `hang_up` take
SLICE_SECONDS = 0.5


class DriverErrors:
    """Waits for errors of one device, in one thread. `nvml` is the initialised library."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        #: held while the library is in use: it must not be shut down meanwhile
        self._in_use = threading.Lock()
        self._set: Any | None = None
        self._has_events = True
        self._count: int | None = None
        self._pause = threading.Event()

    def wait(self, device: Callable[[], Any | None], seconds: float) -> int | None:
        """The Xid of the next error; None when none came in that time, at most SLICE_SECONDS of it.

        `device` gives the handle of now, None while the device is lost. Takes the time there, too.
        """
        seconds = min(seconds, SLICE_SECONDS)
        with self._in_use:
            handle = device()
            if handle is not None and self._has_events:
                return self._next(handle, seconds)
        self._pause.wait(seconds)
        with self._in_use:
            handle = device()
            return None if handle is None or self._has_events else self._counted(handle)

    def hang_up(self) -> None:
        """Let go of the library, which is about to be shut down; the next wait begins anew."""
        with self._in_use:
            self._free()
            self._has_events, self._count = True, None

    def _next(self, device: Any, seconds: float) -> int | None:
        try:
            if self._set is None:
                self._set = self._nvml.nvmlEventSetCreate()
                self._nvml.nvmlDeviceRegisterEvents(device, XID_EVENT, self._set)
            event = self._nvml.nvmlEventSetWait_v2(self._set, round(1000 * seconds))
            return int(event.eventData) if event.eventType == XID_EVENT else None
        except (self._nvml.NVMLError, AttributeError) as error:
            if getattr(error, "value", None) != NVML_TIMEOUT:
                # Too old a device or driver, or one that is lost: then `hang_up` follows.
                self._free()
                self._has_events = False
            return None

    def _counted(self, device: Any) -> int | None:
        """An error more than before on the device's own counter, which not every device has."""
        try:
            ask = self._nvml.nvmlDeviceGetTotalEccErrors
            count = int(ask(device, UNCORRECTED, SINCE_DRIVER_LOAD))
        except (self._nvml.NVMLError, AttributeError):
            return None
        before, self._count = self._count, count
        return UNCORRECTABLE_ECC if before is not None and count > before else None

    def _free(self) -> None:
        if self._set is not None:
            try:
                self._nvml.nvmlEventSetFree(self._set)
            except (self._nvml.NVMLError, AttributeError):
                pass  # the device is gone, and the set with it
            self._set = None
