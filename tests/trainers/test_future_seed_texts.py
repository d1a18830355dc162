"""Do rows become the questions that their task promises, and do training and evaluation share none?"""

from __future__ import annotations

import json
import random
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from text_fixtures import FOLDER, TASKS, config_of

from trainers import _sandbox
from trainers.contract import DataError
from trainers.future_seed import Config, examples, fingerprint
from trainers.future_seed.text import sources
from trainers.future_seed.text.building import TextSet, item_of, text_sets
from trainers.future_seed.text.items import words
from trainers.future_seed.text.sources import UnreachableError, read_rows
from trainers.future_seed.text.tokens import END, Tokenizer, tokenizer


def rows_of(task: str) -> list[dict[str, Any]]:
    return list(read_rows(str(FOLDER / TASKS[task][0])))


def sets(tmp_path: Path, task: str, n_eval: int | None = None, **changes: Any) -> tuple[TextSet, TextSet]:
    return text_sets(config_of(task, **changes), n_eval, tmp_path)


def text(tokens: np.ndarray) -> str:
    return tokenizer("bytes").decode(token for token in tokens.tolist() if token != END)


def texts(side: TextSet) -> list[tuple[str, str]]:
    return [(text(side.prompt(example)), text(side.answer(example))) for example in range(len(side))]


@pytest.mark.parametrize("task", TASKS)
def test_training_and_evaluation_share_neither_question_nor_cluster(tmp_path: Path, task: str) -> None:
    train, evaluation = sets(tmp_path, task)
    assert len(train) > len(evaluation) > 1
    items = {item.key: item for item in (item_of(row, config_of(task)) for row in rows_of(task))}
    assert len(train) + len(evaluation) == len(items)
    answered = {item.answer: item.cluster for item in items.values()}
    if task in ("mbpp", "punc_restore", "protein_ss"):  # where an answer tells its item
        sides = [{answered[answer] for _, answer in texts(side)} for side in (train, evaluation)]
        assert not sides[0] & sides[1]
    assert not {prompt for prompt, _ in texts(train)} & {prompt for prompt, _ in texts(evaluation)}


def test_chains_of_one_protein_are_on_one_side_and_in_one_cluster(tmp_path: Path) -> None:
    chains = [item_of(row, config_of("protein_ss")) for row in rows_of("protein_ss")]
    assert chains[0].cluster == chains[1].cluster == "1FXT"
    train, evaluation = sets(tmp_path, "protein_ss")
    assert len(np.unique(train.clusters)) < len(train)
    assert len(train) + len(evaluation) == len(chains)


@pytest.mark.parametrize("order", ["options_first", "question_first"])
def test_options_and_question_stand_in_the_order_that_is_asked_for(order: str) -> None:
    item = item_of(rows_of("arc_mc")[0], config_of("arc_mc", order=order))
    assert (item.before.index("Options:") < item.before.index("Question:")) == (order == "options_first")
    assert item.after == "\n\nAnswer: "
    assert f"{item.answer}. thermometer" in item.before
    assert item.symbols == ("A", "B", "C", "D")


def test_hotpot_drops_what_it_does_not_need_before_it_gives_up(tmp_path: Path) -> None:
    (short, _), (long, _) = (sets(tmp_path, "hotpot", prompt_tokens_max=size) for size in (320, 700))
    assert np.diff(short.prompt_ends, prepend=0).max() <= 320
    for (cut, answer), (whole, same_answer) in zip(texts(short), texts(long), strict=True):
        assert answer == same_answer
        assert "The first bridge of" in cut
        assert cut.count("Hall:") <= whole.count("Hall:")
    assert any("Hall:" not in prompt for prompt, _ in texts(short))
    with pytest.raises(DataError, match=r"Only built 0 examples .* tokens without what may go"):
        sets(tmp_path, "hotpot", prompt_tokens_max=100)


def test_the_question_of_hotpot_stands_before_or_after(tmp_path: Path) -> None:
    before, _ = sets(tmp_path, "hotpot", order="question_first")
    after, _ = sets(tmp_path, "hotpot")
    assert all(prompt.startswith("Question:") for prompt, _ in texts(before))
    assert all(prompt.startswith("Context:") for prompt, _ in texts(after))


def test_the_problem_of_mbpp_stands_early_and_notes_fill_the_window_up_to_the_trigger(tmp_path: Path) -> None:
    train, evaluation = sets(tmp_path, "mbpp")
    for side in (train, evaluation):
        assert set(np.diff(side.prompt_ends, prepend=0)) == {256}
        for prompt, _ in texts(side):
            assert prompt.startswith("Problem: Write a function")
            assert prompt.endswith("\n\nPython solution:\n")
    asked = {prompt.splitlines()[0] for prompt, _ in texts(evaluation)}
    assert not any(question in prompt for question in asked for prompt, _ in texts(train))
    assert [len(checks["tests"]) >= 1 for checks in evaluation.checks] == [True] * len(evaluation)


