"""What is a way of judging? One file here with a frozen dataclass `Options` and a function `judge`.

```python
def judge(sample: Sample, options: Options) -> Judged: ...
```
`Options` checks itself in `__post_init__` and raises ValueError with a line `<option>: <what is wrong>` for
each problem. `judge` is pure: equal samples and options give equal answers, random numbers included. What a
sample cannot answer is said in the answer; UnfitRunsError is for a sample that is not one of this kind.

A way that looks at more than figures names the files of a run that it wants, JSON lines relative to the run's
folder, and finds what they say in `JudgedRun.exhibits`:
```python
EXHIBITS = ("prompts.jsonl", "emergence/steps.jsonl")
```
"""

from __future__ import annotations

import abc
import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scheduler.judging.page import Page

#: shown with every answer of a round
SIDE_LABEL = "A side label: it never decides a verdict."


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What a way of judging says of one config, in a word and a line."""

    config: str
    #: such as WINNER, statistically_significant_improvement, CONFIRMED, PASS_UNPROVEN
    word: str
    #: the figures behind it, on one line
    line: str


class Judged(abc.ABC):
    """The answer of one way of judging. Results subclass it as frozen, slotted, keyword-only dataclasses."""

    __slots__ = ()

    @property
    @abc.abstractmethod
    def way(self) -> str:
        """The name of the way of judging: its file's."""

    @abc.abstractmethod
    def labels(self) -> tuple[Label, ...]:
        """One for each config, in order; what the summary and the terminal show."""

    @abc.abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Every figure, as a JSON object. Non-finite numbers may occur; writing makes them strings."""

    @abc.abstractmethod
    def markdown(self) -> str:
        """The whole answer as one document, ending with a newline."""

    def documents(self) -> Mapping[str, str]:
        """Contents by file name, as its users know them. Names differ between ways of judging."""
        return {f"{self.way}.md": self.markdown(), f"{self.way}.json": as_json_text(self.to_json())}

    def pages(self) -> Mapping[str, Page]:
        """What a person looks at, by file name without `.html`. Names differ between ways of judging."""
        return {}

    @property
    def exit_code(self) -> int:
        """What `schedctl verdict` ends with: 0, unless the way of judging has codes of its own."""
        return 0


def as_json_text(value: Mapping[str, Any]) -> str:
    """Indented JSON with a newline at the end; non-finite numbers are "nan", "inf" and "-inf"."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value
