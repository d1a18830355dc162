"""What does systemd hear of the daemon? That it is ready, what it does, and that its loop still turns.

The protocol is one datagram of `NAME=value` lines to the socket that NOTIFY_SOCKET names (sd_notify(3)).
Without that variable everything here does nothing.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, MutableMapping

from scheduler.effects.plain_text import plain_line

#: a datagram waits for room in systemd's inbox for no longer than this; what was not taken is said again
_PATIENCE_SECONDS = 1.0
_MAX_STATUS_LENGTH = 200
_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class SystemdNotify:
    """The daemon's voice towards systemd. Only the thread of the daemon's loop speaks.

    Nothing here raises or waits for long: what systemd did not take goes with the next thing said.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        watchdog_seconds: float | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`address` as NOTIFY_SOCKET has it. After `watchdog_seconds` of silence systemd kills the daemon."""
        # A name that starts with "@" is one of the kernel's own, and no file.
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self._watchdog_seconds = watchdog_seconds
        self._monotonic = monotonic
        self._unsaid: dict[str, str] = {}
        self._status = ""
        self._is_ready = False
        self._alive_at = float("-inf")
        #: until when systemd was asked to wait
        self._patient_until = float("-inf")

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> SystemdNotify:
        """As the environment tells, and taken out of it: no child may speak in the daemon's name."""
        address, microseconds, pid = (environment.pop(name, "") for name in _VARIABLES)
        is_watched = microseconds.isdecimal() and int(microseconds) > 0 and pid in ("", str(os.getpid()))
        return cls(address or None, watchdog_seconds=int(microseconds) / 1e6 if is_watched else None)

    def ready(self) -> None:
        """The daemon serves its home. From now on systemd waits for `alive`."""
        self._is_ready = True
        self._alive_at = self._monotonic()
        self._say(READY="1")

    def status(self, text: str) -> None:
        """What `systemctl status` shows of the daemon, as one line."""
        if text != self._status:
            self._status = text
            self._say(STATUS=plain_line(text)[:_MAX_STATUS_LENGTH])

    def alive(self) -> None:
        """A turn of the loop went well. Says so often enough, and not at every turn."""
        next_in = self.next_in()
        if next_in is None or self._watchdog_seconds is None or next_in > self._watchdog_seconds / 4:
            self._say()
        elif self._say(WATCHDOG="1"):
            self._alive_at = self._monotonic()

    def next_in(self) -> float | None:
        """Seconds until the loop has to turn for systemd to see that it does; None when nobody looks."""
        if self._watchdog_seconds is None or not self._is_ready:
            return None
        return max(0.0, self._alive_at + self._watchdog_seconds / 2 - self._monotonic())

    def wait_for(self, seconds: float) -> None:
        """Ask systemd not to give up a start or a stop that takes `seconds` from now. May be asked often."""
        now = self._monotonic()
        if now + 0.9 * seconds > self._patient_until:
            self._patient_until = now + seconds
            self._say(EXTEND_TIMEOUT_USEC=str(round(seconds * 1e6)))

    def stopping(self, reason: str) -> None:
        """The daemon is about to end."""
        self.status(f"ending: {reason}")
        self._say(STOPPING="1")

    def _say(self, **lines: str) -> bool:
        """Whether systemd has taken all that was said so far."""
        if self._address is None:
            return True
        self._unsaid.update(lines)
        if not self._unsaid:
            return True
        message = "\n".join(f"{name}={value}" for name, value in self._unsaid.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
                speaker.settimeout(_PATIENCE_SECONDS)
                speaker.sendto(message.encode("utf-8", "replace"), self._address)
        except OSError:
            return False
        self._unsaid.clear()
        return True
