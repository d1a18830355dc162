"""Which generator makes the examples of a task, and on which is a model measured?"""

from __future__ import annotations

import numpy as np

from trainers.future_seed.config import Config
from trainers.future_seed.tasks import sequences
from trainers.future_seed.tasks.examples import Examples, Task
from trainers.future_seed.tasks.sudoku import Sudoku

__all__ = ["Examples", "Task", "count_clusters", "evaluation_set", "make_task"]

#: of the generator of the evaluation set; no run's seed enters it
EVAL_SEED = 20_240_403


def make_task(config: Config) -> Task:
    """The task that `config` names."""
    match config.task:
        case "sudoku":
            return Sudoku(side=config.side, masked=config.masked, mask=config.mask)
        case "permfill":
            return sequences.PermutationFill(length=config.length, masked=config.masked)
        case "rightcopy":
            return sequences.RightCopy(length=config.length, symbols=config.symbols)
        case "constr":
            return sequences.Constraint(length=config.length, symbols=config.symbols)
        case "kvsort":
            return sequences.KeyValueSort(length=config.length, symbols=config.symbols)
        case "retrieval":
            return sequences.Retrieval(length=config.length, symbols=config.symbols)
        case "nameindex":
            return sequences.NameIndex(length=config.length, symbols=config.symbols)
        case "middlematch":
            return sequences.MiddleMatch(length=config.length, symbols=config.symbols)


def evaluation_set(task: Task, count: int) -> Examples:
    """The frozen set: the same for every run of a task."""
    return task.draw(np.random.default_rng(EVAL_SEED), count, held_out=True)


def count_clusters(examples: Examples) -> int:
    """How many different solutions the examples were made from."""
    return len(np.unique(examples.clusters))
