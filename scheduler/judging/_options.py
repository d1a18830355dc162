"""Is an option what it must be? Questions that several ways of judging ask of theirs."""

from __future__ import annotations

import math


def is_number(value: object) -> bool:
    """A finite number; a flag is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_share(value: object) -> bool:
    """A number from 0 to 1."""
    return is_number(value) and 0.0 <= value <= 1.0  # type: ignore[operator]


def are_seeds(value: object, least: int) -> bool:
    """A list of at least `least` whole numbers, all different."""
    if not isinstance(value, list | tuple) or len(value) < least:
        return False
    return all(type(seed) is int for seed in value) and len(set(value)) == len(value)


def are_words(value: object) -> bool:
    """A list of strings, none empty."""
    return isinstance(value, list | tuple) and all(isinstance(word, str) and word for word in value)
