"""Which policies are there, and how is one made from the options of a spec?

A policy is one file here with a frozen dataclass `Policy`; the file's name is the policy's name. Files that
start with `_`, and those of `NO_POLICIES`, are none.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from policies._ledger import Lesson
from policies._stop_rules import SHARED_OPTIONS, StopRules
from policies.steps import PossibleRun, Step, TaskView

DEFAULT_POLICY = "screen_confirm"
#: public modules that policies and others build on
NO_POLICIES = frozenset({"evidence", "pruners", "steps", "variant_by_variant"})


class Policy(Protocol):
    """Pure code that decides. An instance holds the options of one task and nothing else."""

    def next(self, view: TaskView) -> Step | None:
        """The next run, decision or verdict; None when nothing is left to do.

        The same view always gives the same step, and a run that is over is never asked for again.
        """

    def possible_runs(self, view: TaskView) -> Iterable[PossibleRun]:
        """Every run that may still come, in the likely order."""

    def runs_ahead(self, view: TaskView) -> Iterable[PossibleRun]:
        """The same runs in any order, those of variants that nothing tells apart as one with their number."""

    def lesson(self, view: TaskView) -> Lesson:
        """What the finished task teaches later ones; it may be empty."""


@functools.cache
def policy_names() -> tuple[str, ...]:
    """Every policy by the name of its file, sorted."""
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in modules if not name.startswith("_") and name not in NO_POLICIES))


def make_policy(name: str, options: Mapping[str, Any]) -> Policy:
    """The policy `name` with `options`. Raises ValueError with every problem, a line each."""
    if name not in policy_names():
        raise ValueError(f"no policy is called {name!r}{_nearest(name, policy_names())}")
    policy_type = importlib.import_module(f"policies.{name}").Policy
    known = [f.name for f in dataclasses.fields(policy_type)]
    allowed = [*known, *SHARED_OPTIONS]
    problems = [f"{key}: unknown option{_nearest(key, allowed)}" for key in options if key not in allowed]
    try:
        StopRules.of(options)
    except ValueError as error:
        problems.append(str(error))
    try:
        policy: Policy = policy_type(**{key: value for key, value in options.items() if key in known})
    except ValueError as error:
        problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    return policy


def _nearest(name: str, known: tuple[str, ...] | list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"
