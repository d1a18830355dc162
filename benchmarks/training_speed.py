"""How fast does `future_seed` train, beside a loop as people write it, and what does its time go to?

On the CPU with one thread and with two; on a CUDA device, where there is one, beside what its memory and its
arithmetic allow. All ways take turns, so that a busy moment meets each of them. One thread is timed in
processor time, all else by the clock.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from subject import heading
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from training_ways import Way, surroundings, trainers_loss, ways

from trainers.future_seed import Config
from trainers.future_seed.training import Run, reproducibly

#: name: arguments of the trainer; the demo's first
SIZES: dict[str, dict[str, Any]] = {
    "4x4": {},
    "4x4, prompt": {"layout": "prompt"},
    "9x9": {"side": 9, "masked": 28},
    "9x9, 128 channels": {"side": 9, "masked": 28, "d_model": 128, "head_size": 32},
}
#: measured on a CUDA device only
LARGE_SIZES: dict[str, dict[str, Any]] = {
    "513 tokens, 512 channels": {
        "task": "kvsort",
        "length": 128,
        "symbols": 512,
        "d_model": 512,
        "head_size": 64,
        "n_layer": 6,
    }
}

#: largest relative difference of losses and of gradients at which two ways compute the same
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2}

#: timed evaluations of each way, and steps however long they take
LOOKS, FEWEST_STEPS = 3, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="for the steps of a table")
    parser.add_argument("--size", action="append", choices=[*SIZES, *LARGE_SIZES], help="only this, or these")
    parser.add_argument("--threads", type=int, action="append", help="on the CPU, only so many (1 and 2)")
    parser.add_argument("--bsz", type=int, default=32, help="examples in a training batch")
    arguments = parser.parse_args()
    places = [("cpu", threads, "float32") for threads in arguments.threads or (1, 2)]
    if torch.cuda.is_available():
        places += [("cuda:0", 1, "float32"), ("cuda:0", 1, "bfloat16")]
    print(heading())
    print(f"torch {torch.__version__}, batches of {arguments.bsz}")
    if not torch.cuda.is_available():
        print("CUDA: skipped, there is no device")
    agree = True
    with tempfile.TemporaryDirectory(prefix="roundhouse-benchmark-") as cache:
        for name, (device, threads, kind) in product(arguments.size or SIZES | LARGE_SIZES, places):
            if name in LARGE_SIZES and device == "cpu":
                continue
            config = Config(gate="scalar", precision=kind, **(SIZES | LARGE_SIZES)[name])
            context = surroundings(device=device, threads=threads, bsz=arguments.bsz, cache=Path(cache))
            print(f"\n### {name}; {device}, {threads} thread{'s' * (threads > 1)}, {kind}\n", flush=True)
            with reproducibly(context):
                agree &= measured(ways(config, context), arguments.seconds)
    sys.exit(not agree)


def measured(compared: Sequence[Way], spend: float) -> bool:
    """Print the tables of one size at one place. False where the ways do not compute the same."""
    steps, looks = in_turns(compared, spend)
    difference = largest_difference(compared)
    by_hand, *_, trainer = compared
    tokens = tokens_of_a_step(trainer.run)
    print("| Way | ms a step | tokens/s | Of by hand | Examples evaluated/s | Of by hand |")
    print("|---|---|---|---|---|---|")
    for way in compared:
        step, look = statistics.median(steps[way.name]), statistics.median(looks[way.name])
        faster = quotient(steps[by_hand.name], steps[way.name])
        sooner = quotient(looks[by_hand.name], looks[way.name])
        print(
            f"| {way.name} | {1000 * step:.1f} | {tokens / step:,.0f} | {faster:.2f} | {1 / look:,.0f} | "
            f"{sooner:.1f} |"
        )
    print(f"\n{len(steps[trainer.name])} steps each, kernel {trainer.run.model.kernel}")
    print(f"loss and gradients differ by {difference:.1e}")
    print(f"of the trainer's step: {shares(trainer.run)}")
    print(against_the_limits(trainer, statistics.median(steps[trainer.name])))
    if trainer.run.device.type == "cuda":
        print(f"forward and backward as a CUDA graph: {as_a_graph(trainer.run)}")
    return difference <= TOLERANCE[trainer.run.dtype]


def largest_difference(compared: Sequence[Way]) -> float:
    """Of the losses and gradients of one batch, relative to the largest, with the trainer's last weights."""
    trainer = compared[-1].run
    batch = next(trainer.batches)
    found = []
    for way in compared:
        way.run.model.load_state_dict(trainer.model.state_dict())
        loss = way.loss(batch)
        gradients = torch.autograd.grad(loss, way.run.optimizer.parameters)
        found.append((loss.detach().float(), torch.cat([x.flatten() for x in gradients])))
    return max(
        float((x - y).abs().max() / x.abs().max())
        for others in found[1:]
        for x, y in zip(found[0], others, strict=True)
    )


