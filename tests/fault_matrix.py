"""What can go wrong, and which test proves how it ends? Writes docs/fault-matrix.md from the marker `fault`.

    python tests/fault_matrix.py            # writes the file
    python tests/fault_matrix.py --check    # says whether it is as the tests tell it

The tests are collected and not run; those of tests/torture are among them.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

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


class Collector:
    """A plugin of pytest that notes what the collected tests promise, and every reason not to trust that."""

    def __init__(self) -> None:
        self.proofs: dict[Promise, set[Proof]] = {}
        self.problems: list[str] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.problems.append(
                f"{report.nodeid} is skipped as a whole: skip in its tests, or this depends on the machine"
            )

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            name = getattr(item, "originalname", None) or item.name
            proof = Proof(path=item.path.relative_to(TESTS).as_posix(), name=name)
            for marker in item.iter_markers("fault"):
                try:
                    promise = promised(*marker.args, **marker.kwargs)
                except TypeError as error:
                    self.problems.append(f"{item.nodeid}: {error}")
                else:
                    self.proofs.setdefault(promise, set()).add(proof)


def promised(fault: str, moment: str, outcome: str) -> Promise:
    """What a marker says. Raises TypeError for one that does not say it all."""
    return Promise(*(" ".join(words.split()).replace("|", "\\|") for words in (fault, moment, outcome)))


def marked_files() -> Iterator[Path]:
    """Files of tests in which the marker may be found: collecting only those saves most of the time."""
    for path in sorted(TESTS.rglob("test_*.py")):
        if re.search(r"\bmark\.fault\b", path.read_text()):
            yield path


def collected(files: Iterable[Path]) -> Collector:
    """What the tests in `files` promise. Raises SystemExit with pytest's words when they cannot be read."""
    collector, said = Collector(), io.StringIO()
    arguments = ["--collect-only", "--torture", "-q", "-p", "no:cacheprovider", f"--rootdir={TESTS.parent}"]
    with contextlib.redirect_stdout(said):
        status = pytest.main([*arguments, *map(str, files)], plugins=[collector])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise SystemExit(said.getvalue())
    if collector.problems:
        raise SystemExit("\n".join(sorted(set(collector.problems))))
    return collector


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
    text = text_of(collected(marked_files()).proofs)
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
