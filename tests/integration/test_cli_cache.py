"""`schedctl cache` lists what may be reused, says what is damaged, and forgets what it is told to."""

from __future__ import annotations

import os
import time

import numpy as np
import orjson
import pytest
from fakes.world import make_round, ok, play
from real_home import Home

from scheduler.cli import main
from scheduler.decide import codec, facts
from scheduler.effects.records import Journal
from trainers.prepared_data import prepared_arrays

SCORES = np.array([0.0, 1.0, 0.5], dtype=np.float32)


class Called:
    """schedctl on one home, in this process."""

    def __init__(self, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *arguments: str) -> int:
        status = main(["--home", str(self.home.paths.root), *arguments])
        self.out, self.err = self._capsys.readouterr()
        return status


@pytest.fixture
def schedctl(home: Home, capsys: pytest.CaptureFixture[str]) -> Called:
    """On a home with the same round twice, and a set of prepared data."""
    import hashlib

    digest = hashlib.sha256(SCORES.tobytes()).hexdigest()[:16]
    world = play(lambda intended: ok(0.5, scores_digest=digest), make_round(id="one"), make_round(id="two"))
    journals = {name: home.paths.round(name) for name in ("one", "two")}
    for name, told in journals.items():
        told.root.mkdir()
        journal, _ = Journal.open(told.records)
        for fact in world.facts:
            if isinstance(fact, facts.RoundFact) and fact.round == name:
                journal.append(codec.to_fields(fact))
        journal.close()
    ledger, _ = Journal.open(home.paths.ledger)
    for fact in world.facts:
        if isinstance(fact, facts.LedgerFact):
            ledger.append(codec.to_fields(fact))
        elif isinstance(fact, facts.RunFinished) and fact.cached_from is None:
            run = journals[fact.round].run(fact.run_dir)
            run.root.mkdir(parents=True)
            told = {"status": "ok", "value": 0.5, "steps": 10, "scores_digest": digest}
            run.result.write_bytes(orjson.dumps(told))
            np.save(run.scores, SCORES)
    ledger.close()
    prepared_arrays(home.paths.cache, {"set": "squares"}, lambda: {"tokens": np.arange(1000)})
    return Called(home, capsys)


def test_the_list_tells_results_their_reuse_and_data(schedctl: Called) -> None:
    assert schedctl("cache", "list") == 0
    assert "3 results may be reused; 3 times one was" in schedctl.out
    assert "one/sums" in schedctl.out
    assert "prepared data: 1 set, 0.0 MiB" in schedctl.out
    assert '{"set":"squares"}' in schedctl.out
    assert schedctl("cache", "list", "--json") == 0
    told = orjson.loads(schedctl.out)
    assert told["results"] == [
        {"round": "one", "task": "sums", "results": 3, "times_reused": 3, "seconds_saved": 4.5}
    ]
    assert told["data"][0]["key"] == {"set": "squares"}


def test_an_empty_home_has_nothing_to_list_and_nothing_wrong(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = Called(home, capsys)
    assert empty("cache", "list") == 0
    assert "no result may be reused yet" in empty.out
    assert "no prepared data is kept" in empty.out
    assert empty("cache", "verify") == 0


@pytest.mark.parametrize("damage", ["nothing", "scores", "a result", "records", "data"])
def test_verify_lists_what_is_wrong_and_ends_with_1(schedctl: Called, damage: str) -> None:
    paths = schedctl.home.paths
    run = paths.round("one").run("sums.quick.good.s0.a1")
    match damage:
        case "scores":
            np.save(run.scores, SCORES + 1)
        case "a result":
            run.result.unlink()
        case "records":
            file = paths.round("one").records
            file.write_bytes(file.read_bytes().replace(b'"acc":0.5', b'"acc":0.6', 1))
        case "data":
            next(paths.cache.glob("data/*/tokens.npy")).write_bytes(b"")
    expected = {
        "nothing": "all of it is whole",
        "scores": "one/sums.quick.good.s0.a1",
        "a result": "result.json is gone",
        "records": "the record is damaged",
        "data": "is not what was written",
    }
    assert schedctl("cache", "verify") == (0 if damage == "nothing" else 1)
    assert expected[damage] in schedctl.out
    assert schedctl("cache", "verify", "--json") == (0 if damage == "nothing" else 1)
    assert len(orjson.loads(schedctl.out)["problems"]) == (0 if damage == "nothing" else 1)


def test_prune_wants_to_be_told_what(schedctl: Called) -> None:
    assert schedctl("cache", "prune") == 2
    assert "--round, --key, --data-mib or --data-days" in schedctl.err
    assert schedctl("cache", "prune", "--round", "none") == 3
    assert schedctl("cache", "prune", "--key", "nonsense") == 2


def test_prepared_data_is_pruned_by_age_and_size(schedctl: Called) -> None:
    (key,) = schedctl.home.paths.cache.glob("data/*/key.json")
    moment = time.time() - 3 * 86_400
    os.utime(key, (moment, moment))
    assert schedctl("cache", "prune", "--data-days", "4") == 0
    assert "deleted 0 sets" in schedctl.out
    assert schedctl("cache", "prune", "--data-days", "2", "--data-mib", "100") == 0
    assert "deleted 1 set of prepared data" in schedctl.out
    assert not list(schedctl.home.paths.cache.glob("data/*/key.json"))


def test_forgetting_is_stored_for_a_daemon_that_is_down(schedctl: Called) -> None:
    assert schedctl("cache", "prune", "--round", "one", "--reason", "a broken fan") == 0
    assert "is stored and will be carried out when it starts" in schedctl.out
    (request,) = schedctl.home.paths.control.glob("*.json")
    told = orjson.loads(request.read_bytes())
    assert told == {"verb": "forget", "round": "one", "reason": "a broken fan"}


def test_what_was_forgotten_is_listed_no_more(schedctl: Called) -> None:
    ledger, _ = Journal.open(schedctl.home.paths.ledger)
    ledger.append(codec.to_fields(facts.ResultsForgotten(round="one")))
    ledger.close()
    assert schedctl("cache", "list") == 0
    assert "no result may be reused yet" in schedctl.out
