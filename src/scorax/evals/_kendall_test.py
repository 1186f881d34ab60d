"""Whether Kendall's tau differs from 0 by more than chance, and intervals of it."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from scorax.evals._normal import normal_interval, two_sided_p_value
from scorax.stats import Interval, multinomial_weights, pair_signs

# Above so many entries without ties the normal distribution is right to 0.008 (measured at 51, over many slopes).
_MOST_EXACT = 50


def kendall_p_value(x: Float[Array, "*b n"], y: Float[Array, "*b n"], part: Bool[Array, "*b n"]) -> Float[Array, "*b"]:
    """Two-sided, of independence: exact for up to 50 entries without ties, else normal with the variance of ties."""
    one, other = (pair_signs(v, part) for v in (x, y))
    n = part.sum(-1)
    size = n.astype(x.dtype)
    net = (one * other).sum((-2, -1)) / 2
    # An entry's ties, itself not counted, give all sums over blocks of ties of the textbook.
    level = [(part[..., None, :] & part[..., :, None] & (s == 0)).sum(-1).astype(x.dtype) - 1 for s in (one, other)]
    held = part.astype(x.dtype)
    pairs, triples, odd = ([(held * weigh(v)).sum(-1) for v in level] for weigh in (_second, _third, _variance_weight))
    base = size * (size - 1)
    some = size > 2
    safe = jnp.where(some, size, 3)
    variance = (base * (2 * size + 5) - odd[0] - odd[1]) / 18 + pairs[0] * pairs[1] / (2 * safe * (safe - 1))
    variance = variance + triples[0] * triples[1] / (9 * safe * (safe - 1) * (safe - 2))
    untied = (pairs[0] == 0) & (pairs[1] == 0)
    positive = some & (variance > 0)
    approximate = two_sided_p_value(net / jnp.sqrt(jnp.where(positive, variance, 1)))
    inversions = jnp.round((base / 2 - jnp.abs(net)) / 2).astype(int)
    exact = _exact_tail(n, inversions, x.shape[-1], x.dtype)
    p = jnp.where(untied & (n <= _MOST_EXACT), exact, jnp.where(positive, approximate, jnp.nan))
    constant = (pairs[0] == base) | (pairs[1] == base)
    unknown = (part & (jnp.isnan(x) | jnp.isnan(y))).any(-1)
    return jnp.where((n < 2) | constant | unknown, jnp.nan, p)


def kendall_interval(tau: Float[Array, "*b"], n: Float[Array, "*b"], level: float) -> Interval:
    """By the variance 0.437 / (n - 4) of Fisher's transform; NaN for n <= 4 and for a tau of 1 or -1.

    Source: Fieller, Hartley & Pearson (1957), doi:10.1093/biomet/44.3-4.470.
    """
    usable = (n > 4) & (jnp.abs(tau) < 1)
    z = jnp.where(usable, jnp.arctanh(jnp.where(usable, tau, 0)), jnp.nan)
    ends = normal_interval(z, jnp.sqrt(0.437 / jnp.where(usable, n - 4, 1)), level)
    return Interval(*map(jnp.tanh, ends))


def kendall_bootstrap(
    key: PRNGKeyArray,
    x: Float[Array, "*b n"],
    y: Float[Array, "*b n"],
    part: Bool[Array, "*b n"],
    n_resamples: int,
    level: float,
) -> Interval:
    """Percentiles of tau (b) of redrawn entries; NaN where fewer than two take part. Not under `jit`."""
    rows = [np.asarray(v).reshape(-1, v.shape[-1]) for v in (x, y, part)]
    ends = []
    for i, (one, other, held) in enumerate(zip(*rows, strict=True)):
        found = (math.nan, math.nan)
        if held.sum() > 1:
            weight = multinomial_weights(jax.random.fold_in(key, i), jnp.asarray(held, x.dtype), n_resamples)
            found = _redrawn(jnp.asarray(one), jnp.asarray(other), jnp.asarray(held), weight, level)
        ends.append([float(v) for v in found])
    lower, upper = jnp.asarray(np.asarray(ends).T, x.dtype).reshape(2, *x.shape[:-1])
    return Interval(lower, upper)


@functools.partial(jax.jit, static_argnames="level")
def _redrawn(
    x: Float[Array, " n"], y: Float[Array, " n"], part: Bool[Array, " n"], weight: Float[Array, "r n"], level: float
) -> Interval:
    one, other = pair_signs(x, part), pair_signs(y, part)
    net, untied, untied_other = (((weight @ s) * weight).sum(-1) for s in (one * other, one**2, other**2))
    # A redrawn set of a single value has no tau, and says nothing of it.
    varies = (untied > 0) & (untied_other > 0)
    tau = net / jnp.sqrt(jnp.where(varies, untied * untied_other, 1))
    ends = jnp.nanquantile(jnp.where(varies, tau, jnp.nan), jnp.asarray([(1 - level) / 2, (1 + level) / 2], x.dtype))
    return Interval(ends[0], ends[1])


def _second(ties: Array) -> Array:
    return ties


def _third(ties: Array) -> Array:
    return ties * (ties - 1)


def _variance_weight(ties: Array) -> Array:
    """Of a block of t: (t - 1)(2t + 5) for each entry of it, where t is one more than its ties."""
    return ties * (2 * ties + 7)


def _exact_tail(n: Array, inversions: Array, most: int, dtype: jnp.dtype) -> Array:
    """Twice the probability of so few inversions, or fewer, in a random order."""
    table = _tails(min(most, _MOST_EXACT))
    row = jnp.clip(n, 0, table.shape[0] - 1)
    column = jnp.clip(inversions, 0, table.shape[1] - 1)
    return jnp.minimum(2 * jnp.asarray(table, dtype)[row, column], 1)


@functools.cache
def _tails(most: int) -> np.ndarray:
    """`[n, k]`: probability that a random order of n has at most k inversions, for `k <= n (n - 1) / 4`."""
    table = np.ones((most + 1, most * (most - 1) // 4 + 1))
    density = np.ones(1)
    for n in range(2, most + 1):
        # The n-th entry adds 0 to n - 1 inversions, all equally likely.
        density = np.convolve(density, np.full(n, 1 / n))
        tail = np.cumsum(density)[: table.shape[1]]
        table[n, : len(tail)] = tail
    return table
