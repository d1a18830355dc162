"""How does a spec file, or a round, come from the command line, and what is wrong with it?"""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from scheduler.cli.home import existing_home
from scheduler.cli.saying import say
from scheduler.decide.facts import RoundAccepted
from scheduler.decide.inputs import SpecChecked
from scheduler.decide.state import RoundState, State, fold
from scheduler.effects.arrivals import SPEC_SUFFIXES
from scheduler.effects.intake import check_spec
from scheduler.report.load import load_round
from scheduler.report.printable import one_line
from scheduler.rounds.errors import UnknownIdError, UsageError
from scheduler.rounds.parse import MAX_BYTES
from scheduler.rounds.paths import HomePaths

#: exit status for a spec with problems
PROBLEMS = 2


def read_spec(file: str, name: str | None = None) -> tuple[bytes, str]:
    """The bytes of a spec and the name it goes by; `-` is stdin, which needs a name."""
    if file == "-":
        if name is None:
            raise UsageError("a spec from stdin needs --name NAME.toml (or .json)")
        return sys.stdin.buffer.read(MAX_BYTES + 1), _with_suffix(name)
    path = Path(file)
    try:
        with path.open("rb") as spec:
            return spec.read(MAX_BYTES + 1), _with_suffix(name or path.name)
    except FileNotFoundError:
        raise UnknownIdError(f"there is no file {one_line(file)}") from None
    except IsADirectoryError:
        raise UsageError(f"{one_line(file)} is a folder; name the spec files in it") from None


def checked_spec(file: str, home: HomePaths, name: str | None = None) -> tuple[bytes, SpecChecked]:
    """The bytes of a spec and what its check found. Problems are printed on stderr, one a line."""
    data, spec_name = read_spec(file, name)
    # Relative paths in a spec mean the home; where there is none yet, they are looked up from here.
    place = home if home.root.is_dir() else HomePaths(Path.cwd())
    checked = check_spec(data, spec_name, place)
    for problem in checked.problems:
        say(f"{one_line(spec_name)}: {one_line(problem, limit=1000)}", is_problem=True)
    return data, checked


def described_round(round_or_file: str, home: HomePaths, name: str | None = None) -> RoundState:
    """The round of a spec file, as it would be accepted, or a round that the daemon has accepted.

    Exits with the problems of a spec that has some. Raises UnknownIdError.
    """
    if round_or_file == "-" or Path(round_or_file).suffix or Path(round_or_file).is_file():
        _, checked = checked_spec(round_or_file, home, name)
        return as_accepted(checked)
    return load_round(existing_home(home).round(round_or_file))


def as_accepted(checked: SpecChecked) -> RoundState:
    """The round as it would be accepted. Exits where it would not be."""
    if checked.spec is None:
        raise typer.Exit(PROBLEMS)
    round_id = checked.spec["id"]
    accepted = RoundAccepted(
        round=round_id,
        sha256=checked.sha256,
        file=checked.file,
        suffix=checked.suffix,
        spec=checked.spec,
    )
    return fold(State(), accepted).rounds[round_id]


def _with_suffix(name: str) -> str:
    if Path(name).suffix.lower() not in SPEC_SUFFIXES:
        raise UsageError(
            f"{one_line(name)}: a spec must be called {' or '.join('*' + s for s in SPEC_SUFFIXES)}"
        )
    return name
