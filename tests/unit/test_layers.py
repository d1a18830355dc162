"""A mapping that grows by one entry shares the rest, and leaves its older self as it was."""

from __future__ import annotations

import random

from scheduler.decide.layers import Layers


def test_it_says_what_a_dict_says_at_every_size() -> None:
    draw, known = random.Random(0), dict[str, int]()
    layers: Layers[int] = Layers()
    for number in range(2000):
        name = str(draw.randrange(500))
        layers, known = layers.having({name: number}), {**known, name: number}
        assert layers.get(name) == number
    assert dict(layers.items()) == known
    assert set(layers.names()) == set(known)
    assert layers.get("none") is None


def test_an_older_self_stays_as_it_was() -> None:
    empty: Layers[int] = Layers()
    first = empty.having({"a": 1})
    second = first.having({"a": 2, "b": 3})
    assert (first.get("a"), first.get("b")) == (1, None)
    assert (second.get("a"), second.get("b")) == (2, 3)


def test_many_entries_lie_in_few_layers() -> None:
    layers: Layers[int] = Layers()
    for number in range(5000):
        layers = layers.having({str(number): number})
        assert all(len(a) >= 2 * len(b) for a, b in zip(layers.parts, layers.parts[1:], strict=False))
    assert len(layers.parts) <= 13


def test_nothing_added_is_the_same_mapping() -> None:
    empty: Layers[int] = Layers()
    layers = empty.having({"a": 1})
    assert layers.having({}).parts == layers.parts
