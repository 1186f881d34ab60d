"""Bootstrap intervals of any function of a model: percentile, basic and BCa."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from scorax.choice._uncertainty._vote_influence import flat_parameters, model_based, row_influence, weight_of_one
from scorax.inference import Bootstrap, Fit
from scorax.stats import (
    Interval,
    basic_interval,
    bca_interval,
    jackknife_acceleration,
    percentile_interval,
)


def bootstrap_interval(
    draws: Bootstrap[Any],
    result: Fit[Any],
    target: Callable[[Any], Float[Array, "*v"]],
    *,
    method: str = "bca",
    level: float = 0.95,
    cluster: Int[Array, "..."] | None = None,
) -> Interval:
    """An interval of a function of the model from refits to redrawn data.

    Args:
        draws: What `bootstrap` returned for `result.model` and `result.data`.
        result: The fit to the data as they are.
        target: A differentiable function of the model, one number or an array.
        method: `"percentile"`, `"basic"` or `"bca"`, which corrects for bias and for a standard error that varies with
            the value; its acceleration comes from one-step deletion of each observation, not from refits.
        level: Of each interval, in (0, 1).
        cluster: The clusters that were redrawn, if any were: deletion is then of whole clusters (to first order).

    Returns:
        Lower and upper ends in the shape of `target`; NaN where BCa has no meaning, see `bca_interval`.

    Raises:
        ValueError: `method` is unknown, `level` is not inside (0, 1), or `cluster` has not the rows' shape.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0] * 60, [1] * 60, [1.0] * 40 + [0.0] * 20)
        >>> result = sx.inference.fit(sx.choice.BradleyTerry.init(2), battles)
        >>> draws = sx.inference.bootstrap(result.model, battles, key=jax.random.key(0), n_resamples=200)
        >>> lower, upper = bootstrap_interval(draws, result, lambda model: model.strength[0])
        >>> bool(lower < result.model.strength[0] < upper)
        True

    Source: Efron (1987), doi:10.1080/01621459.1987.10478410.
    """
    if method not in ("percentile", "basic", "bca"):
        raise ValueError(f"method must be 'percentile', 'basic' or 'bca', not {method!r}")
    values = draws.map(target)
    if method == "percentile":
        return percentile_interval(values, level=level)
    estimate = target(result.model)
    if method == "basic":
        return basic_interval(values, estimate, level=level)
    plain = model_based(result)
    covariance = plain.map(flat_parameters).covariance
    acceleration = _acceleration(plain.model, plain.data, covariance, target, *_clusters(cluster, plain.data))
    return bca_interval(values, estimate, acceleration.reshape(estimate.shape), level=level)


def _clusters(cluster: Int[Array, "..."] | None, data: Any) -> tuple[Int[Array, "..."] | None, int]:
    if cluster is None:
        return None, 0
    ids = np.asarray(cluster)
    if ids.shape != data.weight.shape:
        raise ValueError(f"cluster has shape {ids.shape}, but the data's rows have shape {data.weight.shape}")
    names, ids = np.unique(ids, return_inverse=True)
    return jnp.asarray(ids.reshape(data.weight.shape), jnp.int32), len(names)


@eqx.filter_jit
def _acceleration(
    model: Any,
    data: Any,
    covariance: Float[Array, "p p"],
    target: Callable[[Any], Array],
    cluster: Int[Array, "..."] | None,
    n_clusters: int,
) -> Float[Array, " o"]:
    """Of every number that `target` returns, one after the other."""
    parameters, still = eqx.partition(model, eqx.is_inexact_array)
    flat, unravel = ravel_pytree(parameters)
    jacobian = jax.jacfwd(lambda flat: target(eqx.combine(unravel(flat), still)).reshape(-1))(flat)
    each = weight_of_one(data, flat.dtype)
    count = data.count.astype(flat.dtype).reshape(-1)

    def of_number(slope: Float[Array, " p"]) -> Float[Array, ""]:
        change, leverage = row_influence(model, data, covariance, covariance @ slope)
        if cluster is None:
            influence = jnp.where(each > 0, each * change / (1 - each * leverage), 0)
            return jackknife_acceleration(influence.reshape(-1), count=count)
        total = jnp.where(each > 0, each * change, 0).reshape(-1) * count
        return jackknife_acceleration(jax.ops.segment_sum(total, cluster.reshape(-1), n_clusters))

    return jax.lax.map(of_number, jacobian)
