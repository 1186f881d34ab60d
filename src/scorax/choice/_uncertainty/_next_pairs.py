"""Which two items to compare next: scores of all pairs, and batches that do not say the same thing twice."""

import functools
import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from scorax.choice._models._bradley_terry import BradleyTerry
from scorax.choice._models._pairs import AbstractPairModel
from scorax.choice._models._plackett_luce import PlackettLuce
from scorax.choice._strengths import contrast_variance, strength_draws, strengths
from scorax.choice._uncertainty._design_cells import outcome_values
from scorax.data import Comparisons, PairCounts
from scorax.inference import Bootstrap, Fit, Posterior

METHODS = ("variance", "d_optimal", "info_gain", "arena", "uncertainty", "top_k")
# Gauss-Hermite nodes of an expectation over one normal variable: error below 1e-4 for standard deviations up to 3.
_NODES = 32


class _Knowledge(NamedTuple):
    """What the next comparison is chosen by."""

    difference: Float[Array, "k k"]
    covariance: Float[Array, "k k"]
    met: Float[Array, "k k"]
    """Comparisons of each pair so far."""
    knock_out: Float[Array, "k k"]
    """The score of `"top_k"`, which draws decide; zeros for other methods."""


def pair_scores(
    result: Fit[Any] | Bootstrap[Any] | Posterior[Any],
    data: Any = None,
    *,
    method: str = "info_gain",
    top: int = 1,
    key: PRNGKeyArray | None = None,
    n_draws: int = 10_000,
) -> Float[Array, "k k"]:
    r"""How much one more comparison of each pair is worth.

    With \(R\) the variance of the difference of strengths and \(I\) the information of one comparison about it
    (\(p(1-p)\) for Bradley-Terry):

    - `"variance"`: \(R\), the effective resistance.
    - `"d_optimal"`: \(\log(1 + I R)\), the fall of the log-determinant of the covariance.
    - `"info_gain"`: the mutual information of outcome and strengths, in nats, where the difference is normal.
    - `"arena"`: \(\sqrt{V/n} - \sqrt{V/(n+1)}\), what the standard error of the pair's own win rate would fall by,
      where \(V\) is the variance of an outcome and \(n\) the comparisons so far (at least 1). Pairs sum to 1, each
      counted once: a distribution to sample from.
    - `"uncertainty"`: \(1 - |2 \mu - 1|\) for the expected score \(\mu\): the even match.
    - `"top_k"`: the smaller of the probabilities that the first of a pair is among the `top` best and the second is
      not, and the other way round: whether this pair's order is what the top is wrong about. (Our own rule.)

    Outcomes are predicted on neutral ground, without order and features.

    Args:
        result: Of a model of paired comparisons or rankings with a `strength`.
        data: What was compared so far, for `"arena"`; that of the fit if None.
        method: One of the above.
        top: How many items the top has, for `"top_k"`.
        key: For `"top_k"` and a fit, whose strengths are drawn from their normal approximation.
        n_draws: Number of such draws.

    Returns:
        Symmetric, at least 0, and 0 between an item and itself.

    Raises:
        ValueError: `method` is unknown, `top` is not inside (0, k), a key or data are missing.

    Example:
        >>> table = sx.data.PairCounts.from_arrays([[0, 20, 3], [20, 0, 2], [1, 2, 0]])
        >>> result = sx.inference.fit(sx.choice.BradleyTerry.init(3), table)
        >>> scores = pair_scores(result, method="variance")
        >>> bool(scores[0, 1] < scores[0, 2])  # the first two know each other well
        True

    Source: Chiang et al. (2024), arXiv:2403.04132 (`"arena"`); Houlsby et al. (2011), arXiv:1112.5745 (`"info_gain"`).
    """
    model, knowledge = _prepare(result, data, method, top, key, n_draws)
    return _scores(model, knowledge, method)


