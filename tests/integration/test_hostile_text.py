"""Whatever a spec, a program or another user wrote: no verb lets it steer the terminal, no page runs it."""

from __future__ import annotations

import json
import os
import unicodedata
from typing import Any

import orjson
import pytest
from fakes.told_round import ToldRound
from fakes.world import make_round, task
from headless import Browser, chromium
from real_home import Home

from policies.evidence import Objective
from scheduler.cli import main
from scheduler.cli.follow import log_lines
from scheduler.cli.saying import say, say_json
from scheduler.decide import facts
from scheduler.effects.plain_text import harmless
from scheduler.report.publish import publish_index, publish_round

#: clears the screen, sets the title, writes the clipboard, reverses letters, and then as bytes of 8 bits
STEERING = "boom\x1b[2J\x1b]0;owned\x07\x1b]52;c;aGk=\x07\u202egnp.exe\u2066\x9b31m\x9d0;x\x9c\x85\r\x08\x7f"
OWNED = "document.title='owned'"
MARKUP = f'<script>{OWNED}</script><img src=x onerror="{OWNED}">|`*_[x](javascript:0)'
HOSTILE = f"{STEERING} {MARKUP}"


def steers(text: str) -> list[str]:
    """Letters of `text` that a terminal would obey, line ends apart."""
    categories = ("Cc", "Zl", "Zp", "Cs")
    bidi = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    return [c for c in text if c != "\n" and (unicodedata.category(c) in categories or c in bidi)]


def hostile_round(round_id: str = "night") -> ToldRound:
    """A round in which every free text is hostile, names of variants and the metric included."""
    objective = Objective(
        metric=f"loss{STEERING}", direction="minimize", unit=f"n{STEERING}", min_effect=0.01
    )
    made = make_round(
        task(variants=(f"good{HOSTILE}", "bad"), seeds=(0, 1), objective=objective),
        id=round_id,
        title=HOSTILE,
    )
    told = ToldRound(made)
    failed: dict[str, Any] = {"status": "failed", "failure_class": HOSTILE, "error": f"{HOSTILE}\n{HOSTILE}"}
    for slot in (0, 1):
        told.run("quick", "baseline", 0.4, slot=slot, loss=0.4)
        told.run("quick", "bad", None, slot=slot, **failed)
    told.tell(
        facts.VariantHeld(
            round=round_id,
            task="sums",
            stage="quick",
            config="bad",
            protocol="p",
            d_acc=None,
            variant_mean=None,
            reason=HOSTILE,
        )
    )
    told.verdict("bad", "NEUTRAL", HOSTILE, warnings=(HOSTILE,))
    told.tell(
        facts.TaskParked(round=round_id, task="sums", failure_class=HOSTILE, reason=HOSTILE, remedy=HOSTILE)
    )
    told.tell(facts.RoundCancelled(round=round_id, reason=HOSTILE))
    return told


@pytest.fixture
def hostile(home: Home) -> Home:
    """A home in which everything that somebody else could have written is hostile."""
    paths = hostile_round().write(home.paths)
    paths.spec(".toml").write_text(f"# {HOSTILE}\n")
    home.paths.launcher_log.write_text(f"2026-03-04 21:30:00+0000 REQUEST {HOSTILE}\n", newline="\n")
    home.paths.status.write_bytes(orjson.dumps(_status()))
    for folder in (home.paths.queue, home.paths.rejected):
        for name in (f"x{STEERING}.toml", os.fsdecode(b"x\xff\x1b[2J.toml")):
            (folder / name).write_text(f"{HOSTILE} = {{")
    (home.paths.root / "bad.toml").write_text(
        f'round = "{json.dumps(HOSTILE)[1:-1]}"\n"{json.dumps(HOSTILE)[1:-1]}" = 1\n[[tasks]]\n'.replace(
            "\\/", "/"
        )
    )
    (home.paths.root / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in _rows()))
    return home


def _status() -> dict[str, Any]:
    return {
        "written_at": HOSTILE,
        "why": HOSTILE,
        "paused": HOSTILE,
        "draining": HOSTILE,
        "running": [],
        "rounds": [
            {
                "id": "night",
                "title": HOSTILE,
                "state": "running",
                "waits_for": [HOSTILE],
                "task": None,
                "runs_done": 1,
                "runs_least": 1,
                "runs_most": 2,
                "time_left_seconds": [0, 1],
                "time_left_expected_seconds": 1,
                "parked": [{"task": HOSTILE, "failure_class": HOSTILE, "reason": HOSTILE, "remedy": HOSTILE}],
                "verdicts": {HOSTILE: 1},
            }
        ],
        "devices": [{"id": HOSTILE, "name": HOSTILE, "dirty": HOSTILE, "gpu": None}],
    }


def _rows() -> list[dict[str, Any]]:
    row = {"task": f"copy{HOSTILE}", "status": "ok", "bsz": 8, "run_dir": HOSTILE, "error": HOSTILE}
    return [
        {**row, "stage": stage, "config": config, "best_val_loss": loss, "best_val_tok_acc": 0.5}
        for stage in ("quick", "med")
        for config in ("baseline", f"good{HOSTILE}")
        for loss in (2.0, 2.1)
    ]


