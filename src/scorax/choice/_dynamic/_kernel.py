"""What a kernel of changing skills is: a Gaussian process of time that is Markov in a small state."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float


class AbstractSkillKernel(eqx.Module):
    """A Gaussian process of mean 0, `measurement @ z(t)` of a state z that moves linearly.

    Adding kernels adds independent processes: `Constant(1.0) + Matern32(0.5, 30.0)`. The floating leaves are the
    hyper-parameters; time is in the unit of the data.
    """

    @abc.abstractmethod
    def transition(self, gap: Float[Array, ""]) -> Float[Array, "d d"]:
        """Matrix A of `z(t + gap) = A z(t) + noise`, for a gap of at least 0."""

    @abc.abstractmethod
    def noise(self, gap: Float[Array, ""]) -> Float[Array, "d d"]:
        """Covariance of that noise, exact in single precision however small the gap."""

    @abc.abstractmethod
    def state_covariance(self, time: Float[Array, ""]) -> Float[Array, "d d"]:
        """Covariance of `z(time)`; NaN before the process starts, where it has a start."""

    @property
    @abc.abstractmethod
    def measurement(self) -> Float[Array, " d"]:
        """What of the state is the skill."""

    @abc.abstractmethod
    def covariance(self, t: Float[Array, "*s"], s: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Covariance of the skill at two times, in closed form."""

    def __add__(self, other: "AbstractSkillKernel") -> "Sum":
        return Sum((self, other))


class Sum(AbstractSkillKernel):
    """The sum of independent processes, what `+` makes of kernels.

    Example:
        >>> from scorax.choice import Constant, Exponential
        >>> kernel = Constant(1.0) + Exponential(2.0, 5.0)
        >>> kernel.covariance(jnp.array(0.0), jnp.array(5.0)).round(4)  # 1 + 2 / e
        Array(1.7358, dtype=float32)
    """

    terms: tuple[AbstractSkillKernel, ...]

    def transition(self, gap: Float[Array, ""]) -> Float[Array, "d d"]:
        """Block by block."""
        return jsl.block_diag(*(term.transition(gap) for term in self.terms))

    def noise(self, gap: Float[Array, ""]) -> Float[Array, "d d"]:
        """Block by block."""
        return jsl.block_diag(*(term.noise(gap) for term in self.terms))

    def state_covariance(self, time: Float[Array, ""]) -> Float[Array, "d d"]:
        """Block by block."""
        return jsl.block_diag(*(term.state_covariance(time) for term in self.terms))

    @property
    def measurement(self) -> Float[Array, " d"]:
        """The sum of the terms' skills."""
        return jnp.concatenate([term.measurement for term in self.terms])

    def covariance(self, t: Float[Array, "*s"], s: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """The sum."""
        first, *others = (term.covariance(t, s) for term in self.terms)
        return sum(others, first)


def hyperparameter(default: float | None = None) -> Any:
    """A field that is a floating array."""
    if default is None:
        return eqx.field(converter=_to_float)
    return eqx.field(converter=_to_float, default=default)


def _to_float(value: Any) -> Float[Array, "..."]:
    return jnp.asarray(value, dtype=None if isinstance(value, jax.Array) else float)


def check_hyperparameters(kernel: Any, *names: str) -> None:
    """Raise `ValueError` where one of these fields is not positive, as far as values are known."""
    for name in names:
        value = getattr(kernel, name)
        if isinstance(value, jax.Array) and not isinstance(value, Tracer):
            known = np.asarray(value)
            if not (np.isfinite(known) & (known > 0)).all():
                raise ValueError(f"{name} of {type(kernel).__name__} must be finite and above 0, not {known}")
