"""Is the guide to a trainer of one's own true? Its trainers keep the contract, and its round runs."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from real_home import Home

from trainers import testing
from trainers.contract import DataError

GUIDE = Path(__file__).parents[2] / "docs" / "trainers" / "your-own.md"


def block(name: str) -> str:
    """The code block that is marked ```<language> <name>."""
    found = re.search(rf"^```\w+ {name}\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None, f"the guide has no block {name}"
    return found[1]


def write_home(root: Path) -> None:
    (root / "trainers").mkdir(exist_ok=True)
    (root / "trainers" / "coin.py").write_text(block("trainer"))
    (root / "trainers" / "urn.py").write_text(block("whole"))
    (root / "draws.txt").write_text("red\nblue\nred\n" * 30)
    (root / "test_trainers.py").write_text(block("contract"))


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The tests that the guide tells a newcomer to write, in a home as it tells them to make."""
    root = tmp_path_factory.mktemp("newcomer")
    write_home(root)
    spec = importlib.util.spec_from_file_location("test_trainers", root / "test_trainers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PROMISES = [name for name in vars(testing.TrainerContract) if name.startswith("test_")]


@pytest.mark.parametrize("trainer", ["TestCoin", "TestUrn"])
@pytest.mark.parametrize("promise", PROMISES)
def test_a_trainer_of_the_guide_keeps(guide: ModuleType, tmp_path: Path, trainer: str, promise: str) -> None:
    keep(getattr(guide, trainer), promise, tmp_path)


def keep(suite: type[testing.TrainerContract], promise: str, tmp_path: Path) -> None:
    test = getattr(suite(), promise)
    test(**({"tmp_path": tmp_path} if "tmp_path" in test.__code__.co_varnames[:2] else {}))


#: as if it had imported what takes seconds
HEAVY = "import random, sys\nsys.modules['transformers'] = sys\n"


@pytest.mark.parametrize(
    ("promise", "before", "after"),
    [
        ("the_same_seed_gives_the_same_bits", "random.Random(context.seed)", "random.Random()"),
        ("it_is_found_and_imports_nothing_heavy", "import random\n", HEAVY),
        ("every_argument_is_described_and", ', description="step size of the estimate"', ""),
        ("the_fingerprint_tells_data_apart", 'f"coin-{config.heads}"', '"coin"'),
        ("the_fingerprint_tells_data_apart", 'f"coin-{config.heads}"', 'f"{config.heads} {config.rate}"'),
        ("evaluations_come_at_fixed_points", " or step == context.max_steps", " or step == 5"),
        ("evaluations_come_at_fixed_points", "step % every == 0", "step % (1 + context.seed) == 0"),
        ("preparing_writes_nothing_but", "    return config", '    context.run_dir.joinpath("x").touch()'),
        ("scores_are_what_acc_is", "acc=1.0 - error", "acc=None"),
    ],
)  # fmt: skip
def test_a_promise_that_is_broken_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, promise: str, before: str, after: str
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)  # gone again after the test, whoever imports it
    write_home(tmp_path)
    source = tmp_path / "trainers" / "coin.py"
    assert before in block("trainer")
    broken = block("trainer").replace(before, after).replace("loss=error, acc=None", "loss=None, acc=None")
    name = f"coin_{abs(hash((promise, after)))}"
    source.rename(source.with_name(f"{name}.py")).write_text(broken)

    class Suite(testing.TrainerContract):
        trainer, home = name, tmp_path
        arguments, variant, other_data = {"heads": 0.9}, {"rate": 0.3}, {"heads": 0.8}
        max_steps, eval_every = 67, 10

    (whole,) = [known for known in PROMISES if promise in known]
    (tmp_path / "scratch").mkdir()
    with pytest.raises(AssertionError):
        keep(Suite, whole, tmp_path / "scratch")


def test_an_urn_without_its_file_is_a_data_failure(guide: ModuleType, tmp_path: Path) -> None:
    class Suite(guide.TestUrn):
        arguments = {"data": "gone.txt"}  # noqa: RUF012

    with pytest.raises(DataError, match=r"there is no file gone\.txt"):
        keep(Suite, "test_the_same_seed_gives_the_same_bits", tmp_path)


def test_the_round_of_the_guide_runs(home: Home) -> None:
    root: Path = home.paths.root
    write_home(root)
    home.start()
    home.drop("coin", block("round"))
    home.wait_for("coin")
    ends: list[dict[str, Any]] = home.events("coin", "run_finished")
    assert [(end["config"], end["status"], end["steps"]) for end in ends] == [
        ("baseline", "ok", 40),
        ("slow", "ok", 40),
    ]


def test_the_guide_needs_no_package_that_is_not_there() -> None:
    imported = re.findall(r"^(?:from|import) (\w+)", block("trainer") + block("whole"), re.MULTILINE)
    assert set(imported) <= {*sys.stdlib_module_names, "numpy", "pydantic", "trainers"}
