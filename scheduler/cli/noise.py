"""How noisy is a task? Its baseline runs on several seeds, and the spread between them is kept and shown."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from policies.repeat import MOST_SEEDS
from scheduler.cli.home import existing_home, made_home
from scheduler.cli.reading import as_accepted, described_round
from scheduler.cli.saying import say
from scheduler.decide.floors import stored_baseline, stored_slots
from scheduler.decide.forecast import Outlook
from scheduler.decide.state import RoundState
from scheduler.decide.task_state import TaskState
from scheduler.effects import spool
from scheduler.effects.intake import check_spec
from scheduler.effects.lock import holder
from scheduler.report.floor_text import Floor, floor_lines, floor_table, floors_of
from scheduler.report.load import load_home, load_round
from scheduler.report.numbers import count, duration
from scheduler.report.printable import one_line
from scheduler.rounds.errors import UnknownIdError, UsageError
from scheduler.rounds.identity import digest
from scheduler.rounds.paths import HomePaths
from scheduler.rounds.redaction import secret_names

_POLL_SECONDS = 0.5
#: characters of a task's name in the id of the round that measures it
_NAME_LENGTH = 32
#: hex digits in that id that tell what is measured
_DIGEST_LENGTH = 8


def noise(
    context: typer.Context,
    round_or_file: Annotated[
        str | None, typer.Argument(metavar="FILE|ROUND", help="A spec file, or a known round.")
    ] = None,
    task: Annotated[
        str | None, typer.Argument(metavar="TASK", help="Needed where there are several.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=2, max=MOST_SEEDS, help="Runs of the baseline.")] = 5,
    stage: Annotated[str | None, typer.Option(help="medium unless said otherwise.")] = None,
    is_showing: Annotated[bool, typer.Option("--show", help="Measure nothing; show what is known.")] = False,
    is_waiting: Annotated[bool, typer.Option("--wait", help="Until it is measured, or Ctrl-C.")] = False,
) -> None:
    """Measure how far runs of a task's baseline lie apart.

    A round that repeats the baseline is queued; its runs are kept, and later rounds reuse them. Once they are
    there, the same call shows what they say. Without a task, --show lists all that is known.
    """
    if round_or_file is None:
        if not is_showing:
            raise UsageError("name a spec file or a round, and its task; or --show what is known")
        _show_all(existing_home(context.obj))
        return
    wanted = Measurement.of(described_round(round_or_file, context.obj), task, stage, seeds, context.obj)
    if wanted.show(least=2 if is_showing else seeds):
        return
    if is_showing:
        say(wanted.standing() or f"nothing is known of {wanted.name} yet; without --show it is measured")
        return
    wanted.queue()
    if is_waiting and holder(wanted.home.lock) is not None:
        wanted.wait()


def _show_all(home: HomePaths) -> None:
    floors = floors_of(load_home(home).baselines.families)
    if not floors:
        say("no baseline is stored yet; `schedctl noise FILE TASK` measures one")
        return
    say("\n".join(floor_table(floors)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A task's baseline at one stage, repeated in a round of its own."""

    home: HomePaths
    #: the task as it would be accepted now, with the one stage
    task: TaskState
    stage: str
    seeds: int
    #: what is queued, without its id
    spec: dict[str, Any]

    @classmethod
    def of(
        cls, described: RoundState, task: str | None, stage: str | None, seeds: int, home: HomePaths
    ) -> Measurement:
        """The measurement of one task of a round. Exits where the round could not be accepted any more."""
        found = _task(described, task)
        if secrets := secret_names(found.task.args):
            raise UsageError(
                f"the spec of task {found.task.name} holds secrets ({', '.join(secrets)}), which are in no"
                " record and so cannot be repeated: name them in `environment` of roundhouse.toml instead"
            )
        at = _stage(found, stage)
        spec = _spec(found, at, seeds)
        place = home if home.root.is_dir() else HomePaths(Path.cwd())
        checked = check_spec(orjson.dumps({"round": "noise", **spec}), "noise.json", place)
        for problem in checked.problems:
            say(one_line(problem, limit=1000), is_problem=True)
        (now,) = as_accepted(checked).tasks.values()
        if not now.task.identity.is_complete:
            raise UsageError(
                f"nothing can be kept of task {now.task.name}: not all that its result depends on is known."
                " Name a command's files in `inputs`, put missing files where they belong, or pin the"
                " @REVISION of a data set."
            )
        return cls(home=home, task=now, stage=at, seeds=seeds, spec=spec)

    @property
    def name(self) -> str:
        return f"the noise of {self.task.task.name} at {self.stage}"

    def round_id(self, number: int) -> str:
        """The id of the round that measures this; of a further one where `number` is above 1."""
        identity = self.task.task.identity
        measured = {key: self.spec[key] for key in ("objective", "stages", "tasks")}
        content = digest([measured, identity.source, identity.data, dict(identity.versions)])
        name = f"noise-{self.task.task.name[:_NAME_LENGTH]}-{self.stage}-{content[:_DIGEST_LENGTH]}"
        return name if number == 1 else f"{name}-{number}"

    def show(self, least: int) -> bool:
        """Show the floor, if so many runs are stored."""
        stored = stored_baseline(load_home(self.home), self.task, self.stage)
        if stored is None or len(stored.values) < least:
            return False
        objective = self.task.task.objective
        floor = Floor(
            task=self.task.task.name,
            stage=self.stage,
            metric=objective.metric,
            unit=objective.unit,
            values=stored.values,
        )
        say("\n".join(floor_lines(floor)))
        return True

    def standing(self) -> str | None:
        """How the round stands that was queued for it; None where there is none."""
        known = self._known()
        if not known:
            return None
        round_id = list(known)[-1]
        current = known[round_id]
        if current is None:
            return f"{self.name} waits in the queue as {round_id}"
        (task,) = current.tasks.values()
        if task.parked is not None:
            remedy = one_line(task.parked.remedy)
            return f"{round_id} is parked: {one_line(task.parked.reason)}; remedy: {remedy}"
        if current.finished is not None:
            return f"{round_id} is {current.finished.outcome}"
        outlook = Outlook.of(task)
        done, left = outlook.runs_done, outlook.forecast()
        return (
            f"{round_id} is being measured: {done} of {done + left.runs_most} runs,"
            f" about {duration(left.seconds_expected)} left"
        )

    def queue(self) -> None:
        """Queue the round, unless it waits or runs already; say how it stands."""
        home = made_home(self.home)
        known = self._known()
        last = list(known.values())[-1] if known else None
        if known and (last is None or last.is_open):
            say(self.standing() or f"{self.name} waits")
        else:
            round_id = self.round_id(len(known) + 1)
            data = orjson.dumps({"round": round_id, **self.spec}, option=orjson.OPT_INDENT_2)
            spool.submit(home, data, f"{round_id}.json")
            forecast = Outlook.of(self.task, stored_slots(load_home(home), self.task)).forecast()
            stored = self.seeds - forecast.runs_most
            more = f" ({stored} of them are stored)" if stored else ""
            say(
                f"queued {round_id}: {count(self.seeds, 'run')} of the baseline at {self.stage}{more}, about"
                f" {duration(forecast.seconds_expected)}; the same call with --show tells what they say"
            )
        if holder(home.lock) is None:
            say(f"the daemon is down; `schedctl --home {home.root} daemon` runs what is queued")

    def wait(self) -> None:
        """Wait for the round to end, and show what it measured."""
        while not self.show(least=self.seeds):
            known = self._known()
            last = list(known.values())[-1] if known else None
            if not known or (last is not None and last.finished is not None):
                # it may have ended between the two looks
                if not self.show(least=self.seeds):
                    say(self.standing() or f"{self.name} was not measured: see queue/rejected/")
                    raise typer.Exit(1)
                return
            time.sleep(_POLL_SECONDS)

    def _known(self) -> dict[str, RoundState | None]:
        """Rounds that measure this, oldest first; None for one that still waits in the queue."""
        found: dict[str, RoundState | None] = {}
        for number in range(1, MOST_SEEDS):
            round_id = self.round_id(number)
            try:
                found[round_id] = load_round(self.home.round(round_id))
            except UnknownIdError:
                file = f"{round_id}.json"
                if not (self.home.queue / file).exists() and not (self.home.active / file).exists():
                    break
                found[round_id] = None
        return found


