"""What is the result of a round? Two files, derived from its records alone.

They hold no ages and no "now": the same records give the same bytes.
"""

from __future__ import annotations

from scheduler.decide.state import RoundState
from scheduler.effects.files import publish
from scheduler.report.markdown import render_markdown
from scheduler.report.reading import read_round
from scheduler.report.text import render_text
from scheduler.rounds.paths import RoundPaths


def summary_text(round_state: RoundState) -> str:
    """summary.txt: the shape its users know."""
    return render_text(read_round(round_state))


def summary_markdown(round_state: RoundState) -> str:
    """summary.md: the same as tables."""
    return render_markdown(read_round(round_state))


def publish_summary(round_state: RoundState, paths: RoundPaths) -> None:
    """Put both files into the round's folder, each whole or not at all."""
    publish(paths.summary_text, summary_text(round_state).encode())
    publish(paths.summary_markdown, summary_markdown(round_state).encode())