def next_pairs(
    result: Fit[Any] | Bootstrap[Any] | Posterior[Any],
    n_pairs: int,
    data: Any = None,
    *,
    method: str = "info_gain",
    top: int = 1,
    key: PRNGKeyArray | None = None,
    n_draws: int = 10_000,
) -> Int[Array, "n 2"]:
    """A batch of pairs to compare next, the most valuable first, each pair at most once.

    Pairs are picked one by one. After each, the covariance is what it would be after one comparison of the pair picked
    (whatever its outcome, to first order), and the pair has met once more: so a batch spreads where picks by one
    table of scores would crowd around a single item.

    Args:
        result: As in `pair_scores`.
        n_pairs: Size of the batch.
        data: As in `pair_scores`.
        method: As in `pair_scores`.
        top: As in `pair_scores`.
        key: As in `pair_scores`.
        n_draws: As in `pair_scores`.

    Returns:
        Ids of the two items of each pair, the lower first.

    Raises:
        ValueError: As in `pair_scores`; or there are fewer than `n_pairs` pairs.

    Example:
        >>> table = sx.data.PairCounts.from_arrays([[0, 20, 3], [20, 0, 2], [1, 2, 0]])
        >>> result = sx.inference.fit(sx.choice.BradleyTerry.init(3), table)
        >>> next_pairs(result, 2, method="variance").tolist()
        [[0, 2], [1, 2]]
    """
    model, knowledge = _prepare(result, data, method, top, key, n_draws)
    k = knowledge.met.shape[0]
    if not 1 <= n_pairs <= math.comb(k, 2):
        raise ValueError(f"n_pairs must be between 1 and the number of pairs, {math.comb(k, 2)}; not {n_pairs}")
    return _pick(model, knowledge, method, n_pairs)


def _prepare(
    result: Any, data: Any, method: str, top: int, key: PRNGKeyArray | None, n_draws: int
) -> tuple[AbstractPairModel, _Knowledge]:
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; not {method!r}")
    value, covariance = strengths(result)
    k = value.size
    nothing = jnp.zeros((k, k), value.dtype)
    met, knock_out = nothing, nothing
    if method == "arena":
        met = jnp.asarray(_meetings(_data_of(result) if data is None else data, k), value.dtype)
    if method == "top_k":
        if not 0 < top < k:
            raise ValueError(f"top must be between 1 and {k - 1}, not {top}")
        knock_out = _knock_out(strength_draws(result, key=key, n_draws=n_draws), top)
    difference = value[:, None] - value[None, :]
    return pair_model(centre(result)), _Knowledge(difference, covariance, met, knock_out)


def _data_of(result: Any) -> Any:
    if not isinstance(result, Fit):
        raise ValueError("draws do not remember the data: pass what was compared so far")
    return result.data


def _meetings(data: Comparisons | PairCounts, k: int) -> np.ndarray:
    rows = data.rows() if isinstance(data, PairCounts) else data
    met = np.zeros((k, k))
    np.add.at(met, (np.asarray(rows.a), np.asarray(rows.b)), np.asarray(rows.count, np.float64))
    return met + met.T


@functools.singledispatch
def centre(result: Any) -> Any:
    """The model at the estimate, or at the mean over draws."""
    raise TypeError(f"expected what fit, bootstrap or sample returned, not {type(result).__name__}")


@centre.register(Fit)
def _(result: Fit[Any]) -> Any:
    return result.model


@centre.register(Bootstrap)
def _(result: Bootstrap[Any]) -> Any:
    return jax.tree.map(lambda x: x.mean(0) if eqx.is_inexact_array(x) else x, result.model)


@centre.register(Posterior)
def _(result: Posterior[Any]) -> Any:
    mean = jax.tree.map(lambda x: x.mean((0, 1)) if eqx.is_inexact_array(x) else x, result.moving)
    return eqx.combine(mean, result.still)


@functools.singledispatch
def pair_model(model: Any) -> AbstractPairModel:
    """What a model says about a comparison of two."""
    raise TypeError(f"{type(model).__name__} does not say how two items compare")


@pair_model.register(AbstractPairModel)
def _(model: AbstractPairModel) -> AbstractPairModel:
    return model


@pair_model.register(PlackettLuce)
def _(model: PlackettLuce) -> AbstractPairModel:
    # A choice between two is Bradley-Terry, whatever else could have been chosen.
    return BradleyTerry(model.strength)


@functools.partial(jax.jit, static_argnames="top")
def _knock_out(draws: Float[Array, "s k"], top: int) -> Float[Array, "k k"]:
    among = (draws >= jnp.sort(draws, axis=1)[:, -top][:, None]).astype(draws.dtype)
    first_only = among.T @ (1 - among) / draws.shape[0]
    return jnp.minimum(first_only, first_only.T)


