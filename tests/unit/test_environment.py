"""A worker sees what training needs, what its user names, and no secret."""

from __future__ import annotations

import pytest

from scheduler.effects.environment import worker_environment

HERE = {
    "PATH": "/usr/bin",
    "LC_ALL": "C",
    "CUDA_VISIBLE_DEVICES": "0",
    "HF_HOME": "/models",
    "TOKENIZERS_PARALLELISM": "false",
    "MY_DATA": "/data",
    "HF_TOKEN": "hf_x",
    "XDG_SECRET": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "PGPASSWORD": "x",
    "PYTHONPATH": "/somewhere",
}


@pytest.mark.parametrize(
    "name", ["PATH", "LC_ALL", "CUDA_VISIBLE_DEVICES", "HF_HOME", "TOKENIZERS_PARALLELISM"]
)
def test_what_training_needs_is_handed_on(name: str) -> None:
    assert worker_environment(HERE)[name] == HERE[name]


@pytest.mark.parametrize(
    "name", ["MY_DATA", "HF_TOKEN", "XDG_SECRET", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "PYTHONPATH"]
)
@pytest.mark.fault("the daemon's environment holds a token", moment="a run", outcome="it is kept back")
def test_a_secret_or_an_unknown_name_is_kept_back(name: str) -> None:
    assert name not in worker_environment(HERE)


@pytest.mark.parametrize("name", ["MY_DATA", "HF_TOKEN"])
def test_a_name_given_in_full_is_handed_on(name: str) -> None:
    assert worker_environment(HERE, [name])[name] == HERE[name]
