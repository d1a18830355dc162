"""What can be looked at afterwards? Every step and every completion, a JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from trainers.rl.step_row import Batch

FOLDER = "emergence"
STEPS_FILE = "steps.jsonl"
GENERATIONS_FILE = "generations.jsonl"


class Emergence(AbstractContextManager["Emergence"]):
    """Writes `emergence/steps.jsonl` and `emergence/generations.jsonl`; without a folder nothing.

    A run that goes on from another's state has the rows of that one's steps, and its own completions only.
    """

    def __init__(
        self, run_dir: Path | None, condition: str, earlier: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        self._condition = condition
        #: a row for every step so far
        self.steps = list(earlier)
        self._files: list[TextIOWrapper] = []
        if run_dir is not None:
            folder = run_dir / FOLDER
            folder.mkdir(parents=True, exist_ok=True)
            # A new file: what an attempt before this one wrote is not a part of this run.
            self._files = [(folder / name).open("w") for name in (STEPS_FILE, GENERATIONS_FILE)]
            self._files[0].writelines(_line(step) for step in self.steps)

    def __exit__(self, *failure: object) -> None:
        for file in self._files:
            file.close()

    def add(self, batch: Batch, row: Mapping[str, float]) -> None:
        """A row of the step, and one for each of its completions, handed to the system when this returns."""
        self.steps.append(self._step(batch, row))
        if not self._files:
            return
        steps, generations = self._files
        steps.write(_line(self.steps[-1]))
        generations.writelines(_line(generation) for generation in self._generations(batch))
        for file in self._files:
            file.flush()

    def _step(self, batch: Batch, row: Mapping[str, float]) -> dict[str, Any]:
        return {
            "step": batch.step,
            "condition": self._condition,
            "correct_count": int(batch.rewards.sum()),
            "total_count": batch.rewards.size,
            **row,
        }

    def _generations(self, batch: Batch) -> Iterator[dict[str, Any]]:
        lengths, ended = batch.samples.lengths.tolist(), batch.samples.ended.tolist()
        planning = batch.planning.sum(axis=1).tolist()
        rewards = batch.rewards.reshape(-1).tolist()
        n_sample = batch.rewards.shape[1]
        for place, text in enumerate(batch.texts):
            problem = batch.problems[place // n_sample]
            yield {
                "step": batch.step,
                "condition": self._condition,
                "group": place // n_sample,
                "prompt": problem.prompt,
                "reference": problem.reference,
                "completion": text,
                "reward": rewards[place],
                "num_tokens": lengths[place],
                "planning_tokens": planning[place],
                "finish_reason": "end" if ended[place] else "length",
                "metadata": {"correctness": rewards[place] == 1.0},
            }


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, allow_nan=False) + "\n"
