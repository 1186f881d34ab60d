"""Which of two models: likelihood ratios, information criteria, and what they count."""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaincc
from jaxtyping import Array, Float
from numpyro.distributions import biject_to

from scorax.inference import AbstractModel, Fit, supports


def free_parameters(model: AbstractModel[Any]) -> int:
    """Dimension of a model: numbers in its leaves, less those that their supports fix.

    Strengths that sum to zero count one less than there are items.

    Example:
        >>> free_parameters(sx.choice.Davidson.init(6, order_effect=True))  # 5 strengths, ties, order
        7
    """
    leaves = jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))
    return sum(
        math.prod(biject_to(support).inverse_shape(leaf.shape))
        for leaf, support in zip(leaves, supports(model), strict=True)
    )


class LikelihoodRatioTest(NamedTuple):
    """Twice the gain in log-likelihood, and how often chance alone gains as much."""

    statistic: Float[Array, ""]
    df: int
    p_value: Float[Array, ""]

    def __str__(self) -> str:
        freedom = f"{self.df} degree{'s' * (self.df != 1)} of freedom"
        return (
            f"twice the gain in log-likelihood {float(self.statistic):.2f} on {freedom}, p = {float(self.p_value):.2g}"
        )


def likelihood_ratio_test(small: Fit[Any], large: Fit[Any], *, df: int | None = None) -> LikelihoodRatioTest:
    """Wilks' test of a model against a larger one that contains it.

    For home advantage (`order_effect`), covariates, or a number of strengths that are equal. It does not compare
    `BradleyTerry` with `Davidson`: half wins have no probability. Where the small model lies at the boundary of the
    large one, or leaves some of its parameters without meaning, the statistic is not chi-square; simulate from the
    small model instead.

    Args:
        small: Of `fit` by maximum likelihood.
        large: Of `fit` by maximum likelihood to the same data.
        df: Difference of the numbers of free parameters; counted by `free_parameters` if None. Give it where a model
            has more numbers than its supports say are free (a rotation, say).

    Raises:
        ValueError: `large` has no more free parameters, fits worse by more than rounding, or was fitted to other data.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays(
        ...     [0, 0, 0, 1, 1, 1] * 5, [1, 1, 1, 0, 0, 0] * 5, [1.0, 1.0, 0.0, 1.0, 0.0, 1.0] * 5, order=np.ones(30)
        ... )
        >>> small, large = (
        ...     sx.inference.fit(sx.choice.BradleyTerry.init(2, order_effect=home), battles) for home in (False, True)
        ... )
        >>> test = likelihood_ratio_test(small, large)
        >>> test.df, test.statistic.round(2)
        (1, Array(3.4, dtype=float32))

    Source: Wilks (1938), doi:10.1214/aoms/1177732360.
    """
    _refuse_other_data(small, large)
    more = free_parameters(large.model) - free_parameters(small.model) if df is None else df
    if more < 1:
        raise ValueError(f"the large model has {more} free parameters more than the small one: nothing to test")
    statistic = 2 * (large.log_likelihood - small.log_likelihood)
    rounding = 64 * float(jnp.finfo(statistic.dtype).eps) * (1 + abs(float(small.log_likelihood)))
    if float(statistic) < -rounding:
        raise ValueError(
            f"the large model has the smaller log-likelihood ({float(large.log_likelihood):.4f} against "
            f"{float(small.log_likelihood):.4f}): it does not contain the small one, or one of the two has a prior"
        )
    statistic = jnp.maximum(statistic, 0)
    return LikelihoodRatioTest(statistic, more, gammaincc(jnp.asarray(more / 2, statistic.dtype), statistic / 2))


def _refuse_other_data(small: Fit[Any], large: Fit[Any]) -> None:
    totals = [float(np.asarray(result.data.weight, np.float64).sum()) for result in (small, large)]
    if not math.isclose(*totals, rel_tol=1e-6):
        raise ValueError(f"the two were fitted to other data: total weights are {totals[0]:g} and {totals[1]:g}")


def aic(result: Fit[Any], *, n_parameters: int | None = None) -> Float[Array, ""]:
    """Akaike's criterion, minus twice the log-likelihood plus twice the number of free parameters; smaller is better.

    Args:
        result: Of `fit` by maximum likelihood.
        n_parameters: Counted by `free_parameters` if None.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0] * 4, [1] * 4, [1.0, 1.0, 0.0, 0.0])
        >>> result = sx.inference.fit(sx.choice.BradleyTerry.init(2), battles)
        >>> aic(result).round(3)  # 8 log 2 + 2
        Array(7.545, dtype=float32)

    Source: Akaike (1974), doi:10.1109/TAC.1974.1100705.
    """
    number = free_parameters(result.model) if n_parameters is None else n_parameters
    return 2 * number - 2 * result.log_likelihood


def bic(result: Fit[Any], *, n_parameters: int | None = None) -> Float[Array, ""]:
    """Schwarz's criterion: a free parameter costs the log of the number of observations; smaller is better.

    Args:
        result: Of `fit` by maximum likelihood. Observations are the data's counts.
        n_parameters: Counted by `free_parameters` if None.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0] * 4, [1] * 4, [1.0, 1.0, 0.0, 0.0])
        >>> result = sx.inference.fit(sx.choice.BradleyTerry.init(2), battles)
        >>> bic(result).round(3)  # 8 log 2 + log 4
        Array(6.931, dtype=float32)

    Source: Schwarz (1978), doi:10.1214/aos/1176344136.
    """
    number = free_parameters(result.model) if n_parameters is None else n_parameters
    observations = float(np.asarray(result.data.count, np.float64).sum())
    return number * math.log(observations) - 2 * result.log_likelihood
