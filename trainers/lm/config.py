"""Which arguments does the trainer take, in which units, and which of them may a variant change?"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from trainers import _tales
from trainers.contract import Fingerprint, TrainerConfig, argument_problems, protocol_field
from trainers.lm.prompts import suite_name

#: of how text becomes tokens and windows: raise it with every change that alters one
DATA_VERSION = 1

#: windows in the frozen validation set where neither the stage nor the task says otherwise
N_EVAL = 64

#: of the built-in text; it is the data, and no run's seed changes it
TALES_SEED = 0

#: tokens that stand for one byte each; a vocabulary holds them all, so that any text can be written
N_BYTES = 256

TEXT_SUFFIXES = (".txt", ".jsonl")


class Config(TrainerConfig):
    """A decoder-only Transformer that learns to continue text. The defaults are the reference run."""

    # The data and the evaluation: part of the protocol.
    text: tuple[str, ...] = protocol_field(
        (),
        description="files to learn from, relative to the home: .txt (paragraphs between empty lines are "
        "documents) or .jsonl (an object a line, its text under text_field); none: tales for children, made "
        "on the spot",
    )
    text_field: str = protocol_field("text", min_length=1, description="jsonl: the key of the text")
    characters: int = protocol_field(
        2_500_000, ge=10_000, le=10**9, description="built-in tales: how much text, in characters"
    )
    held_out: float = protocol_field(
        0.05, gt=0, lt=0.5, description="share of the documents that only evaluate, chosen by their hash"
    )
    tokenizer: Literal["bpe", "bytes"] = protocol_field(
        "bpe",
        description="bpe: byte pairs, learnt from the training documents; bytes: 256 tokens. Without the "
        "package tokenizers bpe becomes bytes, which is another protocol",
    )
    n_vocab: int = protocol_field(
        512, ge=N_BYTES, le=65_536, description="bpe: tokens, the 256 bytes included"
    )
    context: int = protocol_field(128, ge=8, le=65_536, description="tokens in a window")
    n_eval: int | None = protocol_field(
        None,
        ge=1,
        description=f"windows in the frozen validation set ({N_EVAL} unless the stage says otherwise)",
    )
    prompt_every: int | None = protocol_field(
        None,
        ge=1,
        description="steps between readings of the prompt suite, beside those at step 0 and at the end; they "
        "are taken at the evaluation that is due then. None: at those two only",
    )
    prompts: tuple[str, ...] = protocol_field(
        (), description="beginnings to be continued in place of the suite's own, which are those of tales"
    )
    prompt_tokens: int = protocol_field(64, ge=8, le=4096, description="tokens that continue a prompt")
    init_seed: int | None = protocol_field(
        None, ge=0, description="fixes the first weights, whatever the run's seed"
    )
    data_seed: int | None = protocol_field(
        None, ge=0, description="fixes the order of the data, whatever the run's seed"
    )
    precision: Literal["float32", "bfloat16"] = protocol_field(
        "float32",
        description="of matrix products and activations; weights and optimizer stay float32",
    )

    # The model.
    d_model: int = Field(96, ge=2, description="width of the residual stream, channels")
    n_layer: int = Field(3, ge=1, description="blocks")
    n_head: int = Field(4, ge=1, description="heads of attention; they divide d_model into even widths")

    # The optimizer.
    optimizer: Literal["muon", "adamw"] = Field(
        "muon",
        description="of the hidden matrices; the embedding and the gains of the norms always learn by AdamW",
    )
    lr: float = Field(4e-3, gt=0, description="AdamW: peak learning rate, per step")
    betas: tuple[float, float] = Field((0.9, 0.95), description="AdamW: decay of its two averages, per step")
    weight_decay: float = Field(0.01, ge=0, description="AdamW: decay of matrices, per step and unit of lr")
    muon_lr: float = Field(0.02, gt=0, description="Muon: peak learning rate, per step (Jordan 2024: .02)")
    muon_momentum: float = Field(0.95, ge=0, lt=1, description="Muon: decay of its average, per step")
    muon_weight_decay: float = Field(
        0.0, ge=0, description="Muon: decay of matrices, per step and unit of muon_lr"
    )
    warmup: int = Field(30, ge=0, description="steps of linear warm-up")
    lr_schedule: Literal["constant", "wsd", "cosine"] = Field(
        "constant",
        description="after the warm-up; cosine falls to 10 % at max_steps; wsd is constant and falls over "
        "the last decay_share of max_steps; with constant and wsd longer runs go on from shorter ones",
    )
    decay_share: float = Field(
        0.2, gt=0, lt=1, description="wsd: share of max_steps, at the end, over which the learning rate falls"
    )
    clip_grad: float = Field(1.0, gt=0, description="largest norm of the gradient over all parameters")
    seed_shift: int = Field(
        0,
        ge=0,
        le=2**31,
        description="added to the run's seed. A variant that changes nothing else is a null: equal runs on "
        "other seeds, which no honest rule may call a winner",
    )

    @model_validator(mode="after")
    def _is_possible(self) -> Config:
        problems = [*self._problems_of_the_data(), *self._problems_of_the_model(), *self._problems_of_steps()]
        if problems:
            raise argument_problems(problems)
        return self

    def _without_effect(self, names: tuple[str, ...], where: str) -> list[tuple[str | None, str]]:
        return [
            (name, f"{name} = {getattr(self, name)!r} has no effect {where}: remove it")
            for name in names
            if getattr(self, name) != type(self).model_fields[name].default
        ]

    def _problems_of_the_data(self) -> list[tuple[str | None, str]]:
        problems: list[tuple[str | None, str]] = [
            ("text", f"text: {name} is neither .txt nor .jsonl: give it one of these endings")
            for name in self.text
            if not name.endswith(TEXT_SUFFIXES)
        ]
        if self.text:
            problems += self._without_effect(("characters",), "on files (text)")
        if not any(name.endswith(".jsonl") for name in self.text):
            problems += self._without_effect(("text_field",), "without a .jsonl file")
        if self.tokenizer == "bytes":
            problems += self._without_effect(("n_vocab",), "on bytes")
        if not all(prompt.strip() for prompt in self.prompts):
            problems.append(("prompts", "prompts: an empty one is no beginning: remove it"))
        if self.prompt_tokens >= self.context:
            problems.append(
                (
                    "prompt_tokens",
                    f"prompt_tokens = {self.prompt_tokens} leaves no room for a prompt in a context of "
                    f"{self.context}: make it shorter",
                )
            )
        if self.init_seed is not None and self.data_seed is not None:
            problems.append(
                ("data_seed", "init_seed and data_seed are both fixed, so no seed would change anything")
            )
        return problems

    def _problems_of_the_model(self) -> list[tuple[str | None, str]]:
        if self.d_model % (2 * self.n_head) == 0:
            return []
        return [
            (
                "n_head",
                f"n_head = {self.n_head} does not divide d_model = {self.d_model} into even widths, which "
                "rotary positions need",
            )
        ]

    def _problems_of_steps(self) -> list[tuple[str | None, str]]:
        problems: list[tuple[str | None, str]] = []
        if not all(0 <= beta < 1 for beta in self.betas):
            problems.append(("betas", f"betas = {list(self.betas)} must both lie in 0 <= beta < 1"))
        if self.optimizer == "adamw":
            names = ("muon_lr", "muon_momentum", "muon_weight_decay")
            problems += self._without_effect(names, "with optimizer = 'adamw'")
        if self.lr_schedule != "wsd":
            problems += self._without_effect(("decay_share",), f"on lr_schedule = {self.lr_schedule!r}")
        return problems


def fingerprint(config: Config) -> Fingerprint:
    """Names the text, the split, the tokenizer and the prompt suite. Files are read, tales are not made."""
    split = {"version": DATA_VERSION, "held_out": config.held_out}
    parts = {"text": _text_digest(config)} if not config.text else _file_digests(config)
    parts |= {
        "split": _digest(split),
        "tokenizer": _digest({"name": config.tokenizer, "n_vocab": config.n_vocab}),
        "windows": _digest({"context": config.context, "n_eval": config.n_eval}),
        "prompt suite": _digest({"name": suite_name(config.prompts), "tokens": config.prompt_tokens}),
    }
    return Fingerprint(digest=_digest(parts), parts=parts)


def _text_digest(config: Config) -> str:
    return _digest({"tales": _tales.VERSION, "seed": TALES_SEED, "characters": config.characters})


def _file_digests(config: Config) -> dict[str, str]:
    """By file; one that cannot be read says so when the run is prepared."""
    digests = {}
    for name in config.text:
        try:
            with Path(name).open("rb") as stream:
                digests[name] = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            digests[name] = f"unreadable: {error.strerror}"
    digests["text field"] = config.text_field
    return digests


def _digest(value: dict[str, object] | dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
