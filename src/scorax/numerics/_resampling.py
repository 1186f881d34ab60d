"""Weights in log space and ways to resample by them: every particle gets its share of offspring, on average.

A scheme is a function `(log_weights, *, key) -> ancestors`. All of them give particle `j` an expected number of
`n w_j / sum(w)` offspring, and that alone makes resampling leave a weighted average unchanged in expectation. They
differ in how far the numbers scatter around it. Where all weights are zero there is nothing to choose by, and every
particle is its own ancestor.

Source: Douc, Cappé & Moulines (2005), arXiv:cs/0507025 (comparison of the schemes).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray


def log_mean_weight(log_weights: Float[Array, "*b n"]) -> Float[Array, "*b"]:
    """Log of the mean weight; minus infinity where all weights are zero.

    Example:
        >>> log_mean_weight(jnp.log(jnp.array([1.0, 3.0])))  # log 2
        Array(0.6931472, dtype=float32)
    """
    return jax.nn.logsumexp(log_weights, axis=-1) - jnp.log(jnp.asarray(log_weights.shape[-1], log_weights.dtype))


def log_ess(log_weights: Float[Array, "*b n"]) -> Float[Array, "*b"]:
    r"""Log of the effective sample size of weights, `(sum w)^2 / sum w^2`.

    Args:
        log_weights: Up to a constant.

    Returns:
        Between 0 (one particle has all the weight) and `log n` (all are equal); NaN where all weights are zero.

    Example:
        >>> jnp.exp(log_ess(jnp.array([0.0, 0.0, -jnp.inf])))
        Array(2., dtype=float32)

    Source: Kong, Liu & Wong (1994), doi:10.1080/01621459.1994.10476469.
    """
    return 2 * jax.nn.logsumexp(log_weights, axis=-1) - jax.nn.logsumexp(2 * log_weights, axis=-1)


def log_conditional_ess(log_weights: Float[Array, "*b n"], log_increments: Float[Array, "*b n"]) -> Float[Array, "*b"]:
    r"""Log of the conditional effective sample size of a reweighting, `n (sum w v)^2 / (sum w · sum w v^2)`.

    It says how far apart the targets before and after are, whatever the weights already were: it is `log n` where the
    increments are constant.

    Args:
        log_weights: Log of the weights `w` before, up to a constant.
        log_increments: Log of the factors `v`, up to a constant.

    Returns:
        At most `log n`; NaN where all weights are zero, before or after.

    Example:
        >>> equal = jnp.zeros(3)
        >>> jnp.exp(log_conditional_ess(equal, jnp.array([0.0, 0.0, -jnp.inf])))
        Array(2., dtype=float32)

    Source: Zhou, Johansen & Aston (2016), arXiv:1303.3123.
    """
    total, once, twice = (
        jax.nn.logsumexp(terms, axis=-1)
        for terms in (log_weights, log_weights + log_increments, log_weights + 2 * log_increments)
    )
    return jnp.log(jnp.asarray(log_weights.shape[-1], log_weights.dtype)) + 2 * once - total - twice


def multinomial_indices(log_weights: Float[Array, " n"], *, key: PRNGKeyArray) -> Int[Array, " n"]:
    """Ancestors drawn independently.

    Args:
        log_weights: Up to a constant.
        key: Random key.

    Returns:
        For each place the particle to copy; each place by itself has the law of the weights.

    Example:
        >>> multinomial_indices(jnp.array([-jnp.inf, 0.0, -jnp.inf]), key=jax.random.key(0))
        Array([1, 1, 1], dtype=int32)

    Source: Gordon, Salmond & Smith (1993), doi:10.1049/ip-f-2.1993.0015.
    """
    return _by_positions(log_weights, jax.random.uniform(key, log_weights.shape, log_weights.dtype))


def stratified_indices(log_weights: Float[Array, " n"], *, key: PRNGKeyArray) -> Int[Array, " n"]:
    """Ancestors at one uniform position in each of `n` equal strata of the cumulative weights, ascending.

    Args:
        log_weights: Up to a constant. In single precision positions lose their digits beyond about `n = 1e5`.
        key: Random key.

    Returns:
        For each place the particle to copy; a particle's number of copies is less than 2 from its expectation.

    Example:
        >>> stratified_indices(jnp.zeros(3), key=jax.random.key(0))
        Array([0, 1, 2], dtype=int32)

    Source: Kitagawa (1996), doi:10.1080/10618600.1996.10474692.
    """
    return _by_positions(
        log_weights, _strata(log_weights, jax.random.uniform(key, log_weights.shape, log_weights.dtype))
    )


def systematic_indices(log_weights: Float[Array, " n"], *, key: PRNGKeyArray) -> Int[Array, " n"]:
    """Ancestors at `n` equally spaced positions of the cumulative weights, with one uniform offset, ascending.

    Args:
        log_weights: Up to a constant. In single precision positions lose their digits beyond about `n = 1e5`.
        key: Random key.

    Returns:
        For each place the particle to copy; a particle's number of copies is its expectation, rounded down or up.

    Example:
        >>> systematic_indices(jnp.log(jnp.array([0.5, 0.25, 0.25, 0.0])), key=jax.random.key(0))
        Array([0, 0, 1, 2], dtype=int32)

    Source: Carpenter, Clifford & Fearnhead (1999), doi:10.1049/ip-rsn:19990255.
    """
    offset = jax.random.uniform(key, (), log_weights.dtype)
    return _by_positions(log_weights, _strata(log_weights, jnp.broadcast_to(offset, log_weights.shape)))


def residual_indices(log_weights: Float[Array, " n"], *, key: PRNGKeyArray) -> Int[Array, " n"]:
    """Every particle's expected number of copies rounded down, then the rest drawn by the fractional parts.

    Args:
        log_weights: Up to a constant.
        key: Random key.

    Returns:
        For each place the particle to copy, the certain copies first, ascending.

    Example:
        >>> residual_indices(jnp.log(jnp.array([0.5, 0.25, 0.25, 0.0])), key=jax.random.key(0))
        Array([0, 0, 1, 2], dtype=int32)

    Source: Liu & Chen (1998), doi:10.1080/01621459.1998.10473765.
    """
    return _residual(log_weights, jax.random.uniform(key, log_weights.shape, log_weights.dtype))


def _residual(log_weights: Float[Array, " n"], uniform: Float[Array, " n"]) -> Int[Array, " n"]:
    n = log_weights.shape[0]
    expected = n * _relative(log_weights) / _relative(log_weights).sum()
    # An expectation that rounding puts just below a whole number must not lose a certain copy.
    certain = jnp.floor(expected + (1e-12 if expected.dtype == jnp.float64 else 1e-6))
    ends = jnp.cumsum(certain.astype(jnp.int32))
    places = jnp.arange(n, dtype=jnp.int32)
    copies = jnp.searchsorted(ends, places, side="right").astype(jnp.int32)
    drawn = _invert(jnp.maximum(expected - certain, 0), uniform)
    return _alive(log_weights, jnp.where(places < ends[-1], copies, drawn))


def _strata(log_weights: Float[Array, " n"], uniform: Float[Array, " n"]) -> Float[Array, " n"]:
    n = log_weights.shape[0]
    return (jnp.arange(n).astype(log_weights.dtype) + uniform) / n


def _by_positions(log_weights: Float[Array, " n"], position: Float[Array, " n"]) -> Int[Array, " n"]:
    return _alive(log_weights, _invert(_relative(log_weights), position))


def _invert(weight: Float[Array, " n"], position: Float[Array, " n"]) -> Int[Array, " n"]:
    """The particle whose share of the cumulative weights holds each position in `[0, 1)`; never one of weight zero."""
    ends = jnp.cumsum(weight)
    # Rounding may push a position to the very end: that belongs to the last particle that has any weight.
    last = jnp.searchsorted(ends, ends[-1], side="left")
    return jnp.minimum(jnp.searchsorted(ends, position * ends[-1], side="right"), last).astype(jnp.int32)


def _relative(log_weights: Float[Array, " n"]) -> Float[Array, " n"]:
    """Weights with the largest at one; all one where all are zero (or one is NaN)."""
    top = log_weights.max()
    known = jnp.isfinite(top)
    return jnp.where(known, jnp.exp(log_weights - jnp.where(known, top, 0)), jnp.ones_like(log_weights))


def _alive(log_weights: Float[Array, " n"], ancestors: Int[Array, " n"]) -> Int[Array, " n"]:
    stay = jnp.arange(log_weights.shape[0], dtype=jnp.int32)
    return jnp.where(jnp.isfinite(log_weights.max()), ancestors, stay)
