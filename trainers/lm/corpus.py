"""Which tokens does a model learn from, and on which is it measured? Text, split by document, made once."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainers import _tales
from trainers.contract import DataError
from trainers.lm.config import TALES_SEED, Config, fingerprint
from trainers.lm.tokenizer import Tokenizer, kind_of, learn, tokenizer_from
from trainers.prepared_data import prepared_arrays

#: fewer documents cannot be split so that both parts are alike
LEAST_DOCUMENTS = 100

_HASH_BITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """A text in tokens. No document is in both parts, repeated ones included."""

    tokenizer: Tokenizer
    #: uint16 [token], document after document
    train: np.ndarray
    #: uint16 [token], document after document
    held_out: np.ndarray
    #: int64 [document], where each document of `held_out` begins
    held_out_starts: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """The frozen validation set."""

    #: int64 [window, context + 1]
    tokens: np.ndarray
    #: int64 [window], the document in which each begins
    documents: np.ndarray


def corpus(config: Config, cache_dir: Path) -> Corpus:
    """The text that `config` asks for; in tokens only once, as long as it is kept in `cache_dir`."""
    parts = fingerprint(config).parts
    key = {
        "what": "lm: a text in tokens",
        "text": {name: digest for name, digest in parts.items() if name not in ("windows", "prompt suite")},
        # learnt by another version, byte pairs may be others
        "tokenizer": [kind_of(config), _version("tokenizers")],
    }
    kept = prepared_arrays(cache_dir, key, lambda: _made(config))
    return Corpus(
        tokenizer=tokenizer_from(kept["tokenizer"].tobytes()),
        train=kept["train"],
        held_out=kept["held_out"],
        held_out_starts=kept["held_out_starts"],
    )


def windows(config: Config, text: Corpus, count: int) -> Windows:
    """`count` windows, spread evenly over what is held out. Raises DataError where there is too little."""
    length = config.context + 1
    room = len(text.held_out) // length
    if room < count:
        raise DataError(
            f"the held-out text has {len(text.held_out)} tokens, which makes {room} windows of {length}, and "
            f"{count} are wanted: give more text, a larger held_out or a smaller n_eval"
        )
    begins = np.arange(count) * (len(text.held_out) - length) // max(1, count - 1)
    return Windows(
        tokens=np.stack([text.held_out[begin : begin + length] for begin in begins]).astype(np.int64),
        documents=np.searchsorted(text.held_out_starts, begins, side="right"),
    )


def _made(config: Config) -> dict[str, np.ndarray]:
    train, held_out = _split(config, list(_documents(config)))
    tokenizer = learn(config, train)
    tokens = tokenizer.encode(held_out)
    learnt = np.concatenate(tokenizer.encode(train))
    if len(learnt) <= config.context:
        raise DataError(
            f"the text to learn from has {len(learnt)} tokens, and a window {config.context + 1}: "
            "give more text"
        )
    return {
        "train": learnt,
        "held_out": np.concatenate(tokens),
        "held_out_starts": np.cumsum([0, *(len(each) for each in tokens[:-1])]),
        "tokenizer": np.frombuffer(tokenizer.to_bytes(), dtype=np.uint8),
    }


def _split(config: Config, documents: list[str]) -> tuple[list[str], list[str]]:
    """Documents to learn from, and to be measured on: by a hash of each, so that repeats stay together."""
    if len(documents) < LEAST_DOCUMENTS:
        raise DataError(
            f"{', '.join(config.text)}: {len(documents)} documents, and at least {LEAST_DOCUMENTS} are "
            "wanted, so that some can be held out: separate them by empty lines (.txt), or give more text"
        )
    train: list[str] = []
    held_out: list[str] = []
    for text in documents:
        hashed = int.from_bytes(hashlib.sha256(text.encode()).digest()[: _HASH_BITS // 8])
        (held_out if hashed < config.held_out * 2**_HASH_BITS else train).append(text + "\n")
    if not held_out or not train:
        raise DataError(
            f"held_out = {config.held_out} of {len(documents)} documents leaves one side empty: change it"
        )
    return train, held_out


def _documents(config: Config) -> Iterator[str]:
    if not config.text:
        yield from _tales.tales_of_size(TALES_SEED, config.characters)
    for name in config.text:
        try:
            text = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{name} cannot be read: {error} (paths are relative to the home)") from error
        yield from _of_jsonl(name, text, config.text_field) if name.endswith(".jsonl") else _of_txt(text)


def _of_txt(text: str) -> Iterator[str]:
    """Paragraphs, which empty lines separate."""
    yield from (paragraph for part in re.split(r"\n\s*\n", text) if (paragraph := part.strip()))


def _of_jsonl(name: str, text: str, field: str) -> Iterator[str]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)[field]
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f'{name}, line {number}: no object with a key "{field}" (text_field)') from error
        if not isinstance(value, str):
            raise DataError(f'{name}, line {number}: "{field}" is no text')
        if value.strip():
            yield value.strip()


def _version(distribution: str) -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