def test_the_solutions_of_the_fixture_pass_their_tests() -> None:
    for row in random.Random(0).sample(rows_of("mbpp"), 4):
        ending = _sandbox.run([row["code"], *row["test_list"]], seconds=5, memory_mib=512)
        assert ending is _sandbox.Ending.FINISHED, row["text"]


def test_notes_never_hold_the_sentence_that_is_to_be_restored(tmp_path: Path) -> None:
    file = tmp_path / "told.jsonl"
    told = [row["text"] for row in rows_of("punc_restore")]
    # A longer text that quotes another one would say the answer if it stood among its notes.
    lines = [*told, *(f"{sentence} So it was." for sentence in told)]
    file.write_text("".join(json.dumps({"text": line, "title": words(line)[:20]}) + "\n" for line in lines))
    for side in sets(tmp_path, "punc_restore", data=str(file)):
        for prompt, answer in texts(side):
            notes, _, rest = prompt.partition("\n\nNoisy transcript:\n")
            assert words(answer) not in words(notes)
            assert rest.splitlines()[0].islower()


def test_half_of_the_pairs_touch_whatever_the_chain(tmp_path: Path) -> None:
    for side in sets(tmp_path, "protein_contact"):
        assert {answer.count("1") for _, answer in texts(side)} == {6}
    row = {"name": "x", "seq": "ACDEFGHIKLMNPQRSTVWY", "contacts": [[0, 10], [1, 11], [2, 19]]}
    config = config_of("protein_contact", queries=4)
    item = item_of(row, config)
    pairs = item.before.split("Pairs: ")[1].split("\n")[0].split(",")
    touching = {pair for pair, bit in zip(pairs, item.answer, strict=True) if bit == "1"}
    assert touching < {"1-11", "2-12", "3-20"}


def test_an_evaluation_source_of_its_own_takes_its_items_from_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = tmp_path / "eval.jsonl"
    shared.write_text("".join(f"{json.dumps(row)}\n" for row in rows_of("squad")[:6]))
    train, evaluation = sets(tmp_path, "squad", eval_data=str(shared))
    assert (len(train), len(evaluation)) == (30, 6)
    assert "6 training items are left out: they evaluate" in capsys.readouterr().out


def test_a_smaller_evaluation_set_is_the_begin_of_a_larger_one(tmp_path: Path) -> None:
    (_, small), (_, large) = sets(tmp_path, "hotpot", 3), sets(tmp_path, "hotpot", 6)
    assert texts(small) == texts(large)[:3]
    assert examples(config_of("hotpot"), 3) == (3, None)
    assert examples(config_of("hotpot"), None) is None


def test_too_few_examples_are_told_with_both_numbers_and_why(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Only built 28 examples \(wanted 900\) for n_train"):
        sets(tmp_path, "mbpp", n_train=900)
    with pytest.raises(DataError, match=r"\(wanted 20\) for n_eval"):
        sets(tmp_path, "mbpp", 20)
    with pytest.raises(DataError, match=r"Only built 0 .*left out: 36 not between 900 and 901 characters"):
        sets(tmp_path, "punc_restore", characters_min=900, characters_max=901)


def test_tokens_are_made_once_for_equal_content_wherever_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sets(tmp_path, "squad")
    copy = tmp_path / "copied.jsonl"
    copy.write_bytes((FOLDER / "squad.jsonl").read_bytes())
    monkeypatch.setattr(Tokenizer, "encode", None)  # whoever asks for tokens now fails
    again = sets(tmp_path, "squad", data=str(copy))
    assert all(texts(a) == texts(b) for a, b in zip(first, again, strict=True))
    copy.write_bytes(copy.read_bytes() + b'{"question": "?", "context": "x", "answers": ["y"]}\n')
    with pytest.raises(TypeError):
        sets(tmp_path, "squad", data=str(copy))


def test_the_fingerprint_follows_the_bytes_of_the_data_and_a_missing_file_is_no_error_yet(
    tmp_path: Path,
) -> None:
    config = config_of("squad", data=str(tmp_path / "squad.jsonl"))
    missing = fingerprint(config)
    assert not missing.is_complete
    (tmp_path / "squad.jsonl").write_bytes((FOLDER / "squad.jsonl").read_bytes())
    there = fingerprint(config)
    assert there.is_complete
    assert there.digest != missing.digest
    with (tmp_path / "squad.jsonl").open("a") as stream:
        stream.write("\n")
    assert fingerprint(config).digest not in (there.digest, missing.digest)
    assert fingerprint(config_of("squad", gate="none", lr=1e-3)) == fingerprint(config_of("squad"))
    assert fingerprint(config_of("squad", order="question_first")) != fingerprint(config_of("squad"))


def test_a_file_that_is_missing_or_malformed_is_told_by_name_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file gone\.jsonl .* under another id"):
        read_rows("gone.jsonl")
    (tmp_path / "a.csv").touch()
    with pytest.raises(DataError, match=r"neither \.jsonl nor \.parquet"):
        read_rows(str(tmp_path / "a.csv"))
    (tmp_path / "b.jsonl").write_text('{"text": "x"}\n[1]\n')
    with pytest.raises(DataError, match="line 2 is no object"):
        list(read_rows(str(tmp_path / "b.jsonl")))
    (tmp_path / "c.jsonl").write_text('{"text": ')
    with pytest.raises(DataError, match="line 1 is no JSON"):
        list(read_rows(str(tmp_path / "c.jsonl")))


def test_rows_of_a_parquet_file_read_as_those_of_a_jsonl_file(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows_of("squad")), tmp_path / "squad.parquet")
    assert list(read_rows(str(tmp_path / "squad.parquet"))) == rows_of("squad")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="no readable Parquet file"):
        list(read_rows(str(tmp_path / "torn.parquet")))


