"""The trial as a trainer of a Roundhouse home: all but the steps is done in `prepare`."""

from __future__ import annotations

from collections.abc import Iterator

from trainers.contract import Context, Evaluation, Fingerprint, TrainerConfig, protocol_field

from . import trial

DISTRIBUTIONS = ("torch",)


class Config(TrainerConfig):
    kind: str = protocol_field()
    #: where every run notes its time
    journal: str = protocol_field()
    learning_rate: float


def fingerprint(config: Config) -> Fingerprint:
    return Fingerprint(digest=f"peers-{config.kind}-{trial.SEED}")


def prepare(config: Config, context: Context) -> tuple[Config, trial.Train]:
    return config, trial.prepare(config.kind, config.learning_rate)


def train(prepared: tuple[Config, trial.Train], context: Context) -> Iterator[Evaluation]:
    config, steps_to_loss = prepared
    asked = trial.Trial(
        kind=config.kind,
        steps=context.max_steps,
        learning_rate=config.learning_rate,
        journal=config.journal,
    )
    yield Evaluation(step=context.max_steps, loss=trial.train(asked, steps_to_loss), acc=None)
