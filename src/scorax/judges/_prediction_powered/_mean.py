"""Means and differences of means from few gold labels and many predictions."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from scorax.judges._prediction_powered._estimate import PPIEstimate
from scorax.judges._prediction_powered._sample import Sample, held, sample

Power = Float[Array, ""] | float | None


def ppi_mean(
    labels: Float[Array, " n"],
    predictions: Float[Array, " n"],
    unlabeled: Float[Array, " N"],
    *,
    power: Power = None,
    weight: Float[Array, " n"] | None = None,
    unlabeled_weight: Float[Array, " N"] | None = None,
) -> PPIEstimate:
    r"""Mean of the true labels: a judge's mean, corrected by what gold labels say of its errors.

    $$\hat\theta_\lambda = \lambda \frac1N \sum_j \tilde f_j + \frac1n \sum_i (y_i - \lambda f_i)$$

    Unbiased for any judge, however bad, if the items with gold labels are a random sample of all. The power
    \(\lambda\) says how much the judge is trusted: 0 is the mean of the gold labels, and the tuned one is never worse
    for large samples.

    Args:
        labels: Gold labels.
        predictions: What the judge says of the same items.
        unlabeled: What it says of the items without a gold label; these are others, not all items.
        power: \(\lambda\); None tunes it for the least variance, within [0, 1]. The variance takes it as given.
        weight: Of the items with a gold label: inverse probabilities of having been chosen for one (active sampling),
            or 0 for padding. Equal by default.
        unlabeled_weight: Of the others, likewise.

    Returns:
        `PPIEstimate`. NaN without gold labels; without other items the mean of the gold labels.

    Example:
        >>> truth, judge = jnp.array([1.0, 0.0, 1.0, 1.0]), jnp.array([1.0, 1.0, 1.0, 1.0])
        >>> found = ppi_mean(truth, judge, jnp.array([1.0, 0.0, 1.0, 1.0, 1.0]), power=1.0)
        >>> found.value.round(3), found.std_error.round(3)  # 0.8 - 0.25
        (Array(0.55, dtype=float32), Array(0.28, dtype=float32))

    Source: Angelopoulos, Bates, Fannjiang, Jordan & Zrnic (2023), arXiv:2301.09633; the power: Angelopoulos, Duchi &
    Zrnic (2023), arXiv:2311.01453; weights: Zrnic & Candès (2024), arXiv:2403.03208.
    """
    rows = sample(labels.shape[0], labels.dtype, weight)
    others = sample(unlabeled.shape[0], unlabeled.dtype, unlabeled_weight)
    return powered_mean(labels, predictions, unlabeled, rows, others, power)


def powered_mean(
    labels: Float[Array, " n"],
    predictions: Float[Array, " n"],
    unlabeled: Float[Array, " N"],
    rows: Sample,
    others: Sample,
    power: Power,
) -> PPIEstimate:
    """`ppi_mean` of samples with weights and counts."""
    y, f, g = held(labels, rows), held(predictions, rows), held(unlabeled, others)
    scale = _tuned(y, f, g, rows, others) if power is None else jnp.asarray(power, y.dtype)
    # Without any other items there is nothing to trust.
    scale = jnp.where(others.size > 0, scale, 0)
    rectifier = y - scale * f
    value = scale * others.mean(g) + rows.mean(rectifier)
    doubt = rows.covariance(rectifier, rectifier)
    variance = scale**2 * others.covariance(g, g) + doubt
    few = rows.size < 2
    return PPIEstimate(
        jnp.where(rows.size > 0, value, jnp.nan), jnp.where(few, jnp.nan, variance), scale, few | (doubt <= 0)
    )


def _tuned(
    y: Float[Array, " n"], f: Float[Array, " n"], g: Float[Array, " N"], rows: Sample, others: Sample
) -> Float[Array, ""]:
    """The power of the least variance: what labels and predictions share, over what both samples' predictions vary."""
    size = rows.size + others.size
    middle = (rows.size * rows.mean(f) + others.size * others.mean(g)) / jnp.where(size > 0, size, 1)
    spread = rows.size * rows.mean((f - middle) ** 2) + others.size * others.mean((g - middle) ** 2)
    variance = spread / jnp.where(size > 1, size - 1, 1) * (rows.noise.sum() + others.noise.sum())
    known = variance > 0
    return jnp.where(known, jnp.clip(rows.covariance(y, f) / jnp.where(known, variance, 1), 0, 1), 0)


