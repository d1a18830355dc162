"""How else would the same model be trained? The loops that the trainer is compared with.

All have the trainer's model, weights, examples and schedule of calls; what differs is how it is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional

from trainers.contract import Context
from trainers.future_seed import Config, model, training
from trainers.future_seed.batches import Batch, as_batch
from trainers.future_seed.exercise import Puzzles
from trainers.future_seed.training import Run

#: examples that the loop by hand evaluates, one by one
BY_HAND_EXAMPLES = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to train and to evaluate."""

    name: str
    run: Run
    loss: Callable[[Batch], Tensor]
    step: Callable[[], None]
    #: gives the number of examples it evaluated
    evaluate: Callable[[], int]


def surroundings(*, device: str, threads: int, bsz: int, cache: Path) -> Context:
    return Context(
        seed=0,
        stage="quick",
        max_steps=10**6,
        time_budget_sec=1e9,
        eval_every=None,
        n_eval=1024,
        bsz=bsz,
        device=device,
        threads=threads,
        cache_dir=cache,
    )


def ways(config: Config, context: Context) -> list[Way]:
    """By hand, with a call for each parameter, and the trainer, each with a model of its own."""
    with redirect_stdout(StringIO()):
        runs = [Run(training.prepare(config, context), context) for _ in range(3)]
    return [by_hand(runs[0]), a_call_each(runs[1]), the_trainer(runs[2])]


def by_hand(run: Run) -> Way:
    """The plain loop: a step of the recurrence at a time, AdamW as it comes, one example after the other."""
    optimizer = torch.optim.AdamW(run.model.parameters(), lr=run.config.lr, betas=run.config.betas)

    def logits(batch: Batch) -> Tensor:
        with one_step_at_a_time(), precision(run):
            return puzzles(run).layout.logits(run.model, batch)

    def loss(batch: Batch) -> Tensor:
        batch = on(batch, run.device)
        return functional.cross_entropy(logits(batch)[batch.masked].float(), batch.tokens[batch.masked])

    def step() -> None:
        value = loss(next(run.batches))
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(run.model.parameters(), run.config.clip_grad)
        optimizer.step()
        value.item()

    @torch.no_grad()
    def evaluate() -> int:
        right = 0
        for batch in list(as_batch(puzzles(run).examples).split(1))[:BY_HAND_EXAMPLES]:
            batch = on(batch, run.device)
            guess = logits(batch)[batch.masked].argmax(dim=-1)
            right += int((guess == batch.tokens[batch.masked]).sum())
        return BY_HAND_EXAMPLES

    return Way(name="a loop by hand", run=run, loss=loss, step=step, evaluate=evaluate)


def a_call_each(run: Run) -> Way:
    """The trainer's model with an optimizer of one tensor a parameter, as the trainer once had."""
    groups = [
        {"params": block.parameters, "weight_decay": group["weight_decay"], "lr": group["peak_lr"]}
        for block, group in zip(run.optimizer.blocks, run.optimizer.adamw.param_groups, strict=True)
    ]
    optimizer = torch.optim.AdamW(groups, lr=run.config.lr, betas=run.config.betas, fused=True)

    def step() -> None:
        value = trainers_loss(run, next(run.batches))
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(run.model.parameters(), run.config.clip_grad)
        optimizer.step()

    return Way(
        name="the trainer, a call each parameter",
        run=run,
        loss=lambda batch: trainers_loss(run, batch),
        step=step,
        evaluate=lambda: evaluated(run),
    )


def the_trainer(run: Run) -> Way:
    def step() -> None:
        run.step(next(run.batches), 1.0)
        run.losses.clear()

    return Way(
        name="the trainer",
        run=run,
        loss=lambda batch: trainers_loss(run, batch),
        step=step,
        evaluate=lambda: evaluated(run),
    )


def trainers_loss(run: Run, batch: Batch) -> Tensor:
    return run.loss(batch)


def evaluated(run: Run) -> int:
    with run.precision():
        run.exercise.measure(run.model, run.device, run_dir=None, step=0)
    return len(puzzles(run).examples.tokens)


def puzzles(run: Run) -> Puzzles:
    assert isinstance(run.exercise, Puzzles)
    return run.exercise


def on(batch: Batch, device: torch.device) -> Batch:
    return Batch(tokens=batch.tokens.to(device), masked=batch.masked.to(device))


def precision(run: Run) -> torch.autocast | nullcontext[None]:
    if run.dtype == torch.float32:
        return nullcontext()
    return torch.autocast(run.device.type, run.dtype)


@contextmanager
def one_step_at_a_time() -> Iterator[None]:
    """Within, the recurrence is a loop over time."""
    with mock.patch.object(model, "wkv7", _loop):
        yield


def _loop(
    r: Tensor,
    log_w: Tensor,
    k: Tensor,
    v: Tensor,
    a: Tensor,
    b: Tensor,
    state: Tensor | None = None,
    *,
    kernel: str,
) -> tuple[Tensor, Tensor]:
    r, w, k, v, a, b = (x.float() for x in (r, log_w.exp(), k, v, a, b))
    if state is None:
        state = v.new_zeros(v.shape[0], v.shape[2], v.shape[3], v.shape[3])
    outputs = []
    with torch.autocast(v.device.type, enabled=False):
        for t in range(v.shape[1]):
            correction = (state @ a[:, t].unsqueeze(-1)) * b[:, t].unsqueeze(-2)
            written = v[:, t].unsqueeze(-1) * k[:, t].unsqueeze(-2)
            state = state * w[:, t].unsqueeze(-2) + correction + written
            outputs.append((state @ r[:, t].unsqueeze(-1)).squeeze(-1))
    return torch.stack(outputs, dim=1), state
