"""Gaussian factors in place of comparisons, renewed all at once until the skills stay where they are."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from scorax.choice._dynamic._fixed_point import fixed_point
from scorax.choice._dynamic._histories import Histories
from scorax.choice._dynamic._kernel import AbstractSkillKernel
from scorax.choice._dynamic._observations import AbstractObservation, slope_and_bend, tilted
from scorax.numerics import SmoothedSeries, StateSpaceSeries, smooth_series

METHODS = ("ep", "laplace")


class Sites(eqx.Module):
    """Stand-ins `exp(shift * f - precision * f**2 / 2)` for what each row says of the skill f of each of its sides."""

    precision: Float[Array, "2 n"]
    shift: Float[Array, "2 n"]


class Problem(eqx.Module):
    """Independent processes, the rows that tie them together, and how these are approximated."""

    histories: Histories
    observation: AbstractObservation
    transition: Float[Array, "k m d d"]
    noise: Float[Array, "k m d d"]
    measurement: Float[Array, " d"]
    method: str = eqx.field(static=True)
    n_nodes: int = eqx.field(static=True)

    @classmethod
    def of(
        cls,
        histories: Histories,
        kernel: AbstractSkillKernel,
        observation: AbstractObservation,
        method: str,
        n_nodes: int,
    ) -> "Problem":
        """The kernel at the gaps of the histories."""
        measurement = kernel.measurement
        gap, first = (x.astype(measurement.dtype) for x in (histories.gap, histories.time[:, 0]))
        transition, noise = (jax.vmap(jax.vmap(f))(gap) for f in (kernel.transition, kernel.noise))
        noise = noise.at[:, 0].set(jax.vmap(kernel.state_covariance)(first))
        return cls(histories, observation, transition, noise, measurement, method, n_nodes)

    @property
    def power(self) -> Float[Array, " n"]:
        """To which each row's likelihood is one factor: a weight above 1 is so many equal factors."""
        weight = self.weight
        return jnp.where(weight > 0, jnp.minimum(weight, 1), jnp.ones_like(weight))

    @property
    def weight(self) -> Float[Array, " n"]:
        """Of rows, in the kernel's dtype."""
        return self.histories.rows.weight.astype(self.measurement.dtype)

    @property
    def outcome(self) -> Float[Array, " n"]:
        """Of rows; those of padding may hold anything."""
        return jnp.where(self.weight > 0, self.histories.rows.outcome.astype(self.measurement.dtype), 0.5)

    def log_likelihood(self, difference: Float[Array, " n"]) -> Float[Array, " n"]:
        """Of one factor of each row."""
        return self.power * self.observation.log_prob(difference, self.outcome)

    def tilted(
        self, mean: Float[Array, "2 n"], variance: Float[Array, "2 n"]
    ) -> tuple[Float[Array, " n"], Float[Array, " n"], Float[Array, " n"]]:
        """Each row's integral over the difference of its sides, and its derivatives."""
        peak = self.observation.peak(self.outcome)
        return tilted(self.log_likelihood, mean[0] - mean[1], variance.sum(0), self.n_nodes, peak)

    def smooth(self, sites: Sites) -> SmoothedSeries:
        """The items' processes given the sites, `[k, m, ...]`."""
        copies = (self.weight / self.power)[None]
        precision, shift = (self.histories.spread(copies * x) for x in (sites.precision, sites.shift))

        def smooth(transition: Array, noise: Array, precision: Array, shift: Array) -> SmoothedSeries:
            return smooth_series(StateSpaceSeries(transition, noise, self.measurement, precision, shift))

        return jax.vmap(smooth)(self.transition, self.noise, precision, shift)

    def renew(self, sites: Sites) -> tuple[Sites, Float[Array, "2 2 n"]]:
        """Better sites, and where the skills were: means in standard deviations and log variances."""
        known = self.smooth(sites)
        mean, variance = (self.histories.gather(x) for x in (known.marginal_mean, known.marginal_variance))
        place = jnp.stack([mean / jnp.sqrt(variance), jnp.log(variance)])
        if self.method == "laplace":
            slope, bend = slope_and_bend(self.log_likelihood, mean[0] - mean[1])
            precision = jnp.broadcast_to(-bend, mean.shape)
            found = Sites(precision, _signed(slope) + precision * mean)
        else:
            mean, variance = self.cavity(sites, mean, variance)
            _, slope, bend = self.tilted(mean, variance)
            left = 1 + variance * bend[None]
            found = Sites(-bend[None] / left, (_signed(slope) - mean * bend[None]) / left)
        seen = (self.weight > 0)[None]
        return jax.tree.map(lambda x: jnp.where(seen, x, jnp.zeros_like(x)), found), place

    def cavity(
        self, sites: Sites, mean: Float[Array, "2 n"], variance: Float[Array, "2 n"]
    ) -> tuple[Float[Array, "2 n"], Float[Array, "2 n"]]:
        """Both sides of each row without one of its own factors."""
        left = 1 - sites.precision * variance
        return (mean - sites.shift * variance) / left, variance / left

    def log_evidence(self, sites: Sites, known: SmoothedSeries) -> Float[Array, ""]:
        """Of all outcomes, at the end: each factor's own integral in place of its site's, given what is known then."""
        mean, variance = (self.histories.gather(x) for x in (known.marginal_mean, known.marginal_variance))
        tau, nu = sites.precision, sites.shift
        if self.method == "laplace":
            exact = self.log_likelihood(mean[0] - mean[1])
            by_site = nu * mean - tau * mean**2 / 2
        else:
            m, v = self.cavity(sites, mean, variance)
            exact = self.tilted(m, v)[0]
            scale = 1 + tau * v
            by_site = ((2 * m * nu + nu**2 * v - tau * m**2) / scale - jnp.log(scale)) / 2
        seen = self.weight > 0
        by_row = jnp.where(seen, exact - by_site.sum(0), jnp.zeros_like(exact))
        return known.log_normaliser.sum() + (self.weight / self.power * by_row).sum()


