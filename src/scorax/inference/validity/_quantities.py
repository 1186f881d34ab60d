"""What tests look at: numbers computed from parameters and data, under names."""

import itertools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from scorax.inference.validity._joint import Joint

_PROJECTIONS = 8


def flatten(tree: Any) -> Float[Array, " q"]:
    """All numbers of a tree end to end, in JAX's default float."""
    leaves = [jnp.ravel(leaf).astype(jnp.result_type(float)) for leaf in jax.tree.leaves(eqx.filter(tree, _is_number))]
    return jnp.concatenate(leaves) if leaves else jnp.zeros(0)


def names_of(f: Callable[..., Any], *arguments: Any) -> tuple[str, ...]:
    """Names of the entries of `flatten(f(*arguments))`; nothing is computed."""
    paths = jax.tree_util.tree_flatten_with_path(eqx.filter_eval_shape(f, *arguments))[0]
    return tuple(
        f"{_label(path)}{list(map(int, index)) if index else ''}"
        for path, leaf in paths
        if hasattr(leaf, "shape")
        for index in np.ndindex(leaf.shape)
    )


def _label(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".").lstrip(".") or "theta"


def _is_number(leaf: Any) -> bool:
    return eqx.is_array(leaf) and not jnp.issubdtype(leaf.dtype, jax.dtypes.extended)


class Coordinates(eqx.Module):
    """The parameters themselves, end to end; random projections where they are many."""

    names: tuple[str, ...] = eqx.field(static=True)
    directions: Float[Array, "p d"] | None

    @classmethod
    def of(cls, theta: Any, key: PRNGKeyArray) -> "Coordinates":
        names = names_of(lambda theta: eqx.filter(theta, _is_number), theta)
        if len(names) <= _PROJECTIONS:
            return cls(names, None)
        key = jax.random.fold_in(key, _PROJECTIONS)
        many = tuple(f"projection {i}" for i in range(_PROJECTIONS))
        return cls(many, jax.random.normal(key, (_PROJECTIONS, len(names)), jnp.result_type(float)))

    def __call__(self, tree: Any) -> Float[Array, " p"]:
        flat = flatten(tree)
        return flat if self.directions is None else self.directions @ flat


class StandardQuantities(eqx.Module):
    """Coordinates, their squares, their products with matching statistics of the data, and the log-likelihood.

    The statistic that matches a coordinate is the derivative of the log-likelihood with respect to it at a fixed
    `reference`: in an exponential family, the sufficient statistic. A wrong kernel may well leave the mean of every
    coordinate alone, but seldom their squares and products.
    """

    coordinates: Coordinates
    log_likelihood: Callable[[Any, Any], Float[Array, ""]] | None
    reference: Any
    cross: bool = eqx.field(static=True)
    """Products of two coordinates too."""

    def __call__(self, theta: Any, data: Any) -> dict[str, Array]:
        x = self.coordinates(theta)
        found = {"": x, "²": x**2}
        likelihood = self.log_likelihood
        if likelihood is not None and any(map(eqx.is_inexact_array, jax.tree.leaves(theta))):
            score = eqx.filter_grad(lambda theta: likelihood(theta, data))(self.reference)
            found[" · score"] = x * self.coordinates(_as(score, theta))
        named = {
            name + suffix: value
            for suffix, values in found.items()
            for name, value in zip(self.coordinates.names, values, strict=True)
        }
        if self.cross:
            pairs = itertools.combinations(zip(self.coordinates.names, x, strict=True), 2)
            named.update({f"{a} · {b}": value * other for (a, value), (b, other) in pairs})
        return named if likelihood is None else {**named, "log-likelihood": likelihood(theta, data)}


def _as(score: Any, theta: Any) -> Any:
    """The derivatives with a zero for every number that has none."""
    return jax.tree.map(
        lambda g, x: jnp.zeros_like(x) if g is None else g,
        score,
        eqx.filter(theta, _is_number),
        is_leaf=lambda x: x is None,
    )


def standard_quantities(joint: Joint, key: PRNGKeyArray, *, cross: bool = False) -> StandardQuantities:
    """The default of the tests of kernels. Compile it: op by op, drawing a reference takes seconds."""
    reference = joint.prior(key)
    coordinates = Coordinates.of(reference, key)
    return StandardQuantities(coordinates, joint.log_likelihood, reference, cross)
