"""Independent draws, arranged in chains: what methods without a Markov chain share."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from scorax.inference._draws import Record, join
from scorax.inference._progress import Clock, Report

DrawSome = Callable[[Int[Array, " b"], Int[Array, " b"]], Record]
"""The draws of these numbers in these chains."""


def draw_all(draw: DrawSome, chains: int, num_samples: int, *, batch: int, clock: Clock, report: Report) -> Record:
    """Every draw of every chain, by batches of one shape.

    Args:
        draw: A compiled function of the number of the chain and that of the draw in it.
        chains: How many chains.
        num_samples: Draws of each.
        batch: Draws at a time, for memory.
        clock: Counts all draws.
        report: Called after each batch.
    """
    shape, total = (chains, num_samples), chains * num_samples
    clock.start(0)
    records: list[Record] = []
    for first in range(0, total, batch):
        n = min(batch, total - first)
        places = np.minimum(np.arange(first, first + batch), total - 1)
        chain, number = (np.asarray(i, np.int32) for i in np.unravel_index(places, shape))
        drawn = draw(jnp.asarray(chain), jnp.asarray(number))
        records.append(jax.tree.map(lambda x, n=n: np.asarray(x)[:n], drawn))
        report(clock.progress("sampling", first + n))
    report(clock.progress("done", total)._replace(seconds_left=math.nan))
    return jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), join(records, axis=0))
