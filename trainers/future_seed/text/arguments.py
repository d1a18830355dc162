"""Which arguments do the text tasks take, and which of them does each task read?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import Field, model_validator

from trainers.contract import TrainerConfig, protocol_field

TextTaskName = Literal[
    "arc_mc",
    "hotpot",
    "mbpp",
    "squad",
    "punc_restore",
    "protein_ss",
    "protein_contact",
    "retrieval_embedding",
]

TEXT_TASKS: tuple[TextTaskName, ...] = get_args(TextTaskName)

#: the orders in which a task's prompt can stand, its default first
ORDERS: Mapping[str, tuple[str, ...]] = {
    "arc_mc": ("options_first", "question_first"),
    "hotpot": ("question_last", "question_first"),
    "mbpp": ("question_first", "question_last"),
    "squad": ("question_last", "question_first"),
    "protein_ss": ("question_first", "question_last"),
    "protein_contact": ("question_first", "question_last"),
}

_ALL = {"data", "eval_data", "tokenizer", "weights", "n_train", "prompt_tokens_min", "prompt_tokens_max"}
_ANSWERS = _ALL | {"answer_tokens_max"}
_PROTEINS = _ALL | {"order", "fill_window", "residues_min", "residues_max", "queries"}

#: the text arguments that each task reads; all others must keep their default
READS: Mapping[str, frozenset[str]] = {
    "arc_mc": frozenset(_ALL | {"order"}),
    "hotpot": frozenset(_ANSWERS | {"order"}),
    "mbpp": frozenset(
        _ANSWERS | {"order", "fill_window", "executed", "execution_seconds", "execution_memory_mib"}
    ),
    "squad": frozenset(_ANSWERS | {"order"}),
    "punc_restore": frozenset(_ANSWERS | {"fill_window", "characters_min", "characters_max"}),
    "protein_ss": frozenset(_PROTEINS),
    "protein_contact": frozenset(_PROTEINS | {"separation", "contact_angstrom"}),
    "retrieval_embedding": frozenset(_ALL | {"question_tokens_max", "embedding_dim", "temperature"}),
}


class TextArguments(TrainerConfig):
    """What a task on real text reads beside the model: its data, its prompts and its answers."""

    data: str | None = protocol_field(
        None,
        description="text tasks: a .jsonl or .parquet file, or hf:NAME:CONFIG:SPLIT@REVISION of a Hugging "
        "Face data set (CONFIG and @REVISION may be left out); without eval_data one item in five evaluates",
    )
    eval_data: str | None = protocol_field(
        None, description="text tasks: the evaluation set's source, as data; what it shares never trains"
    )
    tokenizer: Literal["bytes", "world"] = protocol_field(
        "bytes",
        description="text tasks: world is the RWKV World vocabulary, from the package rwkv; bytes are its "
        "256 single bytes, with the same numbers",
    )
    weights: str | None = protocol_field(
        None, description="text tasks: a published RWKV-7 .pth to begin with; None trains from scratch"
    )
    n_train: int | None = protocol_field(
        None, ge=1, description="text tasks: training examples; fewer are an error, None takes all there are"
    )
    prompt_tokens_min: int = protocol_field(
        1, ge=1, description="text tasks: tokens of the shortest prompt; items below it are left out"
    )
    prompt_tokens_max: int = protocol_field(
        1024, ge=8, description="text tasks: tokens of the longest prompt, or document; the window to fill"
    )
    answer_tokens_max: int = protocol_field(
        160, ge=1, description="tokens of the longest answer, its end included; items above it are left out"
    )
    question_tokens_max: int = protocol_field(
        128, ge=1, description="retrieval_embedding: tokens of the longest question"
    )
    order: Literal["question_first", "question_last", "options_first"] | None = protocol_field(
        None,
        description="what stands first in the prompt: arc_mc has options_first (its default) and "
        "question_first, the others question_first and question_last",
    )
    fill_window: bool = protocol_field(
        True,
        description="mbpp, punc_restore, proteins: notes from other training items fill the prompt up to "
        "prompt_tokens_max",
    )
    characters_min: int = protocol_field(
        64, ge=1, description="punc_restore: characters of the shortest text"
    )
    characters_max: int = protocol_field(
        220, ge=1, description="punc_restore: characters of the longest text"
    )
    residues_min: int = protocol_field(96, ge=2, description="proteins: residues of the shortest chain")
    residues_max: int = protocol_field(512, ge=2, description="proteins: longer chains are cut to so many")
    queries: int = protocol_field(48, ge=2, description="proteins: residues, or pairs of them, asked about")
    separation: int = protocol_field(
        8, ge=1, description="protein_contact: residues along the chain between the two of a pair, at least"
    )
    contact_angstrom: float = protocol_field(
        8.0, gt=0, description="protein_contact: distance up to which two residues touch, angstrom"
    )
    executed: int | None = protocol_field(
        None,
        ge=0,
        description="mbpp: evaluation examples whose solution is written out and run against its tests at "
        "every evaluation; None is all of them, 0 none",
    )
    execution_seconds: int = protocol_field(
        3, ge=1, description="mbpp: processor time of a solution and its tests, seconds"
    )
    execution_memory_mib: int = protocol_field(
        512, ge=128, description="mbpp: address space of a solution and its tests, MiB"
    )
    embedding_dim: int = Field(256, ge=2, description="retrieval_embedding: channels of an embedding")
    temperature: float = Field(
        0.07, gt=0, description="retrieval_embedding: cosines are divided by it before the softmax"
    )

    @model_validator(mode="before")
    @classmethod
    def _with_the_orders_of_the_task(cls, given: Any) -> Any:
        """Text tasks are read in the layout `prompt`, and have an order of their own."""
        if not isinstance(given, Mapping) or given.get("task") not in TEXT_TASKS:
            return given
        filled = {"layout": "prompt", **given}
        if filled.get("order") is None and given["task"] in ORDERS:
            filled["order"] = ORDERS[given["task"]][0]
        return filled

    def _problems_of_the_text(self, task: str, layout: str) -> list[str]:
        fields = TextArguments.model_fields
        reads = READS.get(task, frozenset())
        problems = [
            f"{name} = {getattr(self, name)!r} has no effect on the task {task!r}: remove it"
            for name in fields
            if name not in reads and getattr(self, name) != fields[name].default
        ]
        if task not in READS:
            return problems
        if layout != "prompt":
            problems.append(f"layout = {layout!r}: text tasks are read in the layout 'prompt'; remove it")
        if self.data is None:
            problems.append(f"data is missing: the task {task!r} needs a .jsonl or .parquet file, or hf:...")
        if task in ORDERS and self.order not in ORDERS[task]:
            known = " or ".join(repr(order) for order in ORDERS[task])
            problems.append(f"order = {self.order!r}: the task {task!r} has {known}")
        for low, high in (
            ("prompt_tokens_min", "prompt_tokens_max"),
            ("characters_min", "characters_max"),
            ("residues_min", "residues_max"),
        ):
            if getattr(self, low) > getattr(self, high):
                problems.append(f"{low} = {getattr(self, low)} is more than {high} = {getattr(self, high)}")
        if task == "protein_contact" and self.queries % 2:
            problems.append(f"queries = {self.queries} is odd: half of the pairs touch, half do not")
        return problems
