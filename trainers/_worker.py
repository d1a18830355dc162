"""How does a worker go about its runs? Prepare, wait at the gate, train, publish; then the next one."""

from __future__ import annotations

import faulthandler
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import psutil

from trainers import _checkpoint, _probe, _processes
from trainers._assignment import Assignment, assigned
from trainers._checkpoint import Kept, Origin
from trainers._failures import WHOLE_LIMIT, Failure, failure_of
from trainers._output import Output
from trainers._recorder import Recorder
from trainers._run import Ending, Referee, Stop
from trainers._wire import HEARTBEAT_SECONDS, HUNG_SIGNAL, read_messages, write_message

#: looks at how much was printed, in the time between two heartbeats: a disk takes a gigabyte a second
LOOKS_PER_BEAT = 8


class Terminated(BaseException):
    """SIGTERM: leave everything, end what was started, and exit."""


class Keeper:
    """Takes the state that a trainer gives, and says of which run and step it is."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._state: Any = None
        self._train_seconds = 0.0

    def keep(self, state: Any) -> None:
        self._state = state
        self._train_seconds = self._recorder.spent_seconds()

    def kept(self, assignment: Assignment) -> Kept | None:
        """None where the trainer gave nothing."""
        step, context = assignment.context.keep_step, assignment.context
        if self._state is None or step is None or context.max_steps is None:
            return None
        origin = Origin(
            step=step,
            max_steps=context.max_steps,
            maker=_checkpoint.maker_of(assignment.message, assignment.identity),
            n_eval=context.n_eval,
            train_seconds=round(self._train_seconds, 6),
            evaluations=self._recorder.heritage,
        )
        folder = self._recorder.run_dir / _checkpoint.FOLDER
        return Kept(folder=folder, origin=origin, state=self._state)


class Worker:
    """The main thread's side of a worker. Two more threads listen and tell of being alive."""

    def __init__(self, in_fd: int, out_fd: int) -> None:
        self._in_fd, self._out_fd = in_fd, out_fd
        self._inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._stop: Stop | None = None
        #: of the run under way
        self._run_dir: Path | None = None
        self._is_leaving = False
        self._say_lock = threading.Lock()
        self._output = Output()
        #: the state that the last run was asked to keep, until the next message
        self._held: Kept | None = None
        # The interpreter's start-up belongs to the first run's.
        self._asked_at: float | None = time.monotonic() - _processes.age_seconds()
        for descriptor in (in_fd, out_fd):
            os.set_inheritable(descriptor, False)

    def serve(self) -> NoReturn:
        """Do run after run until the daemon closes its end."""
        threading.Thread(target=self._listen, name="listen", daemon=True).start()
        threading.Thread(target=self._beat, name="beat", daemon=True).start()
        while True:
            message = self._inbox.get()
            if message["type"] != "prepare":
                raise RuntimeError(f"expected `prepare`, got {message['type']!r}")
            self._one_run(message)
            self._asked_at = None

    def _one_run(self, message: Mapping[str, Any]) -> None:
        asked_at = self._asked_at if self._asked_at is not None else time.monotonic()
        held, self._held = self._held, None
        try:
            assignment = assigned(message, asked_at, lambda: self._stop is not None, held)
        except (Exception, SystemExit) as error:  # whatever is wrong with the run, the daemon has to hear it
            failure = failure_of(error, self._output.tail())
            # Its record has head and tail; where the run has no folder yet, the daemon keeps the whole.
            self._say({"type": "failed", "failure": failure.to_json(), "text": failure.text[-WHOLE_LIMIT:]})
            return
        if message.get("context_ahead"):
            _open_context(assignment.context.device)
        del held  # a run that goes on has its own copy, and any other has no use for it
        self._say(
            {
                "type": "prepared",
                "startup_seconds": assignment.startup_seconds,
                "identity": assignment.identity,
                "inherited_steps": assignment.inherited.step if assignment.inherited else 0,
                "not_inherited": assignment.not_inherited,
                "keep_step": assignment.context.keep_step,
            }
        )
        go = self._inbox.get()
        if go["type"] != "go":
            raise RuntimeError(f"expected `go`, got {go['type']!r}")
        result = self._go(assignment, Path(go["run_dir"]))
        self._say({"type": "finished", "result": result})

    def _go(self, assignment: Assignment, run_dir: Path) -> dict[str, Any]:
        """The run itself. A folder that cannot be written fails it, and the daemon still hears of it."""
        result: dict[str, Any] = {}
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
            self._output.begin(run_dir / "out.log")
            self._run_dir = run_dir
            self._run_in(assignment, run_dir, result)
        except OSError as error:
            failure = failure_of(error, self._output.tail()).to_json()
            result |= {"status": "failed", "value": None, "acc": None, "loss": None}
            result["failure"] = result.get("failure") or failure
        finally:
            self._run_dir = None
            self._output.end()
        return result

    def _run_in(self, assignment: Assignment, run_dir: Path, result: dict[str, Any]) -> None:
        """Train or probe, fill in `result` and publish it."""
        began_at = time.monotonic()
        if assignment.git_diff:
            (run_dir / "source.diff").write_bytes(assignment.git_diff)
        metric = assignment.message.get("metric") or "acc"
        recorder = Recorder(
            run_dir,
            metric,
            assignment.context.device,
            keeps_scores=bool(assignment.message.get("keep_scores")),
            keep_step=assignment.context.keep_step,
        )
        if assignment.is_probe:
            found, failure = self._probe(assignment, recorder)
        else:
            if assignment.inherited:
                recorder.inherit(assignment.inherited, assignment.context.n_eval)
            keeper = Keeper(recorder)
            ending = self._train(assignment, recorder, metric, keeper)
            found, failure = recorder.result(ending.status, ending.final, ending.failure), ending.failure
            found["kept"] = self._keep(keeper.kept(assignment) if ending.status == "ok" else None, assignment)
        result |= found
        result["startup_seconds"] = assignment.startup_seconds
        result["wall_seconds"] = round(time.monotonic() - began_at, 6)
        result["git_commit"] = assignment.git_commit
        self._output.cap()
        if self._is_leaving:
            threading.Event().wait()  # until the thread that leaves ends the process
        recorder.publish(result, failure)

    def _keep(self, kept: Kept | None, assignment: Assignment) -> dict[str, Any] | None:
        """Hold a state, and write it where that is wanted; what the result says of it."""
        self._held = kept
        if kept is None:
            return None
        size = None
        if assignment.message.get("keep_on_disk", True):
            try:
                size = _checkpoint.write(kept, assignment.module)
            except Exception:  # the run has its result, and a longer one can do without the state
                traceback.print_exc()
        return {"step": kept.origin.step, "bytes": size}

    def _train(self, assignment: Assignment, recorder: Recorder, metric: str, keeper: Keeper) -> Ending:
        context = replace(assignment.context.in_run(recorder.run_dir), keep=keeper.keep)
        referee = Referee(
            recorder=recorder,
            context=context,
            metric=metric,
            ends_itself=getattr(assignment.module, "ENDS_ITSELF", False),
            stop=lambda: self._stop,
            say=self._say,
            output_tail=self._output.tail,
        )
        if referee.ends_itself:  # where it stands says nothing of the program that it runs
            signal.signal(HUNG_SIGNAL, signal.SIG_IGN)
        try:
            evaluations = iter(assignment.module.train(assignment.prepared, context))
        except Exception as error:  # `train` need not be a generator function
            return Ending(status="failed", failure=failure_of(error, self._output.tail()))
        return referee.follow(evaluations)

    def _probe(self, assignment: Assignment, recorder: Recorder) -> tuple[dict[str, Any], Failure | None]:
        message = assignment.message
        context = assignment.context.in_run(recorder.run_dir)
        failure = None
        found: dict[str, Any] = {}
        try:
            probe = _probe.Probe(module=assignment.module, config=assignment.config, context=context)
            found = probe.run(message.get("candidates", ()), message.get("stages", ()))
        except (Exception, SystemExit) as error:  # a probe that fails is a value like a run that fails
            failure = failure_of(error, self._output.tail())
        result = recorder.result("failed" if failure else "ok", None, failure)
        return result | found, failure

    def _listen(self) -> None:
        for message in read_messages(self._in_fd):
            if message["type"] == "stop":
                self._stop = Stop(status=message["status"], reason=message["reason"])
                continue
            if message["type"] == "prepare":
                self._stop = None
            self._inbox.put(message)
        self._leave(0)

    def _beat(self) -> None:
        process = psutil.Process()
        while True:
            try:
                for _ in range(LOOKS_PER_BEAT):
                    time.sleep(HEARTBEAT_SECONDS / LOOKS_PER_BEAT)
                    self._output.cap()
                if (run_dir := self._run_dir) is not None:
                    os.utime(run_dir)  # how long it lived, for whoever finds it lost
            except OSError:
                # a full disk must not silence the heart; the run itself meets it soon enough
                time.sleep(HEARTBEAT_SECONDS)
            rss_mib = round(process.memory_info().rss / 2**20, 1)
            self._say({"type": "heartbeat", "rss_mib": rss_mib})

    def _say(self, message: Mapping[str, Any]) -> None:
        try:
            with self._say_lock:
                write_message(self._out_fd, message)
        except BrokenPipeError:
            self._leave(0)

    def _leave(self, status: int) -> NoReturn:
        """Exit at once with everything that was started, whatever the other threads are doing.

        A run that sees its own program killed here has not failed, and must not say so.
        """
        self._is_leaving = True
        _processes.kill_all(lambda: _processes.descendants(os.getpid()), wait_seconds=1.0)
        os._exit(status)


def _open_context(device: str) -> None:
    """What the first use of a GPU takes, taken now; an error comes again where the run meets it."""
    torch = sys.modules.get("torch")
    if torch is None or not device.startswith("cuda"):
        return
    try:
        torch.zeros(1, device=device)
        torch.cuda.synchronize()
    except RuntimeError:
        traceback.print_exc()


def work(in_fd: int, out_fd: int) -> NoReturn:
    """Be a worker on two inherited descriptors. Never returns."""
    _processes.die_with_parent()
    _processes.become_subreaper()
    faulthandler.register(HUNG_SIGNAL)
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C on a daemon in a terminal is the daemon's to handle
    worker = Worker(in_fd, out_fd)
    try:
        worker.serve()
    except Terminated:
        worker._leave(128 + signal.SIGTERM)


def _terminate(_signal: int, _frame: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated
