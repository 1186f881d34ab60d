"""What a discrete latent variable was, row by row, after it has been summed out of the likelihood."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from scorax.data import AbstractData
from scorax.inference._posterior import Posterior


def responsibilities(
    posterior: Posterior[Any], data: AbstractData, log_joint: Callable[[Any, Any], Float[Array, "*n m"]]
) -> Float[Array, "*n m"]:
    r"""Probability of each value of each row's discrete latent variable, given all data.

    A likelihood sums a discrete variable out, \(\log p(y_i \mid \theta) = \log \sum_z p(y_i, z \mid \theta)\), so that
    gradients exist; this brings it back: \(p(z_i = z \mid y)\) is the mean over draws of the share of each term.

    Args:
        posterior: Draws of the parameters.
        data: The rows to ask about; those of the fit, or others (which then say nothing about the parameters).
        log_joint: Given a model and data, the terms whose `logsumexp` over the last axis is the model's `log_prob`.
            Name the function once: a new lambda is compiled anew.

    Returns:
        Probabilities in the shape of `log_joint`'s result; they sum to one along the last axis. NaN where all terms of
        a row are impossible.

    Example:
        >>> ratings, names = sx.data.datasets.load_anesthesia()
        >>> judges = sx.judges.SimplexJudge.from_majority_vote(ratings, 1, len(names.judges), len(names.levels))
        >>> known = sx.inference.sample(judges, ratings, key=jax.random.key(0), method="laplace", progress=False)
        >>> def levels(model, data):
        ...     return jnp.log(model.label_posterior(data))
        >>> responsibilities(known, ratings, levels).shape  # [item, level]
        (45, 4)
    """
    return _mean_share(log_joint, posterior.moving, posterior.still, data)


@eqx.filter_jit
def _mean_share(log_joint: Callable[[Any, Any], Array], moving: Any, still: Any, data: Any) -> Array:
    def share(draw: Any) -> Array:
        return jax.nn.softmax(log_joint(eqx.combine(draw, still), data), axis=-1)

    # One draw at a time: all draws of all rows need not fit into memory.
    draws = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), moving)
    number = jax.tree.leaves(draws)[0].shape[0]
    shape = jax.eval_shape(share, jax.tree.map(lambda x: x[0], draws))
    total, _ = jax.lax.scan(lambda total, draw: (total + share(draw), None), jnp.zeros(shape.shape, shape.dtype), draws)
    return total / number
