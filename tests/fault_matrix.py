"""What can go wrong, and which test proves how it ends? Writes docs/fault-matrix.md from the marker `fault`.

    python tests/fault_matrix.py            # writes the file
    python tests/fault_matrix.py --check    # says whether it is as the tests tell it

The tests are read and not run; those of tests/torture are among them.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent
MATRIX = TESTS.parent / "docs" / "fault-matrix.md"

HEAD = """\
# What can go wrong, and how it ends

Each line is a promise: when this goes wrong at that moment, it ends like this, and the test on the right
proves it. `make test` runs the tests with a plain name, `make torture` those with a star, as often as you
say ([CONTRIBUTING](../CONTRIBUTING.md)). A test that needs what a machine lacks (root, loop devices, a
systemd) is skipped there by name, with the reason.

This page is made from the tests by `make fault-matrix`.

| What goes wrong | When | How it ends | Proved by |
|---|---|---|---|
"""


@dataclass(frozen=True, slots=True, order=True)
class Promise:
    """How a fault at a moment ends, in words for users."""

    fault: str
    moment: str
    outcome: str


@dataclass(frozen=True, slots=True, order=True)
class Proof:
    """A test; all of its parametrisations are one."""

    #: of the file, below the folder of the tests
    path: str
    name: str

    def __str__(self) -> str:
        star = "\\*" if self.path.startswith("torture/") else ""
        return f"[{Path(self.path).name}::{self.name}](../tests/{self.path}){star}"


def promised(fault: str, moment: str, outcome: str) -> Promise:
    """What a marker says. Raises TypeError for one that does not say it all."""
    return Promise(*(" ".join(words.split()).replace("|", "\\|") for words in (fault, moment, outcome)))


def proofs_in(files: Iterable[Path]) -> dict[Promise, set[Proof]]:
    """What the tests in `files` promise. Raises SystemExit for a marker that is not wholly written out."""
    proofs: dict[Promise, set[Proof]] = {}
    for path in files:
        for test, marker in _markers(ast.parse(path.read_text())):
            try:
                words = {str(word.arg): ast.literal_eval(word.value) for word in marker.keywords}
                promise = promised(*map(ast.literal_eval, marker.args), **words)
            except (TypeError, ValueError) as error:
                raise SystemExit(f"{path}:{marker.lineno}: {error}") from error
            proof = Proof(path=path.relative_to(TESTS).as_posix(), name=test)
            proofs.setdefault(promise, set()).add(proof)
    return proofs


def _markers(module: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """The tests of a module with their markers `fault`, which stand above a test and nowhere else."""
    for test in ast.walk(module):
        if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
            for marker in test.decorator_list:
                if isinstance(marker, ast.Call) and ast.unparse(marker.func) == "pytest.mark.fault":
                    yield test.name, marker


def text_of(proofs: dict[Promise, set[Proof]]) -> str:
    """The document, the same for the same tests."""
    return HEAD + "".join(f"{line}\n" for line in _lines(proofs))


def _lines(proofs: dict[Promise, set[Proof]]) -> Iterator[str]:
    """A line for each promise, by the alphabet; a fault is named once."""
    above = ""
    for promise in sorted(proofs):
        tests = "<br>".join(map(str, sorted(proofs[promise])))
        fault = promise.fault if promise.fault != above else ""
        yield f"| {fault} | {promise.moment} | {promise.outcome} | {tests} |"
        above = promise.fault


def main(*arguments: Any) -> int:
    text = text_of(proofs_in(sorted(TESTS.rglob("test_*.py"))))
    if arguments == ("--check",):
        is_true = MATRIX.exists() and MATRIX.read_text() == text
        if not is_true:
            print(f"{MATRIX} is not what the tests say: run `make fault-matrix`", file=sys.stderr)
        return 0 if is_true else 1
    MATRIX.write_text(text)
    print(f"{MATRIX}: {text.count(chr(10)) - HEAD.count(chr(10))} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
