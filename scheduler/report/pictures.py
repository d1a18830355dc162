"""How do the figures of a round look? Drawn with matplotlib, the same bytes for the same figures.

One unit of a drawing is one pixel on a phone, so that its words stay readable there. Colours are stand-ins
that the page fills in; words are kept as text and take the page's typeface.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from scheduler.effects.plain_text import harmless
from scheduler.report import numbers
from scheduler.report.curves import Curve, Panel
from scheduler.report.forest import Forest, ForestRow
from scheduler.report.svg import STAND_INS, inlined
from scheduler.report.timeline import USES, Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: pixels
NARROW, WIDE = 340, 1040
_UNITS_PER_INCH = 72
_WORDS = 11
#: dash patterns, so that nobody has to tell curves apart by colour alone
DASHES: Final = ("", "6 2", "2 2", "8 2 2 2", "4 1 1 1 1 1")
_INK, _MUTED, _LINE = STAND_INS["ink"], STAND_INS["muted"], STAND_INS["line"]
_PAPER, _FAINT = STAND_INS["paper"], STAND_INS["faint"]

_SETTINGS: Final[Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "roundhouse",
    "font.family": "DejaVu Sans",
    "font.size": _WORDS,
    # A name with a dollar sign is a name, not a formula.
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.8,
    "text.color": _INK,
    "xtick.color": _LINE,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _MUTED,
    "ytick.left": False,
    "lines.linewidth": 1.8,
    "path.simplify": True,
}


def curves_picture(panel: Panel, *, name: str, title: str) -> str:
    """Metric against steps: the baseline in ink with its band, the best variants in colour."""
    figure, axes = _canvas(NARROW, 220, left=44, bottom=34, top=24, right=10)
    for curve in panel.others:
        axes.plot(curve.steps, curve.mean, color=_FAINT, linewidth=1.0, marker=_marker(curve), markersize=2)
    for place, curve in reversed(panel.named):
        _draw(axes, curve, STAND_INS[f"series-{place + 1}"], DASHES[place])
    if panel.baseline is not None:
        _draw(axes, panel.baseline, STAND_INS["baseline"], "", width=2.6)
    axes.margins(x=0.03)
    bounds = panel.bounds
    if bounds is not None:
        axes.set_ylim(*bounds)
    axes.set_xlabel("step", fontsize=_WORDS)
    words = f"{panel.title}: {panel.metric}"
    axes.text(0, 1.05, words, transform=axes.transAxes, color=_INK, fontsize=_WORDS)
    _few_ticks(axes)
    return _finished(figure, name=name, title=title)


@dataclass(frozen=True, slots=True, kw_only=True)
class LegendEntry:
    """One line of a picture, as its swatch shows it."""

    label: str
    colour: str
    dashes: str
    #: pixels
    width: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class LineStyle:
    """How one line of a picture is drawn."""

    #: the name of a colour of the page
    colour: str
    dashes: str = ""
    width: float = 1.8


def lines_picture(
    lines: Sequence[tuple[LineStyle, Curve]], *, x_label: str, words: str, name: str, title: str
) -> str:
    """Lines in the order given, the last one on top, each with its band; `words` stand above them."""
    figure, axes = _canvas(NARROW, 220, left=48, bottom=34, top=24, right=10)
    for style, curve in lines:
        _draw(axes, curve, STAND_INS[style.colour], style.dashes, width=style.width)
    axes.margins(x=0.03)
    axes.set_xlabel(x_label, fontsize=_WORDS)
    axes.text(0, 1.05, words, transform=axes.transAxes, color=_INK, fontsize=_WORDS)
    _few_ticks(axes, is_whole=all(float(x).is_integer() for _, curve in lines for x in curve.steps))
    return _finished(figure, name=name, title=title)


def forest_picture(forest: Forest, *, name: str, title: str) -> str:
    """A row a variant: name and figure above, interval, shrunk and raw gain below, against zero."""
    row_height = 34
    height = row_height * len(forest.rows) + 40
    figure, axes = _canvas(NARROW, height, left=2, bottom=34, top=6, right=8)
    axes.grid(visible=False)
    axes.set_xlim(-forest.limit, forest.limit)
    axes.set_ylim(len(forest.rows), 0)
    axes.set_yticks([])
    axes.axvspan(-forest.min_effect, forest.min_effect, color=STAND_INS["zone"], linewidth=0)
    axes.axvline(0, color=_MUTED, linewidth=1.0)
    for place, row in enumerate(forest.rows):
        _forest_row(axes, row, place, forest.limit)
    axes.set_xlabel(f"gain over the baseline ({forest.unit})", fontsize=_WORDS)
    axes.locator_params(axis="x", nbins=5)
    return _finished(figure, name=name, title=title)


def timeline_picture(timeline: Timeline, *, name: str, title: str, width: int, css_class: str) -> str:
    """A lane for each use of the device, from the round's acceptance to its last record."""
    figure, axes = _canvas(width, 190, left=14, bottom=34, top=4, right=14)
    axes.grid(visible=False)
    axes.set_ylim(len(USES), 0)
    axes.set_yticks([])
    shares = timeline.seconds_by_use
    for place, use in enumerate(USES):
        bars = [(s.begin_seconds, s.seconds) for s in timeline.spans if s.use == use]
        axes.broken_barh([(0, timeline.seconds)], (place + 0.52, 0.34), facecolor=STAND_INS["track"])
        # The edge keeps a bar visible that is narrower than a pixel.
        colour = STAND_INS[use]
        axes.broken_barh(bars, (place + 0.52, 0.34), facecolor=colour, edgecolor=colour, linewidth=0.5)
        share = 100 * shares[use] / timeline.seconds
        words = f"{use}: {numbers.duration(shares[use])} ({share:.0f} %)"
        axes.text(0, place + 0.42, words, color=_INK, fontsize=_WORDS)
    axes.set_xlim(0, timeline.seconds)
    _time_ticks(axes, timeline.seconds, at_most=5 if width == NARROW else 10)
    return _finished(figure, name=name, title=title, css_class=css_class)


