"""Whether an estimate of the evidence is unbiased."""

from typing import Any

import numpy as np
from jaxtyping import Array, Float

from scorax.inference.validity._chain import require
from scorax.inference.validity._result import TestResult, t_tests, undecided

WIDEST = 1.0
"""Standard deviation of log estimates above which a t-test of their ratio to the truth cries wolf."""


def evidence_test(log_estimates: Float[Array, " r"], log_evidence: float | Float[Array, ""]) -> TestResult:
    """Whether independent estimates of an evidence have the right mean: that of their exponentials, not of the logs.

    Args:
        log_estimates: Logs of independent estimates; minus infinity is an estimate of zero.
        log_evidence: Log of the exact value.

    Returns:
        A t-test that the mean of `estimate / evidence` is one, up to rounding. `details` holds that `mean_ratio`, its
        `std_error`, and the standard deviation `sd` of the log estimates, whose square should grow like the number of
        steps over the number of particles. Above 1 the ratio is so skewed that a t-test cries wolf: NaN with a reason.

    Raises:
        ValueError: There are fewer than ten estimates.

    Example:
        >>> noise = jax.random.normal(jax.random.key(0), (400,))
        >>> unbiased, biased = 0.3 * noise - 0.045, 0.3 * noise  # E exp(s z) = exp(s^2 / 2)
        >>> [sx.inference.validity.evidence_test(x, 0.0).p_value > 0.01 for x in (unbiased, biased)]
        [True, False]

    Source: Del Moral (2004), doi:10.1007/978-1-4684-9393-1 (unbiasedness of particle estimates).
    """
    log_ratio = np.asarray(log_estimates, np.float64) - float(log_evidence)
    require(log_estimates=(len(log_ratio), 10))
    if np.isnan(log_ratio).any():
        return undecided("an evidence is not a number")
    spread = spread_of(log_ratio)
    means = t_tests(np.exp(log_ratio)[:, None], np.ones(1), rounding_of(log_estimates.dtype, float(log_evidence)))
    details = {"mean_ratio": float(means.mean[0]), "std_error": float(means.std_error[0]), "sd": spread}
    if spread > WIDEST:
        return undecided(f"log estimates have standard deviation {spread:.2g}, above 1: use more particles", **details)
    return TestResult(float(means.t[0]), float(means.p_value[0]), details)


def spread_of(log_ratio: Float[np.ndarray, " r"]) -> float:
    """Standard deviation of the logs of estimates; infinite where one is zero."""
    return float(np.std(log_ratio, ddof=1)) if np.isfinite(log_ratio).all() else float("inf")


def rounding_of(dtype: Any, log_evidence: float) -> float:
    """By how much the ratio of an estimate to the evidence may be off for want of digits."""
    return 8 * float(np.finfo(dtype).eps) * max(1.0, abs(log_evidence))
