"""A run that is to be reused is read from its own line and checked with its folder, or refused."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from fakes.world import make_round, ok, play

from scheduler.decide import codec, facts
from scheduler.decide.actions import FetchResult
from scheduler.decide.inputs import ResultFetched
from scheduler.effects.records import Journal
from scheduler.effects.stored_results import RunLines, StoredResults
from scheduler.rounds.paths import HomePaths

PATIENCE_SECONDS = 30.0


@pytest.fixture
def paths(tmp_path: Path) -> HomePaths:
    """A home with the records and folders of the round `night`."""
    made = HomePaths(tmp_path)
    told = made.round("night")
    told.root.mkdir(parents=True)
    journal, _ = Journal.open(told.records)
    for fact in play(lambda intended: ok(0.5, scores_digest="d"), make_round()).facts:
        if isinstance(fact, facts.RoundFact):
            journal.append(codec.to_fields(fact))
        if isinstance(fact, facts.RunFinished):
            run = told.run(fact.run_dir)
            run.root.mkdir(parents=True)
            result = {"status": "ok", "value": 0.5, "steps": 10, "scores_digest": "d"}
            run.result.write_bytes(orjson.dumps(result))
            run.scores.write_bytes(b"")
    journal.close()
    return made


@pytest.fixture
def results(paths: HomePaths) -> Iterator[tuple[StoredResults, queue.SimpleQueue[ResultFetched], list[str]]]:
    posted: queue.SimpleQueue[ResultFetched] = queue.SimpleQueue()
    said: list[str] = []
    stored = StoredResults(paths, post=posted.put, report=said.append)
    yield stored, posted, said
    stored.close()


def runs_of(paths: HomePaths) -> list[dict[str, Any]]:
    lines = map(orjson.loads, paths.round("night").records.read_bytes().splitlines())
    return [record for record in lines if record["event"] == "run_finished"]


def wanted(record: dict[str, Any], **changes: Any) -> FetchResult:
    told = {"round": "night", "content_key": record["content_key"], "status": "ok", **changes}
    return FetchResult(**told)


def test_every_run_of_a_round_comes_back_as_it_was_recorded(paths: HomePaths, results: Any) -> None:
    stored, posted, said = results
    for record in runs_of(paths):
        stored.fetch(wanted(record))
        found = posted.get(timeout=PATIENCE_SECONDS)
        assert found.run == codec.from_record(record)
        assert found.problem == ""
    assert said == []


def flip(paths: HomePaths, record: dict[str, Any]) -> None:
    file = paths.round("night").records
    crc = record["crc"].encode()
    changed = b"00000000" if crc != b"00000000" else b"11111111"
    file.write_bytes(file.read_bytes().replace(b'"crc":"' + crc, b'"crc":"' + changed))


def rewrite(paths: HomePaths, record: dict[str, Any], **changes: Any) -> None:
    file = paths.round("night").run(record["run_dir"]).result
    file.write_bytes(orjson.dumps({**orjson.loads(file.read_bytes()), **changes}))


DAMAGES: dict[str, tuple[Any, str]] = {
    "a record that is not whole": (flip, "has no whole record of it"),
    "records that are gone": (lambda p, r: p.round("night").records.unlink(), "No such file"),
    "a result that is gone": (lambda p, r: p.round("night").run(r["run_dir"]).result.unlink(), "is gone"),
    "a result that is no JSON": (
        lambda p, r: p.round("night").run(r["run_dir"]).result.write_text("{"),
        "cannot be read",
    ),
    "a result of another value": (
        lambda p, r: rewrite(p, r, value=0.75),
        "says value = 0.75, its record 0.5",
    ),
    "scores that are gone": (lambda p, r: p.round("night").run(r["run_dir"]).scores.unlink(), "is gone"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_refused_with_the_reason(paths: HomePaths, results: Any, damage: str) -> None:
    stored, posted, said = results
    record, other = runs_of(paths)[:2]
    break_it, reason = DAMAGES[damage]
    break_it(paths, record)
    stored.fetch(wanted(record))
    found = posted.get(timeout=PATIENCE_SECONDS)
    assert found.run is None
    assert reason in found.problem
    assert [reason in line and "so it is run" in line for line in said] == [True]
    if damage != "records that are gone":
        stored.fetch(wanted(other))
        assert posted.get(timeout=PATIENCE_SECONDS).run is not None


def test_scores_by_evaluation_are_asked_for_where_a_rule_reads_them(paths: HomePaths, results: Any) -> None:
    stored, posted, _ = results
    record = runs_of(paths)[0]
    stored.fetch(wanted(record, needs_scores=True))
    assert "scores is gone" in posted.get(timeout=PATIENCE_SECONDS).problem
    paths.round("night").run(record["run_dir"]).scores_at(1).parent.mkdir()
    stored.fetch(wanted(record, needs_scores=True))
    assert posted.get(timeout=PATIENCE_SECONDS).run is not None


def test_records_that_grow_and_ones_that_are_replaced_are_seen(paths: HomePaths) -> None:
    file = paths.round("night").records
    data, records = file.read_bytes(), runs_of(paths)
    lines = data.splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if b"run_finished" in line[:120])
    file.write_bytes(b"".join(lines[:last]) + lines[last][:50])
    read = RunLines(path=file)
    assert len(list(read.runs(records[0]["content_key"]))) == 1
    assert list(read.runs(records[-1]["content_key"])) == []
    with file.open("ab") as more:
        more.write(lines[last][50:])
    assert len(list(read.runs(records[-1]["content_key"]))) == 1
    file.with_suffix(".new").write_bytes(lines[last])
    file.with_suffix(".new").rename(file)
    assert len(list(read.runs(records[-1]["content_key"]))) == 1
    assert list(read.runs(records[0]["content_key"])) == []