def in_turns(compared: Sequence[Way], spend: float) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds of a step and of an evaluated example, by way: a step of each, in turns, for `spend` seconds.

    First ones, which fill caches, are not counted.
    """
    looks: dict[str, list[float]] = {way.name: [] for way in compared}
    for look in range(LOOKS + 1):
        for way in compared:
            evaluated: list[int] = []
            took = seconds(lambda: evaluated.append(way.evaluate()), way.run)  # noqa: B023
            if look > 0:
                looks[way.name].append(took / evaluated[0])
    steps: dict[str, list[float]] = {way.name: [] for way in compared}
    end = time.monotonic() + spend
    while time.monotonic() < end or len(steps[compared[-1].name]) <= FEWEST_STEPS:
        for way in compared:
            steps[way.name].append(seconds(way.step, way.run))
    return {name: taken[1:] for name, taken in steps.items()}, looks


def seconds(work: Callable[[], Any], run: Run) -> float:
    """Of processor time where one thread works: other work on the machine lengthens it less."""
    alone = run.device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    wait(run)
    begun = clock()
    work()
    wait(run)
    return clock() - begun


def wait(run: Run) -> None:
    if run.device.type == "cuda":
        torch.cuda.synchronize()


def quotient(whole: Sequence[float], part: Sequence[float]) -> float:
    """The median of the quotients, turn by turn: a busy moment is in both."""
    return statistics.median(x / y for x, y in zip(whole, part, strict=True))


def tokens_of_a_step(run: Run) -> int:
    passes = 1 if run.config.layout == "infill" else 2
    return run.batches.bsz * run.config.n_token * passes


def shares(run: Run, count: int = 20) -> str:
    """What a step's time goes to, and how many steps an evaluation takes. Waiting after each part."""
    spent = dict.fromkeys(("data", "forward", "backward", "optimizer"), 0.0)
    gradients = torch.autograd.grad

    def timed(*arguments: Any) -> Any:
        found: list[Any] = []
        spent["backward"] += seconds(lambda: found.append(gradients(*arguments)), run)
        return found[0]

    for _ in range(count):
        made: list[Any] = []
        spent["data"] += seconds(lambda: made.append(next(run.batches)), run)  # noqa: B023
        spent["forward"] += seconds(lambda: made.append(trainers_loss(run, made[0])), run)  # noqa: B023
        before = spent["backward"]
        with mock.patch.object(torch.autograd, "grad", timed):
            step = seconds(lambda: run.optimizer.step(made[1], 1.0), run)  # noqa: B023
        spent["optimizer"] += step - (spent["backward"] - before)
    whole = sum(spent.values())
    look = seconds(lambda: run.evaluation(1), run)
    told = ", ".join(f"{part} {part_seconds / whole:.0%}" for part, part_seconds in spent.items())
    return f"{told}; an evaluation of 1024 takes as long as {look / whole * count:.1f} steps"


class Traffic(TorchDispatchMode):
    """Counts the bytes that operations read and write: what memory would move if no cache kept anything."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if not function.is_view:
            leaves = [x for x in tree_leaves((args, kwargs, result)) if isinstance(x, Tensor)]
            self.bytes += sum(x.numel() * x.element_size() for x in leaves)
        return result


def against_the_limits(way: Way, step_seconds: float) -> str:
    """The step's arithmetic and memory traffic a second, beside what a product and a copy reach here."""
    with Traffic() as traffic, FlopCounterMode(display=False) as arithmetic:
        way.step()
    # Kernels that are no operations of torch are in neither count.
    uncounted = ", without the recurrence" if way.run.model.kernel == "fla" else ""
    reached = arithmetic.get_total_flops() / step_seconds / 1e9, traffic.bytes / step_seconds / 1e9
    limits = limits_of(way.run)
    return (
        f"a step multiplies at {reached[0]:,.0f} GFLOP/s{uncounted}, {reached[0] / limits[0]:.0%} of the "
        f"{limits[0]:,.0f} of a large product, and asks for {reached[1]:,.1f} GB/s, "
        f"{reached[1] / limits[1]:.0%} of the {limits[1]:,.0f} of a large copy"
    )


def limits_of(run: Run) -> tuple[float, float]:
    """GFLOP/s of a product of large matrices in the run's dtype and GB/s of a copy, the best of five."""
    on_cuda = run.device.type == "cuda"
    size, numbers = (8192, 2**28) if on_cuda else (1024, 2**25)
    x = torch.randn(size, size, device=run.device, dtype=run.dtype)
    source, target = (torch.zeros(numbers, device=run.device) for _ in range(2))
    product_seconds = min(seconds(lambda: x @ x, run) for _ in range(5))
    copy_seconds = min(seconds(lambda: target.copy_(source), run) for _ in range(5))
    return 2 * size**3 / product_seconds / 1e9, 8 * numbers / copy_seconds / 1e9


def as_a_graph(run: Run) -> str:
    """What replaying would save. The trainer launches each kernel anew."""
    batch = next(run.batches).to(run.device)

    def work() -> Any:
        return torch.autograd.grad(trainers_loss(run, batch), run.optimizer.parameters)

    aside = torch.cuda.Stream()
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.stream(aside):
            for _ in range(3):
                work()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph, stream=aside):
            work()
    except Exception as error:  # what cannot be captured says so in many types
        return f"not possible: {type(error).__name__}: {error}".splitlines()[0]
    eager = statistics.median(seconds(work, run) for _ in range(20))
    replayed = statistics.median(seconds(graph.replay, run) for _ in range(20))
    return f"{1000 * replayed:.2f} ms, launched anew {1000 * eager:.2f} ms"


if __name__ == "__main__":
    main()
