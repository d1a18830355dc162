"""Which arguments does the trainer take, in which units, and which of them may a variant change?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from trainers.contract import Fingerprint, TrainerConfig, protocol_field

#: problems in the frozen evaluation set where neither the stage nor the task says otherwise
N_EVAL = 256
#: all that are held out
MOST_EVAL = 1024
#: steps over which `recent_correct_rate` is a mean
RECENT_STEPS = 10

#: of the problems, the evaluation and how the base model is made: raise it with every change that alters them
DATA_VERSION = 1


class Config(TrainerConfig):
    """Learning two-digit addition from checked answers. The defaults are the reference run."""

    # The base model and the evaluation: part of the protocol.
    careful_share: float = protocol_field(
        0.22, ge=0, le=1, description="share of the worked solutions with the careful habit"
    )
    careful_error: float = protocol_field(
        0.08, ge=0, le=1, description="chance that a careful solution gets a column wrong"
    )
    sloppy_error: float = protocol_field(
        0.60, ge=0, le=1, description="chance that a sloppy solution gets a column wrong"
    )
    d_model: int = protocol_field(64, ge=8, description="width of the residual stream, channels")
    n_layer: int = protocol_field(2, ge=1, description="blocks")
    n_head: int = protocol_field(2, ge=1, description="heads; must divide d_model into even parts")
    base_steps: int = protocol_field(
        1100, ge=1, description="steps of the base model's training, 64 solutions each"
    )
    base_lr: float = protocol_field(3e-3, gt=0, description="peak learning rate of the base model's AdamW")
    base_seed: int = protocol_field(0, ge=0, description="of the base model; a run's seed does not touch it")
    n_eval: int | None = protocol_field(
        None,
        ge=1,
        le=MOST_EVAL,
        description=f"held-out problems ({N_EVAL} unless the stage says otherwise)",
    )
    eval_samples: int = protocol_field(
        4, ge=1, description="completions of each held-out problem, drawn at temperature 1"
    )
    max_tokens: int = protocol_field(
        40, ge=1, description="most tokens of a completion; the longest worked solution has 33"
    )

    # A published model on problems of files, in place of all that.
    model: str | None = protocol_field(
        None,
        min_length=1,
        description="folder of a causal language model with its tokenizer, for transformers; None: the "
        "built-in one",
    )
    data: str | None = protocol_field(
        None, min_length=1, description="problems to train on: JSONL of prompt and reference; with a model"
    )
    eval_data: str | None = protocol_field(
        None, min_length=1, description="problems held out: JSONL of the same shape; with a model"
    )
    precision: Literal["float32", "bfloat16"] = protocol_field(
        "float32", description="of a published model's weights"
    )
    lora_rank: int = Field(32, ge=1, description="of a published model's adapters, which alone are trained")
    lora_alpha: float | None = Field(
        None, gt=0, description="their factor over the rank; None is twice the rank"
    )
    pass_size: int | None = Field(
        None, ge=1, description="completions in a forward and backward pass; None: all of a step at once"
    )

    # What a step learns from.
    samples: int = Field(16, ge=2, description="completions of each problem in a batch: a group")
    temperature: float = Field(1.0, gt=0, description="at which the completions of a batch are drawn")
    advantage: Literal["grpo", "maxrl"] = Field(
        "grpo",
        description="of a completion; grpo: reward - mean of the group; maxrl: that over the mean + 1e-6",
    )
    transform: Literal["none", "gtpo", "gtpo_hicra", "gtpo_sepa"] = Field(
        "none",
        description="of a completion's advantage into its tokens'; gtpo: by their surprise; gtpo_hicra: then "
        "more on planning tokens; gtpo_sepa: by a surprise that is pooled on execution tokens first",
    )
    beta: float = Field(0.1, ge=0, description="gtpo: how strongly the surprise weighs; 0 is none")
    alpha: float = Field(0.2, ge=0, description="gtpo_hicra: what planning tokens get more; 0 is gtpo")
    sepa_delay: int = Field(10, ge=0, description="gtpo_sepa: steps before lambda begins to rise")
    sepa_steps: int = Field(40, ge=1, description="gtpo_sepa: steps in which lambda rises from 0 to 1")
    sepa_gate: float = Field(
        0.1,
        ge=0,
        description="gtpo_sepa: correct rate of a batch from which on lambda is not held at 0; 0..1, a "
        "greater one keeps it there",
    )
    planning: Literal["window", "span"] = Field(
        "window",
        description="tokens that count as planning; span: those of a planning phrase; window: and those "
        "before it in a window of five",
    )

    # The optimizer.
    lr: float = Field(3e-4, gt=0, description="learning rate of AdamW, constant")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's")
    clip_grad: float = Field(1.0, gt=0, description="largest norm of the gradient over all parameters")

    @classmethod
    def base_fields(cls) -> tuple[str, ...]:
        """The fields that the base model depends on."""
        return (
            *("careful_share", "careful_error", "sloppy_error", "d_model", "n_layer", "n_head"),
            *("base_steps", "base_lr", "base_seed"),
        )

    @property
    def condition(self) -> str:
        """What its users call it: `maxrl+gtpo_sepa`."""
        return f"{self.advantage}+{self.transform}"

    @model_validator(mode="after")
    def _is_possible(self) -> Config:
        if self.d_model % self.n_head or self.d_model // self.n_head % 2:
            raise ValueError(
                f"n_head = {self.n_head} must divide d_model = {self.d_model} into parts of even size"
            )
        if problems := [*self._problems_of_the_model()]:
            raise ValueError("; ".join(problems))
        return self

    def _problems_of_the_model(self) -> Iterator[str]:
        if self.model is None:
            fields, what = ("data", "eval_data", "precision", "lora_rank", "lora_alpha"), "without a model"
        else:
            fields, what = self.base_fields(), "on a published model"
            for name in ("data", "eval_data"):
                if getattr(self, name) is None:
                    yield f"model needs {name}: a JSONL file of problems"
        for name in fields:
            if getattr(self, name) != type(self).model_fields[name].default:
                yield f"{name} = {getattr(self, name)!r} has no effect {what}: remove it"


def fingerprint(config: Config) -> Fingerprint:
    """Names the problems and the base model, generated or read, without making them."""
    if config.model is not None:
        return _fingerprint_of_files(config)
    base = {name: getattr(config, name) for name in Config.base_fields()}
    evaluation = {name: getattr(config, name) for name in ("n_eval", "eval_samples", "max_tokens")}
    parts = {
        "base model": _digest({"base": DATA_VERSION, **base}),
        "train set": _digest({"train": DATA_VERSION}),
        "eval set": _digest({"eval": DATA_VERSION, **evaluation}),
    }
    return Fingerprint(digest=_digest(parts), parts=parts)


def _fingerprint_of_files(config: Config) -> Fingerprint:
    """Files that are not there yet are no error here: a round may be queued before its data has come."""
    from trainers.rl.problems import digest_of

    names = [name for name in (config.model, config.data, config.eval_data) if name is not None]
    digests = {name: digest_of(Path(name)) for name in names}
    evaluation = {
        name: getattr(config, name) for name in ("n_eval", "eval_samples", "max_tokens", "precision")
    }
    parts = {name: digest or "absent" for name, digest in digests.items()}
    parts["evaluation"] = _digest(evaluation)
    return Fingerprint(digest=_digest(parts), is_complete=None not in digests.values(), parts=parts)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
