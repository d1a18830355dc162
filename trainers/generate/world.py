"""What does the built-in base model read? Tales, instructions with responses, and responses that were judged.

A small world of children's tales with its own grammar. Everything is drawn from a seeded generator, and whom
a prompt is about (animal and thing) is held out of training for one pair in ten.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from trainers.generate.formats import critic_line, instruction_block

#: of everything drawn here: raise it with every change that alters a text
WORLD_VERSION = 1

#: shares of the characters that the base model reads
TALES, BLOCKS, CRITIC = 0.15, 0.45, 0.40
#: after a block, the chance that another one follows in the same document; where none does, the text ends
ANOTHER_BLOCK = 0.66


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ANIMALS = _words(
    "fox rabbit bear mouse owl duck frog cat dog hen"
    " pig horse goat lamb squirrel hedgehog turtle bee crow deer"
)
THINGS = _words(
    "kite ball boat drum lamp hat key bell book cup cake apple rope map box coin shell flower stone balloon"
)
ADJECTIVES = _words("small brave shy clever sleepy happy lonely curious old gentle")
PLACES = _words("forest garden river meadow hill barn village lake bridge market")
COLOURS = _words("red blue green yellow silver golden")
FEELINGS = _words("glad proud warm calm merry surprised")
FRIENDS = _words("sister brother mother father neighbour friend")
_ASKS = (
    "Write a story about a {adjective} {animal} and a {thing}.",
    "Tell a tale of a {adjective} {animal} who finds a {thing}.",
    "Tell me about a {adjective} {animal} that wants a {thing}.",
    "Write a few lines about a {thing} and a {adjective} {animal}.",
)
_BEGINNINGS = (
    "One day a {adjective} {animal} went to the {place}.",
    "Once there was a {adjective} {animal} near the {place}.",
    "A {adjective} {animal} lived by the {place}.",
)
_MIDDLES = (
    "The {animal} found a {colour} {thing} under a tree.",
    "There the {animal} saw a {thing} in the grass.",
    "A {friend} gave the {animal} a {colour} {thing}.",
)
_ENDS = (
    "The {animal} was very {feeling} and took the {thing} home.",
    "So the {animal} and the {friend} played with the {thing} all day.",
    "That night the {animal} slept beside the {thing}.",
)
_MORE = (
    "It began to rain, and the {animal} ran to the {place}.",
    "The {friend} laughed and sang a song.",
    "The wind blew over the {place} and the leaves fell down.",
    "They ate bread and honey by the {place}.",
)
#: share of the responses in blocks without their last sentence: what is written after them is no better
UNFINISHED = 0.22
#: share of the spoilt responses that are about somebody else, which a model of this size cannot tell: it
#: bounds the critic's AUC at 1 - ASTRAY / 2
ASTRAY = 0.12
#: one pair of animal and thing in so many is never read, only asked for
_HELD_OUT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whom and what a text is about."""

    animal: str
    thing: str
    adjective: str

    @property
    def is_held_out(self) -> bool:
        """Whether the base model never reads of this pair."""
        return (7 * ANIMALS.index(self.animal) + THINGS.index(self.thing)) % _HELD_OUT == 0


def subjects(draw: random.Random, *, held_out: bool) -> Iterator[Subject]:
    """Subjects without end, all held out of training or none."""
    while True:
        subject = Subject(
            animal=draw.choice(ANIMALS), thing=draw.choice(THINGS), adjective=draw.choice(ADJECTIVES)
        )
        if subject.is_held_out == held_out:
            yield subject


def instruction_for(subject: Subject, draw: random.Random) -> str:
    """One sentence that asks for a tale."""
    ask = draw.choice(_ASKS)
    return _in_words(ask, {"animal": subject.animal, "thing": subject.thing, "adjective": subject.adjective})


