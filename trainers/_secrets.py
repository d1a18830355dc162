"""Which words of what a run prints are secrets of its environment? They are left out of all that is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping

_SECRET_NAME = re.compile("TOKEN|KEY|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
#: a shorter value is no secret worth the name, and would be found everywhere
_LEAST_LENGTH = 8

REDACTED = "[redacted]"


def secrets_of(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The values that no text may show, the longest first."""
    found = {
        value
        for name, value in environment.items()
        if _SECRET_NAME.search(name) and len(value) >= _LEAST_LENGTH
    }
    return tuple(sorted(found, key=lambda value: (-len(value), value)))


def redacted(text: str, secrets: tuple[str, ...]) -> str:
    """`text` without them."""
    for secret in secrets:
        text = text.replace(secret, REDACTED)
    return text


class RedactedStream:
    """Bytes that come in pieces, without the secrets that are in them, also across pieces."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._secrets = tuple(secret.encode() for secret in secrets)
        #: the end of what came, as far as it may be the beginning of a secret
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What may be shown by now."""
        if not self._secrets:
            return data
        data = self._held + data
        for secret in self._secrets:
            data = data.replace(secret, REDACTED.encode())
        held = max(self._overlap(data, secret) for secret in self._secrets)
        self._held = data[len(data) - held :]
        return data[: len(data) - held]

    def rest(self) -> bytes:
        """What was held back, now that nothing more comes."""
        held, self._held = self._held, b""
        return held

    @staticmethod
    def _overlap(data: bytes, secret: bytes) -> int:
        """How many bytes at the end of `data` are the beginning of `secret`."""
        lengths = range(min(len(data), len(secret) - 1), 0, -1)
        return next((length for length in lengths if data.endswith(secret[:length])), 0)
