"""What a model is: a likelihood whose floating array leaves are its parameters."""

import abc
import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.distributions import constraints
from numpyro.distributions.constraints import Constraint

from scorax.data import AbstractData
from scorax.inference._minimiser import Minimiser
from scorax.inference._solver import AbstractSolver

Data = TypeVar("Data", bound=AbstractData)


def parameter(support: Constraint, **field: Any) -> Any:
    """A field whose values live in `support`; `fit` moves in its unconstrained coordinates.

    A field without `parameter` that holds a floating array may take any real value.

    Args:
        support: A NumPyro constraint, such as `constraints.positive`, `constraints.simplex` or
            `constraints.zero_sum(1)`, which also fixes a model's gauge.
        field: Further arguments of `eqx.field`, such as a `default`.

    Example:
        >>> from numpyro.distributions import constraints
        >>> class Coin(eqx.Module):
        ...     bias: Float[Array, ""] = sx.inference.parameter(constraints.unit_interval)
    """
    return eqx.field(metadata={"support": support}, **field)


class AbstractModel(eqx.Module, Generic[Data]):
    """A likelihood whose floating array leaves are its parameters, all of them and nothing else.

    A model is complete with three methods; `fit`, `sample`, `bootstrap` and the rest of `scorax.inference` then work
    on it. `solver` says how `fit` maximises: any `AbstractSolver`.
    """

    solver: ClassVar[AbstractSolver] = Minimiser()

    @abc.abstractmethod
    def log_prob(self, data: Data) -> Float[Array, "..."]:
        """Log-probability of one observation of each row, in the shape of `data.weight`, which it does not apply."""

    @abc.abstractmethod
    def prior(self) -> "AbstractModel[Data]":
        """A NumPyro program that draws a model of this shape."""

    @abc.abstractmethod
    def simulate(self, data: Data, *, key: PRNGKeyArray) -> Data:
        """The same design with new outcomes, one observation a row."""

    def total_log_prob(self, data: Data) -> Float[Array, ""]:
        """`log_prob` of all rows, weighted and summed; overridden where there is a shorter way than by rows."""
        return weighted_total(self.log_prob(data), data)

    def check(self, data: Data) -> None:
        """Raise `ValueError` where data do not fit this model; called on the host before anything is compiled."""

    def condense(self, data: Data) -> Data:
        """Data with the same likelihood and fewer rows, where the model has sufficient statistics."""
        return data


def weighted_total(log_prob: Float[Array, "..."], data: AbstractData) -> Float[Array, ""]:
    """Sum over rows: the one place where weights are applied.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0, 0], [1, 1], [1.0, 0.0], weight=[2.0, 3.0])
        >>> float(weighted_total(jnp.array([-1.0, -2.0]), battles))
        -8.0
    """
    weight = data.weight.astype(log_prob.dtype)
    return jnp.where(weight == 0, jnp.zeros_like(log_prob), weight * jnp.where(weight == 0, 0, log_prob)).sum()


def log_likelihood(model: AbstractModel[Data], data: Data) -> Float[Array, ""]:
    """Weighted log-likelihood of all rows.

    A row of weight zero (padding) adds nothing, even where its log-probability is infinite.
    """
    return model.total_log_prob(data)


def parameters(model: Any) -> Any:
    """The floating array leaves of a module, everything else `None`."""
    return eqx.filter(model, eqx.is_inexact_array)


def leaf_names(model: Any) -> list[str]:
    """Key path of every parameter, in the order of `jax.tree.leaves`: the names of sites and of errors.

    Example:
        >>> sx.inference.leaf_names(sx.choice.BradleyTerry.init(3))
        ['strength']
    """
    paths = jax.tree_util.tree_flatten_with_path(parameters(model))[0]
    return [jax.tree_util.keystr(path).lstrip(".") for path, _ in paths]


def supports(model: Any) -> list[Constraint]:
    """Declared support of every parameter, in the order of `leaf_names`; `real` where nothing is declared."""
    return [
        support for value, support in _declared(model, constraints.real) for _ in jax.tree.leaves(parameters(value))
    ]


def _declared(value: Any, inherited: Constraint) -> Iterator[tuple[Any, Constraint]]:
    """Walk the module in the order of its leaves; a field's support holds for all arrays below it."""
    if isinstance(value, eqx.Module):
        for field in dataclasses.fields(value):
            if not field.metadata.get("static", False):
                yield from _declared(getattr(value, field.name), field.metadata.get("support", inherited))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _declared(item, inherited)
    elif isinstance(value, dict):
        for name in sorted(value):
            yield from _declared(value[name], inherited)
    else:
        yield value, inherited
