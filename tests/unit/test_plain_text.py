"""Can a text from a spec or a program steer the terminal that shows it?"""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.effects.plain_text import plain_line, plain_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("RUN task=sudoku4 cfg=scalar_l1", "RUN task=sudoku4 cfg=scalar_l1"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\x9b2Jb", "ab"),
        ("a\x1bcb", "ab"),
        ("safe\u202egnp.exe", "safegnp.exe"),
        ("two\nlines\r\nand\ttab", "two lines and tab"),
        ("nul\x00bell\x07back\x08", "nulbellback"),
        ("\x1b[", ""),
        ("bad \udcff name", "bad \\udcff name"),
        ("Gr\u00fc\u00dfe \u4f60\u597d", "Gr\u00fc\u00dfe \u4f60\u597d"),
    ],
)
def test_a_line_shows_letters_only(text: str, shown: str) -> None:
    assert plain_line(text) == shown


@given(st.text())
def test_no_control_character_is_ever_shown(text: str) -> None:
    assert not any(unicodedata.category(letter) in ("Cc", "Zl", "Zp", "Cs") for letter in plain_line(text))


def test_lines_and_indentation_are_kept() -> None:
    assert plain_text("two problems:\n  tasks[0].bsz: \x1b[1mtoo large\n\n  x\n\n") == (
        "two problems:\n  tasks[0].bsz: too large\n\n  x\n"
    )
