"""Is the table of faults made from the markers of the tests, one line a promise, and always the same?"""

from __future__ import annotations

from pathlib import Path

import pytest
from fault_matrix import Promise, Proof, main, promised, proofs_in, text_of


def lines(proofs: dict[Promise, set[Proof]]) -> list[str]:
    text = text_of(proofs)
    return text[text.index("|---") :].splitlines()[1:]


def test_a_promise_is_one_line_with_every_test_that_proves_it() -> None:
    promise = promised("a full disk", moment="at a record", outcome="the queue pauses")
    proofs = {promise: {Proof("torture/test_disk.py", "test_b"), Proof("acceptance/test_disk.py", "test_a")}}
    assert lines(proofs) == [
        "| a full disk | at a record | the queue pauses |"
        " [test_disk.py::test_a](../tests/acceptance/test_disk.py)<br>"
        "[test_disk.py::test_b](../tests/torture/test_disk.py)\\* |"
    ]


def test_the_lines_are_in_order_and_a_fault_is_named_once() -> None:
    proof = {Proof("unit/test_x.py", "test_x")}
    kill, cut = "kill -9 of the daemon", "a power cut"
    told = [(kill, "later", "same"), (cut, "ever", "same"), (kill, "early", "same")]
    columns = [line.split(" | ")[:2] for line in lines({promised(*each): proof for each in told})]
    assert columns == [["| a power cut", "ever"], ["| kill -9 of the daemon", "early"], ["| ", "later"]]


def test_what_would_break_the_table_is_written_so_that_it_does_not() -> None:
    assert promised("a\n  b", moment="x|y", outcome="z") == Promise("a b", "x\\|y", "z")


def test_a_marker_that_leaves_something_out_is_refused() -> None:
    with pytest.raises(TypeError, match="outcome"):
        promised("a fault", moment="at any time")  # type: ignore[call-arg]


@pytest.mark.parametrize("words", ['"a fault", moment="at any time"', "FAULT, moment='m', outcome='o'"])
def test_a_marker_that_is_not_wholly_written_out_is_told_with_its_line(tmp_path: Path, words: str) -> None:
    file = tmp_path / "test_it.py"
    file.write_text(f"import pytest\n\n@pytest.mark.fault({words})\ndef test_it(): ...\n")
    with pytest.raises(SystemExit, match=r"test_it\.py:3: "):
        proofs_in([file])


def test_the_page_is_as_the_tests_tell_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Where it is not: `make fault-matrix`."""
    assert main("--check") == 0, capsys.readouterr().err
