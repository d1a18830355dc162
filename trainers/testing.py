"""Does a trainer keep the promises of `contract.py`? Tests that a test class inherits, run by pytest.

    class TestCoin(TrainerContract):
        trainer = "coin"                       # in the `trainers/` of `home`, or shipped
        home = Path(__file__).parent
        arguments = {"heads": 0.9}             # small: each test trains a few steps
        variant = {"rate": 0.3}                # what a variant may change
        other_data = {"heads": 0.8}            # what makes other data of it

What depends on something a trainer does not have (a state, scores) passes over it. Metrics whose names end in
`_seconds` may differ between equal runs. Not for a trainer that ends itself (`ENDS_ITSELF`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from trainers import _registry
from trainers.contract import Context, Evaluation, TrainerConfig, protocol_fields


class TrainerContract:
    """Inherit, say what is tested, and pytest runs every `test_` method."""

    trainer: ClassVar[str]
    #: with `trainers/` in it; not needed for a shipped one
    home: ClassVar[Path] = Path()
    arguments: ClassVar[Mapping[str, Any]] = {}
    #: arguments of a variant of the same data
    variant: ClassVar[Mapping[str, Any]] = {}
    #: protocol arguments that make other data; empty where a trainer has but one
    other_data: ClassVar[Mapping[str, Any]] = {}
    #: None for a trainer that counts no steps
    max_steps: ClassVar[int | None] = 6
    eval_every: ClassVar[int] = 2
    n_eval: ClassVar[int | None] = None
    bsz: ClassVar[int | None] = None
    _whole_run: ClassVar[list[Evaluation]]

    def test_it_is_found_and_imports_nothing_heavy(self) -> None:
        """The check of a spec imports trainers where torch is not; so may a machine without a GPU stack."""
        module = self._module()
        if module.__name__.startswith("trainers."):
            load = f"import {module.__name__}"
        else:
            load = (
                "from pathlib import Path; from trainers import _registry; "
                f"_registry.load({self.trainer!r}, Path({str(self.home.resolve())!r}))"
            )
        code = f"import sys; {load}; print(sorted({{'torch', 'transformers'}} & sys.modules.keys()))"
        done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
        assert done.stdout.strip() == "[]", f"import it inside prepare and train: {done.stdout}{done.stderr}"

    def test_every_argument_is_described_and_unknown_ones_are_refused(self) -> None:
        fields = self._module().Config.model_fields
        bare = [name for name, field in fields.items() if not field.description]
        assert not bare, f"say what these are, with their unit: Field(..., description=...): {bare}"
        try:
            self._config(no_such_argument_at_all=1)
        except ValueError:
            return
        raise AssertionError("a misspelt argument must be an error: inherit Config from TrainerConfig")

    def test_a_resolved_config_reads_as_the_one_it_came_from(self) -> None:
        config = self._config(**self.variant)
        again = type(config).model_validate(config.model_dump(mode="json"))
        assert again == config, "the daemon passes configs on as JSON"

    def test_the_fingerprint_tells_data_apart_and_variants_not(self, tmp_path: Path) -> None:
        fingerprint = self._module().fingerprint
        changed = protocol_fields(self._module().Config) & self.variant.keys()
        assert not changed, f"a variant may not change {sorted(changed)}: these are protocol fields"
        with self._surroundings(tmp_path):
            known = fingerprint(self._config())
            assert fingerprint(self._config()) == known, "the same arguments have the same fingerprint"
            variant = fingerprint(self._config(**self.variant))
            assert variant == known, "a fingerprint may depend on protocol fields only"
            if self.other_data:
                other = fingerprint(self._config(**self.other_data))
                assert other.digest != known.digest, f"{dict(self.other_data)} makes other data"

    def test_the_same_seed_gives_the_same_bits(self, tmp_path: Path) -> None:
        first, again = self._whole(tmp_path), self._run(tmp_path / "again")
        assert list(map(_told, first)) == list(map(_told, again)), "seed everything from context.seed"

    def test_evaluations_come_at_fixed_points_the_last_at_the_last_step(self, tmp_path: Path) -> None:
        evaluations = self._whole(tmp_path)
        steps = [evaluation.step for evaluation in evaluations]
        assert steps == sorted(set(steps)), f"steps only rise: {steps}"
        if self.max_steps is not None:
            assert steps[-1] == self.max_steps, f"the last evaluation is at max_steps: {steps}"
        other_seed = [evaluation.step for evaluation in self._run(tmp_path / "other", seed=1)]
        assert steps == other_seed, "points come from the arguments alone, or runs cannot be compared"

    def test_scores_are_what_acc_is_the_mean_of(self, tmp_path: Path) -> None:
        for evaluation in self._whole(tmp_path):
            assert evaluation.loss is not None or evaluation.acc is not None or evaluation.extra
            if evaluation.scores is None:
                continue
            assert str(evaluation.scores.dtype) == "float32"
            assert evaluation.scores.ndim == 1, "a score per example"
            if evaluation.acc is not None:
                assert abs(float(evaluation.scores.mean()) - evaluation.acc) < 1e-5

    def test_the_size_of_the_evaluation_set_is_as_announced(self, tmp_path: Path) -> None:
        announce = getattr(self._module(), "examples", None)
        with self._surroundings(tmp_path):
            announced = announce(self._config(), self.n_eval) if announce else None
        if announced is not None:
            last = self._whole(tmp_path)[-1]
            found = last.n_eval if last.scores is None else len(last.scores)
            assert found == announced[0]

    def test_preparing_writes_nothing_but_its_cache(self, tmp_path: Path) -> None:
        with self._surroundings(tmp_path) as context:
            before = _files(tmp_path)
            self._module().prepare(self._config(), context)
        new = [path for path in _files(tmp_path) - before if context.cache_dir not in path.parents]
        assert not new, f"the run does not exist yet: {sorted(map(str, new))}"

    def test_a_stop_at_any_evaluation_leaves_the_evaluations_before_it_as_they_were(
        self, tmp_path: Path
    ) -> None:
        whole = self._whole(tmp_path)
        for length in range(1, len(whole)):
            cut = self._run(tmp_path / str(length), evaluations=length)
            assert list(map(_told, cut)) == list(map(_told, whole[:length]))

    def test_a_run_that_goes_on_from_a_state_ends_in_the_bits_of_one_that_never_stopped(
        self, tmp_path: Path
    ) -> None:
        module = self._module()
        if self.max_steps is None or not hasattr(module, "shared_steps"):
            return
        at = min(self.eval_every, module.shared_steps(self._config(), self.eval_every, self.max_steps))
        if at == 0:
            return  # its schedule depends on the budget
        whole = self._whole(tmp_path)
        kept: list[Any] = []
        with self._surroundings(tmp_path / "shorter", keep_step=at, keep=kept.append) as context:
            for _ in module.train(module.prepare(self._config(), context), context):
                if kept:
                    break
        assert len(kept) == 1, "train gives its state to context.keep after step context.keep_step"
        (tmp_path / "state").mkdir()
        module.save(kept[0], tmp_path / "state")
        with self._surroundings(tmp_path / "longer") as context:
            prepared = module.resume(module.prepare(self._config(), context), module.load(tmp_path / "state"))
            rest = list(module.train(prepared, context))
        expected = [evaluation for evaluation in whole if evaluation.step > at]
        assert list(map(_told, rest)) == list(map(_told, expected))

    def _module(self) -> ModuleType:
        return _registry.load(self.trainer, self.home.resolve())

    def _config(self, **changes: Any) -> TrainerConfig:
        config: TrainerConfig = self._module().Config(**{**self.arguments, **changes})
        return config

    def _whole(self, folder: Path) -> list[Evaluation]:
        """The evaluations of an uninterrupted run; of the same one in all tests of the class."""
        if "_whole_run" not in vars(type(self)):
            type(self)._whole_run = self._run(folder / "whole")
        return type(self)._whole_run

    def _run(self, folder: Path, *, seed: int = 0, evaluations: int | None = None) -> list[Evaluation]:
        """The run's evaluations, or the first so many, after which it is stopped as the worker does."""
        module, found = self._module(), []
        with self._surroundings(folder, seed=seed) as context:
            run = module.train(module.prepare(self._config(), context), context)
            for evaluation in run:
                found.append(evaluation)
                if len(found) == evaluations:
                    break
            run.close()
        return found

    @contextmanager
    def _surroundings(self, folder: Path, **changes: Any) -> Iterator[Context]:
        """A context of a few steps on one thread of the CPU, with the home as the working directory."""
        run_dir = folder / "run"
        run_dir.mkdir(parents=True, exist_ok=True)
        values: dict[str, Any] = {
            "seed": 0,
            "stage": "quick",
            "max_steps": self.max_steps,
            "time_budget_sec": 600.0,
            "eval_every": self.eval_every,
            "n_eval": self.n_eval,
            "bsz": self.bsz,
            "device": "cpu",
            "threads": 1,
            "cache_dir": folder / "cache",
            "run_dir": run_dir,
        }
        before = Path.cwd()
        os.chdir(self.home)
        try:
            yield Context(**{**values, **changes})
        finally:
            os.chdir(before)


def _told(evaluation: Evaluation) -> tuple[Any, ...]:
    """Of an evaluation all that has to be the same again; how long something took does not."""
    scores = None if evaluation.scores is None else evaluation.scores.tobytes()
    metrics = sorted(evaluation.extra.items())
    extra = tuple((name, repr(value)) for name, value in metrics if not name.endswith("_seconds"))
    return evaluation.step, repr(evaluation.loss), repr(evaluation.acc), scores, extra


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}
