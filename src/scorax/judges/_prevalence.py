"""How common a level truly is, from how often a judge says so and how the judge errs."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from scorax.data import refuse
from scorax.judges._normal_interval import normal_interval
from scorax.judges._simplex_optimum import least_squares_mixture, mixture_of_likelihoods
from scorax.judges._small_solve import determinant
from scorax.stats import Interval, weighted_quantile

Number = Float[Array, "*b"] | float
Count = Float[Array, "*b"] | Int[Array, "*b"] | float | int

_METHODS = {"least_squares": least_squares_mixture, "likelihood": mixture_of_likelihoods}


class ErrorRates(NamedTuple):
    """How a binary judge errs, with the numbers of labels that say so."""

    sensitivity: Float[Array, ""]
    """Share of the truly positive that the judge calls positive; NaN where there are none."""
    specificity: Float[Array, ""]
    """Share of the truly negative that the judge calls negative; NaN where there are none."""
    n_positive: Float[Array, ""]
    n_negative: Float[Array, ""]


class Prevalence(eqx.Module):
    """A share corrected for the errors of the judge that measured it.

    Attributes:
        value: In [0, 1]; NaN where `degenerate`.
        unclipped: Before it was cut to [0, 1]; what `variance` and intervals are about.
        variance: Of `unclipped`, by the delta method; NaN where no counts were given.
        degenerate: The judge is no better than chance (sensitivity + specificity is at most 1): nothing is known.
    """

    value: Float[Array, "*b"]
    unclipped: Float[Array, "*b"]
    variance: Float[Array, "*b"]
    degenerate: Bool[Array, "*b"]

    @property
    def std_error(self) -> Float[Array, "*b"]:
        """Of `unclipped`."""
        return jnp.sqrt(self.variance)

    def interval(self, level: float = 0.95) -> Interval:
        """Normal interval around `unclipped`, cut to [0, 1].

        With few labels, or a share near 0 or 1, `rogan_gladen_posterior` is better.
        """
        return normal_interval(self.unclipped, self.std_error, level, bounds=(0.0, 1.0))


class PrevalenceDraws(eqx.Module):
    """Draws of a corrected share; those that no share explains take no part.

    Attributes:
        value: In [0, 1] wherever `where` holds.
        where: Which draws take part.
    """

    value: Float[Array, " r"]
    where: Bool[Array, " r"]

    @property
    def usable(self) -> Float[Array, ""]:
        """Share of the draws that take part: where it is low, judge and labels contradict each other."""
        return self.where.mean(dtype=self.value.dtype)

    @property
    def mean(self) -> Float[Array, ""]:
        """Mean of the draws that take part; NaN if there are none."""
        return jnp.mean(self.value, where=self.where)

    @property
    def std_error(self) -> Float[Array, ""]:
        """Standard deviation of the draws that take part."""
        return jnp.std(self.value, where=self.where)

    def interval(self, level: float = 0.95) -> Interval:
        """Between two quantiles of the draws that take part.

        Raises:
            ValueError: `level` is not inside (0, 1).
        """
        if not 0 < level < 1:
            raise ValueError(f"level must be between 0 and 1, not {level}")
        held = self.where.astype(self.value.dtype)
        lower, upper = (weighted_quantile(self.value, q, weight=held) for q in ((1 - level) / 2, (1 + level) / 2))
        return Interval(lower, upper)


def judge_error_rates(
    labels: Float[Array, " n"], predictions: Float[Array, " n"], *, weight: Float[Array, " n"] | None = None
) -> ErrorRates:
    """Sensitivity and specificity of a judge on items whose truth is known.

    Args:
        labels: The truth, 0 or 1.
        predictions: What the judge says, 0 or 1.
        weight: 0 leaves an item out, a whole number counts it so many times; 1 by default.

    Example:
        >>> rates = judge_error_rates(jnp.array([1.0, 1.0, 1.0, 0.0]), jnp.array([1.0, 1.0, 0.0, 0.0]))
        >>> rates.sensitivity.round(3), rates.specificity, rates.n_positive
        (Array(0.667, dtype=float32), Array(1., dtype=float32), Array(3., dtype=float32))

    Source: Yerushalmy (1947), doi:10.2307/4586294.
    """
    weight = jnp.ones_like(labels) if weight is None else weight.astype(labels.dtype)
    positive, negative = (jnp.where(labels == kind, weight, 0) for kind in (1, 0))
    said = (predictions == 1).astype(labels.dtype)
    return ErrorRates(
        _share(positive @ said, positive.sum()),
        _share(negative @ (1 - said), negative.sum()),
        positive.sum(),
        negative.sum(),
    )


def rogan_gladen(
    p_obs: Number,
    sensitivity: Number,
    specificity: Number,
    *,
    counts: tuple[Count, Count, Count] | None = None,
) -> Prevalence:
    r"""The true share behind the share that a binary judge reports.

    $$\hat p = \frac{p_{obs} + Sp - 1}{Se + Sp - 1}$$

    It takes the judge's error rates to be the same where they are used as where they were measured: gold labels must be
    a random sample of the items.

    Args:
        p_obs: Share of items that the judge calls positive, in [0, 1].
        sensitivity: Share of the truly positive that it calls positive.
        specificity: Share of the truly negative that it calls negative.
        counts: Numbers of items behind the three shares: judged without a gold label, truly positive and truly negative
            among those with one. The variance has the noise of all three.

    Returns:
        `Prevalence`. The three shares have one shape, or are numbers.

    Raises:
        ValueError: Sensitivity and specificity sum to at most 1, where their values are known: the judge is no better
            than chance. Under `jit` and `vmap` the value is NaN there, and `degenerate` holds.

    Example:
        >>> found = rogan_gladen(0.4, 0.85, 0.8, counts=(1000, 200, 300))
        >>> found.value.round(3), found.std_error.round(3)
        (Array(0.308, dtype=float32), Array(0.036, dtype=float32))

    Source: Rogan & Gladen (1978), doi:10.1093/oxfordjournals.aje.a112510.
    """
    dtype = jnp.result_type(p_obs, sensitivity, specificity)
    p, se, sp = jnp.broadcast_arrays(*(jnp.asarray(x, dtype) for x in (p_obs, sensitivity, specificity)))
    gain = se + sp - 1
    if not isinstance(gain, Tracer):
        refuse(
            np.asarray(gain <= 0).ravel(),
            "sensitivity + specificity is at most 1",
            "Such a judge is no better than chance, and says nothing about the share; swap its labels if they are "
            "reversed.",
        )
    useless = ~(gain > 0)
    safe = jnp.where(useless, jnp.ones_like(gain), gain)
    raw = jnp.where(useless, jnp.nan, (p + sp - 1) / safe)
    variance = jnp.full_like(raw, jnp.nan)
    if counts is not None:
        n, n_positive, n_negative = (jnp.broadcast_to(jnp.asarray(count, dtype), p.shape) for count in counts)
        noise = p * (1 - p) / n + raw**2 * se * (1 - se) / n_positive + (1 - raw) ** 2 * sp * (1 - sp) / n_negative
        variance = noise / safe**2
    return Prevalence(jnp.clip(raw, 0, 1), raw, variance, useless)


def rogan_gladen_bootstrap(
    key: PRNGKeyArray,
    labels: Float[Array, " n"],
    predictions: Float[Array, " n"],
    unlabeled: Float[Array, " N"],
    n_resamples: int,
    *,
    resample_unlabeled: bool = True,
) -> PrevalenceDraws:
    """Bootstrap of the corrected share: the items with and those without a gold label are both drawn anew.

    Args:
        key: The same key gives the same draws.
        labels: The truth, 0 or 1, of the items with a gold label.
        predictions: What the judge says of them, 0 or 1.
        unlabeled: What the judge says of the others.
        n_resamples: Number of resamples, `r`.
        resample_unlabeled: False keeps the judge's share of the others as it is, which leaves its noise out: intervals
            are too narrow unless the others are all there ever will be.

    Returns:
        `PrevalenceDraws`. Resamples in which the judge is no better than chance take no part.

    Raises:
        ValueError: a value is neither 0 nor 1, or there is no item of one kind.

    Example:
        >>> truth = jnp.array([1.0] * 50 + [0.0] * 50)
        >>> said = truth.at[:10].set(0.0).at[95:].set(1.0)  # right 40 times of 50, and 45 of 50
        >>> draws = rogan_gladen_bootstrap(jax.random.key(0), truth, said, jnp.array([1.0, 0.0, 0.0] * 100), 1000)
        >>> bool(draws.interval(0.9).lower < 0.333), draws.usable
        (True, Array(1., dtype=float32))

    Source: Lang & Reiczigel (2014), doi:10.1016/j.prevetmed.2013.09.015 (both sources of noise); Efron (1979),
    doi:10.1214/aos/1176344552.
    """
    truth, said, others = (np.asarray(x, np.float64) for x in (labels, predictions, unlabeled))
    for name, values in (("labels", truth), ("predictions", said), ("unlabeled", others)):
        refuse((values != 0) & (values != 1), f"{name} is neither 0 nor 1", "Rogan and Gladen's estimate is binary.")
        if not values.size:
            raise ValueError(f"{name} is empty: there is nothing to redraw")
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    cells = np.array([[np.sum((truth == t) & (said == s)) for s in (0, 1)] for t in (0, 1)])
    drawn = generator.multinomial(truth.size, cells.ravel() / truth.size, n_resamples).reshape(-1, 2, 2)
    share = others.mean()
    observed = generator.binomial(others.size, share, n_resamples) / others.size if resample_unlabeled else share
    with np.errstate(invalid="ignore"):
        specificity, sensitivity = (drawn[:, t, t] / drawn[:, t].sum(1) for t in (0, 1))
    gain = sensitivity + specificity - 1
    where = gain > 0
    value = np.clip((observed + specificity - 1) / np.where(where, gain, 1), 0, 1)
    return PrevalenceDraws(jnp.asarray(np.where(where, value, 0), labels.dtype), jnp.asarray(where))


def rogan_gladen_posterior(
    key: PRNGKeyArray,
    observed: tuple[Count, Count],
    positive: tuple[Count, Count],
    negative: tuple[Count, Count],
    *,
    draws: int = 4000,
    prior: tuple[float, float] = (1.0, 1.0),
) -> PrevalenceDraws:
    """Posterior of the true share: beta posteriors of the judge's three shares, and what a share can explain of them.

    Each pair is (how often, of how many). Draws whose share would lie outside [0, 1] take no part: that conditions on
    there being a true share. Honest for few labels, and for shares near 0 and 1, where the delta method is not.

    Args:
        key: The same key gives the same draws.
        observed: Items without a gold label that the judge calls positive, of all of them.
        positive: Truly positive items that the judge calls positive, of those with a gold label.
        negative: Truly negative items that the judge calls negative, of those with a gold label.
        draws: Number of draws, `r`.
        prior: Both parameters of the beta prior of all three shares; both above 0.

    Returns:
        `PrevalenceDraws`.

    Raises:
        ValueError: `prior` is not positive.

    Example:
        >>> found = rogan_gladen_posterior(jax.random.key(0), (400, 1000), (170, 200), (240, 300), draws=2000)
        >>> bool(abs(found.mean - 0.308) < 0.01), bool(found.usable > 0.99)
        (True, True)

    Source: Gelman & Carpenter (2020), doi:10.1111/rssc.12435; Diggle (2011), doi:10.1155/2011/608719.
    """
    if not min(prior) > 0:
        raise ValueError(f"both parameters of the beta prior must be positive, not {prior}")
    hits, total = (
        jnp.stack([jnp.asarray(x, float) for x in side]) for side in zip(observed, positive, negative, strict=True)
    )
    a, b = (hits + prior[0])[:, None], (total - hits + prior[1])[:, None]
    p, sensitivity, specificity = jax.random.beta(key, a, b, (3, draws))
    gain = sensitivity + specificity - 1
    informed = gain > 0
    value = (p + specificity - 1) / jnp.where(informed, gain, 1)
    where = informed & (value >= 0) & (value <= 1)
    return PrevalenceDraws(jnp.where(where, value, 0), where)


def adjust_prevalence(
    gamma: Float[Array, "*b m"], confusion: Float[Array, "*b m m"], *, method: str = "least_squares"
) -> Float[Array, "*b m"]:
    r"""The mix of true levels behind the mix of labels that a judge gives: Rogan and Gladen with any number of levels.

    Solves \(\gamma = \Theta^T \pi\) over the simplex. Where the labels have an exact explanation both methods give it;
    where they have none, the closest in squares, or the likeliest.

    Args:
        gamma: Share of each label, at least 0. Counts do as well for `"likelihood"`; shares sum to one.
        confusion: How the judge errs: row = true level, each row sums to one.
        method: `"least_squares"`: minimises \(\|\gamma - \Theta^T \pi\|^2\). `"likelihood"`: maximises
            \(\sum_l \gamma_l \log (\Theta^T \pi)_l\), the likelihood of labels with these shares.

    Returns:
        Shares of the true levels; NaN where the judge cannot tell levels apart (its matrix is singular). First
        derivatives are those of the optimum.

    Raises:
        ValueError: there is no such method.

    Example:
        >>> confusion = jnp.array([[0.8, 0.2, 0.0], [0.1, 0.8, 0.1], [0.0, 0.2, 0.8]])
        >>> adjust_prevalence(jnp.array([0.25, 0.5, 0.25]) @ confusion, confusion).round(3)
        Array([0.25, 0.5 , 0.25], dtype=float32)

    Source: Rogan & Gladen (1978), doi:10.1093/oxfordjournals.aje.a112510; Hopkins & King (2010),
    doi:10.1111/j.1540-5907.2009.00428.x; Saerens, Latinne & Decaestecker (2002), doi:10.1162/089976602753284446.
    """
    if method not in _METHODS:
        raise ValueError(f"method must be one of {', '.join(map(repr, _METHODS))}, not {method!r}")
    solve = _METHODS[method]
    for _ in gamma.shape[:-1]:
        solve = jax.vmap(solve)
    found = solve(jnp.swapaxes(confusion, -1, -2), gamma)
    blind = jnp.abs(determinant(confusion)) <= 8 * jnp.finfo(gamma.dtype).eps
    return jnp.where(blind[..., None], jnp.nan, found)


def _share(part: Float[Array, ""], whole: Float[Array, ""]) -> Float[Array, ""]:
    some = whole > 0
    return jnp.where(some, part / jnp.where(some, whole, 1), jnp.nan)