def ppi_contrast(
    labels: Float[Array, "n k"],
    predictions: Float[Array, "n k"],
    unlabeled: Float[Array, "N k"],
    *,
    power: Power = None,
    weight: Float[Array, " n"] | None = None,
    unlabeled_weight: Float[Array, " N"] | None = None,
) -> PPIEstimate:
    """Differences of the mean true labels of candidates that answered the same items.

    Pairing removes what items have in common, in labels and in the judge's errors: a judge that is equally lenient to
    both says nothing about a mean, and a lot about a difference.

    Args:
        labels: Gold labels; a row an item, a column a candidate.
        predictions: What the judge says of the same answers.
        unlabeled: What it says of the answers to other items.
        power: As in `ppi_mean`; tuned for each pair if None.
        weight: As in `ppi_mean`.
        unlabeled_weight: As in `ppi_mean`.

    Returns:
        `PPIEstimate` of shape `[k, k]`: the column's candidate is subtracted from the row's.

    Example:
        >>> truth = jnp.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
        >>> ppi_contrast(truth, truth, jnp.array([[1.0, 0.0], [0.0, 0.0]]), power=1.0).value
        Array([[ 0. ,  0.5],
               [-0.5,  0. ]], dtype=float32)

    Source: Angelopoulos, Duchi & Zrnic (2023), arXiv:2311.01453; pairing: Miller (2024), arXiv:2411.00640.
    """
    rows = sample(labels.shape[0], labels.dtype, weight)
    others = sample(unlabeled.shape[0], unlabeled.dtype, unlabeled_weight)

    def one(a: Int[Array, ""], b: Int[Array, ""]) -> PPIEstimate:
        y, f, g = (x[:, a] - x[:, b] for x in (labels, predictions, unlabeled))
        return powered_mean(y, f, g, rows, others, power)

    candidates = jnp.arange(labels.shape[1])
    return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(candidates, candidates)


def ppi_stratified_mean(
    labels: Float[Array, " n"],
    predictions: Float[Array, " n"],
    unlabeled: Float[Array, " N"],
    stratum: Int[Array, " n"],
    unlabeled_stratum: Int[Array, " N"],
    n_strata: int,
    *,
    share: Float[Array, " s"] | None = None,
    power: Power = None,
) -> PPIEstimate:
    """Mean of the true labels, estimated stratum by stratum: a judge may be good on one kind of items alone.

    Each stratum has a power of its own, and gold labels may be spent on strata unevenly.

    Args:
        labels: Gold labels.
        predictions: What the judge says of the same items.
        unlabeled: What it says of the others.
        stratum: Which stratum each item with a gold label belongs to, from 0 to below `n_strata`.
        unlabeled_stratum: The same of the others.
        n_strata: Number of strata, `s`.
        share: Of each stratum among all items, summing to one; as they occur here, labelled or not, if None. The
            variance takes them as known.
        power: As in `ppi_mean`.

    Returns:
        `PPIEstimate`; its `power` is the mean by share. NaN where a stratum with a share has no gold label.

    Example:
        >>> y, f, g = jnp.array([1.0, 1.0, 0.0, 0.0]), jnp.array([1.0, 1.0, 1.0, 0.0]), jnp.array([1.0, 1.0, 0.0, 1.0])
        >>> strata = jnp.array([0, 0, 1, 1])
        >>> ppi_stratified_mean(y, f, g, strata, strata, 2, power=1.0).value  # (1 + 1 - 1) / 2, and (1/2 + 0 - 1/2) / 2
        Array(0.5, dtype=float32)

    Source: Fisch, Maynez, Hofer, Dhingra, Globerson & Cohen (2024), arXiv:2406.04291.
    """
    dtype = labels.dtype
    strata = jnp.arange(n_strata, dtype=stratum.dtype)
    inside = (stratum[None, :] == strata[:, None]).astype(dtype)
    others_inside = (unlabeled_stratum[None, :] == strata[:, None]).astype(dtype)
    if share is None:
        found = inside.sum(1) + others_inside.sum(1)
        share = found / found.sum()

    def one(weight: Float[Array, " n"], unlabeled_weight: Float[Array, " N"]) -> PPIEstimate:
        return ppi_mean(labels, predictions, unlabeled, power=power, weight=weight, unlabeled_weight=unlabeled_weight)

    parts = jax.vmap(one)(inside, others_inside)
    used = share > 0
    value, variance = (jnp.where(used, x, 0) for x in (parts.value, parts.variance))
    return PPIEstimate(share @ value, share**2 @ variance, share @ parts.power, (used & parts.degenerate).any())


def cross_ppi_mean(
    labels: Float[Array, " n"],
    predictions: Float[Array, " n"],
    unlabeled: Float[Array, "k N"],
    *,
    power: Power = 1.0,
) -> PPIEstimate:
    """Mean of the true labels where the gold labels must also train what predicts them: one model for each fold.

    A model that has seen a label predicts it too well, and the correction would come out too small. So each item with a
    gold label is predicted by the model that was trained without its fold; the others by all models, whose mean counts.

    Args:
        labels: Gold labels.
        predictions: For each of them, what the model says that was trained without its fold.
        unlabeled: What the model of each fold says of the other items.
        power: As in `ppi_mean`; 1 as in the source.

    Returns:
        `PPIEstimate`. The variance takes models as fixed: what differs between training sets is left out, which is
        small where models are stable.

    Example:
        >>> y, f = jnp.array([1.0, 0.0, 1.0, 1.0]), jnp.array([0.9, 0.2, 0.7, 0.8])
        >>> cross_ppi_mean(y, f, jnp.array([[0.5, 0.9, 0.4], [0.7, 0.9, 0.6]])).value.round(4)
        Array(0.7667, dtype=float32)

    Source: Zrnic & Candès (2024), doi:10.1073/pnas.2322083121, arXiv:2309.16598.
    """
    return ppi_mean(labels, predictions, unlabeled.mean(0), power=power)
