"""The trainer `generate` on a base model of a few steps: the contract, and how a token is chosen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from trainers import generate
from trainers.contract import Context, DataError, Evaluation, protocol_fields
from trainers.generate import base, sampling, world
from trainers.generate.base import Base, Recipe
from trainers.generate.critic import opinions
from trainers.generate.formats import ACCEPT, REJECT, critic_prompt, instruction_prompt
from trainers.generate.sampling import Parameters, continuations

STEPS = 3


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def tiny(cache_dir: Path) -> Base:
    return base.base_model(Recipe(steps=STEPS), context(cache_dir))


def context(cache_dir: Path, run_dir: Path | None = None, **changes: Any) -> Context:
    fields: dict[str, Any] = {
        "seed": 0,
        "stage": "quick",
        "max_steps": None,
        "time_budget_sec": 60.0,
        "eval_every": 4,
        "n_eval": 10,
        "bsz": 3,
        "device": "cpu",
        "threads": 1,
        **changes,
    }
    return Context(cache_dir=cache_dir, run_dir=run_dir, **fields)


def run(
    cache_dir: Path, run_dir: Path, changes: dict[str, Any] | None = None, **options: Any
) -> list[Evaluation]:
    config = generate.Config(**{"base_steps": STEPS, "max_new_tokens": 8, **options})
    surroundings = context(cache_dir, **(changes or {}))
    run_dir.mkdir(exist_ok=True)
    return list(
        generate.train(generate.prepare(config, surroundings), replace(surroundings, run_dir=run_dir))
    )


def parameters(**changes: Any) -> Parameters:
    usual = {"temperature": 1.0, "top_p": 1.0, "repetition_penalty": 1.0, "max_new_tokens": 8, "stop": ()}
    return Parameters(**{**usual, **changes})


def test_a_run_is_measured_after_each_shard_and_keeps_every_sample(cache_dir: Path, tmp_path: Path) -> None:
    evaluations = run(cache_dir, tmp_path / "run")
    assert [(each.step, each.n_eval) for each in evaluations] == [(4, 4), (8, 8), (10, 10)]
    lines = [json.loads(line) for line in (tmp_path / "run" / "samples.jsonl").read_text().split("\n")[:-1]]
    assert [line["index"] for line in lines] == list(range(10))
    assert [line["prompt"] for line in lines] == list(world.prompts(200)[:10])
    assert evaluations[-1].scores is not None
    assert len(evaluations[-1].scores) == 10


def test_metrics_made_again_from_the_samples_equal_the_live_ones(cache_dir: Path, tmp_path: Path) -> None:
    *_, last = run(cache_dir, tmp_path / "run", stop=[" the", "\n"])
    assert generate.regrade(tmp_path / "run", generate.DEFINITIONS[-1]) == last.extra
    reasons = [count for name, count in last.extra.items() if name.startswith("finish[")]
    assert sum(reasons) == last.extra["samples"] == 10


def test_the_same_seed_gives_the_same_bits_and_another_one_others(cache_dir: Path, tmp_path: Path) -> None:
    texts = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(cache_dir, tmp_path / name, {"seed": seed})
        texts.append((tmp_path / name / "samples.jsonl").read_bytes())
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_a_run_that_is_stopped_has_whole_shards_on_disk(cache_dir: Path, tmp_path: Path) -> None:
    config = generate.Config(base_steps=STEPS, max_new_tokens=2)
    surroundings = context(cache_dir, tmp_path)
    evaluations = generate.train(generate.prepare(config, surroundings), surroundings)
    first = next(iter(evaluations))
    evaluations.close()
    assert generate.regrade(tmp_path, generate.DEFINITIONS[-1]) == first.extra


def test_a_base_model_that_is_kept_is_the_one_that_was_trained(
    cache_dir: Path, tmp_path: Path, tiny: Base
) -> None:
    again = base.base_model(Recipe(steps=STEPS), context(tmp_path))
    weights = again.model.state_dict()
    assert all(torch.equal(weights[name], weight) for name, weight in tiny.model.state_dict().items())


def test_the_memory_of_a_padded_prompt_changes_no_logit(tiny: Base) -> None:
    ids = [tiny.tokenizer.encode(text).ids for text in ("A fox ran to the river.", "A bee.")]
    tokens, is_read = sampling._padded(ids, "cpu")
    with torch.no_grad():
        logits, memory = tiny.model.read(tokens, is_read, None)
        following = torch.tensor([[5], [5]])
        more, _ = tiny.model.read(following, torch.ones_like(following, dtype=torch.bool), memory)
        for row, own in enumerate(ids):
            torch.testing.assert_close(logits[row], tiny.model(torch.tensor([own]))[0, -1])
            torch.testing.assert_close(more[row], tiny.model(torch.tensor([[*own, 5]]))[0, -1])


def test_the_critic_reads_the_last_position_of_each_question(tiny: Base) -> None:
    cases = [
        ("Tell a tale of a bee.", "A bee flew."),
        ("Tell a tale.", "The bee slept by the river all day."),
    ]
    found = opinions(tiny, cases, "cpu")
    for case, opinion in zip(cases, found, strict=True):
        ids = torch.tensor([tiny.tokenizer.encode(critic_prompt(*case)).ids])
        with torch.no_grad():
            chances = tiny.model(ids)[0, -1].log_softmax(dim=-1)
        for answer, told in ((ACCEPT, opinion.accept), (REJECT, opinion.reject)):
            assert told == pytest.approx(float(chances[base.token_of(tiny.tokenizer, answer)]), abs=1e-5)


def test_texts_come_back_from_the_vocabulary_as_they_were(tiny: Base) -> None:
    text = "Ein Füchslein\n\tlief – \U0001f98a!  "
    assert tiny.tokenizer.decode(tiny.tokenizer.encode(text).ids) == text


def test_a_stop_inside_of_tokens_ends_the_sample_before_it(tiny: Base) -> None:
    prompt = instruction_prompt("Tell a tale.")
    uniforms = torch.rand(1, 40, generator=torch.Generator().manual_seed(3))
    (whole,) = continuations(tiny, [prompt], parameters(max_new_tokens=40), uniforms, "cpu")
    place = len(whole.text) // 2
    sequence = whole.text[place : place + 3]
    stopped_by = parameters(max_new_tokens=40, stop=(sequence,))
    (stopped,) = continuations(tiny, [prompt], stopped_by, uniforms, "cpu")
    assert stopped.finish_reason == f"stop:{sequence}"
    assert stopped.text == whole.text[: whole.text.index(sequence)]
    assert stopped.tokens < whole.tokens


def test_top_p_keeps_the_fewest_tokens_that_make_it_up() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log().repeat(101, 1)
    seen = torch.zeros_like(logits, dtype=torch.bool)
    uniforms = torch.linspace(0, 1, 101)
    kept = [
        set(sampling.choose(logits, seen, uniforms, parameters(top_p=top_p)).tolist())
        for top_p in (0.2, 0.5, 0.6, 0.9, 1.0)
    ]
    assert kept == [{0}, {0}, {0, 1}, {0, 1, 2}, {0, 1, 2, 3}]


def test_chosen_tokens_have_the_chances_of_the_tempered_softmax() -> None:
    logits = torch.tensor([[2.0, 0.0, 1.0]]).repeat(10_000, 1)
    uniforms = (torch.arange(10_000) + 0.5) / 10_000
    seen = torch.zeros_like(logits, dtype=torch.bool)
    chosen = sampling.choose(logits, seen, uniforms, parameters(temperature=0.5))
    shares = torch.bincount(chosen, minlength=3) / 10_000
    torch.testing.assert_close(shares, (logits[0] / 0.5).softmax(dim=-1), atol=2e-4, rtol=0)


def test_a_temperature_of_zero_takes_the_likeliest_after_the_penalty() -> None:
    logits = torch.tensor([[1.0, 0.9, -0.1]])
    greedy = parameters(temperature=0.0, repetition_penalty=1.5)
    seen = torch.tensor([[True, False, True]])
    assert sampling.choose(logits, seen, torch.zeros(1), greedy).tolist() == [1]
    torch.testing.assert_close(sampling.penalised(logits, seen, 1.5), torch.tensor([[1 / 1.5, 0.9, -0.15]]))


def test_the_world_holds_its_prompts_out_of_what_is_read() -> None:
    documents = world.documents(0)
    read = "".join(next(documents) for _ in range(400))
    assert not [prompt for prompt in world.prompts(200) if prompt in read]
    assert len(set(world.prompts(200))) == 200


def test_the_fingerprint_tells_of_other_prompts_and_definitions(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("Tell a tale.\n\nTell another.\n")
    digests = [
        generate.fingerprint(generate.Config(**options)).digest
        for options in (
            {},
            {"n_prompts": 20},
            {"prompts": str(file)},
            {"definitions": "1"},
            {"base_steps": 10},
        )
    ]
    file.write_text("Tell a tale.\n")
    digests.append(generate.fingerprint(generate.Config(prompts=str(file))).digest)
    assert len(set(digests)) == len(digests)
    assert generate.fingerprint(generate.Config(temperature=0.1)).digest == digests[0]
    assert {"prompts", "definitions", "base_steps", "critic"} <= protocol_fields(generate.Config)
    assert not {"temperature", "top_p", "stop"} & protocol_fields(generate.Config)


@pytest.mark.parametrize(
    ("text", "named"),
    [(None, "cannot be read"), ("\n\n", "holds no prompt"), ('{"text": "a"}', "line 1"), ("{", "no JSON")],
)
def test_a_prompt_file_without_prompts_is_a_data_failure_that_says_where(
    tmp_path: Path, text: str | None, named: str
) -> None:
    file = tmp_path / "prompts.jsonl"
    if text is not None:
        file.write_text(text)
    with pytest.raises(DataError, match=named) as caught:
        generate.fingerprint(generate.Config(prompts=str(file)))
    assert caught.value.field == "prompts"


def test_prompts_of_a_file_are_answered_in_turn(cache_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "Tell a tale."}\n{"instruction": "Tell another."}\n')
    *_, last = run(cache_dir, tmp_path / "run", prompts=str(file), critic=False)
    lines = [json.loads(line) for line in (tmp_path / "run" / "samples.jsonl").read_text().split("\n")[:-1]]
    assert [line["prompt"] for line in lines[:3]] == ["Tell a tale.", "Tell another.", "Tell a tale."]
    assert (last.n_clusters, last.acc, last.scores) == (2, None, None)
    assert generate.examples(generate.Config(prompts=str(file)), 10) == (10, 2)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"stop": [""]}, "empty sequence"),
        ({"stop": ["a", "a"]}, "twice"),
        ({"stop": list("abcdefghijklmnopqr")}, "18 sequences"),
        ({"top_p": 0.0}, "top_p"),
        ({"temperature": -1.0}, "temperature"),
        ({"definitions": "9"}, "no version '9'"),
        ({"tempreature": 1.0}, "tempreature"),
    ],
)
def test_arguments_that_cannot_work_are_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        generate.Config(**options)
