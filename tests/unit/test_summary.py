"""A summary says what was compared with what, from the records alone, and nothing it does not know."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes.world import Crash, World, checked, failed, make_round, ok, play, task, whole_round
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.evidence import Objective
from scheduler.cli.show import task_lines
from scheduler.decide import facts
from scheduler.decide.state import RoundState
from scheduler.report.summary import publish_summary, summary_markdown, summary_text
from scheduler.rounds.paths import RoundPaths
from scheduler.rounds.round import PolicyChoice, Round, Task

BOX_TITLE = "unmatched reading (not evidence)"
SCORES = {"baseline": 0.5, "good": 0.53, "bad": 0.4908, "null": 0.5, "late": 0.52}
Outcome = Callable[[facts.RunIntended], dict[str, Any] | None]

GOLDEN = """\
====================================================================================================
night: Does it help?
finished; verdicts: 1 INCONCLUSIVE, 1 SUGGESTIVE
A delta is variant minus baseline at the same stage, protocol and seeds; positive is better.
====================================================================================================
[sums]
  trainer command; maximize acc, effects from +1.00pp; policy threshold (min_delta=0.3)
  baseline quick: acc=50.00% loss=1.5000 n_eval=100
  baseline medium: acc=64.00% loss=1.3600 n_eval=100
  survivors:
    good                     d_acc=+3.00pp acc=53.00%
  pruned:
    bad                      d_acc=-0.92pp acc=49.08% (< +0.30pp)
  medium confirmed:
    good                     d_acc=+3.00pp acc=67.00% loss=1.3300
  verdicts:
    good                     SUGGESTIVE   +3.00pp at medium over 1 seed; needs fresh seeds, since
                                          these selected it
    bad                      INCONCLUSIVE -0.92pp at quick over 1 seed
  +- unmatched reading (not evidence) -------------------------------------------------------------+
  | medium variant minus *quick* baseline, as a search by hand would report it:                    |
  |   good                     unmatched  +17.00pp   matched   +3.00pp                             |
  | The two sides had different budgets: the baseline alone gains +14.00pp from quick to medium.   |
  | Only the matched figure counts.                                                                |
  +------------------------------------------------------------------------------------------------+
