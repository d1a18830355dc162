"""What is an example: which tokens, which of them are masked, and what is read from it?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Complete sequences and their masks; every example of a task has the same length and masked count."""

    #: int64 [example, position], the true tokens
    tokens: np.ndarray
    #: bool [example, position], the cells to be filled
    masked: np.ndarray
    #: int64 [example], equal for examples that share their solution: their scores are correlated
    clusters: np.ndarray


class Task(Protocol):
    """A source of examples. Training and evaluation examples never share a solution."""

    #: values a cell may take, and separators; the mask and the answer's begin follow
    n_value: int
    #: positions in an example
    n_position: int
    #: masked cells in an example
    n_masked: int

    def draw(self, generator: np.random.Generator, count: int, *, held_out: bool) -> Examples:
        """`count` examples from the evaluation side if `held_out`, else from the training side."""
        ...
