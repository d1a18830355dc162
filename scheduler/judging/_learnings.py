"""What was expected of each iteration, what came, why, and what is to be learnt from it?

The hypothesis is declared before anything runs, the reality is read from the figures, and why and lesson are
what somebody adds afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: what may be told of an iteration; the reality is nobody's to tell
TOLD = ("hypothesis", "why", "lesson")


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """One iteration."""

    config: str
    hypothesis: str
    #: the figures, on one line; empty where it has not run
    reality: str
    why: str = ""
    lesson: str = ""


def learning_problems(name: str, told: Any) -> Iterator[str]:
    """A line for each entry that is no table of texts by iteration."""
    if not isinstance(told, Mapping):
        yield f'{name}: must be a table by iteration, such as {{ stops = {{ hypothesis = "..." }} }}'
        return
    for config, texts in told.items():
        if not isinstance(texts, Mapping):
            yield f"{name}.{config}: must be a table with {', '.join(TOLD)} (found {texts!r})"
            continue
        for key, text in texts.items():
            if key not in TOLD:
                yield f"{name}.{config}.{key}: unknown; there are {', '.join(TOLD)}"
            elif not isinstance(text, str):
                yield f"{name}.{config}.{key}: must be a text (found {text!r})"


def learnings(told: Mapping[str, Mapping[str, str]], realities: Mapping[str, str]) -> tuple[Learning, ...]:
    """Of every iteration of which anything was told, in the order of `realities`, others last."""
    return tuple(
        Learning(
            config=config,
            hypothesis=told[config].get("hypothesis", ""),
            reality=realities.get(config, ""),
            why=told[config].get("why", ""),
            lesson=told[config].get("lesson", ""),
        )
        for config in (
            *(name for name in realities if name in told),
            *(name for name in told if name not in realities),
        )
    )