VERBS = [
    ["status"],
    ["status", "--json"],
    ["show", "night"],
    ["show", "night", "sums"],
    ["show", "night", "sums", "bad"],
    ["show", "night", HOSTILE],
    ["show", HOSTILE],
    ["show", "night", "sums", HOSTILE],
    ["why"],
    ["why", "night"],
    ["why", "night", "sums"],
    ["why", HOSTILE],
    ["fsck"],
    ["fsck", "--set-aside", HOSTILE],
    ["explain", "night"],
    ["explain", "bad.toml"],
    ["validate", "bad.toml"],
    ["submit", "bad.toml"],
    ["submit", f"queue/x{STEERING}.toml"],
    ["validate", f"{HOSTILE}.toml"],
    ["compare", "night", "--as", "band"],
    ["compare", "rows.jsonl"],
    ["compare", "rows.jsonl", "--json"],
    ["compare", "night", "--as", HOSTILE],
    ["verdict", "night", "--as", "significance"],
    ["verdict", "rows.jsonl"],
    ["verdict", HOSTILE],
    ["audit", "rows.jsonl"],
    ["audit", "rows.jsonl", "--json"],
    ["audit", HOSTILE],
    ["import", "rows.jsonl"],
    ["doctor"],
    ["rebuild"],
    ["rebuild", "night"],
    ["report", "night"],
    ["report", HOSTILE],
    ["regrade", "night"],
    ["regrade", "rows.jsonl"],
    ["regrade", "rows.jsonl", "--json"],
    ["regrade", HOSTILE, "--definitions", HOSTILE],
    ["squeeze", HOSTILE],
    ["cache", "list"],
    ["cache", "list", "--json"],
    ["cache", "verify"],
    ["noise"],
    ["tidy"],
    ["tidy", "--dry-run"],
    ["service", "show"],
    ["service", HOSTILE],
    ["notify"],
    ["pause", "--reason", HOSTILE],
    ["cancel", "night", "--reason", HOSTILE],
    ["cancel", HOSTILE],
    ["retry", "night", HOSTILE],
]


@pytest.mark.fault(
    "a name, reason or error steers a terminal", moment="any verb", outcome="only letters shown"
)
@pytest.mark.parametrize("arguments", VERBS, ids=lambda arguments: harmless(" ".join(arguments))[:40])
def test_no_verb_hands_a_terminal_more_than_letters(
    hostile: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(hostile.paths.root)
    status = main(["--home", str(hostile.paths.root), *arguments])
    told = capsys.readouterr()
    assert told.out + told.err
    assert steers(told.out) == []
    assert steers(told.err) == []
    if "--json" in arguments and status in (0, 1):
        json.loads(told.out)


def test_what_follows_the_log_shows_letters(hostile: Home) -> None:
    [line] = log_lines(hostile.paths.launcher_log, about=None, earlier=5, pause=lambda: False)
    assert "boom" in line
    assert steers(line) == []


def test_every_verb_is_in_the_list(hostile: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """A verb that comes later has to be given hostile text too."""
    from scheduler.cli.app import app

    verbs = {command.name or command.callback.__name__ for command in app.registered_commands}  # type: ignore[union-attr]
    #: they show nothing foreign, or are shown to do so above or elsewhere
    others = {"daemon", "demo", "schema", "resume", "drain", "follow"}
    assert verbs - others == {arguments[0] for arguments in VERBS} - {"cache", "service"}


def test_the_door_keeps_lines_and_blanks_and_spells_json_out(capsys: pytest.CaptureFixture[str]) -> None:
    say("  | a |  \n\tb\x1b[1mold\x1b[0m\r\n")
    assert capsys.readouterr().out == "  | a |  \n bold \n\n"
    said = {"ü": "\x9b\u202e\x7f\U000e0041 \udcff\x1b"}
    say_json(said)
    out = capsys.readouterr().out
    assert json.loads(out) == said
    assert steers(out) == []


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Any:
    program = chromium()
    if program is None:
        pytest.skip("no Chromium on this machine")
    with Browser(program, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.fault(
    "a name or error holds HTML", moment="the report is opened", outcome="it is text, runs nothing"
)
def test_a_browser_runs_nothing_of_a_hostile_report(hostile: Home, browser: Browser) -> None:
    paths = hostile.paths.round("night")
    publish_round(paths)
    publish_index(hostile.paths)
    for page in (paths.report, hostile.paths.index):
        browser.open(page, width=1280)
        assert browser.ask("document.title") != "owned"
        assert browser.ask("document.scripts.length + document.images.length") == 0
        requested = {
            told["request"]["url"] for name, told in browser.events if name == "Network.requestWillBeSent"
        }
        assert requested <= {page.resolve().as_uri(), "data:,"}


@pytest.mark.fault("a name or error holds Markdown", moment="the summary is rendered", outcome="it is text")
def test_a_summary_of_hostile_text_is_neither_html_nor_links(hostile: Home) -> None:
    paths = hostile.paths.round("night")
    publish_round(paths)
    for summary in (paths.summary_text, paths.summary_markdown):
        assert steers(summary.read_text()) == []
    markdown = paths.summary_markdown.read_text()
    assert "boom" in markdown
    assert "<script" not in markdown
    assert "<img" not in markdown
    assert "](javascript" not in markdown.replace("\\]", "")
    assert steers(paths.report.read_text()) == []
