"""How is a model trained, and when is it measured?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainers._fixed_points import evaluation_points
from trainers._lr_schedule import learning_rate_factor
from trainers._reproducible import reproducibly
from trainers._torch_state import on_the_cpu
from trainers.contract import BadArgumentsError, Context, DataError, Evaluation
from trainers.future_seed.checkpoint import load_into, read_checkpoint, shape_of
from trainers.future_seed.config import Config
from trainers.future_seed.exercise import Exercise, exercise_of
from trainers.future_seed.initial import initialise
from trainers.future_seed.kernel import choose_kernel
from trainers.future_seed.model import ModelShape, Rwkv7
from trainers.future_seed.optimizer import Optimizer
from trainers.future_seed.resumption import TrainingState
from trainers.future_seed.seeding import FutureSeed

#: examples in a training batch where the context leaves it open
BSZ = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What training begins with, on the CPU. `train` uses it up."""

    config: Config
    #: the training data and the frozen evaluation set
    exercise: Exercise
    model: Rwkv7
    #: of the model's parameters, which it takes to the device
    optimizer: Optimizer
    #: where training goes on; None at the beginning
    start: TrainingState | None = None


def prepare(config: Config, context: Context) -> Prepared:
    """Evaluation set and initial weights. Equal arguments and seed give equal bits."""
    torch.set_num_threads(context.threads)
    # Looked for first: it takes a moment to find it missing, and may take minutes to read the data.
    tensors = None if config.weights is None else read_checkpoint(Path(config.weights))
    exercise = exercise_of(config, context)
    generator = torch.Generator().manual_seed(context.seed)
    model = first_model(config, exercise.n_vocab, tensors, generator)
    return Prepared(
        config=config,
        exercise=exercise,
        model=model,
        # The first optimizer of a process imports a second's worth of torch: better here than in the run.
        optimizer=Optimizer(model, config),
    )


def first_model(
    config: Config, n_vocab: int, tensors: dict[str, Tensor] | None, generator: torch.Generator
) -> Rwkv7:
    """The model that training begins with: that of a checkpoint's tensors, or one that is drawn."""
    if tensors is not None:
        model = published_model(config, tensors, n_vocab)
    else:
        model = make_model(config, n_vocab=n_vocab)
        initialise(model, generator)
    if config.task == "retrieval_embedding":
        model.embedding = nn.Linear(model.shape.d_model, config.embedding_dim, bias=False)
        spread = 1.0 / math.sqrt(model.shape.d_model)
        nn.init.normal_(model.embedding.weight, std=spread, generator=generator)
    return model


def published_model(config: Config, tensors: dict[str, Tensor], n_vocab: int) -> Rwkv7:
    """The model of a checkpoint, in float32, with the gates that `config` asks for."""
    shape = shape_of(tensors)
    if shape.n_vocab < n_vocab:
        raise DataError(
            f"{config.weights} knows {shape.n_vocab} tokens, and the tokenizer {config.tokenizer!r} has "
            f"{n_vocab}"
        )
    if config.gate != "none" and max(1, config.layer_start) >= shape.n_layer:
        raise BadArgumentsError(
            f"layer_start = {config.layer_start} leaves no layer to seed: {config.weights} has the layers "
            f"0 to {shape.n_layer - 1}"
        )
    model = _of_shape(config, shape)
    load_into(model, tensors)
    return model


def make_model(config: Config, *, n_vocab: int) -> Rwkv7:
    """The model with uninitialised weights; the gates have their initial values."""
    rank = config.lora_rank or config.default_lora_rank
    shape = ModelShape(
        n_vocab=n_vocab,
        d_model=config.d_model,
        n_layer=config.n_layer,
        head_size=config.head_size,
        d_ffn=4 * config.d_model,
        rank_w=rank,
        rank_a=rank,
        rank_v=rank,
        rank_g=rank,
    )
    return _of_shape(config, shape)


def _of_shape(config: Config, shape: ModelShape) -> Rwkv7:
    if config.gate == "none":
        return Rwkv7(shape)
    seeds = FutureSeed(config, n_layer=shape.n_layer, n_head=shape.n_head, d_model=shape.d_model)
    return Rwkv7(shape, seeds)


def train(prepared: Prepared, context: Context) -> Iterator[Evaluation]:
    """Evaluations at the fixed points, the last at `max_steps`."""
    max_steps = context.max_steps
    if max_steps is None or max_steps < 1:
        raise BadArgumentsError(f"max_steps is {max_steps}: future_seed needs a number of steps, at least 1")
    points = evaluation_points(max_steps, context.eval_every)
    with reproducibly(context):
        run = Run(prepared, context)
        for step in range(run.steps_done + 1, max_steps + 1):
            run.step(next(run.batches), learning_rate_factor(prepared.config, step, max_steps))
            if step == context.keep_step:
                context.keep(run.state())
            if step in points:
                since = max((point for point in points if point < step), default=0)
                yield run.evaluation(step, since=since)


