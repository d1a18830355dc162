"""Which runs may be compared, and which are the same run? Hashes over everything that must be equal."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from scheduler.rounds.round import Budget, Task

#: hex digits kept of a digest in records; 64 bits never collide within one home
DIGEST_LENGTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What runs the training, as far as it may change a result."""

    #: "cpu" or "cuda:0"; also the key of its slot in the state
    id: str
    #: the model's name as the driver or the kernel tells it
    name: str
    #: driver version; empty on a CPU
    driver: str = ""
    #: threads a run may use on the CPU
    threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class RunKey:
    """One variant x one stage x one seed, within a round."""

    task: str
    stage: str
    config: str
    seed: int


def digest(value: Any) -> str:
    """Short stable hex digest of a JSON value; the order of keys does not matter."""
    data = orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return hashlib.sha256(data).hexdigest()[:DIGEST_LENGTH]


def protocol_of(task: Task, budget: Budget, bsz: int | None, device: Device) -> str:
    """Digest of all that must be equal for two runs to be comparable.

    The variant's own table and the seed are not in it, and neither is the name of the stage: medium and
    confirm are the same protocol.
    """
    return digest(
        {
            "trainer": task.trainer,
            "source": task.identity.source,
            "data": task.identity.data,
            "versions": task.identity.versions,
            "args": task.args,
            "budget": asdict(budget),
            "bsz": bsz,
            "device": {"name": device.name, "driver": device.driver, "threads": device.threads},
        }
    )


def content_key(protocol: str, config: Mapping[str, Any], seed: int) -> str:
    """Digest that names the result of a run: the same key is never run twice."""
    return digest({"protocol": protocol, "config": config, "seed": seed})


def slot_seed(seeds: tuple[int, ...], slot: int, protocol: str) -> int:
    """The seed of `slot`: listed ones first, then a stable hash of (protocol, slot) below 2**31."""
    if slot < len(seeds):
        return seeds[slot]
    return int(digest([protocol, slot]), 16) % 2**31


def run_folder(key: RunKey, attempt: int) -> str:
    """Name of an attempt's folder. For people: nothing parses it."""
    return f"{key.task}.{key.stage}.{key.config}.s{key.seed}.a{attempt}"


def attempt_id(round_id: str, key: RunKey, attempt: int) -> str:
    """Name of an attempt within the home, unique for ever."""
    return f"{round_id}/{run_folder(key, attempt)}"
