"""What all models of rankings share: checks, and the items that there were to choose from."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from scorax.data import Rankings, refuse
from scorax.numerics import masked_logsumexp


def check_rankings(model: Any, data: Rankings) -> None:
    """Raise `ValueError` where rankings hold items that a model has not."""
    k, name = model.strength.shape[-1], type(model).__name__
    refuse(
        ((np.asarray(data.order) >= k) & np.asarray(data.where)).any(1),
        f"a ranking holds an item id of {k} or more, but the model has {k} items,",
        f"Make it with {name}.init(n_items).",
    )
    if data.rest is not None and data.rest.shape[1] != k:
        raise ValueError(f"the choice sets are over {data.rest.shape[1]} items, the model has {k}")


def refuse_ties(model: Any, data: Rankings) -> None:
    """Raise `ValueError` where rankings have ties."""
    if data.tie_level is not None:
        raise ValueError(
            f"the rankings have ties, which {type(model).__name__} does not know: use DavidsonLuce, or break them at "
            "random with rankings.break_ties(key=...)"
        )


def log_rest(strength: Float[Array, " k"], data: Rankings) -> Float[Array, " n"] | None:
    """Log of the total worth of the items that were there and are not listed; None where nobody else was."""
    if data.rest is None:
        return None
    return masked_logsumexp(jnp.broadcast_to(strength, data.rest.shape), where=data.rest)


def listed(order: Int[Array, "n l"], where: Bool[Array, "n l"], k: int) -> Bool[Array, "n k"]:
    """Which items each ranking lists."""
    rows = jnp.arange(order.shape[0])[:, None]
    return jnp.zeros((order.shape[0], k), bool).at[rows, order].max(where)


def choice_set(data: Rankings, k: int) -> Bool[Array, "n k"]:
    """Which items were there to choose from."""
    ranked = listed(data.order, data.where, k)
    return ranked if data.rest is None else ranked | data.rest
