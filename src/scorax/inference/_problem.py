"""What is maximised or sampled: the log density of a program given data, over one flat vector of coordinates."""

from typing import Any

import equinox as eqx
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from scorax.data import AbstractData
from scorax.inference._model import log_likelihood, parameters
from scorax.inference._program import Coordinates, Draw, Program, initial_coordinates, run

Vector = Float[Array, " d"]


class Problem(eqx.Module):
    """Log density over the flat coordinates of a program's sites.

    With `jacobian=False` the density is the one in natural space, whose mode does not depend on the coordinates;
    with `jacobian=True` it is the density of the coordinates themselves, which samplers need.
    """

    program: Program
    data: AbstractData
    template: Coordinates
    """Coordinates of the right names and shapes: the start."""
    jacobian: bool = eqx.field(static=True)

    @classmethod
    def of(cls, program: Program, data: AbstractData, start: dict[str, Array], *, jacobian: bool) -> "Problem":
        """The problem that starts at the named values of `start`, and at zero in all other coordinates."""
        return cls(program, data, initial_coordinates(program, start), jacobian)

    @property
    def start(self) -> Vector:
        """The template as a flat vector."""
        return ravel_pytree(self.template)[0]

    def coordinates(self, q: Vector) -> Coordinates:
        """The flat vector as named coordinates."""
        return ravel_pytree(self.template)[1](q)

    def draw(self, q: Vector) -> Draw:
        """Module, sites and prior density at `q`."""
        return run(self.program, self.coordinates(q))

    def module(self, q: Vector) -> Any:
        """The module at `q`."""
        return self.draw(q).module

    def leaves(self, q: Vector) -> Float[Array, " p"]:
        """All parameters of the module at `q`, end to end."""
        return ravel_pytree(parameters(self.module(q)))[0]

    def log_prior(self, q: Vector) -> Float[Array, ""]:
        """Log density of the sites at `q`, without the data."""
        return self._log_prior(self.draw(q), q)

    def log_density(self, q: Vector) -> Float[Array, ""]:
        """Log-likelihood plus log prior at `q`."""
        draw = self.draw(q)
        return log_likelihood(draw.module, self.data).astype(q.dtype) + self._log_prior(draw, q)

    def _log_prior(self, draw: Draw, q: Vector) -> Float[Array, ""]:
        density = draw.log_density.astype(q.dtype)
        return density + draw.log_jacobian.astype(q.dtype) if self.jacobian else density
