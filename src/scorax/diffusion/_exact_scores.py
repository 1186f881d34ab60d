"""What every law with known noised densities offers: its score, its denoiser, its density, its samples."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, DTypeLike, Float, Int, PRNGKeyArray

from scorax.diffusion._process import AbstractProcess
from scorax.numerics import row_keys


class AbstractExactScore(eqx.Module):
    r"""Data whose noised density is known at every noise level: a test bench for samplers, losses and networks.

    A noised sample is `x_t = alpha(t) x_0 + sigma(t) e`, `e ~ N(0, I)`. A law supplies `score_at`, `denoise_at` and
    `log_prob_at`, for a pair of alpha and sigma, and `draw`; what follows from them is derived here, once. An instance
    is a callable `score(x, t)` for losses and samplers. Functions of a sample take one sample and one time: `jax.vmap`
    them over a batch. Parameters and schedule are cast to the dtype of the sample.
    """

    process: eqx.AbstractVar[AbstractProcess]

    @abc.abstractmethod
    def score_at(
        self, x: Float[Array, "*event"], alpha: Float[Array, ""], sigma: Float[Array, ""]
    ) -> Float[Array, "*event"]:
        """Gradient in `x` of the log-density of `alpha x_0 + sigma e`."""

    @abc.abstractmethod
    def denoise_at(
        self, x: Float[Array, "*event"], alpha: Float[Array, ""], sigma: Float[Array, ""]
    ) -> Float[Array, "*event"]:
        """Mean of `x_0` given that `alpha x_0 + sigma e` is `x`."""

    @abc.abstractmethod
    def log_prob_at(
        self, x: Float[Array, "*event"], alpha: Float[Array, ""], sigma: Float[Array, ""]
    ) -> Float[Array, ""]:
        """Natural log of the density of `alpha x_0 + sigma e`."""

    @abc.abstractmethod
    def draw(self, *, key: PRNGKeyArray) -> Float[Array, "..."]:
        """One sample without noise."""

    def __call__(self, x: Float[Array, "*event"], t: float | Float[Array, ""]) -> Float[Array, "*event"]:
        """The score, so that the module is a score function."""
        return self.score_at(x, *self._levels(t, x.dtype))

    def score(self, x: Float[Array, "*event"], t: float | Float[Array, ""]) -> Float[Array, "*event"]:
        """Gradient in `x` of the log-density of the noised data, at one sample and one time."""
        return self.score_at(x, *self._levels(t, x.dtype))

    def denoise(self, x: Float[Array, "*event"], t: float | Float[Array, ""]) -> Float[Array, "*event"]:
        """Mean of the clean sample given the noised one."""
        return self.denoise_at(x, *self._levels(t, x.dtype))

    def log_prob(self, x: Float[Array, "*event"], t: float | Float[Array, ""] = 0.0) -> Float[Array, ""]:
        """Natural log of the density of the noised data, at one sample and one time."""
        return self.log_prob_at(x, *self._levels(t, x.dtype))

    def simulate(
        self,
        shape: tuple[int],
        t: float | Float[Array, ""] = 0.0,
        *,
        key: PRNGKeyArray,
        offset: int | Int[Array, ""] = 0,
    ) -> Float[Array, "n ..."]:
        """Samples of the noised data.

        Args:
            shape: `(n,)`, how many.
            t: The time, one for all.
            key: Random key. Row `i` uses `fold_in(key, offset + i)`.
            offset: Place of the first row in the whole batch, so that chunks draw what the whole would.
        """

        def example(key):
            of_data, of_noise = jax.random.split(key)
            clean = self.draw(key=of_data)
            alpha, sigma = self._levels(t, clean.dtype)
            return alpha * clean + sigma * jax.random.normal(of_noise, clean.shape, clean.dtype)

        keys = row_keys(key, shape[0], offset)
        return jax.vmap(example)(keys)

    def _levels(self, t: float | Float[Array, ""], dtype: DTypeLike) -> tuple[Float[Array, ""], Float[Array, ""]]:
        time = t if isinstance(t, jax.Array) else jnp.asarray(t, dtype)
        return self.process.alpha(time).astype(dtype), self.process.sigma(time).astype(dtype)


def need_noise(x: Float[Array, "*event"], least: Float[Array, ""]) -> Float[Array, "*event"]:
    """`x`, and an error at run time where a law without a density there is asked for one."""
    return eqx.error_if(
        x,
        least <= 0,
        "this law has no density without noise (a point, a curve or a subspace has none): ask at a time whose noise "
        "level is positive.",
    )


def on_simplex(weights: Float[Array, " k"]) -> Float[Array, " k"]:
    """The weights, and an error where they are negative or their sum is not one (to `1e-3`)."""
    good: Bool[Array, ""] = (weights >= 0).all() & (jnp.abs(weights.sum() - 1) < 1e-3)
    return eqx.error_if(weights, ~good, "weights must be zero or more and sum to one: divide them by their sum.")
