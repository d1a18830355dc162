"""True winners per GPU-hour by the rounds a task is searched: one picture from tables of simulate.py."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "images" / "rounds_per_task.svg"
#: rows of the table, each a line of its own
SEARCHES = ("race", "screen_confirm")
READING = "quick continued"
#: standard errors to either side: a 95 % interval
INTERVAL = 1.96
WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 56, 130, 44, 52

#: the picture has a ground of its own, so that it can be read on any page
STYLE = """
svg { --paper: #ffffff; --ink: #1c1e21; --muted: #5a6068; --line: #dededa; }
svg { --race: #0a5299; --screen_confirm: #a04a00; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #16181b; --ink: #e8e6e3; --muted: #a3a9b1; --line: #383c42; }
  svg { --race: #7db8f5; --screen_confirm: #f0a35e; }
}
text { font: 13px system-ui, sans-serif; fill: var(--muted); }
.title { font-weight: 600; font-size: 14px; fill: var(--ink); }
.line { fill: none; stroke-width: 2; }
.grid { stroke: var(--line); }
.race { --tone: var(--race); } .screen_confirm { --tone: var(--screen_confirm); }
.line, .bar { stroke: var(--tone); }
.bar { stroke-width: 1.5; }
.dot { fill: var(--tone); }
.square { fill: var(--paper); stroke: var(--tone); stroke-width: 2; }
.name { fill: var(--tone); font-weight: 600; }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One search over tasks of so many rounds."""

    search: str
    rounds_per_task: int
    winners_per_hour: float
    #: half of its interval
    reach: float
    #: as the table has it: the same, recall, false share, rounds with a false winner
    cells: tuple[str, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("tables", nargs="+", type=Path, help="outputs of simulate.py, one a number of rounds")
    parser.add_argument("--out", type=Path, default=PICTURE)
    arguments = parser.parse_args()
    found = [point for table in arguments.tables for point in points_in(table.read_text())]
    points = sorted(found, key=lambda point: point.rounds_per_task)
    arguments.out.write_text(picture(points))
    print("\n".join(rows(points)))


def points_in(table: str) -> Iterator[Point]:
    """The points of one table, whose command tells the rounds per task."""
    [rounds] = re.findall(r"^command:.* --rounds-per-task (\d+)", table, flags=re.MULTILINE)
    for search in SEARCHES:
        row = re.search(rf"^\| {search}, {READING} \| (.*) \|$", table, flags=re.MULTILINE)
        if row is not None:
            cells = tuple(row[1].split(" | ")[:4])
            rate, error = cells[0].rstrip(")").split(" (")
            yield Point(
                search=search,
                rounds_per_task=int(rounds),
                winners_per_hour=float(rate),
                reach=INTERVAL * float(error),
                cells=cells,
            )


def rows(points: Sequence[Point]) -> Iterator[str]:
    """The figures of the picture, and what they cost, as a table."""
    yield (
        "| rounds per task | search | true winners / GPU-h | recall | false share"
        " | rounds with a false winner |\n|---|---|---|---|---|---|"
    )
    for point in points:
        yield f"| {point.rounds_per_task} | {point.search} | {' | '.join(point.cells)} |"


def picture(points: Sequence[Point]) -> str:
    """The SVG, the same for the same points, fewest rounds first."""
    most = max(point.winners_per_hour + point.reach for point in points)
    scale = Scale(
        first=min(point.rounds_per_task for point in points),
        last=max(point.rounds_per_task for point in points),
        top=0.2 * (int(most / 0.2) + 1),
    )
    told = "; ".join(
        f"{point.search} {point.winners_per_hour:.2f} at {point.rounds_per_task}" for point in points
    )
    words = f"True winners per GPU-hour by rounds per task: {told}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(words)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" style="fill: var(--paper)"/>',
        f'<text class="title" x="{LEFT}" y="24">True winners per GPU-hour, and their 95 % intervals</text>',
        *_axes(scale, sorted({point.rounds_per_task for point in points})),
    ]
    for search, side in zip(SEARCHES, (-1, 1), strict=True):
        lines += _line(scale, [point for point in points if point.search == search], side=side)
    return "\n".join([*lines, "</svg>", ""])


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Where a point lies on the picture."""

    first: int
    last: int
    top: float

    def x(self, rounds: float) -> float:
        share = (rounds - self.first) / max(1, self.last - self.first)
        return round(LEFT + 20 + share * (WIDTH - LEFT - RIGHT - 40), 1)

    def y(self, winners: float) -> float:
        return round(HEIGHT - BOTTOM - winners / self.top * (HEIGHT - TOP - BOTTOM), 1)


def _axes(scale: Scale, rounds: Sequence[int]) -> Iterator[str]:
    for step in range(round(scale.top / 0.2) + 1):
        y = scale.y(0.2 * step)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4.5}" text-anchor="end">{0.2 * step:.1f}</text>'
    for number in rounds:
        yield f'<text x="{scale.x(number)}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{number}</text>'
    middle = (scale.x(rounds[0]) + scale.x(rounds[-1])) / 2
    yield f'<text x="{middle}" y="{HEIGHT - 12}" text-anchor="middle">rounds that a task is searched</text>'


def _line(scale: Scale, points: Sequence[Point], *, side: int) -> Iterator[str]:
    """One search; `side`, -1 or 1, keeps intervals and names of two at the same place apart."""
    if not points:
        return
    search = points[0].search
    places = [
        (scale.x(point.rounds_per_task) + 4 * side, scale.y(point.winners_per_hour)) for point in points
    ]
    yield f'<g class="{search}">'
    yield f'<polyline class="line" points="{" ".join(f"{x},{y}" for x, y in places)}"/>'
    for point, (x, y) in zip(points, places, strict=True):
        high, low = (scale.y(point.winners_per_hour + sign * point.reach) for sign in (1, -1))
        yield f'<line class="bar" x1="{x}" x2="{x}" y1="{high}" y2="{low}"/>'
        yield (
            f'<circle class="dot" cx="{x}" cy="{y}" r="4.5"/>'
            if search == "race"
            else f'<rect class="square" x="{x - 4}" y="{y - 4}" width="8" height="8"/>'
        )
    x, y = places[-1]
    yield f'<text class="name" x="{x + 14}" y="{y + 4.5 + 8 * side}">{search}</text>'
    yield "</g>"


if __name__ == "__main__":
    main()
