"""How is a model trained on a generated task, and when is it measured?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trainers._fixed_points import evaluation_points
from trainers._lr_schedule import learning_rate_factor
from trainers._reproducible import reproducibly
from trainers._torch_state import on_the_cpu
from trainers.contract import BadArgumentsError, Context, Evaluation
from trainers.future_seed.batches import Batch, TrainingBatches
from trainers.future_seed.config import N_EVAL, Config
from trainers.future_seed.initial import initialise
from trainers.future_seed.kernel import choose_kernel
from trainers.future_seed.layouts import Layout
from trainers.future_seed.measure import ceilings, masked_loss, measure
from trainers.future_seed.model import ModelShape, Rwkv7
from trainers.future_seed.optimizer import Optimizer
from trainers.future_seed.resumption import TrainingState
from trainers.future_seed.seeding import FutureSeed
from trainers.future_seed.tasks import Examples, Task, count_clusters, evaluation_set, make_task

#: examples in a training batch where the context leaves it open
BSZ = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What training begins with, on the CPU. `train` uses it up."""

    config: Config
    task: Task
    layout: Layout
    model: Rwkv7
    #: of the model's parameters, which it takes to the device
    optimizer: Optimizer
    #: the frozen evaluation set; `clusters` names the solution that each example was made from
    examples: Examples
    #: the best that any model can reach, by name, where it is known
    ceilings: Mapping[str, float]
    #: where training goes on; None at the beginning
    start: TrainingState | None = None


def prepare(config: Config, context: Context) -> Prepared:
    """Evaluation set and initial weights. Equal arguments and seed give equal bits."""
    torch.set_num_threads(context.threads)
    task = make_task(config)
    # The task's values come first in the vocabulary, then the two tokens of the layout.
    layout = Layout(name=config.layout, mask_token=task.n_value, answer_token=task.n_value + 1)
    model = make_model(config, n_vocab=task.n_value + 2)
    initialise(model, torch.Generator().manual_seed(context.seed))
    return Prepared(
        config=config,
        task=task,
        layout=layout,
        model=model,
        # The first optimizer of a process imports a second's worth of torch: better here than in the run.
        optimizer=Optimizer(model, config),
        examples=evaluation_set(task, context.n_eval or config.n_eval or N_EVAL),
        ceilings=ceilings(config, context.cache_dir),
    )


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
    if config.gate == "none":
        return Rwkv7(shape)
    seeds = FutureSeed(config, n_layer=config.n_layer, n_head=config.n_head, d_model=config.d_model)
    return Rwkv7(shape, seeds)


def train(prepared: Prepared, context: Context) -> Iterator[Evaluation]:
    """Evaluations at the fixed points, the last at `max_steps`. Writes no file."""
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
        run.step(next(run.batches), 1.0)
        run.evaluation(1)


class Run:
    """A model in training on its device."""

    def __init__(self, prepared: Prepared, context: Context) -> None:
        self.prepared = prepared
        self.config = prepared.config
        self.device = torch.device(context.device)
        self.dtype = torch.bfloat16 if self.config.precision == "bfloat16" else torch.float32
        # What is trained moves with the optimizer, what is frozen with the model.
        self.model = prepared.model.to(self.device)
        self.optimizer = prepared.optimizer
        self.optimizer.to(self.device)
        self.model.kernel, why = choose_kernel(self.device, self.dtype, self.config.head_size)
        print(f"kernel {self.model.kernel}: {why}", flush=True)
        self.batches = TrainingBatches(prepared.task, seed=context.seed, bsz=context.bsz or BSZ)
        #: of steps that no evaluation has asked for yet
        self.losses: list[Tensor] = []
        #: of the steps before those, from the first one on
        self.earlier_losses = torch.empty(0, device=self.device)
        if prepared.start is not None:
            self._go_on_from(prepared.start)

    def step(self, batch: Batch, factor: float) -> None:
        """One step of the optimizer at `factor` times the peak learning rates."""
        batch = batch.to(self.device)
        loss = masked_loss(self.logits(batch), batch).mean()
        self.optimizer.step(loss, factor)
        # Not read here: on a CUDA device that would wait for the step.
        self.losses.append(loss.detach())

    def logits(self, batch: Batch) -> Tensor:
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.prepared.layout.logits(self.model, batch)

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
        measured = measure(self.logits, self.prepared.examples, self.device)
        # Copied out of the whole: how a mean is rounded must not depend on where in memory it begins.
        train_loss = float(self._all_losses()[since:step].clone().mean())
        extra = {
            "exact_solve": measured.exact_solve,
            "acc_se": measured.acc_se,
            "train_loss": train_loss,
            "chance": 1.0 / self.prepared.task.n_value,
            **self.prepared.ceilings,
            **self._gates(),
        }
        return Evaluation(
            step=step,
            loss=measured.loss,
            acc=measured.acc,
            scores=measured.scores,
            extra=extra,
            n_clusters=count_clusters(self.prepared.examples),
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
