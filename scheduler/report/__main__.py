"""`python -P -m scheduler.report HOME ROUND`: make the summary of a round again from its records.

The daemon runs this in a niced child, so that no report ever holds up a decision.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from scheduler.report.load import load_round
from scheduler.report.summary import publish_summary
from scheduler.rounds.errors import RoundhouseError, UsageError
from scheduler.rounds.paths import HomePaths


def main(arguments: Sequence[str]) -> int:
    """Publish both summaries of one round; says what is wrong on stderr and ends with its exit code."""
    try:
        if len(arguments) != 2:
            raise UsageError("usage: python -P -m scheduler.report HOME ROUND")
        paths = HomePaths(Path(arguments[0])).round(arguments[1])
        publish_summary(load_round(paths), paths)
    except RoundhouseError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
