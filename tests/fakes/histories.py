"""Any history of a home: what may happen to it, in any order, with a daemon that may die at any action.

A history that breaks a law is made as short as it gets, and printed with what makes it happen again.
"""

from __future__ import annotations

import gc
import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
from fakes.crew import Child
from fakes.laws import assert_nothing_repeated, difference
from fakes.mortal_disk import Loss, as_replayed, recorded, without_life
from fakes.mortal_home import LIMITS, MortalHome
from fakes.world import checked, make_round, task
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from scheduler.decide import facts, inputs
from scheduler.decide.failures import RULES
from scheduler.decide.step import is_idle
from scheduler.rounds.round import PolicyChoice, Task

STOPS = PolicyChoice(name="threshold", options={"min_delta": 0.3, "stops": ["noop"]})
SCREENS = PolicyChoice(name="screen_confirm", options={"looks": 1})

#: tasks of small rounds, each with its own kinds of decisions
SHAPES: dict[str, Callable[[], tuple[Task, ...]]] = {
    "alone": lambda: (task("alone", variants=()),),
    "plain": lambda: (task("plain", variants=("good", "bad")),),
    "seeds": lambda: (task("seeds", variants=("good",), seeds=(0, 7)),),
    "tasks": lambda: (task("first", variants=("late",)), task("second", variants=("bad",))),
    "batches": lambda: (task("batches", variants=("good",), bsz=(64, 32)),),
    "stopped": lambda: (task("stopped", variants=("copy", "good"), policy=STOPS),),
    "screened": lambda: (task("screened", variants=("good", "null"), policy=SCREENS),),
}
#: how long until the last of the things that fall due by themselves
LONGEST_SECONDS = 1200.0
#: things that happen to a home until nothing is left to do; far more are needed by none
MOST_EVENTS = 3000

VERBS = ("pause", "resume", "drain", "cancel", "retry", "retry", "SIGTERM")
GATES = ("disk", "gpu", "window")
#: from no time at all to more than any patience
SECONDS = (0.0, 30.0, 70.0, 300.0, LONGEST_SECONDS)
#: share of the bytes without an fsync that a power cut leaves
KEPT = (0.0, 0.3, 0.6, 0.9, 1.0)

FAILURES = st.sampled_from(sorted(RULES))
CHOICE = st.integers(0, 5)
LOSSES = st.builds(Loss, is_power_cut=st.booleans(), kept=st.sampled_from(KEPT), do_finish=st.booleans())


