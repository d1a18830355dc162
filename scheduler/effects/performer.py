"""Who carries out what was decided? One method for each kind of action; nothing is decided here."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any, get_args

import orjson

from scheduler.decide import actions as act
from scheduler.decide import codec, facts, inputs
from scheduler.effects import control
from scheduler.effects.advice import Advice
from scheduler.effects.assignment import prepare_message
from scheduler.effects.books import Books
from scheduler.effects.clock import Deadlines
from scheduler.effects.files import available_memory_mib, publish
from scheduler.effects.gpu_watch import GpuWatch
from scheduler.effects.launcher_log import LauncherLog
from scheduler.effects.patience import Patience
from scheduler.effects.reception import Reception
from scheduler.effects.reporting import Reporting
from scheduler.effects.stored_results import StoredResults
from scheduler.effects.tidying import Tidying
from scheduler.effects.workers import Workers
from scheduler.rounds.paths import HomePaths, RunPaths
from scheduler.rounds.settings import Settings

#: with less memory free than this, nothing is prepared beside the run that trains
SPARE_MEMORY_MIB = 2048


class Performer:
    """The effects a decision may ask for, each behind its module."""

    def __init__(
        self,
        home: HomePaths,
        *,
        post: Callable[[inputs.Input], None],
        settings: Settings,
        workers: Workers,
        gpu: GpuWatch | None,
        advice: Advice,
        deadlines: Deadlines[inputs.DeadlinePassed],
        reception: Reception,
        reporting: Reporting,
        books: Books,
        log: LauncherLog,
        patience: Patience,
        results: StoredResults,
        tidying: Tidying,
    ) -> None:
        self._tidying = tidying
        self._results = results
        self._home = home
        self._post = post
        self._settings = settings
        self._workers = workers
        self._gpu = gpu
        self._advice = advice
        self._deadlines = deadlines
        self._reception = reception
        self._reporting = reporting
        self._books = books
        self._log = log
        self._patience = patience

    def perform(self, action: act.KeepSpec | act.Effect) -> None:
        """Carry out `action`. Waits where the disk is full."""
        match action:
            case act.StartWorker():
                self._start(action)
            case act.PrepareAhead(start=start):
                if available_memory_mib() >= SPARE_MEMORY_MIB:
                    self._start(start, is_ahead=True)
                else:
                    self._post(inputs.WorkerEnded(attempt_id=start.intended.attempt_id, returncode=0))
            case act.ContinueWorker(attempt_id=attempt_id, start=start):
                self._continue(attempt_id, start)
            case act.HurryWorker(attempt_id=attempt_id):
                self._workers.hurry(attempt_id)
            case act.OpenGate():
                self._open_gate(action)
            case act.ReleaseWorker(attempt_id=attempt_id):
                self._workers.release(attempt_id)
            case act.EndWorker(attempt_id=attempt_id, ended_by=ended_by):
                self._workers.end(attempt_id, ended_by)
            case act.LookAtWorker(attempt_id=attempt_id, kind=kind):
                self._workers.look(attempt_id, kind)
            case act.StopRun(attempt_id=attempt_id, reason=reason):
                self._workers.stop(attempt_id, "pruned", reason)
            case act.AskAdvice(question=question):
                self._advice.ask(question)
            case act.SetDeadline(key=key, seconds=seconds, event=event):
                self._deadlines.set(key, seconds, event)
            case act.CancelDeadlines(attempt_id=attempt_id):
                for kind in get_args(inputs.DeadlineKind):
                    self._deadlines.cancel(f"{kind}:{attempt_id}")
            case act.DropStates(round=round_id, run_dirs=run_dirs):
                for run_dir in run_dirs:
                    # Gone or not: nothing asks for it again, and the end of the task sweeps once more.
                    shutil.rmtree(self._home.round(round_id).run(run_dir).checkpoint, ignore_errors=True)
            case act.FetchResult():
                self._results.fetch(action)
            case act.PlanTidy(is_hurried=is_hurried):
                self._tidying.look(is_hurried=is_hurried)
            case act.DropRunFiles(dropped=dropped):
                self._tidying.drop(dropped)
            case act.WriteReport(round=round_id, is_live=is_live):
                self._reporting.write(round_id, is_live=is_live)
            case act.UnloadRound(round=round_id):
                self._books.close_round(round_id)
            case _:
                self._patience.on_full_disk(lambda: self._keep(action))

    def _keep(
        self,
        action: act.KeepSpec
        | act.RejectSpec
        | act.MoveSpec
        | act.CloseRecords
        | act.KeepError
        | act.DiscardRequest,
    ) -> None:
        """Files: each of these may be done again when the disk was full half way."""
        match action:
            case act.KeepSpec(accepted=accepted):
                self._books.open_round(accepted.round, self._reception.keep(accepted))
            case act.RejectSpec(rejected=rejected):
                self._reception.reject(rejected)
            case act.MoveSpec():
                self._reception.move(action)
            case act.CloseRecords(ended=ended, results=results):
                self._books.end_round(ended, results)
            case act.KeepError(run=run):
                self._keep_error(run)
            case act.DiscardRequest(id=request_id, answer=answer):
                control.discard(self._home, request_id)
                self._log.line(f"REQUEST {answer}")

    def _start(self, action: act.StartWorker, *, is_ahead: bool = False) -> None:
        message = prepare_message(action, self._home, self._settings)
        self._workers.start(action.intended.attempt_id, message, is_ahead=is_ahead)

    def _continue(self, attempt_id: str, action: act.StartWorker) -> None:
        message = prepare_message(action, self._home, self._settings)
        if self._gpu is not None:
            self._gpu.run_continues(attempt_id)
        self._workers.go_on(attempt_id, action.intended.attempt_id, message)

    def _open_gate(self, action: act.OpenGate) -> None:
        intended = action.intended
        paths = self._home.round(intended.round).run(intended.run_dir)
        told = {**codec.to_fields(intended), "args": dict(action.config)}
        if self._gpu is not None:
            self._gpu.run_began(intended.attempt_id)
        self._workers.go(intended.attempt_id, paths.root)
        self._post(inputs.GateOpened(attempt_id=intended.attempt_id))
        # For people, after the run has got going: all that it says is in the records.
        self._patience.on_full_disk(lambda: _publish_config(paths, told))

    def _keep_error(self, run: facts.RunFinished) -> None:
        """The whole text of an error that the worker could not write itself."""
        paths = self._home.round(run.round).run(run.run_dir)
        if run.error and not paths.error.exists():
            paths.root.mkdir(parents=True, exist_ok=True)
            publish(paths.error, run.error.encode("utf-8", "backslashreplace"))


def _publish_config(paths: RunPaths, told: dict[str, Any]) -> None:
    paths.root.mkdir(parents=True, exist_ok=True)
    publish(paths.config, orjson.dumps(told, option=orjson.OPT_INDENT_2))
