"""Draws that call the true levels by each other's names: how many, and how to undo it."""

import itertools
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from scorax.data import Annotations
from scorax.inference import AbstractModel, Posterior, leaf_names
from scorax.judges._majority_vote import majority_vote

Model = TypeVar("Model", bound=AbstractModel[Any])

_MOST_PERMUTED = 6


class LabelSwitching(eqx.Module):
    """Which naming of the true levels each draw uses."""

    order: Int[Array, "c r m"]
    """`order[c, r, m]`: the level of the draw that is like level `m` of the majority's vote."""
    switched: Bool[Array, "c r"]
    """Whether that is another naming than the vote's."""
    share: Float[Array, " c"]
    """Share of each chain's draws that are switched."""
    switches: Int[Array, " c"]
    """How often the naming changes from one draw of a chain to the next."""


def label_switching(posterior: Posterior[Model], data: Annotations) -> LabelSwitching:
    r"""Compare each draw's true levels of the items with the vote of the majority, under all names of the levels.

    The naming of a draw is the permutation \(o\) that maximises \(\sum_{i, m} v_{im}\, r_{i, o(m)}\), where \(v\) are
    the shares of the vote and \(r\) the draw's `label_posterior`. Chains that disagree about names have an R-hat far
    above 1 and means that mean nothing; chains that agree on another naming than the vote's may be right, if most
    judges are wrong.

    Args:
        posterior: Of a model with `label_posterior`.
        data: What it was sampled from.

    Example:
        >>> ratings, names = sx.data.datasets.load_anesthesia()
        >>> model = sx.judges.DawidSkene.init(5, 4).at_majority_vote(ratings)
        >>> posterior = sx.inference.sample(model, ratings, key=jax.random.key(0), method="laplace", progress=False)
        >>> label_switching(posterior, ratings).share.max().round(1)
        Array(0., dtype=float32)

    Source: Stephens (2000), doi:10.1111/1467-9868.00265; Papastamoulis (2016), doi:10.18637/jss.v069.c01.
    """
    levels = _n_levels(posterior, data)
    agreement = posterior.map(_Agreement(majority_vote(data, levels), data))
    order = _best_orders(agreement)
    switched = (order != jnp.arange(levels, dtype=order.dtype)[None, None, :]).any(-1)
    changes = (order[:, 1:] != order[:, :-1]).any(-1).sum(1)
    share = switched.astype(agreement.dtype).mean(1)
    return LabelSwitching(order, switched, share, changes.astype(jnp.int32))


def relabel(posterior: Posterior[Model], data: Annotations) -> Posterior[Model]:
    """The same draws, with the true levels of each named as in the vote of the majority.

    Only for models that do not care for names (`DawidSkene`, `MultinomialAnnotator`, `ItemDifficulty`,
    `LogisticRandomEffects`), under a prior that does not care either. Where levels carry values or an order, as in
    `SimplexJudge`, another naming is another hypothesis about the judges, not a nuisance, and this refuses.

    Args:
        posterior: Draws of such a model.
        data: What it was sampled from.

    Returns:
        Draws whose sites are the parameters alone: others, such as those of a hierarchy, are left out.

    Raises:
        ValueError: The model's levels carry values or an order, or its labels are tied to its levels.

    Example:
        >>> ratings, names = sx.data.datasets.load_anesthesia()
        >>> model = sx.judges.DawidSkene.init(5, 4).at_majority_vote(ratings)
        >>> posterior = sx.inference.sample(model, ratings, key=jax.random.key(0), method="laplace", progress=False)
        >>> float(label_switching(relabel(posterior, ratings), ratings).share.max())
        0.0

    Source: Stephens (2000), doi:10.1111/1467-9868.00265.
    """
    if not hasattr(posterior.moving, "relabelled"):
        raise ValueError(
            f"the levels of {type(posterior.moving).__name__} are not interchangeable: another naming of them is "
            "another hypothesis about the judges. Look at label_switching, and at a prior that says which level is "
            "which."
        )
    order = label_switching(posterior, data).order

    def each(moving: Any, order: Int[Array, " m"]) -> Any:
        return eqx.combine(moving, posterior.still).relabelled(order)

    model = jax.vmap(jax.vmap(each))(posterior.moving, order)
    sites = dict(zip(leaf_names(model), jax.tree.leaves(model), strict=True))
    return eqx.tree_at(lambda p: (p.moving, p.sites), posterior, (model, sites))


def _n_levels(posterior: Posterior[Any], data: Annotations) -> int:
    def of_first_draw() -> Array:
        first = jax.tree.map(lambda x: x[0, 0], posterior.moving)
        return eqx.combine(first, posterior.still).label_posterior(data)

    return eqx.filter_eval_shape(of_first_draw).shape[-1]


class _Agreement(eqx.Module):
    """How often an item is of one level by the vote and of another by a draw. A module, to be compiled once."""

    vote: Float[Array, "n m"]
    data: Annotations

    def __call__(self, model: Any) -> Float[Array, "m m"]:
        share = model.label_posterior(self.data)
        weight = self.data.weight.astype(share.dtype)
        return (self.vote.astype(share.dtype) * weight[:, None]).T @ share


def _best_orders(agreement: Float[Array, "c r m m"]) -> Int[Array, "c r m"]:
    levels = agreement.shape[-1]
    if levels > _MOST_PERMUTED:
        flat = np.asarray(agreement).reshape(-1, levels, levels)
        found = np.stack([linear_sum_assignment(table, maximize=True)[1] for table in flat])
        return jnp.asarray(found.reshape(agreement.shape[:-1]), jnp.int32)
    orders = jnp.asarray(np.array(list(itertools.permutations(range(levels)))), jnp.int32)
    # The identity comes first, and wins where there is a tie.
    score = agreement[..., jnp.arange(levels), orders].sum(-1)
    return orders[score.argmax(-1)]
