"""Which files of ended rounds may go, and why? A pure plan by the rules of `[retention]`.

What it never names: records, specs, summaries and pages; anything of a round that may go on; what a run that
can be reused, or is evidence for a WINNER, needs in order to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from scheduler.rounds.retention_settings import RetentionSettings

_DAY_SECONDS = 86_400.0
_GIB = 2**30
#: run folders that one plan drops at most; the next look finds the rest
MOST_RUNS = 5000

#: "nothing" needs it, "reuse": a later round may take its result; "winner": a WINNER rests on it
Need = Literal["nothing", "reuse", "winner"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """The folder of one attempt, and who needs it."""

    #: below the round's `runs/`
    name: str
    need: Need = "nothing"
    #: what lies in it: the state it kept, what reuse and reports need, and all else
    state_bytes: int = 0
    evidence_bytes: int = 0
    other_bytes: int = 0
    #: what it kept stays as long as its folder does: somebody may look into why it failed
    has_failed: bool = False

    @property
    def total_bytes(self) -> int:
        return self.state_bytes + self.evidence_bytes + self.other_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundFolder:
    """A round that has ended, as its folder tells it."""

    id: str
    outcome: Literal["finished", "parked", "cancelled"]
    #: seconds since the epoch
    ended_at: float
    #: its page is on the disk, and younger than its last record
    has_report: bool
    runs: tuple[RunFolder, ...]

    @property
    def total_bytes(self) -> int:
        return sum(run.total_bytes for run in self.runs)

    @property
    def may_go(self) -> bool:
        """Whether nothing of its runs is wanted any more; a parked round waits for a person."""
        return self.outcome != "parked" and self.has_report


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """What of one round is to go."""

    round: str
    reason: str
    #: run folders whose kept state goes
    states: tuple[str, ...] = ()
    #: run folders of which what reuse and reports need stays, and a kept state
    reduced: tuple[str, ...] = ()
    #: run folders that go whole
    removed: tuple[str, ...] = ()
    #: what that frees
    bytes: int = 0

    @property
    def run_count(self) -> int:
        return len(self.states) + len(self.reduced) + len(self.removed)


def plan(
    rounds: Sequence[RoundFolder], rules: RetentionSettings, *, now: float, other_bytes: int = 0
) -> tuple[Drop, ...]:
    """What goes by the rules, the oldest rounds first. `other_bytes` is what the results take beside runs."""
    oldest_first = sorted(rounds, key=lambda each: (each.ended_at, each.id))
    reasons = _reasons(oldest_first, rules, now)
    drops = {each.id: _dropped(each, rules, reasons.get(each.id)) for each in oldest_first}
    if rules.max_results_gib:
        taken = other_bytes + sum(each.total_bytes - _freed(drops[each.id]) for each in rounds)
        over = f"over {rules.max_results_gib:g} GiB in all"
        for each in oldest_first:
            if taken <= rules.max_results_gib * _GIB:
                break
            if each.id not in reasons:
                before, drops[each.id] = drops[each.id], _dropped(each, rules, over)
                taken -= _freed(drops[each.id]) - _freed(before)
    return tuple(_at_most(MOST_RUNS, [drop for drop in drops.values() if drop is not None]))


def _freed(drop: Drop | None) -> int:
    return 0 if drop is None else drop.bytes


def _reasons(oldest_first: Sequence[RoundFolder], rules: RetentionSettings, now: float) -> dict[str, str]:
    """Why the runs of a round are over, for each of which they are."""
    reasons: dict[str, str] = {}
    ended = [each for each in oldest_first if each.may_go]
    if rules.keep_rounds:
        for each in ended[: -rules.keep_rounds]:
            reasons[each.id] = f"beyond the last {rules.keep_rounds} rounds"
    if rules.keep_run_folders_days:
        for each in ended:
            if now - each.ended_at > rules.keep_run_folders_days * _DAY_SECONDS:
                reasons[each.id] = f"older than {rules.keep_run_folders_days:g} days"
    return reasons


def _dropped(each: RoundFolder, rules: RetentionSettings, reason: str | None) -> Drop | None:
    """What goes of a round: its states, and with a reason its runs; None where nothing does."""
    if not each.may_go:
        return None
    states, reduced, removed, freed = [], [], [], 0
    for run in each.runs:
        keeps_state = run.state_bytes > 0 and _keeps_state(run, rules)
        if reason is not None and run.need == "nothing" and not keeps_state:
            removed.append(run.name)
            freed += run.total_bytes
            continue
        if reason is not None and run.other_bytes > 0:
            reduced.append(run.name)
            freed += run.other_bytes
        if run.state_bytes > 0 and not keeps_state and not run.has_failed:
            states.append(run.name)
            freed += run.state_bytes
    if not (states or reduced or removed):
        return None
    return Drop(
        round=each.id,
        reason=reason or "no run goes on from these states any more",
        states=tuple(states),
        reduced=tuple(reduced),
        removed=tuple(removed),
        bytes=freed,
    )


def _keeps_state(run: RunFolder, rules: RetentionSettings) -> bool:
    match rules.keep_checkpoints:
        case "all":
            return True
        case "winners":
            return run.need == "winner"
    return False


def _at_most(most: int, drops: list[Drop]) -> Iterator[Drop]:
    """Whole rounds, as long as they are few enough runs; the first one in any case."""
    runs = 0
    for drop in drops:
        runs += drop.run_count
        if runs > most and runs != drop.run_count:
            return
        yield drop
