"""Which examples train and which evaluate, and which tokens are they? Made once, and then kept by content."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainers.contract import DataError
from trainers.future_seed.config import N_EVAL, Config
from trainers.future_seed.text import proteins, questions
from trainers.future_seed.text.arguments import READS
from trainers.future_seed.text.items import (
    BUILDER_VERSION,
    Item,
    UnusableRowError,
    digest,
    is_held_out,
    words,
)
from trainers.future_seed.text.sources import Row, digest_of, read_rows
from trainers.future_seed.text.tokens import END, Tokenizer, tokenizer, tokenizer_digest
from trainers.prepared_data import prepared_arrays

#: items whose notes may stand in the prompts of others
NOTES = 1024

#: arguments that alter no token; of the sources it is the content that does
NOT_OF_THE_TOKENS = {
    "data",
    "eval_data",
    "weights",
    "executed",
    "execution_seconds",
    "execution_memory_mib",
} | {
    "embedding_dim",
    "temperature",
}

#: kinds of unusable rows that a failure names
REASONS_SHOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSet:
    """Examples of one side, as tokens side by side."""

    #: int32 [token], of all prompts (or questions), one after the other; and int64 [example], where each ends
    prompts: np.ndarray
    prompt_ends: np.ndarray
    #: the same of all answers (or documents)
    answers: np.ndarray
    answer_ends: np.ndarray
    #: int64 [example], equal for examples that share a document or a protein
    clusters: np.ndarray
    #: int64 [example]: the answer is one of the first so many symbols of the task; 0 where it is free text
    n_symbols: np.ndarray
    #: uint8, JSON of what else is needed to judge each answer
    checks_json: np.ndarray

    def __len__(self) -> int:
        return len(self.clusters)

    def prompt(self, example: int) -> np.ndarray:
        return _part(self.prompts, self.prompt_ends, example)

    def answer(self, example: int) -> np.ndarray:
        return _part(self.answers, self.answer_ends, example)

    @property
    def checks(self) -> list[dict[str, Any]]:
        return json.loads(self.checks_json.tobytes())


def _part(tokens: np.ndarray, ends: np.ndarray, example: int) -> np.ndarray:
    return tokens[ends[example - 1] if example else 0 : ends[example]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """An item as tokens."""

    item: Item
    prompt: list[int]
    answer: list[int]


def text_sets(config: Config, n_eval: int | None, cache_dir: Path) -> tuple[TextSet, TextSet]:
    """The training and the evaluation set.

    `n_eval` examples, or as many as there are up to N_EVAL where it is None. Raises DataError with the
    numbers where there are too few.
    """
    key = {
        "what": "future_seed: text",
        "builder": BUILDER_VERSION,
        "arguments": {name: getattr(config, name) for name in sorted(READS[config.task] - NOT_OF_THE_TOKENS)},
        "task": config.task,
        "sources": [digest_of(source)[0] for source in (config.data, config.eval_data) if source],
        "tokenizer": tokenizer_digest(config.tokenizer)[0],
        "n_eval": n_eval,
    }

    def made() -> dict[str, np.ndarray]:
        train, evaluation = _built(config, n_eval)
        sides = {"train": _arrays(train), "eval": _arrays(evaluation)}
        return {f"{side}_{name}": array for side, arrays in sides.items() for name, array in arrays.items()}

    arrays = prepared_arrays(cache_dir, key, made)
    train, evaluation = (
        TextSet(**{name.removeprefix(side): array for name, array in arrays.items() if name.startswith(side)})
        for side in ("train_", "eval_")
    )
    return train, evaluation


def _built(config: Config, n_eval: int | None) -> tuple[list[Example], list[Example]]:
    reasons: Counter[str] = Counter()
    evaluation_items, train_items = _sides(config, reasons)
    build = Builder(config, tokenizer(config.tokenizer), train_items)
    # The prompts of both sides hold notes of training items only.
    evaluation = _taken(build, evaluation_items, n_eval, "n_eval", reasons, at_most=N_EVAL)
    train = _taken(build, train_items, config.n_train, "n_train", reasons)
    return train, evaluation


def _sides(config: Config, reasons: Counter[str]) -> tuple[list[Item], list[Item]]:
    """Those that evaluate and those that train, each in an order that only their content decides."""
    assert config.data is not None
    items = list(_items(config, config.data, reasons))
    if config.eval_data is None:
        evaluation = [item for item in items if is_held_out(item.cluster)]
    else:
        evaluation = list(_items(config, config.eval_data, reasons))
    keys, clusters = ({getattr(item, name) for item in evaluation} for name in ("key", "cluster"))
    train = [item for item in items if item.key not in keys and item.cluster not in clusters]
    if config.eval_data is not None and len(train) < len(items):
        print(f"{len(items) - len(train)} training items are left out: they evaluate", flush=True)
    return _ordered(evaluation), _ordered(train)


def _ordered(items: list[Item]) -> list[Item]:
    return sorted(items, key=lambda item: digest(item.key))


def _items(config: Config, source: str, reasons: Counter[str]) -> Iterator[Item]:
    """Each item once, however often its rows stand in the source."""
    seen: set[str] = set()
    for number, row in enumerate(read_rows(source), start=1):
        try:
            item = item_of(row, config)
        except UnusableRowError as error:
            reasons[str(error)] += 1
            continue
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise DataError(f"row {number} of {source} is malformed: {error!r}") from error
        if item.key in seen:
            reasons["the same as another"] += 1
            continue
        seen.add(item.key)
        yield item


def item_of(row: Row, config: Config) -> Item:
    """Raises UnusableRowError for a row that makes none."""
    match config.task:
        case "arc_mc":
            return questions.arc_mc(row, config.order)
        case "hotpot":
            return questions.hotpot(row, config.order)
        case "mbpp":
            return questions.mbpp(row, config.order)
        case "squad":
            return questions.squad(row, config.order)
        case "punc_restore":
            return questions.punc_restore(row, (config.characters_min, config.characters_max))
        case "protein_ss":
            return proteins.protein_ss(row, config)
        case "protein_contact":
            return proteins.protein_contact(row, config)
        case "retrieval_embedding":
            return questions.retrieval_embedding(row)
    raise AssertionError(f"{config.task} is no text task")


def _taken(
    build: Builder,
    items: Iterable[Item],
    wanted: int | None,
    argument: str,
    reasons: Counter[str],
    *,
    at_most: int | None = None,
) -> list[Example]:
    """The first `wanted` items that fit into the window; without a number all of them, `at_most` so many."""
    examples: list[Example] = []
    reasons = reasons.copy()
    for item in items:
        if len(examples) == (wanted or at_most):
            break
        try:
            examples.append(build(item))
        except UnusableRowError as error:
            reasons[str(error)] += 1
    if len(examples) < (wanted or 1):
        counted = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(REASONS_SHOWN))
        raise DataError(
            f"Only built {len(examples)} examples (wanted {wanted or 1}) for {argument}; left out: "
            f"{counted or 'none'}. Lower {argument}, widen the limits of the task, or give more data"
        )
    return examples


class Builder:
    """Makes an item's tokens, in a window that notes fill."""

    def __init__(self, config: Config, tokens: Tokenizer, train_items: list[Item]) -> None:
        self._config = config
        self._tokens = tokens
        noted = [item for item in train_items if item.note] if self._fills else []
        self._notes = [
            (item, words(item.note or ""), tokens.encode(item.note or "")) for item in noted[:NOTES]
        ]

    @property
    def _fills(self) -> bool:
        return self._config.fill_window and "fill_window" in READS[self._config.task]

    def __call__(self, item: Item) -> Example:
        if self._config.task == "retrieval_embedding":
            return self._pair(item)
        before, after = self._tokens.encode(item.before), self._tokens.encode(item.after)
        room = self._config.prompt_tokens_max - len(before) - len(after)
        if room < 0:
            raise UnusableRowError(f"more than {self._config.prompt_tokens_max} tokens without what may go")
        middle = self._noted(item, room) if self._fills else self._fitting(item, room)
        prompt = [*before, *middle, *after]
        if len(prompt) < self._config.prompt_tokens_min:
            raise UnusableRowError(f"fewer than {self._config.prompt_tokens_min} tokens")
        return Example(item=item, prompt=prompt, answer=self._answer(item))

    def _answer(self, item: Item) -> list[int]:
        if item.symbols:
            return [self._symbol(symbol) for symbol in item.answer]
        answer = [*self._tokens.encode(item.answer), END]
        if len(answer) > self._config.answer_tokens_max:
            raise UnusableRowError(f"an answer of more than {self._config.answer_tokens_max} tokens")
        return answer

    def _symbol(self, symbol: str) -> int:
        (token,) = self._tokens.encode(symbol)
        return token

    def _pair(self, item: Item) -> Example:
        question = self._tokens.encode(item.before)[: self._config.question_tokens_max]
        document = self._tokens.encode(item.answer)[: self._config.prompt_tokens_max]
        if len(document) < self._config.prompt_tokens_min:
            raise UnusableRowError(f"fewer than {self._config.prompt_tokens_min} tokens")
        return Example(item=item, prompt=question, answer=document)

    def _fitting(self, item: Item, room: int) -> list[int]:
        """The paragraphs; those that are not needed are left out from the last on until the rest fits."""
        kept = [(part, self._tokens.encode(part.text)) for part in item.paragraphs]
        for part, tokens in reversed(kept.copy()):
            if sum(len(tokens) for _, tokens in kept) <= room:
                break
            if not part.is_needed:
                kept.remove((part, tokens))
        if sum(len(tokens) for _, tokens in kept) > room:
            raise UnusableRowError(f"more than {self._config.prompt_tokens_max} tokens without what may go")
        return [token for _, tokens in kept for token in tokens]

    def _noted(self, item: Item, room: int) -> list[int]:
        """Notes that fill the room to the token. They say nothing of the item itself."""
        usable = [
            tokens
            for other, text, tokens in self._notes
            if other.key != item.key and (item.forbidden is None or item.forbidden not in text)
        ]
        if not usable:
            raise UnusableRowError("no other item for its notes")
        draw = random.Random(digest(f"notes\0{item.key}"))
        filled: list[int] = []
        while len(filled) < room:
            filled += draw.choice(usable)
        return filled[:room]


def _arrays(examples: list[Example]) -> dict[str, np.ndarray]:
    names = {
        cluster: number for number, cluster in enumerate(dict.fromkeys(e.item.cluster for e in examples))
    }
    checks = json.dumps([dict(example.item.checks) for example in examples])
    return {
        "prompts": np.array([token for example in examples for token in example.prompt], dtype=np.int32),
        "prompt_ends": np.cumsum([len(example.prompt) for example in examples], dtype=np.int64),
        "answers": np.array([token for example in examples for token in example.answer], dtype=np.int32),
        "answer_ends": np.cumsum([len(example.answer) for example in examples], dtype=np.int64),
        "clusters": np.array([names[example.item.cluster] for example in examples], dtype=np.int64),
        "n_symbols": np.array([len(example.item.symbols) for example in examples], dtype=np.int64),
        "checks_json": np.frombuffer(checks.encode(), dtype=np.uint8),
    }
