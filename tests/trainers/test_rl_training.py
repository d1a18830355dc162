"""Is a run by rewards reproducible, whole in its logs, and can it go on where another stopped?"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

torch = pytest.importorskip("torch")

from trainers.contract import BadArgumentsError, Context, DataError  # noqa: E402
from trainers.rl import Config, fingerprint, full_step, load, prepare, resume, save, train  # noqa: E402
from trainers.rl.addition import (  # noqa: E402
    PROBLEMS,
    SOLUTION_TOKENS,
    VOCABULARY,
    Problem,
    encode,
    held_out_problems,
    stream,
    training_problems,
    worked_solution,
)
from trainers.rl.base import make_model  # noqa: E402
from trainers.rl.built_in import BuiltIn  # noqa: E402
from trainers.rl.reward import reward  # noqa: E402
from trainers.rl.sampling import log_probabilities_of, sample  # noqa: E402

TINY = {"d_model": 8, "n_layer": 1, "n_head": 1, "base_steps": 2, "samples": 4, "max_tokens": 12}
#: differ from run to run
CLOCKS = {"sample_seconds", "step_seconds"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def context(cache, run_dir=None, **changes):
    values = {
        "seed": 3,
        "stage": "quick",
        "max_steps": 4,
        "time_budget_sec": 60.0,
        "eval_every": 2,
        "n_eval": 8,
        "bsz": 3,
        "device": "cpu",
        "threads": 1,
        "cache_dir": cache,
        "run_dir": run_dir,
    }
    return Context(**{**values, **changes})


def evaluations(here, **arguments):
    return list(train(prepare(Config(**TINY, **arguments), here), here))


def told(evaluation):
    extra = {name: value for name, value in evaluation.extra.items() if name not in CLOCKS}
    scores = None if evaluation.scores is None else evaluation.scores.tolist()
    return (evaluation.step, evaluation.loss, evaluation.acc, scores, extra)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(autouse=True)
def half_right(monkeypatch):
    """An untrained model is never right: its answers are taken for right by a rule instead."""
    from trainers.rl import completions

    monkeypatch.setattr(completions, "reward", lambda text, reference: float("1" in text))


def test_every_step_has_a_row_and_the_held_out_problems_their_own_points(cache, tmp_path):
    found = evaluations(context(cache, tmp_path, max_steps=5))
    assert [e.step for e in found] == [1, 2, 3, 4, 5]
    assert [e.step for e in found if e.acc is not None] == [2, 4, 5]
    assert all(e.scores.shape == (8,) and e.scores.dtype == np.float32 for e in found if e.acc is not None)
    steps = lines(tmp_path / "emergence/steps.jsonl")
    assert [row["step"] for row in steps] == [1, 2, 3, 4, 5]
    assert {name: steps[2][name] for name in found[2].extra} == found[2].extra
    generations = lines(tmp_path / "emergence/generations.jsonl")
    assert len(generations) == 5 * 3 * 4
    of_step = [row for row in generations if row["step"] == 3]
    assert np.mean([row["reward"] for row in of_step]) == found[2].extra["correct_rate"]
    assert {row["finish_reason"] for row in generations} <= {"end", "length"}


def test_rewards_are_counted_in_pairs_and_groups(cache):
    row = evaluations(context(cache))[0].extra
    assert 0 < row["correct_rate"] < 1
    assert 0 <= row["reward_uniform_rate"] <= 1
    assert row["num_datums"] == 12 * (1 - row["reward_uniform_rate"])
    assert row["reward_tie_rate"] >= row["reward_uniform_rate"]
    assert (row["loss_is_placeholder"], row["backend_reports_sync_loss"]) == (0.0, 1.0)


def test_a_step_that_teaches_nothing_has_a_row_that_says_so(cache, monkeypatch):
    from trainers.rl import completions

    monkeypatch.setattr(completions, "reward", lambda text, reference: 0.0)
    rows = [e.extra for e in evaluations(context(cache))]
    assert [row["loss_is_placeholder"] for row in rows] == [1.0] * 4
    assert [row["num_datums"] for row in rows] == [0.0] * 4
    assert [row["reward_uniform_rate"] for row in rows] == [1.0] * 4


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"transform": "gtpo_sepa", "sepa_gate": 2.0}, {"transform": "gtpo"}),
        ({"transform": "gtpo_hicra", "alpha": 0.0}, {"transform": "gtpo"}),
        ({"transform": "gtpo", "beta": 0.0}, {}),
    ],
    ids=["sepa behind its gate is gtpo", "hicra at alpha 0 is gtpo", "gtpo at beta 0 is none"],
)
def test_whole_runs_of_equal_transforms_are_equal(cache, one, other):
    first, second = evaluations(context(cache), **one), evaluations(context(cache), **other)
    assert [(e.acc, e.extra["loss"], e.extra["correct_rate"]) for e in first] == [
        (e.acc, e.extra["loss"], e.extra["correct_rate"]) for e in second
    ]


def test_planning_tokens_and_both_entropies_are_told_for_every_transform(cache, monkeypatch):
    from trainers.rl import training

    monkeypatch.setattr(
        training, "planning_of", lambda policy, samples, mode: samples.generated.numpy() & True
    )
    for transform in ("none", "gtpo", "gtpo_hicra", "gtpo_sepa"):
        row = evaluations(context(cache, max_steps=1), transform=transform)[0].extra
        assert row["planning_share"] == 1.0
        assert row["plan_entropy_mean"] > 0
        assert row["post_plan_entropy_mean"] == row["plan_entropy_mean"]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_cached_log_probabilities_are_those_of_one_pass(temperature):
    model = make_model(Config())
    model.initialise(torch.Generator().manual_seed(0))
    for parameter in model.parameters():  # what begins at zero would hide a wrong place in the memory
        torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(parameter.numel()))
    policy = BuiltIn(model)
    drawn = sample(
        policy,
        policy.prompts([problem.prompt for problem in held_out_problems()[:8]]),
        max_tokens=30,
        generator=torch.Generator().manual_seed(1),
        temperature=temperature,
    )
    assert drawn.lengths.float().std() > 0
    again = log_probabilities_of(policy, drawn, temperature)
    assert (again - drawn.log_probabilities).abs().max() < 1e-4


def test_the_reference_model_has_its_size():
    assert sum(parameter.numel() for parameter in make_model(Config()).parameters()) == 100_544
    assert len(VOCABULARY) == len(set(VOCABULARY)) == 28


def test_a_run_that_goes_on_has_the_bits_and_the_steps_of_one_that_never_stopped(cache, tmp_path):
    at = 2
    config, kept = Config(**TINY, transform="gtpo_sepa", sepa_delay=0, sepa_steps=3), []
    here = context(cache, tmp_path / "whole")
    whole = list(train(prepare(config, here), here))
    short = replace(here, run_dir=tmp_path / "short", keep_step=at, keep=kept.append, max_steps=at)
    list(train(prepare(config, short), short))
    (tmp_path / "state").mkdir()
    save(kept[0], tmp_path / "state")
    later = replace(here, run_dir=tmp_path / "later")
    rest = list(train(resume(prepare(config, later), load(tmp_path / "state")), later))
    assert [told(e) for e in rest] == [told(e) for e in whole[at:]]
    rows = lines(tmp_path / "later/emergence/steps.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]


def test_no_problem_is_both_trained_on_and_held_out():
    held_out, trained_on = set(held_out_problems()), set(training_problems())
    assert not held_out & trained_on
    assert len(held_out) + len(trained_on) == PROBLEMS == 8100


def test_streams_of_different_purposes_share_nothing_whatever_the_seeds():
    drawn = {
        (purpose, seed): tuple(stream(purpose, seed).integers(2**62, size=4))
        for purpose in ("training problems", "training samples", "held-out samples", "base solutions")
        for seed in range(50)
    }
    assert len(set(drawn.values())) == len(drawn)


def test_worked_solutions_have_their_habits_and_errors():
    random = np.random.default_rng(0)
    rates = {"careful_share": 0.22, "careful_error": 0.08, "sloppy_error": 0.60}
    problems = training_problems()[:3000]
    solutions = [worked_solution(problem, random, **rates) for problem in problems]
    assert max(len(encode(solution)) for solution in solutions) <= SOLUTION_TOKENS
    right = np.array([reward(s, p.reference) for s, p in zip(solutions, problems, strict=True)])
    careful = np.array([solution.startswith("let me think") for solution in solutions])
    assert careful.mean() == pytest.approx(0.22, abs=0.03)
    assert right[careful].mean() == pytest.approx(0.92**3, abs=0.05)
    assert right[~careful].mean() == pytest.approx(0.40**3, abs=0.03)
    assert worked_solution(Problem(first=47, second=38), random, **{**rates, "careful_error": 0.0}).endswith(
        "<end>"
    )


def test_the_fingerprint_tells_the_data_and_the_base_and_nothing_else():
    plain = fingerprint(Config())
    assert plain == fingerprint(Config(advantage="maxrl", transform="gtpo", lr=1e-3))
    for change in ({"careful_share": 0.3}, {"base_steps": 10}, {"eval_samples": 8}, {"n_eval": 8}):
        assert fingerprint(Config(**change)).digest != plain.digest


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"advantage": "ppo"}, "'grpo' or 'maxrl'"),
        ({"n_head": 3}, "n_head = 3 must divide d_model = 64"),
        ({"samples": 1}, "greater than or equal to 2"),
        ({"sepa_step": 3}, "Extra inputs are not permitted"),
        ({"n_eval": 5000}, "less than or equal to 1024"),
    ],
)
def test_arguments_that_cannot_work_are_refused(arguments, said):
    with pytest.raises(ValidationError, match=said):
        Config(**arguments)


def test_a_run_without_a_number_of_steps_is_refused(cache):
    here = context(cache, max_steps=None)
    with pytest.raises(BadArgumentsError, match="needs a number of steps"):
        next(train(prepare(Config(**TINY), here), here))


def test_a_full_step_trains_and_evaluates(cache):
    full_step(Config(**TINY), context(cache))


@pytest.mark.parametrize(
    ("completion", "reference", "expected"),
    [
        ("so \\boxed{ 8 5 }", "85", 1.0),
        ("\\boxed{12} no, \\boxed{85}", "85", 1.0),
        ("\\boxed{85} no, \\boxed{12}", "85", 0.0),
        ("\\boxed{85} then \\boxed{12", "85", 1.0),
        ("85", "85", 0.0),
        ("", "85", 0.0),
        ("\\boxed{}", "85", 0.0),
        ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}", 1.0),
    ],
)
def test_the_last_boxed_answer_counts(completion, reference, expected):
    assert reward(completion, reference) == expected


@pytest.mark.parametrize("reference", ["", "  "])
def test_an_empty_reference_is_an_error(reference):
    with pytest.raises(DataError, match="empty reference"):
        reward("no box here", reference)
