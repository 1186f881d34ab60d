"""Bradley-Terry on a table, where a tie is half a win each way: one sigmoid and one logarithm a pair.

What a search does most often, so it has closed forms of its own.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from scorax.choice._models._approach import Slopes, approach
from scorax.choice._models._pair_derivatives import pair_derivatives, symmetric_sum
from scorax.data import Comparisons, PairCounts
from scorax.inference import Derivatives

# Whole matrices of intermediate results take three times longer than blocks that stay in the cache.
_ENTRIES_AT_A_TIME = 2**13


def half_win_derivatives(model: Any, data: Comparisons | PairCounts) -> Callable[[Any], Derivatives]:
    """See `pair_derivatives`: by the short way on a table."""
    return _of_table(data) if isinstance(data, PairCounts) else pair_derivatives(model, data)


def _of_table(table: PairCounts) -> Callable[[Any], Derivatives]:
    """With `met` the weight of comparisons of a pair, everything but the number of wins is symmetric, so no step of the
    search transposes a matrix.
    """
    won, met = _wins_and_meetings(table)

    def derivatives(model: Any) -> Derivatives:
        strength = model.strength
        of_won, of_met, items = won.astype(strength.dtype), met.astype(strength.dtype), jnp.arange(strength.size)

        def of_item(at: tuple[Array, ...]) -> tuple[Array, ...]:
            """Twice the item's share of the value, its expected wins, and its row of the Hessian."""
            met, own, item = at
            p = jax.nn.sigmoid(own - strength)
            log_total = jnp.maximum(own, strength) - jnp.log(jnp.maximum(p, 1 - p))
            edge = met * p * (1 - p)
            return (met * log_total).sum(), (met * p).sum(), jnp.where(items == item, edge - edge.sum(), edge)

        total, expected, hessian = _by_item(of_item, (of_met, strength, items))
        return Derivatives(jnp.vdot(of_won, strength) - total.sum() / 2, of_won - expected, hessian)

    return derivatives


def half_win_approach(model: Any, data: Comparisons | PairCounts) -> Any:
    """See `approach`: on a table, where a step costs a fifth of one with a factorisation."""
    if not isinstance(data, PairCounts):
        return model
    won, met = (x.astype(model.strength.dtype) for x in _wins_and_meetings(data))

    def slopes(strength: Float[Array, " k"]) -> Slopes:
        def of_item(at: tuple[Array, ...]) -> tuple[Array, ...]:
            met, own = at
            p = jax.nn.sigmoid(own - strength)
            return (met * p).sum(), (met * p * (1 - p)).sum()

        expected, information = _by_item(of_item, (met, strength))
        return Slopes(won - expected, information)

    return approach(model, slopes)


def _by_item(of_item: Callable[[tuple[Array, ...]], tuple[Array, ...]], at: tuple[Array, ...]) -> tuple[Array, ...]:
    """Map a function of one item's row of the table over all items, some rows at a time."""
    k = at[0].shape[0]
    return jax.lax.map(of_item, at, batch_size=max(_ENTRIES_AT_A_TIME // k, 1))


def _wins_and_meetings(table: PairCounts) -> tuple[Float[Array, " k"], Float[Array, "k k"]]:
    """Wins of every item and comparisons of every pair, ties half a win each way.

    Settled here, because XLA would otherwise redo the transposed sum inside each loop that reads it.
    """
    wins = table.weight[0] + (table.weight[1] + table.weight[1].T) / 2
    return jax.lax.optimization_barrier((wins.sum(1), symmetric_sum(wins)))
