"""Linear and logistic regressions from few gold labels and many predictions."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from scorax.judges._prediction_powered._estimate import PPICoefficients
from scorax.judges._prediction_powered._mean import Power
from scorax.judges._prediction_powered._sample import refuse_none
from scorax.judges._soft_logistic import softplus_minimum

_FAMILIES = ("linear", "logistic")


class _Data(NamedTuple):
    x: Float[Array, "n d"]
    y: Float[Array, " n"]
    f: Float[Array, " n"]
    other_x: Float[Array, "N d"]
    other_f: Float[Array, " N"]


def ppi_regression(
    features: Float[Array, "n d"],
    labels: Float[Array, " n"],
    predictions: Float[Array, " n"],
    unlabeled_features: Float[Array, "N d"],
    unlabeled: Float[Array, " N"],
    *,
    family: str = "linear",
    power: Power = None,
    rounds: int = 1,
) -> PPICoefficients:
    r"""Coefficients of a regression of the true labels, most of which only a judge has seen.

    Solves \(\frac{\lambda}{N} \sum_j \nabla \ell(\tilde x_j, \tilde f_j) + \frac1n \sum_i \big[\nabla \ell(x_i, y_i) -
    \lambda \nabla \ell(x_i, f_i)\big] = 0\): the regression of the judge's labels, corrected by what gold labels say of
    its errors. (The linear family corrects coefficients, not gradients, as its source does: the same to first order.)

    Args:
        features: Of the items with gold labels, a column a coefficient; with a column of ones for an intercept.
        labels: Gold labels; for the logistic family in [0, 1].
        predictions: What the judge says of the same items; for the logistic family in [0, 1], probabilities welcome.
        unlabeled_features: Of the other items.
        unlabeled: What the judge says of these.
        family: `"linear"` (least squares) or `"logistic"`.
        power: \(\lambda\), within [0, 1]; None tunes it for the least sum of the coefficients' variances.
        rounds: How often it is tuned, starting from power 1. The customary once is enough for large samples.

    Returns:
        `PPICoefficients`; NaN where a fit is not unique or not finite, as for separated labels.

    Raises:
        ValueError: there is no such family, `rounds` is below 1, or a sample is empty.

    Example:
        >>> x = jnp.stack([jnp.ones(6), jnp.arange(6.0)], 1)
        >>> truth = jnp.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
        >>> ppi_regression(x, truth, truth + 1, x, truth + 1, power=1.0).value.round(3)  # the judge's bias is gone
        Array([0., 1.], dtype=float32)

    Source: Angelopoulos, Bates, Fannjiang, Jordan & Zrnic (2023), arXiv:2301.09633; the power: Angelopoulos, Duchi &
    Zrnic (2023), arXiv:2311.01453.
    """
    if family not in _FAMILIES:
        raise ValueError(f"family must be 'linear' or 'logistic', not {family!r}")
    if rounds < 1:
        raise ValueError(f"the power is tuned at least once: rounds is {rounds}")
    refuse_none(labels.shape[0], unlabeled.shape[0])
    data = _Data(features, labels, predictions, unlabeled_features, unlabeled)
    solve = _linear if family == "linear" else _logistic
    scale = jnp.asarray(1.0 if power is None else power, features.dtype)
    if power is None:

        def retune(_: Int[Array, ""], scale: Float[Array, ""]) -> Float[Array, ""]:
            return _tuned(_gradients(data, solve(data, scale), scale, family))

        scale = jax.lax.fori_loop(0, rounds, retune, scale)
    value = solve(data, scale)
    found = _gradients(data, value, scale, family)
    n, m = labels.shape[0], unlabeled.shape[0]
    noise = _covariance(found.own - scale * found.predicted) / n + scale**2 * _covariance(found.other) / m
    return PPICoefficients(value, found.inverse @ noise @ found.inverse, scale)


class _Gradients(NamedTuple):
    """Of the loss at the solution, a row an item, and the inverse of its mean Hessian."""

    own: Float[Array, "n d"]
    predicted: Float[Array, "n d"]
    other: Float[Array, "N d"]
    inverse: Float[Array, "d d"]


def _linear(data: _Data, scale: Float[Array, ""]) -> Float[Array, " d"]:
    return _least_squares(data.other_x, scale * data.other_f) + _least_squares(data.x, data.y - scale * data.f)


def _least_squares(x: Float[Array, "n d"], y: Float[Array, " n"]) -> Float[Array, " d"]:
    return jnp.linalg.solve(x.T @ x, x.T @ y)


def _logistic(data: _Data, scale: Float[Array, ""]) -> Float[Array, " d"]:
    # Hessians do not depend on labels, so the corrected loss is a positive sum of softplus, less a linear function.
    n, m = data.y.shape[0], data.other_f.shape[0]
    weight = jnp.concatenate([jnp.broadcast_to((1 - scale) / n, (n,)), jnp.broadcast_to(scale / m, (m,))])
    linear = data.x.T @ (data.y - scale * data.f) / n + scale * (data.other_x.T @ data.other_f) / m
    return softplus_minimum(jnp.concatenate([data.x, data.other_x]), weight, linear)[0]


def _gradients(data: _Data, beta: Float[Array, " d"], scale: Float[Array, ""], family: str) -> _Gradients:
    mean, other_mean = data.x @ beta, data.other_x @ beta
    curvature, other_curvature = jnp.ones_like(mean), jnp.ones_like(other_mean)
    if family == "logistic":
        mean, other_mean = jax.nn.sigmoid(mean), jax.nn.sigmoid(other_mean)
        curvature, other_curvature = mean * (1 - mean), other_mean * (1 - other_mean)
    n, m = mean.shape[0], other_mean.shape[0]
    hessian = (data.x * curvature[:, None]).T @ data.x
    both = (hessian + (data.other_x * other_curvature[:, None]).T @ data.other_x) / (n + m)
    return _Gradients(
        data.x * (mean - data.y)[:, None],
        data.x * (mean - data.f)[:, None],
        data.other_x * (other_mean - data.other_f)[:, None],
        jnp.linalg.inv(jnp.where(scale == 0, hessian / n, both)),
    )


def _tuned(found: _Gradients) -> Float[Array, ""]:
    """The power of the least sum of variances, within [0, 1]."""
    n, m = found.own.shape[0], found.other.shape[0]
    own, predicted = (g - g.mean(0, keepdims=True) for g in (found.own, found.predicted))
    shared = own.T @ predicted / n
    spread = _covariance(jnp.concatenate([found.predicted, found.other]))
    numerator, denominator = (
        jnp.trace(found.inverse @ matrix @ found.inverse) for matrix in (shared, (1 + n / m) * spread)
    )
    known = denominator > 0
    return jnp.where(known, jnp.clip(numerator / jnp.where(known, denominator, 1), 0, 1), 0)


def _covariance(rows: Float[Array, "n d"]) -> Float[Array, "d d"]:
    centred = rows - rows.mean(0, keepdims=True)
    return centred.T @ centred / (rows.shape[0] - 1)
