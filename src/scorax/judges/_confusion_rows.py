"""What judges may be like: confusion matrices by construction, each as a NumPyro program of its own.

A constraint that holds for every draw leaves the density smooth, as a gradient-based sampler needs it; rejecting what
breaks it would not. Each construction is a prior of its own, not the free one cut off.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import logit
from jaxtyping import Array, Float

from scorax.numerics import log_sigmoid_interval


class Expected(NamedTuple):
    """What a judge is expected to be like, before any constraint."""

    mean: Float[Array, "m m"]
    strength: Float[Array, ""]
    """How many labels of each true level this is worth."""
    accuracy: Float[Array, ""]
    n_judges: int

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return self.mean.shape[-1]


def free_rows(expected: Expected) -> Float[Array, "j m m"]:
    """Dirichlet rows."""
    shape = (expected.n_judges, *expected.mean.shape)
    rows = dist.Dirichlet(jnp.broadcast_to(expected.strength * expected.mean, shape))
    return jnp.asarray(numpyro.sample("confusion", rows))


def lowest_rows(expected: Expected) -> Float[Array, "j m m"]:
    """The first column by decreasing logits, the rest of each row by its Dirichlet, of which it is independent."""
    j, m = expected.n_judges, expected.n_levels
    top = _normal("lowest_top", logit(expected.accuracy) * jnp.ones(j, expected.mean.dtype))
    gap = _normal("lowest_gap", jnp.full((j, m - 1), 2 / (m - 1), expected.mean.dtype))
    lowest = top[:, None] - _from_zero(jax.nn.softplus(gap))
    if m == 2:
        rest = jnp.ones((j, m, 1), gap.dtype)
    else:
        concentration = jnp.broadcast_to(expected.strength * expected.mean[:, 1:], (j, m, m - 1))
        rest = jnp.asarray(numpyro.sample("rest", dist.Dirichlet(concentration)))
    others = jax.nn.sigmoid(-lowest)[..., None] * rest
    return jnp.concatenate([jax.nn.sigmoid(lowest)[..., None], others], axis=-1)


def stochastic_rows(expected: Expected) -> Float[Array, "j m m"]:
    """Each row is the one below it in level with some of its mass moved up."""
    j, m = expected.n_judges, expected.n_levels
    first = dist.Dirichlet(jnp.broadcast_to(expected.strength * expected.mean[0], (j, m)))
    moved = 2 * jnp.broadcast_to(jnp.clip(upward_shares(expected.mean), 0.05, 0.95), (j, m - 1, m - 1))
    row = jnp.asarray(numpyro.sample("first_row", first))
    share = jnp.asarray(numpyro.sample("moved_up", dist.Beta(moved, 2 - moved)))
    return upward_transport(row, share)


def proportional_rows(expected: Expected) -> Float[Array, "j m m"]:
    r"""\(P(l' \le l \mid m) = \sigma(c_{jl} - \phi_{jm})\): one place for each true level, one cut between labels.

    With places a step apart and cuts midway, a judge is right as often as expected, on even levels; cuts and places
    stray from there.
    """
    j, m = expected.n_judges, expected.n_levels
    # Of the levels at the ends sigmoid(step / 2) are right, of those between 2 sigmoid(step / 2) - 1.
    end = (m * expected.accuracy + m - 2) / (2 * (m - 1))
    step = 2 * logit(jnp.clip(end, 0.51, 0.999))
    gap = jnp.broadcast_to(_inverse_softplus(step), (j, m - 1))
    place = _from_zero(jax.nn.softplus(_normal("place_gap", gap)))
    first = _normal("first_cut", jnp.broadcast_to(step / 2, (j,)))
    cut = first[:, None]
    if m > 2:
        cut = cut + _from_zero(jax.nn.softplus(_normal("cut_gap", gap[:, 1:])))
    upto = cut[:, None, :] - place[:, :, None]
    between = log_sigmoid_interval(upto[..., :-1], upto[..., 1:])
    lowest, highest = jax.nn.log_sigmoid(upto[..., :1]), jax.nn.log_sigmoid(-upto[..., -1:])
    return jnp.exp(jnp.concatenate([lowest, between, highest], axis=-1))


def diagonal_rows(expected: Expected) -> Float[Array, "j m m"]:
    """Every other label is rarer than the right one, by log-odds about those expected."""
    j, m = expected.n_judges, expected.n_levels
    # Where an error is expected to be no rarer than the right label, it is as rare as is smooth.
    odds = jnp.log(jnp.diagonal(expected.mean))[:, None] - jnp.log(expected.mean)
    rarer = _normal("rarer", jnp.broadcast_to(_inverse_softplus(jnp.maximum(odds, 0.1)), (j, m, m)))
    right = jnp.eye(m, dtype=bool)
    return jax.nn.softmax(jnp.where(right, jnp.zeros_like(rarer), -jax.nn.softplus(rarer)), axis=-1)


def hierarchical_rows(centre: Float[Array, "m m"], n_judges: int) -> Float[Array, "j m m"]:
    r"""Judges about a common one: softmax of \(\mu_{ml} + \sigma_{ml} \epsilon_{jml}\), \(\mu \sim N(centre, 1)\).

    Non-centred, \(\sigma \sim\) HalfNormal(1). Judges with few labels borrow from the others.
    """
    mean = _normal("mean_logit", centre)
    spread = jnp.asarray(numpyro.sample("logit_spread", dist.HalfNormal(jnp.ones_like(centre))))
    offset = _normal("logit_offset", jnp.zeros((n_judges, *centre.shape), centre.dtype))
    return jax.nn.softmax(mean[None] + spread[None] * offset, axis=-1)


def upward_transport(first: Float[Array, "*b m"], share: Float[Array, "*b n n"]) -> Float[Array, "*b m m"]:
    r"""All stochastically monotone matrices: each next row moves shares of the last one upwards, level by level.

    With \(\text{room}_l = D_{l-1} + \theta_{ml}\), \(\theta_{m+1,l} = (1 - s_{ml}) \text{room}_l\) and
    \(D_l = s_{ml} \text{room}_l\), \(D_0 = 0\); what has moved to the top stays. No subtraction of probabilities.
    """
    rows = [first]
    for m in range(share.shape[-1]):
        carried = jnp.zeros_like(first[..., 0])
        row = []
        for level in range(share.shape[-1]):
            room = carried + rows[-1][..., level]
            carried = share[..., m, level] * room
            row.append((1 - share[..., m, level]) * room)
        rows.append(jnp.stack([*row, carried + rows[-1][..., -1]], axis=-1))
    return jnp.stack(rows, axis=-2)


def upward_shares(confusion: Float[Array, "m m"]) -> Float[Array, "n n"]:
    """Inverse of :func:`upward_transport`; outside [0, 1] where the matrix is not stochastically monotone."""
    lower, upper = confusion[:-1], confusion[1:]
    # What is in level l or below, before the move, less what is below l after it.
    room = jnp.cumsum(lower, axis=1)[:, :-1] - (jnp.cumsum(upper, axis=1) - upper)[:, :-1]
    return 1 - upper[:, :-1] / room


def _normal(name: str, loc: Float[Array, "*s"]) -> Float[Array, "*s"]:
    return jnp.asarray(numpyro.sample(name, dist.Normal(loc, jnp.ones((), loc.dtype))))


def _from_zero(steps: Float[Array, "j n"]) -> Float[Array, "j m"]:
    """0, and the sums of all steps so far."""
    return jnp.concatenate([jnp.zeros_like(steps[:, :1]), jnp.cumsum(steps, axis=1)], axis=1)


def _inverse_softplus(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    return x + jnp.log(-jnp.expm1(-x))
