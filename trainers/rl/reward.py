"""Is an answer right? The last boxed answer counts, and no box is wrong."""

from __future__ import annotations

from trainers.contract import DataError

_BOX = "\\boxed{"


def reward(completion: str, reference: str) -> float:
    """1 where the last boxed answer is the reference, spaces aside; else 0, also where nothing is boxed.

    Raises DataError for an empty reference: every completion without a box would count as right.
    """
    wanted = "".join(reference.split())
    if not wanted:
        raise DataError("a problem has an empty reference answer: correct the data, or leave it out")
    given = last_boxed(completion)
    return float(given is not None and "".join(given.split()) == wanted)


def last_boxed(text: str) -> str | None:
    """What stands in the last `\\boxed{...}`, braces inside it kept; None where none is closed."""
    begin = text.rfind(_BOX)
    while begin >= 0:
        inside = _until_closed(text[begin + len(_BOX) :])
        if inside is not None:
            return inside
        begin = text.rfind(_BOX, 0, begin)
    return None


def _until_closed(text: str) -> str | None:
    depth = 1
    for place, char in enumerate(text):
        depth += {"{": 1, "}": -1}.get(char, 0)
        if depth == 0:
            return text[:place]
    return None
