"""Does any text come back from its tokens, is no document on both sides, and what is read as language?"""

from __future__ import annotations

import json
import random

import pytest

pytest.importorskip("torch")

import numpy as np

from trainers import _tales
from trainers.contract import DataError
from trainers.lm import Config, tokenizer
from trainers.lm.corpus import corpus, windows
from trainers.lm.prompts import read, suite_name

SMALL = {"characters": 70_000, "n_vocab": 300, "held_out": 0.2}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("kind", ["bpe", "bytes"])
def test_any_text_comes_back_from_its_tokens(cache, kind):
    config = Config(tokenizer=kind, **(SMALL if kind == "bpe" else {"characters": 70_000}))
    made = corpus(config, cache).tokenizer
    text = "Once upon a time: Größe, 数, \t\x00 and 🦊"
    (tokens,) = made.encode([text])
    assert tokens.max() < made.n_vocab <= config.n_vocab
    assert made.decode(tokens.tolist()) == text


def test_without_its_package_byte_pairs_become_bytes(monkeypatch):
    monkeypatch.setattr(tokenizer.importlib.util, "find_spec", lambda name: None)
    assert tokenizer.kind_of(Config()) == "bytes"
    assert tokenizer.learn(Config(), ["text"]).n_vocab == 256


def test_the_text_is_in_tokens_once_and_the_same_when_it_is_made_again(cache, tmp_path, monkeypatch):
    first = corpus(Config(**SMALL), cache)
    again = corpus(Config(**SMALL), tmp_path)
    assert np.array_equal(first.train, again.train)
    assert np.array_equal(first.held_out, again.held_out)
    monkeypatch.setattr(_tales, "tales_of_size", None)
    kept = corpus(Config(**SMALL), cache)
    assert np.array_equal(first.train, kept.train)
    assert kept.tokenizer.to_bytes() == first.tokenizer.to_bytes()


def test_no_document_is_on_both_sides(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    documents = [f"Document {n} says {n * n}." for n in range(200)] * 2
    (tmp_path / "text.txt").write_text("\n\n".join(documents))
    made = corpus(Config(text=["text.txt"], tokenizer="bytes", held_out=0.2), tmp_path)
    sides = [made.tokenizer.decode(side.tolist()).splitlines() for side in (made.train, made.held_out)]
    train, held_out = map(set, sides)
    assert not train & held_out
    assert train | held_out == set(documents)
    assert 20 <= len(held_out) <= 60
    begins = [made.tokenizer.decode(made.held_out[s : s + 9].tolist()) for s in made.held_out_starts]
    assert set(begins) == {"Document "}


def test_a_jsonl_file_gives_its_text_field(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [json.dumps({"body": f"Line number {n}"}) for n in range(150)]
    (tmp_path / "text.jsonl").write_text("\n".join(lines) + "\n")
    config = Config(text=["text.jsonl"], text_field="body", tokenizer="bytes")
    made = corpus(config, tmp_path)
    assert made.tokenizer.decode(made.train.tolist()).startswith("Line number ")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("absent.txt", None, "absent.txt cannot be read"),
        ("few.txt", "one\n\ntwo", "2 documents, and at least 100 are wanted"),
        ("bad.jsonl", '{"text": "fine"}\n{"body": 1}', 'line 2: no object with a key "text"'),
        ("number.jsonl", '{"text": 5}', 'line 1: "text" is no text'),
        ("latin.txt", b"\xe9t\xe9", "latin.txt cannot be read"),
    ],
)
def test_a_text_that_cannot_be_used_says_what_is_missing(tmp_path, monkeypatch, name, text, message):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError) as refused:
        corpus(Config(text=[name]), tmp_path)
    assert message in str(refused.value)


def test_the_validation_set_is_frozen_and_spread_over_what_is_held_out(cache):
    config = Config(**SMALL, context=32, prompt_tokens=8)
    made = corpus(config, cache)
    found = windows(config, made, 8)
    assert found.tokens.shape == (8, 33)
    assert np.array_equal(found.tokens[-1], made.held_out[-33:])
    assert len(set(found.documents.tolist())) > 4
    with pytest.raises(DataError, match="and 1000000 are wanted: give more text"):
        windows(config, made, 1_000_000)


@pytest.mark.parametrize(
    ("text", "is_intelligible"),
    [
        ("Once upon a time there was a brave fox who lived in a quiet village by the sea.", True),
        ("", False),
        ("the the the the the the the the the the", False),
        ("aaaaaaa bbbbbbb aaaaaaa eeeeee", False),
        ("x7 qq4 zz# 88 k9 wrt pfft hmm", False),
        ("the fox \ufffd\ufffd\ufffd lived here", False),
        ("".join(random.Random(0).choices([chr(c) for c in range(256)], k=200)), False),
    ],
    ids=range(7),
)
def test_language_is_told_from_noise_and_from_loops(text, is_intelligible):
    assert read(text).is_intelligible is is_intelligible


def test_the_measures_are_the_shares_they_say():
    found = read("all is well, all is well, all is 42!")
    assert found.printable == 1.0
    assert found.word_like == 8 / 9
    assert found.trigram_repetition == 3 / 7
    assert found.char_repetition == pytest.approx(5 / 35)


def test_other_prompts_are_another_suite():
    assert suite_name(()) == "v1"
    assert suite_name(("Hello",)) != suite_name(("Hello", "World")) != "v1"
