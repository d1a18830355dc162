"""Is every specimen of a malformed spec told what is wrong with it, and where?"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from malformed_specs import COMMAND, LEGAL, MALFORMED, SOUND, Malformed, furnish

from scheduler.rounds.check import check
from scheduler.rounds.parse import parse
from scheduler.rounds.problems import rendered
from scheduler.rounds.resolve import trainer_problems
from trainers._check import check_task
from trainers._registry import HOME_PACKAGE


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with the trainer and the program that the specimens name, as the working directory."""
    root = tmp_path_factory.mktemp("home")
    furnish(root)
    sys.modules.pop(f"{HOME_PACKAGE}.line", None)
    with contextlib.chdir(root):
        yield root
    sys.modules.pop(f"{HOME_PACKAGE}.line", None)


def told(home: Path, data: bytes, file: str) -> tuple[str, ...]:
    """Every problem, as the two children of the intake find them."""
    draft, problems = check(parse(data, Path(file).suffix), file)
    if draft is not None and draft.tasks:
        answer = {"tasks": [check_task(task.request(), home) for task in draft.tasks]}
        problems = [*problems, *trainer_problems(draft, answer)]
    return rendered(problems)


@pytest.mark.fault("a malformed spec is dropped", moment="any", outcome="rejected, with the place")
@pytest.mark.parametrize("row", [row for row in MALFORMED if not row.is_slow], ids=lambda row: row.name)
def test_a_malformed_spec_is_told_what_is_wrong_and_where(home: Path, row: Malformed) -> None:
    problems = told(home, row.data, row.file)
    assert row.is_in(problems), problems
    assert all(text.isprintable() for text in problems)
    assert all(len(text) < 600 for text in problems)


@pytest.mark.parametrize("name", LEGAL)
def test_what_looks_odd_and_is_legal_is_accepted(home: Path, name: str) -> None:
    suffix, data = LEGAL[name]
    assert told(home, data, name + suffix) == ()


def test_the_specimens_are_many_and_their_originals_sound(home: Path) -> None:
    assert len({row.name for row in MALFORMED}) == len(MALFORMED) >= 300
    assert told(home, SOUND.encode(), "sound.toml") == told(home, COMMAND.encode(), "command.toml") == ()
