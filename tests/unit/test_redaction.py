"""Is the value of a secret in nothing that is kept or shown, and still what its run gets?"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.rounds.parse import shown_bytes
from scheduler.rounds.redaction import (
    holds_markers,
    is_marker,
    looks_secret,
    redacted,
    restored,
    secret_names,
    without,
)
from trainers._failures import failure_of
from trainers._secrets import REDACTED, RedactedStream, secrets_of

SECRET = "hunter2-hunter2"
NAMES = ["HF_TOKEN", "WANDB_API_KEY", "aws_secret_access_key", "PGPASSWORD", "MY_CREDENTIALS"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_tells_that_its_value_is_secret(name: str) -> None:
    assert looks_secret(name)
    assert secrets_of({name: SECRET}) == (SECRET,)


@pytest.mark.parametrize("name", ["WANDB_MODE", "PATH", "TOKENIZERS_PARALLELISM", "LR"])
def test_other_values_are_shown(name: str) -> None:
    assert not looks_secret(name)


def test_only_environments_hold_secrets() -> None:
    secrets: dict[str, str] = {}
    args = {"env": {"HF_TOKEN": SECRET, "MODE": "x"}, "key_size": 4, "tokenizer": "gpt2", "seeds": (1, 2)}
    shown = redacted({"args": args, "variants": [{"config": args}]}, secrets)
    assert SECRET not in json.dumps(shown)
    assert shown["args"]["env"]["MODE"] == "x"
    assert shown["args"]["tokenizer"] == "gpt2"
    assert list(secrets.values()) == [SECRET]
    assert secret_names(shown["args"]) == ("HF_TOKEN",)
    assert holds_markers(shown)
    assert restored(shown, secrets)["variants"][0]["config"]["env"]["HF_TOKEN"] == SECRET


def test_equal_values_have_equal_markers_and_others_others() -> None:
    def marker(value: Any) -> Any:
        return redacted({"env": {"KEY": value}}, {})["env"]["KEY"]

    assert is_marker(marker("a"))
    assert marker("a") == marker("a") != marker("b")
    assert marker(5) == marker("5")
    assert marker("") == ""
    assert marker(marker("a")) == marker("a")


_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*NAMES, "env", "argv", "LR"]), inner, max_size=4)
    ),
)


@given(value=_plain)
def test_what_was_redacted_comes_back(value: Any) -> None:
    secrets: dict[str, str] = {}
    shown = redacted(value, secrets)
    again: dict[str, str] = {}
    assert redacted(shown, again) == shown
    assert again == {}
    back = restored(shown, secrets)
    assert redacted(back, {}) == shown


def test_an_error_does_not_show_a_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    failure = failure_of(ValueError(f"401 for {SECRET}"), f"logging in with {SECRET}")
    assert SECRET not in json.dumps(failure.to_json())
    assert failure.message == f"ValueError: 401 for {REDACTED}"


def test_of_two_values_the_longer_is_cut_out_first() -> None:
    secrets: dict[str, str] = {}
    redacted({"env": {"A_KEY": "abc", "B_KEY": "abcdef"}}, secrets)
    assert "def" not in without("abcdef abc", secrets)


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".toml", f'[[tasks]]\n[tasks.args]\nenv = {{ HF_TOKEN = "{SECRET}", MODE = "x" }}\n'),
        (".toml", f"[[tasks]]\n[tasks.args.env]\n# the same: {SECRET}\n'HF_TOKEN' = '''{SECRET}'''\n"),
        (".json", json.dumps({"tasks": [{"args": {"env": {"HF_TOKEN": SECRET}}}]}, indent=1)),
    ],
)
def test_a_spec_is_shown_without_its_secrets(suffix: str, text: str) -> None:
    shown = shown_bytes(text.encode(), suffix)
    assert shown is not None
    assert SECRET not in shown.decode()
    assert shown.decode().replace(shown.decode().split("redacted:")[1][:16], "") != text
    assert "HF_TOKEN" in shown.decode()


def test_a_spec_whose_secret_cannot_be_cut_out_is_not_shown() -> None:
    spelled = "".join(f"\\u{ord(letter):04x}" for letter in SECRET)
    assert shown_bytes(f'[tasks.args.env]\nHF_TOKEN = "{spelled}"\n'.encode(), ".toml") is None


@pytest.mark.parametrize("data", [b"# <b>\n\xff", b"a = 1\n", b""])
def test_a_spec_without_secrets_is_shown_as_it_is(data: bytes) -> None:
    assert shown_bytes(data, ".toml") == data


def test_every_name_that_a_spec_keeps_back_is_kept_back_in_output_too() -> None:
    for name in NAMES:
        assert looks_secret(name) == bool(secrets_of({name: SECRET}))
    assert secrets_of({"SHORT_KEY": "abc", "MODE": SECRET}) == ()


@given(
    pieces=st.lists(
        st.sampled_from([b"hunter2", b"-hunter2", b"-", b"h", b"x\n", b"hunter2-hunter2"]), max_size=30
    ),
    cuts=st.lists(st.integers(1, 9), min_size=1, max_size=9),
)
def test_a_secret_is_found_wherever_the_pieces_are_cut(pieces: list[bytes], cuts: list[int]) -> None:
    whole = b"".join(pieces)
    stream = RedactedStream((SECRET,))
    shown, rest, turn = b"", whole, 0
    while rest:
        size = cuts[turn % len(cuts)]
        shown, rest, turn = shown + stream.feed(rest[:size]), rest[size:], turn + 1
    shown += stream.rest()
    assert SECRET.encode() not in shown
    assert shown == whole.replace(SECRET.encode(), REDACTED.encode())
