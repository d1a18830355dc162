"""Does a frozen model tell which document answers a question, through a small trained head?

The head and Future-Seed's gates learn, the backbone does not. A text's embedding is the mean of what the
model holds at its positions, mapped by the head, of length one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trainers.contract import Context, DataError
from trainers.future_seed.batches import onto
from trainers.future_seed.config import Config
from trainers.future_seed.measure import BATCH_POSITIONS, Measurement
from trainers.future_seed.model import Rwkv7
from trainers.future_seed.text.batches import DrawnBatches, aligned
from trainers.future_seed.text.building import TextSet, text_sets
from trainers.future_seed.text.tokens import tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class PairBatch:
    """Questions and their documents; all end together."""

    questions: Tensor
    questions_real: Tensor
    documents: Tensor
    documents_real: Tensor
    #: int64 [example], equal for pairs with the same document
    clusters: Tensor


def collated(texts: TextSet, chosen: Sequence[int]) -> PairBatch:
    questions, questions_real = aligned([texts.prompt(example) for example in chosen], right=True)
    documents, documents_real = aligned([texts.answer(example) for example in chosen], right=True)
    return PairBatch(
        questions=questions,
        questions_real=questions_real,
        documents=documents,
        documents_real=documents_real,
        clusters=torch.from_numpy(texts.clusters[list(chosen)].copy()),
    )


def embedded(model: Rwkv7, tokens: Tensor, real: Tensor) -> Tensor:
    """[text, embedding_dim], of length one."""
    assert model.embedding is not None
    hidden, _ = model.read(tokens, real=real)
    kept = hidden.float().masked_fill(~real.unsqueeze(-1), 0.0)
    mean = kept.sum(dim=1) / real.sum(dim=1, keepdim=True)
    return functional.normalize(model.embedding(mean).float(), dim=-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """Questions, and the documents among which theirs is to be found."""

    config: Config
    train: TextSet
    evaluation: TextSet
    n_vocab: int

    @classmethod
    def of(cls, config: Config, context: Context) -> Retrieval:
        train, evaluation = text_sets(config, context.n_eval or config.n_eval, context.cache_dir)
        if (found := len(np.unique(evaluation.clusters))) < 2:
            raise DataError(f"Only built {found} documents to be told apart (wanted 2): give more data")
        return cls(
            config=config, train=train, evaluation=evaluation, n_vocab=tokenizer(config.tokenizer).size
        )

    def batches(self, *, seed: int, bsz: int) -> DrawnBatches[PairBatch]:
        return DrawnBatches(
            lambda chosen: collated(self.train, chosen), n_examples=len(self.train), seed=seed, bsz=bsz
        )

    def longest(self, bsz: int) -> PairBatch:
        lengths = np.diff(self.train.answer_ends, prepend=0)
        return collated(self.train, np.argsort(-lengths, kind="stable")[:bsz].tolist())

    def losses(self, model: Rwkv7, batch: PairBatch, device: torch.device) -> Tensor:
        """By its question each document of the batch is to be told from the others, and the other way."""
        questions = embedded(model, *onto(device, batch.questions, batch.questions_real))
        documents = embedded(model, *onto(device, batch.documents, batch.documents_real))
        likeness = questions @ documents.T / self.config.temperature
        (clusters,) = onto(device, batch.clusters)
        # Another pair with the same document is no wrong answer.
        same = clusters[:, None] == clusters[None]
        same.fill_diagonal_(False)
        likeness = likeness.masked_fill(same, float("-inf"))
        labels = torch.arange(len(likeness), device=device)
        there = functional.cross_entropy(likeness, labels, reduction="none")
        back = functional.cross_entropy(likeness.T, labels, reduction="none")
        return (there + back) / 2

    @torch.no_grad()
    def measure(self, model: Rwkv7, device: torch.device, *, run_dir: Path | None, step: int) -> Measurement:
        """The score of a question is 1 where its document comes first among all of the evaluation set."""
        texts = self.evaluation
        _, firsts, documents = np.unique(texts.clusters, return_index=True, return_inverse=True)
        likeness = (
            self._embedded(model, [texts.prompt(e) for e in range(len(texts))], device)
            @ self._embedded(model, [texts.answer(e) for e in firsts.tolist()], device).T
        ) / self.config.temperature
        right = torch.from_numpy(documents.astype(np.int64))
        own = likeness.gather(1, right[:, None])
        ranks = 1 + (likeness > own).sum(dim=1)
        return Measurement(
            loss=float(functional.cross_entropy(likeness.double(), right)),
            scores=(ranks == 1).float().numpy(),
            clusters=texts.clusters,
            extra={
                "r1": float((ranks == 1).double().mean()),
                "r5": float((ranks <= 5).double().mean()),
                "mrr10": float(torch.where(ranks <= 10, 1.0 / ranks.double(), 0.0).mean()),
                "chance": 1.0 / len(firsts),
            },
        )

    def _embedded(self, model: Rwkv7, texts: list[np.ndarray], device: torch.device) -> Tensor:
        size = max(1, BATCH_POSITIONS // max(map(len, texts)))
        parts = [
            embedded(model, *onto(device, *aligned(texts[begin : begin + size], right=True))).cpu()
            for begin in range(0, len(texts), size)
        ]
        return torch.cat(parts)