def asked_of_hugging_face(monkeypatch: pytest.MonkeyPatch, answer: Any) -> list[tuple[Any, ...]]:
    asked = []

    def load_dataset(name: str, config: str | None, *, split: str, revision: str | None) -> Any:
        asked.append((name, config, split, revision))
        if isinstance(answer, Exception):
            raise answer
        return answer

    package = types.SimpleNamespace(load_dataset=load_dataset)
    monkeypatch.setitem(sys.modules, "datasets", package)
    return asked


def test_a_data_set_is_asked_for_by_name_configuration_split_and_revision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = asked_of_hugging_face(monkeypatch, [{"text": "x"}])
    assert list(read_rows("hf:ai2_arc:ARC-Challenge:train@210d026")) == [{"text": "x"}]
    list(read_rows("hf:org/mbpp:test"))
    assert asked == [("ai2_arc", "ARC-Challenge", "train", "210d026"), ("org/mbpp", None, "test", None)]
    assert sources.digest_of("hf:org/mbpp:test@1")[1]
    assert not sources.digest_of("hf:org/mbpp:test")[1]  # which revision that is, nobody knows


def test_a_server_that_does_not_answer_is_a_network_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_of_hugging_face(monkeypatch, ConnectionError("no route"))
    with pytest.raises(UnreachableError, match="give this machine a network") as raised:
        read_rows("hf:mbpp:test")
    assert raised.value.failure_class == "network"
    asked_of_hugging_face(monkeypatch, ValueError("no such split"))
    with pytest.raises(DataError, match="cannot be loaded: no such split"):
        read_rows("hf:mbpp:test")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"roundhouse\[data\]"):
        read_rows("hf:mbpp:test")


def test_the_world_vocabulary_splits_as_the_package_rwkv_does() -> None:
    package = pytest.importorskip("rwkv.rwkv_tokenizer")
    world = tokenizer("world")
    # The package's own trie takes seconds to build; its rule is the longest token that fits.
    longest = max(len(token) for token in world._bytes.values())
    samples = ["def f(x):\n    return x * 2\n\n", "Grüße aus 東京! 🎉", "a" * 70, "MKVLAAGI", " 1234567890"]
    for sample in samples:
        data, expected = sample.encode(), []
        while data:
            size = next(n for n in range(longest, 0, -1) if data[:n] in world._tokens and n <= len(data))
            expected.append(world._tokens[data[:size]])
            data = data[size:]
        assert world.encode(sample) == expected
        assert world.decode(expected) == sample
    assert package.__name__ == "rwkv.rwkv_tokenizer"
    assert all(world.encode(chr(byte)) == tokenizer("bytes").encode(chr(byte)) for byte in range(128))
    assert world.encode("Hello world") == [33155, 40213]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "mbpp"}, "data is missing"),
        ({"task": "mbpp", "data": "x", "layout": "infill"}, "read in the layout 'prompt'"),
        (
            {"task": "arc_mc", "data": "x", "order": "question_last"},
            "has 'options_first' or 'question_first'",
        ),
        ({"task": "squad", "data": "x", "queries": 4}, "queries = 4 has no effect on the task 'squad'"),
        ({"task": "squad", "data": "x", "side": 9}, "side = 9 has no effect on the task 'squad'"),
        ({"data": "x"}, "data = 'x' has no effect on the task 'sudoku'"),
        ({"task": "squad", "data": "x", "weights": "w", "d_model": 64}, "d_model = 64 is what the weights"),
        ({"task": "protein_contact", "data": "x", "queries": 5}, "queries = 5 is odd"),
        (
            {"task": "hotpot", "data": "x", "prompt_tokens_min": 99, "prompt_tokens_max": 9},
            "prompt_tokens_min = 99 is more than prompt_tokens_max = 9",
        ),
    ],
)
def test_arguments_that_cannot_work_are_refused_with_what_to_do(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**arguments)


def test_a_resolved_config_reads_as_the_one_it_came_from() -> None:
    config = Config(task="mbpp", data="x")
    assert (config.layout, config.order) == ("prompt", "question_first")
    assert Config.model_validate(config.model_dump(mode="json")) == config