def bars_picture(values: Sequence[tuple[int, float, bool]], *, metric: str, name: str, title: str) -> str:
    """One bar a run, by its number; those that failed are marked."""
    figure, axes = _canvas(NARROW, 170, left=48, bottom=34, top=24, right=10)
    for colour, has_failed in ((STAND_INS["busy"], False), (STAND_INS["failed"], True)):
        chosen = [(number, value) for number, value, failed in values if failed == has_failed]
        axes.bar([n for n, _ in chosen], [v for _, v in chosen], color=colour, width=0.7)
    last = max(number for number, _, _ in values)
    axes.set_xlim(0.25, max(last, 8) + 0.75)
    axes.set_xlabel("run", fontsize=_WORDS)
    axes.text(0, 1.06, metric, transform=axes.transAxes, color=_MUTED, fontsize=_WORDS)
    _few_ticks(axes)
    return _finished(figure, name=name, title=title)


def _canvas(width: int, height: int, *, left: int, bottom: int, top: int, right: int) -> tuple[Figure, Axes]:
    """An empty figure and its axes, margins in pixels."""
    from matplotlib.figure import Figure

    with _settings():
        figure = Figure(figsize=(width / _UNITS_PER_INCH, height / _UNITS_PER_INCH))
        place = (left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height)
        return figure, figure.add_axes(place)


@contextmanager
def _settings() -> Iterator[None]:
    """Ours alone: what a person has set for matplotlib does not change the bytes."""
    from matplotlib import rc_context, rcdefaults, rcParams

    with rc_context(), warnings.catch_warnings():
        # The page draws the words, in a typeface of its own.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        rcdefaults()
        rcParams.update(_SETTINGS)
        yield


def _finished(figure: Figure, *, name: str, title: str, css_class: str = "") -> str:
    from matplotlib.text import Text

    drawn = BytesIO()
    with _settings():
        for words in figure.findobj(Text):
            # A control character in the name of a metric would make an SVG that nothing can read.
            words.set_text(harmless(words.get_text()))
        figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return inlined(drawn.getvalue(), name=name, title=harmless(title), css_class=css_class)


def _draw(axes: Axes, curve: Curve, colour: str, dashes: str, width: float = 1.8) -> None:
    if len(curve.seeds) > 1:
        axes.fill_between(curve.steps, curve.low, curve.high, color=colour, alpha=0.16, linewidth=0)
    pattern: Any = (0, tuple(float(part) / width for part in dashes.split())) if dashes else "solid"
    marker = _marker(curve)
    axes.plot(
        curve.steps, curve.mean, color=colour, linestyle=pattern, linewidth=width, marker=marker, markersize=4
    )


def _marker(curve: Curve) -> str:
    """Evaluations are marked where they are few: a single one would not be seen otherwise."""
    return "o" if len(curve.steps) <= 6 else ""


def _few_ticks(axes: Axes, *, is_whole: bool = True) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=is_whole))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))


def _forest_row(axes: Axes, row: ForestRow, place: int, limit: float) -> None:
    colour = STAND_INS[row.colour]
    axes.text(-limit, place + 0.38, row.label, color=_INK, fontsize=_WORDS)
    axes.text(limit, place + 0.38, row.figure, color=_INK, fontsize=_WORDS, horizontalalignment="right")
    line = place + 0.7
    if row.interval is not None:
        low, high = (max(-limit, min(limit, bound)) for bound in row.interval)
        axes.plot((low, high), (line, line), color=colour, linewidth=2.0, solid_capstyle="round")
    for delta in row.per_seed:
        if abs(delta) <= limit:
            axes.plot((delta, delta), (line - 0.14, line + 0.14), color=_MUTED, linewidth=1.0)
    for value, marker, is_filled in ((row.raw, "o", row.is_fresh), (row.shrunk, "D", True)):
        if value is None:
            continue
        is_inside = abs(value) <= limit
        edge = math.copysign(0.985 * limit, value)
        axes.plot(
            value if is_inside else edge,
            line,
            marker=marker if is_inside else ("<" if value < 0 else ">"),
            markersize=6,
            markerfacecolor=colour if is_filled else _PAPER,
            markeredgecolor=colour,
            markeredgewidth=1.4,
            linestyle="none",
            clip_on=False,
        )


def _time_ticks(axes: Axes, seconds: float, *, at_most: int) -> None:
    """Round times since the acceptance: 5 min, not 277.8 s."""
    steps = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 4 * 3600, 12 * 3600)
    days = 86400 * max(1, math.ceil(seconds / 86400 / at_most))
    step = next((step for step in steps if seconds / step <= at_most), days)
    ticks = [step * number for number in range(int(seconds // step) + 1)]
    axes.set_xticks(ticks, [_time_label(tick, step, seconds) for tick in ticks])


def _time_label(tick: int, step: int, seconds: float) -> str:
    """All ticks of an axis in one unit."""
    if step >= 86400:
        return f"{tick // 86400} d"
    if step >= 3600:
        return f"{tick // 3600} h"
    if seconds > 7200:
        return f"{tick // 3600}:{tick % 3600 // 60:02d} h"
    return f"{tick // 60} min" if step >= 60 else f"{tick} s"
