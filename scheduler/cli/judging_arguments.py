"""How is it said on a command line what to judge, and in which way? The same for every verb that judges."""

from __future__ import annotations

from typing import Annotated

import typer

from scheduler.judging import way_names

Names = Annotated[
    list[str], typer.Argument(metavar="ROUND|FILES...", help="A round, or files, folders and patterns.")
]
Way = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="WAY",
        help=f"One of {', '.join(way_names())}; by default what the round asks for.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="An option of the way of judging."),
]
Config = Annotated[str | None, typer.Option(help="Only this experiment.")]
TaskName = Annotated[str | None, typer.Option(help="Only this task.")]
StageName = Annotated[str | None, typer.Option(help="Runs of this stage.")]
Baseline = Annotated[str | None, typer.Option(help="Name of the baseline in files.")]
Metric = Annotated[str | None, typer.Option(help="Metric to judge by.")]
Direction = Annotated[str | None, typer.Option(help="maximize or minimize.")]
Unit = Annotated[str | None, typer.Option(help='Unit of deltas; "pp" is a 0..1 score times 100.')]
MinEffect = Annotated[float | None, typer.Option(help="Smallest effect of interest.")]
PromptSet = Annotated[str | None, typer.Option(help="The prompts that count.")]
Step = Annotated[int | None, typer.Option(help="Read every run at this step.")]