@eqx.filter_jit
def _scores(model: AbstractPairModel, knowledge: _Knowledge, method: str) -> Float[Array, "k k"]:
    difference, covariance, met, knock_out = knowledge
    resistance = contrast_variance(covariance)
    if method == "variance":
        scores = resistance
    elif method == "d_optimal":
        scores = jnp.log1p(_information(model, difference) * resistance)
    elif method == "info_gain":
        scores = _mutual_information(model, difference, resistance)
    elif method == "uncertainty":
        scores = 1 - jnp.abs(2 * _moments(model, difference)[0] - 1)
    elif method == "top_k":
        scores = knock_out
    else:
        spread, n = jnp.sqrt(_moments(model, difference)[1]), jnp.maximum(met, 1)
        scores = spread * (1 / jnp.sqrt(n) - 1 / jnp.sqrt(n + 1))
        scores = jnp.where(jnp.eye(len(scores), dtype=bool), 0, scores)
        scores = 2 * scores / scores.sum()
    # Both triangles are the same but for rounding.
    return jnp.where(jnp.eye(difference.shape[0], dtype=bool), 0, jnp.maximum(scores + scores.T, 0) / 2)


def _log_probabilities(model: AbstractPairModel, difference: Float[Array, "*s"]) -> Float[Array, "c *s"]:
    return jax.vmap(lambda y: model.outcome_log_prob(difference, jnp.full_like(difference, y)))(outcome_values(model))


def _moments(model: AbstractPairModel, difference: Float[Array, "k k"]) -> tuple[Array, Array]:
    """Mean and variance of an outcome."""
    values = outcome_values(model)[:, None, None]
    p = jnp.exp(_log_probabilities(model, difference))
    mean = (values * p).sum(0)
    return mean, (p * (values - mean[None]) ** 2).sum(0)


def _information(model: AbstractPairModel, difference: Float[Array, "k k"]) -> Float[Array, "k k"]:
    """Of one comparison about the difference, the outcome's own parameters being known."""
    slope = jax.vmap(lambda y: model.outcome_derivatives(difference, jnp.full_like(difference, y)).first[..., 0])(
        outcome_values(model)
    )
    return (jnp.exp(_log_probabilities(model, difference)) * slope**2).sum(0)


def _mutual_information(
    model: AbstractPairModel, difference: Float[Array, "k k"], variance: Float[Array, "k k"]
) -> Float[Array, "k k"]:
    """Entropy of the mean outcome less the mean entropy, node after node of the normal difference."""
    at, weight = np.polynomial.hermite_e.hermegauss(_NODES)
    nodes = jnp.asarray(np.stack([at, weight / weight.sum()], axis=1), difference.dtype)
    deviation = jnp.sqrt(variance)

    def add(total: tuple[Array, Array], node: Float[Array, "2"]) -> tuple[tuple[Array, Array], None]:
        log_p = _log_probabilities(model, difference + node[0] * deviation)
        p = jnp.exp(log_p)
        return (total[0] + node[1] * p, total[1] + node[1] * _entropy(p)), None

    nothing = jnp.zeros_like(difference)
    start = jnp.zeros((outcome_values(model).size, *difference.shape), difference.dtype), nothing
    (mean, entropy), _ = jax.lax.scan(add, start, nodes)
    return jnp.maximum(_entropy(mean) - entropy, 0)


def _entropy(p: Float[Array, "c k k"]) -> Float[Array, "k k"]:
    return -jax.scipy.special.xlogy(p, p).sum(0)


@eqx.filter_jit
def _pick(model: AbstractPairModel, knowledge: _Knowledge, method: str, n_pairs: int) -> Int[Array, "n 2"]:
    k = knowledge.met.shape[0]
    information = _information(model, knowledge.difference)
    lower = jnp.tril(jnp.ones((k, k), bool))

    def pick(state: tuple[_Knowledge, Bool[Array, "k k"]], _: None) -> tuple[Any, Int[Array, "2"]]:
        knowledge, taken = state
        best = jnp.argmax(jnp.where(taken, -jnp.inf, _scores(model, knowledge, method)))
        i, j = best // k, best % k
        along = knowledge.covariance[i] - knowledge.covariance[j]
        gain = information[i, j] / (1 + information[i, j] * (along[i] - along[j]))
        after = knowledge._replace(
            covariance=knowledge.covariance - gain * along[:, None] * along[None, :],
            met=knowledge.met.at[i, j].add(1).at[j, i].add(1),
        )
        return (after, taken.at[i, j].set(True)), jnp.stack([i, j]).astype(jnp.int32)

    return jax.lax.scan(pick, (knowledge, lower), None, length=n_pairs)[1]
