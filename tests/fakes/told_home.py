"""A home as a daemon leaves it behind, told fact by fact: two rounds that have ended, and an open one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fakes.world import failed, make_round, ok, play, task

from scheduler.decide import facts
from scheduler.decide.codec import to_fields
from scheduler.effects.record_lines import encode
from scheduler.rounds.paths import HomePaths, RoundPaths

SCORES = {"baseline": 0.5, "good": 0.6, "bad": 0.4}


def outcome(intended: facts.RunIntended) -> dict[str, Any]:
    if intended.task == "broken":
        return failed("data", "no such file")
    return ok(SCORES[intended.config])


def told_home(root: Path, *, but_last: int = 0, minutes: tuple[int, ...] = (0, 1, 2)) -> HomePaths:
    """A home with two rounds that have ended, one of them parked, and one that lacks its last records.

    `minutes` is what the clock showed during each.
    """
    home = HomePaths(root)
    for folder in home.folders():
        folder.mkdir(parents=True, exist_ok=True)
    rounds = (
        make_round(id="second"),
        make_round(task("broken"), id="first"),
        make_round(id="last", fresh=True),
    )
    world = play(outcome, *rounds)
    ours = [fact for fact in world.facts if isinstance(fact, facts.RoundFact)]
    ends = [n for n, fact in enumerate(ours) if fact.round == "last"]
    kept = len(ends) - but_last
    files = {"second": ours, "first": ours, "last": [ours[n] for n in ends[:kept]]}
    for minute, (name, told) in zip(minutes, files.items(), strict=True):
        write(home.round(name), [fact for fact in told if fact.round == name], minute)
    ledger = [fact for fact in world.facts if isinstance(fact, facts.LedgerFact)]
    home.ledger.write_bytes(lines(ledger, minute=9))
    return home


def write(paths: RoundPaths, told: list[facts.RoundFact], minute: int) -> None:
    paths.root.mkdir()
    paths.records.write_bytes(lines(told, minute))


def lines(told: Any, minute: int) -> bytes:
    stamp = f"2026-11-20T13:{minute:02d}:00.000Z"
    records = ({"v": 1, "seq": n, "ts": stamp, **to_fields(fact)} for n, fact in enumerate(told, start=1))
    return b"".join(map(encode, records))
