"""Functions of the model of every draw, inside compiled functions; and what data must be for them."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from scorax.data import AbstractData
from scorax.inference._posterior import Posterior


def over_draws(f: Callable[..., PyTree], posterior: Posterior[Any], *beside: Any, batch_size: int) -> PyTree:
    """`f(model, *beside)` of every draw, all chains end to end on the leading axis.

    Args:
        f: Returns arrays. Unlike in `Posterior.map` it may close over traced arrays.
        posterior: The draws.
        beside: Arrays, or trees of them, with an entry for every draw on their leading axis.
        batch_size: Draws at a time, for memory.
    """
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), posterior.moving)
    # Numbered, so that there are draws to map over even where they change nothing.
    numbers = jnp.arange(posterior.num_chains * posterior.num_draws)
    return map_evenly(
        lambda draw: f(eqx.combine(draw[1], posterior.still), *draw[2]), (numbers, flat, beside), batch_size
    )


def map_evenly(f: Callable[[Any], PyTree], xs: PyTree, batch_size: int) -> PyTree:
    """`lax.map` in batches of at most `batch_size`, all of one size where that is possible.

    A remainder is a second program to compile: it takes as long to compile as the whole map.
    """
    n = jax.tree.leaves(xs)[0].shape[0]
    most = min(batch_size, n)
    even = max(size for size in range(1, most + 1) if n % size == 0)
    return jax.lax.map(f, xs, batch_size=even if 2 * even > most else most)


def by_chain(posterior: Posterior[Any], values: PyTree) -> PyTree:
    """What `over_draws` returns, with its leading axis split into chain and draw."""
    shape = (posterior.num_chains, posterior.num_draws)
    return jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), values)


def check_fit(posterior: Posterior[Any], data: AbstractData) -> None:
    """Raise `ValueError` where data do not fit the model that was drawn."""
    first = jax.tree.map(lambda x: x[0, 0], posterior.moving)
    eqx.combine(first, posterior.still).check(data)


def check_single(data: AbstractData) -> None:
    """Raise `ValueError` where a row holds several observations, of which `simulate` would draw only one."""
    count = np.asarray(data.count).reshape(-1)
    several = np.flatnonzero((count != 0) & (count != 1))
    if several.size:
        raise ValueError(
            f"{several.size} rows stand for several equal observations (first rows: {several[:3].tolist()}, counts "
            f"{count[several[:3]].tolist()}), but new outcomes are drawn one a row: pass data.expand()"
        )
