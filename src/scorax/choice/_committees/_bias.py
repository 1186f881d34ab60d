"""Biased utilities: how rankings by utility come to put some items below their merit."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray


def apply_bias(
    utilities: Float[Array, "v m"],
    disadvantaged: Bool[Array, " m"],
    *,
    kind: str,
    strength: float,
    key: PRNGKeyArray | None = None,
) -> Float[Array, "v m"]:
    r"""Utilities as biased voters see them; rank by these.

    Args:
        utilities: What each item is worth to each voter (at least 0 for the multiplicative kind).
        disadvantaged: The items that the bias is against.
        kind: How it works.

            - `"multiplicative"`: their utilities are multiplied by `strength`, in (0, 1]; 1 is no bias.
            - `"additive"`: `strength`, at least 0, is subtracted from them.
            - `"swap"`: wherever a disadvantaged item stands right above another one, the two change places with
              probability `strength`, in [0, 1]; m sweeps over all neighbours, even and odd pairs in turn. At 1 every
              disadvantaged item ends below all others.
            - `"position"`: each disadvantaged item slips d places with probability proportional to
              \(e^{-\lambda d}\), \(\lambda\) = `strength` > 0, as in the insertion steps of a generalised Mallows
              model around the voter's own order; large ones are no bias.
        strength: See there.
        key: For the kinds that draw, `"swap"` and `"position"`.

    Returns:
        Utilities. Of the kinds that draw: the voter's own values, handed out in the biased order.

    Raises:
        ValueError: the kind is unknown, the strength is out of range, or a key is missing.

    Example:
        >>> apply_bias(jnp.array([[0.9, 0.8]]), jnp.array([True, False]), kind="multiplicative", strength=0.5)
        Array([[0.45, 0.8 ]], dtype=float32)

    Source: Kleinberg & Raghavan (2018), doi:10.4230/LIPIcs.ITCS.2018.33 (multiplicative); Boehmer, Celis, Huang,
    Mehrotra, Vishnoi (2023), arXiv:2306.09835.
    """
    ranges = {"multiplicative": (0.0, 1.0), "additive": (0.0, jnp.inf), "swap": (0.0, 1.0), "position": (0.0, jnp.inf)}
    if kind not in ranges:
        raise ValueError(f"unknown kind {kind!r}; one of {', '.join(ranges)}")
    low, high = ranges[kind]
    if not low <= strength <= high or (strength == 0 and kind in ("multiplicative", "position")):
        raise ValueError(f"the strength of a {kind} bias lies between {low:g} and {high:g}; it is {strength}")
    hit = jnp.broadcast_to(disadvantaged, utilities.shape)
    if kind == "multiplicative":
        return jnp.where(hit, strength * utilities, utilities)
    if kind == "additive":
        return jnp.where(hit, utilities - strength, utilities)
    if key is None:
        raise ValueError(f"a {kind} bias draws: pass key")
    order = jnp.argsort(-utilities, axis=1)
    reorder = _swapped if kind == "swap" else _slipped
    biased = reorder(order, disadvantaged, jnp.asarray(strength, utilities.dtype), key)
    rows = jnp.broadcast_to(jnp.arange(len(order))[:, None], order.shape)
    return utilities.at[rows, biased].set(jnp.take_along_axis(utilities, order, axis=1))


@jax.jit
def _swapped(order: Array, disadvantaged: Array, probability: Array, key: PRNGKeyArray) -> Array:
    v, m = order.shape
    place = jnp.arange(m)

    def sweep(step: Any, order: Array) -> Array:
        chance = jax.random.bernoulli(jax.random.fold_in(key, step), probability, (v, m))
        # Whoever stands at an even place in even sweeps, an odd one in odd sweeps, may change with the next.
        upper = (place % 2 == step % 2) & (place < m - 1)
        hit = disadvantaged[order]
        down = upper[None, :] & chance & hit & ~jnp.roll(hit, -1, axis=1)
        up = jnp.roll(down, 1, axis=1)
        return jnp.where(down, jnp.roll(order, -1, axis=1), jnp.where(up, jnp.roll(order, 1, axis=1), order))

    return jax.lax.fori_loop(0, m, sweep, order)


@jax.jit
def _slipped(order: Array, disadvantaged: Array, decay: Array, key: PRNGKeyArray) -> Array:
    v, m = order.shape
    ahead = jax.random.uniform(key, (v, m), decay.dtype)

    def insert(step: Array, ranking: Array) -> Array:
        """The item of place m - 1 - step enters on top of the `step` items below it, and slips."""
        item = order[:, m - 1 - step]
        # Inverse of the distribution function of a geometric number cut off at `step`.
        tail = -jnp.expm1(-decay * (step + 1).astype(decay.dtype))
        drawn = jnp.floor(-jnp.log1p(-ahead[:, step] * tail) / decay).astype(ranking.dtype)
        slip = jnp.where(disadvantaged[item], jnp.clip(drawn, 0, step), 0)
        place = jnp.broadcast_to(jnp.arange(m, dtype=ranking.dtype)[None, :], ranking.shape)
        shifted = jnp.roll(ranking, 1, axis=1)
        below = jnp.where(place < slip[:, None], ranking, shifted)
        return jnp.where(place == slip[:, None], item[:, None], below)

    return jax.lax.fori_loop(0, m, insert, order)
