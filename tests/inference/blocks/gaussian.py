"""A linear Gaussian state space model: `x' = 0.9 x + noise`, `y = x + noise`, all variances one, started stationary."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from jaxtyping import Array, Float

from scorax.inference._blocks import Stepped, smc

A = 0.9
FIRST_VARIANCE = 1 / (1 - A**2)


def _log_normal(x, mean, variance):
    return -((x - mean) ** 2 / variance + jnp.log(2 * jnp.pi * variance)) / 2


class LinearGaussian(eqx.Module):
    """The model, with its data."""

    observed: Float[Array, " t"]

    @classmethod
    def simulated(cls, seed: int, n_steps: int) -> "LinearGaussian":
        """Data from the model."""
        generator = np.random.default_rng(seed)
        x, y = generator.normal(0, FIRST_VARIANCE**0.5), []
        for _ in range(n_steps):
            y.append(x + generator.normal())
            x = A * x + generator.normal()
        return cls(jnp.asarray(np.array(y), dtype=float))

    def _drawn(self, t, previous, key):
        scale = jnp.where(t == 0, FIRST_VARIANCE**0.5, 1.0)
        return jnp.where(t == 0, 0.0, A * previous) + scale * jax.random.normal(key, (), previous.dtype)

    def _init(self, key):
        return jnp.zeros((), self.observed.dtype)

    def _step(self, t, x, key):
        x = self._drawn(t, x, key)
        return x, _log_normal(self.observed[t], x, 1.0)

    def stepped(self) -> Stepped:
        """A bootstrap filter; its state is the newest place."""
        return Stepped(self._init, self._step, n_steps=self.observed.shape[0])

    def _init_path(self, key):
        return jnp.zeros_like(self.observed)

    def _step_path(self, t, path, key):
        x, log_increment = self._step(t, path[t - 1], key)
        return path.at[t].set(x), log_increment

    def _log_density(self, t, path):
        before = jnp.concatenate([jnp.zeros_like(path[:1]), path[:-1]])
        variance = jnp.ones_like(path).at[0].set(FIRST_VARIANCE)
        terms = _log_normal(path, A * before, variance) + _log_normal(self.observed, path, 1.0)
        return jnp.where(jnp.arange(path.shape[0], dtype=t.dtype) <= t, terms, 0.0).sum()

    def with_history(self, make_move) -> Stepped:
        """The filter whose state is the whole path, with a move that `make_move` makes of its density."""
        move = make_move(self._log_density)
        return Stepped(self._init_path, self._step_path, n_steps=self.observed.shape[0], move=move)

    def state_covariance(self) -> np.ndarray:
        """Of the hidden states."""
        t = np.arange(self.observed.shape[0])
        return FIRST_VARIANCE * A ** abs(t[:, None] - t)

    def data_covariance(self) -> np.ndarray:
        """Of the observations."""
        return self.state_covariance() + np.eye(self.observed.shape[0])

    def log_evidence(self) -> float:
        """By the Kalman filter."""
        mean, variance, total = 0.0, FIRST_VARIANCE, 0.0
        for y in np.asarray(self.observed, np.float64):
            total += scipy.stats.norm.logpdf(y, mean, (variance + 1) ** 0.5)
            gain = variance / (variance + 1)
            mean, variance = A * (mean + gain * (y - mean)), A**2 * (1 - gain) * variance + 1
        return total

    def posterior(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of the hidden states given all data."""
        gain = np.linalg.solve(self.data_covariance(), self.state_covariance()).T
        return gain @ np.asarray(self.observed, np.float64), self.state_covariance() - gain @ self.state_covariance()


@eqx.filter_jit
def _log_evidences(stepped, n_particles, resampler, keys):
    return jax.lax.map(lambda key: smc(stepped, n_particles, key=key, resampler=resampler).log_evidence, keys)


def log_evidences(model: LinearGaussian, n_particles: int, resampler, *, n_runs: int) -> np.ndarray:
    """Estimates of independent runs."""
    keys = jax.random.split(jax.random.key(0), n_runs)
    return np.asarray(_log_evidences(model.stepped(), n_particles, resampler, keys), np.float64)