def log_evidence(problem: Problem, sites: Sites, known: SmoothedSeries) -> Float[Array, ""]:
    """`problem.log_evidence`, with the shortest way to its derivatives."""
    return (_stationary if problem.method == "ep" else Problem.log_evidence)(problem, sites, known)


@eqx.filter_custom_jvp
def _stationary(problem: Problem, sites: Sites, known: SmoothedSeries) -> Float[Array, ""]:
    return problem.log_evidence(sites, known)


@_stationary.def_jvp
def _stationary_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Array, Array]:
    """Where expectation propagation has settled, the evidence does not change with the sites."""
    (problem, sites, _), (problem_dot, _, _) = primals, tangents
    return eqx.filter_jvp(
        lambda problem: problem.log_evidence(sites, problem.smooth(sites)), (problem,), (problem_dot,)
    )


class Settled(NamedTuple):
    """Where the sites came to rest."""

    sites: Sites
    converged: Bool[Array, ""]
    sweeps: Int[Array, ""]


def settle(problem: Problem, tol: float | None, max_sweeps: Int[Array, ""]) -> Settled:
    """The sites that renewal leaves as they are, differentiable by the implicit function theorem."""
    frozen = jax.tree.map(lambda x: jax.lax.stop_gradient(x) if eqx.is_array(x) else x, problem)
    nothing = jnp.zeros((2, problem.weight.size), problem.measurement.dtype)
    end = fixed_point(
        frozen.renew,
        Sites(nothing, nothing),
        (2, *nothing.shape),
        allowed=lambda sites: Sites(jnp.maximum(sites.precision, 0), sites.shift),
        tol=float(jnp.finfo(nothing.dtype).eps) ** 0.5 if tol is None else tol,
        max_steps=max_sweeps,
    )
    return Settled(_at_rest(problem, end.x), end.converged, end.steps)


@eqx.filter_custom_jvp
def _at_rest(problem: Problem, sites: Sites) -> Sites:
    return sites


@_at_rest.def_jvp
def _at_rest_jvp(primals: tuple[Problem, Sites], tangents: tuple[Any, Any]) -> tuple[Sites, Sites]:
    """Sites at rest move by what renewal adds to their own move."""
    (problem, sites), (problem_dot, _) = primals, tangents
    _, pushed = eqx.filter_jvp(lambda problem: problem.renew(sites)[0], (problem,), (problem_dot,))

    def excess(sites_dot: Sites) -> Sites:
        renewed = jax.jvp(lambda sites: problem.renew(sites)[0], (sites,), (sites_dot,))[1]
        return jax.tree.map(jnp.subtract, sites_dot, renewed)

    return sites, jax.lax.custom_linear_solve(excess, pushed, _solve_linear, _solve_linear)


def _solve_linear(matvec: Callable[[Sites], Sites], right: Sites) -> Sites:
    """By mixing, which for a linear map is GMRES."""
    size = jnp.maximum(jnp.abs(right.precision).max(), jnp.abs(right.shift).max())

    def image(x: Sites) -> tuple[Sites, Float[Array, "2 2 n"]]:
        aim = jax.tree.map(lambda x, b, ax: x + b - ax, x, right, matvec(x))
        return aim, jnp.stack([x.precision, x.shift]) / size

    tol = float(jnp.finfo(right.shift.dtype).eps) ** 0.75
    end = fixed_point(image, right, (2, *right.shift.shape), allowed=lambda x: x, tol=tol, max_steps=jnp.asarray(500))
    return jax.tree.map(lambda x: jnp.where(end.converged | (size == 0), x, jnp.nan), end.x)


def _signed(x: Float[Array, " n"]) -> Float[Array, "2 n"]:
    """The same for `a`, the opposite for `b`."""
    return jnp.stack([x, -x])
