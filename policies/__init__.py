"""Which policies are there, and how is one made from the options of a spec?

A policy is one file here with a frozen dataclass `Policy`; the file's name is the policy's name. Files that
start with `_`, and `evidence`, are no policies.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any, Protocol

from policies.evidence import Decision, TaskEvidence, Verdict

DEFAULT_POLICY = "threshold"


class Policy(Protocol):
    """Pure code that decides. An instance holds the options of one task and nothing else."""

    def slots(self, stage: str, listed: int) -> tuple[int, ...]:
        """The slots whose seeds run at `stage`, given how many seeds the task lists."""

    def after(self, stage: str, evidence: TaskEvidence) -> Decision:
        """What becomes of a variant whose runs at `stage`, and the baseline's, have ended."""

    def verdict(self, evidence: TaskEvidence) -> Verdict:
        """How a variant fared that was pruned or held. An infrastructure failure is never a LOSER."""


@functools.cache
def policy_names() -> tuple[str, ...]:
    """Every policy by the name of its file, sorted."""
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in modules if not name.startswith("_") and name != "evidence"))


def make_policy(name: str, options: Mapping[str, Any]) -> Policy:
    """The policy `name` with `options`. Raises ValueError with every problem, a line each."""
    if name not in policy_names():
        raise ValueError(f"no policy is called {name!r}{_nearest(name, policy_names())}")
    policy_type = importlib.import_module(f"policies.{name}").Policy
    known = [f.name for f in dataclasses.fields(policy_type)]
    problems = [f"{key}: unknown option{_nearest(key, known)}" for key in options if key not in known]
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
