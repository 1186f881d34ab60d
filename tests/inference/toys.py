"""Small models whose posteriors are known in closed form."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.data import AbstractRows
from scorax.inference import AbstractModel


class Measurements(AbstractRows):
    """Noisy measurements of several things."""

    thing: Int[Array, " n"]
    value: Float[Array, " n"]
    weight: Float[Array, " n"]
    count: Float[Array, " n"]

    @classmethod
    def of(cls, thing, value) -> "Measurements":
        value = jnp.asarray(np.asarray(value, float), dtype=float)
        return cls(jnp.asarray(np.asarray(thing, np.int32)), value, jnp.ones_like(value), jnp.ones_like(value))


class Things(AbstractModel[Measurements]):
    """`value ~ Normal(level[thing], 1)`; levels are `Normal(0, scale)` with `scale ~ HalfNormal(1)`."""

    level: Float[Array, " k"]

    @classmethod
    def init(cls, k: int) -> "Things":
        return cls(jnp.zeros(k))

    def log_prob(self, data: Measurements) -> Float[Array, " n"]:
        residual = data.value.astype(self.level.dtype) - self.level[data.thing]
        return -(residual**2 + float(np.log(2 * np.pi))) / 2

    def prior(self) -> "Things":
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        return Things(jnp.asarray(numpyro.sample("level", dist.Normal(0.0, scale).expand(self.level.shape))))

    def simulate(self, data: Measurements, *, key: PRNGKeyArray) -> Measurements:
        noise = jax.random.normal(key, data.value.shape, data.value.dtype)
        return dataclasses.replace(data, value=self.level[data.thing].astype(noise.dtype) + noise)


def normal_posterior(data: Measurements, k: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of the levels given the scale."""
    thing, value = np.asarray(data.thing), np.asarray(data.value, np.float64)
    precision = np.bincount(thing, minlength=k) + scale**-2
    return np.bincount(thing, value, minlength=k) / precision, precision**-0.5


def hierarchical_posterior(data: Measurements, k: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Means and standard deviations of scale and levels, by quadrature over the scale."""
    scales = np.exp(np.linspace(np.log(1e-4), np.log(20), 4000))
    thing, value = np.asarray(data.thing), np.asarray(data.value, np.float64)
    n, total = np.bincount(thing, minlength=k), np.bincount(thing, value, minlength=k)
    # The mean of n values is Normal(0, scale^2 + 1/n) when its level is integrated out.
    variance = scales[:, None] ** 2 + 1 / n
    log_weight = -(np.log(variance) + (total / n) ** 2 / variance).sum(1) / 2 - scales**2 / 2 + np.log(scales)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    means, sds = (np.stack(x) for x in zip(*(normal_posterior(data, k, s) for s in scales), strict=True))
    mean = weight @ means
    sd = np.sqrt(weight @ (sds**2 + means**2) - mean**2)
    scale = weight @ scales
    return {"level": (mean, sd), "scale": (scale, np.sqrt(weight @ scales**2 - scale**2))}


def some_measurements(seed: int, k: int = 3, each: int = 4) -> Measurements:
    """`each` measurements of `k` things."""
    generator = np.random.default_rng(seed)
    thing = np.repeat(np.arange(k), each)
    return Measurements.of(thing, generator.normal(0, 1.5, k)[thing] + generator.normal(size=k * each))
