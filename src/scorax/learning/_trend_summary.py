"""What a posterior says of a trend: its slope, whether it falls, and bands about it."""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from scorax.inference import Posterior, posterior_predictive
from scorax.learning._bayesian_trend import BayesianTrend
from scorax.learning._timed_scores import TimedScores
from scorax.stats import percentile_interval


class TrendSlope(NamedTuple):
    """Slopes per unit of time, of each source and piece."""

    mean: Float[Array, "s p"]
    std_error: Float[Array, "s p"]
    """Standard deviation of the draws."""
    lower: Float[Array, "s p"]
    upper: Float[Array, "s p"]
    falling: Float[Array, "s p"]
    """Probability that the slope is below zero."""


class TrendBand(NamedTuple):
    """A curve and a band about it."""

    centre: Float[Array, " q"]
    lower: Float[Array, " q"]
    upper: Float[Array, " q"]


def trend_slope(posterior: Posterior[BayesianTrend], *, level: float = 0.9) -> TrendSlope:
    """The slope per unit of time, with an interval and the probability that it is negative.

    Args:
        posterior: Draws of a `BayesianTrend`.
        level: Of the interval between two quantiles.

    Raises:
        ValueError: `level` is not inside (0, 1).

    Example:
        >>> scores = sx.learning.TimedScores.from_arrays(np.arange(8.0), [7.0, 6.6, 6.8, 6.1, 5.9, 6.0, 5.2, 5.0])
        >>> model = sx.learning.BayesianTrend.init(scores)
        >>> posterior = sx.inference.sample(model, scores, key=jax.random.key(0), method="laplace", progress=False)
        >>> trend_slope(posterior).falling > 0.99
        Array([[ True]], dtype=bool)
    """
    draws = _flat(posterior.map(BayesianTrend.slope))
    interval = percentile_interval(draws, level=level)
    falling = (draws < 0).mean(0, dtype=draws.dtype)
    return TrendSlope(draws.mean(0), draws.std(0), interval.lower, interval.upper, falling)


def trend_band(
    posterior: Posterior[BayesianTrend], time: Float[Array, " q"], *, group: int = 0, level: float = 0.9
) -> TrendBand:
    """Where the line is: the expected score at some times, with a credible interval at each.

    Args:
        posterior: Draws of a `BayesianTrend`.
        time: In the unit of the data.
        group: Id of the source.
        level: Of the interval at each time.

    Raises:
        ValueError: `level` is not inside (0, 1).
    """
    return _band(_flat(posterior.map(_MeanScore(time, jnp.asarray(group)))), level)


def predictive_band(
    posterior: Posterior[BayesianTrend],
    time: Float[Array, " q"],
    *,
    key: PRNGKeyArray,
    group: int = 0,
    level: float = 0.9,
) -> TrendBand:
    """Where a new score would be at some times: the line's uncertainty and the noise of a single score.

    Args:
        posterior: Draws of a `BayesianTrend`.
        time: In the unit of the data.
        key: The same key gives the same band.
        group: Id of the source.
        level: Of the interval at each time.

    Raises:
        ValueError: `level` is not inside (0, 1), or there is no such source.
    """
    # The outcomes of a design are not looked at, but must be ones that the model knows.
    outcome = np.full(time.shape, posterior.still.score_location)
    design = TimedScores.from_arrays(np.asarray(time), outcome, group=np.full(time.shape, group))
    return _band(_flat(posterior_predictive(posterior, design, key=key, statistic=_scores)), level)


class _MeanScore(eqx.Module):
    time: Float[Array, " q"]
    group: Array

    def __call__(self, model: BayesianTrend) -> Float[Array, " q"]:
        return model.mean_score(self.time, jnp.broadcast_to(self.group, self.time.shape))


def _scores(data: TimedScores, *_: Any) -> Float[Array, " q"]:
    return data.score


def _flat(draws: Float[Array, "c r ..."]) -> Float[Array, "s ..."]:
    return draws.reshape(-1, *draws.shape[2:])


def _band(draws: Float[Array, "s q"], level: float) -> TrendBand:
    interval = percentile_interval(draws, level=level)
    return TrendBand(draws.mean(0), interval.lower, interval.upper)
