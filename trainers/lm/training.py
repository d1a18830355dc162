"""How is a model trained on a text, and when is it measured?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trainers._fixed_points import evaluation_points
from trainers._lr_schedule import learning_rate_factor
from trainers._reproducible import reproducibly
from trainers._torch_state import on_the_cpu
from trainers.contract import BadArgumentsError, Context, Evaluation
from trainers.lm.batches import TrainingBatches
from trainers.lm.config import N_EVAL, Config
from trainers.lm.corpus import Corpus, Windows, corpus, windows
from trainers.lm.model import ModelShape, Transformer
from trainers.lm.optimizer import Optimizer
from trainers.lm.resumption import TrainingState
from trainers.lm.snapshots import append, snapshots, suite_metrics

#: windows in a training batch where the context leaves it open
BSZ = 8

#: `loss_best` is the lowest mean loss of so many training batches in a row: that of one is luck
BATCHES_OF_BEST = 3

#: tokens in an evaluation batch; bounds its memory whatever the windows' length
BATCH_TOKENS = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What training begins with, on the CPU. `train` uses it up."""

    config: Config
    corpus: Corpus
    #: the frozen validation set
    validation: Windows
    model: Transformer
    #: where training goes on; None at the beginning
    start: TrainingState | None = None


def prepare(config: Config, context: Context) -> Prepared:
    """Text in tokens, validation set and first weights. Equal arguments and seed give equal bits."""
    torch.set_num_threads(context.threads)
    text = corpus(config, context.cache_dir)
    model = make_model(config, n_vocab=text.tokenizer.n_vocab)
    seed = context.seed + config.seed_shift if config.init_seed is None else config.init_seed
    model.initialise(torch.Generator().manual_seed(seed))
    # The first optimizer of a process imports a second's worth of torch: better here than in the run.
    Optimizer(model, config)
    return Prepared(
        config=config,
        corpus=text,
        validation=windows(config, text, context.n_eval or config.n_eval or N_EVAL),
        model=model,
    )


def make_model(config: Config, *, n_vocab: int) -> Transformer:
    """The model, its weights not yet those of a seed."""
    return Transformer(
        ModelShape(
            n_vocab=n_vocab,
            d_model=config.d_model,
            n_layer=config.n_layer,
            n_head=config.n_head,
            context=config.context,
        )
    )


