"""Which share of alpha may each look spend? By simulating rounds without any effect, when the set is frozen.

The safe shares leave room for noise that is not as the prior of the variance says; the simulated one spends
that room, so it is for tasks whose noise prior was fitted to a ledger.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

from policies._delta import SeedCorrelation
from policies._distributions import t_upper_tails
from policies._looks import SAFE_SHARE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DEFAULT_ROUNDS = 40_000
#: the simulated share is lowered by so many standard errors of itself
CAUTION = 2.0


@functools.lru_cache(maxsize=256)
def calibrated_share(
    *,
    candidates: int,
    looks: int,
    alpha: float,
    prior_df: float,
    seed: int,
    rounds: int = DEFAULT_ROUNDS,
    correlation: SeedCorrelation | None = None,
) -> float:
    """c_L for the confirm set: for every number of true nulls, P(any false rejection) stays below alpha.

    The same arguments give the same share, which is kept. Never below the safe one.
    """
    ratios = smallest_ratios(
        candidates=candidates,
        looks=looks,
        prior_df=prior_df,
        seed=seed,
        rounds=rounds,
        correlation=correlation or SeedCorrelation(),
    )
    # the smallest p * k over looks and the first k candidates must fall below c * alpha at most alpha often
    import numpy as np

    cautious = max(0.0, alpha - CAUTION * math.sqrt(alpha * (1 - alpha) / rounds))
    shares = [
        float(np.quantile(ratios[:, :k].min(axis=1) * k, cautious)) / alpha for k in range(1, candidates + 1)
    ]
    return max(SAFE_SHARE[looks], min(1.0, *shares))


def smallest_ratios(
    *, candidates: int, looks: int, prior_df: float, seed: int, rounds: int, correlation: SeedCorrelation
) -> Floats:
    """The smallest p over all looks, by simulated round (row) and candidate (column), where no effect exists.

    Look r has r fresh seeds a candidate and r + 1 of the baseline; the true variance of each round is drawn
    from what the moderated variance assumes.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    shared = math.sqrt(max(0.0, correlation.rho))
    own = math.sqrt(1.0 - max(0.0, correlation.rho))
    by_seed = shared * random.standard_normal((rounds, 1, looks + 1))
    runs = by_seed + own * random.standard_normal((rounds, candidates + 1, looks + 1))
    if math.isfinite(prior_df):
        # s2_true = s0^2 d0 / chi2(d0), with s0 = 1
        runs *= np.sqrt(prior_df / random.chisquare(prior_df, (rounds, 1, 1)))
    baseline, variants = runs[:, 0], runs[:, 1:]
    smallest = np.ones((rounds, candidates))
    for r in range(1, looks + 1):
        reference, ours = baseline[:, : r + 1], variants[:, :, :r]
        mean = reference.mean(axis=1)
        corrected = mean + correlation.theta * (reference[:, :r].mean(axis=1) - mean)
        ss = reference.var(axis=1) * (r + 1) + (ours.var(axis=2) * r).sum(axis=1)
        df = r + candidates * (r - 1)
        if math.isfinite(prior_df):
            variance, df_total = (prior_df + ss) / (prior_df + df), prior_df + df
        else:
            variance, df_total = np.ones(rounds), math.inf
        factor = 1 / r + 1 / (r + 1) - 2 * correlation.theta * correlation.rho / (r + 1)
        t = (ours.mean(axis=2) - corrected[:, None]) / np.sqrt(variance * factor)[:, None]
        smallest = np.minimum(smallest, t_upper_tails(t, df_total))
    return smallest
