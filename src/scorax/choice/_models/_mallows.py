"""Mallows: rankings around a reference order, the less likely the more pairs they turn round."""

import dataclasses
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, Int, PRNGKeyArray
from numpyro.distributions import constraints

from scorax.choice._models._insertions import insertion_vector, log_stages, mean_stages, orders_of, truncated_geometric
from scorax.data import Rankings
from scorax.inference import AbstractModel, AbstractSolver, Newton, parameter
from scorax.numerics import available_dtype


def mallows_log_prob(distance: Float[Array, "*s"], dispersion: Float[Array, ""], *, n_items: int) -> Float[Array, "*s"]:
    r"""Log-probability of a complete ranking at a Kendall distance from the reference order.

    $$\log p = -\lambda d - \sum_{i=1}^{n} \log \frac{1 - e^{-i \lambda}}{1 - e^{-\lambda}}$$

    Args:
        distance: Pairs that the ranking and the reference order differently, from 0 to n(n - 1)/2.
        dispersion: \(\lambda \ge 0\): 0 is uniform over all rankings, infinity allows only the reference.
        n_items: n.

    Returns:
        Natural-log probability, at most 0.

    Example:
        >>> mallows_log_prob(jnp.array([0.0, 3.0]), jnp.array(0.0), n_items=3)  # 3! equally likely rankings
        Array([-1.7917595, -1.7917595], dtype=float32)

    Source: Mallows (1957), doi:10.1093/biomet/44.1-2.114; Fligner & Verducci (1986),
    doi:10.1111/j.2517-6161.1986.tb01420.x (normaliser).
    """
    stages = jnp.broadcast_to(dispersion, (n_items,))
    return -_times(dispersion, distance) - log_stages(stages, _choices(n_items, dispersion)).sum()


def mallows_mean_distance(dispersion: Float[Array, ""], *, n_items: int) -> Float[Array, ""]:
    r"""Expected Kendall distance from the reference, \(\sum_i \big[ 1/(e^\lambda - 1) - i/(e^{i\lambda} - 1) \big]\).

    Args:
        dispersion: \(\lambda \ge 0\).
        n_items: n.

    Returns:
        From n(n - 1)/4 at 0 down to 0 at infinity. It is minus the derivative of the log normaliser.

    Example:
        >>> mallows_mean_distance(jnp.array(0.0), n_items=5)
        Array(5., dtype=float32)

    Source: Fligner & Verducci (1986), doi:10.1111/j.2517-6161.1986.tb01420.x.
    """
    stages = jnp.broadcast_to(dispersion, (n_items,))
    return mean_stages(stages, _choices(n_items, dispersion)).sum()


def generalized_mallows_log_prob(
    insertions: Float[Array, "*b k"], dispersion: Float[Array, " l"]
) -> Float[Array, "*b"]:
    r"""Log-probability of complete rankings under a Mallows model with a dispersion for each place.

    $$\log p = -\sum_{j=1}^{k-1} \Big[\lambda_j V_j + \log\frac{1 - e^{-(k-j+1)\lambda_j}}{1 - e^{-\lambda_j}}\Big]$$

    Args:
        insertions: \(V\), see `insertion_vector`: how many of the items left the reference prefers to the one chosen
            for place j; the last entry is always 0.
        dispersion: \(\lambda_j \ge 0\) of the choices for all places but the last. All equal: Mallows' model.

    Returns:
        Natural-log probability of each ranking, at most 0.

    Example:
        >>> generalized_mallows_log_prob(jnp.array([1.0, 0.0, 0.0]), jnp.array([0.0, 0.0]))
        Array(-1.7917595, dtype=float32)

    Source: Fligner & Verducci (1986), doi:10.1111/j.2517-6161.1986.tb01420.x.
    """
    choices = _choices(len(dispersion) + 1, dispersion)[::-1][:-1]
    stages = jnp.broadcast_to(dispersion, insertions[..., :-1].shape)
    return -_times(stages, insertions[..., :-1]).sum(-1) - log_stages(dispersion, choices).sum()


class Mallows(AbstractModel[Rankings]):
    """Complete rankings around a reference order, with one dispersion.

    The reference is known (`fit_mallows` finds it); `fit` and `sample` move the dispersion.

    Attributes:
        reference: Item ids, best first.
        dispersion: At least 0; larger is more concentrated: each pair turned round costs a factor `exp(-dispersion)`.

    Example:
        >>> rankings = sx.data.Rankings.from_orders([[0, 1, 2], [0, 1, 2], [1, 0, 2], [0, 2, 1]])
        >>> sx.inference.fit(Mallows.init([0, 1, 2]), rankings).model.dispersion
        Array(1.356, dtype=float32)

    Source: Mallows (1957), doi:10.1093/biomet/44.1-2.114.
    """

    reference: Int[Array, " k"]
    dispersion: Float[Array, ""] = parameter(constraints.nonnegative)

    solver: ClassVar[AbstractSolver] = Newton()

    @classmethod
    def init(cls, reference: Any, *, dispersion: float = 1.0, dtype: Any = float) -> "Mallows":
        """Around a reference order (item ids, best first), from where `fit` and `sample` start."""
        return cls(checked_reference(reference), jnp.asarray(dispersion, available_dtype(dtype)))

    def log_prob(self, data: Rankings) -> Float[Array, " n"]:
        """Log-probability of one observation of each ranking."""
        distance = insertion_vector(data.order, self.reference).sum(-1).astype(self.dispersion.dtype)
        return mallows_log_prob(distance, self.dispersion, n_items=self.reference.size)

    def prior(self) -> "Mallows":
        """The reference as it is, and `Exponential(1)`."""
        dispersion = numpyro.sample("dispersion", dist.Exponential(1.0))
        return Mallows(self.reference, jnp.asarray(dispersion))

    def simulate(self, data: Rankings, *, key: PRNGKeyArray) -> Rankings:
        """New complete rankings: for each place a truncated geometric choice among the items left."""
        stages = jnp.broadcast_to(self.dispersion, (self.reference.size,))
        return _simulated(data, stages, self.reference, key)

    def check(self, data: Rankings) -> None:
        """Raise `ValueError` where a ranking is not of all of the reference's items."""
        refuse_incomplete(data, self.reference.size)


