"""Firth's penalised likelihood: finite strengths where some item won or lost everything."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from scorax.choice._models._table_likelihood import table_log_likelihood
from scorax.choice._strengths import Strengths, contrast_variance, strength_of, strengths
from scorax.data import Comparisons, PairCounts, connectivity
from scorax.numerics import graph_laplacian, laplacian_logdet, laplacian_pseudoinverse, solve_laplacian


class FirthFit(eqx.Module):
    """Strengths of the penalised maximum."""

    strength: Float[Array, " k"]
    """Natural-log worths, summing to zero. NaN where the search did not converge (under `jit` and `vmap`)."""
    covariance: Float[Array, "k k"]
    """Inverse information of the likelihood at `strength`, in the sum-zero gauge."""
    penalised_log_likelihood: Float[Array, ""]
    converged: Bool[Array, ""]
    steps: Int[Array, ""]

    @property
    def std_error(self) -> Float[Array, " k"]:
        """Of each strength; for differences see `quasi_variances` and `Var(i) + Var(j) - 2 Cov(i, j)`."""
        return jnp.sqrt(jnp.diagonal(self.covariance))


@strengths.register(FirthFit)
def _(result: FirthFit, of: Any = strength_of) -> Strengths:
    return Strengths(result.strength, result.covariance)


class _Search(NamedTuple):
    strength: Float[Array, " k"]
    value: Float[Array, ""]
    step: Float[Array, " k"]
    """The next step to try."""
    steps: Int[Array, ""]
    halvings: Int[Array, ""]
    """Of the step at hand."""


def firth(data: Comparisons | PairCounts, n_items: int | None = None, *, max_steps: int = 100) -> FirthFit:
    r"""Bradley-Terry strengths that maximise \(\log L + \tfrac12 \log\det{}^* H\), Jeffreys' prior.

    The penalty takes out the first-order bias of maximum likelihood, and keeps strengths finite wherever the items
    are linked by comparisons at all, whoever won. Two items get `log((w12 + 1/2) / (w21 + 1/2))`, and so does each
    edge of a tree. A tie is half a win each way.

    The score is that of maximum likelihood with each win count raised by half of the pair's leverage; steps are scaled
    by the information that the raised counts have, and halved while the penalised log-likelihood falls.

    Args:
        data: Comparisons without order and features, or their table.
        n_items: Number of items; needed for rows, known of a table.
        max_steps: Steps and halvings together.

    Raises:
        ValueError: Items fall into groups that never met; rows come without `n_items`, or with order or features; or
            the search did not converge.

    Example:
        >>> perfect = sx.data.PairCounts.from_arrays([[0, 3], [0, 0]])
        >>> result = firth(perfect)
        >>> (result.strength[0] - result.strength[1]).round(4)  # log(3.5 / 0.5)
        Array(1.9459, dtype=float32)

    Source: Firth (1993), doi:10.1093/biomet/80.1.27; Heinze and Schemper (2002), doi:10.1002/sim.1047.
    """
    if isinstance(data, Comparisons):
        if n_items is None:
            raise ValueError("rows do not say how many items there are: pass n_items")
        data = data.table(n_items)
    k = data.weight.shape[-1]
    concrete = not isinstance(data.weight, Tracer)
    if concrete:
        _check_linked(data, k)
    result = _firth(data, jnp.asarray(max_steps, jnp.int32))
    if concrete and not bool(result.converged):
        raise ValueError(f"the search did not converge in {max_steps} steps: raise max_steps, or use double precision")
    return result


def _check_linked(data: PairCounts, k: int) -> None:
    report = connectivity(data, k)
    if not report.weak:
        raise ValueError(
            f"the items fall into {int(report.island.max()) + 1} groups that never met: no penalty compares them. "
            "scorax.data.connectivity(data, n_items) says which; rate each group alone, or give a prior to fit."
        )


@eqx.filter_jit
def _firth(data: PairCounts, max_steps: Int[Array, ""]) -> FirthFit:
    wins = data.weight[0] + (data.weight[1] + data.weight[1].T) / 2
    met = wins + wins.T
    start = jnp.zeros(wins.shape[0], wins.dtype)
    zero = jnp.asarray(0, jnp.int32)
    first = _Search(start, _value(start, data, met), _step(start, wins, met), zero, zero)

    def going(search: _Search) -> Bool[Array, ""]:
        return (search.steps < max_steps) & ~_small(search.step, search.strength)

    found = jax.lax.while_loop(going, lambda search: _advance(search, data, wins, met), first)
    converged = _small(found.step, found.strength) & (found.halvings == 0)
    strength = jnp.where(converged, found.strength + found.step, jnp.nan)
    covariance = laplacian_pseudoinverse(graph_laplacian(_information(strength, met)))
    return FirthFit(strength, covariance, found.value, converged, found.steps)


def _advance(search: _Search, data: PairCounts, wins: Float[Array, "k k"], met: Float[Array, "k k"]) -> _Search:
    strength = search.strength + search.step
    value = _value(strength, data, met)
    rounding = 8 * jnp.finfo(value.dtype).eps * (jnp.abs(search.value) + 1)
    better = value >= search.value - rounding
    return jax.lax.cond(
        better,
        lambda: _Search(strength, value, _step(strength, wins, met), search.steps + 1, jnp.zeros_like(search.halvings)),
        lambda: search._replace(step=search.step / 2, steps=search.steps + 1, halvings=search.halvings + 1),
    )


def _small(step: Float[Array, " k"], strength: Float[Array, " k"]) -> Bool[Array, ""]:
    # Steps shrink by a constant factor, so this is about what is left to go; the last one is still taken.
    tolerance = float(jnp.finfo(step.dtype).eps) ** 0.75
    return jnp.abs(step).max() <= tolerance * jnp.maximum(1, jnp.abs(strength).max())


def _information(strength: Float[Array, " k"], met: Float[Array, "k k"]) -> Float[Array, "k k"]:
    p = jax.nn.sigmoid(strength[:, None] - strength[None, :])
    return met * p * p.T


def _value(strength: Float[Array, " k"], data: PairCounts, met: Float[Array, "k k"]) -> Float[Array, ""]:
    penalty = laplacian_logdet(graph_laplacian(_information(strength, met))) / 2
    return table_log_likelihood(strength, None, data) + penalty


def _step(strength: Float[Array, " k"], wins: Float[Array, "k k"], met: Float[Array, "k k"]) -> Float[Array, " k"]:
    p = jax.nn.sigmoid(strength[:, None] - strength[None, :])
    information = met * p * p.T
    leverage = information * contrast_variance(laplacian_pseudoinverse(graph_laplacian(information)))
    score = (wins + leverage / 2 - (met + leverage) * p).sum(1)
    raised = (met + leverage) * p * p.T
    # The score sums to zero but for rounding, which a Laplacian must not be asked to solve for.
    step = solve_laplacian(graph_laplacian(raised), score - score.mean())
    return step * (5 / jnp.maximum(jnp.abs(step).max(), 5))
