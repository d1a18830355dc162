"""Which arguments does the trainer take, in which units, and which of them may a variant change?"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from trainers.contract import Fingerprint, protocol_field
from trainers.future_seed.text.arguments import READS, TextArguments, TextTaskName
from trainers.future_seed.text.items import BUILDER_VERSION
from trainers.future_seed.text.sources import digest_of, file_digest
from trainers.future_seed.text.tokens import tokenizer_digest

#: of the generators in `tasks/`: raise it with every change that alters an example
GENERATOR_VERSION = 1

#: examples in the frozen evaluation set where neither the stage nor the task says otherwise
N_EVAL = 1024

GeneratedTaskName = Literal[
    "sudoku", "rightcopy", "constr", "kvsort", "permfill", "retrieval", "nameindex", "middlematch"
]

#: the arguments that shape a generated task's examples; all others of the group must keep their default
_SHAPES: dict[str, frozenset[str]] = {
    "sudoku": frozenset({"side", "masked", "mask"}),
    "rightcopy": frozenset({"length", "symbols"}),
    "constr": frozenset({"length", "symbols"}),
    "kvsort": frozenset({"length", "symbols"}),
    "permfill": frozenset({"length", "masked"}),
    "retrieval": frozenset({"length", "symbols"}),
    "nameindex": frozenset({"length", "symbols"}),
    "middlematch": frozenset({"length", "symbols"}),
}


#: what `weights` brings along
_OF_THE_WEIGHTS = ("d_model", "n_layer", "head_size", "lora_rank")


class Config(TextArguments):
    """RWKV-7 with Future-Seed on a generated task or on text. The defaults are the reference run."""

    # The data and the evaluation: part of the protocol.
    task: GeneratedTaskName | TextTaskName = protocol_field(
        "sudoku", description="what the examples are; each is described in the trainer's page"
    )
    layout: Literal["infill", "prompt"] = protocol_field(
        "infill",
        description="infill: masked cells are filled in place, Future-Seed sees the whole sequence; "
        "prompt: Future-Seed acts while the masked sequence, or a text's prompt, is read, then the answer is "
        "a causal pass; the only layout of text tasks",
    )
    side: Literal[4, 9] = protocol_field(4, description="sudoku: cells along a side of the grid")
    masked: int = protocol_field(6, ge=1, description="sudoku, permfill: masked cells in an example")
    mask: Literal["random", "prefix", "suffix"] = protocol_field(
        "random", description="sudoku: which cells are masked, in reading order"
    )
    length: int = protocol_field(
        8, ge=2, le=4096, description="other tasks: symbols, pairs or names in an example"
    )
    symbols: int = protocol_field(
        16, ge=2, le=4096, description="other tasks: size of the alphabet the examples are drawn from"
    )
    n_eval: int | None = protocol_field(
        None,
        ge=1,
        description=f"examples in the frozen evaluation set ({N_EVAL} unless the stage says otherwise)",
    )
    precision: Literal["float32", "bfloat16"] = protocol_field(
        "float32",
        description="of matrix products and activations; weights, state and optimizer stay float32",
    )

    # The model.
    d_model: int = Field(32, ge=1, description="width of the residual stream, channels")
    n_layer: int = Field(4, ge=1, description="blocks")
    head_size: int = Field(16, ge=1, description="channels per head; must divide d_model")
    lora_rank: int | None = Field(
        None,
        ge=1,
        description="rank of the adapters of decay, a, v and gate; None: 1.8 sqrt(d_model) in steps of 32, "
        "at least 16",
    )

    # Future-Seed.
    gate: Literal["none", "scalar", "head", "input"] = Field(
        "none",
        description="factor on the seed; none: no Future-Seed; scalar: a number per layer; head: times a "
        "number per head; input: depends on the last position of the layer's input",
    )
    layer_start: int = Field(
        1, ge=0, description="first seeded layer, counted from 0; layer 0 has nothing to be seeded from"
    )
    alpha_init: float = Field(-2.0, description="initial logit of the gate; -2 is a gate of 0.119")
    alpha_lr: float | None = Field(
        None, ge=0, description="peak learning rate of alpha; 0 freezes it, None is three times lr"
    )
    alpha_head_init: float = Field(0.0, description="gate head: initial logit of the factor per head")
    alpha_head_lr: float | None = Field(
        None, ge=0, description="gate head: peak learning rate of those logits; 0 freezes, None as alpha"
    )
    alpha_input_lr: float | None = Field(
        None,
        ge=0,
        description="gate input: peak learning rate of its weights and bias; 0 freezes, None as alpha",
    )
    seed_scale: float = Field(1.0, description="constant factor on the seed")
    seed_schedule: Literal["none", "linear", "cosine"] = Field(
        "none", description="factor on the seed over the layers from layer_start to the last"
    )
    seed_schedule_min: float = Field(0.0, description="that factor at the first seeded layer")
    seed_schedule_max: float = Field(1.0, description="that factor at the last layer")
    norm: bool = Field(False, description="divide the seed by its root mean square, per head")
    detach: bool = Field(
        False, description="stop the gradient from the seed into the layer below; the gate still learns"
    )
    clip: float | None = Field(None, gt=0, description="limit every entry of the seed to +-clip")

    # The optimizer.
    lr: float = Field(8e-3, gt=0, description="peak learning rate of AdamW, per step")
    betas: tuple[float, float] = Field((0.9, 0.98), description="decay of AdamW's two averages, per step")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's, on matrices only")
    warmup: int = Field(20, ge=0, description="steps of linear warm-up")
    lr_schedule: Literal["cosine", "constant", "wsd"] = Field(
        "cosine",
        description="after the warm-up; cosine falls to 10 % of lr at max_steps; wsd is constant and falls "
        "over the last decay_share of max_steps; with constant and wsd longer runs go on from shorter ones",
    )
    decay_share: float = Field(
        0.2, gt=0, lt=1, description="wsd: share of max_steps, at the end, over which the learning rate falls"
    )
    clip_grad: float = Field(1.0, gt=0, description="largest norm of the gradient over all parameters")

    @property
    def n_head(self) -> int:
        """Heads in a layer."""
        return self.d_model // self.head_size

    @property
    def default_lora_rank(self) -> int:
        """The adapters' rank where `lora_rank` is None."""
        return max(16, 32 * round(1.8 * self.d_model**0.5 / 32))

    @property
    def n_token(self) -> int:
        """Positions in an example as it is read, the longest sequence of the task."""
        match self.task:
            case "sudoku":
                return self.side**2
            case "rightcopy":
                return 2 * self.length + 1
            case "constr":
                return 2 * self.length + 4
            case "kvsort":
                return 4 * self.length + 1
            case "permfill":
                return self.length
            case "retrieval":
                return 2 * self.length + 3
            case "nameindex":
                return self.length + 3
            case "middlematch":
                return self.length + 4
            case "retrieval_embedding":
                return self.prompt_tokens_max + self.question_tokens_max
            case _:
                return self.prompt_tokens_max + self.answer_tokens_max

    @model_validator(mode="after")
    def _is_possible(self) -> Config:
        problems = [
            *self._problems_of_the_text(self.task, self.layout),
            *self._problems_of_the_task(),
            *self._problems_of_the_model(),
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _problems_of_the_task(self) -> list[str]:
        shapes = _SHAPES.get(self.task, frozenset())
        problems = [
            f"{name} = {getattr(self, name)!r} has no effect on the task {self.task!r}: remove it"
            for name in sorted(frozenset().union(*_SHAPES.values()) - shapes)
            if getattr(self, name) != type(self).model_fields[name].default
        ]
        if self.task == "sudoku" and self.masked > self.side**2:
            problems.append(f"masked = {self.masked} is more than the {self.side**2} cells of the grid")
        if self.task == "permfill" and self.masked > self.length:
            problems.append(f"masked = {self.masked} is more than the length {self.length}")
        if self.task in ("kvsort", "retrieval", "nameindex", "middlematch") and self.symbols < self.length:
            problems.append(
                f"symbols = {self.symbols} is too few: {self.length} different ones are drawn (length)"
            )
        if self.task == "middlematch" and self.length < 3:
            problems.append(f"length = {self.length} leaves no name between two others: at least 3")
        return problems

    def _problems_of_the_model(self) -> list[str]:
        problems = self._problems_of_the_shape()
        if not all(0 <= beta < 1 for beta in self.betas):
            problems.append(f"betas = {list(self.betas)} must both lie in 0 <= beta < 1")
        if self.lr_schedule != "wsd" and self.decay_share != type(self).model_fields["decay_share"].default:
            problems.append(
                f"decay_share = {self.decay_share} has no effect on "
                f"lr_schedule = {self.lr_schedule!r}: remove it"
            )
        return problems

    def _problems_of_the_shape(self) -> list[str]:
        if self.weights is not None:
            return [
                f"{name} = {getattr(self, name)!r} is what the weights bring along: remove it"
                for name in _OF_THE_WEIGHTS
                if getattr(self, name) != type(self).model_fields[name].default
            ]
        problems = []
        if self.d_model % self.head_size:
            problems.append(f"head_size = {self.head_size} does not divide d_model = {self.d_model}")
        if self.layer_start >= self.n_layer:
            problems.append(
                f"layer_start = {self.layer_start} must be less than n_layer = {self.n_layer}: "
                f"the layers are 0 to {self.n_layer - 1}"
            )
        if self.gate != "none" and self.n_layer == 1:
            problems.append("n_layer = 1 leaves no layer to seed: at least 2, or gate = 'none'")
        return problems


def fingerprint(config: Config) -> Fingerprint:
    """Names the train and evaluation sets, generated or read, and the weights, without making them.

    The number of examples that a stage asks for is part of the stage, and so not of this. Of a data set that
    is no file, and of files that are not there yet, not all is known.
    """
    if config.task in READS:
        return _fingerprint_of_text(config)
    shape = {name: getattr(config, name) for name in sorted(_SHAPES[config.task])}
    definition = {"generator": GENERATOR_VERSION, "task": config.task, "layout": config.layout, **shape}
    parts = {
        "train set": _digest({"set": "train", **definition}),
        "eval set": _digest({"set": "eval", "n_eval": config.n_eval, **definition}),
    }
    return Fingerprint(digest=_digest(parts), parts=parts)


def _fingerprint_of_text(config: Config) -> Fingerprint:
    arguments = {name: getattr(config, name) for name in sorted(READS[config.task]) if name != "weights"}
    definition = {"builder": BUILDER_VERSION, "task": config.task, "n_eval": config.n_eval, **arguments}
    told = {"examples": (_digest(definition), True), "tokenizer": tokenizer_digest(config.tokenizer)}
    told |= {source: digest_of(source) for source in (config.data, config.eval_data) if source is not None}
    if config.weights is not None:
        told[config.weights] = file_digest(Path(config.weights))
    parts = {name: digest for name, (digest, _) in told.items()}
    is_complete = all(is_known for _, is_known in told.values())
    return Fingerprint(digest=_digest(parts), is_complete=is_complete, parts=parts)


def _digest(value: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
