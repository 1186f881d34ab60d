"""Ordered levels: probabilities by cut points, and what is believed of cut points."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions.transforms import OrderedTransform

from scorax.numerics import log1mexp


def ordered_log_prob(location: Float[Array, "*b"], cutpoint: Float[Array, " c"]) -> Float[Array, "*b l"]:
    r"""Log-probabilities of all levels of an ordered scale: \(P(y \le l) = \sigma(c_l - x)\).

    Source: McCullagh (1980), doi:10.1111/j.2517-6161.1980.tb01109.x.
    """
    cut = cutpoint.reshape((1,) * location.ndim + cutpoint.shape)
    below, above = jax.nn.log_sigmoid(cut - location[..., None]), jax.nn.log_sigmoid(location[..., None] - cut)
    # The width of a level from the cut points, where a difference of its ends would round.
    width = log1mexp(jnp.diff(cut, axis=-1))
    return jnp.concatenate([below[..., :1], below[..., 1:] + above[..., :-1] + width, above[..., -1:]], axis=-1)


def even_cutpoints(n_levels: int, dtype: Any) -> Float[Array, " c"]:
    """Cut points of a standard logistic variable that make all levels alike."""
    return jnp.asarray(_even(n_levels), dtype)


def _even(n_levels: int) -> np.ndarray:
    below = np.arange(1, n_levels) / n_levels
    return np.log(below) - np.log1p(-below)


def cutpoint_prior(n_levels: int, dtype: Any) -> dist.Distribution:
    """Cut points whose first is normal and whose gaps are log-normal, about evenly likely levels."""
    even = _even(n_levels)
    loc = np.concatenate([even[:1], np.log(np.diff(even))])
    scale = np.concatenate([np.full(1, 1.5), np.full(n_levels - 2, 0.7)])
    base = dist.Normal(jnp.asarray(loc, dtype), jnp.asarray(scale, dtype)).to_event(1)
    return dist.TransformedDistribution(base, OrderedTransform())
