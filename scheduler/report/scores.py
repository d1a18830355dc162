"""How many examples did a run get right? Asked of its scores.npy, where each is either right or wrong."""

from __future__ import annotations

import sys
from array import array
from pathlib import Path

_MAGIC = b"\x93NUMPY\x01\x00"
#: magic, version and the two bytes that tell the header's length
_PREFIX_BYTES = 10


def right_and_all(path: Path) -> tuple[int, int] | None:
    """How many scores are 1, and how many there are; None where a score lies between 0 and 1.

    None too where there is no such file of float32 scores.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return None
    start = _PREFIX_BYTES + int.from_bytes(data[8:_PREFIX_BYTES], "little")
    header = data[_PREFIX_BYTES:start]
    if not data.startswith(_MAGIC) or b"'<f4'" not in header or (len(data) - start) % 4:
        return None
    scores = array("f", data[start:])
    if sys.byteorder == "big":
        scores.byteswap()
    right = scores.count(1.0)
    return (right, len(scores)) if scores and right + scores.count(0.0) == len(scores) else None
