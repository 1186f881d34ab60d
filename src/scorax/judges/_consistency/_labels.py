"""One score from a judge's probabilities of labels: the likeliest label, the mean label, a mean that weighs by odds."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from scorax.judges._simplex_geometry import level_values
from scorax.numerics import log1mexp, masked_where, most_negative

_Number = float | int


def argmax_label(
    label_probs: Float[Array, "*b m"],
    values: Sequence[float] | None = None,
    *,
    where: Bool[Array, "*b m"] | None = None,
) -> Float[Array, "*b"]:
    """Value of the likeliest label, the lowest of those that tie. Larger is better.

    Args:
        label_probs: What the judge gives each label, at least 0. Its logarithm will do.
        values: Increasing values of the labels; `1, 2, ..., M` if None.
        where: Labels that take part.

    Returns:
        One of the values; NaN where no label takes part.

    Raises:
        ValueError: `values` has not one value for each label, or they do not increase.

    Example:
        >>> argmax_label(jnp.array([[0.0, 0.45, 0.55], [0.45, 0.0, 0.55]]))
        Array([3., 3.], dtype=float32)

    Source: Wang et al. (2025), "TrustJudge", arXiv 2509.21117 (its baseline).
    """
    value = jnp.asarray(level_values(values, label_probs.shape[-1]), label_probs.dtype)
    best = value[masked_where(where, label_probs, -jnp.inf).argmax(-1)]
    return best if where is None else masked_where(where.any(-1), best, jnp.nan)


def expected_label(
    label_probs: Float[Array, "*b m"],
    values: Sequence[float] | None = None,
    *,
    normalize: bool = True,
    where: Bool[Array, "*b m"] | None = None,
) -> Float[Array, "*b"]:
    r"""Mean value of what a judge would say, \(\sum_l v_l p_l\) over the labels that take part. Larger is better.

    A mean of labels, not of the levels behind them: that is :func:`expected_score`, which wants the prevalence of true
    levels. It tells judgements apart whose likeliest label is the same.

    Args:
        label_probs: What the judge gives each label, at least 0; often only the most probable tokens are known.
        values: Increasing values of the labels; `1, 2, ..., M` if None.
        normalize: Divide by the probability of all labels that take part. Without it what is missing counts as a
            score of 0, as in the reference implementation.
        where: Labels that take part.

    Returns:
        Within the range of the values if normalised; NaN where there is no probability to divide by.

    Raises:
        ValueError: `values` has not one value for each label, or they do not increase.

    Example:
        >>> expected_label(jnp.array([[0.0, 0.45, 0.55], [0.45, 0.0, 0.55]]))
        Array([2.55, 2.1 ], dtype=float32)

    Source: Liu et al. (2023), "G-Eval", arXiv 2303.16634; Wang et al. (2025), "TrustJudge", arXiv 2509.21117.
    """
    value = jnp.asarray(level_values(values, label_probs.shape[-1]), label_probs.dtype)
    part = masked_where(where, label_probs, 0.0)
    # The sum of products comes first where it is divided: 0 / 0 is then the NaN that is promised.
    total = part @ value
    if not normalize:
        return total
    mass = part.sum(-1)
    known = mass > 0
    return masked_where(known, total / jnp.where(known, mass, jnp.ones_like(mass)), jnp.nan)


def softmax_weighted_score(
    label_probs: Float[Array, "*b m"],
    values: Sequence[float] | None = None,
    *,
    temperature: _Number | Float[Array, ""] = 0.2,
    log_probs: bool = False,
    empty: str = "nan",
    where: Bool[Array, "*b m"] | None = None,
) -> Float[Array, "*b"]:
    r"""Mean label by weights \(\mathrm{softmax}(\ell / T)\) of the log-odds \(\ell = \log p - \log(1 - p)\).

    As \(T \to 0\) the likeliest label; at \(T = 1\) weights are in proportion to odds. Larger is better. Labels whose
    probability is 0 or 1 have no finite odds and are left out. In float32 a probability within 6e-8 of 1 is 1: give
    log-probabilities where there are some.

    Args:
        label_probs: What the judge gives each label, in [0, 1].
        values: Increasing values of the labels; `1, 2, ..., M` if None.
        temperature: \(T > 0\).
        log_probs: Whether `label_probs` holds natural logarithms, in [-inf, 0].
        empty: What a judgement without any label to weigh is worth: `"nan"`, or `"zero"` as in the reference
            implementation. (That one also adds 1e-8 to both sides of the odds; `(p + 1e-8) / (1 + 2e-8)` in place of
            `p` gives its numbers.)
        where: Labels that take part.

    Returns:
        Within the range of the values, but for `empty`.

    Raises:
        ValueError: `temperature` is not positive, `empty` is unknown, or `values` does not fit.

    Example:
        >>> softmax_weighted_score(jnp.array([0.0, 0.1, 0.5, 0.4]))
        Array(3.116347, dtype=float32)

    Source: Wang et al. (2025), "TrustJudge", arXiv 2509.21117 (distribution-sensitive scoring).
    """
    if isinstance(temperature, (float, int)) and not temperature > 0:
        raise ValueError(f"temperature must be above 0, not {temperature}")
    if empty not in ("nan", "zero"):
        raise ValueError(f"empty must be 'nan' or 'zero', not {empty!r}")
    value = jnp.asarray(level_values(values, label_probs.shape[-1]), label_probs.dtype)
    lowest, highest = (-jnp.inf, 0) if log_probs else (0, 1)
    part = (label_probs > lowest) & (label_probs < highest)
    part = part if where is None else part & where
    # Any number with odds will do where none are needed.
    inside = masked_where(part, label_probs, -1.0 if log_probs else 0.5)
    odds = inside - log1mexp(-inside) if log_probs else jnp.log(inside) - jnp.log1p(-inside)
    weight = jax.nn.softmax(masked_where(part, odds / temperature, most_negative(odds.dtype)), axis=-1)
    score = masked_where(part, weight, 0.0) @ value
    return masked_where(part.any(-1), score, jnp.nan if empty == "nan" else 0.0)


def rescale(
    score: Float[Array, "*b"], from_range: tuple[_Number, _Number], to_range: tuple[_Number, _Number]
) -> Float[Array, "*b"]:
    r"""Move scores from one range to another by a straight line, \(b_0 + (s - a_0)(b_1 - b_0)/(a_1 - a_0)\).

    Args:
        score: Scores; those outside `from_range` come to lie outside `to_range`.
        from_range: Lowest and highest score of the scale that they are on.
        to_range: Where these two go; in falling order it turns the scale around.

    Raises:
        ValueError: `from_range` has no width.

    Example:
        >>> rescale(jnp.array([1.0, 50.5, 100.0]), (1, 100), (1, 5))
        Array([1., 3., 5.], dtype=float32)

    Source: Wang et al. (2025), "TrustJudge", arXiv 2509.21117 (100-point scores beside 5-point scores).
    """
    (low, high), (to_low, to_high) = from_range, to_range
    if low == high:
        raise ValueError(f"from_range must hold two different numbers, not {from_range}")
    return to_low + (score - low) * ((to_high - to_low) / (high - low))
