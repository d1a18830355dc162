"""Every malformed spec through a real daemon with the times it takes, and a hundred thousand drawn ones."""

from __future__ import annotations

import json
import time
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from malformed_specs import COMMAND, MALFORMED, SOUND, furnish
from real_home import Home, wait_until

from scheduler.effects.intake import check_spec
from scheduler.rounds.check import check
from scheduler.rounds.parse import parse
from scheduler.rounds.problems import rendered

#: processor seconds that a drawn spec may take at most, and what the intake's child may
SLOW_SECONDS = 2.0


@pytest.mark.fault("300 malformed specs at once", moment="any", outcome="each is told why, a sound one runs")
def test_every_malformed_spec_is_told_why_and_a_sound_one_does_not_wait(home: Home) -> None:
    furnish(home.paths.root)
    home.start()
    for row in MALFORMED:
        home.drop_file(row.file, row.data)
    home.drop("night", home.spec("night"))  # the last one that is scanned
    began = time.monotonic()
    home.wait_for("night", "round_accepted")
    accepted = time.monotonic() - began
    home.wait_for("night")
    finished = time.monotonic() - began
    wait_until(lambda: all(row.why(home.paths) for row in MALFORMED), "the last rejection", seconds=900)
    last = time.monotonic() - began
    print(
        f"\n{len(MALFORMED)} malformed specs dropped at once with one sound one: that one accepted after"
        f" {accepted:.1f} s, finished after {finished:.1f} s; the last bad one told after {last:.1f} s"
    )
    texts = {row: row.why(home.paths) for row in MALFORMED}
    assert {row.name: text for row, text in texts.items() if not row.is_in(text.splitlines())} == {}
    assert home.stop() == 0
    assert finished < last


def test_no_malformed_spec_takes_longer_than_it_may(home: Home) -> None:
    furnish(home.paths.root)
    seconds = {}
    for row in MALFORMED:
        began = time.process_time()
        if row.is_slow:
            assert check_spec(row.data, row.name + row.suffix, home.paths).problems
            continue
        check(parse(row.data, row.suffix), row.name)
        seconds[row.name] = time.process_time() - began
    slowest = max(seconds, key=lambda name: seconds[name])
    print(f"\nthe slowest of {len(seconds)} is read in {seconds[slowest]:.2f} s ({slowest})")
    assert seconds[slowest] < SLOW_SECONDS


_KEYS = st.sampled_from(
    (
        *("round", "title", "priority", "after", "fresh", "objective", "policy", "stages", "judge", "tasks"),
        *("name", "trainer", "seeds", "bsz", "args", "baseline", "variants", "grid", "grid_base", "env"),
        *("quick", "medium", "long", "confirm", "max_steps", "time_budget_sec", "eval_every", "n_eval"),
        *("metric", "direction", "unit", "min_effect", "min_delta", "d_acc", "stops", "lr", "a", ""),
    )
)
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-2, 5)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(("threshold", "screen_confirm", "command", "maximize", "pp", "loss", "baseline", "hot"))
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=6),
    max_leaves=25,
)
_SOUND: dict[str, Any] = {
    "round": "night",
    "stages": {"quick": {"max_steps": 5, "time_budget_sec": 10}, "medium": {"time_budget_sec": 20}},
    "policy": {"name": "threshold", "min_delta": 0.3},
    "tasks": [
        {
            "name": "sums",
            "trainer": "line",
            "args": {"width": 4},
            "variants": {"hot": {"lr": 1.0}},
            "grid": {"lr": [0.2, 0.3]},
        }
    ],
}


@st.composite
def _changed(draw: st.DrawFn) -> dict[str, Any]:
    """A sound spec with a few of its values or keys replaced."""
    spec: Any = json.loads(json.dumps(_SOUND))
    for _ in range(draw(st.integers(1, 3))):
        table: Any = spec
        while True:
            keys: Any = list(table) if isinstance(table, dict) else list(range(len(table)))
            key = draw(st.sampled_from(keys)) if keys else None
            inner = table[key] if key is not None else None
            if not (isinstance(inner, dict | list) and inner and draw(st.booleans())):
                break
            table = inner
        if isinstance(table, dict) and (key is None or draw(st.booleans())):
            table[draw(_KEYS)] = draw(_VALUES)
        elif key is not None:
            table[key] = draw(_VALUES)
    return spec


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """The text of a sound spec with a piece of it replaced."""
    text = draw(st.sampled_from((SOUND, COMMAND))).encode()
    place, length = draw(st.integers(0, len(text))), draw(st.integers(0, 40))
    piece = draw(st.binary(max_size=12) | st.text(max_size=12).map(str.encode))
    return text[:place] + piece + text[place + length :]


_FILES = st.one_of(
    _changed().map(lambda spec: (json.dumps(spec).encode("utf-8", "surrogatepass"), ".json")),
    st.dictionaries(_KEYS, _VALUES, max_size=8).map(lambda spec: (json.dumps(spec).encode(), ".json")),
    _damaged().map(lambda data: (data, ".toml")),
    st.tuples(st.binary(max_size=200), st.sampled_from((".toml", ".json"))),
)


def _mutilated(data: bytes, random: Random) -> bytes:
    """The bytes with a piece of them lost, doubled, moved or changed."""
    first, second = sorted(random.randrange(len(data) + 1) for _ in range(2))
    piece = data[first:second][:40]
    match random.randrange(4):
        case 0:
            return data[:first] + data[first + len(piece) :]
        case 1:
            return data[:first] + piece + data[first:]
        case 2:
            place = random.randrange(len(data) + 1)
            return data[:place] + piece + data[place:]
        case _:
            return data[:first] + random.randbytes(1 + len(piece) // 8) + data[first + 1 :]


class Reader:
    """Reads files as the intake's child does, and keeps count."""

    def __init__(self) -> None:
        self.told = self.sound = 0
        self.slowest_seconds = 0.0

    def read(self, data: bytes, suffix: str) -> None:
        began = time.process_time()
        draft, problems = check(parse(data, suffix), f"night{suffix}")
        self.slowest_seconds = max(self.slowest_seconds, time.process_time() - began)
        texts = rendered(problems)
        assert all(text.isprintable() for text in texts)
        if texts:
            self.told += 1
            return
        assert draft is not None
        assert draft.tasks
        self.sound += 1
        # what was accepted says the same once it was written down and read again
        assert type(draft).from_json(json.loads(json.dumps(draft.to_json(), allow_nan=False))) == draft


@pytest.mark.amount("specs")
@pytest.mark.fault("any bytes are dropped", moment="any", outcome="a round or its problems, never an error")
def test_any_file_is_a_round_or_its_problems(amount: int) -> None:
    """A tenth of them drawn by hypothesis, the others mutilations of those."""
    reader = Reader()

    @settings(
        max_examples=amount // 10, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(file=_FILES, seed=st.integers(0, 2**32))
    def read(file: tuple[bytes, str], seed: int) -> None:
        data, suffix = file
        random = Random(seed)
        reader.read(data, suffix)
        for _ in range(9):
            reader.read(_mutilated(data, random), suffix)

    read()
    assert reader.told + reader.sound >= amount * 0.9  # small ones can be exhausted
    assert reader.sound > 0
    assert reader.slowest_seconds < SLOW_SECONDS
    print(
        f"\n{reader.told + reader.sound} files: {reader.told} told what is wrong, {reader.sound} sound,"
        f" the slowest read in {reader.slowest_seconds:.3f} s"
    )
