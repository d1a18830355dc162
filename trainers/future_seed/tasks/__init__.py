"""Which generator makes the examples of a task?"""

from __future__ import annotations

from trainers.future_seed.config import Config
from trainers.future_seed.tasks import sequences
from trainers.future_seed.tasks.examples import Examples, Task
from trainers.future_seed.tasks.sudoku import Sudoku

__all__ = ["Examples", "Task", "make_task"]


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
