"""How well a judge that gives scores agrees with a reference: its scores, and the preferences that they imply."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from scorax.numerics import masked_where
from scorax.stats import kendall_tau, spearman_rho

_TIES = ("strict", "half", "skip", "prometheus")


class ScoreAgreement(eqx.Module):
    """Scores of a judge against those of a reference."""

    pearson: Float[Array, "*b"]
    spearman: Float[Array, "*b"]
    kendall_b: Float[Array, "*b"]
    """The three correlations are NaN where `degenerate`."""
    mae: Float[Array, "*b"]
    """Mean absolute difference."""
    exact: Float[Array, "*b"]
    """Share of equal scores."""
    degenerate: Bool[Array, "*b"]
    """One of the two is constant, so that nothing can be said of correlation, or fewer than two take part."""


@eqx.filter_jit
def score_agreement(
    pred: Float[Array, "*b n"], ref: Float[Array, "*b n"], *, where: Bool[Array, "*b n"] | None = None
) -> ScoreAgreement:
    """Correlations, mean absolute difference and exact matches of a judge's scores with a reference's.

    Of repeated scores give the means: `runs.mean(-1)`. Exact matches are then those of the means.

    Args:
        pred: The judge's scores.
        ref: The reference's scores of the same answers.
        where: Answers that both have scored; the others may hold anything.

    Returns:
        A :class:`ScoreAgreement`; every field is NaN where no answer takes part.

    Example:
        >>> found = score_agreement(jnp.array([1.0, 2.0, 4.0, 4.0]), jnp.array([1.0, 3.0, 4.0, 5.0]))
        >>> found.pearson.round(4), found.kendall_b.round(4), found.mae
        (Array(0.9434, dtype=float32), Array(0.9129, dtype=float32), Array(0.5, dtype=float32))

    Source: Kim et al. (2023), "Prometheus", arXiv 2310.08491.
    """
    part = jnp.ones(pred.shape, bool) if where is None else where
    pred, ref = (jnp.where(part, x, 0) for x in (pred, ref))
    n = part.sum(-1).astype(pred.dtype)
    degenerate = _is_constant(pred, part) | _is_constant(ref, part)
    correlations = (_pearson(pred, ref, part, degenerate), spearman_rho(pred, ref, where=part))
    pearson, spearman, kendall = (
        masked_where(~degenerate, x, jnp.nan) for x in (*correlations, kendall_tau(pred, ref, where=part))
    )
    return ScoreAgreement(
        pearson=pearson,
        spearman=spearman,
        kendall_b=kendall,
        mae=jnp.abs(pred - ref).sum(-1) / n,
        exact=(part & (pred == ref)).sum(-1).astype(n.dtype) / n,
        degenerate=degenerate,
    )


def _is_constant(x: Float[Array, "*b n"], part: Bool[Array, "*b n"]) -> Bool[Array, "*b"]:
    """By comparison: the rounding error of a mean would give a constant a variance."""
    return masked_where(part, x, jnp.inf).min(-1) >= masked_where(part, x, -jnp.inf).max(-1)


def _pearson(
    x: Float[Array, "*b n"], y: Float[Array, "*b n"], part: Bool[Array, "*b n"], degenerate: Bool[Array, "*b"]
) -> Float[Array, "*b"]:
    n = jnp.maximum(part.sum(-1, keepdims=True), 1).astype(x.dtype)
    x, y = (jnp.where(part, v - v.sum(-1, keepdims=True) / n, 0) for v in (x, y))
    square = (x**2).sum(-1) * (y**2).sum(-1)
    return (x * y).sum(-1) / jnp.sqrt(jnp.where(degenerate, jnp.ones_like(square), square))


@eqx.filter_jit
def pairwise_accuracy(
    pred_a: Float[Array, "n *r"],
    pred_b: Float[Array, "n *r"],
    gold: Int[Array, " n"],
    *,
    ties: str = "strict",
    tol: float | int | Float[Array, ""] = 0.0,
    where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
    """Share of pairs that a judge's scores order as the gold preference does.

    Args:
        pred_a: The judge's scores of the first answers, from one run or, in columns, from several.
        pred_b: Its scores of the second answers.
        gold: +1 where the first answer is better, 0 where they are equal, -1 where the second is.
        ties: `"strict"`: predicted ties are right where the gold label is a tie, and only there. `"half"`: likewise,
            but a tie on one side only is half right. `"skip"`: pairs with a tie on either side are left out. These
            three take the mean of the runs. `"prometheus"`: the first run whose scores differ decides, and none is
            wrong; a gold tie is met if the first run has one.
        tol: Scores (their means) that differ by at most this are a tie; see :func:`tie_calibrated_accuracy`.
        where: Pairs that take part.

    Returns:
        In [0, 1]; NaN where no pair is left.

    Raises:
        ValueError: `ties` is unknown, scores have more than two axes, or no runs.

    Example:
        >>> a, b, gold = jnp.array([4.0, 3.0, 3.0, 1.0]), jnp.array([2.0, 3.0, 3.0, 2.0]), jnp.array([1, 1, 0, 1])
        >>> [float(pairwise_accuracy(a, b, gold, ties=ties)) for ties in ("strict", "half", "skip")]
        [0.5, 0.625, 0.5]

    Source: Kim et al. (2024), "Prometheus 2", arXiv 2405.01535.
    """
    if ties not in _TIES:
        raise ValueError(f"ties must be one of {_TIES}, not {ties!r}")
    if pred_a.ndim > 2 or pred_a.size == 0 < pred_a.shape[0]:
        raise ValueError(f"scores must be one a pair, or one a pair and run, not of shape {pred_a.shape}")
    difference = pred_a.reshape(gold.size, -1) - pred_b.reshape(gold.size, -1)
    gold = gold.astype(jnp.int32)
    part = jnp.ones(gold.shape, bool) if where is None else where
    if ties == "prometheus":
        by_run = _sign(difference, tol)
        deciding = (by_run != 0).argmax(1)
        verdict = jnp.take_along_axis(by_run, deciding[:, None], axis=1)[:, 0]
        right = jnp.where(gold == 0, by_run[:, 0] == 0, verdict == gold).astype(difference.dtype)
    else:
        verdict = _sign(difference.mean(1), tol)
        right = (verdict == gold).astype(difference.dtype)
        one_tie = (verdict == 0) != (gold == 0)
        if ties == "half":
            right = jnp.where(one_tie, 0.5, right)
        if ties == "skip":
            part = part & (verdict != 0) & (gold != 0)
    return jnp.where(part, right, 0).sum() / part.sum().astype(right.dtype)


def _sign(difference: Float[Array, "*b"], tol: float | int | Float[Array, ""]) -> Int[Array, "*b"]:
    return jnp.where(jnp.abs(difference) > tol, jnp.sign(difference), 0).astype(jnp.int32)


class TieCalibration(eqx.Module):
    """The tolerance at which a judge's scores agree best with gold preferences."""

    accuracy: Float[Array, ""]
    """Share of pairs that are right there, ties included. NaN where no pair takes part."""
    tol: Float[Array, ""]
    """Scores that differ by at most this count as a tie: the smallest such number, if several are best."""


