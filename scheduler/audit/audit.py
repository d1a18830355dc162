"""What do record files claim, what of it is known, and what did it cost? All findings in one value."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scheduler.audit.claims import Claim, claims_of, unmatched
from scheduler.audit.failed import FailureGroup, failures_by_class
from scheduler.audit.repeats import Repeat, count_once
from scheduler.audit.reruns import Duplicate, NoOp, duplicates_of, no_ops_of, reruns_of
from scheduler.audit.rows import Problem, RecordFile, Row
from scheduler.audit.signs import BestOverEvals, ConstantMetric, best_over_evals, constant_metrics
from scheduler.audit.timing import seconds_by_place


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One kind of finding, the runs it concerns and their time."""

    name: str
    found: int
    places: frozenset[str]
    #: whether these runs bought nothing; the others are told, but not added up
    is_wasted: bool
    seconds: float
    #: of the known time of all runs; None where no time is known
    share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Everything that was found in some record files."""

    files: tuple[RecordFile, ...]
    #: each run once
    rows: tuple[Row, ...]
    repeats: tuple[Repeat, ...]
    claims: tuple[Claim, ...]
    duplicates: tuple[Duplicate, ...]
    no_ops: tuple[NoOp, ...]
    best_over_evals: tuple[BestOverEvals, ...]
    constant_metrics: tuple[ConstantMetric, ...]
    failures: tuple[FailureGroup, ...]
    seconds: Mapping[str, float]

    @property
    def runs(self) -> tuple[Row, ...]:
        """What ran: neither decisions, nor probes, nor readings that were only written down again."""
        return tuple(row for row in self.rows if row.kind == "run" and row.outcome in ("ok", "failed"))

    @property
    def unmatched(self) -> list[Claim]:
        return unmatched(self.claims)

    @property
    def single_seed(self) -> tuple[Claim, ...]:
        return tuple(claim for claim in self.claims if claim.seeds == 1)

    @property
    def problems(self) -> tuple[Problem, ...]:
        return tuple(problem for file in self.files for problem in file.problems)

    @property
    def known_seconds(self) -> float:
        return math.fsum(self.seconds.values())

    @property
    def wasted_seconds(self) -> float:
        """Time of the runs that bought nothing, each counted once."""
        places = frozenset[str]().union(*(cost.places for cost in self.costs if cost.is_wasted))
        return self._seconds_of(places)

    @property
    def costs(self) -> tuple[Cost, ...]:
        missing = self.unmatched
        constant = [row for each in self.constant_metrics for row in each.rows]
        best = [each.row for each in self.best_over_evals]
        again = [row for each in self.duplicates for row in each.again]
        return (
            self._cost("unmatched claims", len(missing), [each.row for each in missing]),
            self._cost("duplicates", len(self.duplicates), again),
            self._cost("no-ops", len(self.no_ops), [each.row for each in self.no_ops]),
            self._cost("constant metrics", len(self.constant_metrics), constant),
            *(
                self._cost(f"failed: {group.failure_class}", len(group.rows), group.rows)
                for group in self.failures
            ),
            self._cost(
                "single-seed claims",
                len(self.single_seed),
                [each.row for each in self.single_seed],
                is_wasted=False,
            ),
            self._cost("best over evals", len(best), best, is_wasted=False),
        )

    def _cost(self, name: str, found: int, rows: Iterable[Row], *, is_wasted: bool = True) -> Cost:
        places = frozenset(row.place for row in rows)
        seconds, known = self._seconds_of(places), self.known_seconds
        return Cost(
            name=name,
            found=found,
            places=places,
            is_wasted=is_wasted,
            seconds=seconds,
            share=seconds / known if known else None,
        )

    def _seconds_of(self, places: frozenset[str]) -> float:
        return math.fsum(self.seconds.get(place, 0.0) for place in places)


def audit(files: Sequence[RecordFile]) -> Audit:
    """All findings in these files, each run counted once."""
    rows, repeats = count_once(files)
    duplicates = duplicates_of(rows)
    return Audit(
        files=tuple(files),
        rows=rows,
        repeats=repeats,
        claims=claims_of(rows, reruns_of(duplicates)),
        duplicates=duplicates,
        no_ops=no_ops_of(rows),
        best_over_evals=best_over_evals(rows),
        constant_metrics=constant_metrics(rows),
        failures=failures_by_class(rows),
        seconds=seconds_by_place(rows),
    )
