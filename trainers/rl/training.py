"""How is the policy trained by its rewards, and when is it measured?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainers._fixed_points import evaluation_points
from trainers._reproducible import reproducibly
from trainers._torch_state import on_the_cpu
from trainers.contract import BadArgumentsError, Context, Evaluation
from trainers.rl.addition import stream
from trainers.rl.advantages import Weighed, of_completions, of_tokens
from trainers.rl.base import base_model
from trainers.rl.built_in import BuiltIn
from trainers.rl.completions import planning_of, rewards_of, texts_of
from trainers.rl.config import Config
from trainers.rl.emergence import Emergence
from trainers.rl.heldout import HeldOut
from trainers.rl.policy import Policy
from trainers.rl.problems import Asked, training_and_held_out
from trainers.rl.resumption import TrainingState
from trainers.rl.sampling import Samples, log_probabilities_of, sample
from trainers.rl.sepa_schedule import SepaSchedule
from trainers.rl.step_row import Batch, Totals, step_row

#: problems in a batch where the context leaves it open
BSZ = 16
#: in the run's folder: the adapters of a pretrained model after the last step
ADAPTERS = "adapter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What training begins with, on the CPU. `train` uses it up."""

    config: Config
    #: what the run goes on to train
    policy: Policy
    problems: Sequence[Asked]
    #: the frozen evaluation set
    held_out: Sequence[Asked]
    #: where the run goes on from; None for its beginning
    start: TrainingState | None = None


def prepare(config: Config, context: Context) -> Prepared:
    """The policy as it is before any reward, and the problems. Writes nothing but the cache."""
    torch.set_num_threads(context.threads)
    problems, held_out = training_and_held_out(config, context.n_eval)
    return Prepared(config=config, policy=_policy(config, context), problems=problems, held_out=held_out)


def _policy(config: Config, context: Context) -> Policy:
    if config.model is None:
        return BuiltIn(base_model(config, context.cache_dir))
    from trainers.rl.pretrained import Pretrained

    return Pretrained(config, seed=context.seed)


def train(prepared: Prepared, context: Context) -> Iterator[Evaluation]:
    """An evaluation after every step; those at the fixed points, the last at `max_steps`, measure held out.

    Writes `emergence/` into the run's folder.
    """
    max_steps = context.max_steps
    if max_steps is None or max_steps < 1:
        raise BadArgumentsError(f"max_steps is {max_steps}: rl needs a number of steps, at least 1")
    points = evaluation_points(max_steps, context.eval_every)
    with reproducibly(context), _emergence(prepared, context) as emergence:
        run = Run(prepared, context)
        for step in range(run.step + 1, max_steps + 1):
            batch = run.take_step()
            row = step_row(batch, run.totals)
            emergence.add(batch, row)
            if step == context.keep_step:
                context.keep(run.state(emergence.steps))
            if step == max_steps and context.run_dir is not None:
                run.policy.save_adapters(context.run_dir / ADAPTERS)
            if step in points:
                yield run.evaluation(row)
            else:
                yield Evaluation(step=step, loss=None, acc=None, extra=row)


def full_step(config: Config, context: Context) -> None:
    """A step and an evaluation, as in a run; raises what they raise."""
    prepared = prepare(config, context)
    with reproducibly(context):
        run = Run(prepared, context)
        run.evaluation(step_row(run.take_step(), run.totals))


def resume(prepared: Prepared, state: TrainingState) -> Prepared:
    """What training goes on with, so that it ends in the bits of a run that never stopped."""
    return replace(prepared, start=state)


def _emergence(prepared: Prepared, context: Context) -> Emergence:
    earlier = prepared.start.position["steps"] if prepared.start else ()
    return Emergence(context.run_dir, prepared.config.condition, earlier)


