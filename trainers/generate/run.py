"""How does a parameter set become samples and figures? Batch after batch, each sample on disk once graded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from trainers._reproducible import reproducibly
from trainers.contract import BadArgumentsError, Context, Evaluation
from trainers.generate import metrics, samples
from trainers.generate.base import Base, Recipe, base_model
from trainers.generate.config import Config, instructions
from trainers.generate.critic import Opinion, opinions
from trainers.generate.formats import instruction_prompt
from trainers.generate.samples import Sample
from trainers.generate.sampling import Continuation, Parameters, batches, continuations
from trainers.generate.texts import CLEANING_VERSION, cleaned

#: samples that are written at once where the context leaves it open
BATCH = 50
#: samples of a shard, after which there is an evaluation, where the context leaves it open
SHARD = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What sampling begins with, on the CPU. `sample` takes the model to its device."""

    config: Config
    base: Base
    #: instructions, in order
    prompts: tuple[str, ...]


def prepare(config: Config, context: Context) -> Prepared:
    """The base model of the config, and its prompts."""
    base = base_model(Recipe(steps=config.base_steps, seed=config.base_seed), context)
    torch.set_num_threads(context.threads)
    return Prepared(config=config, base=base, prompts=instructions(config))


def sample(prepared: Prepared, context: Context) -> Iterator[Evaluation]:
    """An evaluation after each shard. Sample k answers prompt k, the prompts again from the first in turn."""
    if context.run_dir is None:
        raise BadArgumentsError("samples are kept in the run's folder: `train` needs a context with run_dir")
    with reproducibly(context):
        prepared.base.model.to(context.device)
        path = context.run_dir / samples.FILE_NAME
        count = context.n_eval or prepared.config.n_samples
        done: list[Sample] = []
        for shard in batches(count, context.eval_every or SHARD):
            for batch in batches(len(shard), context.bsz or BATCH):
                written = _written(prepared, shard[batch.start : batch.stop], context)
                samples.append(path, written, map(metrics.flags, written))
                done += written
            yield _evaluation(done, prepared)


def full_step(config: Config, context: Context) -> None:
    """A batch of the longest samples; raises what it raises."""
    whole = config.model_copy(update={"stop": ()})
    prepared = prepare(whole, context)
    with reproducibly(context):
        prepared.base.model.to(context.device)
        _written(prepared, range(context.bsz or BATCH), context)


def _written(prepared: Prepared, indices: Sequence[int], context: Context) -> list[Sample]:
    config = prepared.config
    asked = [prepared.prompts[index % len(prepared.prompts)] for index in indices]
    parameters = Parameters(
        temperature=config.temperature,
        top_p=config.top_p,
        repetition_penalty=config.repetition_penalty,
        max_new_tokens=config.max_new_tokens,
        stop=config.stop,
    )
    uniforms = torch.stack([_uniforms(context.seed, index, config.max_new_tokens) for index in indices])
    written = continuations(
        prepared.base, [instruction_prompt(ask) for ask in asked], parameters, uniforms, context.device
    )
    made = [_sample(index, ask, each) for index, ask, each in zip(indices, asked, written, strict=True)]
    if not config.critic:
        return made
    found = opinions(prepared.base, [(each.prompt, each.cleaned) for each in made], context.device)
    return [_judged(each, opinion) for each, opinion in zip(made, found, strict=True)]


def _uniforms(seed: int, index: int, count: int) -> torch.Tensor:
    """The chance of one sample: the same for every parameter set, whatever is sampled beside it."""
    return torch.from_numpy(np.random.default_rng([seed, index]).random(count)).float()


def _sample(index: int, prompt: str, written: Continuation) -> Sample:
    return Sample(
        index=index,
        prompt=prompt,
        raw=written.text,
        cleaned=cleaned(written.text),
        finish_reason=written.finish_reason,
        tokens=written.tokens,
        cleaning=CLEANING_VERSION,
    )


def _judged(unjudged: Sample, opinion: Opinion) -> Sample:
    return replace(unjudged, log_p_accept=opinion.accept, log_p_reject=opinion.reject)


def _evaluation(done: Sequence[Sample], prepared: Prepared) -> Evaluation:
    """Of all samples so far. The score of one is the critic's probability that it is good."""
    margins = [margin for each in done if (margin := each.margin) is not None]
    scores = 1 / (1 + np.exp(-np.array(margins))) if margins else None
    return Evaluation(
        step=len(done),
        loss=None,
        acc=None if scores is None else float(scores.mean()),
        scores=None if scores is None else scores.astype(np.float32),
        extra=metrics.graded(done, metrics.definitions(prepared.config.definitions)),
        n_eval=len(done),
        n_clusters=min(len(done), len(prepared.prompts)),
    )
