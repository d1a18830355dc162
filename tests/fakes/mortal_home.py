"""A home whose daemon can die at any action: real files of records, and everything around them imagined.

The files are those of the daemon, by its own code. What a crash of the machine loses of them is decided here,
by what had been fsynced. Processes, the clock, the queue and the requests of people are plain values.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import orjson
from fakes.crew import Crew
from fakes.laws import DONE, assert_may_happen, assert_recorded
from fakes.mortal_disk import Crash, Fuse, Loss, WatchedBooks, lose, recorded
from fakes.world import GPU

from scheduler.decide import actions as act
from scheduler.decide import facts, inputs
from scheduler.decide.failures import Limits
from scheduler.decide.state import State, open_attempts
from scheduler.decide.step import step
from scheduler.effects.clock import Deadlines, FakeClock
from scheduler.effects.records import Journal, read_facts
from scheduler.effects.recovery import Recovery, recovered, replay
from scheduler.rounds.paths import HomePaths

#: between two signs of life of a worker
BEAT_SECONDS = 20.0
LIMITS = Limits(heartbeat_timeout_seconds=60.0, prepare_timeout_seconds=600.0, hung_timeout_seconds=300.0)


@dataclass(kw_only=True)
class Life:
    """One daemon, from its start to its end."""

    state: State
    books: WatchedBooks
    inbox: deque[inputs.Input] = field(default_factory=deque)
    #: specs and requests that were taken, and reasons to wait that were told
    taken: set[str] = field(default_factory=set)
    told: dict[str, str | None] = field(default_factory=dict)
    fetches: list[act.FetchResult] = field(default_factory=list)
    is_over: bool = False


class MortalHome:
    """What is there whether a daemon lives or not, and the daemon that lives, if one does."""

    def __init__(self, root: Path) -> None:
        self.paths = HomePaths(root)
        for folder in self.paths.folders():
            folder.mkdir(parents=True, exist_ok=True)
        self.clock = FakeClock()
        self.deadlines: Deadlines[inputs.DeadlinePassed] = Deadlines(self.clock)
        self.crew = Crew(post=self.post, publish=self._publish)
        self.fuse = Fuse()
        self.loss = Loss()
        self.life: Life | None = None
        self.starts = 0
        #: specs by file, and where the files are
        self.queue: dict[str, inputs.SpecChecked] = {}
        self.active: dict[str, str] = {}
        self.done: list[str] = []
        self.rejected: list[str] = []
        self.requests: dict[str, inputs.RequestMade] = {}
        self.answers: list[str] = []
        #: reasons to wait, by source, as the world has them
        self.gates: dict[str, str] = {}
        #: whether a stored result could not be read any more
        self.has_damage = False
        #: content keys of the runs of each round that left a result
        self.published: set[tuple[str, str]] = set()
        self.crashes = 0

    # The life of a daemon

    def start(self) -> None:
        """A daemon starts, unless it dies while it does."""
        assert self.life is None
        self.starts += 1
        self._mortally(self._start)

    def serve(self) -> None:
        """The daemon takes whatever there is to take, and dies if it is to."""
        if self.life is not None:
            self._mortally(self._serve)

    def kill(self) -> None:
        if self.life is not None:
            self._die()

    def post(self, event: inputs.Input) -> None:
        if self.life is not None:
            self.life.inbox.append(event)

    def pass_time(self, seconds: float) -> None:
        """Let time go by, in which every worker that can says that it lives."""
        while seconds > 0 and self.life is not None:
            self.clock.advance(min(seconds, BEAT_SECONDS))
            self.crew.live_on(min(seconds, BEAT_SECONDS))
            seconds -= BEAT_SECONDS
            self.serve()
            if self.life is not None:
                self.life.inbox.extend(self.deadlines.due())
                self.serve()

    def _mortally(self, do: Callable[[], None]) -> None:
        try:
            do()
        except Crash:
            self._die()

    def _die(self) -> None:
        life, self.life, loss = self.life, None, self.loss
        self.crashes += 1
        self.fuse.actions_left = None
        self.deadlines = Deadlines(self.clock)
        if life is not None:
            life.books.close()
            if loss.is_power_cut:
                lose(self.paths, life.books.durable_bytes, loss.kept)
        if loss.is_power_cut:
            self.crew.lose_power(f"boot {self.crashes}")
        else:
            self.crew.lose_daemon(do_finish=loss.do_finish)

    def _start(self) -> None:
        self.fuse.burn()
        recovery = self._recovery()
        files = {"journal": recovery.journal, "ledger": recovery.ledger, "rounds": recovery.rounds}
        books = WatchedBooks(self.paths, fuse=self.fuse, **files)
        books.durable = recorded(self.paths)
        self.life = Life(state=recovery.state, books=books)
        self.fuse.burn()
        for _, _, attempt in open_attempts(self.life.state):
            if attempt.started is not None and attempt.started.boot_id == self.crew.boot_id:
                self.crew.kill_orphan(attempt.started.made_for or attempt.id)
        assert not self.crew.children, f"still there after a recovery: {list(self.crew.children)}"
        for ended in self.life.state.ended.values():
            self._act(act.MoveSpec(round=ended.id, file=ended.file, suffix=ended.suffix, to="done"))
        started = facts.DaemonStarted(pid=1, version="0", boot_id=self.crew.boot_id, devices=(GPU,))
        self._perform((act.Record(fact=started),))
        self._handle(recovered(self.paths, recovery))
        self.post(inputs.GateChanged(source="gpu", wait_reason=self.gates.get("gpu")))
        self.life.told["gpu"] = self.gates.get("gpu")
        self._serve()

    def _recovery(self) -> Recovery:
        """What a daemon knows when it starts, and a second one that starts at once knows the same."""
        first = replay(self.paths)
        for journal in (first.journal, first.ledger, *first.rounds.values()):
            journal.close()
        files = {path: path.read_bytes() for path in self.paths.results.rglob("*") if path.is_file()}
        second = replay(self.paths)
        assert second.state == first.state, "a second recovery ends in another state"
        assert list(second.state.rounds) == list(first.state.rounds)
        again = {path: path.read_bytes() for path in self.paths.results.rglob("*") if path.is_file()}
        assert again == files, "a second recovery changes files"
        return second

    # One turn of its loop

    def _serve(self) -> None:
        life = self.life
        assert life is not None
        self._look_around(life)
        while life.inbox and not life.is_over:
            self._handle(life.inbox.popleft())
            self._look_around(life)
        if life.is_over:
            assert not self.crew.children, f"left behind by an orderly end: {list(self.crew.children)}"
            life.books.close()
            self.life = None

    def _look_around(self, life: Life) -> None:
        """What a scan of the folders and of the surroundings finds."""
        for source in ("disk", "window", "gpu"):
            if life.told.get(source) != self.gates.get(source):
                life.told[source] = self.gates.get(source)
                life.inbox.append(inputs.GateChanged(source=source, wait_reason=self.gates.get(source)))
        for name, event in (*self.queue.items(), *self.requests.items()):
            if name not in life.taken:
                life.taken.add(name)
                life.inbox.append(event)

    def _handle(self, event: inputs.Input) -> None:
        assert self.life is not None
        self.life.state, actions = step(self.life.state, event, LIMITS)
        self._perform(actions)

    def _perform(self, actions: Iterable[act.Action]) -> None:
        """All records first; once they are durable, the rest."""
        assert self.life is not None
        todo, effects = deque(actions), []
        while todo:
            match todo.popleft():
                case act.Record(fact=fact):
                    todo.extendleft(reversed(self._record(fact)))
                case act.LoadRound() as action:
                    current = self.life.books.load_round(action.round)
                    loaded = inputs.RoundLoaded(request=action.request, current=current)
                    self.life.state, following = step(self.life.state, loaded, LIMITS)
                    todo.extendleft(reversed(following))
                case act.KeepSpec(accepted=accepted):
                    self._keep(accepted)
                case action:
                    effects.append(action)
        self.life.books.sync()
        for effect in effects:
            self.fuse.burn()
            assert_recorded(effect, self.life.books.durable)
            self._act(effect)

    def _record(self, fact: facts.Fact) -> tuple[act.Action, ...]:
        assert self.life is not None
        assert_may_happen(fact, self.life.state)
        self.life.books.write(fact)
        self.life.state, actions = step(self.life.state, fact, LIMITS)
        return actions

    def _keep(self, accepted: facts.RoundAccepted) -> None:
        assert self.life is not None
        self.fuse.burn()
        paths = self.paths.round(accepted.round)
        paths.root.mkdir(parents=True, exist_ok=True)
        paths.spec(accepted.suffix).write_text(accepted.sha256)
        self.life.books.open_round(accepted.round, Journal.open(paths.records)[0])

    def _act(self, effect: act.Action) -> None:
        life = self.life
        assert life is not None
        match effect:
            case (
                act.StartWorker(intended=intended)
                | act.PrepareAhead(start=act.StartWorker(intended=intended))
            ):
                self.crew.start(intended)
            case act.ContinueWorker(attempt_id=attempt_id, start=start):
                self.crew.go_on(attempt_id, start.intended)
            case act.OpenGate(intended=intended):
                self.crew.go(intended.attempt_id)
                self.post(inputs.GateOpened(attempt_id=intended.attempt_id))
            case act.ReleaseWorker(attempt_id=attempt_id):
                self.crew.release(attempt_id)
            case act.EndWorker(attempt_id=attempt_id, ended_by=ended_by):
                self.crew.end(attempt_id, ended_by)
            case act.LookAtWorker(attempt_id=attempt_id, kind=kind):
                self.crew.look_at(attempt_id, kind)
            case act.StopRun(attempt_id=attempt_id):
                self.crew.stop(attempt_id)
            case act.SetDeadline(key=key, seconds=seconds, event=event):
                self.deadlines.set(key, seconds, event)
            case act.CancelDeadlines(attempt_id=attempt_id):
                for kind in get_args(inputs.DeadlineKind):
                    self.deadlines.cancel(f"{kind}:{attempt_id}")
            case act.FetchResult():
                life.fetches.append(effect)
            case act.CloseRecords(ended=ended, results=results):
                life.books.end_round(ended, results)
            case act.UnloadRound(round=round_id):
                life.books.close_round(round_id)
            case act.DiscardRequest(id=request_id, answer=answer):
                del self.requests[request_id]
                self.answers.append(answer)
            case act.Exit(reason=reason):
                life.books.write(facts.DaemonStopped(reason=reason))
                life.books.sync()
                life.is_over = True
            case act.MoveSpec():
                self._move(effect)
            case act.RejectSpec(rejected=rejected):
                if self.queue.pop(rejected.file, None) is not None:
                    self.rejected.append(rejected.file)

    def _move(self, move: act.MoveSpec) -> None:
        """As the reception does it: a move that was made before is none."""
        if move.to == "done":
            if (file := self.active.pop(move.round, None)) is not None:
                self.done.append(file)
        elif self.queue.pop(move.file, None) is not None:
            if move.to == "active" or (move.is_open and move.round not in self.active):
                self.active[move.round] = move.file
            else:
                self.done.append(move.file)

    def answer_fetch(self, *, is_damaged: bool = False) -> None:
        """The oldest look-up comes to its end."""
        if self.life is None or not self.life.fetches:
            return
        wanted = self.life.fetches.pop(0)
        self.has_damage |= is_damaged
        run = None if is_damaged else self._run(wanted)
        told = {"round": wanted.round, "content_key": wanted.content_key}
        self.post(inputs.ResultFetched(**told, run=run, problem="" if run else "damaged"))

    def _run(self, wanted: act.FetchResult) -> facts.RunFinished:
        told = (line.fact for line in read_facts(self.paths.round(wanted.round).records))
        ends = (fact for fact in told if isinstance(fact, facts.RunFinished) and fact.cached_from is None)
        meant = (wanted.content_key, wanted.status)
        return next(end for end in ends if (end.content_key, end.status) == meant)

    def _publish(self, intended: facts.RunIntended, result: Mapping[str, Any]) -> None:
        run = intended.round, intended.content_key
        assert run not in self.published, f"{intended.attempt_id} repeats a run that left a result"
        is_for_good = result["status"] in DONE and not result.get("contaminated")
        if is_for_good and intended.stage != facts.PROBE_STAGE:
            self.published.add(run)
        paths = self.paths.round(intended.round).run(intended.run_dir)
        paths.root.mkdir(parents=True, exist_ok=True)
        paths.result.write_bytes(orjson.dumps(result))
