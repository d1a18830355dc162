"""After which steps is a run measured?"""

from __future__ import annotations

#: evaluations of a run where the context leaves their points open
EVALUATIONS = 5


def evaluation_points(max_steps: int, eval_every: int | None) -> frozenset[int]:
    """The steps after which the model is measured: multiples of `eval_every`, and the last step.

    They depend on nothing but the arguments: what is compared is measured at the same points.
    """
    every = eval_every or max(1, max_steps // EVALUATIONS)
    return frozenset((*range(every, max_steps, every), max_steps))