def _task(described: RoundState, name: str | None) -> TaskState:
    if name is None and len(described.tasks) == 1:
        return next(iter(described.tasks.values()))
    if name is None or name not in described.tasks:
        known = ", ".join(described.tasks)
        wrong = "which task?" if name is None else f"round {described.round.id} has no task {name!r};"
        raise UnknownIdError(f"{wrong} it has {known}")
    return described.tasks[name]


def _stage(task: TaskState, name: str | None) -> str:
    """The stage that confirms, unless another is named; `confirm` is medium on fresh seeds."""
    known = [stage.name for stage in task.task.stages if stage.name != "confirm"]
    if name is not None and name not in known:
        raise UnknownIdError(f"task {task.task.name} has no stage {name!r}; it has {', '.join(known)}")
    return name or known[min(1, len(known) - 1)]


def _spec(task: TaskState, stage: str, seeds: int) -> dict[str, Any]:
    """The round that repeats the task's baseline at `stage`, as it would be written into the queue."""
    made = task.task
    budget = task.budget(stage)
    limits = {
        "max_steps": budget.max_steps,
        "time_budget_sec": budget.time_budget_sec,
        "eval_every": budget.eval_every,
        "n_eval": budget.n_eval,
    }
    objective = made.objective
    sizes = list(made.bsz) if task.probed is None else [task.bsz] if task.bsz is not None else []
    return {
        "title": f"Noise of {made.name} at {stage}: its baseline on {seeds} seeds",
        "objective": {
            "metric": objective.metric,
            "direction": objective.direction,
            "unit": objective.unit,
            "min_effect": objective.min_effect,
        },
        "policy": {"name": "repeat", "seeds": seeds},
        "stages": {stage: {key: value for key, value in limits.items() if value is not None}},
        "tasks": [
            {
                "name": made.name,
                "trainer": made.trainer,
                "seeds": list(made.seeds),
                **({"bsz": sizes} if sizes else {}),
                "args": made.args,
                "baseline": made.baseline.changes,
            }
        ],
    }
