"""How far apart do equal runs end, when only the seed differs? The repeatability band.

For each config: what its runs reported, the shape of their loss curves, and for each quantity the mean, sd,
CV and the interval in which one new run will lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scheduler.judging import _prompt_suite
from scheduler.judging._band_documents import band_document, curves_csv, line
from scheduler.judging._band_page import band_page
from scheduler.judging._band_status import Standing, standing_of
from scheduler.judging._checks import (
    is_number,
    number_problems,
    refuse,
    seeds_problems,
    whole_problems,
    words,
    words_problems,
)
from scheduler.judging._spread import Spread, prediction_interval, sd_factors, spread
from scheduler.judging._training_curve import CurveShape, Windows, curve_shape
from scheduler.judging.alignment import best_of
from scheduler.judging.evidence import JudgedRun, Sample
from scheduler.judging.page import Page
from scheduler.judging.protocol import Judged, Label, as_json_text

#: what models wrote after the prompts of a suite
EXHIBITS = (_prompt_suite.FILE,)

#: the curve that is read when none is named, first found first
_USUAL_LOSSES = ("loss", "val_loss", "train_loss")
#: a CV decides nothing while the sd may truly be this many times what was measured
_VAGUE_FACTOR = 2.0
LATE_VARIANCE = "late_loss_variance"
PLATEAU = "plateau_coefficient"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Which quantities get a band, and how curves are read."""

    #: the seeds asked for; runs on others count like any
    seeds: Sequence[int] = (7, 11, 13)
    #: final metrics; default: the objective's
    metrics: Sequence[str] = ()
    #: the metric of the curve; default: the objective's where it is minimized, else the usual losses
    curve: str | None = None
    #: shares of the run, by tokens seen
    early: Sequence[float] = (0.1, 0.3)
    late: Sequence[float] = (0.7, 0.9)
    #: the last share of the run, for the late-loss variance
    tail: float = 0.2
    #: fewer points in a window leave what is read from it undefined
    least_points: int = 5
    #: of the prediction interval
    confidence: float = 0.95
    #: runs that saw fewer tokens are smoke, and no conclusion rests on them; 0 takes none for smoke
    smoke_tokens: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", words(self.metrics))
        refuse(self._problems())

    def _problems(self) -> Iterator[str]:
        yield from seeds_problems("seeds", self.seeds, least=2)
        yield from words_problems("metrics", self.metrics)
        if self.curve is not None and not (isinstance(self.curve, str) and self.curve):
            yield f"curve: must be the name of a metric (found {self.curve!r})"
        for name, window in (("early", self.early), ("late", self.late)):
            if not _is_window(window):
                yield f"{name}: must be two rising shares from 0 to 1 (found {window!r})"
        yield from number_problems("tail", self.tail, above=0, below=1)
        yield from whole_problems("least_points", self.least_points, least=2)
        yield from number_problems("confidence", self.confidence, above=0, below=1)
        yield from whole_problems("smoke_tokens", self.smoke_tokens)

    @property
    def windows(self) -> Windows:
        return Windows(
            early=(self.early[0], self.early[1]),
            late=(self.late[0], self.late[1]),
            tail=self.tail,
            least_points=self.least_points,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """One quantity over the runs of a config."""

    name: str
    spread: Spread
    #: where one new run will lie; None for one run
    interval: tuple[float, float] | None

    @property
    def sentence(self) -> str | None:
        """What the CV is worth; None where there is no CV."""
        if self.spread.cv is None:
            return None
        n = self.spread.n
        low, high = sd_factors(n)
        known = f"the sd itself is known within x{_factor(low)}..{_factor(high)}"
        shown = f"{self.name}: a CV of {100 * self.spread.cv:.3g} % at n = {n}"
        return f"{shown} decides nothing: {known}." if high >= _VAGUE_FACTOR else f"{shown}; {known}."


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigBand:
    """The runs of one config, and how far apart they lie."""

    config: str
    runs: tuple[JudgedRun, ...]
    #: in the order of the runs
    shapes: tuple[CurveShape, ...]
    quantities: tuple[Quantity, ...]
    #: sentences about what is missing
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Band(Judged):
    """The band of every config, the baseline's first."""

    sample: Sample
    options: Options
    #: the metric of the curve; None where no run has one
    curve: str | None
    configs: tuple[ConfigBand, ...]
    #: what may be concluded, and what is to be done next
    standing: Standing

    @property
    def way(self) -> str:
        return "band"

    @property
    def baseline_config(self) -> str | None:
        """The config that others are held against; None where there is none."""
        return self.sample.baseline[0].config if self.sample.baseline else None

    def labels(self) -> tuple[Label, ...]:
        word = {"smoke": "SMOKE", "incomplete": "INCOMPLETE"}.get(self.standing.status, "BAND")
        return tuple(Label(config=each.config, word=word, line=line(each)) for each in self.configs)

    def to_json(self) -> dict[str, Any]:
        return {
            "way": self.way,
            "source": self.sample.source,
            "stage": self.sample.stage,
            "curve": self.curve,
            "options": asdict(self.options),
            "status": self.standing.status,
            "decision": self.standing.decision,
            "next_actions": self.standing.next_actions,
            "configs": [_config_json(each) for each in self.configs],
            "pilots": [
                {"run": run.name, "prompt_set": run.prompt_set, "metrics": run.metrics}
                for run in self.sample.pilots
            ],
            "notes": self.sample.notes,
        }

    def markdown(self) -> str:
        return band_document(self)

    def documents(self) -> Mapping[str, str]:
        return {
            "band.md": self.markdown(),
            "band.json": as_json_text(self.to_json()),
            **({} if self.curve is None else {"band_curves.csv": curves_csv(self, self.curve)}),
        }

    def pages(self) -> Mapping[str, Page]:
        return {"band": band_page(self)}


def judge(sample: Sample, options: Options) -> Band:
    """The band of every config of `sample`. Works without a baseline."""
    curve = _curve_metric(sample, options)
    by_config = dict(sample.experiments)
    if sample.baseline:
        by_config = {sample.baseline[0].config: sample.baseline, **by_config}
    configs = tuple(_config_band(sample, options, curve, *item) for item in by_config.items())
    return Band(
        sample=sample,
        options=options,
        curve=curve,
        configs=configs,
        standing=standing_of(configs, options),
    )


def _config_band(
    sample: Sample, options: Options, curve: str | None, config: str, runs: tuple[JudgedRun, ...]
) -> ConfigBand:
    shapes = tuple(curve_shape(run, curve, options.windows) for run in runs) if curve is not None else ()
    values = {name: list(sample.values(runs, name)) for name in _metrics(sample, options)}
    values[LATE_VARIANCE] = [s.late_variance for s in shapes if s.late_variance is not None]
    values[PLATEAU] = [s.plateau_coefficient for s in shapes if s.plateau_coefficient is not None]
    quantities = tuple(_quantity(name, found, options) for name, found in values.items() if found)
    warnings = []
    if len(runs) < len(options.seeds):
        warnings.append(f"{len(runs)} of the {len(options.seeds)} runs asked for.")
    if flat := [run.name for run, shape in zip(runs, shapes, strict=False) if _is_flat(shape)]:
        warnings.append(
            f"The late slope of {', '.join(flat)} is not distinguishable from 0, nor then is the plateau"
            " coefficient: it measures the scatter of the curve."
        )
    units = {shape.unit for shape in shapes if shape.points}
    if len(units) > 1:
        warnings.append("Some runs tell their tokens and some only steps: their slopes are not comparable.")
    return ConfigBand(
        config=config, runs=runs, shapes=shapes, quantities=quantities, warnings=tuple(warnings)
    )


def _quantity(name: str, values: Sequence[float], options: Options) -> Quantity:
    found = spread(values)
    assert found is not None
    return Quantity(name=name, spread=found, interval=prediction_interval(found, options.confidence))


def _metrics(sample: Sample, options: Options) -> tuple[str, ...]:
    return tuple(dict.fromkeys(options.metrics or (sample.objective.metric,)))


def _curve_metric(sample: Sample, options: Options) -> str | None:
    metric = sample.objective.metric
    # the best so far falls in steps and then not at all: the curve is that of which it is the best
    own = (best_of(metric), metric) if sample.objective.direction == "minimize" else ()
    wanted = (options.curve,) if options.curve is not None else (*own, *_USUAL_LOSSES)
    found = {name for run in sample.runs for point in run.curve for name in point.metrics}
    return next((name for name in wanted if name in found), None)


def _is_flat(shape: CurveShape) -> bool:
    return shape.late is not None and shape.late.is_distinguishable is False


def _factor(value: float) -> str:
    return f"{value:.1g}" if value < 0.95 or value >= 3 else f"{value:.2g}"


def _is_window(value: object) -> bool:
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(is_number(x) for x in value):
        return False
    low, high = value
    return bool(0.0 <= low < high <= 1.0)


def _shape_json(shape: CurveShape) -> dict[str, Any]:
    return {
        "points": shape.points,
        "unit": shape.unit,
        "early_slope": shape.early_slope,
        "late_slope": shape.late_slope,
        "early_slope_se": None if shape.early is None else shape.early.se,
        "late_slope_se": None if shape.late is None else shape.late.se,
        "late_slope_is_distinguishable": None if shape.late is None else shape.late.is_distinguishable,
        "plateau_coefficient": shape.plateau_coefficient,
        "late_variance": shape.late_variance,
    }


def _config_json(each: ConfigBand) -> dict[str, Any]:
    shapes = each.shapes or (None,) * len(each.runs)
    return {
        "config": each.config,
        "runs": [
            {
                "seed": run.seed,
                "prompt_set": run.prompt_set,
                "metrics": run.metrics,
                "shape": None if shape is None else _shape_json(shape),
            }
            for run, shape in zip(each.runs, shapes, strict=True)
        ],
        "quantities": [
            {
                "name": quantity.name,
                **asdict(quantity.spread),
                "cv": quantity.spread.cv,
                "interval": quantity.interval,
                "sentence": quantity.sentence,
            }
            for quantity in each.quantities
        ],
        "prompt_suite": [
            {"temperature": how, "figure": name, **asdict(found)}
            for (how, name), found in _prompt_suite.suite_figures(each.runs).items()
        ],
        "warnings": each.warnings,
    }
