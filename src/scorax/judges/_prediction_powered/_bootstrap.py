"""The bootstrap of prediction-powered means: both samples drawn anew, the power tuned anew."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from scorax.judges._prediction_powered._mean import Power, powered_mean
from scorax.judges._prediction_powered._sample import sample
from scorax.stats import multinomial_weights


def ppi_bootstrap(
    key: PRNGKeyArray,
    labels: Float[Array, " n"],
    predictions: Float[Array, " n"],
    unlabeled: Float[Array, " N"],
    n_resamples: int,
    *,
    power: Power = None,
) -> Float[Array, " r"]:
    """`ppi_mean` of resamples of both samples, with the power tuned for each: its noise counts, too.

    Unlike the normal interval, one of these draws (`scorax.stats.percentile_interval`, `bca_interval`) knows of
    skewness, and of the tuning.

    Args:
        key: The same key gives the same draws.
        labels: Gold labels.
        predictions: What the judge says of the same items.
        unlabeled: What it says of the others; at least one.
        n_resamples: Number of resamples, `r`.
        power: As in `ppi_mean`.

    Example:
        >>> truth = jnp.array([1.0, 0.0, 1.0, 1.0] * 10)
        >>> draws = ppi_bootstrap(jax.random.key(0), truth, truth, jnp.array([1.0, 0.0, 1.0] * 50), 500)
        >>> draws.shape, bool(abs(draws.mean() - 0.69) < 0.02)
        ((500,), True)

    Source: Zrnic (2024), arXiv:2405.18379; Efron (1979), doi:10.1214/aos/1176344552.
    """
    first, second = jax.random.split(key)
    n, m, dtype = labels.shape[0], unlabeled.shape[0], labels.dtype
    counts = multinomial_weights(first, jnp.ones(n, dtype), n_resamples)
    unlabeled_counts = multinomial_weights(second, jnp.ones(m, dtype), n_resamples)

    def one(count: Float[Array, " n"], unlabeled_count: Float[Array, " N"]) -> Float[Array, ""]:
        rows, others = sample(n, dtype, count=count), sample(m, dtype, count=unlabeled_count)
        return powered_mean(labels, predictions, unlabeled, rows, others, power).value

    return jax.vmap(one)(counts, unlabeled_counts)
