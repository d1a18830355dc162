"""`python -P -m scheduler.report HOME ROUND`: make the summaries and the page of a round again.

The daemon runs this in a niced child, so that no report ever holds up a decision.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from scheduler.effects.files import NO_ROOM
from scheduler.effects.reporting import NO_ROOM_STATUS
from scheduler.report.publish import publish_index, publish_round
from scheduler.rounds.errors import RoundhouseError, UsageError
from scheduler.rounds.paths import HomePaths


def main(arguments: Sequence[str]) -> int:
    """Publish the pages of one round and of all; says what is wrong on stderr and ends with its exit code."""
    try:
        if len(arguments) != 2:
            raise UsageError("usage: python -P -m scheduler.report HOME ROUND")
        home = HomePaths(Path(arguments[0]))
        publish_round(home.round(arguments[1]))
        publish_index(home)
    except RoundhouseError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        print(f"{error}; the report is made again when there is room", file=sys.stderr)
        return NO_ROOM_STATUS
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