class Histories(RuleBasedStateMachine):
    """Rules are what people, machines and programs do; the laws are looked at after each."""

    @initialize(shape=st.sampled_from(sorted(SHAPES)))
    def begin(self, shape: str) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="history-"))
        self.home = MortalHome(self.root)
        self.home.start()
        self.drop(shape, priority=0, does_wait=False)

    # People

    @rule(shape=st.sampled_from(sorted(SHAPES)), priority=st.integers(-1, 1), does_wait=st.booleans())
    def drop(self, shape: str, priority: int, does_wait: bool) -> None:
        """A spec that may wait for the one before."""
        known = [name.removesuffix(".toml") for name in self.files]
        after = (known[-1],) if does_wait and known else ()
        if len(known) < 4:
            made = make_round(*SHAPES[shape](), id=f"r{len(known)}", priority=priority, after=after)
            told = checked(made, sha256=f"{len(known)}" * 64)
            told = replace(told, spec=orjson.loads(orjson.dumps(told.spec)))  # it comes from a child
            self.files[told.file] = told
            self._drop(told)

    @rule(which=CHOICE, what=st.sampled_from(["the same", "other bytes", "nonsense"]))
    def drop_another(self, which: int, what: str) -> None:
        """A file that makes no round: one that is known, other bytes under its id, or no spec at all."""
        known = [each for each in self.files.values() if each.file not in self.home.queue]
        if what != "nonsense" and known:
            before = known[which % len(known)]
            name, sha256 = (before.file, before.sha256) if what == "the same" else (self._other(), "f" * 64)
            self._drop(replace(before, file=name, sha256=sha256))
        elif what == "nonsense":
            spec = inputs.SpecChecked(
                file=self._other(), sha256="b" * 64, suffix=".toml", spec=None, problems=("no",)
            )
            self._drop(spec)

    @rule(
        verb=st.sampled_from(VERBS),
        which=CHOICE,
    )
    def ask(self, verb: str, which: int) -> None:
        if verb == "SIGTERM":
            self.home.post(inputs.ShutdownRequested(reason=verb))
        else:
            name = f"r{which % max(1, len(self.files))}" if verb in ("cancel", "retry") else None
            self._ask(verb, name)
        self.home.serve()

    # The machine

    @rule(events=st.sampled_from([1, 2, 3, 5, 8, 13, 40]))
    def go_on(self, events: int) -> None:
        """What happens by itself where nothing goes wrong."""
        for _ in range(events):
            if not self._go_on():
                break

    @precondition(lambda self: self.home.crew.children)
    @rule(which=CHOICE, failure=FAILURES)
    def fail(self, which: int, failure: str) -> None:
        child = self._child(which)
        if child.phase in ("preparing", "training"):
            self.home.crew.fail(child, failure)
            self.home.serve()

    @precondition(lambda self: self.home.crew.children)
    @rule(which=CHOICE, returncode=st.sampled_from([-9, 1, 0]), is_kept=st.booleans(), is_heard=st.booleans())
    def die(self, which: int, returncode: int, is_kept: bool, is_heard: bool) -> None:
        """A process ends, and the device may not get its memory back."""
        kept = "1024 MiB are still held" if is_kept else None
        if kept is not None:
            self.home.gates["gpu"] = kept
        self.home.crew.exit(self._child(which), returncode, kept_memory=kept)
        if is_heard:
            self.home.serve()

    @precondition(lambda self: self.home.crew.children)
    @rule(which=CHOICE, is_silent=st.booleans(), seconds=st.sampled_from(SECONDS))
    def hang(self, which: int, is_silent: bool, seconds: float) -> None:
        """A process gets no further, and may not even say that it lives."""
        child = self._child(which)
        child.is_hung, child.is_stuck = is_silent, True
        self.home.pass_time(seconds)

    @precondition(lambda self: any(c.phase == "training" for c in self.home.crew.children.values()))
    @rule()
    def run_out_of_time(self) -> None:
        child = next(c for c in self.home.crew.children.values() if c.phase == "training")
        self.home.crew.finish(child, "timed_out")
        self.home.serve()

    @precondition(lambda self: self.home.crew.children)
    @rule(which=CHOICE)
    def disturb(self, which: int) -> None:
        """Somebody else's process comes while a run has the device."""
        self._child(which).is_disturbed = True

    @rule(source=st.sampled_from(GATES), is_open=st.booleans())
    def turn_gate(self, source: str, is_open: bool) -> None:
        """A full disk, somebody else's process, the hours of the night; and back."""
        self.home.gates.pop(source, None)
        if not is_open:
            self.home.gates[source] = f"{source}: not now"
        self.home.serve()

    @rule(is_damaged=st.booleans())
    def look_up(self, is_damaged: bool) -> None:
        self.home.answer_fetch(is_damaged=is_damaged)
        self.home.serve()

    @rule(seconds=st.sampled_from(SECONDS))
    def wait(self, seconds: float) -> None:
        self.home.pass_time(seconds)

    # The end of a daemon

    @precondition(lambda self: self.home.life is not None)
    @rule(loss=LOSSES)
    def kill(self, loss: Loss) -> None:
        self.home.loss = loss
        self.home.kill()

    @precondition(lambda self: self.home.life is not None)
    @rule(actions=st.integers(0, 40), loss=LOSSES)
    def die_at_an_action(self, actions: int, loss: Loss) -> None:
        """The daemon goes on, and dies before it has done one of the next things."""
        self.home.loss, self.home.fuse.actions_left = loss, actions
        while self.home.life is not None and self._go_on():
            pass

    @precondition(lambda self: self.home.life is None)
    @rule(actions=st.none() | st.integers(0, 12), loss=LOSSES)
    def start(self, actions: int | None, loss: Loss) -> None:
        """Another daemon starts, and may die while it does."""
        self.home.loss, self.home.fuse.actions_left = loss, actions
        self.home.start()

    # All of it

    @rule(seed=st.integers(0, 2**32 - 1), events=st.integers(1, 80))
    def live_through(self, seed: int, events: int) -> None:
        """Many things in a row, mostly ordinary ones: more unlike each other than single rules are."""
        chance = random.Random(seed)
        for _ in range(events):
            self._happen(chance)
            self.a_replay_ends_in_the_state_that_lives()

    def _happen(self, chance: random.Random) -> None:
        which, home = chance.randrange(6), self.home
        if home.life is None:
            self.start(chance.choice([None, None, *range(12)]), _loss(chance))
            return
        shape, child = chance.choice(sorted(SHAPES)), bool(home.crew.children)
        does_train = any(each.phase == "training" for each in home.crew.children.values())
        may_happen: list[tuple[int, Callable[[], object]]] = [
            (60, self._go_on),
            (3, lambda: self.drop(shape, chance.randint(-1, 1), chance.random() < 0.3)),
            (1, lambda: self.drop_another(which, chance.choice(["the same", "other bytes", "nonsense"]))),
            (4, lambda: self.ask(chance.choice(VERBS), which)),
            (2, lambda: self.ask("resume", which)),
            (3 * child, lambda: self.fail(which, chance.choice(sorted(RULES)))),
            (2 * child, lambda: self.die(which, chance.choice([-9, 0, 1]), which == 0, which < 4)),
            (2 * child, lambda: self.hang(which, chance.random() < 0.5, chance.choice(SECONDS))),
            (1 * does_train, self.run_out_of_time),
            (2 * does_train, lambda: self.disturb(which)),
            (2, lambda: self.turn_gate(chance.choice(GATES), False)),
            (4, lambda: self.turn_gate(chance.choice(GATES), True)),
            (2, lambda: self.look_up(which == 0)),
            (2, lambda: self.wait(chance.choice(SECONDS))),
            (2 + 2 * does_train, lambda: self.kill(_loss(chance))),
            (3, lambda: self.die_at_an_action(chance.randrange(40), _loss(chance))),
        ]
        weights, things = zip(*may_happen, strict=True)
        chance.choices(things, weights)[0]()

    # The laws

    @invariant()
    def a_replay_ends_in_the_state_that_lives(self) -> None:
        if hasattr(self, "home") and self.home.life is not None:
            live = without_life(self.home.life.state)
            told = without_life(as_replayed(self.home.paths))
            assert told == live, difference(told, live)

    @invariant()
    def no_run_that_ended_well_is_made_again(self) -> None:
        if hasattr(self, "home") and not self.home.has_damage:
            assert_nothing_repeated(recorded(self.home.paths))

    def teardown(self) -> None:
        if hasattr(self, "home"):
            try:
                self._come_to_an_end()
            finally:
                if self.home.life is not None:
                    self.home.life.books.close()
                shutil.rmtree(self.root)
                gc.unfreeze()  # each recovery sets aside what it has read

    def _come_to_an_end(self) -> None:
        """Once nothing goes wrong any more, every spec that was dropped comes to its end, and to one only."""
        self.home.fuse.actions_left = None
        self.home.gates.clear()
        for child in self.home.crew.children.values():
            child.is_stuck = child.is_hung = False
        self._ask("resume")
        for _ in range(MOST_EVENTS):
            if self.home.life is None:
                self.home.start()
            elif not self._go_on() and is_idle(self.home.life.state, LIMITS):
                break
        else:
            raise AssertionError(f"it never ends: {self._stands()}")
        self.a_replay_ends_in_the_state_that_lives()
        self._assert_every_spec_ended()

    def _assert_every_spec_ended(self) -> None:
        home = self.home
        assert not home.queue, f"still in the queue: {list(home.queue)}"
        assert not home.active, f"still active: {home.active}"
        assert sorted([*home.done, *home.rejected]) == sorted(self.dropped), "a spec is gone, or there twice"
        assert not home.requests, f"not answered: {list(home.requests)}"
        told = recorded(home.paths)
        for name in self.accepted:
            kinds = [type(fact) for fact in told if isinstance(fact, facts.RoundFact) and fact.round == name]
            retries = kinds.count(facts.TaskRetried)
            assert kinds.count(facts.RoundAccepted) == 1, f"{name} is accepted more than once"
            assert 1 <= kinds.count(facts.RoundFinished) <= 1 + retries, f"{name} has more than one end"

    # How it is done

    @property
    def files(self) -> dict[str, inputs.SpecChecked]:
        """The first file of each round that was dropped."""
        return self.__dict__.setdefault("_files", {})

    @property
    def dropped(self) -> list[str]:
        """Every file that was ever dropped."""
        return self.__dict__.setdefault("_dropped", [])

    @property
    def accepted(self) -> list[str]:
        return [file.removesuffix(".toml") for file in self.files]

    def _other(self) -> str:
        return f"other{len(self.dropped)}.toml"

    def _drop(self, spec: inputs.SpecChecked) -> None:
        self.dropped.append(spec.file)
        self.home.queue[spec.file] = spec
        if self.home.life is not None:
            self.home.life.taken.discard(spec.file)
        self.home.serve()

    def _ask(self, verb: Any, round_id: str | None = None) -> None:
        name = f"q{len(self.home.answers) + len(self.home.requests):04d}"
        self.home.requests[name] = inputs.RequestMade(id=name, verb=verb, round=round_id)

    def _child(self, which: int) -> Child:
        children = list(self.home.crew.children.values())
        return children[which % len(children)]

    def _go_on(self) -> bool:
        """The next thing that happens by itself; False where nothing does, even if one waits."""
        home = self.home
        if home.life is None:
            return False
        before = home.clock.monotonic()
        able = [child for child in home.crew.children.values() if home.crew.may_go_on(child)]
        if home.life.fetches:
            home.answer_fetch()
        elif able:
            home.crew.go_ahead(able[0])
        elif (seconds := home.deadlines.next_in()) is not None:
            home.pass_time(min(seconds, LONGEST_SECONDS))
        else:
            home.serve()
            return False
        home.serve()
        is_waiting = home.clock.monotonic() - before > 0 and not home.crew.children
        return not is_waiting or bool(home.life and not is_idle(home.life.state, LIMITS))

    def _stands(self) -> Any:
        life = self.home.life
        return None if life is None else (life.state.live, self.home.crew.children)


def _loss(chance: random.Random) -> Loss:
    return Loss(is_power_cut=chance.random() < 0.5, kept=chance.choice(KEPT), do_finish=chance.random() < 0.5)
