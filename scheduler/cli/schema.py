"""The JSON Schema of round specs, for editors."""

from __future__ import annotations

from scheduler.cli.saying import say_json
from scheduler.rounds.spec import json_schema


def schema() -> None:
    """Print the JSON Schema of a round spec."""
    say_json(json_schema())