class Run:
    """A policy in training on its device."""

    def __init__(self, prepared: Prepared, context: Context) -> None:
        self.config = config = prepared.config
        self.device = torch.device(context.device)
        self.policy = prepared.policy
        self.policy.to(self.device)
        self.trained = self.policy.trained()
        self.optimizer = torch.optim.AdamW(
            self.trained.values(), lr=config.lr, weight_decay=config.weight_decay
        )
        self.held_out = HeldOut(prepared.held_out, config)
        self.problems, self.bsz = prepared.problems, context.bsz or BSZ
        self.choice = stream("training problems", context.seed)
        self.drawing = torch.Generator(self.device)
        self.drawing.manual_seed(int(stream("training samples", context.seed).integers(2**62)))
        self.sepa = SepaSchedule(delay=config.sepa_delay, steps=config.sepa_steps, gate=config.sepa_gate)
        self.totals = Totals()
        #: steps done
        self.step = 0
        if prepared.start is not None:
            self._go_on_from(prepared.start)

    def take_step(self) -> Batch:
        """Completions of a batch of problems, their rewards, and one step of the optimizer by them."""
        began = time.perf_counter()
        self.step += 1
        problems = [self.problems[place] for place in self.choice.integers(len(self.problems), size=self.bsz)]
        samples = self._drawn(problems)
        texts = texts_of(self.policy, samples)
        rewards = rewards_of(texts, problems)
        sampled = time.perf_counter()
        share = self.sepa.at(self.step, float(rewards.mean()))
        planning = planning_of(self.policy, samples, self.config.planning)
        weighed = self._weighed(samples, rewards, planning, share)
        loss, learned_from, norm = self._learn(samples, weighed)
        return Batch(
            step=self.step,
            problems=problems,
            texts=texts,
            rewards=rewards,
            samples=samples,
            planning=planning,
            weighed=weighed,
            loss=loss,
            num_datums=learned_from,
            grad_norm=norm,
            sepa_lambda=share if self.config.transform == "gtpo_sepa" else 0.0,
            sepa_gate_open=self.sepa.is_open,
            sample_seconds=sampled - began,
            step_seconds=time.perf_counter() - began,
        )

    def evaluation(self, row: dict[str, float]) -> Evaluation:
        """The state of the run on the frozen problems, with the row of its last step."""
        began = time.perf_counter()
        scores, measured = self.held_out.measure(self.policy)
        return Evaluation(
            step=self.step,
            loss=None,
            acc=float(scores.mean(dtype=np.float64)),
            scores=scores,
            extra={**row, **measured},
            eval_seconds=time.perf_counter() - began,
        )

    def state(self, steps: Sequence[Mapping[str, Any]]) -> TrainingState:
        """A copy of all that the steps to come depend on, and what was told of those that are done."""
        return TrainingState(
            step=self.step,
            position={
                "choice": self.choice.bit_generator.state,
                "gate": self.sepa.is_open,
                "totals": self.totals.to_json(),
                "steps": list(steps),
            },
            model=on_the_cpu(dict(self.trained)),
            optimizer=on_the_cpu(self.optimizer.state_dict()),
            drawing=self.drawing.get_state().clone(),
        )

    def _go_on_from(self, start: TrainingState) -> None:
        self.step = start.step
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(start.model[name])
        # A copy, because the optimizer would go on to train in the tensors that it is given.
        self.optimizer.load_state_dict(on_the_cpu(start.optimizer))
        self.choice.bit_generator.state = start.position["choice"]
        self.sepa.is_open = bool(start.position["gate"])
        self.totals = Totals.from_json(start.position["totals"])
        self.drawing.set_state(start.drawing.clone())

    def _drawn(self, problems: Sequence[Asked]) -> Samples:
        prompts = self.policy.prompts([problem.prompt for problem in problems])
        return sample(
            self.policy,
            prompts.repeated(self.config.samples),
            max_tokens=self.config.max_tokens,
            generator=self.drawing,
            temperature=self.config.temperature,
        )

    def _weighed(
        self, samples: Samples, rewards: np.ndarray, planning: np.ndarray, sepa_lambda: float
    ) -> Weighed:
        config = self.config
        return of_tokens(
            of_completions(rewards, config.advantage).reshape(-1),
            samples.log_probabilities.double().cpu().numpy(),
            generated=samples.generated.cpu().numpy(),
            planning=planning,
            transform=config.transform,
            beta=config.beta,
            alpha=config.alpha,
            sepa_lambda=sepa_lambda,
        )

    def _learn(self, samples: Samples, weighed: Weighed) -> tuple[float, int, float]:
        """The loss per token before the step, the completions learned from, and the gradient's norm.

        Groups that are all right or all wrong teach nothing and are left out of the pass.
        """
        teaches = np.flatnonzero(weighed.advantages.any(axis=1))
        if not len(teaches):
            return 0.0, 0, 0.0
        chosen = torch.from_numpy(teaches).to(self.device)
        part = samples.chosen(chosen)
        advantages = torch.from_numpy(weighed.advantages[teaches]).float().to(self.device)
        tokens = part.generated.sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss = 0.0
        for places in torch.arange(len(teaches), device=self.device).split(
            self.config.pass_size or len(teaches)
        ):
            of_pass = self._loss(part.chosen(places), advantages[places]) / tokens
            of_pass.backward()
            loss += float(of_pass.detach())
        norm = torch.nn.utils.clip_grad_norm_(self.trained.values(), self.config.clip_grad)
        self.optimizer.step()
        return loss, len(teaches), float(norm)

    def _loss(self, samples: Samples, advantages: Tensor) -> Tensor:
        """Importance sampling against the policy that drew: the ratio is 1, its gradient is that of log p."""
        told = log_probabilities_of(self.policy, samples, self.config.temperature)
        ratio = torch.exp(told - samples.log_probabilities)
        return -(ratio * advantages).sum()
