"""What the daemon hears of each evaluation, and what is kept of it for the rules that stop a run."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from trainers._recorder import Recorder, scores_digest
from trainers.contract import Evaluation


def evaluation(step: int, scores: list[float], loss: float = 1.0) -> Evaluation:
    return Evaluation(step=step, loss=loss, acc=float(np.mean(scores)), scores=np.array(scores, np.float32))


def test_equal_scores_have_equal_digests_and_other_scores_others() -> None:
    first = scores_digest(evaluation(1, [0.0, 1.0]))
    assert first == scores_digest(evaluation(9, [0.0, 1.0], loss=2.0))
    # the mean tells nothing
    assert first != scores_digest(evaluation(1, [1.0, 0.0]))
    assert scores_digest(Evaluation(step=1, loss=1.0, acc=0.5)) is None


def test_each_evaluation_is_told_and_stands_in_the_result_with_its_digest(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "acc", "cpu")
    seen = [evaluation(10, [0.0, 1.0]), evaluation(20, [1.0, 1.0], loss=math.nan), evaluation(20, [1.0, 0.0])]
    told = [recorder.add(each) for each in seen]
    assert [message["scores_digest"] for message in told] == [scores_digest(each) for each in seen]
    assert recorder.result("ok", seen[-1], None)["evaluations"] == [
        [10, 1.0, 0.5, scores_digest(seen[0])],
        [20, 1.0, 0.5, scores_digest(seen[2])],
    ]
    recorder.publish({}, None)


def test_an_evaluation_without_scores_or_with_a_loss_that_is_no_number_is_told_too(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "acc", "cpu")
    recorder.add(Evaluation(step=10, loss=math.inf, acc=None))
    assert recorder.result("ok", None, None)["evaluations"] == [[10, "inf", None, None]]
    recorder.publish({}, None)


def test_scores_of_every_evaluation_are_kept_where_they_are_wanted(tmp_path: Path) -> None:
    for folder, keeps in (("some", True), ("none", False)):
        run_dir = tmp_path / folder
        run_dir.mkdir()
        recorder = Recorder(run_dir, "acc", "cpu", keeps_scores=keeps)
        for each in (evaluation(10, [0.0, 1.0]), Evaluation(step=15, loss=1.0, acc=0.5)):
            recorder.add(each)
        kept = sorted(path.name for path in (run_dir / "scores").glob("*"))
        assert kept == (["10.npy"] if keeps else [])
        recorder.publish({}, None)
    assert np.load(tmp_path / "some" / "scores" / "10.npy").tolist() == [0.0, 1.0]
