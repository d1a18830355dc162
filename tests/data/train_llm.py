"""A stand-in for somebody's own training script, which knows nothing of Roundhouse.

It learns which letter follows which two, from a text that it makes itself, and writes `metrics.jsonl` and
checkpoints into its output folder.
"""

import argparse
import collections
import json
import math
import pathlib
import random

LETTERS = "abcdefghijklmnopqrstuvwxyz ."
TOKENS_OF_A_STEP = 512


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--train_tokens", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--output_dir", type=pathlib.Path, required=True)
    parser.add_argument("--smoothing", type=float, default=1.0)
    parser.add_argument("--fail_at", type=int, help="end badly after so many steps")
    arguments = parser.parse_args()
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    held_out = text(random.Random("held out"), 4000)
    draw = random.Random(arguments.seed)
    counts = collections.Counter()
    steps = arguments.train_tokens // TOKENS_OF_A_STEP
    with (arguments.output_dir / "metrics.jsonl").open("w") as stream:
        for step in range(1, steps + 1):
            learn(counts, text(draw, TOKENS_OF_A_STEP))
            loss = mean_loss(counts, held_out, arguments.smoothing)
            line = {"step": step, "tokens": step * TOKENS_OF_A_STEP, "loss": loss}
            stream.write(json.dumps(line) + "\n")
            stream.flush()
            if step % 5 == 0 or step == steps:
                save(counts, arguments.output_dir / f"checkpoint-{step}")
            if step == arguments.fail_at:
                raise SystemExit("RuntimeError: the loss is going up")


def text(draw, length):
    """Words of two to five letters, some letters and words more common than others."""
    found = []
    while len(found) < length:
        first = int(draw.random() ** 2 * 26)
        found += (
            LETTERS[(first + place * place * (1 + first % 3)) % 26] for place in range(draw.randint(2, 5))
        )
        found.append(" ")
    return "".join(found[:length])


def learn(counts, seen):
    for place in range(2, len(seen)):
        counts[seen[place - 2 : place + 1]] += 1
        counts[seen[place - 2 : place]] += 1


def mean_loss(counts, seen, smoothing):
    """Mean surprise at a letter after two others, nat."""
    total = 0.0
    for place in range(2, len(seen)):
        of_three = counts[seen[place - 2 : place + 1]] + smoothing
        of_two = counts[seen[place - 2 : place]] + smoothing * len(LETTERS)
        total -= math.log(of_three / of_two)
    return total / (len(seen) - 2)


def save(counts, folder):
    folder.mkdir(exist_ok=True)
    (folder / "model.json").write_text(json.dumps(counts))


if __name__ == "__main__":
    main()
