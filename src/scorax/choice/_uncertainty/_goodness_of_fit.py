"""Does one number an item describe all pairs: deviance, Pearson's statistic, and residuals pair by pair."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaincc, xlogy
from jaxtyping import Array, Float

from scorax.choice._models._pairs import AbstractPairModel
from scorax.choice._uncertainty._design_cells import DesignCells, design_cells, expected_outcomes, outcome_values
from scorax.choice._uncertainty._model_comparison import free_parameters
from scorax.choice._uncertainty._pair_vectors import PairVectors, dot, times_covariance
from scorax.choice._uncertainty._vote_influence import flat_parameters, model_based
from scorax.data import Comparisons
from scorax.inference import Fit


class GoodnessOfFit(eqx.Module):
    """A fit against the saturated model, which has a probability for every cell of its own."""

    deviance: Float[Array, ""]
    pearson: Float[Array, ""]
    """Sum of (observed - expected)^2 / expected."""
    df: int = eqx.field(static=True)
    """Degrees of freedom: outcomes less one of all cells, less free parameters."""
    deviance_p_value: Float[Array, ""]
    pearson_p_value: Float[Array, ""]
    residual: Float[Array, "k k"]
    """Standardised: score of the row's item against the column's less what was expected, over its standard deviation
    given that the model was fitted. About standard normal; NaN where two never met or nothing is left over."""
    leverage: Float[Array, "k k"]
    """Share of the variance of a pair's score that the fit takes up; NaN where two never met."""

    def worst(self, n: int) -> list[tuple[int, int]]:
        """The `n` pairs whose first item did better against the second than the model can explain, worst first."""
        flat = np.nan_to_num(np.asarray(self.residual), nan=-np.inf).ravel()
        order = np.argsort(-flat, kind="stable")[:n]
        k = self.residual.shape[0]
        return [(int(place) // k, int(place) % k) for place in order if flat[place] > 0]


def goodness_of_fit(result: Fit[Any]) -> GoodnessOfFit:
    """Test a model of paired comparisons against its own data.

    Comparisons of the same two items in the same order with the same features are one cell, whether the model uses
    order and features or not. The statistics are chi-square where cells hold enough (expected counts of about five);
    with fewer, `deviance` is too small or too large in no simple way, while residuals still show where the fit is bad.
    Under `BradleyTerry` a tie is half a win each way, which makes scores less variable than the test assumes.

    Args:
        result: Of `fit` by maximum likelihood, for `BradleyTerry`, `Davidson` or another model of paired comparisons.

    Returns:
        `GoodnessOfFit`. P-values are NaN where no degree of freedom is left, or where weights are not counts (then
        the statistics are not chi-square).

    Raises:
        TypeError: The model is no model of paired comparisons.

    Example:
        >>> cycle = sx.data.PairCounts.from_arrays([[0, 9, 1], [1, 0, 9], [9, 1, 0]])
        >>> found = goodness_of_fit(sx.inference.fit(sx.choice.BradleyTerry.init(3), cycle))
        >>> found.df, found.deviance.round(2), found.worst(1)
        (1, Array(22.08, dtype=float32), [(0, 1)])

    Source: Bradley and Terry (1952), doi:10.2307/2334029; Agresti (2013), "Categorical Data Analysis", section 4.5
        (standardised residuals).
    """
    if not isinstance(result.model, AbstractPairModel):
        raise TypeError(f"{type(result.model).__name__} is no model of paired comparisons")
    cells = design_cells(result.data, result.model)
    df = (len(result.model.outcomes) - 1) * cells.rows.weight.shape[0] - free_parameters(result.model)
    plain = model_based(result)
    covariance = plain.map(flat_parameters).covariance
    deviance, pearson, residual, leverage = _fit_of_cells(result.model, cells, covariance)
    counted = bool(np.array_equal(np.asarray(result.data.weight), np.asarray(result.data.count)))
    p_values = [chi_square_tail(x, df if counted else 0) for x in (deviance, pearson)]
    return GoodnessOfFit(deviance, pearson, df, p_values[0], p_values[1], residual, leverage)


def chi_square_tail(statistic: Float[Array, ""], df: int) -> Float[Array, ""]:
    """Probability that a chi-square variable is at least so large; NaN without degrees of freedom."""
    if df <= 0:
        return jnp.full_like(statistic, jnp.nan)
    return gammaincc(jnp.asarray(df / 2, statistic.dtype), jnp.maximum(statistic, 0) / 2)


@eqx.filter_jit
def _fit_of_cells(model: AbstractPairModel, cells: DesignCells, covariance: Float[Array, "p p"]) -> tuple[Array, ...]:
    expected = expected_outcomes(model, cells.rows)
    n = cells.rows.weight.astype(expected.score.dtype)
    observed = cells.counts.astype(n.dtype)
    mean = n[:, None] * expected.probability
    deviance = 2 * (xlogy(observed, observed) - xlogy(observed, mean)).sum()
    pearson = ((observed - mean) ** 2 / mean).sum()
    score = observed @ outcome_values(model)
    return deviance, pearson, *_residuals(model, cells, covariance, score, n, expected)


def _residuals(
    model: AbstractPairModel,
    cells: DesignCells,
    covariance: Float[Array, "p p"],
    score: Float[Array, " n"],
    n: Float[Array, " n"],
    expected: Any,
) -> tuple[Float[Array, "k k"], Float[Array, "k k"]]:
    """Residuals of the pairs' scores, and the share of their variance that the fit takes up."""
    k, n_pairs = model.strength.size, cells.ends.shape[1]

    def by_pair(x: Float[Array, "n *t"]) -> Float[Array, "u *t"]:
        return jax.ops.segment_sum(x, cells.pair, n_pairs)

    left, variance = by_pair(score - n * expected.score), by_pair(n * expected.variance)
    slope = PairVectors(by_pair(n * expected.slope.along), by_pair(n[:, None] * expected.slope.shared))
    a, b = cells.ends
    one = jnp.ones(n_pairs, n.dtype)
    pairs = Comparisons(a, b, one, one, one)
    # Var(y - n mu) = n var(y) - D' C D, for the derivative D of the expected score: what the estimates follow.
    taken = dot(slope, times_covariance(covariance, k, pairs, slope))
    rest = variance - taken
    some = rest > 64 * jnp.finfo(n.dtype).eps * variance
    standardised = jnp.where(some, left / jnp.sqrt(jnp.where(some, rest, 1)), jnp.nan)
    nowhere = jnp.full((k, k), jnp.nan, n.dtype)
    return (
        nowhere.at[a, b].set(standardised).at[b, a].set(-standardised),
        nowhere.at[a, b].set(taken / variance).at[b, a].set(taken / variance),
    )


class CalibrationTable(eqx.Module):
    """How often favourites won, by how surely the model favoured them."""

    lower: Float[Array, " g"]
    """Ends of the bins of the favourite's expected score, from 1/2 to 1."""
    upper: Float[Array, " g"]
    count: Float[Array, " g"]
    """Comparisons in the bin."""
    predicted: Float[Array, " g"]
    """Mean expected score of the favourites; NaN in an empty bin."""
    observed: Float[Array, " g"]
    """Their mean score, a tie being half a win."""
    std_error: Float[Array, " g"]
    """Of `observed`, were the model right and known."""


def calibration_table(model: AbstractPairModel, data: Any, *, n_bins: int = 10) -> CalibrationTable:
    """Predicted against observed scores of the favourites.

    Args:
        model: A fitted model of paired comparisons.
        data: Comparisons or their table; other than those of the fit for an honest check.
        n_bins: Bins of equal width.

    Raises:
        ValueError: `n_bins` is not positive, or the data do not fit the model.

    Example:
        >>> battles, models = sx.data.datasets.load_llmfao()
        >>> result = sx.inference.fit(sx.choice.BradleyTerry.init(len(models)), battles)
        >>> table = calibration_table(result.model, battles, n_bins=5)
        >>> float(table.count.sum())
        8931.0

    Source: DeGroot and Fienberg (1983), doi:10.2307/2987588.
    """
    if n_bins < 1:
        raise ValueError(f"n_bins must be at least 1, not {n_bins}")
    model.check(data)
    return _calibration(model, design_cells(data, model), n_bins)


@eqx.filter_jit
def _calibration(model: AbstractPairModel, cells: DesignCells, n_bins: int) -> CalibrationTable:
    expected = expected_outcomes(model, cells.rows)
    n = cells.rows.weight.astype(expected.score.dtype)
    score = cells.rows.outcome.astype(n.dtype)
    behind = expected.score < 0.5
    predicted = jnp.where(behind, 1 - expected.score, expected.score)
    observed = jnp.where(behind, 1 - score, score)
    place = jnp.clip(jnp.floor((predicted - 0.5) * 2 * n_bins), 0, n_bins - 1).astype(jnp.int32)

    def total(x: Float[Array, " n"]) -> Float[Array, " g"]:
        return jax.ops.segment_sum(n * x, place, n_bins)

    count = total(jnp.ones_like(n))
    size = jnp.where(count > 0, count, 1)
    means = [jnp.where(count > 0, total(x) / size, jnp.nan) for x in (predicted, observed)]
    error = jnp.where(count > 0, jnp.sqrt(total(expected.variance)) / size, jnp.nan)
    edges = 0.5 + jnp.arange(n_bins + 1, dtype=n.dtype) / (2 * n_bins)
    return CalibrationTable(edges[:-1], edges[1:], count, means[0], means[1], error)
