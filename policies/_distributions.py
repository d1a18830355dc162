"""Which tails, quantiles and special functions do the verdicts need? scipy's, behind plain floats.

The only module of the policies that knows scipy. It is imported at the first call, and only `scipy.special`
of it: `scipy.stats` would cost the daemon tens of megabytes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def t_upper_tail(t: float, df: float) -> float:
    """P(T >= t) for Student's t with `df` degrees of freedom, which may be infinite."""
    if math.isinf(df):
        return normal_upper_tail(t)
    from scipy.special import stdtr

    return float(stdtr(df, -t))


def t_upper_tails(t: Floats, df: float) -> Floats:
    """P(T >= t) for many values at once."""
    import numpy as np
    from scipy.special import ndtr, stdtr

    return np.asarray(ndtr(-t) if math.isinf(df) else stdtr(df, -t))


def t_upper_quantile(p: float, df: float) -> float:
    """The t with P(T >= t) = p."""
    from scipy.special import ndtri, stdtrit

    return -float(ndtri(p)) if math.isinf(df) else -float(stdtrit(df, p))


def noncentral_t_upper_tail(t: float, df: float, shift: float) -> float:
    """P(T >= t) for the noncentral t: the power of a t test whose mean is `shift` standard errors."""
    if math.isinf(df):
        return normal_upper_tail(t - shift)
    from scipy.special import nctdtr

    below = float(nctdtr(df, shift, t))
    if math.isnan(below):
        # scipy gives no number where the tail is smaller than any float
        return 1.0 if shift > t else 0.0
    return 1.0 - below


def normal_upper_tail(z: float) -> float:
    """P(Z >= z) for the standard normal."""
    return 0.5 * math.erfc(z / math.sqrt(2.0))


def digamma(x: float) -> float:
    """The derivative of log gamma."""
    from scipy.special import psi

    return float(psi(x))


def trigamma(x: float) -> float:
    """The second derivative of log gamma."""
    from scipy.special import polygamma

    return float(polygamma(1, x))
