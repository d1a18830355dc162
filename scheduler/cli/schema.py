"""The JSON Schema of round specs, for editors."""

from __future__ import annotations

import orjson
import typer

from scheduler.rounds.spec import json_schema


def schema() -> None:
    """Print the JSON Schema of a round spec."""
    typer.echo(orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2).decode())
