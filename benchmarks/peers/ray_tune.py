"""What does Ray Tune cost? One actor at a time, a new one for each run or one for all."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trial
from _work import Agenda, Way, Work

MODULES = ("ray.tune", "torch")
PROGRAMS: tuple[str, ...] = ()
REUSED = "Ray Tune, actors reused"
WAYS = (
    Way(name="Ray Tune", isolation="a process per run (an actor)"),
    Way(name=REUSED, isolation="none: runs share an actor", has_process_per_run=False),
)


@contextmanager
def opened(way: Way, folder: Path) -> Iterator[Callable[[Work], None]]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    ray.init(
        address="local",
        num_cpus=1,
        include_dashboard=False,
        _temp_dir=str(folder / "ray"),
        object_store_memory=100 * 2**20,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    try:
        yield lambda work: run(work, is_reusing=way.name == REUSED)
    finally:
        ray.shutdown()


def run(work: Work, is_reusing: bool) -> None:
    from ray import tune

    tuner = tune.Tuner(
        tune.with_resources(_trainable, {"cpu": 1}),
        tune_config=tune.TuneConfig(
            search_alg=_searcher(work),
            num_samples=work.runs,
            max_concurrent_trials=1,
            reuse_actors=is_reusing,
        ),
        run_config=tune.RunConfig(storage_path=str(work.folder / "results"), verbose=0),
    )
    results = tuner.fit()
    if results.errors:
        raise results.errors[0]


def _trainable(config: dict[str, Any]) -> None:
    from ray import tune

    tune.report({"loss": trial.run(trial.Trial(**config)), "learning_rate": config["learning_rate"]})


def _searcher(work: Work) -> Any:
    from ray.tune.search import Searcher

    class FromAgenda(Searcher):
        def __init__(self) -> None:
            super().__init__(metric="loss", mode="min")
            self.agenda = Agenda(work)

        def suggest(self, trial_id: str) -> dict[str, Any] | None:
            following = self.agenda.next()
            if following is None:
                return None
            return {name: getattr(following, name) for name in following.__slots__}

        def on_trial_complete(
            self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
        ) -> None:
            if result:
                self.agenda.tell(result["learning_rate"], result["loss"])

        def save(self, checkpoint_path: str) -> None:
            Path(checkpoint_path).write_bytes(pickle.dumps(self.agenda))

        def restore(self, checkpoint_path: str) -> None:
            self.agenda = pickle.loads(Path(checkpoint_path).read_bytes())

    return FromAgenda()