----------------------------------------------------------------------------------------------------
runs: 5 ended, 5 ok
time: training 5.0 s on cpu, evaluation 0.5 s, start-up 0.4 s (7 % of all; 0.6 s beside other runs)
"""


def scored(intended: facts.RunIntended) -> dict[str, Any]:
    """Everything gains 14 points from quick to medium; seeds differ by a little, variants by SCORES."""
    acc = SCORES[intended.config] + (0.14 if intended.stage == "medium" else 0.0)
    acc += 0.001 * ((intended.seed * len(intended.config)) % 3)
    value = 2 - acc if intended.task == "lossy" else acc
    return ok(acc, value=value, loss=2 - acc, startup_seconds=0.2, eval_seconds=0.1)


def played(outcome: Outcome, *rounds: Round, **options: Any) -> RoundState:
    return play(outcome, *(rounds or (make_round(title="Does it help?"),)), **options).round()


def without_box(text: str) -> str:
    """The summary without the lines of its boxes, in either format."""
    text = re.sub(r"^  [|+].*\n", "", text, flags=re.MULTILINE)
    return re.sub(rf"^### {re.escape(BOX_TITLE)}\n.*?(?=^#|\Z)", "", text, flags=re.MULTILINE | re.DOTALL)


def test_the_summary_of_a_small_round() -> None:
    assert summary_text(played(scored)) == GOLDEN


def test_the_markdown_holds_the_same_figures() -> None:
    text, markdown = summary_text(played(scored)), summary_markdown(played(scored))
    for figure in ("-0.92pp", "+3.00pp", "+17.00pp", "+14.00pp", "67.00%", "n\\_eval=100"):
        assert figure.replace("\\", "") in text
        assert figure in markdown
    assert "### medium confirmed" in markdown
    assert "| good | +17.00pp | +3.00pp |" in markdown


def test_the_box_shows_what_an_unmatched_baseline_would_have_claimed() -> None:
    # A true null: matched 0, while the baseline alone gains 14 points from quick to medium.
    low = task(variants=("null",), policy=PolicyChoice(name="threshold", options={"min_delta": -1.0}))
    text = summary_text(played(scored, make_round(low)))
    assert "null                     unmatched  +14.00pp   matched   +0.00pp" in text
    assert "the baseline alone gains +14.00pp from quick to medium" in text


@settings(max_examples=30, deadline=None)
@given(
    gains=st.lists(st.integers(min_value=5, max_value=90), min_size=1, max_size=3, unique=True),
    growth=st.integers(min_value=101, max_value=300),
    seeds=st.integers(min_value=1, max_value=2),
)
def test_unmatched_figures_stand_in_the_box_and_nowhere_else(
    gains: list[int], growth: int, seeds: int
) -> None:
    scores = {"baseline": 0, **{f"v{index}": gain for index, gain in enumerate(gains)}}

    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        thousandths = 400 + scores[intended.config] + (growth if intended.stage == "medium" else 0)
        return ok(thousandths / 1000)

    round_state = played(outcome, make_round(task(variants=tuple(scores)[1:], seeds=tuple(range(seeds)))))
    for summary in (summary_text(round_state), summary_markdown(round_state)):
        for gain in gains:
            claimed, matched = f"{(gain + growth) / 10:+.2f}pp", f"{gain / 10:+.2f}pp"
            assert claimed in summary
            assert claimed not in without_box(summary)
            assert matched in without_box(summary)
        assert f"{growth / 10:+.2f}pp" in summary
        assert f"{growth / 10:+.2f}pp" not in without_box(summary)


def test_several_seeds_show_mean_spread_each_delta_and_the_sign_pattern() -> None:
    text = summary_text(played(scored, make_round(task(seeds=(0, 7, 8)))))
    assert "  baseline quick: acc=50.10% loss=1.4990 sd=0.10pp seeds=0,7,8 n_eval=100" in text
    lines = text.splitlines()
    bad = lines.index("    bad                      d_acc=-1.02pp acc=49.08% (< +0.30pp)")
    assert lines[bad + 1].split() == ["sd=0.10pp", "0+/0=/3-", "s0:-0.92pp", "s7:-1.12pp", "s8:-1.02pp"]


def test_a_minimised_loss_is_shown_in_its_own_unit() -> None:
    lossy = task(
        "lossy",
        objective=Objective(metric="loss", direction="minimize", unit="nat", min_effect=0.01),
        policy=PolicyChoice(name="threshold", options={"min_delta": 0.01}),
    )
    text = summary_text(played(scored, make_round(lossy)))
    assert "    good                     d_loss=+0.03nat loss=1.4700\n" in text
    assert "    bad                      d_loss=-0.0092nat loss=1.5092 (< +0.01 nat)" in text
    assert "pp" not in without_box(text)


def test_a_broken_variant_is_listed_with_class_message_remedy_and_folder() -> None:
    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        return failed("crash", "boom\ntraceback") if intended.config == "bad" else scored(intended)

    text = summary_text(played(outcome))
    assert "    bad                      (broken: crash)\n" in text
    assert "    bad                      quick seed=0 class=crash after 2 attempts\n" in text
    assert "boom\n" in text
    assert "traceback" not in text
    assert "remedy: see error.txt and out.log of the run" in text
    assert "runs/sums.quick.bad.s0.a2/error.txt" in text
    assert "LOSER        broken: crash" in text


def test_runs_of_a_larger_batch_are_told_as_superseded_and_not_as_failed() -> None:
    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        if intended.bsz == 64 and intended.config == "bad":
            return failed("oom", "CUDA out of memory")
        return scored(intended)

    made = played(outcome, make_round(task(bsz=(64, 32))))
    why = "bsz=32 since out of memory at bsz=64 (quick bad s0); superseded, and kept: 5 runs at bsz=64"
    assert why in " ".join(summary_text(made).split())
    assert why in " ".join(summary_markdown(made).split())
    assert "failed:" not in summary_text(made)
    shown = "\n".join(task_lines(made.tasks["sums"], RoundPaths(Path("results/night"))))
    assert shown.count("(superseded)") == 5


def test_a_parked_task_says_why_and_how_to_go_on() -> None:
    text = summary_text(played(lambda _: failed("data", "Only built 374 examples (wanted 900)")))
    assert "\nparked; verdicts: none yet\n" in text
    assert "  PARKED class=data: Only built 374 examples (wanted 900)\n" in text
    assert "(schedctl retry night sums)" in text
    assert "  not decided: good, bad\n" in text


def test_a_variant_without_a_delta_is_held_with_its_reason() -> None:
    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        if intended.config == "bad":
            return {**ok(0.4), "status": "timed_out", "curve": [[7, 0.4]]}
        return scored(intended)

    text = summary_text(played(outcome))
    assert "  held:\n    bad                      (no matched delta: the time budget ended the run" in text


def test_a_delta_drawn_from_a_run_the_clock_ended_is_marked_as_a_speed_effect() -> None:
    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        if intended.config == "good":
            return {**ok(0.6, steps=5), "status": "timed_out"}
        return {**scored(intended), "curve": [[5, 0.5], [10, 0.5]]}

    text = summary_text(played(outcome))
    assert "d_acc=+10.00pp acc=60.00% (a speed effect: the time budget ended a run)" in text


def test_totals_leave_cached_runs_out_of_the_time() -> None:
    told = []
    for fact in play(scored, make_round()).facts:
        if isinstance(fact, facts.RunFinished) and fact.stage == "medium":
            fact = replace(fact, cached_from="older")
        told.append(fact)
    text = summary_text(whole_round(told))
    assert "runs: 5 ended, 5 ok, 2 from the cache\n" in text
    assert "training 3.0 s on cpu" in text


def test_totals_count_attempts_that_were_lost() -> None:
    played_out = play(scored, make_round()).facts
    in_flight = next(i for i, fact in enumerate(played_out, start=1) if isinstance(fact, facts.RunStarted))
    world = World(scored, crash_after=in_flight, recovers_results=False)
    world.start()
    with pytest.raises(Crash):
        world.give(checked(make_round()))
    world.crash_after = None
    world.start()
    text = summary_text(world.round())
    assert "runs: 6 ended, 1 lost, 5 ok\n" in text
    assert "failed:" not in text


def test_runs_of_an_abandoned_batch_size_are_neither_baseline_nor_in_the_box() -> None:
    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        if intended.stage == "medium" and intended.bsz == 64 and intended.config == "good":
            return failed("oom", "CUDA out of memory")
        run = scored(intended)
        factor = 1.0 if intended.bsz == 32 else 1.5
        return {**run, "value": factor * run["value"], "acc": factor * run["acc"]}

    text = summary_text(played(outcome, make_round(task(variants=("good",), bsz=(64, 32)))))
    assert "baseline quick: acc=50.00% loss=1.5000 bsz=32" in text
    assert "75.00%" not in text  # the abandoned quick baseline's
    assert "class=oom" not in text


def test_an_unfinished_round_says_so() -> None:
    made = make_round(task(), task("more"))
    told = list(play(scored, made).facts)
    first_end = next(n for n, fact in enumerate(told, start=1) if isinstance(fact, facts.TaskFinished))
    text = summary_text(whole_round(told[:first_end]))
    assert "\nin progress; verdicts: 1 INCONCLUSIVE, 1 SUGGESTIVE\n" in text
    assert "[more]" in text
    assert "not decided: good, bad" in text


def test_the_same_records_give_the_same_bytes(tmp_path: Any) -> None:
    world = play(scored, make_round(title="Ünïcode"))
    for name in ("once", "again"):
        (tmp_path / name).mkdir()
        publish_summary(world.round(), RoundPaths(tmp_path / name))
    for name in ("summary.txt", "summary.md"):
        once = (tmp_path / "once" / name).read_bytes()
        assert once == (tmp_path / "again" / name).read_bytes()
        assert "Ünïcode" in once.decode()


@pytest.mark.parametrize(
    "attack", ["\x1b[2J\x1b]0;t\x07gone", "\u202ekcab", "a\nforged: line", "\x9b31m", "x\x00y"]
)
def test_no_foreign_text_reaches_the_terminal_as_a_command(attack: str) -> None:
    round_state = played(lambda _: failed("data", attack), make_round(title=attack))
    for summary in (summary_text(round_state), summary_markdown(round_state)):
        assert all(line.isprintable() for line in summary.split("\n"))
        assert not any(line.startswith("forged") for line in summary.split("\n"))


def test_markdown_takes_a_title_as_text() -> None:
    markdown = summary_markdown(played(scored, make_round(title="<img src=x> | *a* [b](c)")))
    assert "&lt;img src=x&gt; \\| \\*a\\* \\[b\\](c)" in markdown
    assert "<img" not in markdown


def test_lines_fit_a_terminal_where_names_allow() -> None:
    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        return scored(intended) if intended.config != "late" else failed("nan", "loss is nan")

    made: Task = task(variants=("good", "bad", "null", "late"), seeds=tuple(range(9)))
    text = summary_text(played(outcome, make_round(made)))
    assert max(len(line) for line in text.split("\n")) <= 100


def screened_round() -> RoundState:
    """Three variants under screen_confirm; each seed of a run is a little lucky or not."""
    gains = {"baseline": 0.0, "good": 0.09, "null": 0.0, "bad": -0.12}

    def outcome(intended: facts.RunIntended) -> dict[str, Any]:
        luck = (intended.seed * 7 + len(intended.config) * 13) % 10 / 1000
        acc = 0.5 + gains[intended.config] + (0.14 if intended.stage == "medium" else 0.0) + luck
        return ok(acc, loss=2 - acc, n_eval=5000, scores_digest=f"{acc}")

    names = tuple(gains)[1:]
    policy = PolicyChoice(name="screen_confirm", options={})
    return played(outcome, make_round(task(variants=names, policy=policy)))


def test_a_confirmed_round_tells_gains_raw_beside_shrunk_and_looks_with_their_p() -> None:
    text = summary_text(screened_round())
    assert re.search(
        r"good +WINNER +\+\d+\.\d\dpp raw, \+\d+\.\d\dpp shrunk \[\+\d+\.\d\d, \+\d+\.\d\d\], 1v2 seeds",
        text,
    )
    assert re.search(r"fresh seeds \(1 candidate, 3 looks declared, alpha 0\.1\):\n +good +look 1 \+", text)
    assert "medium at slot 0 (it selects the candidates, and judges nobody):" in text
    assert "medium confirmed" not in text


def test_a_gain_without_fresh_seeds_is_told_shrunk_only() -> None:
    lines = summary_text(screened_round()).splitlines()
    verdicts = lines[lines.index("  verdicts:") :]
    screened_only = [line for line in verdicts if "no fresh seeds" in line]
    assert screened_only
    assert all(" shrunk [" in line and " raw" not in line for line in screened_only)


def test_the_box_sets_the_fresh_seeds_against_the_hand_made_figure() -> None:
    state = screened_round()
    (gain,) = {verdict.raw_gain for verdict in state.tasks["sums"].verdicts.values()} - {None}
    boxed = next(line for line in summary_text(state).splitlines() if "unmatched " in line and "good" in line)
    assert f"matched {gain:+.2f}pp".replace("matched ", "") in boxed.split("matched")[-1]


def test_the_markdown_of_a_confirmed_round_has_a_table_of_its_looks() -> None:
    markdown = summary_markdown(screened_round())
    assert "| candidate | look 1 | look 2 | look 3 |" in markdown
    assert re.search(r"\| good \| WINNER \| \+\d+\.\d\dpp raw, ", markdown)
