"""Where a generated text ends, and what samples are worth by which definitions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainers import generate
from trainers.generate import metrics, samples
from trainers.generate.samples import Sample
from trainers.generate.texts import cleaned, first_stop, is_cut, sentences

OLD = Path(__file__).parents[1] / "data" / "generation"


def sample(raw: str, **more: object) -> Sample:
    fields = {"index": 0, "prompt": "Tell a tale.", "cleaned": cleaned(raw), "finish_reason": "eos", **more}
    return Sample(raw=raw, **fields)


@pytest.mark.parametrize(
    ("text", "sequences", "expected"),
    [
        ("A fox.\n### In", ("\n###", "### In"), ("\n###", 6)),
        ("A fox ran.", ("ox", "ox ran"), ("ox ran", 3)),
        ("A fox ran.", ("ran.", "fox"), ("fox", 2)),
        ("A fox ran.", ("bear",), None),
        ("A fox ran.", (), None),
    ],
)
def test_the_sequence_that_begins_first_stops_a_text_and_the_longest_of_those(
    text: str, sequences: tuple[str, ...], expected: tuple[str, int] | None
) -> None:
    found = first_stop(text, sequences)
    assert (found and (found.sequence, found.place)) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("A fox ran.\n\n### Instruction:\nTell more.", "A fox ran."),
        ("A fox ran.\n\n### Instr", "A fox ran."),
        ("A fox ran.\n###", "A fox ran."),
        (" A fox ran. \n", "A fox ran."),
        ("### Response:\n", ""),
        ("C#\nis a tone.", "C#\nis a tone."),
    ],
)
def test_cleaning_leaves_the_answer_alone(raw: str, expected: str) -> None:
    assert cleaned(raw) == expected


@pytest.mark.parametrize(
    ("text", "number", "is_unfinished"),
    [
        ("A fox ran.", 1, False),
        ("Was it 3.5 miles? Yes!", 2, False),
        ('"Run!" The end', 1, True),
        ("", 0, True),
        ('He said "go."', 1, False),
    ],
)
def test_sentences_and_cut_texts(text: str, number: int, is_unfinished: bool) -> None:
    assert (sentences(text), is_cut(text)) == (number, is_unfinished)


@pytest.mark.parametrize(
    ("raw", "legacy", "fixed"),
    [
        ("A fox ran.", False, False),
        ("A fox ran. " * 4, True, False),
        ("word " * 41, True, False),
        ("word " * 101, True, True),
        ("A fox ran.\n\n### Instruction:\nTell", False, True),
        ("A fox ran.\nUser: more", False, True),
        ("The user: a fox.", False, False),
    ],
)
def test_a_long_tale_is_no_runaway_by_the_fixed_definition(raw: str, legacy: bool, fixed: bool) -> None:
    assert (metrics.is_runaway_legacy(raw), metrics.is_runaway_fixed(raw)) == (legacy, fixed)


def test_rates_come_with_their_counts_and_reasons_sum_to_all_samples() -> None:
    found = metrics.graded(
        [
            sample("A fox ran.", tokens=4, log_p_accept=-0.1, log_p_reject=-3.0),
            sample("A fox ran.\n### Instruction:", finish_reason="length", tokens=9),
            sample("A", finish_reason="stop:\n", tokens=2, log_p_accept=-1.0, log_p_reject=-0.5),
        ],
        metrics.definitions(),
    )
    assert (found["runaway_rate_successes"], found["runaway_rate_n"]) == (1, 3)
    assert found["runaway_rate"] == pytest.approx(1 / 3)
    assert (found["critic_acceptance"], found["critic_acceptance_n"]) == (0.5, 2)
    assert found["leakage_raw_rate_successes"] == 1
    assert found["leakage_cleaned_rate_successes"] == 0
    assert found["median_tokens"] == 4
    reasons = {name: count for name, count in found.items() if name.startswith("finish[")}
    assert reasons == {"finish[eos]": 1, "finish[length]": 1, "finish[stop:\\n]": 1}


def test_samples_without_a_critic_have_no_acceptance() -> None:
    found = metrics.graded([sample("A fox ran.")], metrics.definitions())
    assert not [name for name in found if name.startswith("critic") or "tokens" in name]


def test_flags_name_what_a_reader_has_to_look_at() -> None:
    flags = metrics.flags(sample("A fox\n### Instruction:\nTell", log_p_accept=-2.0, log_p_reject=-0.2))
    assert flags == {
        "flags_raw": ["runaway_fixed", "leakage"],
        "flags_cleaned": ["truncation", "critic_rejects"],
    }


@pytest.mark.parametrize(
    ("iteration", "successes", "number"),
    [("iteration_1", 9, 43), ("iteration_2", 21, 39), ("iteration_3", 14, 30)],
)
def test_old_iterations_can_be_graded_by_their_definition_and_by_the_fixed_one(
    iteration: str, successes: int, number: int
) -> None:
    old = generate.regrade(OLD / iteration, "1")
    assert (old["runaway_rate_successes"], old["runaway_rate_n"]) == (successes, number)
    assert generate.regrade(OLD / iteration, "2")["runaway_rate"] == 0


def test_unknown_definitions_are_refused_with_those_that_are_known() -> None:
    with pytest.raises(metrics.UnknownDefinitionsError, match="there are 1, 2"):
        metrics.definitions("3")


def test_stored_samples_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / samples.FILE_NAME
    written = [sample("Füchse \u2028 ran.\n", tokens=3, log_p_accept=-0.125, log_p_reject=-2.0), sample("")]
    samples.append(path, written, [metrics.flags(each) for each in written])
    assert samples.read(path) == written


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("[1]", "JSON object"),
        ('{"prompt": "p"}', "raw must be a text"),
        ("{", "line 2"),
        (json.dumps({"v": 99, "prompt": "", "raw": "", "cleaned": "", "finish_reason": ""}), "later version"),
    ],
)
def test_a_line_that_is_no_sample_is_named(tmp_path: Path, line: str, named: str) -> None:
    path = tmp_path / "samples.jsonl"
    samples.append(path, [sample("A fox.")], [{}])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(samples.SamplesError, match=named):
        samples.read(path)
