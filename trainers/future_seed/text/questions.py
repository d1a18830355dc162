"""How does a row of each language task read as a question and its answer?

Rows may look as in the published data sets (ai2_arc, hotpot_qa, mbpp, squad, wikitext), or like them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from trainers.future_seed.text.items import Item, Paragraph, UnusableRowError, digest, words
from trainers.future_seed.text.sources import Row

#: of the options of a question, in their order
LETTERS = "ABCDEFGH"

#: what a noisy transcript has lost
PUNCTUATION = frozenset(".,;:!?\"()[]{}'’“”")


def text_of(row: Mapping[str, Any], *names: str) -> str:
    """The first of the fields `names` that holds text."""
    for name in names:
        value = row.get(name)
        if isinstance(value, str) and value.strip():
            return value.replace("\r\n", "\n").replace("\r", " ").strip()
    raise UnusableRowError(f"no text in the field {' or '.join(names)}")


def arc_mc(row: Row, order: str | None) -> Item:
    """Options and question in either order; the answer is a letter."""
    question = text_of(row, "question")
    options, labels = _options(row.get("choices", row.get("options")))
    answer = str(row.get("answerKey", row.get("answer", ""))).strip()
    if answer not in labels:
        raise UnusableRowError("the answer is none of the options")
    listed = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))
    asked = [f"Question: {question}", f"Options:\n{listed}"]
    if order == "options_first":
        asked.reverse()
    return Item(
        key=words(f"{question} {listed}"),
        cluster=words(question),
        before="\n\n".join(asked),
        after="\n\nAnswer: ",
        answer=LETTERS[labels.index(answer)],
        symbols=tuple(LETTERS[: len(options)]),
    )


def _options(found: Any) -> tuple[list[str], list[str]]:
    """The options' texts and labels, which are A, B, C where nothing else is said."""
    labels = list(LETTERS)
    if isinstance(found, Mapping):
        labels, found = [str(label) for label in found.get("label", labels)], found.get("text")
    if not isinstance(found, list) or not 2 <= len(found) <= len(LETTERS):
        raise UnusableRowError(f"not between 2 and {len(LETTERS)} options")
    return [str(option).strip() for option in found], labels[: len(found)]


def hotpot(row: Row, order: str | None) -> Item:
    """A question about two of many paragraphs. Those that it does not need go first when there is no room."""
    question, answer = text_of(row, "question"), text_of(row, "answer")
    needed = _titles(row.get("supporting_facts"))
    paragraphs = tuple(
        Paragraph(text=f"{title}: {body}\n", is_needed=not needed or title in needed)
        for title, body in _paragraphs(row.get("context"))
    )
    if not paragraphs:
        raise UnusableRowError("no context")
    return _question(question, paragraphs, answer, order, cluster=words(question))


def squad(row: Row, order: str | None) -> Item:
    """A question about a paragraph that holds its answer."""
    question, context = text_of(row, "question"), text_of(row, "context")
    answers = row.get("answers")
    texts = answers.get("text") if isinstance(answers, Mapping) else answers
    answer = texts[0] if isinstance(texts, list) and texts else row.get("answer")
    if not isinstance(answer, str) or not answer.strip():
        raise UnusableRowError("no answer")
    document = row.get("title")
    cluster = words(str(document)) if document else digest(context)
    return _question(question, (Paragraph(text=f"{context}\n"),), answer.strip(), order, cluster=cluster)


def _question(
    question: str, paragraphs: tuple[Paragraph, ...], answer: str, order: str | None, *, cluster: str
) -> Item:
    asked = f"Question: {question}\n"
    is_first = order == "question_first"
    context = digest("".join(paragraph.text for paragraph in paragraphs))
    return Item(
        key=f"{words(question)}\0{context}",
        cluster=cluster,
        before=f"{asked}\nContext:\n" if is_first else "Context:\n",
        paragraphs=paragraphs,
        after="\nAnswer: " if is_first else f"\n{asked}Answer: ",
        answer=answer,
    )


def _titles(found: Any) -> frozenset[str]:
    """Of the paragraphs that are needed, in either published form."""
    if isinstance(found, Mapping):
        return frozenset(map(str, found.get("title", ())))
    return frozenset(str(fact[0]) for fact in found or () if isinstance(fact, list) and fact)


def _paragraphs(found: Any) -> list[tuple[str, str]]:
    """(title, text), in either published form."""
    pairs: Any = found or ()
    if isinstance(found, Mapping):
        pairs = zip(found.get("title", ()), found.get("sentences", ()), strict=False)
    paragraphs = []
    for title, sentences in pairs:
        body = " ".join(sentences) if isinstance(sentences, list) else str(sentences)
        paragraphs.append((str(title).strip(), re.sub(r"\s+", " ", body).strip()))
    return paragraphs


def mbpp(row: Row, order: str | None) -> Item:
    """A problem and its tests; the answer is a program. They stand early, the trigger at the very end."""
    problem, code = text_of(row, "text", "prompt", "description"), text_of(row, "code", "canonical_solution")
    tests = row.get("test_list", row.get("tests"))
    if not isinstance(tests, list) or not all(isinstance(test, str) for test in tests) or not tests:
        raise UnusableRowError("no list of tests")
    stated = f"Problem: {problem}\nTests:\n" + "\n".join(test.strip() for test in tests)
    trigger = "\n\nPython solution:\n"
    is_early = order == "question_first"
    return Item(
        key=words(problem),
        cluster=words(problem),
        before=f"{stated}\n\nNotes:" if is_early else "Notes:",
        after=trigger if is_early else f"\n\n{stated}{trigger}",
        answer=code,
        note=f"\n\n{stated}",
        checks={"setup": _setup(row), "tests": tests},
    )


def _setup(row: Row) -> str:
    """What the tests need before the solution."""
    imports = row.get("test_imports")
    lines = [line for line in imports if isinstance(line, str)] if isinstance(imports, list) else []
    setup = row.get("test_setup_code")
    return "\n".join([*lines, setup if isinstance(setup, str) else ""]).strip()


def punc_restore(row: Row, characters: tuple[int, int]) -> Item:
    """A transcript without punctuation and casing, at the end of unrelated notes."""
    clean = re.sub(r"\s+", " ", text_of(row, "text", "sentence"))
    noisy = " ".join("".join(" " if letter in PUNCTUATION else letter.lower() for letter in clean).split())
    if not characters[0] <= len(clean) <= characters[1]:
        raise UnusableRowError(f"not between {characters[0]} and {characters[1]} characters")
    if noisy == clean:
        raise UnusableRowError("no punctuation and no capital letter")
    return Item(
        key=words(clean),
        cluster=words(str(row.get("document") or row.get("title") or clean)),
        before="Background notes:",
        after=f"\n\nNoisy transcript:\n{noisy}\n\nTask: restore punctuation and casing.\nAnswer: ",
        answer=clean,
        note=f"\n{clean}",
        forbidden=words(clean),
    )


def retrieval_embedding(row: Row) -> Item:
    """A question and the document that answers it: `answer` is the document."""
    question = text_of(row, "question")
    context = row.get("context")
    if not isinstance(context, str):
        context = "\n\n".join(f"{title}: {body}" for title, body in _paragraphs(context))
    if not context.strip():
        raise UnusableRowError("no context")
    return Item(
        key=words(question),
        cluster=digest(context.strip()),
        before=f"Question: {question}",
        after="",
        answer=context.strip(),
    )
