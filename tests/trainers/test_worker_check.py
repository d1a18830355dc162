"""What the check of a spec's configs answers, and where trainers come from."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trainers import _identity, _registry

TRAINER = """
print("a line that must not garble the answer")
from trainers.contract import Fingerprint, TrainerConfig, argument_problems, protocol_field
from pydantic import model_validator

class Config(TrainerConfig):
    width: int = protocol_field(8, gt=0)
    rate: float = 0.1
    gate: str = "none"

    @model_validator(mode="after")
    def _gate_fits(self):
        if self.gate == "wide" and self.width < 16:
            raise ValueError("a wide gate needs width >= 16")
        return self

def fingerprint(config): return Fingerprint(digest="d" * 16, parts={"eval set": "e"})
def prepare(config, context): ...
def train(prepared, context): ...
def cost(config): return config.rate
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "trainers"
    folder.mkdir()
    (folder / "mine.py").write_text(TRAINER)
    (folder / "broken.py").write_text("import no_such_package\n")
    (folder / "half.py").write_text("Config = None\n")
    (folder / "_part.py").write_text("")
    (folder / "folded").mkdir()
    (folder / "folded" / "__init__.py").write_text("from .inner import *\nfrom .inner import Config\n")
    (folder / "folded" / "inner.py").write_text(TRAINER)
    return tmp_path


def check(home: Path, *tasks: dict[str, Any]) -> list[dict[str, Any]]:
    request = {"home": str(home), "tasks": list(tasks)}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "trainers", "check"],
        input=json.dumps(request).encode(),
        capture_output=True,
        check=True,
    )
    return json.loads(done.stdout)["tasks"]


def task(trainer: str = "mine", **fields: Any) -> dict[str, Any]:
    return {
        "name": "t",
        "trainer": trainer,
        "args": {},
        "configs": {"baseline": {}},
        "stages": [{"name": "quick", "max_steps": 10, "time_budget_sec": 60.0}],
        **fields,
    }


def problems(home: Path, **fields: Any) -> list[tuple[str | None, str | None, str]]:
    (answer,) = check(home, task(**fields))
    return [(p["config"], p["field"], p["message"]) for p in answer["problems"]]


def test_a_sound_task_is_answered_whole(home: Path) -> None:
    configs = {"baseline": {}, "fast": {"rate": 0.5}, "slow": {"rate": 0.01}}
    (answer,) = check(home, task(args={"width": 32}, configs=configs))
    assert answer["problems"] == []
    assert answer["configs"]["fast"] == {"width": 32, "rate": 0.5, "gate": "none"}
    assert list(answer["configs"]) == ["baseline", "fast", "slow"]
    assert answer["costliest"] == "fast"
    assert answer["has_steps"] is True
    assert answer["identity"] == {
        "source": _identity.source_digest(home / "trainers/mine.py"),
        "data": "d" * 16,
        "parts": {"eval set": "e"},
        "versions": {},
        "is_complete": True,
    }


def test_a_stage_tells_the_examples_it_asks_for_where_the_trainer_does_not_know(home: Path) -> None:
    stages = [
        {"name": "quick", "max_steps": 10, "time_budget_sec": 60.0, "n_eval": 128},
        {"name": "medium", "max_steps": 40, "time_budget_sec": 60.0},
    ]
    (answer,) = check(home, task(stages=stages))
    assert answer["examples"] == {
        "quick": {"examples": 128, "clusters": None},
        "medium": {"examples": None, "clusters": None},
    }


def test_a_trainer_tells_the_examples_of_every_stage_before_anything_runs(home: Path) -> None:
    path = home / "trainers" / "mine.py"
    path.write_text(path.read_text() + "\ndef examples(config, n_eval): return n_eval or 96, config.width\n")
    stages = [
        {"name": "quick", "max_steps": 10, "time_budget_sec": 60.0, "n_eval": 24},
        {"name": "medium", "max_steps": 40, "time_budget_sec": 60.0},
    ]
    (answer,) = check(home, task(stages=stages))
    assert answer["examples"] == {
        "quick": {"examples": 24, "clusters": 8},
        "medium": {"examples": 96, "clusters": 8},
    }


def test_all_problems_come_at_once(home: Path) -> None:
    configs = {
        "baseline": {},
        "typo": {"rat": 0.5},
        "kind": {"rate": "high"},
        "both": {"gaet": "x", "rate": "low"},
        "rule": {"gate": "wide"},
    }
    found = problems(home, configs=configs)
    assert ("typo", "rat", "unknown field 'rat'; did you mean 'rate'?") in found
    assert ("both", "gaet", "unknown field 'gaet'; did you mean 'gate'?") in found
    assert ("rule", None, "a wide gate needs width >= 16") in found
    assert {(config, field) for config, field, _ in found} >= {("kind", "rate"), ("both", "rate")}
    assert len(found) == 5


def test_what_is_wrong_for_all_is_said_once_of_the_task(home: Path) -> None:
    found = problems(home, args={"width": -1}, configs={"baseline": {}, "fast": {"rate": 1.0}})
    assert found == [(None, "width", "Input should be greater than 0")]


@pytest.mark.parametrize("config", ["baseline", "wide"])
def test_a_protocol_field_may_not_differ_from_the_tasks(home: Path, config: str) -> None:
    configs = {"baseline": {}, "other": {"rate": 9.0}, config: {"width": 16, "rate": 2.0}}
    ((named, field, message),) = problems(home, args={"width": 32}, configs=configs)
    assert (named, field) == (config, "width")
    assert "part of the protocol" in message


