"""Whether answers change with the order in which options are shown: a permutation test of two tallies."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray


class OrderSensitivity(eqx.Module):
    """How far the answers in two orders of the options lie apart. NaN where one of the two has no answer."""

    distance: Float[Array, "*b"]
    """Total variation distance of the two distributions of answers, in [0, 1]."""
    expected: Float[Array, "*b"]
    """Mean distance where the order does not matter: that of noise alone."""
    p_value: Float[Array, "*b"]
    """Share of shuffled answers that lie at least as far apart, this one included."""
    modal_flip: Bool[Array, "*b"]
    """Whether no answer is the most common one in both orders."""


def order_sensitivity(key: PRNGKeyArray, first: Any, second: Any, *, n_permutations: int = 9999) -> OrderSensitivity:
    """Whether the order of the options changes the distribution of answers, by a permutation test.

    Answers of both orders are shuffled and dealt out anew; the p-value is exact up to Monte Carlo noise.

    Args:
        key: The same key gives the same result.
        first: Whole counts of each option, `[*b, m]`; not traced.
        second: Counts of the same options, in the same places, when they were shown in another order.
        n_permutations: How many times to shuffle.

    Returns:
        `OrderSensitivity`, at least `1 / (n_permutations + 1)` in its p-values.

    Raises:
        ValueError: shapes differ, a count is negative or not whole, or `n_permutations` is below 1.

    Example:
        >>> found = order_sensitivity(jax.random.key(0), jnp.array([40, 10]), jnp.array([15, 35]))
        >>> found.distance, found.p_value, found.modal_flip
        (Array(0.5, dtype=float32), Array(1.e-04, dtype=float32), Array(True, dtype=bool))

    Source: Park, Schoenegger & Zhu (2023), arXiv 2302.07267; Phipson & Smyth (2010), doi:10.2202/1544-6115.1585 (the
    p-value).
    """
    one, other = (np.asarray(v, np.float64) for v in (first, second))
    if one.shape != other.shape or one.ndim == 0:
        raise ValueError(f"counts must have the same shape, [..., options], not {one.shape} and {other.shape}")
    if n_permutations < 1:
        raise ValueError(f"n_permutations must be at least 1, not {n_permutations}")
    for name, counts in (("first", one), ("second", other)):
        bad = ~((counts >= 0) & (counts == np.round(counts)))
        if bad.any():
            raise ValueError(f"{name} holds {bad.sum()} values that are no counts, such as {counts[bad][0]}")
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    rows = [v.reshape(-1, v.shape[-1]).astype(np.int64) for v in (one, other)]
    found = [_permuted(generator, a, b, n_permutations) for a, b in zip(*rows, strict=True)]
    distance, expected, p_value = np.asarray(found, np.float64).reshape(-1, 3).T
    flip = np.array([not ((a == a.max()) & (b == b.max())).any() for a, b in zip(*rows, strict=True)], bool)
    flip &= ~np.isnan(distance)
    shape = one.shape[:-1]
    distance, expected, p_value = (jnp.asarray(v.reshape(shape), float) for v in (distance, expected, p_value))
    return OrderSensitivity(distance, expected, p_value, jnp.asarray(flip.reshape(shape)))


def _permuted(
    generator: np.random.Generator, first: np.ndarray, second: np.ndarray, draws: int
) -> tuple[float, float, float]:
    """Distance, its mean over shuffles and its p-value."""
    pooled, n, m = first + second, int(first.sum()), int(second.sum())
    if not n or not m:
        return np.nan, np.nan, np.nan
    dealt = np.concatenate([first[None], generator.multivariate_hypergeometric(pooled, n, size=draws)])
    # In whole numbers, twice the distance times n m, so that equal distances are equal.
    apart = np.abs(m * dealt - n * (pooled - dealt)).sum(-1)
    observed, shuffled = apart[0], apart[1:]
    unit = 2.0 * n * m
    return float(observed / unit), float(shuffled.mean() / unit), (1 + int((shuffled >= observed).sum())) / (1 + draws)
