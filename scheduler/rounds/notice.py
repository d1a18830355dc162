"""What is a person told who is away, and where? Kinds of notices, and the addresses that they go to.

An address is a secret: whoever knows it may write there, and often read. It is shown nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args
from urllib.parse import unquote

NoticeKind = Literal[
    "round_finished", "task_parked", "gpu_dirty", "disk_low", "daemon_restarted", "winner_found"
]
NOTICE_KINDS: tuple[NoticeKind, ...] = get_args(NoticeKind)

#: an address that starts with it is the name of an environment variable that holds addresses
FROM_ENVIRONMENT = "env:"
#: what stands where something secret was
HIDDEN = "***"

_ADDRESS = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|[A-Za-z][A-Za-z0-9+.-]*://\S+")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SEPARATORS = re.compile(r"[\s/@:?&=,;#]+")
#: shorter parts of an address hide nothing, and stand in any text
_SHORTEST_SECRET = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing that a person wants to know at once."""

    kind: NoticeKind
    #: one line
    title: str
    #: a few lines
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifySettings:
    """The table `[notify]` of roundhouse.toml."""

    #: as apprise writes them, or "env:NAME"; never shown
    urls: tuple[str, ...] = field(default=(), repr=False)
    on: tuple[NoticeKind, ...] = NOTICE_KINDS

    @property
    def has_literal_urls(self) -> bool:
        """Whether the settings themselves hold something secret."""
        return any(not url.startswith(FROM_ENVIRONMENT) for url in self.urls)


def is_address(text: str) -> bool:
    """Whether `text` looks like an address; whether it is one is for apprise to say."""
    return _ADDRESS.fullmatch(text) is not None


def resolved(urls: Sequence[str], environment: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The addresses, those in variables of the environment too; and the variables that hold none."""
    found: list[str] = []
    missing: list[str] = []
    for url in urls:
        if not url.startswith(FROM_ENVIRONMENT):
            found.append(url)
            continue
        name = url.removeprefix(FROM_ENVIRONMENT)
        held = environment.get(name, "").split()
        found += held
        missing += [] if held else [name]
    return tuple(found), tuple(missing)


def shown(url: str) -> str:
    """An address as it may be shown: only where it leads to, `discord://***`."""
    if url.startswith(FROM_ENVIRONMENT):
        return url
    scheme = _SCHEME.match(url)
    return f"{scheme[1] if scheme else ''}://{HIDDEN}"


def without_addresses(text: str, urls: Sequence[str]) -> str:
    """`text` with nothing in it that is part of an address, encoded or not."""
    secrets: set[str] = set()
    for url in urls:
        rest = _SCHEME.sub("", url, count=1)
        parts = {url, rest, unquote(rest), *_SEPARATORS.split(rest), *_SEPARATORS.split(unquote(rest))}
        secrets |= {part for part in parts if len(part) >= _SHORTEST_SECRET}
    for secret in sorted(secrets, key=lambda part: (-len(part), part)):
        text = text.replace(secret, HIDDEN)
    return text
