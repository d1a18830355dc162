"""How do a million facts become a state in seconds? They are folded in place, and each round is settled once.

The result is the state that `fold` gives of the same facts, one by one; a test holds the two equal. What this
changes in place is its own until it is handed out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from scheduler.decide import facts
from scheduler.decide.ended import EndedRound, ended_round
from scheduler.decide.facts import PROBE_STAGE
from scheduler.decide.layered import Layered
from scheduler.decide.state import RoundState, State, accepted_round, fold, fold_round
from scheduler.decide.task_fold import fold_task, peak_memory_mib
from scheduler.decide.task_recount import recounted
from scheduler.decide.task_state import Attempt, TaskState
from scheduler.rounds.identity import RunKey


class Replay:
    """The state after all facts taken so far, those of a round in the order of its records."""

    def __init__(self) -> None:
        self._rest = State()
        self._rounds: dict[str, RoundReplay] = {}
        self._ended: dict[str, EndedRound] = {}
        #: what later rounds may reuse of those
        self._results: list[Mapping[str, Any]] = []
        self._accepted: list[str] = []

    def take(self, fact: facts.Fact) -> None:
        """Let `fact` count. Raises ValueError for one that cannot follow what is known."""
        if not isinstance(fact, facts.RoundFact):
            self._rest = fold(self._rest, fact)
            return
        if fact.round not in self._rounds:
            self._rounds[fact.round] = RoundReplay()
            self._accepted.append(fact.round)
        self._rounds[fact.round].take(fact)

    def add(self, current: RoundState) -> None:
        """Take an open round as its own facts tell it."""
        self._accepted.append(current.round.id)
        self._rounds[current.round.id] = RoundReplay(current)

    def add_ended(self, ended: EndedRound, results: Mapping[str, Any]) -> None:
        """Take a round as ended, with what later rounds may reuse of it."""
        self._accepted.append(ended.id)
        self._ended[ended.id] = ended
        self._results.append(results)

    def state(self) -> State:
        """The state. What is taken later changes it in place."""
        rounds = {name: each.current for name, each in self._rounds.items()}
        finished = {name: ended_round(each) for name, each in rounds.items() if each.finished is not None}
        return replace(
            self._rest,
            rounds={name: each for name, each in rounds.items() if each.finished is None},
            ended={**self._ended, **finished},
            results=self._rest.results.having(*self._results).having_rounds(*rounds.values()),
            accepted=tuple(self._accepted),
        )


class RoundReplay:
    """One round after all of its facts taken so far."""

    def __init__(self, current: RoundState | None = None) -> None:
        self._current: RoundState | None = None
        self._tasks: dict[str, _TaskReplay] = {}
        if current is not None:
            self._open(current)

    @property
    def is_accepted(self) -> bool:
        """Whether its first fact was taken."""
        return self._current is not None

    @property
    def current(self) -> RoundState:
        """The whole round, finished or not. What is taken later changes it in place."""
        if self._current is None:
            raise ValueError("a round begins with its acceptance")
        return replace(self._current, tasks={name: each.settled() for name, each in self._tasks.items()})

    def take(self, fact: facts.RoundFact) -> None:
        """Let `fact` count. Raises ValueError for one that cannot follow what is known."""
        if isinstance(fact, facts.AttemptFact) and fact.task in self._tasks:
            self._tasks[fact.task].take_run(fact)
        elif isinstance(fact, facts.VariantFact | facts.VerdictReached) and fact.task in self._tasks:
            self._tasks[fact.task].take_decision(fact)
        elif isinstance(fact, facts.RoundAccepted):
            self._open(accepted_round(fact))
        elif self._current is None:
            raise ValueError(f"{type(fact).__name__} for round {fact.round!r}, which was never accepted")
        else:
            self._open(fold_round(self.current, fact))

    def _open(self, current: RoundState) -> None:
        self._current = current
        for name, task in current.tasks.items():
            if name not in self._tasks or self._tasks[name].task is not task:
                self._tasks[name] = _TaskReplay(task)


class _TaskReplay:
    """One task, with its mappings changed in place."""

    def __init__(self, task: TaskState) -> None:
        self._in_hand: _Run | None = None
        self._open(task)

    def _open(self, task: TaskState) -> None:
        self.task = task
        self._attempts = dict(task.attempts)
        self._decisions = dict(task.decisions)
        self._verdicts = dict(task.verdicts)
        self._protocols = dict(task.protocols)
        self._peak_memory_mib = task.peak_memory_mib
        self._is_settled = True

    def settled(self) -> TaskState:
        """The task as it is now."""
        self._put_by()
        if not self._is_settled:
            changed = replace(
                self.task,
                attempts=Layered(dict(self._attempts)),
                decisions=Layered(dict(self._decisions)),
                verdicts=Layered(dict(self._verdicts)),
                protocols=dict(self._protocols),
                peak_memory_mib=self._peak_memory_mib,
            )
            self.task = recounted(changed)
            self._is_settled = True
        return self.task

    def take_run(self, fact: facts.AttemptFact) -> None:
        """Let a fact about an attempt count."""
        run = self._in_hand
        if isinstance(fact, facts.RunIntended):
            self._put_by()
            key = fact.key
            if fact.stage != PROBE_STAGE:
                self._protocols[fact.stage] = fact.protocol
            self._in_hand = _Run(key, fact, self._attempts.get(key, ()))
        elif run is None or not run.is_of(fact):
            self._take_other(fact)
        elif isinstance(fact, facts.RunFinished):
            self._keep(run, fact)
            self._peak_memory_mib = peak_memory_mib(self._peak_memory_mib, fact)
        elif isinstance(fact, facts.RunStarted):
            run.started = fact
        elif isinstance(fact, facts.StopDecided):
            run.stops = (*run.stops, fact)

    def take_decision(self, fact: facts.VariantFact | facts.VerdictReached) -> None:
        """Let a decision or a verdict count."""
        self._is_settled = False
        if isinstance(fact, facts.VerdictReached):
            self._verdicts[fact.config] = fact
        else:
            self._decisions[fact.config] = (*self._decisions.get(fact.config, ()), fact)

    def _put_by(self) -> None:
        """The run in hand joins the others, open or not."""
        if self._in_hand is not None:
            self._keep(self._in_hand, None)

    def _keep(self, run: _Run, finished: facts.RunFinished | None) -> None:
        attempt = Attempt(intended=run.intended, started=run.started, stops=run.stops, finished=finished)
        self._attempts[run.key] = (*run.before, attempt)
        self._in_hand = None
        self._is_settled = False

    def _take_other(self, fact: facts.AttemptFact) -> None:
        """A run that was never intended since its end was known already; or one that was set aside."""
        self._put_by()
        before = self._attempts.get(fact.key, ())
        if isinstance(fact, facts.RunFinished) and fact.cached_from and all(a.finished for a in before):
            self._attempts[fact.key] = (*before, Attempt(intended=fact.intent, finished=fact))
            if fact.stage != PROBE_STAGE:
                self._protocols[fact.stage] = fact.protocol
            self._is_settled = False
        else:
            self._open(fold_task(self.settled(), fact))


class _Run:
    """The run in hand: it joins the others when it is over, or when another one is intended."""

    __slots__ = ("before", "intended", "key", "started", "stops")

    def __init__(self, key: RunKey, intended: facts.RunIntended, before: tuple[Attempt, ...]) -> None:
        self.key = key
        self.intended = intended
        #: earlier tries
        self.before = before
        self.started: facts.RunStarted | None = None
        self.stops: tuple[facts.StopDecided, ...] = ()

    def is_of(self, fact: facts.AttemptFact) -> bool:
        """Whether `fact` is about this attempt."""
        intended = self.intended
        return (
            intended.seed == fact.seed
            and intended.config == fact.config
            and intended.stage == fact.stage
            and intended.attempt == fact.attempt
        )
