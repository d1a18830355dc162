"""What may a spec file say? Its keys and their ranges, as users write them (see docs/round-spec.md).

These models are the shape of the file, nothing more: what depends on several keys at once (inheritance, the
grid, names that must differ) is worked out in `draft`. Used in children and in schedctl; the daemon itself
only sees the resolved round.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from policies import DEFAULT_POLICY

#: stages in order of effort
STAGE_NAMES = ("quick", "medium", "long", "confirm")

#: names that mean something else on disk or in a command
RESERVED_NAMES = frozenset(
    (
        *("cache", "journal", "ledger", "index", "status", "launcher", "daemon", "probe"),
        *("active", "control", "done", "rejected", "set-aside"),
    )
)

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
VARIANT_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
TRAINER_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$"

#: the longest budget of one run: a year. Beyond it a deadline is no deadline
MAX_SECONDS = 31_536_000.0


def _check(is_good: Callable[[Any], bool], message: str) -> AfterValidator:
    """A rule of one value, with the words for breaking it."""

    def validate(value: Any) -> Any:
        if not is_good(value):
            raise PydanticCustomError("rule", "{words}", {"words": message})
        return value

    return AfterValidator(validate)


def _are_distinct(values: Sequence[Any]) -> bool:
    return len(set(values)) == len(values)


def _are_descending(values: Sequence[int]) -> bool:
    return all(first > second for first, second in itertools.pairwise(values))


def _is_line(text: str) -> bool:
    return text.isprintable()


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, int) and not isinstance(value, bool) else value


def _may_be_left_out(description: str, **constraints: Any) -> Any:
    """A key without a default of its own; `null` in its place is an error all the same."""
    return Field(default=None, description=description, **constraints)


Id = Annotated[
    str,
    Field(pattern=ID_PATTERN),
    _check(lambda name: name.lower() not in RESERVED_NAMES, "is a reserved name; take another"),
]
VariantName = Annotated[
    str,
    Field(pattern=VARIANT_PATTERN),
    _check(
        lambda name: name.lower() != "baseline",
        "is the name of the baseline, which has a table of its own; take another",
    ),
]
Line = Annotated[str, Field(min_length=1, max_length=200), _check(_is_line, "must be one line of text")]
Word = Annotated[str, Field(pattern=r"^\S{1,64}$"), _check(_is_line, "must be one printable word")]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
BatchSize = Annotated[int, Field(ge=1, lt=2**31)]
Arguments = dict[str, Any]


class _Table(BaseModel):
    """Base of every table of a spec: an unknown key is an error, and so is a value of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ObjectiveSpec(_Table):
    """The metric a task is judged by."""

    metric: Word = Field("acc", description="A metric that the trainer reports.")
    direction: Literal["maximize", "minimize"] = Field("maximize", description="Which way is better.")
    unit: Annotated[str, Field(pattern=r"^\S{1,16}$"), _check(_is_line, "must be one printable word")] = (
        Field(
            "pp",
            description='"pp" is a raw 0..1 score times 100. '
            "Any other unit takes the metric as it is and needs min_effect.",
        )
    )
    min_effect: float = Field(1.0, gt=0, description="Smallest effect of interest, in the unit.")


class PolicySpec(_Table):
    """Which policy decides. Every key but `name` is an option of the policy's own."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)

    name: str = Field(DEFAULT_POLICY, description="File name of a policy, without .py.")


class StageSpec(_Table):
    """What one run of a stage may spend, and where it is evaluated."""

    max_steps: int = _may_be_left_out(
        ge=1,
        description="Optimizer steps: decides. Without it, steps are calibrated once from the seconds.",
    )
    time_budget_sec: float = _may_be_left_out(
        gt=0, le=MAX_SECONDS, description="Seconds of training: kills. Every stage needs it."
    )
    eval_every: int = _may_be_left_out(
        ge=1, description="Steps between evaluations; default: the trainer's choice."
    )
    n_eval: int = _may_be_left_out(
        ge=1, description="Examples in the evaluation set; default: the trainer's choice."
    )


class StagesSpec(_Table):
    """The stages, written in order of effort."""

    quick: StageSpec = _may_be_left_out(description="Every variant runs it.")
    medium: StageSpec = _may_be_left_out(description="Survivors run it.")
    long: StageSpec = _may_be_left_out(description="An optional further stage.")
    confirm: StageSpec = _may_be_left_out(description="Medium on fresh seeds, with medium's budget.")


class TaskSpec(_Table):
    """One trainer with fixed arguments, one baseline and its variants."""

    name: Id = Field(description="Unique within the round.")
    trainer: Annotated[str, Field(pattern=TRAINER_PATTERN)] = Field(
        description="File name of a trainer, without .py."
    )
    seeds: Annotated[list[Seed], Field(min_length=1), _check(_are_distinct, "must all differ")] = Field(
        [0], description="Slot 0 screens; further slots confirm."
    )
    bsz: Annotated[
        list[BatchSize],
        Field(min_length=1),
        _check(_are_descending, "must fall from the largest to the smallest: they are tried in this order"),
        BeforeValidator(_listed),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "integer", "minimum": 1},
                    {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1},
                ],
            }
        ),
    ] = _may_be_left_out(
        description="Batch size. A list is probed, a number is taken; default: the trainer's choice.",
    )
    objective: ObjectiveSpec = _may_be_left_out(description="Overrides the round's, key by key.")
    policy: PolicySpec = _may_be_left_out(
        description="Overrides the round's, key by key; another name starts without options."
    )
    stages: StagesSpec = _may_be_left_out(description="Overrides the round's, key by key.")
    args: Arguments = Field({}, description="Arguments fixed for the task; the trainer checks them.")
    baseline: Arguments = Field({}, description="args with these changes are the baseline.")
    variants: dict[VariantName, Arguments] = Field(
        {},
        description="By name: args with these changes are the variant; baseline is not inherited.",
    )
    grid_base: Arguments = Field({}, description="Common part of the grid's variants.")
    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(
        {},
        description="Values by argument. "
        "The cross product becomes variants like layer_start-1_alpha_init--2.0.",
    )


class RoundSpec(_Table):
    """One pre-declared search: tasks, stages and a policy."""

    round: Id = _may_be_left_out(description="Id of the round; default: the file's stem.")
    title: Line = _may_be_left_out(description="The question, in one line; default: the id.")
    priority: int = Field(0, ge=-1000, le=1000, description="Rounds of higher priority run first.")
    after: Annotated[list[Id], _check(_are_distinct, "must all differ")] = Field(
        [], description="Ids of rounds that must be finished first."
    )
    fresh: bool = Field(
        False, description="Run everything, also what earlier rounds have run already; nothing is reused."
    )
    objective: ObjectiveSpec = _may_be_left_out(description="How every task is judged.")
    policy: PolicySpec = _may_be_left_out(description="Who decides in every task.")
    stages: StagesSpec = _may_be_left_out(description="The stages of every task.")
    judge: dict[str, Arguments] = Field(
        {},
        description="Ways of judging to report beside the verdicts, by name, each with its own options. "
        "They decide nothing.",
    )
    tasks: list[TaskSpec] = Field(min_length=1, description="The tasks, run in file order.")


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a spec file, for editors and other programs."""
    schema = RoundSpec.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_without_null_defaults(schema),
        "title": "Round spec",
    }


def _without_null_defaults(schema: Any) -> Any:
    """The schema without `"default": null`, which only means that a key may be left out."""
    if isinstance(schema, list):
        return [_without_null_defaults(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _without_null_defaults(value)
        for key, value in schema.items()
        if not (key == "default" and value is None)
    }
