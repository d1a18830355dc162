"""What are samples worth? Rates and figures by versioned definitions, each a pure function of what is stored.

A definition is never changed: a better one gets a version of its own, and old samples can be graded by both.
"""

from __future__ import annotations

import json
import re
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from trainers.generate.formats import DELIMITERS
from trainers.generate.samples import Sample
from trainers.generate.texts import is_cut, sentences

Predicate = Callable[[str], bool]

#: characters and sentences beyond which the first definition called a text a runaway
LEGACY_CHARACTERS, LEGACY_SENTENCES = 200, 3
#: characters beyond which the second one does
FIXED_CHARACTERS = 500
#: margin, nat, from which the critic is taken to be sure
SURE_MARGIN = 1.0

_NEW_INSTRUCTION = re.compile(r"#{2,}\s*Instruction|(?:^|\n)\s*(?:Instruction|Human|User)\s*:")
_SPECIAL_TOKEN = re.compile(r"<\|[^|<>\s]{1,40}\|>")


def is_runaway_legacy(text: str) -> bool:
    """Long, or of many sentences: also every tale that was meant to be long."""
    return len(text) > LEGACY_CHARACTERS or sentences(text) > LEGACY_SENTENCES


def is_runaway_fixed(text: str) -> bool:
    """The model did not stop: it goes on with an instruction of its own, or writes without end."""
    return bool(_NEW_INSTRUCTION.search(text)) or len(text) > FIXED_CHARACTERS


def leaks(text: str) -> bool:
    """A mark of the format shows in the text."""
    return any(delimiter in text for delimiter in DELIMITERS) or bool(_SPECIAL_TOKEN.search(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """What the rates of one version mean."""

    version: str
    #: `runaway_rate`, of the raw text
    runaway: Predicate


#: by version, in the order they came
DEFINITIONS: Mapping[str, Definitions] = {
    "1": Definitions(version="1", runaway=is_runaway_legacy),
    "2": Definitions(version="2", runaway=is_runaway_fixed),
}
LATEST = "2"


class UnknownDefinitionsError(ValueError):
    """There are no definitions of that version."""


def definitions(version: str = LATEST) -> Definitions:
    """The definitions of `version`. Raises UnknownDefinitionsError."""
    if version not in DEFINITIONS:
        raise UnknownDefinitionsError(
            f"no definitions have the version {version!r}; there are {', '.join(DEFINITIONS)}"
        )
    return DEFINITIONS[version]


def graded(samples: Sequence[Sample], by: Definitions) -> dict[str, float]:
    """Every metric of `samples` by name; a rate `x_rate` comes with `x_rate_successes` and `x_rate_n`.

    Metrics that need what the samples lack (tokens, a critic) are left out.
    """
    if not samples:
        return {}
    rates: dict[str, list[bool]] = {
        "runaway_rate": [by.runaway(each.raw) for each in samples],
        "limit_rate": [each.finish_reason == "length" for each in samples],
        "truncation_rate": [is_cut(each.cleaned) for each in samples],
    }
    for name, predicate in (
        ("runaway_legacy", is_runaway_legacy),
        ("runaway_fixed", is_runaway_fixed),
        ("leakage", leaks),
    ):
        rates[f"{name}_raw_rate"] = [predicate(each.raw) for each in samples]
        rates[f"{name}_cleaned_rate"] = [predicate(each.cleaned) for each in samples]
    margins = [margin for each in samples if (margin := each.margin) is not None]
    if margins:
        rates["critic_acceptance"] = [margin > 0 for margin in margins]
        rates["critic_sure_acceptance"] = [margin >= SURE_MARGIN for margin in margins]
    return {
        **{name: figure for rate, cases in rates.items() for name, figure in _rate(rate, cases).items()},
        **_figures(samples, margins),
        **finish_counts(samples),
    }


def finish_counts(samples: Sequence[Sample]) -> dict[str, float]:
    """How many samples ended for which reason, `finish[eos]`; together they are all samples."""
    counted = Counter(each.finish_reason for each in samples)
    return {f"finish[{_printable(reason)}]": float(count) for reason, count in sorted(counted.items())}


def flags(sample: Sample) -> dict[str, list[str]]:
    """What is wrong with the raw and with the cleaned text, by name, for whoever reads the samples."""
    checks = {"runaway_legacy": is_runaway_legacy, "runaway_fixed": is_runaway_fixed, "leakage": leaks}
    found = {
        f"flags_{kind}": [name for name, check in checks.items() if check(text)]
        for kind, text in (("raw", sample.raw), ("cleaned", sample.cleaned))
    }
    if is_cut(sample.cleaned):
        found["flags_cleaned"].append("truncation")
    if (margin := sample.margin) is not None and margin <= 0:
        found["flags_cleaned"].append("critic_rejects")
    return found


def _rate(name: str, cases: Sequence[bool]) -> dict[str, float]:
    return {
        name: sum(cases) / len(cases),
        f"{name}_successes": float(sum(cases)),
        f"{name}_n": float(len(cases)),
    }


def _figures(samples: Sequence[Sample], margins: Sequence[float]) -> dict[str, float]:
    found = {
        "samples": float(len(samples)),
        "median_characters": float(statistics.median(len(each.cleaned) for each in samples)),
    }
    tokens = [each.tokens for each in samples if each.tokens is not None]
    if tokens:
        found |= {
            "median_tokens": float(statistics.median(tokens)),
            "mean_tokens": statistics.fmean(tokens),
            "tokens": float(sum(tokens)),
        }
    if margins:
        found["critic_margin"] = statistics.fmean(margins)
    return found


def _printable(reason: str) -> str:
    """On one line, whatever a stop sequence holds."""
    return json.dumps(reason, ensure_ascii=False)[1:-1]
