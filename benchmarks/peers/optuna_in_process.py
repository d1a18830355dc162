"""What does a search in one process cost? Optuna's own loop, with the trial as its objective."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trial
from _work import Agenda, Way, Work

MODULES = ("optuna", "torch")
PROGRAMS: tuple[str, ...] = ()
WAYS = (
    Way(name="Optuna in one process", isolation="none: all runs in one process", has_process_per_run=False),
)


@contextmanager
def opened(way: Way, folder: Path) -> Iterator[Callable[[Work], None]]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield run


def run(work: Work) -> None:
    import optuna

    agenda, study = Agenda(work), optuna.create_study(direction="minimize")

    def objective(asked: Any) -> float:
        rate = asked.suggest_float("learning_rate", 1e-9, 1.0)
        loss = trial.run(work.trial(asked.user_attrs["steps"], rate))
        agenda.tell(rate, loss)
        return loss

    while following := agenda.next():
        study.enqueue_trial({"learning_rate": following.learning_rate}, user_attrs={"steps": following.steps})
        study.optimize(objective, n_trials=1)
