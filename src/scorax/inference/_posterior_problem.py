"""The problem of a posterior: program, condensed data and start, put together and checked."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpyro.distributions import Distribution

from scorax.inference._model import AbstractModel
from scorax.inference._priors import named_leaves
from scorax.inference._problem import Problem
from scorax.inference._program import Coordinates, Program, initial_coordinates


def posterior_problem(
    model: AbstractModel[Any],
    data: Any,
    prior: Program | None,
    initial: AbstractModel[Any] | dict[str, Array] | None = None,
    *,
    condense: bool = True,
) -> tuple[Problem, dict[str, Array]]:
    """The problem whose density is the posterior's, and the sites whose start is given.

    Without `condense` its data stay as they are, row by row.

    Raises:
        ValueError: The data do not fit the model, the prior samples a discrete site, or `initial` names no site.
    """
    model.check(data)
    program = _floats_as_arrays(model.prior if prior is None else prior)
    given = _given(initial)
    template = _coordinates(program, given)
    _check_given(initial, given, template)
    return Problem(program, model.condense(data) if condense else data, template, jacobian=True), given


def _floats_as_arrays(program: Program) -> Program:
    """Python numbers inside NumPyro distributions as arrays, so that other numbers are not another program."""

    def convert(node: Any) -> Any:
        if not isinstance(node, Distribution):
            return node
        return jax.tree.map(lambda x: jnp.asarray(np.asarray(x, default_float())) if isinstance(x, float) else x, node)

    return jax.tree.map(convert, program, is_leaf=lambda node: isinstance(node, Distribution))


def _given(initial: AbstractModel[Any] | dict[str, Array] | None) -> dict[str, Array]:
    if initial is None:
        return {}
    values = initial if isinstance(initial, dict) else named_leaves(initial)
    return {name: jnp.asarray(np.asarray(value, default_float())) for name, value in values.items()}


def _check_given(initial: Any, given: dict[str, Array], template: Coordinates) -> None:
    unknown = sorted(set(given) - set(template))
    if unknown and (isinstance(initial, dict) or len(unknown) == len(given)):
        raise ValueError(
            f"initial= names {unknown}, which the prior does not sample; its sites are {sorted(template)}. Pass a "
            "dictionary of values of those."
        )


@eqx.filter_jit
def _coordinates(program: Program, given: dict[str, Array]) -> Coordinates:
    return initial_coordinates(program, given)


def default_float() -> np.dtype:
    """JAX's, in which inference works whatever the width of the model."""
    return np.dtype(jnp.result_type(float))
