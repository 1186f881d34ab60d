"""The posterior of skills that change with time."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from scorax.choice._dynamic._histories import Histories
from scorax.choice._dynamic._kernel import AbstractSkillKernel
from scorax.choice._dynamic._observations import AbstractObservation
from scorax.choice._dynamic._sites import Problem, log_evidence, settle
from scorax.numerics import SmoothedSeries


class DynamicSkills(eqx.Module):
    """Skills over time, a Gaussian process for each item that is independent of the others'.

    Everything is NaN where the iteration did not converge.
    """

    time: Float[Array, "k m"]
    """When each item took part, rising; the last one repeats where `where` is false."""
    where: Bool[Array, "k m"]
    mean: Float[Array, "k m"]
    """Of the skills at these times, given all comparisons, earlier and later."""
    std: Float[Array, "k m"]
    log_evidence: Float[Array, ""]
    """Approximate log-probability of all outcomes (log-density of score differences)."""
    converged: Bool[Array, ""]
    sweeps: Int[Array, ""]
    kernel: AbstractSkillKernel
    observation: AbstractObservation
    states: SmoothedSeries
    """Of the processes behind the skills, `[k, m, ...]`."""

    def predict(self, times: Float[Array, " t"]) -> tuple[Float[Array, "k t"], Float[Array, "k t"]]:
        """Means and standard deviations of all skills at any times: between, before and after the comparisons.

        Example:
            >>> from scorax.choice import Matern32, dynamic_skills
            >>> games = sx.data.Comparisons.from_arrays([0, 0, 0], [1, 1, 1], [1.0, 0.5, 0.0], time=[0.0, 5.0, 10.0])
            >>> mean, std = dynamic_skills(games, 2, Matern32(1.0, 5.0)).predict(jnp.array([0.0, 5.0, 1000.0]))
            >>> mean[0].round(2) + 0  # won, then lost; nothing is known of the far future
            Array([0.32, 0. , 0. ], dtype=float32)
        """
        items = jnp.arange(self.time.shape[0])
        mean, variance = _at_all(self, items, times)
        return mean, jnp.sqrt(variance)

    def win_probability(self, a: Int[Array, "*s"], b: Int[Array, "*s"], time: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Probability that items `a` beat items `b` at some times, with the uncertainty of both.

        With a margin, of a win, not of a tie: `win_probability(b, a, time)` is that of a loss. For score differences,
        of a positive one.
        """
        return _win_probability(self, a, b, time)


@eqx.filter_jit
def infer(
    histories: Histories,
    kernel: AbstractSkillKernel,
    observation: AbstractObservation,
    method: str,
    n_nodes: int,
    tol: float | None,
    max_sweeps: Int[Array, ""],
) -> DynamicSkills:
    """The posterior, unchecked."""
    problem = Problem.of(histories, kernel, observation, method, n_nodes)
    sites, converged, sweeps = settle(problem, tol, max_sweeps)
    states = problem.smooth(sites)
    evidence = log_evidence(problem, sites, states)
    states, evidence = jax.tree.map(lambda x: jnp.where(converged, x, jnp.nan), (states, evidence))
    return DynamicSkills(
        time=histories.time,
        where=histories.where,
        mean=states.marginal_mean,
        std=jnp.sqrt(states.marginal_variance),
        log_evidence=evidence,
        converged=converged,
        sweeps=sweeps,
        kernel=kernel,
        observation=observation,
        states=states,
    )


@eqx.filter_jit
def _at_all(
    skills: DynamicSkills, items: Int[Array, " k"], times: Float[Array, " t"]
) -> tuple[Float[Array, "k t"], Float[Array, "k t"]]:
    over_times = jax.vmap(_at, (None, None, 0))
    return jax.vmap(over_times, (None, 0, None))(skills, items, times)


def _at(
    skills: DynamicSkills, item: Int[Array, ""], time: Float[Array, ""]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean and variance of a skill: what came before predicts, what comes after corrects."""
    kernel, states = skills.kernel, skills.states
    own, size = skills.time[item], skills.where[item].sum()
    seen = (skills.where[item] & (own <= time)).sum()
    before, after = jnp.maximum(seen - 1, 0), jnp.minimum(seen, size - 1)
    dtype = states.mean.dtype
    since, until = (x.astype(dtype) for x in (time - own[before], own[after] - time))
    none_before, none_after = seen == 0, seen == size
    zero = jnp.zeros((), dtype)
    forwards = kernel.transition(jnp.where(none_before, zero, since))
    mean = forwards @ states.mean[item, before]
    moved = forwards @ states.covariance[item, before] @ forwards.T
    covariance = moved + kernel.noise(jnp.where(none_before, zero, since))
    mean = jnp.where(none_before, jnp.zeros_like(mean), mean)
    covariance = jnp.where(none_before, kernel.state_covariance(time.astype(dtype)), covariance)
    backwards = kernel.transition(jnp.where(none_after, zero, until))
    reach = backwards @ covariance @ kernel.measurement
    # The score at the last comparison is of that comparison itself: after it nothing corrects.
    reach = jnp.where(none_after, jnp.zeros_like(reach), reach)
    of_mean = kernel.measurement @ mean + reach @ states.score[item, after]
    variance = kernel.measurement @ covariance @ kernel.measurement
    return of_mean, variance - reach @ states.information[item, after] @ reach


@eqx.filter_jit
def _win_probability(
    skills: DynamicSkills, a: Int[Array, "*s"], b: Int[Array, "*s"], time: Float[Array, "*s"]
) -> Float[Array, "*s"]:
    at = jnp.vectorize(lambda item, time: jnp.stack(_at(skills, item, time)), signature="(),()->(m)")
    of_a, of_b = at(a, time), at(b, time)
    mean, variance = of_a[..., 0] - of_b[..., 0], of_a[..., 1] + of_b[..., 1]
    return skills.observation.win_probability(mean, variance)
