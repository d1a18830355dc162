"""The spec beside the summary of a parked round: as its user wrote it, but for what has to change."""

from __future__ import annotations

import difflib
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from scheduler.cli.reading import as_accepted
from scheduler.decide import facts
from scheduler.decide.moves import parked
from scheduler.decide.state import RoundState, fold_round
from scheduler.effects.intake import check_spec
from scheduler.report.suggested_spec import next_id, publish_suggestion
from scheduler.rounds.paths import HomePaths, RoundPaths

SPEC = """# what we try tonight
round = "night"
title = "Does it help?"   # asked on Monday

[stages.quick]
max_steps = 10
time_budget_sec = 60
n_eval = 900
[stages.medium]
max_steps = 20
time_budget_sec = 60

[[tasks]]
name = "lr"
trainer = "command"
bsz = 64
[tasks.args]
# all there is
n_train = 900              # see the notes
width   =   900
inputs = ["train.py"]
argv = ["python3", "train.py", "{n_train}", "{width}", "{lr}", "{n_rows}", "{bsz}"]
[tasks.baseline]
lr = 0.01
n_rows = 5
[tasks.variants.hot]
lr = 0.1
n_rows = 900
[tasks.grid_base]
lr = 0.2
[tasks.grid]
n_rows = [300, 900]
"""


def home_in(folder: Path) -> HomePaths:
    (folder / "train.py").write_text("print('step 1 val_loss: 1')\n")
    home = HomePaths(folder)
    home.results.mkdir()
    return home


@pytest.fixture
def home(tmp_path: Path) -> HomePaths:
    return home_in(tmp_path)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> RoundState:
    """SPEC as it is accepted."""
    return accepted(home_in(tmp_path_factory.mktemp("home")), SPEC, ".toml")


def accepted(home: HomePaths, spec: str, suffix: str) -> RoundState:
    checked = check_spec(spec.encode(), f"night{suffix}", home)
    assert checked.problems == ()
    return as_accepted(checked)


def stopped(
    home: HomePaths, current: RoundState, error: str, failure_class: str, config: str, *, spec: str = SPEC
) -> tuple[RoundState, RoundPaths]:
    """The accepted round, parked by a run of `config` that failed so."""
    where: dict[str, Any] = {"round": current.round.id, "task": "lr", "stage": "quick", "config": config}
    where |= {"seed": 0, "attempt": 1, "slot": 0, "device": "cpu", "bsz": 64, "budget": {}, "protocol": "p"}
    where |= {"content_key": "k", "run_dir": f"lr.quick.{config}.s0.a1"}
    end = facts.RunFinished(**where, status="failed", failure_class=failure_class, error=error)
    for fact in (facts.RunIntended(**where), end, parked(end, error, "see the docs")):
        current = fold_round(current, fact)
    paths = home.round(current.round.id)
    paths.root.mkdir()
    paths.spec(current.accepted.suffix).write_text(spec)
    return current, paths


def changed_lines(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---") and line[1:2] != "#"]


SHORT = "DataError: Only built 374 {what} (wanted 900)"


@pytest.mark.fault(
    "the data has fewer examples than the spec asks for",
    moment="when a run builds them",
    outcome="the task is parked, and a spec with the number that can be had lies beside the summary",
)
@pytest.mark.parametrize(
    ("error", "failure_class", "config", "changes"),
    [
        (
            SHORT.format(what="train examples"),
            "data",
            "hot",
            ["-n_train = 900              # see the notes", "+n_train = 374              # see the notes"],
        ),
        (SHORT.format(what="rows"), "data", "hot", ["-n_rows = 900", "+n_rows = 374"]),
        (SHORT.format(what="rows"), "data", "n_rows-900", ["-n_rows = [300, 900]", "+n_rows = [300, 374]"]),
        (SHORT.format(what="eval examples"), "data", "baseline", ["-n_eval = 900", "+n_eval = 374"]),
        ("torch.OutOfMemoryError: no", "oom", "hot", ["-bsz = 64", "+bsz = [32, 16, 8]"]),
    ],
    ids=["args", "a variant", "a grid", "a stage", "memory"],
)
def test_it_is_the_users_own_spec_with_one_number_changed_and_is_accepted(
    home: HomePaths, night: RoundState, error: str, failure_class: str, config: str, changes: list[str]
) -> None:
    current, paths = stopped(home, night, error, failure_class, config)
    publish_suggestion(current, paths)
    text = paths.suggested.read_text()
    assert changed_lines(SPEC, text) == ['-round = "night"', '+round = "night-fix"', *changes]
    assert text.startswith("# Round night as it was written")
    assert error.partition(":")[2].strip() in text.replace("\n# ", " ")
    checked = check_spec(text.encode(), "suggested.toml", home)
    assert checked.problems == ()
    assert checked.spec is not None
    assert checked.spec["id"] == "night-fix"


def test_the_same_records_give_the_same_bytes_and_a_task_that_goes_on_takes_it_away(
    home: HomePaths, night: RoundState
) -> None:
    current, paths = stopped(home, night, SHORT.format(what="rows"), "data", "hot")
    publish_suggestion(current, paths)
    first = paths.suggested.read_bytes()
    publish_suggestion(current, paths)
    assert paths.suggested.read_bytes() == first
    publish_suggestion(fold_round(current, facts.TaskRetried(round="night", task="lr")), paths)
    assert not paths.suggested.exists()


def test_a_spec_without_a_round_and_one_in_json_get_an_id_and_comments_too(home: HomePaths) -> None:
    data = tomllib.loads(SPEC)
    del data["round"]
    spec = json.dumps(data)
    error = SHORT.format(what="train examples")
    current, paths = stopped(home, accepted(home, spec, ".json"), error, "data", "hot", spec=spec)
    publish_suggestion(current, paths)
    text = paths.suggested.read_text()
    found = tomllib.loads(text)
    data["tasks"][0]["args"]["n_train"] = 374
    assert found == {"round": "night-fix", **data}
    assert text.startswith("# Round night")
    assert check_spec(text.encode(), "suggested.toml", home).problems == ()


def test_a_spec_that_is_gone_leaves_the_message_alone(home: HomePaths, night: RoundState) -> None:
    current, paths = stopped(home, night, SHORT.format(what="rows"), "data", "hot")
    paths.spec(".toml").unlink()
    publish_suggestion(current, paths)
    assert not paths.suggested.exists()


@pytest.mark.parametrize(
    ("round_id", "following"),
    [
        ("night", "night-fix"),
        ("night-fix", "night-fix2"),
        ("night-fix9", "night-fix10"),
        ("n" * 64, "n" * 60 + "-fix"),
    ],
)
def test_every_round_has_an_id_that_follows_it(round_id: str, following: str) -> None:
    assert next_id(round_id) == following
