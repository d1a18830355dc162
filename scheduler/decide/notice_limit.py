"""How many notices of a kind are too many? A daemon that crashes again and again must not ring all night."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

#: notices of one kind within an hour; the rest is counted, and told with the next one
MOST_AN_HOUR = 6
_HOUR_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeLimit:
    """What was sent of each kind. It outlives the daemon."""

    #: seconds since the epoch, oldest first
    sent: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    #: how many were not sent since the last one that was
    left_out: Mapping[str, int] = field(default_factory=dict)

    def after(self, kind: str, now: float) -> Self:
        """What is known once one more is to be sent; `admits` says whether it is."""
        # A clock that was set back must not silence anybody for longer than that.
        recent = tuple(at for at in self.sent.get(kind, ()) if now - _HOUR_SECONDS < at <= now)
        if len(recent) >= MOST_AN_HOUR:
            return replace(self, left_out={**self.left_out, kind: self.left_out.get(kind, 0) + 1})
        left_out = {name: number for name, number in self.left_out.items() if name != kind}
        return replace(self, sent={**self.sent, kind: (*recent, now)}, left_out=left_out)

    def admits(self, kind: str) -> bool:
        """Whether the one that came last is to be sent."""
        return kind not in self.left_out

    def to_json(self) -> dict[str, Any]:
        """A JSON object from which `from_json` makes an equal one."""
        return {"sent": dict(self.sent), "left_out": dict(self.left_out)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` wrote. Raises TypeError, ValueError or KeyError for anything else."""
        return cls(
            sent={kind: tuple(map(float, times)) for kind, times in data["sent"].items()},
            left_out={kind: int(number) for kind, number in data["left_out"].items()},
        )
