"""Which in-run rules does a task have? Read from the options that every policy takes."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from policies._stopping import Broken, Hopeless, Noop, Rule

#: options that every policy takes
SHARED_OPTIONS = ("stops", "stop_options")
DEFAULT_STOPS = ("noop", "broken")
#: how a pruner of Optuna is named among the rules
OPTUNA_PREFIX = "optuna:"
#: pruners that compare the examples of one evaluation, not the evaluations of a run
PER_EXAMPLE_PRUNERS = frozenset({"WilcoxonPruner"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Advised:
    """A pruner of Optuna, by its name there. Asked elsewhere, since it needs all runs of the task."""

    pruner: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{OPTUNA_PREFIX}{self.pruner}"

    @property
    def is_per_example(self) -> bool:
        """Whether it compares examples, and needs the scores of every evaluation."""
        return self.pruner in PER_EXAMPLE_PRUNERS


#: rules that are decided on the spot, in the order in which they are asked
OWN_RULES: Mapping[str, type[Noop | Broken | Hopeless]] = {
    rule.name: rule for rule in (Broken, Noop, Hopeless)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRules:
    """The in-run rules of a task."""

    own: tuple[Rule, ...] = ()
    advised: tuple[Advised, ...] = ()

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> StopRules:
        """The rules among a policy's options. Raises ValueError with every problem, a line each.

        Whether Optuna has a pruner of that name is not asked here.
        """
        stops, given = options.get("stops", list(DEFAULT_STOPS)), options.get("stop_options", {})
        problems = list(_shape_problems(stops, given))
        if problems:
            raise ValueError("\n".join(problems))
        own: list[Rule] = []
        for name in (name for name in OWN_RULES if name in stops):
            try:
                own.append(_own_rule(name, given.get(name, {})))
            except ValueError as error:
                problems += [f"stop_options: {name}.{line}" for line in str(error).splitlines()]
        if problems:
            raise ValueError("\n".join(problems))
        named = [name for name in stops if name.startswith(OPTUNA_PREFIX)]
        advised = [
            Advised(pruner=name.removeprefix(OPTUNA_PREFIX), options=given.get(name, {})) for name in named
        ]
        return cls(own=tuple(own), advised=tuple(advised))

    @property
    def needs_scores(self) -> bool:
        """Whether the scores of every evaluation must be kept."""
        return any(rule.is_per_example for rule in self.advised)


def _own_rule(name: str, options: Mapping[str, Any]) -> Rule:
    rule_type = OWN_RULES[name]
    known = [field.name for field in dataclasses.fields(rule_type)]
    if problems := [f"{key}: unknown option{_nearest(key, known)}" for key in options if key not in known]:
        raise ValueError("\n".join(problems))
    return rule_type(**options)


def _shape_problems(stops: object, given: object) -> Iterator[str]:
    known = [*OWN_RULES, f"{OPTUNA_PREFIX}NAME"]
    if not isinstance(stops, list | tuple) or not all(isinstance(name, str) for name in stops):
        yield f"stops: must be a list of rules: {', '.join(known)} (found {stops!r})"
        return
    for name in stops:
        if name not in OWN_RULES and not name.startswith(OPTUNA_PREFIX):
            yield f"stops: no rule is called {name!r}{_nearest(name, known)}"
    if len(set(stops)) < len(stops):
        yield "stops: a rule is named twice"
    if not isinstance(given, Mapping) or not all(isinstance(table, Mapping) for table in given.values()):
        yield f"stop_options: must be a table of options by rule (found {given!r})"
        return
    for name in given:
        if name not in stops:
            yield f"stop_options: {name!r} is not among the stops{_nearest(name, list(stops))}"


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known) or 'none'}"
