"""What did somebody add to a round's learnings after it ran? Why and lesson, in a file of their own.

`learnings.toml` lies in the round's folder, a table by iteration. It is a person's, like the spec, and
nothing here writes it. A hypothesis is none afterwards: that one stands in the spec alone, which came before.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

from scheduler.decide.state import RoundState
from scheduler.rounds.paths import RoundPaths

#: what may be added
ADDED = ("why", "lesson")
#: the ways of judging that tell of learnings
_WAYS = ("targets",)


def judge_options(round_state: RoundState, paths: RoundPaths) -> Mapping[str, Mapping[str, Any]]:
    """The round's options by way of judging, with what was added to its learnings.

    What cannot be read is told in place of the learnings' `why`, and hides no figure.
    """
    asked = round_state.round.judge
    if not any(way in asked for way in _WAYS):
        return asked
    try:
        with paths.learnings.open("rb") as file:
            added = tomllib.load(file)
    except FileNotFoundError:
        return asked
    except (OSError, ValueError) as error:
        added = {"learnings.toml": {"why": f"cannot be read: {error}"}}
    return {
        way: {**options, "learnings": _merged(options.get("learnings", {}), added)}
        if way in _WAYS
        else options
        for way, options in asked.items()
    }


def _merged(declared: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """The declared learnings with the texts that were added; nothing else may be."""
    found: dict[str, Any] = {config: dict(texts) for config, texts in declared.items()}
    for config, texts in added.items():
        if not isinstance(texts, Mapping):
            continue
        told = {key: text for key, text in texts.items() if key in ADDED and isinstance(text, str)}
        if told:
            found.setdefault(config, {}).update(told)
    return found
