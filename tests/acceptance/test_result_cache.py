"""What a real daemon ran once is not run again under another name, until someone says otherwise."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest
from real_home import Home, wait_until

#: with seeds that differ, so that there is something to confirm
SEARCH = """
round = "{name}"
{extra}
[stages.quick]
time_budget_sec = 60
max_steps = 2
[stages.medium]
time_budget_sec = 60
max_steps = 4
[[tasks]]
name = "sums"
trainer = "command"
[tasks.args]
inputs = ["noisy.py"]
argv = ["python3", "-S", "noisy.py", "{{score}}", "{{seed}}", "{{steps}}"]
metrics = {{ acc = 'val_acc: (?P<value>[0-9.]+)' }}
[tasks.baseline]
score = 0.5
[tasks.variants.good]
score = 0.62
[tasks.variants.null]
score = 0.501
"""

NOISY = """
import random, sys
score, seed, steps = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
score += random.Random(f"{seed} {score} {steps}").gauss(0.0, 0.004)
for step in range(1, steps + 1):
    print(f"Step {step} | val_acc: {score * step / steps:.6f}", flush=True)
"""


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose round `one` is over."""
    made = Home(tmp_path_factory.mktemp("first") / "home")
    (made.paths.root / "noisy.py").write_text(NOISY)
    made.start()
    try:
        again(made, "one")
    finally:
        made.stop()
    return made.paths.root


@pytest.fixture
def searched(first: Path, home: Home) -> Home:
    """A copy of it, with a daemon of its own."""
    shutil.copytree(first, home.paths.root, dirs_exist_ok=True)
    home.start()
    return home


def again(home: Home, name: str, extra: str = "") -> None:
    home.drop(name, SEARCH.format(name=name, extra=extra))
    home.wait_for(name)


def ran(home: Home, name: str) -> list[Any]:
    """Seeds that follow from the protocol differ with it."""
    started = home.events(name, "run_started")
    return [(r["stage"], r["config"], min(r["seed"], 1)) for r in started]


def decided(home: Home, name: str) -> list[Any]:
    kinds = ("variant_pruned", "variant_promoted", "variant_held", "look_taken", "verdict_reached")
    envelope = ("round", "seq", "ts", "crc", "warnings")
    return [
        {key: value for key, value in record.items() if key not in envelope}
        for record in home.records(name)
        if record["event"] in kinds
    ]


def summary(home: Home, name: str) -> str:
    """Once it is whole: the report is written after the round's end is recorded."""
    path = home.paths.round(name).summary_text
    told: str = wait_until(
        lambda: path.exists() and "no new evidence" in path.read_text() and path.read_text(), str(path)
    )
    return told


def test_a_round_again_under_another_name_runs_nothing_and_says_the_same(searched: Home) -> None:
    home = searched
    again(home, "two")
    assert ran(home, "one")
    assert ran(home, "two") == []
    assert decided(home, "two") == decided(home, "one")
    numbers = ("value", "acc", "loss", "steps", "curve", "scores_digest", "protocol", "content_key")
    ends = [
        [[record[name] for name in numbers] for record in home.events(each, "run_finished")]
        for each in ("one", "two")
    ]
    assert ends[0] == ends[1]
    assert all(r["cached_from"].startswith("one/") for r in home.events("two", "run_finished"))
    assert "rests on runs of round one; no new evidence" in summary(home, "two")
    assert "CACHE task=sums stage=quick cfg=good" in home.log()


def test_a_fresh_round_runs_everything(searched: Home) -> None:
    spec = searched.paths.root / "spec.toml"
    spec.write_text(SEARCH.format(name="two", extra=""))
    told = searched.schedctl("explain", "spec.toml")
    assert "runs of earlier rounds, which are reused: 2 at medium and 2 at quick" in told.stdout, told.stdout
    assert "equal to one/sums" in told.stdout
    assert searched.schedctl("submit", "--fresh", "spec.toml").returncode == 0
    assert "fresh" not in spec.read_text()
    searched.wait_for("two")
    assert ran(searched, "two") == ran(searched, "one")


def test_what_is_deleted_or_forgotten_is_run_again(searched: Home) -> None:
    home = searched
    home.stop()
    shutil.rmtree(home.paths.round("one").root)
    home.start()
    again(home, "two")
    variants = [run for run in ran(home, "two") if run[1] != "baseline"]
    assert {run[1] for run in variants} == {"good", "null"}
    said = home.schedctl("cache", "prune", "--round", "two")
    assert "forgot" in said.stdout, said.stderr
    again(home, "three")
    assert {run[1] for run in ran(home, "three")} == {"good", "null"}
    again(home, "four")
    assert ran(home, "four") == []


@pytest.mark.parametrize("damage", ["a record", "a result", "a folder"])
def test_damage_has_the_run_made_anew_and_told(searched: Home, damage: str) -> None:
    home = searched
    good = next(r for r in home.events("one", "run_finished") if r["config"] == "good")
    folder = home.paths.round("one").run(good["run_dir"])
    if damage == "a record":
        records = home.paths.round("one").records
        line = next(each for each in records.read_bytes().splitlines() if good["crc"].encode() in each)
        records.write_bytes(records.read_bytes().replace(line, line.replace(b'"acc":0.6', b'"acc":0.9', 1)))
    elif damage == "a result":
        folder.result.write_bytes(orjson.dumps({**orjson.loads(folder.result.read_bytes()), "value": 0.9}))
    else:
        shutil.rmtree(folder.root)
    checked = home.schedctl("cache", "verify")
    assert checked.returncode == 1
    assert good["run_dir"] in checked.stdout or "records.jsonl" in checked.stdout
    again(home, "two")
    assert ran(home, "two") == [("quick", "good", 0)]
    assert "cannot be reused, so it is run" in home.log()


def test_changed_code_is_another_run(searched: Home) -> None:
    (searched.paths.root / "noisy.py").write_text(f"{NOISY}\n# changed\n")
    again(searched, "two")
    assert ran(searched, "two") == ran(searched, "one")
