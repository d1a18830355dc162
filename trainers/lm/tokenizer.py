"""How does text become tokens and tokens text? By byte pairs learnt from the text, or byte by byte."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from trainers.lm.config import N_BYTES, Config

#: the documents that are encoded in one call
_BATCH = 1000


class Tokenizer(Protocol):
    """Any text has tokens; any tokens are a text, where need be with U+FFFD for bytes that are none."""

    @property
    def n_vocab(self) -> int:
        """How many tokens there are."""

    def encode(self, documents: Sequence[str]) -> list[np.ndarray]:
        """The tokens of each document, uint16 [token]."""

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`."""

    def to_bytes(self) -> bytes:
        """What `tokenizer_from` makes it from again."""


class Bytes:
    """A token for each byte of UTF-8."""

    n_vocab = N_BYTES

    def encode(self, documents: Sequence[str]) -> list[np.ndarray]:
        return [np.frombuffer(text.encode(), dtype=np.uint8).astype(np.uint16) for text in documents]

    def decode(self, tokens: Sequence[int]) -> str:
        return bytes(tokens).decode("utf-8", "replace")

    def to_bytes(self) -> bytes:
        return b""


class BytePairs:
    """The 256 bytes, and those pairs of tokens that stand together most often."""

    def __init__(self, pairs: Any) -> None:
        self._pairs = pairs

    @property
    def n_vocab(self) -> int:
        return int(self._pairs.get_vocab_size())

    def encode(self, documents: Sequence[str]) -> list[np.ndarray]:
        found: list[np.ndarray] = []
        for begin in range(0, len(documents), _BATCH):
            encoded = self._pairs.encode_batch(list(documents[begin : begin + _BATCH]))
            found += [np.array(each.ids, dtype=np.uint16) for each in encoded]
        return found

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self._pairs.decode(list(tokens)))

    def to_bytes(self) -> bytes:
        return self._pairs.to_str().encode()


def kind_of(config: Config) -> str:
    """`bpe` or `bytes`: what the arguments ask for, as far as it is installed."""
    is_there = importlib.util.find_spec("tokenizers") is not None
    return config.tokenizer if is_there else "bytes"


def learn(config: Config, documents: Iterable[str]) -> Tokenizer:
    """The tokenizer that the arguments ask for, learnt from `documents`."""
    if kind_of(config) == "bytes":
        return Bytes()
    tokenizers = _package()
    pairs = tokenizers.Tokenizer(tokenizers.models.BPE())
    pairs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    pairs.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=config.n_vocab,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    pairs.train_from_iterator(documents, trainer)
    return BytePairs(pairs)


def tokenizer_from(kept: bytes) -> Tokenizer:
    """What `to_bytes` told."""
    return BytePairs(_package().Tokenizer.from_str(kept.decode())) if kept else Bytes()


def _package() -> Any:
    # Its threads would take the core of the run that trains meanwhile.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import tokenizers

    return tokenizers
