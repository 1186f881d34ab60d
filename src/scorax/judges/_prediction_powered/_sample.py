"""Weighted samples: means, and what each row adds to the variance of a mean."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float


class Sample(NamedTuple):
    """Rows by what they count for. All sums over rows are of these."""

    share: Float[Array, " n"]
    """Of each row in the mean; 0 where it takes no part."""
    noise: Float[Array, " n"]
    """What a row's squared deviation adds to the variance of the mean."""
    size: Float[Array, ""]
    """Number of observations."""

    def mean(self, x: Float[Array, " n"]) -> Float[Array, ""]:
        """Of the rows; 0 where there are none."""
        return self.share @ x

    def covariance(self, x: Float[Array, " n"], y: Float[Array, " n"]) -> Float[Array, ""]:
        """Of the means of two columns."""
        return self.noise @ ((x - self.mean(x)) * (y - self.mean(y)))


def sample(
    n: int, dtype: jnp.dtype, weight: Float[Array, " n"] | None = None, count: Float[Array, " n"] | None = None
) -> Sample:
    """Rows with weights and counts, both 1 by default; where only counts are given they are the weights, too.

    The weight is what a row adds to the mean, the count how many observations it stands for. So whole numbers as counts
    are repetitions, and weights alone are inverse sampling probabilities; 0 leaves a row out in either way.
    """
    counts = jnp.ones(n, dtype) if count is None else count.astype(dtype)
    weights = counts if weight is None else weight.astype(dtype)
    used = (weights > 0) & (counts > 0)
    weights, counts = jnp.where(used, weights, 0), jnp.where(used, counts, 0)
    total = weights.sum()
    share = weights / jnp.where(total > 0, total, 1)
    return Sample(share, share**2 / jnp.where(used, counts, 1), counts.sum())


def held(x: Float[Array, " n"], rows: Sample) -> Float[Array, " n"]:
    """Values of the rows that take part; 0 for others, whatever they hold."""
    return jnp.where(rows.share > 0, x, 0)


def refuse_none(n: int, m: int) -> None:
    """Raise `ValueError` where one of the two samples is empty."""
    if n == 0:
        raise ValueError("there are no gold labels: predictions alone say nothing about their own errors")
    if m == 0:
        raise ValueError("there are no items without a gold label, so predictions have nothing to add: leave them out")
