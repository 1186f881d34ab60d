"""Pareto-smoothed importance weights, and the tail index that says whether they can be believed."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class SmoothedWeights(NamedTuple):
    """Importance weights with their tail smoothed."""

    log_weight: Float[Array, " s"]
    """Normalised: the weights sum to one."""
    pareto_k: Float[Array, ""]
    """Tail index: below 0.7 averages under these weights converge at a useful rate."""


def smooth_weights(log_weight: Float[Array, " s"], *, relative_efficiency: float = 1.0) -> SmoothedWeights:
    """Replace the largest importance weights by quantiles of a generalised Pareto fit to them.

    Args:
        log_weight: Log importance ratios, up to a constant; minus infinity for a ratio of zero.
        relative_efficiency: Effective draws per draw, positive: fewer make a longer tail.

    Returns:
        Normalised smoothed log weights, and the tail index; that is infinite where fewer than five weights stand out
        above the rest, or where a ratio is NaN.

    Raises:
        ValueError: `relative_efficiency` is not positive.

    Example:
        >>> smoothed = smooth_weights(jax.random.normal(jax.random.key(0), (1000,)))
        >>> jnp.exp(smoothed.log_weight).sum().round(3), bool(smoothed.pareto_k < 0.7)
        (Array(1., dtype=float32), True)

    Source: Vehtari, Simpson, Gelman, Yao & Gabry (2024), arXiv:1507.02646; Zhang & Stephens (2009),
        doi:10.1198/tech.2009.08017.
    """
    if not relative_efficiency > 0:
        raise ValueError(f"relative_efficiency must be positive, not {relative_efficiency}")
    s = log_weight.shape[0]
    tail = math.ceil(min(0.2 * s, 3 * math.sqrt(s / relative_efficiency)))
    centred = log_weight - jnp.max(log_weight)
    if tail < 5:
        return SmoothedWeights(jax.nn.log_softmax(centred), jnp.full((), jnp.inf, centred.dtype))
    # The tail and the cutoff below it, ascending: a tenth of the cost of sorting all of them (as long as no slice of
    # it is taken: XLA then sorts after all).
    largest, where_from = (x[::-1] for x in jax.lax.top_k(centred, tail + 1))
    lowest = math.log(jnp.finfo(centred.dtype).tiny)
    cutoff = jnp.maximum(jnp.min(largest), lowest)
    excess = jnp.exp(largest) - jnp.exp(cutoff)
    # The cutoff and ties with it do not belong to the tail: they come first, and are left as they are.
    inside = largest > cutoff
    k, sigma = _fit_generalised_pareto(excess, inside)
    size = inside.sum().astype(centred.dtype)
    place = jnp.arange(tail + 1) - (tail + 1 - inside.sum())
    rest = jnp.log1p(-(jnp.where(inside, place, 0).astype(centred.dtype) + 0.5) / size)
    flat = jnp.abs(k) < 1e-8
    quantile = jnp.where(flat, -sigma * rest, sigma * jnp.expm1(-k * rest) / jnp.where(flat, 1, k))
    smooth = jnp.minimum(jnp.log(quantile + jnp.exp(cutoff)), 0)
    usable = (size >= 5) & jnp.isfinite(k)
    replaced = centred.at[where_from].set(jnp.where(inside & usable, smooth, largest))
    pareto_k = jnp.where(usable & ~jnp.isnan(log_weight).any(), k, jnp.inf)
    return SmoothedWeights(jax.nn.log_softmax(replaced), pareto_k)


def _fit_generalised_pareto(
    x: Float[Array, " m"], inside: Bool[Array, " m"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Shape and scale of a generalised Pareto through the ascending excesses `x`, where `inside` (the last ones)."""
    size = inside.sum()
    n = size.astype(x.dtype)
    first = x.shape[0] - size
    quartile = x[jnp.minimum(first + jnp.floor(n / 4 + 0.5).astype(int) - 1, x.shape[0] - 1)]
    # The grid has 30 + floor(sqrt(n)) points; n is known only when running, so take the most and switch the rest off.
    points = 30 + jnp.floor(jnp.sqrt(n))
    i = jnp.arange(1, 31 + math.isqrt(x.shape[0])).astype(x.dtype)
    on = i <= points
    ratio = jnp.sqrt(points / (i - 0.5))
    b = (1 - jnp.where(on, ratio, 2)) / (3 * quartile) + 1 / x[-1]

    def shape(b: Float[Array, ""]) -> Float[Array, ""]:
        return jnp.where(inside, jnp.log1p(-b * jnp.where(inside, x, 0)), 0).sum() / n

    k = jax.vmap(shape)(b)
    profile = jnp.where(on, n * (jnp.log(-b / k) - k - 1), -jnp.inf)
    weight = jax.nn.softmax(profile)
    weight = jnp.where(weight >= 10 * jnp.finfo(x.dtype).eps, weight, 0)
    b_mean = (b * weight).sum() / weight.sum()
    k_raw = shape(b_mean)
    return (k_raw * n + 5) / (n + 10), -k_raw / b_mean
