"""What does a language model read where nobody gave it a text? Tales for children, as many as are asked for.

Every tale has ten sentences, one of each row of the grammar, about one hero, one friend, one place and one
thing: what a sentence says depends on what was said before it, so that there is something to learn beyond
spelling. The same seed gives the same tales on every machine.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence

#: raise it with every change that alters a tale
VERSION = 1

#: sentences of a tale
SENTENCES = 10

#: 1 would make all words of a list equally frequent, 2 its first quarter half of its use
SKEW = 1.3


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_HE = ("he", "him", "his")
_SHE = ("she", "her", "her")
_HEROES = tuple(
    (name, *forms)
    for names, forms in (
        ("Tom Ben Sam Max Tim Jack Leo Finn Otto Hugo Oscar Felix", _HE),
        ("Lily Mia Anna Lucy Sue Emma Ella Rosa Nina Ida Clara Greta", _SHE),
    )
    for name in _words(names)
)
_ANIMALS = _words(
    "fox bear rabbit mouse owl hedgehog frog duck cat dog squirrel badger otter goat pony lamb beaver turtle "
    "sparrow goose"
)
_PLACES = _words(
    "forest valley village garden meadow castle cottage farm mill harbour mountain cave town orchard "
    "lighthouse palace"
)
_THINGS = _words(
    "key box lantern map bell book drum kite crown ring shell coin letter basket hat mirror feather whistle "
    "button scarf"
)
_COLOURS = _words("red blue green yellow white black brown golden silver purple pink grey")
_LOOKS = _words(
    "little small big tall round tiny young quick clever brave shy lazy funny gentle proud noisy grumpy"
)
_KINDS = _words("dark quiet sunny lovely distant hidden famous pretty narrow peaceful faraway")
_WEATHERS = _words("warm cold rainy windy snowy foggy bright cloudy stormy frosty")
_TIMES = _words("morning evening afternoon day night summer winter autumn spring")
_GAMES = _words("play sing dance swim climb run jump read paint cook fish draw sleep skate dig whisper")
_SPOTS = _words(
    "tree bridge stone bench rock bush fence roof ladder barn wall gate well chair table stairs log "
    "hedge puddle pond"
)
_WANTS = _words("open keep carry share hide sell wash mend wear lift shake touch")
_FEELINGS = _words(
    "happy sad tired hungry afraid angry curious excited lonely thirsty worried surprised glad cheerful "
    "nervous sleepy"
)
_CALLS = _words("Oh Look Help Hello Wait Stop Goodness Hooray Listen Please")
_SAYINGS = _words("said cried shouted asked whispered laughed called answered")
_WAYS = _words("slowly quickly softly loudly happily carefully bravely kindly sadly proudly gently suddenly")
_MOVES = _words("walked ran jumped crept climbed flew swam rolled hurried danced marched wandered")
_DANGERS = _words("wolf giant witch dragon storm flood thief ghost troll snake spider monster")
_HARMS = _words("broke stole dropped lost hid burned buried swallowed")
_HELPERS = _words(
    "mother father grandmother grandfather brother sister uncle aunt teacher farmer baker king queen sailor "
    "doctor neighbour postman gardener"
)
_FOODS = _words(
    "bread cheese apples honey soup cake berries nuts milk pears cookies carrots butter jam plums pancakes "
    "porridge cherries"
)
_TREATS = _words("apples berries nuts pears cookies carrots plums pancakes cherries")
_NUMBERS = _words("two three four five six seven eight nine ten twenty")
_GIFTS = _words("song story secret kiss blanket cup flower ribbon candle toy ball coat spoon pillow hammer")
_LESSONS = _words("share help listen wait forgive try trust learn smile rest work thank")
_SKIES = _words("moon sun stars wind rain clouds snow river sea fire")

#: a row for each sentence: forms with what is drawn for their numbered gaps. The named ones are the tale's
_Form = tuple[str, tuple[Sequence[str], ...]]
_GRAMMAR: tuple[tuple[_Form, ...], ...] = (
    (
        (
            "Once upon a time there was a {0} {animal} named {name} who lived in a {1} {place}.",
            (_LOOKS, _KINDS),
        ),
        ("Long ago, in a {1} {place}, there lived a {0} {animal} whose name was {name}.", (_LOOKS, _KINDS)),
    ),
    (
        ("{name} liked to {0} and to {1} with {his} friend {friend}, the {other}.", (_GAMES, _GAMES)),
        ("Every {0} {he} would {1} near the {place} with {friend} the {other}.", (_TIMES, _GAMES)),
    ),
    (
        ("One {0} {1}, {name} found a {colour} {thing} behind the {2}.", (_WEATHERS, _TIMES, _SPOTS)),
        ("On a {0} {1} {friend} showed {him} a {colour} {thing} under the {2}.", (_WEATHERS, _TIMES, _SPOTS)),
    ),
    (
        ('"{0}! I want to {1} this {thing}," {2} {name}.', (_CALLS, _WANTS, _SAYINGS)),
        ('"{0}! May we {1} the {colour} {thing}?" {2} {friend}.', (_CALLS, _WANTS, _SAYINGS)),
    ),
    (
        ("The {animal} was very {0}, but the {other} was {1}.", (_FEELINGS, _FEELINGS)),
        ("It made {him} {0}, and {friend} became a little {1}.", (_FEELINGS, _FEELINGS)),
    ),
    (
        ("So they {0} {1} over the {2} until they came to the {3}.", (_MOVES, _WAYS, _SPOTS, _SPOTS)),
        ("Then they {0} {1} for {2} hours, and the {3} followed them.", (_MOVES, _WAYS, _NUMBERS, _SKIES)),
    ),
    (
        ("There a {0} {danger} {1} the {thing} and {2} away.", (_LOOKS, _HARMS, _MOVES)),
        ("But a {0} {danger} came out of the {place} and {1} their {thing}.", (_LOOKS, _HARMS)),
    ),
    (
        ('"{0}! Do not be {1}," {2} the {danger} to {name}.', (_CALLS, _FEELINGS, _SAYINGS)),
        ("{name} {0} {1} to {his} {2}, who knew the {danger} well.", (_MOVES, _WAYS, _HELPERS)),
    ),
    (
        (
            "They gave the {danger} some {0} and {1}, and it brought the {colour} {thing} back.",
            (_FOODS, _FOODS),
        ),
        (
            "For {0} {1} and a {2} the {danger} gave them the {colour} {thing} again.",
            (_NUMBERS, _TREATS, _GIFTS),
        ),
    ),
    (
        (
            "From that {0} on, {name} and {friend} were never {1}, and they learned to {2}.",
            (_TIMES, _FEELINGS, _LESSONS),
        ),
        (
            "That night the {0} looked down on the {place}, and {name} knew it is good to {1}.",
            (_SKIES, _LESSONS),
        ),
    ),
)


def tales(seed: int) -> Iterator[str]:
    """Endless tales, each one line without its end."""
    draw = random.Random(seed).random
    while True:
        yield _tale(draw)


def tales_of_size(seed: int, size: int) -> list[str]:
    """The first tales of `seed` that together have at least `size` characters, their line ends included."""
    found, length = [], 0
    for tale in tales(seed):
        found.append(tale)
        length += len(tale) + 1
        if length >= size:
            return found
    raise AssertionError("tales never end")


def vocabulary() -> frozenset[str]:
    """Every word that a tale may have, in lower case."""
    drawn = (words for row in _GRAMMAR for _, gaps in row for words in gaps)
    of_the_tale = (
        _ANIMALS,
        _PLACES,
        _THINGS,
        _COLOURS,
        _DANGERS,
        [word for hero in _HEROES for word in hero],
    )
    forms = (re.sub(r"{\w+}", " ", form) for row in _GRAMMAR for form, _ in row)
    texts = (" ".join(words) for words in (*drawn, *of_the_tale, forms))
    return frozenset(re.findall(r"[a-z]+", " ".join(texts).lower()))


def _tale(draw: Callable[[], float]) -> str:
    place = int(draw() * len(_HEROES))
    name, he, him, his = _HEROES[place]
    # anybody but the hero
    friend = _HEROES[place - 1 - int(draw() * (len(_HEROES) - 1))][0]
    known = {
        "name": name,
        "he": he,
        "him": him,
        "his": his,
        "animal": _one(draw, _ANIMALS),
        "friend": friend,
        "other": _one(draw, _ANIMALS),
        "place": _one(draw, _PLACES),
        "thing": _one(draw, _THINGS),
        "colour": _one(draw, _COLOURS),
        "danger": _one(draw, _DANGERS),
    }
    sentences = []
    for row in _GRAMMAR:
        form, gaps = row[int(draw() * len(row))]
        sentences.append(form.format(*[_one(draw, words) for words in gaps], **known))
    return " ".join(sentences)


def _one(draw: Callable[[], float], words: Sequence[str]) -> str:
    """One of `words`; as in any text the first ones come up more often."""
    return words[int(draw() ** SKEW * len(words))]