def resume(prepared: Prepared, state: TrainingState) -> Prepared:
    """What training goes on with, so that it ends in the bits of a run that never stopped."""
    prepared.model.load_state_dict(state.model)
    return replace(prepared, start=state)


def full_step(config: Config, context: Context) -> None:
    """A step and an evaluation, as in a run; raises what they raise."""
    prepared = prepare(config, context)
    with reproducibly(context):
        run = Run(prepared, context)
        run.step(run.exercise.longest(run.bsz), 1.0)
        run.evaluation(1)


class Run:
    """A model in training on its device."""

    def __init__(self, prepared: Prepared, context: Context) -> None:
        self.prepared = prepared
        self.config = prepared.config
        self.exercise = prepared.exercise
        self.run_dir = context.run_dir
        self.device = torch.device(context.device)
        self.dtype = torch.bfloat16 if self.config.precision == "bfloat16" else torch.float32
        # What is trained moves with the optimizer, what is frozen with the model.
        self.model = prepared.model.to(self.device)
        self.optimizer = prepared.optimizer
        self.optimizer.to(self.device)
        self.model.kernel, why = choose_kernel(self.device, self.dtype, self.model.shape.head_size)
        print(f"kernel {self.model.kernel}: {why}", flush=True)
        #: examples in a training batch
        self.bsz = context.bsz or BSZ
        self.batches = self.exercise.batches(seed=context.seed, bsz=self.bsz)
        #: of steps that no evaluation has asked for yet
        self.losses: list[Tensor] = []
        #: of the steps before those, from the first one on
        self.earlier_losses = torch.empty(0, device=self.device)
        if prepared.start is not None:
            self._go_on_from(prepared.start)

    def step(self, batch: Any, factor: float) -> None:
        """One step of the optimizer at `factor` times the peak learning rates."""
        loss = self.loss(batch)
        self.optimizer.step(loss, factor)
        # Not read here: on a CUDA device that would wait for the step.
        self.losses.append(loss.detach())

    def loss(self, batch: Any) -> Tensor:
        """Mean over the examples of a training batch, nat."""
        with self.precision():
            return self.exercise.losses(self.model, batch, self.device).mean()

    def precision(self) -> torch.autocast:
        """Within, matrices are multiplied as `precision` says."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    @property
    def steps_done(self) -> int:
        return len(self.earlier_losses) + len(self.losses)

    def state(self) -> TrainingState:
        """All that the steps to come depend on, as a copy."""
        return TrainingState(
            step=self.steps_done,
            model=on_the_cpu(self.model.state_dict()),
            optimizer=on_the_cpu(self.optimizer.adamw.state_dict()),
            position=dict(self.batches.position),
            losses=on_the_cpu(self._all_losses()),
        )

    def _go_on_from(self, start: TrainingState) -> None:
        # A copy, because the optimizer would go on to train in the tensors that it is given.
        self.optimizer.adamw.load_state_dict(on_the_cpu(start.optimizer))
        self.batches.position = start.position
        self.earlier_losses = start.losses.to(self.device)

    def _all_losses(self) -> Tensor:
        """Of every step done, those before the run went on from another's state included."""
        if self.losses:
            self.earlier_losses = torch.cat((self.earlier_losses, torch.stack(self.losses)))
            self.losses.clear()
        return self.earlier_losses

    def evaluation(self, step: int, *, since: int = 0) -> Evaluation:
        """The state of the run after `step` steps, on the frozen evaluation set.

        `since` is the step of the evaluation before, in a run that was never interrupted.
        """
        with self.precision():
            measured = self.exercise.measure(self.model, self.device, run_dir=self.run_dir, step=step)
        # Copied out of the whole: how a mean is rounded must not depend on where in memory it begins.
        train_loss = float(self._all_losses()[since:step].clone().mean())
        extra = {
            "exact_solve": measured.exact_solve,
            "acc_se": measured.acc_se,
            "train_loss": train_loss,
            **measured.extra,
            **self._gates(),
        }
        return Evaluation(
            step=step,
            loss=measured.loss,
            acc=measured.acc,
            scores=measured.scores,
            extra=extra,
            n_clusters=measured.n_clusters,
        )

    def _gates(self) -> dict[str, float]:
        """The gates by layer where they are numbers, or what they are without their input."""
        seeds = self.model.future_seed
        if seeds is None:
            return {}
        return {
            f"gate_l{seeds.first + index}": float(gate)
            for index, gate in enumerate(torch.sigmoid(seeds.alpha.detach()))
        }
