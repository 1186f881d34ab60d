"""How well a model's answers simulate a population's: SimBench's score, and what noise leaves of 100."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.scipy.stats import norm
from jaxtyping import Array, Bool, Float, Int

from scorax.data import refuse
from scorax.evals._normal import safe_root
from scorax.stats import total_variation_distance


class SimulationScore(eqx.Module):
    """Scores of 100 for the population's own answers, 0 for those of a uniform guesser, below 0 for worse ones."""

    score: Float[Array, "*b"]
    """Mean over the questions that are scored; NaN without any."""
    std_error: Float[Array, "*b"]
    """Of that mean, over questions as independent draws, with the baselines taken as known; NaN for fewer than two."""
    item_score: Float[Array, "*b n"]
    """NaN where a question cannot be scored."""
    baseline: Float[Array, " d"]
    """Mean distance of the population from a uniform guesser, of each data set; NaN without questions."""
    scored: Bool[Array, " n"]
    """Which questions take part: those with two options or more, in a data set whose baseline is not 0."""


def simulation_score(
    human: Float[Array, "n m"],
    model: Float[Array, "*b n m"],
    dataset: Int[Array, " n"],
    n_datasets: int,
    *,
    where: Bool[Array, "n m"] | None = None,
    smooth: float | int = 0.0,
) -> SimulationScore:
    r"""SimBench's score: one minus the distance of model and population, over that of a uniform guesser.

    $$S_i = 100 \Big(1 - \frac{TV(p_i, q_i)}{\bar U_{D(i)}}\Big), \quad
    \bar U_D = \operatorname{mean}_{i \in D} TV(p_i, \text{uniform})$$

    The baseline is the mean of the data set, not the question's own: a uniform guesser gets 0 on average over each data
    set. The score is the mean over questions, not over data sets, so large data sets count more.

    Args:
        human: Answers of the population to n questions with up to m options, as shares or counts.
        model: Answers of the model, or of several along leading axes.
        dataset: Data set of each question, from 0.
        n_datasets: How many data sets there are, `d`.
        where: Options that there are. A question with fewer than two cannot be scored, and leaves the mean.
        smooth: As in `total_variation_distance`, for a differentiable score.

    Returns:
        `SimulationScore`. An answer of the model that is no distribution makes its score NaN: leave such questions out
        by `where`.

    Raises:
        ValueError: the id of a data set is not from 0 to `n_datasets - 1`, where its value is known.

    Example:
        >>> human = jnp.array([[0.2, 0.8, 0.0], [0.5, 0.3, 0.2]])
        >>> where = jnp.array([[True, True, False], [True, True, True]])
        >>> model = jnp.array([[0.3, 0.7, 0.0], [0.5, 0.3, 0.2]])
        >>> found = simulation_score(human, model, jnp.array([0, 0]), 1, where=where)
        >>> found.item_score.round(2), found.score.round(2)
        (Array([ 57.14, 100. ], dtype=float32), Array(78.57, dtype=float32))

    Source: Hu, Baumann, Lupo, Collier, Hovy & Röttger (2025), arXiv 2510.17516.
    """
    part = jnp.ones(human.shape, bool) if where is None else where
    baseline, scored = _baselines(human, dataset, n_datasets, part)
    distance = total_variation_distance(*jnp.broadcast_arrays(human, model, part)[:2], where=part, smooth=smooth)
    shape = distance.shape
    unit, scored_each = (jnp.broadcast_to(v, shape) for v in (baseline[dataset], scored))
    item_score = jnp.where(scored_each, 100 * (1 - distance / jnp.where(scored_each, unit, 1)), jnp.nan)
    n = scored.sum().astype(human.dtype)
    held = jnp.where(scored_each, item_score, 0)
    mean = held.sum(-1) / n
    scatter = jnp.where(scored_each, held - mean[..., None], 0)
    variance = (scatter**2).sum(-1) / (n * jnp.where(n > 1, n - 1, jnp.nan))
    return SimulationScore(mean, safe_root(variance), item_score, baseline, scored)


