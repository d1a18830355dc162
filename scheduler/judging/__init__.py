"""Which ways of judging are there, and how is one asked? Each is one file here, found by its name.

They read the same evidence a round's verdicts rest on, and give labels their users know. None of them is a
gate: a policy never sees what they say.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from typing import Any

from scheduler.judging.evidence import Sample
from scheduler.judging.protocol import Judged

#: files here that are no way of judging; neither are those that start with `_`
_FOUNDATIONS = frozenset({"alignment", "evidence", "foreign", "foreign_runs", "page", "protocol"})


@functools.cache
def way_names() -> tuple[str, ...]:
    """Every way of judging by the name of its file, sorted."""
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in modules if not name.startswith("_") and name not in _FOUNDATIONS))


def option_names(way: str) -> tuple[str, ...]:
    """The options of `way`, in the order of its file."""
    return tuple(f.name for f in dataclasses.fields(_module(way).Options))


def exhibit_names(ways: Iterable[str]) -> tuple[str, ...]:
    """The files of a run that `ways` look at beside its figures, relative to the run's folder."""
    known = [way for way in ways if way in way_names()]
    return tuple(dict.fromkeys(name for way in known for name in getattr(_module(way), "EXHIBITS", ())))


def make_options(way: str, options: Mapping[str, Any]) -> Any:
    """The `Options` of `way`. Raises ValueError with every problem, a line each, as `option: message`."""
    options_type = _module(way).Options
    known = option_names(way)
    problems = [f"{key}: unknown option{_nearest(key, known)}" for key in options if key not in known]
    try:
        made = options_type(**{key: value for key, value in options.items() if key in known})
    except ValueError as error:
        problems += str(error).splitlines()
    if problems:
        raise ValueError("\n".join(problems))
    return made


def judged(way: str, sample: Sample, options: Mapping[str, Any]) -> Judged:
    """The answer of `way` about `sample`. Raises ValueError for options it does not take."""
    answer: Judged = _module(way).judge(sample, make_options(way, options))
    return answer


def _module(way: str) -> Any:
    if way not in way_names():
        raise ValueError(f"no way of judging is called {way!r}{_nearest(way, way_names())}")
    return importlib.import_module(f"{__name__}.{way}")


def _nearest(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"
