"""schedctl: how does a person talk to a home and its daemon? Through files only, one verb per module.

`status` and `daemon` are taken before typer and rich are imported: those alone would cost the time that an
answer may take, and memory that an idle daemon has no use for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from scheduler.cli.saying import say
from scheduler.rounds.errors import RoundhouseError

#: exit status after Ctrl-C, as shells expect it
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command line. Returns the exit status; a RoundhouseError is one message on stderr."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return (_quick(given) or _typer(given))()
    except RoundhouseError as error:
        say(f"schedctl: {error}", is_problem=True)
        return error.exit_code
    except PermissionError as error:
        say(f"schedctl: no permission for {error.filename}", is_problem=True)
        return 1
    except BrokenPipeError:
        # Whoever read our output has gone; nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED


def _quick(given: list[str]) -> Callable[[], int] | None:
    """What `status` and `daemon` with plain options do; None for everything that wants a real parser."""
    chosen, rest = _home_option(given)
    match rest:
        case ["status", *options] if set(options) <= {"--json"}:
            from scheduler.cli.home import find_home
            from scheduler.cli.status import show_status

            return lambda: show_status(find_home(chosen), as_json="--json" in options)
        case ["daemon", *options] if set(options) <= {"--until-idle"}:
            from scheduler.cli.daemon import serve
            from scheduler.cli.home import find_home

            return lambda: serve(find_home(chosen), until_idle="--until-idle" in options)
    return None


def _home_option(given: list[str]) -> tuple[str | None, list[str]]:
    """The value of a leading --home, and what follows it."""
    match given:
        case ["--home", value, *rest] if not value.startswith("-"):
            return value, rest
        case [first, *rest] if first.startswith("--home=") and first != "--home=":
            return first.removeprefix("--home="), rest
    return None, given


def _typer(given: list[str]) -> Callable[[], int]:
    from scheduler.cli.app import run

    return lambda: run(given)
