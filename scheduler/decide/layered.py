"""How does a mapping of thousands change by one entry, and stay a value? Copies share all but the newest."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from math import isqrt
from types import MappingProxyType
from typing import Any, TypeVar, overload

Key = TypeVar("Key")
Value = TypeVar("Value")
Other = TypeVar("Other")

_NOTHING: Mapping[Any, Any] = MappingProxyType({})
#: newest entries that are copied with each change, at least
LEAST_RECENT = 16


class Layered(Mapping[Key, Value]):
    """An immutable mapping in the order of its first entries; `after` gives a changed copy.

    A change copies the square root of the whole, and now and then all of it. Reading is that of a dict.
    """

    __slots__ = ("_base", "_length", "_recent")

    def __init__(
        self, base: Mapping[Key, Value] = _NOTHING, recent: Mapping[Key, Value] = _NOTHING, length: int = -1
    ) -> None:
        """Takes over what it is given: nobody may change it afterwards."""
        self._base = base
        self._recent = recent
        self._length = len(base) if length < 0 else length

    def after(self, key: Key, value: Value) -> Layered[Key, Value]:
        """The mapping with that entry; one that was there keeps its place."""
        return self.having({key: value})

    def having(self, entries: Mapping[Key, Value]) -> Layered[Key, Value]:
        """The mapping with those entries; one that was there keeps its place."""
        length = self._length + sum(key not in self for key in entries)
        recent = {**self._recent, **entries}
        if len(recent) <= LEAST_RECENT + 2 * isqrt(length):
            return Layered(self._base, recent, length)
        return Layered({**self._base, **recent})

    def __getitem__(self, key: Key) -> Value:
        recent = self._recent
        return recent[key] if key in recent else self._base[key]

    @overload
    def get(self, key: Key, /) -> Value | None: ...
    @overload
    def get(self, key: Key, /, default: Value | Other) -> Value | Other: ...
    def get(self, key: Key, /, default: Any = None) -> Any:
        recent = self._recent
        return recent[key] if key in recent else self._base.get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self._recent or key in self._base

    def __iter__(self) -> Iterator[Key]:
        base = self._base
        yield from base
        yield from (key for key in self._recent if key not in base)

    def items(self) -> ItemsView[Key, Value]:
        """Without a look for each key where one dict holds them all."""
        return self._base.items() if not self._recent else super().items()

    def values(self) -> ValuesView[Value]:
        return self._base.values() if not self._recent else super().values()

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"Layered({dict(self)!r})"
