"""Which numbers stand for a text? Those of the RWKV World vocabulary, or of its single bytes."""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from trainers.contract import DataError
from trainers.future_seed.text.sources import ABSENT, file_digest

#: of the World vocabulary: the end of a text; the bytes 0 to 255 are the tokens 1 to 256
END = 0

VOCABULARY_FILE = "rwkv_vocab_v20230424.txt"

#: size of the embedding of published World models
WORLD_SIZE = 65_536


class Tokenizer:
    """Splits a text into the longest tokens that fit, from the left, as the package `rwkv` does."""

    def __init__(self, tokens: dict[bytes, int], size: int) -> None:
        #: rows an embedding needs
        self.size = size
        self._tokens = tokens
        self._bytes = {number: text for text, number in tokens.items()}
        #: by their first two bytes, how long tokens can be, the longest first
        lengths: dict[bytes, set[int]] = {}
        for text in tokens:
            lengths.setdefault(text[:2], set()).add(len(text))
        self._lengths = {start: sorted(found, reverse=True) for start, found in lengths.items()}

    def encode(self, text: str) -> list[int]:
        data = text.encode("utf-8", errors="surrogatepass")
        numbers, position = [], 0
        while position < len(data):
            for length in (*self._lengths.get(data[position : position + 2], ()), 1):
                number = self._tokens.get(data[position : position + length])
                if number is not None:
                    break
            else:
                raise AssertionError("every single byte is a token")
            numbers.append(number)
            position += length
        return numbers

    def decode(self, numbers: Iterable[int]) -> str:
        """The text; what is no UTF-8, and tokens that the vocabulary leaves unused, become a replacement."""
        return b"".join(self._bytes.get(number, b"\xff") for number in numbers).decode(errors="replace")


@functools.cache
def tokenizer(name: Literal["bytes", "world"]) -> Tokenizer:
    """Raises DataError where the World vocabulary is not installed."""
    if name == "bytes":
        return Tokenizer({bytes([byte]): byte + 1 for byte in range(256)}, size=257)
    path = _vocabulary()
    if path is None:
        raise DataError("tokenizer = 'world' needs the package rwkv: pip install 'roundhouse[data]'")
    return Tokenizer(dict(_lines(path)), size=WORLD_SIZE)


def tokenizer_digest(name: Literal["bytes", "world"]) -> tuple[str, bool]:
    """What the vocabulary is, and whether it is there."""
    if name == "bytes":
        return "bytes", True
    path = _vocabulary()
    return (ABSENT, False) if path is None else file_digest(path)


def _vocabulary() -> Path | None:
    """Without importing the package, which sets flags of torch for the whole process."""
    spec = importlib.util.find_spec("rwkv")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).with_name(VOCABULARY_FILE)


def _lines(path: Path) -> Iterable[tuple[bytes, int]]:
    """A line is the token's number, its text or bytes as a Python literal, and its length in bytes."""
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            number, _, rest = line.partition(" ")
            literal, _, _ = rest.rpartition(" ")
            text = ast.literal_eval(literal)
            yield text.encode() if isinstance(text, str) else text, int(number)
