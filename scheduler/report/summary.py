"""What is the result of a round? Two files, derived from its records.

Where the spec asks for ways of judging, their documents lie beside them. Nothing here holds an age or a
"now": the same records and run files give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.decide.state import RoundState
from scheduler.effects.files import publish
from scheduler.effects.plain_text import harmless
from scheduler.report.markdown import render_markdown
from scheduler.report.reading import read_round
from scheduler.report.side_labels import (
    SideLabel,
    markdown_section,
    publish_documents,
    side_labels,
    text_section,
)
from scheduler.report.text import render_text
from scheduler.rounds.paths import RoundPaths


def summary_text(round_state: RoundState, labels: Sequence[SideLabel] = ()) -> str:
    """summary.txt: the shape its users know, and then the side labels."""
    return harmless(render_text(read_round(round_state)) + text_section(labels))


def summary_markdown(round_state: RoundState, labels: Sequence[SideLabel] = ()) -> str:
    """summary.md: the same as tables."""
    return harmless(render_markdown(read_round(round_state)) + markdown_section(labels))


def publish_summary(round_state: RoundState, paths: RoundPaths) -> tuple[SideLabel, ...]:
    """Put both files into the round's folder, and what was judged beside them, each whole or not at all.

    Returns the side labels, which take a while to make.
    """
    labels = side_labels(round_state, paths)
    publish_documents(labels, paths)
    publish(paths.summary_text, summary_text(round_state, labels).encode())
    publish(paths.summary_markdown, summary_markdown(round_state, labels).encode())
    return labels
