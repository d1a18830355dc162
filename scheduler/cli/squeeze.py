"""How small may the adapters of a checkpoint be? A table of ranks, with the one to take."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from scheduler.cli.saying import say, say_json
from scheduler.effects.trainers_child import NoAnswerError, answer_of
from scheduler.report.lora_ranks import ENOUGH, RankAnalysis, rank_analysis
from scheduler.report.printable import one_line
from scheduler.rounds.errors import UsageError

#: a model of some billion parameters is read in a minute
_SECONDS = 1800.0


def squeeze(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT|RUN",
            help="A .pth, .pt, .bin or .safetensors file, or a folder that holds one.",
        ),
    ],
    base: Annotated[
        Path | None,
        typer.Option(metavar="CHECKPOINT", help="Analyse the whole matrices' difference from this one."),
    ] = None,
    enough: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share over layers that the rank must keep.")
    ] = ENOUGH,
    as_json: Annotated[bool, typer.Option("--json", help="Every figure, for a program.")] = False,
) -> None:
    """Find the smallest power-of-two rank that keeps what a LoRA has learned.

    V(k) is the sum of a layer's k largest squared singular values over all of them. Files are read without
    running any code in them.
    """
    question = {"path": str(path.absolute()), "base": None if base is None else str(base.absolute())}
    try:
        told = answer_of("squeeze", question, seconds=_SECONDS)
        found = rank_analysis(told["squares"], enough)
    except (NoAnswerError, ValueError) as error:
        raise UsageError(one_line(str(error), limit=1000)) from error
    if as_json:
        say_json({"file": told["file"], **dataclasses.asdict(found)})
    else:
        say("\n".join(_lines(told["file"], found)))


def _lines(file: str, found: RankAnalysis) -> Iterator[str]:
    yield f"{one_line(file)}: {found.layers} layers of rank {found.rank} at most"
    yield ""
    yield "  rank  mean V(k)  lowest  of layer"
    for row in found.rows:
        mark = "->" if row.rank == found.chosen else "  "
        yield f"{mark}{row.rank:4d}  {row.mean:9.4f}  {row.lowest:6.4f}  {one_line(row.worst_layer)}"
    yield ""
    yield f"rank {found.chosen} is the smallest power of two with a mean V of {found.enough:g} or more"
    if found.untrained:
        names = ", ".join(one_line(layer) for layer in found.untrained[:4])
        more = f" and {len(found.untrained) - 4} more" if len(found.untrained) > 4 else ""
        yield f"left out, since they hold only zeros: {names}{more}"
