"""Statistics of a network on noised data, by which DPM-Solver-v3 linearises it."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from scorax.diffusion._process import AbstractProcess, Score
from scorax.numerics import Probe, checked_score, draw_probes


class ModelStatistics(eqx.Module):
    r"""For each entry of a sample and each log signal-to-noise ratio, the numbers of DPM-Solver-v3.

    With `f = (sigma eps - l x) / alpha`, `l` makes `f` least sensitive to the sample, and `s`, `b` fit its change along
    the flow, `df / dlambda = s f + b`.

    Args:
        log_snr: `log(alpha / sigma)`, increasing; at least two values.
        slope: `l`, at each of these.
        growth: `s`.
        shift: `b`.

    Raises:
        ValueError: There are fewer than two values, or the shapes differ.

    Example:
        >>> grid = jnp.linspace(-3.0, 3.0, 61)[:, None]
        >>> ModelStatistics(grid[:, 0], jnp.ones_like(grid), 0 * grid, 0 * grid).slope.shape  # DPM-Solver++
        (61, 1)

    Source: Zheng, Lu, Chen and Zhu (2023), arXiv:2310.13268.
    """

    log_snr: Float[Array, " m"]
    slope: Float[Array, "m *event"]
    growth: Float[Array, "m *event"]
    shift: Float[Array, "m *event"]

    def __check_init__(self):
        shapes = {self.slope.shape, self.growth.shape, self.shift.shape}
        if self.log_snr.shape[0] < 2 or len(shapes) > 1 or self.slope.shape[0] != self.log_snr.shape[0]:
            raise ValueError(
                "statistics need at least two values of log_snr and arrays of one shape with a row for each, not "
                f"{self.log_snr.shape} and {sorted(shapes)}."
            )


def empirical_model_statistics(
    score: Score,
    process: AbstractProcess,
    x0: Float[Array, "n *event"],
    log_snr: Float[Array, " m"],
    *,
    key: PRNGKeyArray,
    n_probes: int = 1,
    probe: str | Probe = "rademacher",
) -> ModelStatistics:
    r"""Statistics of a network for :func:`dpm_solver_v3`, as means over noised data.

    $$l = \mathbb E[\operatorname{diag} \partial(\sigma \epsilon)/\partial x], \quad
      s = \operatorname{Cov}(f, f') / \operatorname{Var} f, \quad b = \mathbb E f' - s\, \mathbb E f$$

    with `f'` the derivative of `f` along the probability flow. The diagonal is that of Hutchinson, over random
    directions. Where `f` does not vary beyond rounding, `s` is zero. The same noise is used at all levels.

    Args:
        score: `score(x, t)`, the gradient in x of the log-density of the noised data, on one sample. Differentiable.
        process: The noise process the score was trained with.
        x0: Clean samples, some hundreds or thousands.
        log_snr: `log(alpha / sigma)`, increasing, over the span of the sampler; about a hundred values.
        key: Random key.
        n_probes: Directions for each sample and level.
        probe: How they are drawn, as in `sx.score_matching.divergence`.

    Returns:
        The statistics.

    Raises:
        ValueError: There are no samples, or fewer than two levels.

    Example:
        >>> process, exact = sx.diffusion.EDM(), lambda x, t: -x / (1 + t**2)  # N(0, 1) data
        >>> x0 = jax.random.normal(jax.random.key(0), (64, 1))
        >>> found = empirical_model_statistics(exact, process, x0, jnp.linspace(-1.0, 1.0, 3), key=jax.random.key(1))
        >>> found.slope[1]  # sigma² / (1 + sigma²)
        Array([0.5], dtype=float32)

    Source: Zheng, Lu, Chen and Zhu (2023), arXiv:2310.13268, section 3 and appendix C.
    """
    n = x0.shape[0]
    if n == 0:
        raise ValueError(f"there are no samples: their shape is {x0.shape}.")
    if log_snr.shape[0] < 2:
        raise ValueError(f"statistics need at least two values of log_snr, not {log_snr.shape[0]}.")
    of_noise, of_probes = jax.random.split(key)
    noise = jax.random.normal(of_noise, x0.shape, x0.dtype)
    directions = draw_probes(probe, key=of_probes, shape=(n_probes, *x0.shape), dtype=x0.dtype)
    grid = log_snr.astype(x0.dtype)

    def seen(y, level):
        """The noise in `y = x / alpha`, `level` times eps, at a log-SNR."""
        t = process.inverse_log_snr(level)
        alpha, sigma = process.alpha(t).astype(y.dtype), process.sigma(t).astype(y.dtype)
        return -(sigma**2 / alpha) * checked_score(score(alpha * y, t), y)

    def slope(level):
        y = x0 + jnp.exp(-level) * noise
        derivative = jax.linearize(lambda y: jax.vmap(seen, (0, None))(y, level), y)[1]
        return jax.lax.map(lambda v: (v * derivative(v)).mean(0), directions).mean(0)

    def change(at):
        level, slope, slope_change = at
        y = x0 + jnp.exp(-level) * noise

        def one(y):
            flow = -seen(y, level)  # dy / dlambda
            value, total = jax.jvp(seen, (y, level), (flow, jnp.ones_like(level)))
            return value - slope * y, total - slope_change * y - slope * flow, (value**2, (slope * y) ** 2)

        f, change, terms = jax.vmap(one)(y)
        f_mean, mean = f.mean(0), change.mean(0)
        variance = ((f - f_mean[None]) ** 2).mean(0)
        rounding = (64 * float(jnp.finfo(f.dtype).eps)) ** 2 * (terms[0].mean(0) + terms[1].mean(0))
        constant = variance <= rounding
        covariance = ((f - f_mean[None]) * (change - mean[None])).mean(0)
        growth = jnp.where(constant, 0.0, covariance / jnp.where(constant, 1.0, variance))
        return growth, mean - growth * f_mean

    slopes = jax.lax.map(slope, grid)
    slope_changes = _gradient(slopes, grid)
    growth, shift = jax.lax.map(change, (grid, slopes, slope_changes))
    return ModelStatistics(grid, slopes, growth, shift)


def _gradient(values: Float[Array, "m *event"], at: Float[Array, " m"]) -> Float[Array, "m *event"]:
    """Differences over neighbours; one-sided at the ends."""
    width = at[1:] - at[:-1]
    slope = (values[1:] - values[:-1]) / width.reshape(-1, *(1,) * (values.ndim - 1))
    if slope.shape[0] == 1:
        return jnp.concatenate([slope, slope])
    before, after = (w.reshape(-1, *(1,) * (values.ndim - 1)) for w in (width[:-1], width[1:]))
    inside = (after * slope[:-1] + before * slope[1:]) / (before + after)
    return jnp.concatenate([slope[:1], inside, slope[-1:]])