def total_variation_bias(
    truth: Float[Array, "*b m"],
    other: Float[Array, "*b m"],
    n: Float[Array, "*b"] | Int[Array, "*b"] | float | int,
    *,
    where: Bool[Array, "*b m"] | None = None,
) -> Float[Array, "*b"]:
    r"""By how much the distance from a sample of n answers exceeds that from the distribution they come from.

    Shares of n answers are close to normal with variance \(\sigma_k^2 = p_k (1 - p_k) / n\), and an absolute value has
    a folded normal mean: with \(d_k = |p_k - q_k|\)

    $$\frac12 \sum_k \Big[ \sigma_k \sqrt{2 / \pi}\, e^{-d_k^2 / 2 \sigma_k^2} - 2 d_k \Phi(-d_k / \sigma_k) \Big]$$

    At \(p = q\) it is \(\sum_k \sqrt{p_k (1 - p_k) / 2 \pi n}\), the distance that a perfect model is left with. With
    the sample's own shares in place of the truth it is an estimate, a little too small where p is close to q.

    Args:
        truth: Distribution of the answers, as shares or counts.
        other: What they are compared with.
        n: How many answers are drawn, above 0.
        where: Options that there are.

    Returns:
        At least 0; NaN where one is no distribution, or `n` is not positive. The normal approximation wants a few
        answers of each option that occurs.

    Example:
        >>> even = jnp.array([0.5, 0.5])
        >>> total_variation_bias(even, even, 100), total_variation_bias(even, jnp.array([0.9, 0.1]), 100)
        (Array(0.0399, dtype=float32), Array(0., dtype=float32))

    Source: Leone, Nelson & Nottingham (1961), doi:10.1080/00401706.1961.10489974 (the folded normal mean).
    """
    part = jnp.ones(truth.shape, bool) if where is None else where
    known = ~jnp.isnan(total_variation_distance(truth, other, where=part))
    p, q = (_safe_shares(v, part, known) for v in (truth, other))
    count = jnp.broadcast_to(jnp.asarray(n, p.dtype), known.shape)
    positive = count > 0
    spread = safe_root(p * jnp.maximum(1 - p, 0) / jnp.where(positive, count, 1)[..., None])
    noisy = spread > 0
    ratio = jnp.abs(p - q) / jnp.where(noisy, spread, 1)
    excess = spread * jnp.where(noisy, 2 * (norm.pdf(ratio) - ratio * norm.cdf(-ratio)), 0)
    return jnp.where(known & positive, excess.sum(-1) / 2, jnp.nan)


def noise_ceiling(
    human: Float[Array, "n m"],
    n_answers: Float[Array, " n"] | Int[Array, " n"],
    dataset: Int[Array, " n"],
    n_datasets: int,
    *,
    where: Bool[Array, "n m"] | None = None,
) -> Float[Array, " n"]:
    """The simulation score that the population's true distribution would get, on average, of each question.

    It is below 100: the shares of a finite number of answers differ from the truth behind them. Compare the mean over
    the questions that are scored with a model's score.

    Args:
        human: Answers of the population, as shares or counts.
        n_answers: How many there are of each question.
        dataset: Data set of each question, from 0.
        n_datasets: How many data sets there are.
        where: Options that there are.

    Returns:
        At most 100; NaN where a question cannot be scored. The shares stand in for the truth, which puts it a little
        too high, the more so where answers are rare; baselines are taken as known.

    Raises:
        ValueError: the id of a data set is not from 0 to `n_datasets - 1`, where its value is known.

    Example:
        >>> human = jnp.array([[0.2, 0.8], [0.6, 0.4]])
        >>> noise_ceiling(human, jnp.array([50, 400]), jnp.array([0, 0]), 1)
        Array([77.4, 90.2], dtype=float32)

    Source: Hu, Baumann, Lupo, Collier, Hovy & Röttger (2025), arXiv 2510.17516 (the score).
    """
    part = jnp.ones(human.shape, bool) if where is None else where
    baseline, scored = _baselines(human, dataset, n_datasets, part)
    noise = total_variation_bias(human, human, n_answers, where=part)
    return jnp.where(scored, 100 * (1 - noise / jnp.where(scored, baseline[dataset], 1)), jnp.nan)


def _baselines(
    human: Float[Array, "n m"], dataset: Int[Array, " n"], n_datasets: int, part: Bool[Array, "n m"]
) -> tuple[Float[Array, " d"], Bool[Array, " n"]]:
    """Distance from a uniform guesser of each data set, and the questions that can be scored."""
    _check_ids(dataset, n_datasets)
    apart = total_variation_distance(human, jnp.ones_like(human), where=part)
    used = part.sum(-1) > 1
    # A population without answers is no question with one option: it is an error, and shows as NaN.
    total, n = (jax.ops.segment_sum(jnp.where(used, v, 0), dataset, n_datasets) for v in (apart, jnp.ones_like(apart)))
    baseline = jnp.where(n > 0, total / jnp.where(n > 0, n, 1), jnp.nan)
    return baseline, used & ~(baseline == 0)[dataset]


def _check_ids(dataset: Any, n_datasets: int) -> None:
    if n_datasets < 1:
        raise ValueError(f"n_datasets must be at least 1, not {n_datasets}")
    if not isinstance(dataset, Tracer):
        ids = np.asarray(dataset)
        refuse((ids < 0) | (ids >= n_datasets), f"dataset is not from 0 to {n_datasets - 1}", "Raise n_datasets.")


def _safe_shares(p: Float[Array, "*b m"], part: Bool[Array, "*b m"], known: Bool[Array, "*b"]) -> Float[Array, "*b m"]:
    """Shares, 0 outside; any harmless number where there are none."""
    held = jnp.where(part & known[..., None], p, 0)
    return held / jnp.where(known, held.sum(-1), 1)[..., None]
