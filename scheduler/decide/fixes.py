"""Which change to the spec would get a parked task going? A number that the data reach, or a smaller batch.

Found in the words of the failure and the arguments of its run alone, so that a report can be made again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from scheduler.decide.facts import PROBE_STAGE, RunFinished
from scheduler.rounds.round import Task

_ASKED = r"\b(?:wanted|needs?|needed|requested|requires?|required|expected|asked for|at least)\b"
#: how programs say that they have fewer than they were asked for
_SHORTAGES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\bonly (?:\w+ )?(?P<have>\d+)\b[^\d\n]{{0,60}}{_ASKED}\D{{0,20}}(?P<wanted>\d+)",
        rf"\b(?:only|found|got|has|have|built|loaded) (?:\w+ )?(?P<have>\d+)\b[^\d\n]{{0,60}}"
        rf"\b(?P<wanted>\d+)[^\d\n]{{0,30}}{_ASKED}",
        rf"{_ASKED}[^\d\n]{{0,40}}(?P<wanted>\d+)\b[^\d\n]{{0,60}}"
        r"\b(?:only|but|found|got|has|have|available|there are)\b[^\d\n]{0,30}(?P<have>\d+)",
        rf"\b(?P<wanted>\d+)\b[^\d\n]{{0,30}}{_ASKED}[^\d\n]{{0,40}}\b(?:only|but|found|got)\b"
        r"[^\d\n]{0,30}(?P<have>\d+)",
        r"index (?P<last>\d+) (?:is )?out of (?:range|bounds)\D{0,60}(?P<have>\d+)",
    )
)
#: what an argument is called that says how many
_COUNTING = frozenset(
    (
        *("n", "num", "number", "max", "count", "size", "limit", "total", "example", "sample", "row", "line"),
        *("doc", "document", "item", "record", "image", "sequence", "puzzle"),
    )
)
#: of the machine's memory, the part that processes share: a smaller batch is the lesser help
_SHARED_MEMORY = re.compile(r"shared memory|</torch_|/dev/shm")
_OPTION = re.compile(r"--?(?P<name>[\w.-]+)=(?P<number>\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """One change to a task of a spec."""

    task: str
    #: what the argument is called
    name: str
    was: Any
    value: Any
    #: in `[tasks.args]`, where the trainer's own default stood; in the table of `config`; in the stages; or
    #: the task's batch size
    place: Literal["args", "changes", "stages", "bsz"]
    #: the way to it there
    keys: tuple[str | int, ...]
    #: the variant, or the baseline, whose run told
    config: str

    @property
    def words(self) -> str:
        return f"{self.name} = {self.value} instead of {self.was}"


def fix_for(task: Task, run: RunFinished) -> Fix | None:
    """The change that would have let a run through, as far as its failure tells; else None."""
    match run.failure_class:
        case "data":
            return _reachable_number(task, run)
        case "oom":
            return _smaller_batch(task, run)
    return None


def remedy_for(task: Task, run: RunFinished, otherwise: str) -> str:
    """What a person can do about a run that parked its task; `otherwise` where no change would help."""
    if run.failure_class == "oom" and _SHARED_MEMORY.search(run.error or ""):
        otherwise = f"make /dev/shm larger, or use fewer data loader workers, then retry; {otherwise}"
    fix = fix_for(task, run)
    if fix is None:
        return otherwise
    return f"submit results/{run.round}/suggested.toml, which has {fix.words}; or {otherwise}"


def _smaller_batch(task: Task, run: RunFinished) -> Fix | None:
    smallest = min(task.bsz, default=run.bsz or 1)
    halves = [smallest >> shift for shift in (1, 2, 3) if smallest >> shift]
    if not halves:
        return None
    was = list(task.bsz) if len(task.bsz) > 1 else smallest
    return Fix(task=task.name, name="bsz", was=was, value=halves, place="bsz", keys=(), config=run.config)


def _reachable_number(task: Task, run: RunFinished) -> Fix | None:
    """The one argument that asks for the number that was not reached, by the words of the message."""
    found = _shortage(run.error or "")
    if found is None:
        return None
    wanted, have, message = found
    config = task.costliest if run.stage == PROBE_STAGE else run.config
    asking = [(_likeness(each.name, message), each) for each in _asking(task, config, wanted, have)]
    most = max((likeness for likeness, _ in asking), default=0)
    best = [each for likeness, each in asking if likeness == most > 0]
    return best[0] if len(best) == 1 else None


def _shortage(error: str) -> tuple[int, int, str] | None:
    """What was wanted, what there is, and the line that says so."""
    for line in error.splitlines():
        for pattern in _SHORTAGES:
            if (match := pattern.search(line)) is not None:
                numbers = match.groupdict()
                have = int(numbers["have"])
                wanted = int(numbers["wanted"]) if "wanted" in numbers else int(numbers["last"]) + 1
                if 0 < have < wanted:
                    return wanted, have, line
    return None


def _asking(task: Task, config: str, wanted: int, have: int) -> Iterator[Fix]:
    """Every place of the spec that a run of `config` takes the number `wanted` from."""
    variant = task.variant(config)
    given = {key: value for key, value in task.args.items() if key not in variant.changes}
    defaults = {
        key: value
        for key, value in variant.config.items()
        if key not in given and key not in variant.changes and isinstance(value, int)
    }
    places: tuple[tuple[Literal["args", "changes"], Mapping[str, Any]], ...]
    places = (("changes", variant.changes), ("args", given), ("args", defaults))
    for place, values in places:
        for keys, name, value in _numbers(values, wanted, have):
            yield Fix(
                task=task.name, name=name, was=wanted, value=value, place=place, keys=keys, config=config
            )
    if any(stage.budget.n_eval == wanted for stage in task.stages):
        yield Fix(
            task=task.name,
            name="n_eval",
            was=wanted,
            value=have,
            place="stages",
            keys=("n_eval",),
            config=config,
        )


def _numbers(
    value: Any, wanted: int, have: int, keys: tuple[str | int, ...] = (), name: str = ""
) -> Iterator[tuple[tuple[str | int, ...], str, int | str]]:
    """Where `wanted` stands in arguments, a command line among them: the way, its name, and what to put."""
    match value:
        case Mapping():
            for key, inner in value.items():
                yield from _numbers(inner, wanted, have, (*keys, key), key)
        case list() | tuple():
            for index, inner in enumerate(value):
                before = value[index - 1] if index else None
                is_option = isinstance(before, str) and before.startswith("-") and "=" not in before
                option = str(before).lstrip("-") if is_option else name
                yield from _numbers(inner, wanted, have, (*keys, index), option)
        case bool():
            pass
        case int() if value == wanted:
            yield keys, name, have
        case str() if value == str(wanted):
            yield keys, name, str(have)
        case str() if (given := _OPTION.fullmatch(value)) is not None and int(given["number"]) == wanted:
            yield keys, given["name"], value.removesuffix(given["number"]) + str(have)


def _likeness(name: str, message: str) -> int:
    """How much an argument's name looks as if the message were about it; 0 where it does not."""
    words, said = _words(name), _words(message)
    return 2 * len({word for word in words & said if len(word) > 2}) + bool(words & _COUNTING)


def _words(text: str) -> set[str]:
    """Its words, without the s of a plural."""
    return {word.removesuffix("s") or word for word in re.split(r"[^a-z]+", text.lower()) if word}
