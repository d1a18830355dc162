"""What does a home show a person? The summaries and the page of each round, and the list of all rounds.

They hold no ages and no "now": the same records and files give the same bytes.
"""

from __future__ import annotations

import os

from scheduler.effects.files import publish
from scheduler.effects.reporting import records_stamp
from scheduler.report.attachments import find_attachments
from scheduler.report.index import read_index, render_index
from scheduler.report.load import load_history
from scheduler.report.page import render_page
from scheduler.report.suggested_spec import publish_suggestion
from scheduler.report.summary import publish_summary
from scheduler.rounds.paths import HomePaths, RoundPaths


def publish_round(paths: RoundPaths) -> None:
    """Put summary.txt, summary.md and, last, report.html into the folder, each whole or not at all.

    Where a task is parked and a change to its spec would help, that spec too.
    """
    stamp = records_stamp(paths)
    history = load_history(paths)
    publish_suggestion(history.state, paths)
    labels = publish_summary(history.state, paths)
    publish(paths.report, render_page(history, find_attachments(history, paths), labels).encode())
    os.utime(paths.report, ns=(stamp, stamp))


def publish_index(home: HomePaths) -> None:
    """Put the list of all rounds into `results/`."""
    publish(home.index, render_index(read_index(home)).encode())
