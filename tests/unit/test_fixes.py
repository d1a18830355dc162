"""Which number does a message give away, and which argument asked for too much?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fakes.world import task

from scheduler.decide.facts import RunFinished
from scheduler.decide.fixes import fix_for, remedy_for
from scheduler.rounds.round import Budget, Stage, Task, Variant

SHORT = "RuntimeError: Only built 374 examples (wanted 900)"


def made(args: dict[str, Any], changes: dict[str, Any] | None = None, **more: Any) -> Task:
    """A task of one variant, "v", with those arguments and changes."""
    changes = changes or {}
    baseline = Variant(name="baseline", changes={}, config={"lr": 0.1, **args})
    variant = Variant(name="v", changes=changes, config={"lr": 0.1, **args, **changes})
    return replace(task(args=args, baseline=baseline, **more), variants=(variant,))


def run(error: str, failure_class: str = "data", config: str = "v", stage: str = "quick") -> RunFinished:
    return RunFinished(
        round="night",
        task="sums",
        stage=stage,
        config=config,
        seed=0,
        attempt=1,
        slot=0,
        device="cpu",
        bsz=64,
        budget={},
        protocol="p",
        content_key="k",
        run_dir="sums.quick.v.s0.a1",
        status="failed",
        failure_class=failure_class,
        error=error,
    )


@pytest.mark.parametrize(
    ("message", "wanted", "have"),
    [
        (SHORT, 900, 374),
        ("the program ended with status 1: DataError: only 374 puzzles left, 900 are needed", 900, 374),
        ("ValueError: found 374 sequences of the length asked for, but 900 were requested", 900, 374),
        ("AssertionError: 900 rows wanted, only 374 found", 900, 374),
        ("ValueError: need at least 900 samples but there are only 374", 900, 374),
        ("requires 900 training documents, got 374", 900, 374),
        ("IndexError: Index 899 out of range for dataset of size 374.", 900, 374),
    ],
)
def test_a_message_tells_what_was_wanted_and_what_there_is(message: str, wanted: int, have: int) -> None:
    fix = fix_for(made({"n_train": wanted}), run(f"{message}\nTraceback ..."))
    assert fix is not None
    assert (fix.name, fix.was, fix.value) == ("n_train", wanted, have)


@pytest.mark.parametrize(
    "message",
    [
        "RuntimeError: Only built 0 examples (wanted 900)",
        "RuntimeError: Only built 900 examples (wanted 374)",
        "FileNotFoundError: [Errno 2] No such file or directory: 'data/900.bin'",
        "datasets.exceptions.DatasetNotFoundError: Dataset 'x/900' doesn't exist on the Hub",
        "",
    ],
)
def test_where_nothing_can_be_reached_nothing_is_suggested(message: str) -> None:
    assert fix_for(made({"n_train": 900}), run(message)) is None


@pytest.mark.parametrize(
    ("args", "changes", "place", "keys", "value"),
    [
        ({"n_train": 900, "width": 64}, {}, "args", ("n_train",), 374),
        ({"n_train": 900}, {"n_train": 900}, "changes", ("n_train",), 374),
        ({}, {"examples": 900}, "changes", ("examples",), 374),
        ({"argv": ["python3", "t.py", "--n-train", "900", "--steps", "900"]}, {}, "args", ("argv", 3), "374"),
        ({"argv": ["t.py", "--n-train=900"]}, {}, "args", ("argv", 1), "--n-train=374"),
        ({"env": {"N_TRAIN": "900"}}, {}, "args", ("env", "N_TRAIN"), "374"),
        ({"data": {"sizes": {"train": 900}, "n": 5}}, {}, "args", ("data", "sizes", "train"), 374),
        ({"n_train": 900, "n_eval": 900}, {}, "args", ("n_train",), 374),
    ],
    ids=[
        "args",
        "variant",
        "own name",
        "option",
        "option=",
        "environment",
        "nested",
        "the message says which",
    ],
)
def test_the_argument_that_asked_is_found_wherever_it_stands(
    args: dict[str, Any], changes: dict[str, Any], place: str, keys: tuple[Any, ...], value: Any
) -> None:
    fix = fix_for(made(args, changes), run("DataError: Only built 374 examples (wanted 900) for train"))
    assert fix is not None
    assert (fix.place, fix.keys, fix.value) == (place, keys, value)


@pytest.mark.parametrize(
    "args",
    [{"width": 900}, {"n_left": 900, "n_right": 900}, {"n_train": 901}, {"n_train": True}, {"argv": ["900"]}],
    ids=["no count", "two of the same", "another number", "no number", "no name"],
)
def test_a_number_that_may_mean_anything_is_left_alone(args: dict[str, Any]) -> None:
    assert fix_for(made(args), run(SHORT)) is None


def test_the_trainers_own_default_is_written_into_the_arguments() -> None:
    one = made({})
    default = Variant(name="v", changes={}, config={"n_train": 900, "lr": 0.1})
    fix = fix_for(replace(one, variants=(default,)), run(SHORT))
    assert fix is not None
    assert (fix.place, fix.keys) == ("args", ("n_train",))


def test_the_stages_may_be_what_asked() -> None:
    stages = (Stage(name="quick", budget=Budget(max_steps=1, time_budget_sec=1.0, n_eval=900)),)
    fix = fix_for(made({}, stages=stages), run("DataError: Only built 374 evaluation examples (wanted 900)"))
    assert fix is not None
    assert (fix.place, fix.name, fix.value) == ("stages", "n_eval", 374)


@pytest.mark.parametrize(
    ("bsz", "words"),
    [
        ((64,), "bsz = [32, 16, 8] instead of 64"),
        ((64, 3), "bsz = [1] instead of [64, 3]"),
        ((1,), ""),
    ],
)
def test_out_of_memory_asks_for_half_the_batch_and_less(bsz: tuple[int, ...], words: str) -> None:
    fix = fix_for(made({}, bsz=bsz), run("CUDA out of memory", "oom"))
    assert (fix.words if fix else "") == words


def test_a_remedy_names_the_change_and_what_else_helps() -> None:
    told = remedy_for(made({"n_train": 900}), run(SHORT), "mend it")
    assert told == "submit results/night/suggested.toml, which has n_train = 374 instead of 900; or mend it"
    assert remedy_for(made({}), run(SHORT), "mend it") == "mend it"


def test_shared_memory_has_a_remedy_of_its_own() -> None:
    message = "RuntimeError: unable to write to file </torch_31911_95203>: No space left on device (28)"
    told = remedy_for(made({}), run(message, "oom"), "list smaller sizes")
    assert "make /dev/shm larger" in told
    assert "/dev/shm" not in remedy_for(made({}), run("CUDA out of memory", "oom"), "list smaller sizes")
