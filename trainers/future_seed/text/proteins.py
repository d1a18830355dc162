"""How does a protein read as a question: which of its residues, or pairs of them, are asked about?

What is drawn for a protein depends on the protein alone, so that it is the same in every run.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from trainers.future_seed.config import Config
from trainers.future_seed.text.items import Item, UnusableRowError, digest
from trainers.future_seed.text.questions import text_of
from trainers.future_seed.text.sources import Row

#: of the secondary structure as DSSP writes it; whatever else stands for none of them is read as ~
STRUCTURES = "HETSGBIP~"

#: residues of a chain as it stands in the notes of others
NOTE_RESIDUES = 256

NAMES = ("PDB_ID", "name", "id", "protein")


def protein_ss(row: Row, config: Config) -> Item:
    """A chain and the places of some residues; the answer is a structure symbol for each."""
    sequence = _sequence(row)
    structure = "".join(
        letter if letter in STRUCTURES else "~"
        for letter in str(row.get("Secondary_structure", row.get("structure", ""))).strip()
    )
    if len(structure) != len(sequence):
        raise UnusableRowError("as many structure symbols as residues are wanted")
    draw, begin, end = _crop(sequence, config)
    places = sorted(draw.sample(range(begin, end), min(config.queries, end - begin)))
    asked = ",".join(str(place - begin + 1) for place in places)
    return _item(
        row,
        config,
        sequence[begin:end],
        f"Residues: {asked}\nTask: one secondary structure symbol for each of these residues.",
        answer="".join(structure[place] for place in places),
        symbols=tuple(STRUCTURES),
    )


def protein_contact(row: Row, config: Config) -> Item:
    """A chain and pairs of its residues, of which half touch; the answer is a bit for each pair."""
    sequence = _sequence(row)
    draw, begin, end = _crop(sequence, config)
    touching, apart = _pairs(row, config, begin, end)
    half = config.queries // 2
    if len(touching) < half or len(apart) < half:
        raise UnusableRowError(f"fewer than {half} pairs that touch, or that do not")
    pairs = [(pair, "1") for pair in draw.sample(touching, half)]
    pairs += [(pair, "0") for pair in draw.sample(apart, half)]
    draw.shuffle(pairs)
    asked = ",".join(f"{first + 1}-{second + 1}" for (first, second), _ in pairs)
    return _item(
        row,
        config,
        sequence[begin:end],
        f"Pairs: {asked}\nTask: for each pair 1 if the two touch, else 0.",
        answer="".join(bit for _, bit in pairs),
        symbols=("0", "1"),
    )


def _item(row: Row, config: Config, chain: str, asked: str, *, answer: str, symbols: tuple[str, ...]) -> Item:
    stated = f"Sequence:\n{chain}\n{asked}"
    trigger = "\n\nAnswer:\n"
    is_early = config.order == "question_first"
    return Item(
        key=_sequence(row),
        cluster=_protein(row),
        before=f"{stated}\n\nNotes:" if is_early else "Notes:",
        after=trigger if is_early else f"\n\n{stated}{trigger}",
        answer=answer,
        symbols=symbols,
        note=f"\n\nProtein: {chain[:NOTE_RESIDUES]}",
    )


def _sequence(row: Row) -> str:
    return re.sub(r"[^A-Z]", "", text_of(row, "Sequence", "sequence", "seq").upper())


def _protein(row: Row) -> str:
    """Chains of one protein, 1ABC_A and 1ABC_B, belong together; what has no name is itself."""
    if row.get("cluster"):
        return str(row["cluster"])
    name = next((str(row[name]).strip() for name in NAMES if row.get(name)), "")
    return re.split(r"[_:]", name)[0].upper() or _sequence(row)


def _crop(sequence: str, config: Config) -> tuple[random.Random, int, int]:
    """What is drawn for the chain comes from the generator; the part of it that is read."""
    if len(sequence) < config.residues_min:
        raise UnusableRowError(f"fewer than {config.residues_min} residues")
    draw = random.Random(digest(f"protein\0{sequence}"))
    length = min(len(sequence), config.residues_max)
    begin = draw.randrange(len(sequence) - length + 1)
    return draw, begin, begin + length


Pair = tuple[int, int]


def _pairs(row: Row, config: Config, begin: int, end: int) -> tuple[list[Pair], list[Pair]]:
    """Pairs of residues of the part, counted from its begin, that touch and that do not."""
    if (told := row.get("contacts")) is not None:
        touches = np.zeros((end - begin, end - begin), dtype=bool)
        for first, second in told:
            if begin <= min(first, second) and max(first, second) < end:
                touches[min(first, second) - begin, max(first, second) - begin] = True
        known = np.ones(end - begin, dtype=bool)
    else:
        places = _coordinates(row)[begin:end]
        known = np.isfinite(places).all(axis=1) & _valid(row, len(places), begin, end)
        distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
        touches = distances <= config.contact_angstrom
    first, second = np.triu_indices(end - begin, k=config.separation)
    usable = known[first] & known[second]
    first, second = first[usable], second[usable]
    is_touching = touches[first, second]
    pairs = list(zip(first.tolist(), second.tolist(), strict=True))
    return (
        [pair for pair, touching in zip(pairs, is_touching, strict=True) if touching],
        [pair for pair, touching in zip(pairs, is_touching, strict=True) if not touching],
    )


def _coordinates(row: Mapping[str, Any]) -> np.ndarray:
    """float64 [residue, 3], angstrom."""
    try:
        places = np.array(row.get("tertiary"), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UnusableRowError("neither contacts nor three coordinates a residue") from error
    if places.shape != (len(_sequence(row)), 3):
        raise UnusableRowError("neither contacts nor three coordinates a residue")
    return places


def _valid(row: Row, count: int, begin: int, end: int) -> np.ndarray:
    mask = row.get("valid_mask")
    return np.ones(count, dtype=bool) if mask is None else np.array(mask, dtype=bool)[begin:end]