def train(prepared: Prepared, context: Context) -> Iterator[Evaluation]:
    """Evaluations at the fixed points, the first at step 0, the last at `max_steps`."""
    max_steps = context.max_steps
    if max_steps is None or max_steps < 1:
        raise BadArgumentsError(f"max_steps is {max_steps}: lm needs a number of steps, at least 1")
    points = evaluation_points(max_steps, context.eval_every)
    with reproducibly(context):
        run = Run(prepared, context)
        if run.steps_done == 0:
            yield run.evaluation(0, reads_prompts=True)
        for step in range(run.steps_done + 1, max_steps + 1):
            run.step(next(run.batches), learning_rate_factor(prepared.config, step, max_steps))
            if step == context.keep_step:
                context.keep(run.state())
            if step in points:
                since = max((point for point in points if point < step), default=0)
                is_due = step == max_steps or run.prompts_are_due(since, step)
                yield run.evaluation(step, since=since, reads_prompts=is_due)


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
        self.config = prepared.config
        self.corpus = prepared.corpus
        self.validation = prepared.validation
        self.run_dir = context.run_dir
        self.device = torch.device(context.device)
        self.dtype = torch.bfloat16 if self.config.precision == "bfloat16" else torch.float32
        self.model = prepared.model.to(self.device)
        self.optimizer = Optimizer(self.model, self.config)
        data_seed = self.config.data_seed
        self.batches = TrainingBatches(
            prepared.corpus.train,
            context=self.config.context,
            seed=context.seed + self.config.seed_shift if data_seed is None else data_seed,
            bsz=context.bsz or BSZ,
        )
        #: of steps that no evaluation has asked for yet
        self.losses: list[Tensor] = []
        #: of the steps before those, from the first one on
        self.earlier_losses = torch.empty(0, device=self.device)
        if prepared.start is not None:
            self._go_on_from(prepared.start)

    def step(self, batch: Tensor, factor: float) -> None:
        """One step of the optimizer at `factor` times the peak learning rates."""
        batch = batch.to(self.device)
        logits = self.logits(batch[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1).float(), batch[:, 1:].flatten())
        self.optimizer.step(loss, factor)
        # Not read here: on a CUDA device that would wait for the step.
        self.losses.append(loss.detach())

    def logits(self, tokens: Tensor) -> Tensor:
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.model(tokens)

    @property
    def steps_done(self) -> int:
        return len(self.earlier_losses) + len(self.losses)

    @property
    def tokens_of_a_step(self) -> int:
        return self.batches.bsz * self.config.context

    def state(self) -> TrainingState:
        """All that the steps to come depend on, as a copy."""
        return TrainingState(
            step=self.steps_done,
            model=on_the_cpu(self.model.state_dict()),
            optimizer=on_the_cpu(self.optimizer.state()),
            position=dict(self.batches.position),
            losses=on_the_cpu(self._all_losses()),
        )

    def _go_on_from(self, start: TrainingState) -> None:
        # A copy, because the optimizer would go on to train in the tensors that it is given.
        self.optimizer.load(on_the_cpu(start.optimizer))
        self.batches.position = start.position
        self.earlier_losses = start.losses.to(self.device)

    def _all_losses(self) -> Tensor:
        """Of every step done, those before the run went on from another's state included."""
        if self.losses:
            self.earlier_losses = torch.cat((self.earlier_losses, torch.stack(self.losses)))
            self.losses.clear()
        return self.earlier_losses

    def prompts_are_due(self, since: int, step: int) -> bool:
        """Whether `prompt_every` asks for the suite at the evaluation of `step`, the one after `since`."""
        every = self.config.prompt_every
        return every is not None and step // every > since // every

    def evaluation(self, step: int, *, since: int = 0, reads_prompts: bool = False) -> Evaluation:
        """The state of the run after `step` steps, on the frozen validation set.

        `since` is the step of the evaluation before, in a run that was never interrupted.
        """
        begun = time.monotonic()
        loss, scores = self._measured()
        extra = {"tokens_seen": float(step * self.tokens_of_a_step)}
        if step > 0:
            extra |= self._train_losses(since, step)
        if reads_prompts:
            extra |= self._read_prompts(step)
        return Evaluation(
            step=step,
            loss=loss,
            acc=float(scores.mean(dtype=np.float64)),
            scores=scores,
            extra=extra,
            n_clusters=len(np.unique(self.validation.documents)),
            eval_seconds=time.monotonic() - begun,
        )

    def _train_losses(self, since: int, step: int) -> dict[str, float]:
        """The mean of the training batches since the evaluation before, and the lowest of a few in a row."""
        losses = self._all_losses()[:step].cpu()
        few = losses.unfold(0, min(step, BATCHES_OF_BEST), 1).mean(dim=1)
        # Copied out of the whole: how a mean is rounded must not depend on where in memory it begins.
        return {"train_loss": float(losses[since:].clone().mean()), "loss_best": float(few.min())}

    @torch.no_grad()
    def _measured(self) -> tuple[float, np.ndarray]:
        """Mean loss, nat per token, and for each window the share of its tokens that are right."""
        losses, right = [], []
        size = max(1, BATCH_TOKENS // self.config.context)
        for batch in torch.from_numpy(self.validation.tokens).split(size):
            batch = batch.to(self.device)
            logits, targets = self.logits(batch[:, :-1]).float(), batch[:, 1:]
            loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
            losses.append(loss.view(targets.shape).mean(dim=1))
            right.append((logits.argmax(dim=-1) == targets).float().mean(dim=1))
        # Read once, at the end: on a CUDA device each reading waits for all that was asked of it.
        return float(torch.cat(losses).double().mean().cpu()), torch.cat(right).cpu().numpy()

    def _read_prompts(self, step: int) -> dict[str, float]:
        rows = snapshots(
            self.config,
            self.corpus.tokenizer,
            self.logits,
            self.device,
            step=step,
            tokens_seen=step * self.tokens_of_a_step,
        )
        if self.run_dir is not None:
            append(self.run_dir, rows)
        return suite_metrics(rows)
