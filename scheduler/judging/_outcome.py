"""With what does `schedctl verdict` end? One code for several answers of one way of judging."""

from __future__ import annotations

from collections.abc import Iterable

#: CONFIRMED, an improvement, PASS, WINNER
MET = 0
#: FAILED, a degradation, FAIL, LOSER
MISSED = 1
#: the evidence decides neither
OPEN = 4


def outcome(codes: Iterable[int]) -> int:
    """MET when any is, MISSED when all are, else OPEN."""
    found = set(codes)
    if MET in found:
        return MET
    return MISSED if found == {MISSED} else OPEN
