"""How is a model trained to answer a prompt, and how good are its answers?

The prompt is read with Future-Seed, and the terminal states of all layers begin a causal pass over the
answer, without Future-Seed and under teacher forcing. An answer whose every token is right under teacher
forcing is the one that the model writes when it is left alone, so that `exact_solve` needs no writing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainers.contract import Context
from trainers.future_seed.batches import onto
from trainers.future_seed.config import Config
from trainers.future_seed.measure import BATCH_POSITIONS, Measurement, masked_loss
from trainers.future_seed.model import Rwkv7
from trainers.future_seed.text.batches import DrawnBatches, aligned
from trainers.future_seed.text.building import TextSet, text_sets
from trainers.future_seed.text.execution import Executions
from trainers.future_seed.text.proteins import STRUCTURES
from trainers.future_seed.text.questions import LETTERS
from trainers.future_seed.text.tokens import tokenizer

#: the single characters that the answers of a task are made of
SYMBOLS = {"arc_mc": LETTERS, "protein_ss": STRUCTURES, "protein_contact": "01"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerBatch:
    """Prompts that end together and answers that begin together."""

    #: int64 [example, position], and bool: which are no filling
    prompts: Tensor
    prompts_real: Tensor
    #: the same of the answers
    answers: Tensor
    answers_real: Tensor

    def to(self, device: torch.device) -> AnswerBatch:
        if self.prompts.device == device:
            return self
        names = ("prompts", "prompts_real", "answers", "answers_real")
        moved = onto(device, *(getattr(self, name) for name in names))
        return AnswerBatch(**dict(zip(names, moved, strict=True)))


def collated(texts: TextSet, chosen: Sequence[int]) -> AnswerBatch:
    prompts, prompts_real = aligned([texts.prompt(example) for example in chosen], right=True)
    answers, answers_real = aligned([texts.answer(example) for example in chosen], right=False)
    return AnswerBatch(prompts=prompts, prompts_real=prompts_real, answers=answers, answers_real=answers_real)


def answer_logits(model: Rwkv7, batch: AnswerBatch) -> Tensor:
    """[example, position of the answer, vocabulary]: the model's guess of each token of the answer.

    The first is read off the end of the prompt. Of the prompt's other positions no logits are made: with the
    World vocabulary they would take more memory than all else.
    """
    hidden, states = model.read(batch.prompts, real=batch.prompts_real)
    hidden = hidden[:, -1:]
    if batch.answers.shape[1] > 1:
        rest, _ = model.read(batch.answers[:, :-1], states)
        hidden = torch.cat((hidden, rest), dim=1)
    return model.head(hidden)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """A text task with answers."""

    config: Config
    train: TextSet
    #: the frozen evaluation set
    evaluation: TextSet
    n_vocab: int
    #: int64 [symbol], the tokens of the task's symbols; empty where answers are free text
    symbols: Tensor
    #: of what the model writes, for tasks whose answers are programs
    executions: Executions | None

    @classmethod
    def of(cls, config: Config, context: Context) -> Answers:
        train, evaluation = text_sets(config, context.n_eval or config.n_eval, context.cache_dir)
        tokens = tokenizer(config.tokenizer)
        symbols = [number for symbol in SYMBOLS.get(config.task, "") for number in tokens.encode(symbol)]
        return cls(
            config=config,
            train=train,
            evaluation=evaluation,
            n_vocab=tokens.size,
            symbols=torch.tensor(symbols, dtype=torch.int64),
            executions=Executions.of(config, evaluation),
        )

    def batches(self, *, seed: int, bsz: int) -> DrawnBatches[AnswerBatch]:
        return DrawnBatches(
            lambda chosen: collated(self.train, chosen), n_examples=len(self.train), seed=seed, bsz=bsz
        )

    def longest(self, bsz: int) -> AnswerBatch:
        lengths = np.diff(self.train.prompt_ends, prepend=0) + np.diff(self.train.answer_ends, prepend=0)
        return collated(self.train, np.argsort(-lengths, kind="stable")[:bsz].tolist())

    def losses(self, model: Rwkv7, batch: AnswerBatch, device: torch.device) -> Tensor:
        batch = batch.to(device)
        return masked_loss(answer_logits(model, batch), batch.answers, batch.answers_real)

    @torch.no_grad()
    def measure(self, model: Rwkv7, device: torch.device, *, run_dir: Path | None, step: int) -> Measurement:
        tally = Tally(self)
        for chosen in self._evaluation_batches():
            batch = collated(self.evaluation, chosen).to(device)
            tally.add(answer_logits(model, batch), batch, chosen)
        measured = tally.measurement()
        if self.executions is None:
            return measured
        executed = self.executions.rates(model, device, run_dir=run_dir, step=step)
        return replace(measured, extra={**measured.extra, **executed})

    def _evaluation_batches(self) -> Iterator[list[int]]:
        longest = int(np.diff(self.evaluation.prompt_ends, prepend=0).max())
        size = max(1, BATCH_POSITIONS // longest)
        for begin in range(0, len(self.evaluation), size):
            yield list(range(begin, min(begin + size, len(self.evaluation))))


class Tally:
    """Adds up what batches of evaluation examples show."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._losses: list[Tensor] = []
        self._scores: list[Tensor] = []
        self._right = self._counted = 0
        #: of answers of bits: how much more likely is 1, and is it true
        self._margins: list[Tensor] = []
        self._bits: list[Tensor] = []

    def add(self, logits: Tensor, batch: AnswerBatch, chosen: Sequence[int]) -> None:
        self._losses.append(masked_loss(logits, batch.answers, batch.answers_real).cpu())
        right = (self._guesses(logits, chosen) == batch.answers) & batch.answers_real
        counts = batch.answers_real.sum(dim=1)
        self._scores.append((right.sum(dim=1) / counts).float().cpu())
        self._right += int(right.sum())
        self._counted += int(counts.sum())
        if self._answers.config.task == "protein_contact":
            zero, one = self._answers.symbols.tolist()
            margins = logits[..., one].float() - logits[..., zero].float()
            self._margins.append(margins[batch.answers_real].cpu())
            self._bits.append((batch.answers == one)[batch.answers_real].cpu())

    def _guesses(self, logits: Tensor, chosen: Sequence[int]) -> Tensor:
        """The likeliest token; where an answer is made of symbols, the likeliest of those it may have."""
        symbols = self._answers.symbols.to(logits.device)
        if not len(symbols):
            return logits.argmax(dim=-1)
        counts = torch.tensor(self._answers.evaluation.n_symbols[list(chosen)], device=logits.device)
        usable = torch.arange(len(symbols), device=logits.device) < counts[:, None]
        likelihood = logits[..., symbols].float().masked_fill(~usable[:, None], float("-inf"))
        return symbols[likelihood.argmax(dim=-1)]

    def measurement(self) -> Measurement:
        return Measurement(
            loss=float(torch.cat(self._losses).double().mean()),
            scores=torch.cat(self._scores).numpy(),
            clusters=self._answers.evaluation.clusters,
            extra={"token_acc": self._right / self._counted, **self._extra()},
        )

    def _extra(self) -> dict[str, float]:
        evaluation = self._answers.evaluation
        counts = evaluation.n_symbols
        chance = float((1.0 / np.where(counts > 0, counts, self._answers.n_vocab)).mean())
        match self._answers.config.task:
            case "protein_ss":
                return {"chance": chance, "constant_floor": constant_floor(self._answers.train, evaluation)}
            case "protein_contact":
                return {"chance": chance, **contact_scores(torch.cat(self._margins), torch.cat(self._bits))}
        return {"chance": chance}


def constant_floor(train: TextSet, evaluation: TextSet) -> float:
    """The mean score of whoever always says the symbol that is most frequent in training."""
    values, counts = np.unique(train.answers, return_counts=True)
    constant = evaluation.answers == values[counts.argmax()]
    examples = range(len(evaluation))
    ends = evaluation.answer_ends
    return float(np.mean([constant[ends[e - 1] if e else 0 : ends[e]].mean() for e in examples]))


def contact_scores(margins: Tensor, bits: Tensor) -> dict[str, Any]:
    """Balanced accuracy; AUC: how often a pair that touches has the greater margin than one that does not."""
    values, truth = margins.double().numpy(), bits.numpy()
    touching, apart = values[truth], np.sort(values[~truth])
    below = np.searchsorted(apart, touching, side="left") + np.searchsorted(apart, touching, side="right")
    return {
        "balanced_acc": float(((touching > 0).mean() + (apart <= 0).mean()) / 2),
        "auc": float(below.mean() / (2 * len(apart))),
    }
