"""How can a large mapping grow by one entry without being copied, and leave its older self as it was?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Layers(Generic[V]):
    """A mapping by name that is never changed; `having` gives a larger one that shares most of it.

    Layers at least halve in size from the first to the last, so that n entries need log n of them, and an
    entry is copied log n times in all.
    """

    #: largest and oldest first; a later one covers what an earlier one says of the same name
    parts: tuple[Mapping[str, V], ...] = ()

    def get(self, name: str) -> V | None:
        """What is known by that name."""
        for part in reversed(self.parts):
            if name in part:
                return part[name]
        return None

    def having(self, entries: Mapping[str, V]) -> Layers[V]:
        """The mapping with `entries` in it, in place of those of the same names."""
        parts, last = list(self.parts), dict(entries)
        while parts and len(parts[-1]) < 2 * len(last):
            last = {**parts.pop(), **last}
        return Layers((*parts, last)) if last else self

    def names(self) -> Iterator[str]:
        """Every name, once."""
        yield from set().union(*self.parts)

    def items(self) -> Iterator[tuple[str, V]]:
        """Every entry, once."""
        entries: dict[str, V] = {}
        for part in self.parts:
            entries.update(part)
        yield from entries.items()
