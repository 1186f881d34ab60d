"""Kendall's rank correlation, with its three ways to count ties."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def kendall_tau(
    x: Float[Array, "*b n"],
    y: Float[Array, "*b n"],
    *,
    where: Bool[Array, "*b n"] | None = None,
    variant: str = "b",
) -> Float[Array, "*b"]:
    r"""Kendall's τ: concordant minus discordant pairs, as a share of all pairs.

    $$\tau_a = \frac{P - Q}{n(n-1)/2}, \quad \tau_b = \frac{P - Q}{\sqrt{(P+Q+X)(P+Q+Y)}}, \quad
    \tau_c = \frac{2m (P - Q)}{n^2 (m - 1)}$$

    where X and Y are the pairs tied in one of the two only, and m the smaller number of distinct values. All pairs are
    compared at once: time and memory grow with n² (16 million at n = 4000).

    Args:
        x: Values; only their order matters.
        y: Values to compare with.
        where: Entries that take part.
        variant: `"a"` does not correct for ties, `"b"` reaches 1 in square tables of ties, `"c"` in rectangular ones.

    Returns:
        In [-1, 1]. NaN where one of the two is constant (`"b"`, `"c"`), a value is NaN, or fewer than two take part.

    Example:
        >>> kendall_tau(jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, 3.0, 2.0]))
        Array(0.33333, dtype=float32)

    Source: Kendall (1938), doi:10.1093/biomet/30.1-2.81; Kendall (1945), doi:10.1093/biomet/33.3.239 (b);
    Stuart (1953), doi:10.1093/biomet/40.1-2.105 (c).
    """
    if variant not in ("a", "b", "c"):
        raise ValueError(f"variant must be 'a', 'b' or 'c', not {variant!r}")
    part = jnp.ones(x.shape, bool) if where is None else where
    pair = part[..., :, None] & part[..., None, :]
    one, other = (jnp.where(pair, jnp.sign(v[..., :, None] - v[..., None, :]), 0) for v in (x, y))
    # Ordered pairs: everything below is twice the textbook's sums.
    net = (one * other).sum((-2, -1))
    n = part.sum(-1).astype(x.dtype)
    if variant == "a":
        return net / (n * (n - 1))
    if variant == "b":
        untied = [jnp.abs(v).sum((-2, -1)) for v in (one, other)]
        return net / jnp.sqrt(untied[0] * untied[1])
    m = jnp.minimum(*(_distinct(jnp.where(part, v, jnp.inf), part) for v in (x, y))).astype(x.dtype)
    return net * m / (n**2 * (m - 1))


def _distinct(value: Float[Array, "*b n"], part: Bool[Array, "*b n"]) -> Array:
    """How many different values take part; those that do not are infinite."""
    ordered = jnp.sort(value, axis=-1)
    steps = (ordered[..., 1:] != ordered[..., :-1]).sum(-1) + 1
    return steps - (~part).any(-1).astype(steps.dtype)
