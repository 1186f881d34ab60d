"""Rank correlations: Kendall's with its ways to count ties, a top-heavy and a differentiable one, Spearman's."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from scorax.stats._average_rank import average_rank


def kendall_tau(
    x: Float[Array, "*b n"],
    y: Float[Array, "*b n"],
    *,
    where: Bool[Array, "*b n"] | None = None,
    variant: str = "b",
) -> Float[Array, "*b"]:
    r"""Kendall's τ: concordant minus discordant pairs, as a share of all pairs.

    $$\tau_a = \frac{P - Q}{n(n-1)/2}, \quad \tau_b = \frac{P - Q}{\sqrt{(P+Q+X)(P+Q+Y)}}, \quad
    \tau_c = \frac{2m (P - Q)}{n^2 (m - 1)}, \quad \tau_x = \frac{\sum_{i \ne j} a_{ij} b_{ij}}{n(n-1)}$$

    where X and Y are the pairs tied in one of the two only, m is the smaller number of distinct values, and
    \(a_{ij} = 1\) where i is not behind j, -1 where it is. All pairs are compared at once: time and memory grow with
    n² (16 million at n = 4000).

    Args:
        x: Values; only their order matters.
        y: Values to compare with.
        where: Entries that take part.
        variant: `"a"` does not correct for ties, `"b"` reaches 1 in square tables of ties, `"c"` in rectangular ones.
            `"x"` takes a tie for a statement of its own, which agrees with itself: it is 1 exactly for equal orders,
            and `1 - tau` is proportional to Kemeny and Snell's distance.

    Returns:
        In [-1, 1]. NaN where one of the two is constant (`"b"`, `"c"`), a value is NaN, or fewer than two take part.

    Example:
        >>> kendall_tau(jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, 3.0, 2.0]))
        Array(0.33333, dtype=float32)

    Source: Kendall (1938), doi:10.1093/biomet/30.1-2.81; Kendall (1945), doi:10.1093/biomet/33.3.239 (b);
    Stuart (1953), doi:10.1093/biomet/40.1-2.105 (c); Emond & Mason (2002), doi:10.1002/mcda.313 (x).
    """
    if variant not in ("a", "b", "c", "x"):
        raise ValueError(f"variant must be 'a', 'b', 'c' or 'x', not {variant!r}")
    part = jnp.ones(x.shape, bool) if where is None else where
    # Ordered pairs: everything below is twice the textbook's sums.
    one, other = (pair_signs(v, part) for v in (x, y))
    n = part.sum(-1).astype(x.dtype)
    if variant == "x":
        one, other = (_ties_ahead(sign, part) for sign in (one, other))
    net = (one * other).sum((-2, -1))
    if variant in ("a", "x"):
        return net / (n * (n - 1))
    if variant == "b":
        untied = [jnp.abs(v).sum((-2, -1)) for v in (one, other)]
        return net / jnp.sqrt(untied[0] * untied[1])
    m = jnp.minimum(*(_distinct(jnp.where(part, v, jnp.inf), part) for v in (x, y))).astype(x.dtype)
    return net * m / (n**2 * (m - 1))


def weighted_tau(
    x: Float[Array, "*b n"],
    y: Float[Array, "*b n"],
    *,
    where: Bool[Array, "*b n"] | None = None,
    weigher: Callable[[Array], Array] | None = None,
) -> Float[Array, "*b"]:
    r"""Kendall's τ (b) in which the top counts more: a pair weighs what its two entries weigh together.

    An entry's weight depends on its rank, by x and, in a second τ, by y; ties are ranked by the other of the two, and
    the result is the mean. It is the default of `scipy.stats.weightedtau`.

    Args:
        x: Scores; larger is better, and so weighs more.
        y: Scores to compare with.
        where: Entries that take part.
        weigher: From ranks, counted from 0 at the top, to weights; `1 / (1 + rank)` by default.

    Returns:
        In [-1, 1]. NaN where one of the two is constant, a value is NaN, or fewer than two take part.

    Example:
        >>> x = jnp.array([4.0, 3.0, 2.0, 1.0])
        >>> weighted_tau(x, jnp.array([4.0, 3.0, 1.0, 2.0])), weighted_tau(x, jnp.array([3.0, 4.0, 2.0, 1.0]))
        (Array(0.8133333, dtype=float32), Array(0.52, dtype=float32))

    Source: Vigna (2015), doi:10.1145/2736277.2741088.
    """
    part = jnp.ones(x.shape, bool) if where is None else where
    one, other = (pair_signs(v, part) for v in (x, y))
    weigh = _hyperbolic if weigher is None else weigher

    def by(first: Array, second: Array) -> Float[Array, "*b"]:
        # Lexicographic from the top; entries equal in both share the mean of their places.
        before, level = (first < 0) | ((first == 0) & (second < 0)), (first == 0) & (second == 0)
        ahead, equal = ((v & part[..., None, :]).sum(-1).astype(first.dtype) for v in (before, level))
        entry = jnp.where(part, weigh(ahead + (equal - 1) / 2), 0)
        pair = entry[..., :, None] + entry[..., None, :]
        net, untied, untied_other = ((pair * s).sum((-2, -1)) for s in (one * other, one**2, other**2))
        return net / jnp.sqrt(untied * untied_other)

    return (by(one, other) + by(other, one)) / 2


def spearman_rho(
    x: Float[Array, "*b n"], y: Float[Array, "*b n"], *, where: Bool[Array, "*b n"] | None = None
) -> Float[Array, "*b"]:
    """Spearman's ρ: the correlation of ranks; ties share the mean of their places.

    Args:
        x: Values; only their order matters.
        y: Values to compare with.
        where: Entries that take part.

    Returns:
        In [-1, 1]. NaN where one of the two is constant, a value is NaN, or fewer than two take part.

    Example:
        >>> spearman_rho(jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, 3.0, 2.0]))
        Array(0.5, dtype=float32)

    Source: Spearman (1904), doi:10.2307/1412159.
    """
    part = jnp.ones(x.shape, bool) if where is None else where
    n = part.sum(-1, keepdims=True).astype(x.dtype)
    # Ranks always average (n + 1) / 2.
    one, other = (jnp.where(part, average_rank(v, where=part) - (n + 1) / 2, 0) for v in (x, y))
    return (one * other).sum(-1) / jnp.sqrt((one**2).sum(-1) * (other**2).sum(-1))


def soft_kendall(
    x: Float[Array, "*b n"],
    y: Float[Array, "*b n"],
    temperature: Float[Array, ""] | float,
    *,
    where: Bool[Array, "*b n"] | None = None,
) -> Float[Array, "*b"]:
    r"""A differentiable Kendall's τ (a): the sign of each pair's agreement becomes a smooth step.

    $$\frac{2}{n(n-1)} \sum_{i<j} \Big[ 2 \sigma\Big(\frac{(x_i - x_j)(y_i - y_j)}{T}\Big) - 1 \Big]$$

    Args:
        x: Values, on the scale that `temperature` speaks of.
        y: Values to compare with.
        temperature: \(T > 0\), in units of x times y. At 0 it would be τ itself; large ones make it linear in the
            products.
        where: Entries that take part.

    Returns:
        In (-1, 1). NaN where fewer than two take part.

    Example:
        >>> x, y = jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, 3.0, 2.0])
        >>> soft_kendall(x, y, 0.01)
        Array(0.33333, dtype=float32)
        >>> jax.grad(soft_kendall)(x, y, 1.0)
        Array([-0.21, 0.27, -0.06], dtype=float32)
    """
    part = jnp.ones(x.shape, bool) if where is None else where
    x, y = (jnp.where(part, v, 0) for v in (x, y))
    agreement = (x[..., :, None] - x[..., None, :]) * (y[..., :, None] - y[..., None, :])
    scale = 2 * jnp.asarray(temperature, x.dtype)
    # 2 sigma(z) - 1 = tanh(z / 2); the diagonal adds nothing.
    steps = jnp.where(_pairs(part), jnp.tanh(agreement / scale), 0)
    n = part.sum(-1).astype(x.dtype)
    return steps.sum((-2, -1)) / (n * (n - 1))


def pair_signs(values: Float[Array, "*b n"], part: Bool[Array, "*b n"]) -> Float[Array, "*b n n"]:
    """Signs of all differences, 0 for pairs that take no part."""
    return jnp.where(_pairs(part), jnp.sign(values[..., :, None] - values[..., None, :]), 0)


def _pairs(part: Bool[Array, "*b n"]) -> Bool[Array, "*b n n"]:
    return part[..., :, None] & part[..., None, :]


def _ties_ahead(sign: Float[Array, "*b n n"], part: Bool[Array, "*b n"]) -> Float[Array, "*b n n"]:
    """Signs in which a tie counts as being ahead, in either direction; 0 on the diagonal."""
    distinct = _pairs(part) & jnp.broadcast_to(~jnp.eye(part.shape[-1], dtype=bool), sign.shape)
    return jnp.where(distinct & (sign == 0), 1, sign)


def _hyperbolic(rank: Array) -> Array:
    return 1 / (1 + rank)


def _distinct(value: Float[Array, "*b n"], part: Bool[Array, "*b n"]) -> Array:
    """How many different values take part; those that do not are infinite."""
    ordered = jnp.sort(value, axis=-1)
    steps = (ordered[..., 1:] != ordered[..., :-1]).sum(-1) + 1
    return steps - (~part).any(-1).astype(steps.dtype)
