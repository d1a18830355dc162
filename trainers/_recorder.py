"""What is kept of a run? A line per evaluation while it goes, and at its end how it ended."""

from __future__ import annotations

import hashlib
import math
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from trainers._checkpoint import Origin
from trainers._failures import Failure
from trainers._wire import number
from trainers.contract import Evaluation

DIGEST_LENGTH = 16
#: in the run's folder: <step>.npy with the scores of that evaluation, where they are wanted
SCORES_FOLDER = "scores"


def metric_of(evaluation: Evaluation, metric: str) -> float | None:
    """The metric of that name; None where the evaluation has none."""
    if metric == "acc":
        return evaluation.acc
    if metric == "loss":
        return evaluation.loss
    return evaluation.extra.get(metric)


def examples_of(evaluation: Evaluation) -> int | None:
    return evaluation.n_eval if evaluation.scores is None else len(evaluation.scores)


class Recorder:
    """Keeps the evaluations of one run and writes its files. Never writes outside the run's folder."""

    def __init__(
        self,
        run_dir: Path,
        metric: str,
        device: str,
        *,
        keeps_scores: bool = False,
        keep_step: int | None = None,
    ) -> None:
        self.run_dir = run_dir
        self.last: Evaluation | None = None
        self._metric = metric
        self._device = device
        #: whether the scores of every evaluation are kept, and not only the last ones
        self._keeps_scores = keeps_scores
        #: up to this step a longer run may inherit the evaluations; None where none may
        self._keep_step = keep_step
        #: what was said of those, the ones that this run has inherited itself included
        self.heritage: list[dict[str, Any]] = []
        self._inherited: Origin | None = None
        #: [step, loss, acc, digest of the scores] by step
        self._evaluations: dict[int, list[Any]] = {}
        self._curve: dict[int, float] = {}
        self._accs: list[float] = []
        self._losses: list[float] = []
        self._eval_seconds: float | None = None
        self._train_seconds = 0.0
        self._started_at = time.monotonic()
        # Unsynced: the truth about the run is its result, and a line is lost only with its run.
        self._metrics = (run_dir / "metrics.jsonl").open("ab", buffering=0)
        _reset_peak_memory(device)

    def elapsed_seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self._started_at

    def spent_seconds(self) -> float:
        """Since the run began, and before that by the run that it goes on from."""
        return self.elapsed_seconds() + (self._inherited.train_seconds if self._inherited else 0.0)

    def inherit(self, origin: Origin, n_eval: int | None) -> None:
        """The run goes on from another's state. What that one measured on the same examples is its own."""
        self._inherited = origin
        if origin.n_eval != n_eval:
            return
        for told in origin.evaluations:
            self._remember(told)
            line = {name: value for name, value in told.items() if name != "scores_digest"}
            self._metrics.write(orjson.dumps({**line, "inherited": True}) + b"\n")

    def add(self, evaluation: Evaluation) -> dict[str, Any]:
        """Keep an evaluation; the `evaluation` message that tells of it."""
        self.last = evaluation
        self._train_seconds = self.elapsed_seconds()
        if evaluation.eval_seconds is not None:
            self._eval_seconds = (self._eval_seconds or 0.0) + evaluation.eval_seconds
        if self._keeps_scores and evaluation.scores is not None:
            self._save_scores(evaluation)
        line = {
            "step": evaluation.step,
            "loss": number(evaluation.loss),
            "acc": number(evaluation.acc),
            "value": number(metric_of(evaluation, self._metric)),
            "n_eval": examples_of(evaluation),
            "n_clusters": evaluation.n_clusters,
            "extra": {name: number(extra) for name, extra in evaluation.extra.items()},
            "train_seconds": round(self._train_seconds, 6),
        }
        self._metrics.write(orjson.dumps(line) + b"\n")
        told = {**line, "scores_digest": scores_digest(evaluation)}
        self._remember(told)
        return {"type": "evaluation", **told}

    def _remember(self, told: Mapping[str, Any]) -> None:
        step, loss, acc, value = (told[name] for name in ("step", "loss", "acc", "value"))
        if self._keep_step is not None and step <= self._keep_step:
            self.heritage.append(dict(told))
        if value is not None:
            self._curve[step] = float(value)
        if acc is not None:
            self._accs.append(float(acc))
        if loss is not None:
            self._losses.append(float(loss))
        self._evaluations[step] = [step, loss, acc, told["scores_digest"]]

    def result(self, status: str, final: Evaluation | None, failure: Failure | None) -> dict[str, Any]:
        """What result.json says; `final` is the evaluation that counts."""
        extra = final.extra if final else {}
        last = final or self.last
        return {
            "status": status,
            "steps": last.step if last else None,
            "inherited_steps": self._inherited.step if self._inherited else 0,
            "inherited_seconds": self._inherited.train_seconds if self._inherited else 0.0,
            "acc": number(final.acc) if final else None,
            "loss": number(final.loss) if final else None,
            "value": number(metric_of(final, self._metric)) if final else None,
            "extra": {name: number(value) for name, value in extra.items()},
            "n_eval": examples_of(final) if final else None,
            "n_clusters": final.n_clusters if final else None,
            "best_val_tok_acc": _finite(max, self._accs),
            "best_val_loss": _finite(min, self._losses),
            "curve": [[step, number(value)] for step, value in sorted(self._curve.items())],
            "evaluations": [look for _, look in sorted(self._evaluations.items())],
            "scores_digest": self._write_scores(final),
            "train_seconds": round(self._train_seconds or self.elapsed_seconds(), 6),
            "eval_seconds": self._eval_seconds,
            "peak_memory_mib": peak_memory_mib(self._device),
            "failure": failure.to_json() if failure else None,
        }

    def publish(self, result: dict[str, Any], failure: Failure | None) -> None:
        """Make the result durable: after this a run that nobody heard of is still known."""
        if failure is not None:
            (self.run_dir / "error.txt").write_text(failure.text + "\n", encoding="utf-8")
        self._metrics.close()
        publish(self.run_dir / "result.json", orjson.dumps(result, option=orjson.OPT_INDENT_2) + b"\n")

    def _write_scores(self, final: Evaluation | None) -> str | None:
        if final is None or final.scores is None:
            return None
        import numpy as np  # only trainers that score examples have it loaded anyway

        np.save(self.run_dir / "scores.npy", np.ascontiguousarray(final.scores, dtype=np.float32))
        return scores_digest(final)

    def _save_scores(self, evaluation: Evaluation) -> None:
        """Whole or not at all: somebody reads them while the run goes on. On disk before they are told of."""
        import numpy as np

        folder = self.run_dir / SCORES_FOLDER
        folder.mkdir(exist_ok=True)
        partial = folder / f".{evaluation.step}.npy"
        np.save(partial, np.ascontiguousarray(evaluation.scores, dtype=np.float32))
        partial.rename(folder / f"{evaluation.step}.npy")


def scores_digest(evaluation: Evaluation) -> str | None:
    """Equal digests mean equal scores of all examples; None where there are none."""
    if evaluation.scores is None:
        return None
    import numpy as np

    scores = np.ascontiguousarray(evaluation.scores, dtype=np.float32)
    return hashlib.sha256(scores.tobytes()).hexdigest()[:DIGEST_LENGTH]


def publish(path: Path, data: bytes) -> None:
    """Put `data` at `path`, whole or not at all, and durable when this returns."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def peak_memory_mib(device: str) -> float | None:
    """Most memory the run held: on its GPU, else in the worker and its largest child."""
    if device.startswith("cuda"):
        torch = sys.modules.get("torch")
        if torch is None or not torch.cuda.is_initialized():
            return None
        return round(torch.cuda.max_memory_allocated() / 2**20, 1)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    largest_child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return round((own + largest_child) / 1024, 1)


def _finite(choose: Callable[[list[float]], float], values: list[float]) -> float | None:
    """The chosen one of those values that are numbers at all."""
    finite = [value for value in values if math.isfinite(value)]
    return choose(finite) if finite else None


def _reset_peak_memory(device: str) -> None:
    torch = sys.modules.get("torch")
    if device.startswith("cuda") and torch is not None and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
