"""Chains that start in their stationary law: what the tests of kernels run."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from scorax.inference._blocks._kernel import AbstractTransition
from scorax.inference.validity._joint import Joint, Quantities
from scorax.inference.validity._quantities import flatten, names_of, standard_quantities

Kernel = Callable[[PRNGKeyArray, Any], Any]
"""`kernel(key, state) -> state`"""
KernelGiven = Callable[[Any], Kernel]
"""From data to the kernel of the posterior given these data."""
Init = Callable[[PRNGKeyArray], tuple[Any, Any]]
"""`init(key) -> (state, data)`, the state drawn from the kernel's stationary law given the data."""


class Chain(eqx.Module):
    """A kernel, where it starts, and what is looked at."""

    kernel: KernelGiven
    joint: Joint
    init: Init | None
    position: Callable[[Any], Any] | None
    quantities: Quantities | None

    def ready(self, key: PRNGKeyArray) -> "Chain":
        """With the standard quantities where none are given; for inside compiled functions."""
        if self.quantities is not None:
            return self
        return dataclasses.replace(self, quantities=standard_quantities(self.joint, key))

    def start(self, key: PRNGKeyArray) -> tuple[Any, Any]:
        """A stationary state, and the data that it is stationary for."""
        if self.init is not None:
            return self.init(key)
        key_draw, key_state = jax.random.split(key)
        theta, data = self.joint.draw(key_draw)
        kernel = self.kernel(data)
        return kernel.init(theta, key=key_state) if isinstance(kernel, AbstractTransition) else theta, data

    def theta(self, kernel: Kernel, state: Any) -> Any:
        """The parameters that a state stands for."""
        if self.position is not None:
            return self.position(state)
        return kernel.position(state) if isinstance(kernel, AbstractTransition) else state

    def look(self, kernel: Kernel, state: Any, data: Any) -> Float[Array, " q"]:
        """All quantities at a state."""
        return self.measure(self.theta(kernel, state), data)

    def measure(self, theta: Any, data: Any) -> Float[Array, " q"]:
        """All quantities, end to end."""
        assert self.quantities is not None
        return flatten(self.quantities(theta, data))

    def names(self, key: PRNGKeyArray) -> tuple[str, ...]:
        """Of the quantities; nothing is computed."""

        def at_start(key: PRNGKeyArray) -> Any:
            quantities = self.ready(key).quantities
            assert quantities is not None
            state, data = self.start(key)
            return quantities(self.theta(self.kernel(data), state), data)

        return names_of(at_start, key)


def iterate(
    step: Callable[[Any, Int[Array, ""]], tuple[Any, Any]], first: Any, steps: Int[Array, " t"]
) -> tuple[Any, Any]:
    """`scan` for states of any kind: what is no array stays as it is in `first`."""
    arrays, rest = eqx.partition(first, eqx.is_array)

    def body(carry: Any, t: Int[Array, ""]) -> tuple[Any, Any]:
        state, seen = step(eqx.combine(carry, rest), t)
        return eqx.filter(state, eqx.is_array), seen

    arrays, seen = jax.lax.scan(body, arrays, steps)
    return eqx.combine(arrays, rest), seen


def differs(one: Any, other: Any) -> Bool[Array, ""]:
    """Whether some number of two trees is not the same."""
    return jnp.any(flatten(one) != flatten(other))


def numbers(n: int, *, first: int = 0) -> Int[Array, " n"]:
    """Of repetitions: the one with number `i` has the key `fold_in(key, i)`, whatever comes with it."""
    return jnp.asarray(np.arange(first, first + n, dtype=np.int32))


def require(**limits: tuple[int, int]) -> None:
    """Raise `ValueError` for the first argument below its least value."""
    for name, (value, least) in limits.items():
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")
