"""Where is everything on disk? One object owns every path of a home, another those of a round."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunPaths:
    """The files of one attempt. Folders are named for people; nothing parses the name."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "config.json"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.jsonl"

    @property
    def output(self) -> Path:
        return self.root / "out.log"

    @property
    def error(self) -> Path:
        return self.root / "error.txt"

    @property
    def checkpoint(self) -> Path:
        """The state that a longer run may go on from, while it may."""
        return self.root / "checkpoint"

    @property
    def scores(self) -> Path:
        return self.root / "scores.npy"

    def scores_at(self, step: int) -> Path:
        """Scores of one evaluation, kept where an in-run rule compares examples."""
        return self.root / "scores" / f"{step}.npy"

    @property
    def result(self) -> Path:
        return self.root / "result.json"


@dataclass(frozen=True, slots=True)
class RoundPaths:
    """The folder of one round below `results/`."""

    root: Path

    def spec(self, suffix: str) -> Path:
        """The bytes as accepted; `suffix` is ".toml" or ".json"."""
        return self.root / f"spec{suffix}"

    @property
    def resolved(self) -> Path:
        return self.root / "round.json"

    @property
    def secrets(self) -> Path:
        """The values for which markers stand in everything else; only where the spec holds some."""
        return self.root / "secrets.json"

    @property
    def records(self) -> Path:
        return self.root / "records.jsonl"

    @property
    def ended(self) -> Path:
        """What is still known of an ended round, so that nobody has to read its records."""
        return self.root / "ended.json"

    @property
    def summary_text(self) -> Path:
        return self.root / "summary.txt"

    @property
    def summary_markdown(self) -> Path:
        return self.root / "summary.md"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    @property
    def suggested(self) -> Path:
        """A spec that would get parked tasks going, where one is known."""
        return self.root / "suggested.toml"

    @property
    def learnings(self) -> Path:
        """What a person has added to the learnings of its spec; nobody else writes it."""
        return self.root / "learnings.toml"

    @property
    def judged(self) -> Path:
        """Documents of other ways of judging, made on demand."""
        return self.root / "judged"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    def run(self, folder: str) -> RunPaths:
        """The run in `folder` below `runs/`; one that was reused leads to the round that ran it."""
        return RunPaths(Path(os.path.normpath(self.runs / folder)))


@dataclass(frozen=True, slots=True)
class HomePaths:
    """The folder that holds `queue/`, `results/` and `roundhouse.toml`."""

    root: Path

    @property
    def settings(self) -> Path:
        return self.root / "roundhouse.toml"

    @property
    def trainers(self) -> Path:
        return self.root / "trainers"

    @property
    def queue(self) -> Path:
        return self.root / "queue"

    @property
    def active(self) -> Path:
        return self.queue / "active"

    @property
    def done(self) -> Path:
        return self.queue / "done"

    @property
    def rejected(self) -> Path:
        return self.queue / "rejected"

    @property
    def control(self) -> Path:
        return self.queue / "control"

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def lock(self) -> Path:
        return self.results / "daemon.lock"

    @property
    def launcher_log(self) -> Path:
        return self.results / "launcher.log"

    @property
    def status(self) -> Path:
        return self.results / "status.json"

    @property
    def metrics(self) -> Path:
        """What a monitor may count and plot, as text for Prometheus."""
        return self.results / "metrics.prom"

    @property
    def notices(self) -> Path:
        """How many notices of each kind were sent lately."""
        return self.results / "notices.json"

    @property
    def journal(self) -> Path:
        return self.results / "journal.jsonl"

    @property
    def ledger(self) -> Path:
        return self.results / "ledger.jsonl"

    @property
    def index(self) -> Path:
        """The page that lists every round."""
        return self.results / "index.html"

    @property
    def cache(self) -> Path:
        return self.results / "cache"

    @property
    def reserve(self) -> Path:
        """Space that is set aside for the records of a run in flight."""
        return self.results / ".reserve"

    @property
    def set_aside(self) -> Path:
        """Damaged records that a person took out of the daemon's way."""
        return self.results / "set-aside"

    def round(self, round_id: str) -> RoundPaths:
        return RoundPaths(self.results / round_id)

    def folders(self) -> tuple[Path, ...]:
        """Every folder a daemon needs, parents first."""
        return (self.queue, self.active, self.done, self.rejected, self.control, self.results, self.cache)
