"""What the sampling loop asks of a kernel, and what a kernel is given."""

import abc
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
from jaxtyping import Array, Float, Key

from scorax.inference._draws import Record, record_of
from scorax.inference._problem import Problem

State = Any
"""A kernel's own: arrays only, the chain's random key among them."""


class Point(NamedTuple):
    """A place in the kernel's coordinates, with the log density there and its gradient."""

    z: Float[Array, "*c d"]
    log_density: Float[Array, "*c"]
    slope: Float[Array, "*c d"]


class AbstractFrame(eqx.Module):
    """Coordinates in which a posterior is near the standard normal: an affine map of those of the problem."""

    centre: eqx.AbstractVar[Float[Array, " d"]]

    @abc.abstractmethod
    def outward(self, z: Float[Array, " d"]) -> Float[Array, " d"]:
        """From the kernel's coordinates to those of the problem."""

    @abc.abstractmethod
    def inward(self, q: Float[Array, " d"]) -> Float[Array, " d"]:
        """And back."""


class Frame(AbstractFrame):
    """With a matrix: `q = centre + root z`."""

    centre: Float[Array, " d"]
    root: Float[Array, "d d"]
    """Lower triangular."""

    def outward(self, z: Float[Array, " d"]) -> Float[Array, " d"]:
        """From the kernel's coordinates to those of the problem."""
        return self.centre + self.root @ z

    def inward(self, q: Float[Array, " d"]) -> Float[Array, " d"]:
        """And back."""
        return jsl.solve_triangular(self.root, q - self.centre, lower=True)


class LowRankFrame(AbstractFrame):
    """For many dimensions, a width each and a few directions: `q = centre + width (z + basis (stretch - 1) basis' z)`.

    Attributes:
        centre: Where `z` is zero.
        width: Positive, one each dimension.
        basis: Orthonormal columns: directions in which the posterior, in these widths, is wider or narrower.
        stretch: Positive: how much.

    Example:
        >>> basis = jnp.full((4, 1), 0.5)  # four numbers whose mean is known three times less well than they are
        >>> frame = LowRankFrame(jnp.zeros(4), jnp.ones(4), basis, jnp.asarray([3.0]))
        >>> frame.outward(jnp.ones(4))
        Array([3., 3., 3., 3.], dtype=float32)
    """

    centre: Float[Array, " d"]
    width: Float[Array, " d"]
    basis: Float[Array, "d r"]
    stretch: Float[Array, " r"]

    def outward(self, z: Float[Array, " d"]) -> Float[Array, " d"]:
        """From the kernel's coordinates to those of the problem."""
        return self.centre + self.width * self._stretched(z, self.stretch)

    def inward(self, q: Float[Array, " d"]) -> Float[Array, " d"]:
        """And back."""
        return self._stretched((q - self.centre) / self.width, 1 / self.stretch)

    def _stretched(self, x: Float[Array, " d"], stretch: Float[Array, " r"]) -> Float[Array, " d"]:
        return x + self.basis @ ((stretch - 1) * (self.basis.T @ x))


class AbstractTarget(eqx.Module):
    """What the dynamics of a kernel need to know: a log density over a flat vector."""

    @abc.abstractmethod
    def log_density(self, z: Float[Array, " d"]) -> Float[Array, ""]:
        """Log density at `z`, up to a constant."""

    def point(self, z: Float[Array, " d"]) -> Point:
        """`z` with what is known there."""
        return Point(z, *jax.value_and_grad(self.log_density)(z))


class Target(AbstractTarget):
    """A problem seen through a frame: the density that a kernel samples, up to the frame's constant volume."""

    problem: Problem
    frame: AbstractFrame | None

    def log_density(self, z: Float[Array, " d"]) -> Float[Array, ""]:
        """Log density at `z`, up to a constant."""
        return self.problem.log_density(self.outward(z))

    def outward(self, z: Float[Array, " d"]) -> Float[Array, " d"]:
        """The coordinates of the problem."""
        return z if self.frame is None else self.frame.outward(z)

    def inward(self, q: Float[Array, " d"]) -> Float[Array, " d"]:
        """The kernel's coordinates."""
        return q if self.frame is None else self.frame.inward(q)

    def record(self, z: Float[Array, " d"], moving: tuple[bool, ...]) -> Record:
        """What is kept of a draw."""
        return record_of(self.problem, self.outward(z), moving)


class AbstractKernel(eqx.Module):
    """A Markov chain's transition, and how it is tuned. Its fields are settings: static Python values.

    A chain sees its own key and its own state alone once it has begun; so draws do not depend on how many chains
    there are, nor on which device each of them is.
    """

    tunes_before: ClassVar[bool]
    """Whether `begin` does all the tuning, in one call; else `step` does, in the first `num_warmup` steps."""
    couples_chains: ClassVar[bool]
    """Whether tuning looks at all chains together. Sampling never does."""
    built_on: ClassVar[tuple[str, ...]] = ()
    """Packages besides NumPyro whose versions a run in a file must keep."""
    needs_frame: ClassVar[bool] = False
    """Whether it samples only where the density is near the standard normal."""
    needs_rows: ClassVar[bool] = False
    """Whether it looks at rows of the data one by one, and so wants them as they are, not condensed."""

    @abc.abstractmethod
    def begin(
        self,
        target: Target,
        start: Point,
        keys: Key[Array, " c"],
        num_warmup: int,
        adaptation: dict[str, Array] | None,
    ) -> State:
        """The states of all chains at their starts, with a leading axis of chains.

        Args:
            target: The density.
            start: A point for each chain.
            keys: A key for each chain.
            num_warmup: Steps of tuning.
            adaptation: What an earlier run found, by chain, in place of tuning.
        """

    @abc.abstractmethod
    def step(self, target: Target, state: State, num_warmup: int) -> State:
        """One transition of one chain."""

    @abc.abstractmethod
    def position(self, state: State) -> Float[Array, " d"]:
        """Where the chain is."""

    @abc.abstractmethod
    def statistics(self, state: State) -> dict[str, Array]:
        """Numbers about the last transition; `log_density` among them."""

    @abc.abstractmethod
    def adaptation(self, state: State) -> dict[str, Array]:
        """What tuning found: the argument of another `begin`."""

    @property
    @abc.abstractmethod
    def batches_well(self) -> bool:
        """Whether chains are best moved together (`vmap`) on a CPU, too."""

    def chain_axes(self, state: State) -> Any:
        """For `vmap`: 0 for leaves of which each chain has its own, None for those that are the same in all."""
        return jax.tree.map(lambda _: 0, state)


def strongly_typed(tree: Any) -> Any:
    """Arrays without weak types: what is read back from a file has none, and would be another program."""
    return jax.tree.map(
        lambda x: x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else jax.lax.convert_element_type(x, x.dtype), tree
    )