def test_a_protocol_field_that_only_repeats_the_tasks_is_no_problem(home: Path) -> None:
    assert problems(home, args={"width": 16}, configs={"baseline": {"width": 16}}) == []


def test_two_names_for_one_config_are_refused(home: Path) -> None:
    configs = {"baseline": {}, "one": {"rate": 0.5}, "same": {"rate": 0.5}, "default": {"rate": 0.1}}
    assert problems(home, configs=configs) == [
        ("same", None, "is the same as one: nothing differs"),
        ("default", None, "is the same as baseline: nothing differs"),
    ]


@pytest.mark.parametrize(
    ("trainer", "said"),
    [
        ("mien", "no trainer 'mien': did you mean 'mine'?"),
        (
            "broken",
            "trainer broken cannot be imported: ModuleNotFoundError: No module named 'no_such_package'",
        ),
        ("half", "is no trainer: it lacks fingerprint, prepare, train"),
        ("_part", "no trainer '_part'"),
        ("contract", "no trainer 'contract'"),
    ],
)
def test_a_trainer_that_cannot_be_used_is_a_problem(home: Path, trainer: str, said: str) -> None:
    ((config, field, message),) = problems(home, trainer=trainer)
    assert (config, field) == (None, None)
    assert said in message


def test_a_broken_trainer_does_not_hide_another_tasks_answer(home: Path) -> None:
    first, second = check(home, task("broken"), task("mine"))
    assert first["problems"] != []
    assert second["problems"] == []


def test_a_trainer_may_be_a_folder(home: Path) -> None:
    (answer,) = check(home, task("folded"))
    assert answer["problems"] == []
    before = _identity.source_digest(home / "trainers/folded")
    (home / "trainers/folded/inner.py").write_text(TRAINER + "# changed")
    assert _identity.source_digest(home / "trainers/folded") != before


def test_compiled_files_are_no_source(home: Path) -> None:
    before = _identity.source_digest(home / "trainers/folded")
    cache = home / "trainers/folded/__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "inner.cpython-311.pyc").write_bytes(b"x")
    assert _identity.source_digest(home / "trainers/folded") == before


def test_shipped_and_own_trainers_are_known(home: Path) -> None:
    assert {"command", "mine", "folded"} <= set(_registry.names(home))
    assert not {"contract", "_part", "_wire"} & set(_registry.names(home))


def test_an_own_trainer_cannot_hide_a_shipped_one(home: Path) -> None:
    (home / "trainers/command.py").write_text(TRAINER)
    with pytest.raises(_registry.UnknownTrainerError, match="give your own another name"):
        _registry.source("command", home)


def test_a_checkout_as_home_is_no_conflict() -> None:
    checkout = Path(_registry.__file__).parents[1]
    assert _registry.source("command", checkout).name == "command"


def test_versions_are_read_without_importing() -> None:
    versions = _identity.installed_versions(("numpy", "torch", "no-such-distribution"))
    assert versions["numpy"][0].isdigit()
    assert versions["no-such-distribution"] == "absent"
    if versions["torch"] != "absent":
        assert {"cuda", "cudnn"} <= versions.keys()


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"source": "s", "data": "d", "versions": {"torch": "1"}, "parts": {"a": "1"}}, []),
        ({"source": "x", "data": "d", "versions": {"torch": "1"}, "parts": {}}, ["the trainer's source"]),
        ({"source": "s", "data": "x", "versions": {"torch": "1"}, "parts": {"a": "2", "b": "1"}}, ["a, b"]),
        ({"source": "s", "data": "d", "versions": {}, "parts": {}}, ["torch (was 1, is absent)"]),
    ],
)
def test_changes_are_named(found: dict[str, Any], said: list[str]) -> None:
    accepted = {"source": "s", "data": "d", "versions": {"torch": "1"}, "parts": {"a": "1"}}
    assert _identity.changes(accepted, found) == said


@pytest.mark.parametrize(
    ("source", "shared"),
    [
        ("from trainers._tales import tales\n", ["_tales"]),
        ("import os\n\n\ndef train():\n    from trainers._lr_schedule import factor\n", ["_lr_schedule"]),
        ("from trainers import _sandbox\n", ["_sandbox", "_sandboxed"]),
        ("from trainers import (\n    _tales,\n    contract,\n)\n", ["_tales"]),
        ("import trainers._fixed_points\n", ["_fixed_points"]),
        ("from trainers.contract import Context\nimport numpy\n", []),
        ("from trainers._no_such_module import x\n", []),
    ],
)
def test_what_a_trainer_shares_with_others_is_a_part_of_its_source(
    tmp_path: Path, source: str, shared: list[str]
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(source)
    assert [path.stem for path in _identity._shared_by([file])] == shared


def test_a_change_of_a_shared_module_is_a_change_of_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, file = tmp_path / "trainers", tmp_path / "mine.py"
    package.mkdir()
    monkeypatch.setattr(_identity, "_PACKAGE", package)
    file.write_text("from trainers._first import x\n")
    (package / "_first.py").write_text("from trainers._second import x\n")
    (package / "_second.py").write_text("x = 1\n")
    (package / "_other.py").write_text("x = 1\n")
    before = _identity.source_digest(file)
    (package / "_other.py").write_text("x = 2\n")
    assert _identity.source_digest(file) == before
    (package / "_second.py").write_text("x = 2\n")
    assert _identity.source_digest(file) != before
