"""Models of posteriordb as a user would write them: regressions, a hierarchy, a mixture."""

import abc
import dataclasses
import math

import jax
import jax.numpy as jnp
import jax.scipy.special as jss
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.distributions import constraints

from scorax.data import AbstractRows
from scorax.inference import AbstractModel, parameter


def normal_log_prob(z: Float[Array, "*b"], scale: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """Of `scale * z`, where `z` is standard normal."""
    return -(z**2) / 2 - jnp.log(scale) - 0.5 * math.log(2 * math.pi)


class Table(AbstractRows):
    """Rows of a regression."""

    x: Float[Array, "n p"]
    y: Float[Array, " n"]
    weight: Float[Array, " n"]
    count: Float[Array, " n"]

    @classmethod
    def of(cls, *columns, y) -> "Table":
        """A design of these columns; a number stands for a column that is constant."""
        y = np.asarray(y, float)
        x = np.stack([np.broadcast_to(np.asarray(column, float), y.shape) for column in columns], axis=1)
        ones = np.ones(y.size)
        return cls(*(jnp.asarray(array, float) for array in (x, y, ones, ones)))


class AbstractLinear(AbstractModel[Table]):
    """`y ~ Normal(x . coefficient, noise)`; what is known beforehand differs from data to data."""

    coefficient: Float[Array, " p"]
    noise: Float[Array, ""] = parameter(constraints.positive)

    def log_prob(self, data: Table) -> Float[Array, " n"]:
        mean = data.x.astype(self.coefficient.dtype) @ self.coefficient
        residual = (data.y.astype(mean.dtype) - mean) / self.noise
        return normal_log_prob(residual, jnp.broadcast_to(self.noise, residual.shape))

    @abc.abstractmethod
    def prior(self) -> "AbstractLinear": ...

    def simulate(self, data: Table, *, key: PRNGKeyArray) -> Table:
        mean = data.x.astype(self.coefficient.dtype) @ self.coefficient
        return dataclasses.replace(data, y=mean + self.noise * jax.random.normal(key, mean.shape, mean.dtype))


def flat(name: str, support: constraints.Constraint, shape: tuple[int, ...] = ()) -> Array:
    """A site about which nothing is known."""
    return jnp.asarray(numpyro.sample(name, dist.ImproperUniform(support, shape, ())))


class KidScore(AbstractLinear):
    """Flat coefficients."""

    def prior(self) -> "KidScore":
        coefficient = flat("coefficient", constraints.real, self.coefficient.shape)
        return KidScore(coefficient, jnp.asarray(numpyro.sample("noise", dist.HalfCauchy(2.5))))


class Kilpisjarvi(AbstractLinear):
    """A vague level, a slope that is known to be small, flat noise."""

    def prior(self) -> "Kilpisjarvi":
        width = dist.Normal(jnp.asarray([9.31290322580645, 0.0]), jnp.asarray([100.0, 0.0333333333333333]))
        return Kilpisjarvi(jnp.asarray(numpyro.sample("coefficient", width)), flat("noise", constraints.positive))


class Independent(AbstractLinear):
    """Normal coefficients."""

    def prior(self) -> "Independent":
        coefficient = numpyro.sample("coefficient", dist.Normal(0.0, 10.0).expand(self.coefficient.shape))
        noise = numpyro.sample("noise", dist.HalfNormal(10.0))
        return Independent(jnp.asarray(coefficient), jnp.asarray(noise))


class Mesquite(AbstractLinear):
    """All flat."""

    def prior(self) -> "Mesquite":
        coefficient = flat("coefficient", constraints.real, self.coefficient.shape)
        return Mesquite(coefficient, flat("noise", constraints.positive))


class AutoRegression(AbstractLinear):
    """The columns are the series itself, some steps back."""

    def prior(self) -> "AutoRegression":
        with numpyro.plate("lags", self.coefficient.shape[0]):
            coefficient = numpyro.sample("coefficient", dist.Normal(0, 10))
        return AutoRegression(jnp.asarray(coefficient), jnp.asarray(numpyro.sample("noise", dist.HalfCauchy(2.5))))


class Estimates(AbstractRows):
    """One estimate, with its standard error, of each effect."""

    value: Float[Array, " k"]
    error: Float[Array, " k"]
    weight: Float[Array, " k"]
    count: Float[Array, " k"]

    @classmethod
    def of(cls, value, error) -> "Estimates":
        ones = np.ones(len(value))
        return cls(*(jnp.asarray(array, float) for array in (value, error, ones, ones)))


class EightSchools(AbstractModel[Estimates]):
    """Effects that differ by less than the errors of their estimates."""

    effect: Float[Array, " k"]

    def log_prob(self, data: Estimates) -> Float[Array, " k"]:
        error = data.error.astype(self.effect.dtype)
        return normal_log_prob((data.value.astype(self.effect.dtype) - self.effect) / error, error)

    def prior(self) -> "EightSchools":
        """In the non-centred form, which suits NUTS where data say little."""
        centre = numpyro.sample("mu", dist.Normal(0.0, 5.0))
        spread = numpyro.sample("tau", dist.HalfCauchy(5.0))
        z = numpyro.sample("z", dist.Normal(0.0, 1.0).expand(self.effect.shape))
        return EightSchools(jnp.asarray(numpyro.deterministic("effect", centre + spread * z)))

    def centred(self) -> "EightSchools":
        """The same, in the form that suits Laplace's method."""
        centre = numpyro.sample("mu", dist.Normal(0.0, 5.0))
        spread = numpyro.sample("tau", dist.HalfCauchy(5.0))
        effect = numpyro.sample("effect", dist.Normal(centre, spread).expand(self.effect.shape))
        return EightSchools(jnp.asarray(effect))

    def simulate(self, data: Estimates, *, key: PRNGKeyArray) -> Estimates:
        noise = data.error * jax.random.normal(key, data.error.shape, data.error.dtype)
        return dataclasses.replace(data, value=self.effect.astype(noise.dtype) + noise)


class Numbers(AbstractRows):
    """Numbers."""

    value: Float[Array, " n"]
    weight: Float[Array, " n"]
    count: Float[Array, " n"]

    @classmethod
    def of(cls, value) -> "Numbers":
        ones = np.ones(len(value))
        return cls(*(jnp.asarray(array, float) for array in (value, ones, ones)))


class Mixture(AbstractModel[Numbers]):
    """Two normal distributions, told apart by the order of their means."""

    mean: Float[Array, " 2"] = parameter(constraints.ordered_vector)
    scale: Float[Array, " 2"] = parameter(constraints.positive)
    first: Float[Array, ""] = parameter(constraints.unit_interval)
    """How much of the whole the first of them is."""

    def log_prob(self, data: Numbers) -> Float[Array, " n"]:
        value = data.value.astype(self.mean.dtype)
        share = jnp.stack([self.first, 1 - self.first])
        z = (value[:, None] - self.mean[None]) / self.scale[None]
        each = normal_log_prob(z, jnp.broadcast_to(self.scale[None], z.shape))
        return jss.logsumexp(jnp.log(share)[None] + each, axis=1)

    def prior(self) -> "Mixture":
        mean = jnp.asarray(numpyro.sample("mean", dist.ImproperUniform(constraints.ordered_vector, (), (2,))))
        numpyro.factor("of_mean", dist.Normal(0.0, 2.0).log_prob(mean).sum())
        scale = numpyro.sample("scale", dist.HalfNormal(2.0).expand((2,)))
        return Mixture(mean, jnp.asarray(scale), jnp.asarray(numpyro.sample("first", dist.Beta(5.0, 5.0))))

    def simulate(self, data: Numbers, *, key: PRNGKeyArray) -> Numbers:
        which, how_far = jax.random.split(key)
        second = jax.random.bernoulli(which, 1 - self.first, data.value.shape).astype(int)
        noise = jax.random.normal(how_far, data.value.shape, self.mean.dtype)
        return dataclasses.replace(data, value=self.mean[second] + self.scale[second] * noise)
