"""Which arguments are refused, with which words, and what tells two data sets apart?"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from trainers.contract import protocol_fields
from trainers.future_seed import Config, cost, fingerprint
from trainers.future_seed.text.arguments import TextArguments

IMPORTS_WITHOUT_TORCH = """
import sys
import trainers.future_seed as trainer
config = trainer.Config(task="rightcopy", gate="head")
trainer.fingerprint(config), trainer.cost(config), trainer.shared_steps(config, 10, 20)
print(sorted({"torch", "numpy"} & set(sys.modules)))
"""


def test_the_trainer_is_imported_and_validates_without_torch_and_numpy():
    command = [sys.executable, "-c", IMPORTS_WITHOUT_TORCH]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer_start": 4}, "layer_start = 4 must be less than n_layer = 4: the layers are 0 to 3"),
        ({"masked": 17}, "masked = 17 is more than the 16 cells of the grid"),
        ({"side": 9, "masked": 82}, "masked = 82 is more than the 81 cells of the grid"),
        ({"head_size": 12}, "head_size = 12 does not divide d_model = 32"),
        ({"task": "rightcopy", "side": 9}, "side = 9 has no effect on the task 'rightcopy': remove it"),
        ({"length": 3}, "length = 3 has no effect on the task 'sudoku': remove it"),
        ({"task": "permfill", "length": 5}, "masked = 6 is more than the length 5"),
        ({"task": "kvsort", "length": 20}, "symbols = 16 is too few: 20 different ones are drawn"),
        ({"task": "middlematch", "length": 2}, "length = 2 leaves no name between two others"),
        ({"gate": "scalar", "n_layer": 1, "layer_start": 0}, "n_layer = 1 leaves no layer to seed"),
        ({"betas": [0.9, 1.0]}, "betas = [0.9, 1.0] must both lie in 0 <= beta < 1"),
        ({"decay_share": 0.1}, "decay_share = 0.1 has no effect on lr_schedule = 'cosine': remove it"),
        ({"lr_schedule": "wsd", "decay_share": 1.0}, "less than 1"),
        ({"gate": "vector"}, "'none', 'scalar', 'head' or 'input'"),
        ({"side": 5}, "4 or 9"),
        ({"masked": 0}, "greater than or equal to 1"),
        ({"alpha_lr": -1.0}, "greater than or equal to 0"),
        ({"clip": 0.0}, "greater than 0"),
        ({"layer_begin": 2}, "Extra inputs are not permitted"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_arguments_that_cannot_work_are_refused_with_the_reason(arguments, message):
    with pytest.raises(ValidationError) as refused:
        Config(**arguments)
    assert message in str(refused.value)


def test_all_problems_are_told_at_once():
    with pytest.raises(ValidationError) as refused:
        Config(layer_start=7, masked=40, head_size=5)
    assert all(word in str(refused.value) for word in ("layer_start", "masked", "head_size"))


def test_a_config_survives_a_dump():
    config = Config(task="rightcopy", gate="head", betas=(0.8, 0.95), layer_start=2)
    assert Config(**config.model_dump(mode="json")) == config


def test_the_defaults_are_the_reference_run():
    config = Config()
    assert (config.d_model, config.n_layer, config.n_head) == (32, 4, 2)
    assert (config.lr, config.betas, config.weight_decay) == (8e-3, (0.9, 0.98), 0.01)
    assert (config.warmup, config.lr_schedule, config.clip_grad) == (20, "cosine", 1.0)
    assert (config.task, config.side, config.masked, config.mask) == ("sudoku", 4, 6, "random")


def test_data_evaluation_and_layout_belong_to_the_protocol_and_the_gate_does_not():
    fields = protocol_fields(Config)
    assert fields == {
        "task", "layout", "side", "masked", "mask", "length", "symbols", "n_eval", "precision"
    } | {*TextArguments.model_fields} - {"embedding_dim", "temperature"}  # fmt: skip
    assert not fields & {"gate", "layer_start", "alpha_init", "lr", "d_model"}


def test_every_argument_is_described():
    assert all(field.description for field in Config.model_fields.values())


def test_the_fingerprint_names_the_data_and_nothing_else():
    same = [Config(), Config(gate="scalar", lr=1e-3, d_model=64), Config(layer_start=3)]
    assert len({fingerprint(config).digest for config in same}) == 1
    different = [
        Config(),
        Config(masked=7),
        Config(mask="prefix"),
        Config(side=9, masked=28),
        Config(n_eval=2048),
        Config(layout="prompt"),
        Config(task="rightcopy"),
        Config(task="rightcopy", length=9),
        Config(task="constr"),
    ]
    assert len({fingerprint(config).digest for config in different}) == len(different)
    assert fingerprint(Config()).is_complete


def test_the_fingerprint_changes_with_the_generator(monkeypatch):
    from trainers.future_seed import config as module

    before = fingerprint(Config())
    monkeypatch.setattr(module, "GENERATOR_VERSION", module.GENERATOR_VERSION + 1)
    after = fingerprint(Config())
    assert before.digest != after.digest
    assert all(before.parts[name] != after.parts[name] for name in ("train set", "eval set"))


def test_the_size_of_the_evaluation_set_changes_only_its_own_part():
    few, many = fingerprint(Config(n_eval=100)), fingerprint(Config(n_eval=200))
    assert few.parts["train set"] == many.parts["train set"]
    assert few.parts["eval set"] != many.parts["eval set"]


def test_the_costliest_variant_is_known_without_running_it():
    assert cost(Config(gate="scalar")) > cost(Config())
    assert cost(Config(gate="scalar")) > cost(Config(gate="scalar", layer_start=3))
    assert cost(Config(gate="scalar")) > cost(Config(gate="scalar", detach=True))
    assert cost(Config(layout="prompt")) > cost(Config(gate="scalar"))
    assert cost(Config(n_layer=5)) > cost(Config(gate="scalar"))


EXAMPLES = Path(__file__).parents[2] / "queue" / "examples"


@pytest.mark.parametrize("name", ["demo.toml", "adaptive_search.toml", "grid.toml", "real_text.toml"])
def test_the_example_specs_hold_arguments_that_the_trainer_accepts(name):
    spec = tomllib.loads((EXAMPLES / name).read_text())
    for task in spec["tasks"]:
        assert task["trainer"] == "future_seed"
        grid = task.get("grid", {})
        first = {key: values[0] for key, values in grid.items()}
        last = {key: values[-1] for key, values in grid.items()}
        variants = [task["baseline"], *task.get("variants", {}).values()]
        variants += [{**task.get("grid_base", {}), **point} for point in (first, last) if grid]
        assert len(variants) > 1
        for variant in variants:
            assert not protocol_fields(Config) & variant.keys()
            Config(**{**task["args"], **variant})
