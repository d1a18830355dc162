"""Which problems are there, how are they worked out, and in which tokens? Two-digit addition.

Worked solutions have one of two habits: a careful one plans and errs in few columns, a sloppy one guesses and
errs in most. What a column got wrong goes into the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

#: of the problems, the solutions and their order: raise it with every change that alters one
GENERATOR_VERSION = 1

#: the 28 tokens, words and digits; a token's id is its place
VOCABULARY = (
    *"0123456789",
    *("add", "and", ":", "let", "me", "think", "check", "quick", "guess"),
    *("ones", "tens", "hundreds", "carry", "is", "so", "\\boxed{", "}", "<end>"),
)
END = VOCABULARY.index("<end>")
_ID = {word: token for token, word in enumerate(VOCABULARY)}

#: `add 4 7 and 3 8 :`
PROMPT_TOKENS = 7
#: of the longest worked solution
SOLUTION_TOKENS = 33
SMALLEST, LARGEST = 10, 99
#: all that there are; each is held out or trained on, never both
PROBLEMS = (LARGEST - SMALLEST + 1) ** 2
#: problems that no training ever sees, among which the evaluation set is drawn
HELD_OUT = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is asked, and the number that is right."""

    first: int
    second: int

    @property
    def prompt(self) -> str:
        return f"add {self.first // 10} {self.first % 10} and {self.second // 10} {self.second % 10} :"

    @property
    def reference(self) -> str:
        """The right answer."""
        return str(self.first + self.second)


def encode(text: str) -> list[int]:
    """The tokens of words that spaces divide. Raises KeyError for one that is not in the vocabulary."""
    return [_ID[word] for word in text.split()]


def decode(tokens: Iterable[int]) -> str:
    """The words of `tokens`."""
    return " ".join(VOCABULARY[token] for token in tokens)


def stream(purpose: str, *seeds: int) -> np.random.Generator:
    """Random numbers of one purpose: streams of different purposes have nothing in common, whatever seeds."""
    return np.random.default_rng([GENERATOR_VERSION, *purpose.encode(), *seeds])


def held_out_problems() -> tuple[Problem, ...]:
    """Those that are only ever evaluated on, in a fixed order."""
    return tuple(_problem(place) for place in _order()[:HELD_OUT])


def training_problems() -> tuple[Problem, ...]:
    """All the others, in a fixed order."""
    return tuple(_problem(place) for place in _order()[HELD_OUT:])


def worked_solution(
    problem: Problem,
    random: np.random.Generator,
    *,
    careful_share: float,
    careful_error: float,
    sloppy_error: float,
) -> str:
    """One solution, of either habit, with the errors that habit makes, each column by itself."""
    is_careful = random.random() < careful_share
    error = careful_error if is_careful else sloppy_error
    written = [_perhaps_wrong(digit, error, random) for digit in _columns(problem)]
    working = _working(problem, written)
    working = f"let me think {working} let me check" if is_careful else f"quick guess {working}"
    answer = " ".join(str(int("".join(str(digit) for digit in reversed(written)))))
    return f"{working} so \\boxed{{ {answer} }} <end>"


def _columns(problem: Problem) -> tuple[int, int, int]:
    """The right digits: ones, tens, hundreds."""
    total = problem.first + problem.second
    return total % 10, total // 10 % 10, total // 100


def _working(problem: Problem, written: Sequence[int]) -> str:
    ones_carry = (problem.first % 10 + problem.second % 10) // 10
    tens_carry = (problem.first + problem.second) // 100
    return (
        f"ones {problem.first % 10} {problem.second % 10} is {written[0]} carry {ones_carry} "
        f"tens {problem.first // 10} {problem.second // 10} {ones_carry} is {written[1]} carry {tens_carry} "
        f"hundreds is {written[2]}"
    )


def _perhaps_wrong(digit: int, error: float, random: np.random.Generator) -> int:
    """`digit`, or with probability `error` one that is next to it, 9 and 0 being neighbours."""
    if random.random() >= error:
        return digit
    return (digit + (1 if random.random() < 0.5 else -1)) % 10


def _order() -> list[int]:
    return [int(place) for place in stream("problems").permutation(PROBLEMS)]


def _problem(place: int) -> Problem:
    across = LARGEST - SMALLEST + 1
    return Problem(first=SMALLEST + place // across, second=SMALLEST + place % across)