class GeneralizedMallows(AbstractModel[Rankings]):
    """Complete rankings around a reference order, with a dispersion for the choice of each place.

    Voters often agree on the top more than on the bottom, or the other way round.

    Attributes:
        reference: Item ids, best first.
        dispersion: One for each place but the last, at least 0; larger is more concentrated.

    Example:
        >>> rankings = sx.data.Rankings.from_orders([[0, 1, 2], [0, 2, 1], [1, 0, 2], [0, 1, 2], [0, 2, 1]])
        >>> sx.inference.fit(GeneralizedMallows.init([0, 1, 2]), rankings).model.dispersion
        Array([1.7238, 0.4055], dtype=float32)

    Source: Fligner & Verducci (1986), doi:10.1111/j.2517-6161.1986.tb01420.x.
    """

    reference: Int[Array, " k"]
    dispersion: Float[Array, " l"] = parameter(constraints.nonnegative)

    solver: ClassVar[AbstractSolver] = Newton()

    @classmethod
    def init(cls, reference: Any, *, dispersion: float = 1.0, dtype: Any = float) -> "GeneralizedMallows":
        """Around a reference order (item ids, best first), from where `fit` and `sample` start."""
        order = checked_reference(reference)
        return cls(order, jnp.full(order.size - 1, dispersion, available_dtype(dtype)))

    def log_prob(self, data: Rankings) -> Float[Array, " n"]:
        """Log-probability of one observation of each ranking."""
        insertions = insertion_vector(data.order, self.reference).astype(self.dispersion.dtype)
        return generalized_mallows_log_prob(insertions, self.dispersion)

    def prior(self) -> "GeneralizedMallows":
        """The reference as it is, and independent `Exponential(1)`."""
        shape = self.dispersion.shape
        dispersion = numpyro.sample("dispersion", dist.Exponential(1.0).expand(shape).to_event(1))
        return GeneralizedMallows(self.reference, jnp.asarray(dispersion))

    def simulate(self, data: Rankings, *, key: PRNGKeyArray) -> Rankings:
        """New complete rankings: for each place a truncated geometric choice among the items left."""
        stages = jnp.concatenate([self.dispersion, jnp.zeros(1, self.dispersion.dtype)])
        return _simulated(data, stages, self.reference, key)

    def check(self, data: Rankings) -> None:
        """Raise `ValueError` where a ranking is not of all of the reference's items."""
        refuse_incomplete(data, self.reference.size)


def checked_reference(reference: Any) -> Int[Array, " k"]:
    """A reference order, which must hold each id once."""
    order = np.asarray(reference)
    if order.ndim != 1 or order.size < 2 or order.dtype.kind not in "iu":
        raise ValueError(f"reference must hold two item ids or more, best first, not {order.dtype} {order.shape}")
    if (np.sort(order) != np.arange(order.size)).any():
        raise ValueError(f"reference must hold each id from 0 to {order.size - 1} once, best first")
    return jnp.asarray(order, jnp.int32)


def refuse_incomplete(data: Rankings, n_items: int) -> None:
    """Raise `ValueError` where a ranking is not of all items: Mallows' models here are of complete rankings."""
    order, where = np.asarray(data.order), np.asarray(data.where)
    whole = where.all(1) & (where.shape[1] == n_items)
    if whole.all():
        whole = (np.sort(order, axis=1) == np.arange(n_items)).all(1)
    bad = np.flatnonzero(~whole)
    if bad.size:
        raise ValueError(
            f"{bad.size} rankings are not of all {n_items} items (first rows: {bad[:3].tolist()}): Mallows' models "
            "need complete rankings. PlackettLuce takes partial and top-k ones."
        )


def _simulated(data: Rankings, stages: Float[Array, " k"], reference: Int[Array, " k"], key: PRNGKeyArray) -> Rankings:
    insertions = truncated_geometric(key, stages, len(data.order))
    return dataclasses.replace(data, order=orders_of(insertions, reference).astype(data.order.dtype))


def _choices(n_items: int, like: Array) -> Float[Array, " n"]:
    return jnp.arange(1, n_items + 1, dtype=like.dtype)


def _times(dispersion: Array, distance: Array) -> Array:
    """Their product, where infinity times zero is zero."""
    moved = distance > 0
    return jnp.where(moved, dispersion * jnp.where(moved, distance, 1), 0)
