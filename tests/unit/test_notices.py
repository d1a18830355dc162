"""Is a person who is away told of what matters, once, and of nothing else; and does no address leak?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes.world import GPU, failed, make_round, ok, play, task

from scheduler.decide import facts, inputs
from scheduler.decide.notice_limit import MOST_AN_HOUR, NoticeLimit
from scheduler.decide.state import State, fold
from scheduler.report.notices import VERDICTS_TOLD, notice_for
from scheduler.rounds.identity import Device
from scheduler.rounds.notice import Notice, NotifySettings, resolved, shown, without_addresses
from scheduler.rounds.paths import HomePaths

HOME = HomePaths(Path("/home/me/search"))
URL = "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js?thread=77"

STARTED = facts.DaemonStarted(
    pid=7, version="0", boot_id="b", devices=(Device(id="cpu", name="a processor", driver="", threads=1),)
)


def scored(intended: facts.RunIntended) -> dict[str, Any]:
    return ok({"baseline": 0.5, "good": 0.6}.get(intended.config, 0.4))


def notices(told: tuple[facts.Fact, ...]) -> list[Notice]:
    state, found = State(), []
    for fact in told:
        notice = notice_for(fact, state, HOME)
        found += [] if notice is None else [notice]
        state = fold(state, fact)
    return found


def test_the_end_of_a_round_is_told_with_its_verdicts_and_its_report() -> None:
    (notice,) = notices(tuple(play(scored, make_round()).facts))
    assert notice.kind == "round_finished"
    assert notice.title == "round night finished: 1 SUGGESTIVE, 1 INCONCLUSIVE"
    assert notice.body.splitlines() == [
        "sums good: SUGGESTIVE",
        "sums bad: INCONCLUSIVE",
        "Report: /home/me/search/results/night/report.html",
    ]


def test_a_gpu_that_fails_in_a_run_is_told_once() -> None:
    world = play(lambda intended: failed("gpu", "CUDA error: device lost"), make_round(), device=GPU)
    told = [notice for notice in notices(tuple(world.facts)) if notice.kind == "gpu_dirty"]
    assert len(told) == 1
    assert "device lost" in told[0].body


def test_a_round_of_many_variants_is_told_in_few_lines() -> None:
    many = task(variants=("good", *(f"bad{number}" for number in range(30))))
    (notice,) = notices(tuple(play(scored, make_round(many)).facts))
    assert len(notice.body.splitlines()) == VERDICTS_TOLD + 2
    assert "sums good: SUGGESTIVE" in notice.body.splitlines()[0]
    assert f"and {31 - VERDICTS_TOLD} more" in notice.body


def test_a_winner_is_told_with_its_gain() -> None:
    world = play(scored, make_round())
    state = State()
    for fact in world.facts:
        if isinstance(fact, facts.VerdictReached):
            break
        state = fold(state, fact)
    won = facts.VerdictReached(
        round="night",
        task="sums",
        config="good",
        verdict="WINNER",
        reason="p=0.001",
        raw_gain=10.0,
        shrunk_gain=8.0,
        warnings=("the evaluation set is \x1b[31msmall",),
    )
    notice = notice_for(won, state, HOME)
    assert notice is not None
    assert notice.title == "WINNER good in task sums of round night: raw +10.00pp, shrunk +8.00pp"
    assert notice.body.splitlines()[:2] == ["p=0.001", "the evaluation set is small"]


@pytest.mark.parametrize(
    ("event", "kind", "words"),
    [
        (
            facts.TaskParked(
                round="night", task="sums", failure_class="data", reason="none", remedy="get some"
            ),
            "task_parked",
            "schedctl retry night sums",
        ),
        (facts.GpuDirtied(device="cuda:0", reason="24 MiB"), "gpu_dirty", "schedctl resume"),
        (facts.XidReported(device="cuda:0", xid=79), "gpu_dirty", "schedctl resume"),
        (inputs.GateChanged(source="disk", wait_reason="disk: 3 MiB free"), "disk_low", "3 MiB free"),
    ],
)
def test_what_needs_a_person_is_told_with_what_to_do(event: inputs.Event, kind: str, words: str) -> None:
    notice = notice_for(event, State(), HOME)
    assert notice is not None
    assert notice.kind == kind
    assert words in notice.body
    assert "\n" not in notice.title


@pytest.mark.parametrize(
    "event",
    [
        inputs.GateChanged(source="disk", wait_reason=None),
        inputs.GateChanged(source="window", wait_reason="outside the hours"),
        facts.QueuePaused(reason="by request"),
        facts.GpuCleared(device="cuda:0"),
        facts.XidReported(device="cuda:0", xid=31),
    ],
)
def test_what_can_wait_is_not_told(event: inputs.Event) -> None:
    assert notice_for(event, State(), HOME) is None


@pytest.mark.parametrize(
    ("before", "is_told"),
    [
        ((), False),
        ((STARTED, facts.DaemonStopped(reason="SIGTERM")), False),
        ((STARTED,), True),
        ((STARTED, facts.QueuePaused(reason="x")), True),
        ((STARTED, STARTED, facts.DaemonStopped(reason="idle")), False),
    ],
)
def test_a_start_is_told_only_after_an_end_out_of_order(
    before: tuple[facts.Fact, ...], is_told: bool
) -> None:
    state = State()
    for fact in before:
        state = fold(state, fact)
    notice = notice_for(STARTED, state, HOME)
    assert (notice is not None and notice.kind == "daemon_restarted") is is_told


@pytest.mark.fault(
    "the daemon crashes again and again",
    moment="all night",
    outcome="a few notices an hour, the rest counted",
)
def test_no_kind_rings_all_night() -> None:
    limit, sent = NoticeLimit(), []
    for second in range(0, 7200, 5):
        limit = limit.after("daemon_restarted", float(second))
        if limit.admits("daemon_restarted"):
            sent.append(second)
    assert len(sent) == 2 * MOST_AN_HOUR
    assert all(later - sent[place - MOST_AN_HOUR] >= 3600 for place, later in enumerate(sent) if place >= 6)
    assert limit.admits("round_finished")
    assert NoticeLimit.from_json(limit.to_json()) == limit


def test_what_was_left_out_is_known_until_the_next_one_is_sent() -> None:
    limit = NoticeLimit()
    for _ in range(MOST_AN_HOUR + 3):
        limit = limit.after("disk_low", 10.0)
    assert limit.left_out == {"disk_low": 3}
    assert limit.after("disk_low", 4000.0).left_out == {}


def test_a_clock_that_was_set_back_silences_nobody() -> None:
    limit = NoticeLimit()
    for _ in range(MOST_AN_HOUR):
        limit = limit.after("disk_low", 1e9)
    assert limit.after("disk_low", 1e6).admits("disk_low")


def test_addresses_come_from_the_file_or_from_the_environment() -> None:
    urls, missing = resolved((URL, "env:NIGHT", "env:GONE"), {"NIGHT": "ntfy://a/b\n json://c", "GONE": " "})
    assert urls == (URL, "ntfy://a/b", "json://c")
    assert missing == ("GONE",)


def test_an_address_is_shown_by_its_service_alone() -> None:
    assert shown(URL) == "discord://***"
    assert shown("env:NIGHT_URL") == "env:NIGHT_URL"
    assert "JHMHI8" not in repr(NotifySettings(urls=(URL,)))


@pytest.mark.fault(
    "an address cannot be reached", moment="a notice is sent", outcome="logged once, without any part of it"
)
@pytest.mark.parametrize(
    "text",
    [
        f"Failed to send to {URL}",
        "connection to 4174216298 refused",
        "401 for token JHMHI8qBe7bk2ZwO5U711o3dV_js!",
        "https://hooks.example/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
    ],
)
def test_no_part_of_an_address_is_left_in_a_text(text: str) -> None:
    cleaned = without_addresses(text, [URL])
    assert "4174216298" not in cleaned
    assert "JHMHI8" not in cleaned
    assert "***" in cleaned


def test_an_encoded_password_is_not_left_in_a_text_either_way() -> None:
    url = "mailtos://me:pa%24%24word@mail.example.com"
    for text in ("login me pa$$word failed", "login pa%24%24word", "no mail.example.com"):
        cleaned = without_addresses(text, [url])
        assert "word" not in cleaned
        assert "mail.example.com" not in cleaned