def tale(subject: Subject, draw: random.Random, *, more: int = 0) -> list[str]:
    """Sentences of a tale: a beginning, a middle, an end, and up to `more` in between."""
    words = {
        "animal": subject.animal,
        "thing": subject.thing,
        "adjective": subject.adjective,
        "place": draw.choice(PLACES),
        "colour": draw.choice(COLOURS),
        "feeling": draw.choice(FEELINGS),
        "friend": draw.choice(FRIENDS),
    }
    patterns = [draw.choice(_BEGINNINGS), draw.choice(_MIDDLES)]
    patterns += [draw.choice(_MORE) for _ in range(draw.randint(0, more))]
    patterns.append(draw.choice(_ENDS))
    return [_in_words(pattern, words) for pattern in patterns]


def response_for(subject: Subject, draw: random.Random) -> str:
    """A response that does what was asked: two or three sentences."""
    sentences = tale(subject, draw)
    if draw.random() < 0.25:
        del sentences[0]
    return " ".join(sentences)


def unfinished(response: str) -> str:
    """The response without its last sentence."""
    return " ".join(re.findall(r"[^.]*\.", response)[:-1]).replace("  ", " ").strip()


def spoilt(subject: Subject, draw: random.Random) -> str:
    """A response that a critic should reject: of somebody else, cut off, in disorder, or in circles."""
    if draw.random() < ASTRAY:
        other = next(each for each in subjects(draw, held_out=False) if each.animal != subject.animal)
        return response_for(other, draw)
    match draw.randrange(4):
        case 0:
            return unfinished(response_for(subject, draw))
        case 1:
            words = response_for(subject, draw).split()
            return " ".join(words[: draw.randint(len(words) // 3, len(words) - 2)])
        case 2:
            words = response_for(subject, draw).split()
            draw.shuffle(words)
            return " ".join(words)
        case _:
            sentence = tale(subject, draw)[0]
            return " ".join([sentence] * draw.randint(2, 3))


def critic_case(draw: random.Random, *, held_out: bool) -> tuple[str, str, bool]:
    """An instruction, a response, and whether the response is a good one; both kinds are as likely."""
    subject = next(subjects(draw, held_out=held_out))
    instruction = instruction_for(subject, draw)
    is_good = draw.random() < 0.5
    return instruction, response_for(subject, draw) if is_good else spoilt(subject, draw), is_good


def documents(seed: int) -> Iterator[str]:
    """Training documents without end, by characters in the shares TALES, BLOCKS and CRITIC."""
    draw = random.Random(f"world {WORLD_VERSION} {seed}")
    kinds = {_tale_document: TALES, _block_document: BLOCKS, _critic_document: CRITIC}
    read = dict.fromkeys(kinds, 0)
    while True:
        kind = min(kinds, key=lambda kind: read[kind] / kinds[kind])
        text = kind(draw)
        read[kind] += len(text)
        yield text


def prompts(count: int) -> tuple[str, ...]:
    """The built-in prompt set: distinct instructions about what the base model never read of."""
    draw = random.Random(f"prompts {WORLD_VERSION}")
    found: dict[str, None] = {}
    for subject in subjects(draw, held_out=True):
        if len(found) == count:
            break
        found[instruction_for(subject, draw)] = None
    return tuple(found)


def _in_words(pattern: str, words: Mapping[str, str]) -> str:
    return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", pattern.format(**words))


def _tale_document(draw: random.Random) -> str:
    return " ".join(tale(next(subjects(draw, held_out=False)), draw, more=4))


def _block_document(draw: random.Random) -> str:
    blocks = []
    for subject in subjects(draw, held_out=False):
        response = response_for(subject, draw)
        if draw.random() < UNFINISHED:
            response = unfinished(response)
        blocks.append(instruction_block(instruction_for(subject, draw), response))
        if draw.random() >= ANOTHER_BLOCK:
            break
    return "".join(blocks)


def _critic_document(draw: random.Random) -> str:
    instruction, response, is_good = critic_case(draw, held_out=False)
    return critic_line(instruction, response, is_good=is_good)
