"""How does the daemon ask pruners of Optuna, without waiting for them? A niced child answers one by one.

It is made when the first question comes. What goes wrong in it stops no run and no daemon.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping

import orjson

from policies._advice import Answer, Question
from scheduler.decide.inputs import StopAdvised
from scheduler.rounds.paths import HomePaths

#: what a question may take; the first one includes loading Optuna
ANSWER_SECONDS = 60.0
#: children that die one after the other without an answer, before nobody is asked any more
MOST_FAILURES = 3

_CHUNK_BYTES = 64 * 1024


class Advice:
    """Questions to the adviser. `post` gets what would stop a run, `report` a line about what went wrong.

    Both are called in a thread. Of several questions about one run only the newest is asked.
    """

    def __init__(
        self,
        home: HomePaths,
        *,
        environment: Mapping[str, str],
        post: Callable[[StopAdvised], None],
        report: Callable[[str], None],
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._home = home
        self._environment = {**environment, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._post = post
        self._report = report
        self._answer_seconds = answer_seconds
        self._changed = threading.Condition()
        self._waiting: dict[str, Question] = {}
        self._is_closed = False
        self._thread: threading.Thread | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._failures = 0
        self._reported: set[str] = set()

    def ask(self, question: Question) -> None:
        """Have the question answered, soon. Never waits."""
        with self._changed:
            if self._is_closed or self._failures >= MOST_FAILURES:
                return
            self._waiting[question.attempt_id] = question
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="advice", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the child; what was asked stays unanswered."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
            if self._child is not None:
                self._child.kill()
        if self._thread is not None:
            self._thread.join()

    def _serve(self) -> None:
        while (question := self._next()) is not None:
            answers = self._answers(question)
            if answers is None:
                self._failed()
                continue
            self._failures = 0
            for answer in answers:
                self._pass_on(question, answer)
        self._end_child()

    def _next(self) -> Question | None:
        """The oldest question; None once closed."""
        with self._changed:
            while not self._waiting and not self._is_closed:
                self._changed.wait()
            return None if self._is_closed else self._waiting.pop(next(iter(self._waiting)))

    def _answers(self, question: Question) -> list[Answer] | None:
        """What the child says; None when it died, or took too long."""
        told = {"runs_folder": str(self._home.round(question.round).runs), "question": question}
        try:
            child = self._living_child()
            if child is None:
                return None
            assert child.stdin is not None
            child.stdin.write(orjson.dumps(told) + b"\n")
            child.stdin.flush()
            line = self._line_from(child)
            return None if line is None else [Answer(**each) for each in orjson.loads(line)]
        except OSError:
            return None

    def _line_from(self, child: subprocess.Popen[bytes]) -> bytes | None:
        assert child.stdout is not None
        heard = b""
        poller = select.poll()
        poller.register(child.stdout, select.POLLIN)
        deadline = time.monotonic() + self._answer_seconds
        while not heard.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not poller.poll(left * 1000):
                return None
            chunk = os.read(child.stdout.fileno(), _CHUNK_BYTES)
            if not chunk:
                return None
            heard += chunk
        return heard

    def _living_child(self) -> subprocess.Popen[bytes] | None:
        """The child, made if there is none; None once closed."""
        with self._changed:
            if self._is_closed:
                return None
            if self._child is None:
                self._child = subprocess.Popen(
                    [sys.executable, "-P", "-m", "scheduler.effects.adviser"],
                    cwd=self._home.root,
                    env=self._environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    start_new_session=True,  # Ctrl-C in a terminal is the daemon's to handle
                )
            return self._child

    def _end_child(self) -> None:
        with self._changed:
            child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    pass  # it died with a question half written
        child.wait()

    def _failed(self) -> None:
        self._end_child()
        with self._changed:
            if self._is_closed:
                return
            self._failures += 1
            is_last = self._failures >= MOST_FAILURES
            if is_last:
                self._waiting.clear()
        more = "; nobody is asked until the daemon starts again" if is_last else ""
        self._report(f"ADVICE the adviser on in-run stops gave no answer{more}")

    def _pass_on(self, question: Question, answer: Answer) -> None:
        if answer.error is not None:
            line = f"ADVICE rule={answer.rule} failed: {answer.error}"
            if line not in self._reported:
                self._reported.add(line)
                self._report(line)
        if answer.reason is not None:
            self._post(
                StopAdvised(
                    attempt_id=question.attempt_id,
                    rule=answer.rule,
                    reason=answer.reason,
                    step=question.step,
                )
            )
