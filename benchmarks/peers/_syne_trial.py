"""The trial as Syne Tune runs it: a program that reports by Syne Tune's own means."""

from __future__ import annotations

import trial
from syne_tune import Reporter

if __name__ == "__main__":
    Reporter()(loss=trial.run(trial.asked()))
