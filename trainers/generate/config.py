"""Which arguments does the trainer take, in which units, and which of them may an iteration change?"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pydantic import Field, model_validator

from trainers.contract import DataError, Fingerprint, TrainerConfig, argument_problems, protocol_field
from trainers.generate.metrics import DEFINITIONS, LATEST
from trainers.generate.texts import CLEANING_VERSION
from trainers.generate.world import WORLD_VERSION, prompts

#: of the base model's training: raise it with every change that alters its weights
RECIPE_VERSION = 1
#: of the way from a parameter set to a sample: raise it with every change that alters a sample
SAMPLING_VERSION = 1

#: samples of a run where neither the stage nor the task says how many
N_SAMPLES = 100

_MOST_STOPS = 16
_PROMPT_KEYS = ("prompt", "instruction")


class Config(TrainerConfig):
    """Samples from a small base model of instructions, judged by that model as a critic."""

    # The parameter set, which is what an iteration changes.
    temperature: float = Field(
        0.7, ge=0, le=10, description="divides the logits; 0 takes the likeliest token"
    )
    top_p: float = Field(
        0.95, gt=0, le=1, description="probability that the kept tokens make up, likeliest first; 1 keeps all"
    )
    repetition_penalty: float = Field(
        1.0, ge=0.1, le=10, description="makes tokens of the prompt and the sample less likely; 1 is none"
    )
    max_new_tokens: int = Field(64, ge=1, le=4096, description="tokens after which a sample is cut off")
    stop: tuple[str, ...] = Field(
        (), description=f"texts that end a sample and are no part of it; at most {_MOST_STOPS}"
    )

    # What is sampled and how it is judged: part of the protocol.
    prompts: str | None = protocol_field(
        None,
        description="file of instructions, relative to the home: .jsonl with a field `prompt`, or text with"
        " an instruction a line; None takes the built-in set, which the base model never read",
    )
    n_prompts: int = protocol_field(200, ge=1, le=500, description="instructions in the built-in set")
    n_samples: int = protocol_field(
        N_SAMPLES, ge=1, le=1_000_000, description="samples of a run; the stage's n_eval goes before it"
    )
    critic: bool = protocol_field(True, description="ask the base model for its opinion on every answer")
    definitions: str = protocol_field(LATEST, description="version of the metrics' definitions")

    # The built-in base model.
    base_steps: int = protocol_field(1300, ge=1, le=100_000, description="optimizer steps of its training")
    base_seed: int = protocol_field(0, ge=0, description="of its training data and first weights")

    @model_validator(mode="after")
    def _fits(self) -> Config:
        problems: list[tuple[str | None, str]] = []
        if len(self.stop) > _MOST_STOPS:
            problems.append(
                ("stop", f"names {len(self.stop)} sequences; at most {_MOST_STOPS} are searched for")
            )
        if not all(self.stop):
            problems.append(("stop", "an empty sequence would end every sample at once; leave it out"))
        if len(set(self.stop)) < len(self.stop):
            problems.append(("stop", "names a sequence twice"))
        if self.definitions not in DEFINITIONS:
            known = ", ".join(DEFINITIONS)
            problems.append(("definitions", f"there is no version {self.definitions!r}; there are {known}"))
        if problems:
            raise argument_problems(problems)
        return self


def fingerprint(config: Config) -> Fingerprint:
    """Prompts and the versions of all that is generated. Raises DataError for a file without prompts."""
    versions = [WORLD_VERSION, RECIPE_VERSION, SAMPLING_VERSION, CLEANING_VERSION]
    told = {
        "versions": versions,
        "base": [config.base_steps, config.base_seed],
        "definitions": config.definitions,
        "critic": config.critic,
    }
    parts = {"prompts": _digest(instructions(config)), "base and versions": _digest(told)}
    return Fingerprint(digest=_digest(parts), parts=parts)


def examples(config: Config, n_eval: int | None) -> tuple[int, int | None]:
    """Samples of a run, and how many different prompts they answer."""
    count = n_eval or config.n_samples
    return count, min(count, len(instructions(config)))


def instructions(config: Config) -> tuple[str, ...]:
    """The prompt set, in order. Raises DataError."""
    if config.prompts is None:
        return prompts(config.n_prompts)
    path = Path(config.prompts)
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise _data_error(f"{config.prompts} cannot be read: {error}") from error
    if not lines:
        raise _data_error(f"{config.prompts} holds no prompt; write one a line")
    if path.suffix != ".jsonl":
        return tuple(line.strip() for line in lines)
    return tuple(_prompt_in(line, f"{config.prompts}, line {number}") for number, line in enumerate(lines, 1))


def _prompt_in(line: str, place: str) -> str:
    try:
        told = json.loads(line)
    except ValueError as error:
        raise _data_error(f"{place}: no JSON ({error})") from error
    if isinstance(told, dict):
        for key in _PROMPT_KEYS:
            if isinstance(told.get(key), str) and told[key].strip():
                return str(told[key]).strip()
    raise _data_error(f'{place}: needs an object with a text `prompt`, such as {{"prompt": "Write a tale."}}')


def _data_error(message: str) -> DataError:
    error = DataError(message)
    error.field = "prompts"
    return error


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
