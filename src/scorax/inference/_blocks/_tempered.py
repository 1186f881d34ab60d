"""Tempering: from the prior to the posterior by powers of the likelihood."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from scorax.inference._blocks._kernel import KernelOf
from scorax.inference._blocks._population import Population, check_count, spawn
from scorax.inference._blocks._resample import Transformer, resample
from scorax.inference._blocks._smc import aside, resample_move
from scorax.inference._blocks._stepped import Stepped
from scorax.inference._blocks._traced import Traced
from scorax.numerics._resampling import log_conditional_ess

# Each halves the interval: more than any float has digits.
_HALVINGS = 60


class _Path(eqx.Module):
    target: Traced
    betas: Float[Array, " t"]
    kernel: KernelOf

    def step(self, t: Int[Array, ""], trace: Any, key: PRNGKeyArray) -> tuple[Any, Float[Array, ""]]:
        before = jnp.where(t > 0, self.betas[t - 1], jnp.zeros_like(self.betas[0]))
        return trace, power(self.target.log_likelihood(trace), self.betas[t] - before)

    def move(self, t: Int[Array, ""], trace: Any, key: PRNGKeyArray) -> Any:
        return self.kernel(at_power(self.target, self.betas[t])).one_step(key, trace)


def tempered(target: Traced, betas: Float[Array, " t"], *, kernel: KernelOf) -> Stepped:
    """A posterior reached through powers of its likelihood: step `t` weighs by `L ** (betas[t] - betas[t - 1])`.

    Run it with `rmsmc`, whose moves bring particles to each of these targets.

    Args:
        target: The posterior.
        betas: Ascending powers in (0, 1], the last one 1 (checked where the values are known).
        kernel: From the log density of a target to a kernel: `eqx.Partial(mh_kernel, proposal=random_walk(0.5))`, or a
            function that makes a blackjax or NumPyro kernel of it.

    Raises:
        ValueError: `betas` do not ascend from above 0 to 1.

    Example:
        >>> normal = jax.scipy.stats.norm.logpdf
        >>> target = sx.inference.Traced(jax.random.normal, normal, lambda x: normal(1.0, x))
        >>> kernel = eqx.Partial(sx.inference.mh_kernel, proposal=sx.inference.random_walk(1.0))
        >>> steps = sx.inference.tempered(target, jnp.array([0.1, 0.4, 1.0]), kernel=kernel)
        >>> steps.n_steps  # for rmsmc(steps, 1000, key=key, n_moves=2)
        3

    Source: Neal (2001), arXiv:physics/9803008; Del Moral, Doucet & Jasra (2006), arXiv:cond-mat/0212648.
    """
    if not isinstance(betas, Tracer):
        _check(betas)
    path = _Path(target, betas, kernel)
    return Stepped(target.draw, path.step, target.output, n_steps=betas.shape[0], move=path.move)


def _check(betas: Float[Array, " t"]) -> None:
    ascending = betas.size > 0 and betas[0] > 0 and bool((jnp.diff(betas) >= 0).all())
    if not ascending or betas[-1] != 1:
        raise ValueError(f"betas must ascend from above 0 to 1, not {betas}")


class Tempering(NamedTuple):
    """What adaptive tempering found."""

    population: Population
    """Of outputs of the target."""
    betas: Float[Array, " t"]
    """The powers it took, padded with ones: `tempered(target, betas)` takes them again."""
    n_steps: Int[Array, ""]
    """How many it took."""


class _Progress(NamedTuple):
    t: Int[Array, ""]
    beta: Float[Array, ""]
    betas: Float[Array, " t"]
    population: Population


def adaptive_tempering(
    target: Traced,
    n_particles: int,
    *,
    key: PRNGKeyArray,
    kernel: KernelOf,
    ess_threshold: float = 0.5,
    n_moves: int = 1,
    max_steps: int = 100,
    resampler: Transformer = resample,
) -> Tempering:
    """Tempering that chooses its powers: each as large as keeps the conditional effective sample size.

    Powers chosen from the particles make the evidence slightly biased, of the order of one over their number. For an
    unbiased one run `rmsmc(tempered(target, found.betas, kernel=kernel), n_particles, key=another_key)`.

    Args:
        target: The posterior.
        n_particles: At least 1.
        key: Random key.
        kernel: From the log density of a target to a kernel.
        ess_threshold: Conditional effective sample size to keep at each step, as a share of the particles, in (0, 1).
        n_moves: Moves of each particle after a resampling.
        max_steps: The last of them goes to 1 whatever it costs.
        resampler: What to do between steps.

    Raises:
        ValueError: A count is below 1, or `ess_threshold` is outside (0, 1).

    Example:
        >>> normal = jax.scipy.stats.norm.logpdf
        >>> target = sx.inference.Traced(jax.random.normal, normal, lambda x: 20 * normal(1.0, x))
        >>> kernel = eqx.Partial(sx.inference.mh_kernel, proposal=sx.inference.random_walk(0.5))
        >>> found = sx.inference.adaptive_tempering(target, 1000, key=jax.random.key(0), kernel=kernel, max_steps=8)
        >>> int(found.n_steps), bool(abs(found.population.mean() - 20 / 21) < 0.05)
        (2, True)

    Source: Jasra, Stephens, Doucet & Tsagaris (2011), doi:10.1111/j.1467-9469.2010.00723.x; Zhou, Johansen & Aston
        (2016), arXiv:1303.3123.
    """
    check_count("n_particles", n_particles)
    check_count("n_moves", n_moves)
    check_count("max_steps", max_steps)
    if not 0 < ess_threshold < 1:
        raise ValueError(f"ess_threshold must lie between 0 and 1, not {ess_threshold}")
    threshold = jnp.asarray(ess_threshold, dtype=float)
    return _adaptive_tempering(target, n_particles, kernel, threshold, n_moves, max_steps, resampler, key)


@eqx.filter_jit
def _adaptive_tempering(
    target: Traced,
    n_particles: int,
    kernel: KernelOf,
    ess_threshold: Float[Array, ""],
    n_moves: int,
    max_steps: int,
    resampler: Transformer,
    key: PRNGKeyArray,
) -> Tempering:
    start = spawn(target.draw, n_particles, key=aside(key))
    width = start.log_weight.dtype

    def step(now: _Progress) -> _Progress:
        key_step = jax.random.fold_in(key, now.t)

        def refreshed(population: Population) -> Population:
            path = tempered(target, now.betas, kernel=kernel)
            return resample_move(path, now.t - 1, population, resampler, n_moves, key=key_step)

        population = jax.lax.cond(now.t > 0, refreshed, lambda p: p, now.population)
        log_likelihood = jax.vmap(target.log_likelihood)(population.value).astype(width)
        beta = next_beta(population.log_weight, log_likelihood, now.beta, ess_threshold)
        beta = jnp.where(now.t == max_steps - 1, jnp.ones_like(beta), beta)
        log_weight = population.log_weight + power(log_likelihood, beta - now.beta)
        return _Progress(now.t + 1, beta, now.betas.at[now.t].set(beta), Population(population.value, log_weight))

    first = _Progress(jnp.zeros((), jnp.int32), jnp.zeros((), width), jnp.ones(max_steps, width), start)
    last = jax.lax.while_loop(lambda now: now.beta < 1, step, first)
    return Tempering(last.population.map(target.output), last.betas, last.t)


def next_beta(
    log_weight: Float[Array, " n"],
    log_likelihood: Float[Array, " n"],
    beta: Float[Array, ""],
    ess_threshold: Float[Array, ""],
) -> Float[Array, ""]:
    """The largest power above `beta` that keeps the conditional effective sample size, by bisection; at most 1."""
    threshold = jnp.log(ess_threshold.astype(log_weight.dtype) * log_weight.shape[0])

    def kept(to: Float[Array, ""]) -> Bool[Array, ""]:
        return log_conditional_ess(log_weight, power(log_likelihood, to - beta)) >= threshold

    def halve(_: Int[Array, ""], bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) / 2
        return jnp.where(kept(middle), middle, low), jnp.where(kept(middle), high, middle)

    one = jnp.ones_like(beta)
    _, high = jax.lax.fori_loop(0, _HALVINGS, halve, (beta, one))
    # Not the lower bound: where no step keeps enough, the smallest one is better than standing still.
    return jnp.where(kept(one), one, high)


def power(log_likelihood: Float[Array, "*b"], exponent: Float[Array, ""]) -> Float[Array, "*b"]:
    """Log of the likelihood to a power; a likelihood of zero stays zero at every power but zero."""
    exponent = jnp.broadcast_to(exponent.astype(log_likelihood.dtype), log_likelihood.shape)
    return jnp.where(exponent == 0, jnp.zeros_like(log_likelihood), exponent * log_likelihood)


def at_power(target: Traced, beta: Float[Array, ""]) -> Any:
    """Log density of the prior times a power of the likelihood."""

    def log_density(trace: Any) -> Float[Array, ""]:
        prior = target.log_prior(trace)
        return prior + power(target.log_likelihood(trace).astype(prior.dtype), beta)

    return log_density
