"""Selective prediction: how risk falls when only the most confident answers are given, with ties averaged."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Outcome = Float[Array, "*b n"] | Int[Array, "*b n"] | Bool[Array, "*b n"]


class RiskCoverage(NamedTuple):
    """Risk of the k most confident answers, for every k. NaN, and `where` false, beyond the answers that take part."""

    coverage: Float[Array, "*b n"]
    """k / n, increasing."""
    risk: Float[Array, "*b n"]
    """Mean loss of the k most confident answers."""
    threshold: Float[Array, "*b n"]
    """The least confidence among them."""
    attainable: Bool[Array, "*b n"]
    """Whether a threshold gives exactly this coverage: it does not between tied confidences."""
    where: Bool[Array, "*b n"]


class AccuracyCoverage(NamedTuple):
    """Accuracy of the k most confident answers, for every k. NaN, and `where` false, as in `RiskCoverage`."""

    coverage: Float[Array, "*b n"]
    accuracy: Float[Array, "*b n"]
    threshold: Float[Array, "*b n"]
    attainable: Bool[Array, "*b n"]
    where: Bool[Array, "*b n"]


class _Ordered(NamedTuple):
    """Places by falling confidence, those that take no part last."""

    k: Float[Array, "*b n"]
    first: Float[Array, "*b n"]
    """How many are ahead of the block of ties that a place belongs to."""
    last: Float[Array, "*b n"]
    """How many there are up to its end."""
    before: Float[Array, "*b n"]
    """Their losses together, up to before the block, and to its end."""
    through: Float[Array, "*b n"]
    threshold: Float[Array, "*b n"]
    where: Bool[Array, "*b n"]
    total: Float[Array, "*b"]
    """How many take part; NaN where one of them has no confidence."""

    @property
    def risk(self) -> Float[Array, "*b n"]:
        """Expected mean loss of the first k, over all orders of ties; of whole losses, exact before the division."""
        mixed = self.before * (self.last - self.k) + self.through * (self.k - self.first)
        return mixed / ((self.last - self.first) * self.k)

    def mean(self, values: Float[Array, "*b n"]) -> Float[Array, "*b"]:
        """Over the places that take part; NaN without any."""
        return jnp.where(self.where, values, 0).sum(-1) / self.total


def risk_coverage_curve(
    confidence: Float[Array, "*b n"], loss: Outcome, *, where: Bool[Array, "*b n"] | None = None
) -> RiskCoverage:
    r"""The selective risk: the mean loss of the k most confident answers, against the share k / n that they are.

    Tied confidences have no order. Within a block of B ties with losses that sum to s, after \(C\) answers of loss
    \(L\), the risk is its mean over all orders, so that it does not depend on that of the rows:

    $$r_{C + b} = \frac{L + b s / B}{C + b}, \quad b = 1, \dots, B$$

    There are no weights: the mean over orders of a ratio of sums has no closed form where tied answers weigh
    differently. Whole weights are repeated rows.

    Args:
        confidence: Only its order matters; larger is surer.
        loss: Of each answer; 0 and 1 for right and wrong, or any number. It carries the gradient.
        where: Answers that take part.

    Returns:
        `RiskCoverage`, all of it NaN where a confidence is NaN; a loss of NaN makes the risk NaN from there on.

    Example:
        >>> curve = risk_coverage_curve(jnp.array([0.9, 0.6, 0.6, 0.2]), jnp.array([0.0, 1.0, 0.0, 1.0]))
        >>> curve.risk, curve.attainable
        (Array([0. , 0.25 , 0.333, 0.5 ], dtype=float32), Array([ True, False,  True,  True], dtype=bool))

    Source: El-Yaniv & Wiener (2010), Journal of Machine Learning Research 11; Geifman & El-Yaniv (2017), arXiv
    1705.08500.
    """
    o = _ordered(confidence, loss, where)
    known = o.where & ~jnp.isnan(o.total)[..., None]
    coverage, risk, threshold = (jnp.where(known, v, jnp.nan) for v in (o.k / o.total[..., None], o.risk, o.threshold))
    return RiskCoverage(coverage, risk, threshold, known & (o.k == o.last), o.where)


def accuracy_coverage_curve(
    confidence: Float[Array, "*b n"], correct: Outcome, *, where: Bool[Array, "*b n"] | None = None
) -> AccuracyCoverage:
    """The accuracy of the k most confident answers, against the share k / n that they are; ties as in the risk's curve.

    Args:
        confidence: Only its order matters; larger is surer.
        correct: 1 for right, 0 for wrong, or credit between.
        where: Answers that take part.

    Returns:
        `AccuracyCoverage`, NaN as `risk_coverage_curve`.

    Example:
        >>> accuracy_coverage_curve(jnp.array([0.9, 0.6, 0.2]), jnp.array([True, False, True])).accuracy
        Array([1. , 0.5 , 0.667], dtype=float32)

    Source: El-Yaniv & Wiener (2010), Journal of Machine Learning Research 11.
    """
    return AccuracyCoverage(*risk_coverage_curve(confidence, correct, where=where))


def aurc(
    confidence: Float[Array, "*b n"],
    loss: Outcome,
    *,
    where: Bool[Array, "*b n"] | None = None,
    method: str = "mean",
) -> Float[Array, "*b"]:
    r"""Area under the risk-coverage curve: the risk, averaged over coverages. Smaller is better.

    Args:
        confidence: Only its order matters; larger is surer.
        loss: Of each answer.
        where: Answers that take part.
        method: `"mean"`: \(\frac1n \sum_k r_k\), ties averaged. `"trapezoid"`: the integral over coverage through the
            coverages that a threshold attains, constant below the least of them; ties are merged.

    Returns:
        In the units of the loss (papers often print 1000 times as much). NaN where no answer takes part or a value is
        NaN.

    Raises:
        ValueError: there is no such method.

    Example:
        >>> aurc(jnp.array([0.9, 0.6, 0.2]), jnp.array([0.0, 1.0, 0.0])).round(4)  # (0 + 1/2 + 1/3) / 3
        Array(0.2778, dtype=float32)

    Source: Geifman, Uziel & El-Yaniv (2019), arXiv 1805.08206.
    """
    o = _ordered(confidence, loss, where)
    if method == "mean":
        return o.mean(o.risk)
    if method == "trapezoid":
        here = o.through / o.last
        below = jnp.where(o.first > 0, o.before / jnp.where(o.first > 0, o.first, 1), here)
        return o.mean(jnp.where(o.k == o.last, (below + here) / 2 * (o.last - o.first), 0))
    raise ValueError(f"method must be 'mean' or 'trapezoid', not {method!r}")


def augrc(
    confidence: Float[Array, "*b n"], loss: Outcome, *, where: Bool[Array, "*b n"] | None = None
) -> Float[Array, "*b"]:
    r"""Area under the generalised risk-coverage curve: a failure that goes out counts once, whatever the coverage.

    $$\frac1n \sum_k \frac1n \sum_{i \le k} \ell_i$$

    Args:
        confidence: Only its order matters; larger is surer.
        loss: Of each answer.
        where: Answers that take part.

    Returns:
        Smaller is better; NaN as `aurc`.

    Example:
        >>> augrc(jnp.array([0.9, 0.6, 0.2]), jnp.array([0.0, 1.0, 0.0])).round(4)  # (0 + 1 + 1) / 9
        Array(0.2222, dtype=float32)

    Source: Traub, Bungert, Lüth, Baumgartner, Maier-Hein, Maier-Hein & Jäger (2024), arXiv 2407.01032.
    """
    o = _ordered(confidence, loss, where)
    return o.mean(o.risk * o.k) / o.total


def e_aurc(
    confidence: Float[Array, "*b n"],
    loss: Outcome,
    *,
    where: Bool[Array, "*b n"] | None = None,
    optimum: str = "exact",
) -> Float[Array, "*b"]:
    r"""Excess area under the risk-coverage curve: what better confidences, of the same answers, could save.

    Args:
        confidence: Only its order matters; larger is surer.
        loss: Of each answer.
        where: Answers that take part.
        optimum: `"exact"` subtracts the area of these losses in increasing order. `"asymptotic"` subtracts
            \(r + (1 - r) \log (1 - r)\), its limit for many answers with losses of 0 and 1 and mean r.

    Returns:
        At least 0 with the exact optimum; NaN as `aurc`, and with the asymptotic one where the mean loss is outside
        [0, 1].

    Raises:
        ValueError: there is no such optimum.

    Example:
        >>> confidence, loss = jnp.array([0.9, 0.6, 0.2]), jnp.array([0.0, 1.0, 0.0])
        >>> e_aurc(confidence, loss).round(4), e_aurc(-loss, loss)
        (Array(0.1667, dtype=float32), Array(0., dtype=float32))

    Source: Geifman, Uziel & El-Yaniv (2019), arXiv 1805.08206.
    """
    if optimum not in ("exact", "asymptotic"):
        raise ValueError(f"optimum must be 'exact' or 'asymptotic', not {optimum!r}")
    area, losses = aurc(confidence, loss, where=where), _as_losses(loss, confidence)
    if optimum == "exact":
        return area - aurc(-losses, losses, where=where)
    part = jnp.ones(losses.shape, bool) if where is None else where
    risk = jnp.where(part, losses, 0).sum(-1) / part.sum(-1).astype(losses.dtype)
    right = 1 - risk
    some, known = right > 0, (risk >= 0) & (risk <= 1)
    least = risk + jnp.where(some, right * jnp.log(jnp.where(some, right, 1)), 0)
    return area - jnp.where(known, least, jnp.nan)


def selective_classification_auc(
    confidence: Float[Array, "*b n"], correct: Outcome, *, where: Bool[Array, "*b n"] | None = None
) -> Float[Array, "*b"]:
    """Area under the accuracy-coverage curve: the accuracy, averaged over coverages. Larger is better.

    It is one minus `aurc` of the losses of 0 and 1. Confidences that say nothing reach the plain accuracy.

    Args:
        confidence: Only its order matters; larger is surer.
        correct: 1 for right, 0 for wrong, or credit between.
        where: Answers that take part.

    Returns:
        In [0, 1]; NaN as `aurc`.

    Example:
        >>> selective_classification_auc(jnp.array([0.9, 0.6, 0.2]), jnp.array([True, False, True])).round(4)
        Array(0.7222, dtype=float32)

    Source: Shrivastava, Kumar & Liang (2025), arXiv 2502.01126.
    """
    return aurc(confidence, correct, where=where)


def risk_at_coverage(
    confidence: Float[Array, "*b n"],
    loss: Outcome,
    coverage: float | int | Float[Array, "*b"],
    *,
    where: Bool[Array, "*b n"] | None = None,
) -> Float[Array, "*b"]:
    """The risk of the fewest most confident answers that are at least a share `coverage` of all.

    Args:
        confidence: Only its order matters; larger is surer.
        loss: Of each answer.
        coverage: In (0, 1], one for all or one for each leading index.
        where: Answers that take part.

    Returns:
        Ties averaged, as in `risk_coverage_curve`; NaN where that is, or for a coverage out of range.

    Raises:
        ValueError: `coverage` is a number outside (0, 1].

    Example:
        >>> risk_at_coverage(jnp.array([0.9, 0.6, 0.2]), jnp.array([0.0, 1.0, 0.0]), 0.5)
        Array(0.5, dtype=float32)

    Source: Geifman & El-Yaniv (2017), arXiv 1705.08500.
    """
    if isinstance(coverage, float | int) and not 0 < coverage <= 1:
        raise ValueError(f"coverage must be in (0, 1], not {coverage}")
    o = _ordered(confidence, loss, where)
    share = jnp.broadcast_to(jnp.asarray(coverage, o.k.dtype), o.total.shape)
    # A product that rounds up must not ask for one answer more.
    k = jnp.ceil(share * o.total * (1 - 4 * jnp.finfo(o.k.dtype).eps))
    found = jnp.where(o.k == jnp.maximum(k, 1)[..., None], o.risk, 0).sum(-1)
    return jnp.where((o.total > 0) & (share > 0) & (share <= 1), found, jnp.nan)


def coverage_at_risk(
    confidence: Float[Array, "*b n"],
    loss: Outcome,
    risk: float | int | Float[Array, "*b"],
    *,
    where: Bool[Array, "*b n"] | None = None,
) -> Float[Array, "*b"]:
    """The largest share of answers, the most confident first, whose mean loss is at most `risk`.

    That is a fact about these answers; new ones will often exceed a risk chosen so.

    Args:
        confidence: Only its order matters; larger is surer.
        loss: Of each answer.
        risk: The most that is allowed, one for all or one for each leading index.
        where: Answers that take part.

    Returns:
        In [0, 1], 0 where even the most confident answer has too large a loss. Ties are averaged: take those coverages
        of `risk_coverage_curve` that are `attainable` to set a threshold. NaN as `aurc`.

    Example:
        >>> coverage_at_risk(jnp.array([0.9, 0.6, 0.2, 0.1]), jnp.array([0.0, 1.0, 0.0, 1.0]), 0.4)
        Array(0.75, dtype=float32)

    Source: Geifman & El-Yaniv (2017), arXiv 1705.08500.
    """
    o = _ordered(confidence, loss, where)
    most = jnp.broadcast_to(jnp.asarray(risk, o.k.dtype), o.total.shape)
    values = o.risk
    k = jnp.where(o.where & (values <= most[..., None]), o.k, 0).max(-1, initial=0)
    unknown = (o.where & jnp.isnan(values)).any(-1) | jnp.isnan(most)
    return jnp.where(unknown, jnp.nan, k / o.total)


def _as_losses(loss: Outcome, confidence: Float[Array, "*b n"]) -> Float[Array, "*b n"]:
    return loss if jnp.issubdtype(loss.dtype, jnp.floating) else loss.astype(confidence.dtype)


def _ordered(confidence: Float[Array, "*b n"], loss: Outcome, where: Bool[Array, "*b n"] | None) -> _Ordered:
    part = jnp.ones(confidence.shape, bool) if where is None else where
    losses = jnp.where(part, _as_losses(loss, confidence), 0)
    dtype = losses.dtype
    # One sort, where `ahead_and_level` would take three. The best go first, what takes no part last.
    unknown = jnp.isnan(confidence)
    order = jnp.lexsort((jnp.where(part & ~unknown, -confidence, 0), ~part), axis=-1)
    threshold, spent, held = (jnp.take_along_axis(v, order, axis=-1) for v in (confidence, losses, part))
    step = (threshold[..., 1:] != threshold[..., :-1]) | ~held[..., 1:]
    edge = jnp.ones((*part.shape[:-1], 1), bool)
    axis, n_places = part.ndim - 1, part.shape[-1]
    place = jax.lax.broadcasted_iota(jnp.int32, part.shape, axis)
    first = jax.lax.cummax(jnp.where(jnp.concatenate([edge, step], -1), place, 0), axis=axis)
    ends = jnp.where(jnp.concatenate([step, edge], -1), place + 1, n_places)
    end = jax.lax.cummin(ends, axis=axis, reverse=True)
    sums = jnp.concatenate([jnp.zeros((*losses.shape[:-1], 1), dtype), jnp.cumsum(spent, axis=-1)], axis=-1)
    before, through = (jnp.take_along_axis(sums, at, axis=-1) for at in (first, end))
    n = jnp.where((part & unknown).any(-1), jnp.nan, part.sum(-1).astype(dtype))
    k, ahead, last = (v.astype(dtype) for v in (place + 1, first, end))
    return _Ordered(k, ahead, last, before, through, threshold, held, n)
