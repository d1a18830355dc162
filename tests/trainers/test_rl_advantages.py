"""Do advantages follow their formulas, and is a transform of no strength the one before it?"""

from __future__ import annotations

import numpy as np
import pytest

from trainers.rl.advantages import MOST_SURPRISE, of_completions, of_tokens
from trainers.rl.planning import PHRASES, planning_mask
from trainers.rl.sepa_schedule import SepaSchedule


def batch(seed: int = 0):
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 9, size=12)
    generated = np.arange(8) < lengths[:, None]
    return {
        "advantages": random.normal(size=12),
        "log_probabilities": np.where(generated, -random.exponential(size=(12, 8)), 0.0),
        "generated": generated,
        "planning": generated & (random.random((12, 8)) < 0.3),
    }


def weighed(
    transform: str, *, beta: float = 0.1, alpha: float = 0.2, sepa_lambda: float = 0.7, seed: int = 0
):
    return of_tokens(**batch(seed), transform=transform, beta=beta, alpha=alpha, sepa_lambda=sepa_lambda)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("gtpo_sepa", {"sepa_lambda": 0.0}), ("gtpo", {})),
        (("gtpo_hicra", {"alpha": 0.0}), ("gtpo", {})),
        (("gtpo", {"beta": 0.0}), ("none", {})),
        (("gtpo_sepa", {"beta": 0.0}), ("none", {})),
    ],
    ids=["sepa at lambda 0 is gtpo", "hicra at alpha 0 is gtpo", "gtpo at beta 0 is none", "sepa too"],
)
def test_a_transform_without_strength_is_the_one_before_it(one, other, seed):
    (first, options), (second, others) = one, other
    assert np.array_equal(
        weighed(first, **options, seed=seed).advantages, weighed(second, **others, seed=seed).advantages
    )


@pytest.mark.parametrize("transform", ["gtpo", "gtpo_hicra", "gtpo_sepa"])
def test_a_transform_with_strength_changes_something(transform):
    assert not np.array_equal(weighed(transform).advantages, weighed("none").advantages)


def test_no_transform_gives_a_token_that_was_not_generated_anything():
    for transform in ("none", "gtpo", "gtpo_hicra", "gtpo_sepa"):
        assert (weighed(transform).advantages[~batch()["generated"]] == 0).all()


def test_grpo_centres_and_maxrl_divides_by_the_mean():
    rewards = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    assert of_completions(rewards, "grpo").tolist() == [[0.75, -0.25, -0.25, -0.25], [0] * 4, [0] * 4]
    maxrl = of_completions(rewards, "maxrl")
    assert maxrl[0] == pytest.approx(np.array([0.75, -0.25, -0.25, -0.25]) / (0.25 + 1e-6))
    assert maxrl[1:].tolist() == [[0] * 4, [0] * 4]


def test_gtpo_weighs_by_surprise_over_its_mean_and_caps_it():
    told = of_tokens(
        np.array([1.0]),
        np.array([[-1.0, -3.0, -1e9]]),
        generated=np.array([[True, True, True]]),
        planning=np.zeros((1, 3), dtype=bool),
        transform="gtpo",
        beta=0.1,
        alpha=0.0,
        sepa_lambda=0.0,
    )
    surprise = np.array([1.0, 3.0, MOST_SURPRISE])
    assert told.advantages[0] == pytest.approx(1 + 0.1 * (surprise / surprise.mean() - 1))


def test_gtpo_never_turns_an_advantage_round():
    assert (weighed("gtpo", beta=50.0).advantages * weighed("none").advantages >= 0).all()


def test_a_completion_that_was_certain_everywhere_keeps_its_advantage():
    certain = {**batch(), "log_probabilities": np.zeros((12, 8))}
    told = of_tokens(**certain, transform="gtpo", beta=0.1, alpha=0.2, sepa_lambda=0.0)
    assert np.array_equal(told.advantages, weighed("none").advantages)


def test_hicra_adds_to_planning_tokens_only():
    plain, lifted, planning = (
        weighed("gtpo").advantages,
        weighed("gtpo_hicra").advantages,
        batch()["planning"],
    )
    assert lifted[planning] == pytest.approx(plain[planning] + 0.2 * np.abs(plain[planning]))
    assert np.array_equal(lifted[~planning], plain[~planning])


def test_sepa_at_lambda_1_leaves_execution_tokens_one_surprise_and_planning_tokens_theirs():
    told, given = weighed("gtpo_sepa", sepa_lambda=1.0), batch()
    executing = given["generated"] & ~given["planning"]
    for row in range(12):
        pooled = told.transformed[row][executing[row]]
        if pooled.size:
            assert pooled == pytest.approx(np.full(pooled.size, told.surprise[row][executing[row]].mean()))
    assert np.array_equal(told.transformed[given["planning"]], told.surprise[given["planning"]])


def test_sepa_waits_for_its_gate_and_keeps_it_open():
    schedule = SepaSchedule(delay=2, steps=4, gate=0.1)
    rates = [0.0, 0.05, 0.05, 0.05, 0.1, 0.0, 0.0]
    assert [schedule.at(step, rate) for step, rate in enumerate(rates, start=1)] == [0, 0, 0, 0, 0.75, 1, 1]


def test_sepa_ramps_after_its_delay():
    schedule = SepaSchedule(delay=2, steps=4, gate=0.0)
    assert [schedule.at(step, 0.0) for step in range(1, 8)] == [0, 0, 0.25, 0.5, 0.75, 1, 1]


@pytest.mark.parametrize(
    ("text", "window", "span"),
    [
        ("so let me think 4", "1 1 1 1 0", "0 1 1 1 0"),
        ("a b c d let me check", "0 0 1 1 1 1 1", "0 0 0 0 1 1 1"),
        ("wait let me think x", "1 1 1 1 0", "1 1 1 1 0"),
        ("let me guess", "0 0 0", "0 0 0"),
        ("outlet me think", "0 0 0", "0 0 0"),
        ("Double check, then", "1 1 0", "1 1 0"),
        ("", "", ""),
    ],
)
def test_planning_tokens_are_those_of_a_phrase_and_in_a_window_those_before_it(text, window, span):
    words = text.split()
    assert [int(mark) for mark in planning_mask(words, "window")] == [int(n) for n in window.split()]
    assert [int(mark) for mark in planning_mask(words, "span")] == [int(n) for n in span.split()]


def test_subword_marks_do_not_hide_a_phrase():
    assert planning_mask(["▁Let", "▁me", "▁verify", "▁it"], "span") == [True, True, True, False]


def test_every_phrase_is_found():
    assert len(PHRASES) == 18
    assert all(all(planning_mask(phrase.split(), "span")) for phrase in PHRASES)
