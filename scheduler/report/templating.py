"""How is a page made from values? Templates that take every text for text, and none for markup."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from scheduler.report import numbers
from scheduler.report.gains import ORDER
from scheduler.report.printable import one_line

#: longest text that a page shows of anything foreign, on one line
_TEXT_LIMIT = 2000


def render(template: str, **values: Any) -> str:
    """The page made by `templates/<template>` from `values`.

    Texts are escaped, and lose what steers a terminal or reorders letters. Only what is `markup` stays.
    """
    text: str = _environment().get_template(template).render(**values)
    return text


def markup(html: str) -> Any:
    """`html`, which is ours and holds no foreign text that is not escaped, to go into a page as it is."""
    from markupsafe import Markup

    return Markup(html)


def preformatted(text: str) -> Any:
    """Text of several lines, escaped, with its line ends. What steers a terminal has to be out of it."""
    from markupsafe import escape

    return escape(text)


@functools.cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("scheduler.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_plain,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"path": _path, "moment": _moment, "by_news": _by_news}
    environment.globals |= {
        "signed": numbers.signed,
        "value_text": numbers.value_text,
        "plain_number": numbers.plain_number,
        "duration": numbers.duration,
        "count": numbers.count,
    }
    return environment


def _plain(value: Any) -> Any:
    """Every expression of a template goes through here, so that none can be forgotten."""
    is_text = isinstance(value, str) and not hasattr(value, "__html__")
    return one_line(value, _TEXT_LIMIT) if is_text else value


def _path(name: str) -> str:
    """A relative address: each part of a path with what an address cannot hold spelled out."""
    # "./" keeps a name with a colon from being read as a scheme.
    return "./" + quote(name, safe="/", errors="surrogateescape")


def _by_news(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Verdicts with their counts, in the order of the tables; a word of a newer version comes last."""
    places: dict[str, int] = {name: place for place, name in enumerate(ORDER)}
    return sorted(counts.items(), key=lambda item: (places.get(item[0], len(places)), item[0]))


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