@eqx.filter_jit
def tie_calibrated_accuracy(
    pred_a: Float[Array, " n"],
    pred_b: Float[Array, " n"],
    gold: Int[Array, " n"],
    *,
    where: Bool[Array, " n"] | None = None,
) -> TieCalibration:
    r"""Pairwise accuracy of a judge that never gives the same score twice, and so would miss every gold tie.

    Differences of at most \(\epsilon\) become ties, with the \(\epsilon\) that makes most pairs right, ties among them.
    It is chosen on the same pairs: for an unbiased figure give it, as `tol`, to :func:`pairwise_accuracy` on others.

    Args:
        pred_a: The judge's scores of the first answers.
        pred_b: Its scores of the second answers.
        gold: +1 where the first answer is better, 0 where they are equal, -1 where the second is.
        where: Pairs that take part.

    Returns:
        A :class:`TieCalibration`.

    Example:
        >>> a, b = jnp.array([0.9, 0.6, 0.5]), jnp.array([0.1, 0.5, 0.52])
        >>> found = tie_calibrated_accuracy(a, b, jnp.array([1, 0, 0]))
        >>> found.accuracy, found.tol.round(3)
        (Array(1., dtype=float32), Array(0.1, dtype=float32))

    Source: Deutsch, Foster, Freitag (2023), "Ties Matter", arXiv 2305.14324.
    """
    difference = pred_a - pred_b
    part = jnp.ones(gold.shape, bool) if where is None else where
    # A tolerance of 0 is always tried, beside the size of every difference.
    nothing = jnp.zeros(1, difference.dtype)
    size = jnp.concatenate([nothing, jnp.where(part, jnp.abs(difference), jnp.inf)])
    as_tie, as_order = part & (gold == 0), part & (gold != 0) & (jnp.sign(difference) == gold.astype(difference.dtype))
    gain = jnp.concatenate([jnp.zeros(1, jnp.int32), as_tie.astype(jnp.int32) - as_order.astype(jnp.int32)])
    order = jnp.argsort(size)
    size = size[order]
    right = as_order.sum(dtype=jnp.int32) + jnp.cumsum(gain[order], dtype=jnp.int32)
    # Differences of one size become ties together.
    last = jnp.concatenate([size[1:] != size[:-1], jnp.ones(1, bool)]) & (size < jnp.inf)
    best = jnp.where(last, right, -1).argmax()
    return TieCalibration(right[best].astype(size.dtype) / part.sum().astype(size.dtype), size[best])
