"""What does Syne Tune's local backend cost? One worker, and a loop that looks ten times a second."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _work import HERE, Agenda, Way, Work

MODULES = ("syne_tune", "torch")
PROGRAMS: tuple[str, ...] = ()
#: its own default is 5 seconds, which alone would cost a short run more than all the rest
SLEEP_SECONDS = 0.1
WAYS = (Way(name=f"Syne Tune, looking every {SLEEP_SECONDS:g} s", isolation="a process per run"),)


@contextmanager
def opened(way: Way, folder: Path) -> Iterator[Callable[[Work], None]]:
    os.environ["SYNETUNE_FOLDER"] = str(folder / "syne-tune")
    import syne_tune  # noqa: F401

    logging.getLogger().setLevel(logging.ERROR)
    yield run


def run(work: Work) -> None:
    from syne_tune import Tuner
    from syne_tune.backend import LocalBackend

    tuner = Tuner(
        trial_backend=LocalBackend(entry_point=str(HERE / "_syne_trial.py"), rotate_gpus=False),
        scheduler=_scheduler(work),
        # The scheduler ends the search, by having no more to suggest.
        stop_criterion=lambda status: False,
        n_workers=1,
        sleep_time=SLEEP_SECONDS,
        max_failures=0,
        save_tuner=False,
        tuner_name="peers",
    )
    tuner.run()


def _scheduler(work: Work) -> Any:
    from syne_tune.optimizer.scheduler import TrialScheduler, TrialSuggestion

    class FromAgenda(TrialScheduler):
        def __init__(self) -> None:
            super().__init__(random_seed=0)
            self.agenda = Agenda(work)

        def suggest(self) -> Any:
            following = self.agenda.next()
            if following is None:
                return None
            return TrialSuggestion.start_suggestion(
                {name: getattr(following, name) for name in following.__slots__}
            )

        def on_trial_complete(self, trial: Any, result: dict[str, Any]) -> None:
            self.agenda.tell(trial.config["learning_rate"], result["loss"])

        def metric_names(self) -> list[str]:
            return ["loss"]

        def metric_mode(self) -> str:
            return "min"

        def metadata(self) -> dict[str, Any]:
            return {"metric_names": self.metric_names(), "metric_mode": self.metric_mode()}

    return FromAgenda()
