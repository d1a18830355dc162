"""What does a run's scores.npy hold? How many examples it got right, and the digest records know it by."""

from __future__ import annotations

import hashlib
import sys
from array import array
from pathlib import Path

from scheduler.rounds.identity import DIGEST_LENGTH

_MAGIC = b"\x93NUMPY\x01\x00"
#: magic, version and the two bytes that tell the header's length
_PREFIX_BYTES = 10


def right_and_all(path: Path) -> tuple[int, int] | None:
    """How many scores are 1, and how many there are; None where a score lies between 0 and 1.

    None too where there is no such file of float32 scores.
    """
    told = _scores_in(path)
    if told is None:
        return None
    scores = array("f", told)
    if sys.byteorder == "big":
        scores.byteswap()
    right = scores.count(1.0)
    return (right, len(scores)) if scores and right + scores.count(0.0) == len(scores) else None


def scores_digest(path: Path) -> str | None:
    """The digest by which records know these scores; None where there is no such file of float32 scores."""
    told = _scores_in(path)
    return None if told is None else hashlib.sha256(told).hexdigest()[:DIGEST_LENGTH]


def _scores_in(path: Path) -> bytes | None:
    """The numbers as they lie in the file."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    start = _PREFIX_BYTES + int.from_bytes(data[8:_PREFIX_BYTES], "little")
    header = data[_PREFIX_BYTES:start]
    is_whole = data.startswith(_MAGIC) and b"'<f4'" in header and (len(data) - start) % 4 == 0
    return data[start:] if is_whole else None
