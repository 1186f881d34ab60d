"""Expectation propagation for paired comparisons: a Gaussian posterior without sampling."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from scorax.choice._estimators._stages import half_wins
from scorax.choice._estimators._tilted import LINKS, tilted_moments
from scorax.choice._strengths import Strengths, strength_of, strengths
from scorax.data import PairCounts
from scorax.numerics import graph_laplacian


class GaussianPosterior(eqx.Module):
    """A posterior approximated by a Gaussian; NaN where the iteration did not converge."""

    mean: Float[Array, " k"]
    covariance: Float[Array, "k k"]
    log_evidence: Float[Array, ""]
    """Approximate log-probability of the outcomes, in the order in which they came (no binomial coefficients)."""
    converged: Bool[Array, ""]
    sweeps: Int[Array, ""]


@strengths.register(GaussianPosterior)
def _(result: GaussianPosterior, of: Any = strength_of) -> Strengths:
    # Less the common level, which only the prior knows.
    covariance = result.covariance - result.covariance.mean(0)[None, :] - result.covariance.mean(1)[:, None]
    return Strengths(result.mean - result.mean.mean(), covariance + result.covariance.mean())


class _Sites(eqx.Module):
    """What stands for one comparison, `exp(shift * d - precision * d**2 / 2)`, for each winner and loser."""

    precision: Float[Array, "k k"]
    shift: Float[Array, "k k"]


def ep_pairwise(
    counts: PairCounts,
    *,
    link: str = "logit",
    prior_precision: float | int = 1.0,
    n_nodes: int = 64,
    max_sweeps: int = 500,
    tol: float | None = None,
    throw: bool = True,
) -> GaussianPosterior:
    r"""Posterior of strengths under independent normal priors, by expectation propagation.

    Approximates \(p(s) \propto N(s; 0, I / \text{precision}) \prod_r F(s_{\text{winner}} - s_{\text{loser}})\), with F
    the logistic function or the normal distribution function, by a Gaussian in which every comparison has a Gaussian
    factor of its difference. At the end, replacing any one factor by the exact one leaves mean and variance of that
    difference unchanged. Comparisons of one winner and loser share a factor, which is the same as one each; a weight w
    that is no whole number above 1 means w factors (power EP of power 1/w), one below 1 a factor to that power. A tie
    is half a win for each side. All factors are renewed at once, and only part of the way where whole steps grow.

    Args:
        counts: A table of pairs.
        link: `"logit"` (Bradley-Terry) or `"probit"` (Thurstone).
        prior_precision: One over the prior variance of each strength, above 0.
        n_nodes: Gauss-Hermite nodes of a logit factor. Where the others leave a variance of 10, 64 err by at most 1e-7;
            at 100, in a factor's log integral by up to 2e-3 and in its mean by up to 2e-2.
        max_sweeps: When to give up.
        tol: Change of means, in standard deviations, and of variances, by ratio, at which to stop; None: the square
            root of the machine's precision.
        throw: Raise where it did not converge. Under `jit` and `vmap` nothing is raised.

    Returns:
        Mean `[k]`, which sums to zero, covariance `[k, k]`, in which the common level has its prior variance, and the
        log evidence.

    Raises:
        ValueError: `link` is unknown, `prior_precision` is not positive, or no convergence.

    Example:
        >>> posterior = ep_pairwise(sx.data.PairCounts.from_arrays([[0, 3], [1, 0]]), link="probit")
        >>> posterior.mean.round(3), posterior.log_evidence.round(3)
        (Array([ 0.297, -0.297], dtype=float32), Array(-3.184, dtype=float32))

    Source: Minka (2001), "Expectation propagation for approximate Bayesian inference", UAI; Minka (2004), "Power EP",
    MSR-TR-2004-149.
    """
    if link not in LINKS:
        raise ValueError(f"link must be one of {LINKS}, not {link!r}")
    if not prior_precision > 0:
        raise ValueError(f"prior_precision must be above 0, not {prior_precision}")
    precision = jnp.asarray(prior_precision, counts.weight.dtype)
    result = _ep(counts, precision, link, n_nodes, tol, jnp.asarray(max_sweeps))
    if throw and not isinstance(result.converged, Tracer) and not result.converged.all():
        raise ValueError(
            f"expectation propagation did not settle in {int(result.sweeps)} sweeps. Raise max_sweeps or tol, use "
            "double precision, or a larger prior_precision."
        )
    return result


@eqx.filter_jit
def _ep(
    counts: PairCounts,
    prior_precision: Float[Array, ""],
    link: str,
    n_nodes: int,
    tol: float | None,
    max_sweeps: Int[Array, ""],
) -> GaussianPosterior:
    weight = half_wins(counts)
    there = weight > 0
    power = jnp.where(there, jnp.minimum(weight, 1), 1)
    copies = jnp.where(there, weight / power, 0)

    def cavity(sites: _Sites) -> tuple[Array, Array, Array]:
        mean, covariance, _ = _gaussian(sites, copies, prior_precision)
        own = jnp.diagonal(covariance)
        variance = own[:, None] + own[None, :] - 2 * covariance
        variance = jnp.where(there, variance, 1)
        left = 1 / (1 / variance - sites.precision)
        where_it_is = jnp.stack([mean / jnp.sqrt(own), jnp.log(own)])
        return left * ((mean[:, None] - mean[None, :]) / variance - sites.shift), left, where_it_is

    def renewed(x: Float[Array, "2 k k"]) -> tuple[Float[Array, "2 k k"], Float[Array, "2 k"]]:
        m, v, where_it_is = cavity(_Sites(*x))
        found = tilted_moments(m, v, power, link, n_nodes)
        precision = 1 / found.variance - 1 / v
        shift = found.mean / found.variance - m / v
        return jnp.where(there[None], jnp.stack([precision, shift]), 0), where_it_is

    x, converged, sweeps = _settle(renewed, jnp.zeros((2, *weight.shape), weight.dtype), tol, max_sweeps)
    sites = _Sites(*x)
    mean, covariance, log_volume = _gaussian(sites, copies, prior_precision)
    m, v, _ = cavity(sites)
    log_total = tilted_moments(m, v, power, link, n_nodes).log_total
    # What the factor must be multiplied by to have the exact factor's integral.
    after = 1 / v + sites.precision
    approximate = ((m / v + sites.shift) ** 2 / after - m**2 / v - jnp.log1p(v * sites.precision)) / 2
    log_evidence = log_volume + (copies * jnp.where(there, log_total - approximate, 0)).sum()
    mean, covariance, log_evidence = (jnp.where(converged, y, jnp.nan) for y in (mean, covariance, log_evidence))
    return GaussianPosterior(mean, covariance, log_evidence, converged, sweeps)


class _State(eqx.Module):
    x: Float[Array, "2 k k"]
    place: Float[Array, "2 k"]
    """Of the posterior, before the last sweep."""
    part: Float[Array, ""]
    """Of the way to go."""
    move: Float[Array, ""]
    change: Float[Array, ""]
    count: Int[Array, ""]


def _settle(
    renewed: Callable[[Float[Array, "2 k k"]], tuple[Float[Array, "2 k k"], Float[Array, "2 k"]]],
    start: Float[Array, "2 k k"],
    tol: float | None,
    max_sweeps: Int[Array, ""],
) -> tuple[Float[Array, "2 k k"], Bool[Array, ""], Int[Array, ""]]:
    """Renew factors until the posterior stays; part of the way while moves grow, as many equal factors overshoot."""

    tolerance = float(jnp.finfo(start.dtype).eps) ** 0.5 if tol is None else tol

    def body(state: _State) -> _State:
        aim, place = renewed(state.x)
        step = aim - state.x
        move = jnp.abs(step).max()
        change = jnp.abs(place - state.place).max() / state.part
        part = jnp.where(move > state.move, jnp.maximum(state.part / 2, 1e-3), jnp.minimum(state.part * 1.2, 1))
        return _State(state.x + part * step, place, part, move, change, state.count + 1)

    def unfinished(state: _State) -> Bool[Array, ""]:
        return (state.change > tolerance) & (state.count < max_sweeps) & (jnp.isfinite(state.move) | (state.count == 0))

    one = jnp.ones((), start.dtype)
    nowhere = jnp.full((2, start.shape[-1]), jnp.inf, start.dtype)
    first = _State(start, nowhere, one, one * jnp.inf, one * jnp.inf, jnp.zeros((), jnp.int32))
    end = jax.lax.while_loop(unfinished, body, first)
    return end.x, end.change <= tolerance, end.count


def _gaussian(
    sites: _Sites, copies: Float[Array, "k k"], prior_precision: Float[Array, ""]
) -> tuple[Float[Array, " k"], Float[Array, "k k"], Float[Array, ""]]:
    """Mean and covariance of prior times sites, and the log of its integral."""
    k = copies.shape[0]
    total, shifts = copies * sites.precision, copies * sites.shift
    prior = prior_precision * jnp.eye(k, dtype=total.dtype)
    factor = jnp.linalg.cholesky(graph_laplacian(total + total.T) + prior)
    shift = shifts.sum(1) - shifts.sum(0)
    mean = jsl.cho_solve((factor, True), shift)
    covariance = jsl.cho_solve((factor, True), jnp.eye(k, dtype=total.dtype))
    half_log_det = jnp.log(jnp.diagonal(factor)).sum() - k * jnp.log(prior_precision) / 2
    return mean, covariance, shift @ mean / 2 - half_log_det
