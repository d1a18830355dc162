"""Does a worker hand the state of a run on to a longer one, and does nothing depend on whether it could?"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from fakes.daemon import Worker

from trainers import _checkpoint

TRAINER = '''
"""A walk whose every step depends on all before it, as training does."""
import random, time
import numpy as np
from trainers.contract import Evaluation, Fingerprint, TrainerConfig

class Config(TrainerConfig):
    pull: float = 0.1
    decay: int = 0
    pause_seconds: float = 0.0
    breaks: str = ""

def fingerprint(config):
    return Fingerprint(digest="walk")

def shared_steps(config, max_steps, longer):
    return min(max_steps, longer) - config.decay

def prepare(config, context):
    return {"config": config, "step": 0, "place": 1.0, "dice": random.Random(context.seed).getstate()}

def save(state, folder):
    if state["config"].breaks == "save":
        raise OSError(28, "No space left on device")
    (folder / "parts").mkdir()
    (folder / "parts" / "walk.txt").write_text(repr((state["step"], state["place"], state["dice"])))

def load(folder):
    step, place, dice = eval((folder / "parts" / "walk.txt").read_text())
    return {"step": step, "place": place, "dice": dice}

def resume(prepared, state):
    if prepared["config"].breaks == "resume":
        raise RuntimeError("size mismatch")
    print("goes on after step", state["step"])
    return prepared | {name: state[name] for name in ("step", "place", "dice")}

def train(prepared, context):
    config, place, dice = prepared["config"], prepared["place"], random.Random()
    dice.setstate(prepared["dice"])
    for step in range(prepared["step"] + 1, context.max_steps + 1):
        time.sleep(config.pause_seconds)
        last = step > context.max_steps - config.decay
        place += dice.gauss(0, 0.01) - (0.5 if last else config.pull) * place
        if step == context.keep_step:
            context.keep({"config": config, "step": step, "place": place, "dice": dice.getstate()})
        if step % context.eval_every == 0 or step == context.max_steps:
            scores = np.full(context.n_eval or 4, place, dtype=np.float32)
            yield Evaluation(step=step, loss=place, acc=0.5, scores=scores)
'''


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "trainers").mkdir()
    (tmp_path / "trainers" / "walk.py").write_text(TRAINER)
    return tmp_path


@pytest.fixture
def worker(home: Path) -> Iterator[Worker]:
    worker = Worker(home)
    yield worker
    worker.close()


@pytest.fixture
def later(home: Path) -> Iterator[Worker]:
    """Another process."""
    worker = Worker(home)
    yield worker
    worker.close()


def begin(worker: Worker, *, max_steps: int, eval_every: int = 4, **more: Any) -> dict[str, Any]:
    """Prepare; the `prepared` message."""
    context = {"eval_every": eval_every, **more.pop("context", {})}
    config = {"pull": 0.1, "decay": 0, "pause_seconds": 0.0, "breaks": ""} | more.pop("config", {})
    more = {"trainer": "walk", "metric": "loss", **more}
    worker.prepare(max_steps=max_steps, context=context, config=config, **more)
    return worker.hear("prepared")


def go(worker: Worker, folder: str) -> dict[str, Any]:
    worker.evaluations.clear()
    worker.say("go", run_dir=str(worker.home / folder))
    return worker.hear("finished")["result"]


def run(worker: Worker, folder: str, **fields: Any) -> dict[str, Any]:
    begin(worker, **fields)
    return go(worker, folder)


def after(home: Path, folder: str, step: int) -> dict[str, Any]:
    return {"folder": str(home / folder / "checkpoint"), "step": step}


def metrics(home: Path, folder: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (home / folder / "metrics.jsonl").read_text().splitlines()]


def numbers(result: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(result[name] for name in ("status", "steps", "loss", "value", "scores_digest", "n_eval"))


@pytest.mark.parametrize("decay", [0, 3])
@pytest.mark.parametrize("where", ["in memory", "on disk", "in another process"])
def test_a_continued_run_has_the_numbers_of_one_that_was_never_interrupted(
    worker: Worker, later: Worker, home: Path, where: str, decay: int
) -> None:
    config = {"decay": decay}
    straight = run(later, "straight", max_steps=40, eval_every=6, config=config)
    quick = run(
        worker, "quick", max_steps=15, config=config, keep_for_steps=40, keep_on_disk=where != "in memory"
    )
    assert quick["inherited_steps"] == 0
    assert quick["kept"]["step"] == 15 - decay
    assert (home / "quick/checkpoint").exists() == (where != "in memory")

    if where == "on disk":
        run(worker, "between", max_steps=2)
    second = later if where == "in another process" else worker
    fields = {"max_steps": 40, "eval_every": 6, "config": config}
    prepared = begin(second, **fields, continue_from=after(home, "quick", 15 - decay))
    assert (prepared["inherited_steps"], prepared["not_inherited"]) == (15 - decay, None)
    medium = go(second, "medium")

    assert numbers(medium) == numbers(straight)
    assert medium["inherited_steps"] == 15 - decay
    own = [look for look in straight["evaluations"] if look[0] > 15 - decay]
    inherited = [look for look in quick["evaluations"] if look[0] <= 15 - decay]
    assert medium["evaluations"] == inherited + own
    assert medium["curve"] == [[step, loss] for step, loss, *_ in inherited + own]
    assert [told["step"] for told in second.evaluations] == [look[0] for look in own]
    marked = [(line["step"], line.get("inherited", False)) for line in metrics(home, "medium")]
    assert marked == [(look[0], True) for look in inherited] + [(look[0], False) for look in own]
    assert f"goes on after step {15 - decay}" in (home / "medium/out.log").read_text()
    assert medium["kept"] is None


def test_what_a_run_inherits_is_on_disk_before_its_result_says_so(worker: Worker, home: Path) -> None:
    quick = run(worker, "quick", max_steps=5, keep_for_steps=9)
    files = [path for path in (home / "quick/checkpoint").rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"walk.txt", "checkpoint.json"}
    assert quick["kept"] == {"step": 5, "bytes": sum(path.stat().st_size for path in files)}
    assert {path.name for path in (home / "quick").iterdir()} == {
        "checkpoint", "metrics.jsonl", "out.log", "result.json", "scores.npy"
    }  # fmt: skip


def test_nothing_is_kept_unless_somebody_asks(worker: Worker, home: Path) -> None:
    prepared = begin(worker, max_steps=5)
    assert (prepared["keep_step"], go(worker, "quick")["kept"]) == (None, None)
    assert not (home / "quick/checkpoint").exists()


def test_a_run_that_ends_before_its_time_keeps_nothing(worker: Worker, home: Path) -> None:
    begin(worker, max_steps=500, eval_every=1, keep_for_steps=600, config={"pause_seconds": 0.02})
    worker.say("go", run_dir=str(home / "quick"))
    worker.hear("evaluation")
    worker.say("stop", status="pruned", reason="a no-op")
    assert worker.hear("finished")["result"]["kept"] is None
    assert not (home / "quick/checkpoint").exists()


def test_a_chain_of_runs_carries_its_whole_curve_and_time(worker: Worker, home: Path) -> None:
    first = run(worker, "quick", max_steps=8, keep_for_steps=16, config={"pause_seconds": 0.01})
    second = run(
        worker, "medium", max_steps=16, keep_for_steps=24, continue_from=after(home, "quick", 8),
        config={"pause_seconds": 0.01},
    )  # fmt: skip
    third = run(
        worker, "long", max_steps=24, continue_from=after(home, "medium", 16), config={"pause_seconds": 0.01}
    )
    assert [look[0] for look in third["evaluations"]] == [4, 8, 12, 16, 20, 24]
    assert third["inherited_steps"] == 16
    assert 0.16 <= third["inherited_seconds"] < first["wall_seconds"] + second["wall_seconds"]
    assert third["train_seconds"] < third["inherited_seconds"]
    assert third["best_val_loss"] == min(loss for _, loss, *_ in third["evaluations"])


def test_inherited_seconds_count_towards_the_time_budget(worker: Worker, home: Path) -> None:
    slow = {"pause_seconds": 0.1}
    run(worker, "quick", max_steps=8, keep_for_steps=80, config=slow)
    medium = run(
        worker, "medium", max_steps=80, eval_every=1, seconds=1.0, config=slow,
        continue_from=after(home, "quick", 8),
    )  # fmt: skip
    assert medium["status"] == "timed_out"
    assert 8 < medium["steps"] <= 11


def test_evaluations_on_another_number_of_examples_are_not_carried_over(worker: Worker, home: Path) -> None:
    run(worker, "quick", max_steps=8, keep_for_steps=16, context={"n_eval": 3})
    medium = run(worker, "medium", max_steps=16, continue_from=after(home, "quick", 8), context={"n_eval": 9})
    assert medium["inherited_steps"] == 8
    assert [look[0] for look in medium["evaluations"]] == [12, 16]


def damage_file(folder: Path) -> None:
    path = folder / "parts/walk.txt"
    path.write_text(path.read_text().replace("3", "4"))


def lose_file(folder: Path) -> None:
    (folder / "parts/walk.txt").unlink()


def tear_manifest(folder: Path) -> None:
    path = folder / "checkpoint.json"
    path.write_bytes(path.read_bytes()[:-9])


def age_manifest(folder: Path) -> None:
    path = folder / "checkpoint.json"
    path.write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | {"v": 0}))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damage_file, "is damaged: it is not what was written"),
        (lose_file, "is damaged"),
        (tear_manifest, "there is no checkpoint in"),
        (age_manifest, "is a checkpoint of version 0, not 1"),
        (lambda folder: folder.rename(folder.with_name("gone")), "there is no checkpoint in"),
    ],
)
def test_a_checkpoint_that_is_not_whole_costs_time_and_nothing_else(
    worker: Worker, later: Worker, home: Path, damage: Any, said: str
) -> None:
    run(worker, "quick", max_steps=8, keep_for_steps=16)
    damage(home / "quick/checkpoint")
    prepared = begin(later, max_steps=16, continue_from=after(home, "quick", 8))
    assert prepared["inherited_steps"] == 0
    assert said in prepared["not_inherited"]
    medium = go(later, "medium")
    assert medium["inherited_steps"] == 0
    assert [look[0] for look in medium["evaluations"]] == [4, 8, 12, 16]
    assert numbers(medium) == numbers(run(worker, "straight", max_steps=16))
    assert "begins with the first step: " in (home / "medium/out.log").read_text()


@pytest.mark.parametrize("where", ["in memory", "on disk"])
@pytest.mark.parametrize(
    ("other", "step", "said"),
    [
        ({"config": {"pull": 0.2}}, 8, "another config"),
        ({"context": {"seed": 8}}, 8, "another seed"),
        ({"bsz": 3}, 8, "another bsz"),
        ({"context": {"threads": 2}}, 8, "another threads"),
        ({}, 7, "is of step 8, not 7"),
        ({"max_steps": 8}, 8, "leaves nothing to do until 8"),
    ],
)
def test_a_state_that_does_not_fit_is_left_alone(
    worker: Worker, later: Worker, home: Path, where: str, other: dict[str, Any], step: int, said: str
) -> None:
    run(worker, "quick", max_steps=8, keep_for_steps=16)
    second = worker if where == "in memory" else later
    prepared = begin(second, **{"max_steps": 16, **other}, continue_from=after(home, "quick", step))
    assert prepared["inherited_steps"] == 0
    assert said in prepared["not_inherited"]
    assert go(second, "medium")["status"] == "ok"


def test_a_state_beyond_what_two_budgets_share_is_left_alone(worker: Worker, home: Path) -> None:
    run(worker, "quick", max_steps=12, keep_for_steps=30, config={"decay": 4})
    prepared = begin(worker, max_steps=10, config={"decay": 4}, continue_from=after(home, "quick", 8))
    assert prepared["not_inherited"] == (
        "the state is of step 8, but runs to 12 and to 10 steps have 6 in common"
    )


def test_an_attempt_may_go_on_from_one_of_the_same_budget(worker: Worker, home: Path) -> None:
    """Beyond what budgets share, too: it is the same run."""
    config = {"decay": 4}
    run(worker, "first", max_steps=12, keep_for_steps=12, config=config)
    second = run(worker, "second", max_steps=12, config=config, continue_from=after(home, "first", 8))
    assert second["inherited_steps"] == 8
    assert numbers(second) == numbers(run(worker, "straight", max_steps=12, config=config))


def test_a_changed_trainer_does_not_go_on_from_what_the_old_one_kept(
    worker: Worker, later: Worker, home: Path
) -> None:
    run(worker, "quick", max_steps=8, keep_for_steps=16)
    (home / "trainers/walk.py").write_text(TRAINER + "# changed\n")
    prepared = begin(later, max_steps=16, continue_from=after(home, "quick", 8))
    assert prepared["not_inherited"] == "the state is of a run with another source"


def test_a_trainer_that_fails_to_resume_begins_with_the_first_step(worker: Worker, home: Path) -> None:
    config = {"breaks": "resume"}
    run(worker, "quick", max_steps=8, keep_for_steps=16, config=config)
    prepared = begin(worker, max_steps=16, config=config, continue_from=after(home, "quick", 8))
    assert prepared["not_inherited"] == "size mismatch"
    medium = go(worker, "medium")
    assert (medium["status"], medium["inherited_steps"]) == ("ok", 0)
    assert "Traceback" in (home / "medium/out.log").read_text()


def test_a_trainer_without_continuation_keeps_nothing_and_goes_on_from_nothing(
    worker: Worker, home: Path
) -> None:
    (home / "trainers/plain.py").write_text(TRAINER.replace("def resume", "def not_resume"))
    run(worker, "quick", max_steps=8, keep_for_steps=16)
    prepared = begin(
        worker, trainer="plain", max_steps=16, keep_for_steps=20, continue_from=after(home, "quick", 8)
    )
    assert (prepared["keep_step"], prepared["not_inherited"]) == (None, "this trainer cannot continue a run")
    assert go(worker, "medium")["kept"] is None


def test_a_state_that_cannot_be_written_leaves_the_run_its_result(worker: Worker, home: Path) -> None:
    config = {"breaks": "save"}
    quick = run(worker, "quick", max_steps=8, keep_for_steps=16, config=config)
    assert (quick["status"], quick["kept"]) == ("ok", {"step": 8, "bytes": None})
    assert "No space left on device" in (home / "quick/out.log").read_text()
    assert not [path for path in (home / "quick").iterdir() if "checkpoint" in path.name]
    medium = run(worker, "medium", max_steps=16, config=config, continue_from=after(home, "quick", 8))
    assert medium["inherited_steps"] == 8


def test_a_state_is_held_until_the_next_run_and_no_longer(worker: Worker, home: Path) -> None:
    run(worker, "quick", max_steps=8, keep_for_steps=16, keep_on_disk=False)
    run(worker, "between", max_steps=2)
    prepared = begin(worker, max_steps=16, continue_from=after(home, "quick", 8))
    assert "there is no checkpoint in" in prepared["not_inherited"]


def test_a_checkpoint_appears_whole_or_not_at_all(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is cut short, the name `checkpoint` never leads to half of one."""
    from types import SimpleNamespace

    origin = _checkpoint.Origin(step=1, max_steps=2, maker={}, n_eval=None, train_seconds=0.0, evaluations=())
    kept = _checkpoint.Kept(folder=home / "checkpoint", origin=origin, state=None)
    synced: list[str] = []
    real_sync, real_rename = _checkpoint._sync, Path.rename

    def rename(path: Path, target: Path) -> Path:
        assert {"state", "checkpoint.json", path.name} <= set(synced)
        assert not target.exists()
        return real_rename(path, target)

    def sync(path: Path) -> None:
        synced.append(path.name)
        real_sync(path)

    monkeypatch.setattr(_checkpoint, "_sync", sync)
    monkeypatch.setattr(Path, "rename", rename)
    module = SimpleNamespace(save=lambda state, folder: (folder / "state").write_text("x"))
    for _ in range(2):
        _checkpoint.write(kept, module)
    assert synced[-1] == home.name
    assert sorted(os.listdir(home / "checkpoint")) == ["checkpoint.json", "state"]
