"""What is trained? One small training for every peer, the same to the last bit, that tells its own time."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

#: examples of the data set, examples in a batch, inputs, hidden units
EXAMPLES, BATCH, INPUTS, HIDDEN = 4096, 256, 64, 256
SEED = 0

#: steps -> loss after them
Train = Callable[[int], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One run: what is trained, for how long, and where it notes its time."""

    #: "torch" trains a network on one CPU thread; "plain" is over at once and loads nothing
    kind: str
    steps: int
    learning_rate: float
    #: a file to which every run appends one line
    journal: str


def prepare(kind: str, learning_rate: float) -> Train:
    """What has to be there before the first step: imports, data, model."""
    return {"torch": _prepare_torch, "plain": _prepare_plain}[kind](learning_rate)


def train(trial: Trial, prepared: Train) -> float:
    """The loss after training. `begun` and `ended` in the journal enclose the training and its evaluation."""
    begun = time.monotonic()
    loss = prepared(trial.steps)
    ended = time.monotonic()
    line = {
        "steps": trial.steps,
        "learning_rate": trial.learning_rate,
        "begun": begun,
        "ended": ended,
        "loss": loss,
        "pid": os.getpid(),
    }
    with open(trial.journal, "a") as journal:
        journal.write(json.dumps(line) + "\n")
    return loss


def run(trial: Trial) -> float:
    """All of a run in this process."""
    return train(trial, prepare(trial.kind, trial.learning_rate))


def arguments(trial: Trial) -> list[str]:
    """The command line by which `asked` knows the trial again."""
    return [
        *("--kind", trial.kind, "--steps", str(trial.steps)),
        *("--learning_rate", repr(trial.learning_rate), "--journal", trial.journal),
    ]


def asked() -> Trial:
    """The trial of this program's command line; further options, which some peers add, are left alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=("torch", "plain"), required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--learning_rate", type=float, required=True)
    parser.add_argument("--journal", required=True)
    return Trial(**vars(parser.parse_known_args()[0]))


def _prepare_torch(learning_rate: float) -> Train:
    import torch
    from torch import nn

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(SEED)
    inputs = torch.randn(EXAMPLES, INPUTS, generator=generator)
    targets = torch.tanh(inputs @ torch.randn(INPUTS, 1, generator=generator) / INPUTS**0.5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = nn.Sequential(nn.Linear(INPUTS, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh(),
                              nn.Linear(HIDDEN, 1))  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)

    def train(steps: int) -> float:
        for step in range(steps):
            first = step * BATCH % EXAMPLES
            batch = slice(first, first + BATCH)
            optimizer.zero_grad()
            nn.functional.mse_loss(model(inputs[batch]), targets[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            return float(nn.functional.mse_loss(model(inputs), targets))

    return train


def _prepare_plain(learning_rate: float) -> Train:
    def train(steps: int) -> float:
        weight = 0.0
        for _ in range(steps):
            weight -= learning_rate * 2 * (weight - 1)
        return (weight - 1) ** 2

    return train


if __name__ == "__main__":
    print(f"METRIC loss={run(asked())!r}")
