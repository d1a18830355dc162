"""What do pruners of Optuna say? A program of its own: Optuna would make the daemon heavy.

It reads questions from standard input, one JSON object a line, and writes the answers to each, one line,
until standard input ends.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import orjson

from policies._advice import Question
from policies._optuna import Adviser
from scheduler.rounds.paths import RunPaths

#: training comes first
NICENESS = 10


def main() -> None:
    """Serve until standard input ends."""
    os.nice(NICENESS)
    folder = Path()

    def read_scores(run_dir: str, step: int) -> Any:
        import numpy as np

        try:
            return np.load(RunPaths(folder / run_dir).scores_at(step))
        except (OSError, ValueError):
            return None  # that run kept none at this step

    adviser = Adviser(read_scores)
    for line in sys.stdin.buffer:
        asked = orjson.loads(line)
        folder = Path(asked["runs_folder"])
        answers = adviser.answers(Question.from_json(asked["question"]))
        sys.stdout.buffer.write(orjson.dumps(answers) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
