"""How many labels and judges a study needs, and when it may stop."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr
from jaxtyping import Array, Bool, Float, Int

from scorax.judges._normal_interval import normal_quantile

# Of the trapezoidal rule over a standard normal variate: dense enough for rivals whose standard errors are fifty times
# smaller, and beyond what double precision sees of the tails.
_NODES, _REACH = 1001, 8.5
# Patterns of labels that are written out: two levels and 16 judges.
_MOST_PATTERNS = 2**16


def ppi_std_error(
    n: Float[Array, "*b"] | float | int,
    n_unlabeled: Float[Array, "*b"] | float | int,
    std: float,
    correlation: float,
    *,
    power: float | None = None,
    prediction_std: float | None = None,
) -> Float[Array, "*b"]:
    r"""What standard error `ppi_mean` will have, for planning.

    With the best power it is \(\frac{\sigma}{\sqrt n} \sqrt{1 - \rho^2 \frac{N}{N + n}}\): the judge replaces at most
    the share \(\rho^2\) of the labels.

    Args:
        n: Items with a gold label.
        n_unlabeled: Items that only the judge has seen, \(N\).
        std: Standard deviation \(\sigma\) of the true labels, as of a pilot; `sqrt(p (1 - p))` of a share.
        correlation: \(\rho\), of the true labels with the judge's.
        power: As will be used; the best if None.
        prediction_std: Standard deviation of the judge's labels; needed only with `power`, and `std` if None.

    Example:
        >>> ppi_std_error(100, 1900, std=0.5, correlation=0.8).round(4), ppi_std_error(100, 0, 0.5, 0.8)
        (Array(0.0313, dtype=float32), Array(0.05, dtype=float32))

    Source: Angelopoulos, Duchi & Zrnic (2023), arXiv:2311.01453; Broska, Howes & van Loon (2025),
    doi:10.1177/00491241251326865.
    """
    _check_spread(std, correlation)
    labelled, others = (jnp.asarray(x, float) for x in (n, n_unlabeled))
    if power is None:
        return std * jnp.sqrt((1 - correlation**2 * others / (others + labelled)) / labelled)
    spread = std if prediction_std is None else prediction_std
    judged = power**2 * spread**2
    rectifier = std**2 - 2 * power * correlation * std * spread + judged
    some = others > 0
    return jnp.sqrt(
        jnp.where(some, judged / jnp.where(some, others, 1), jnp.inf if power else 0) + rectifier / labelled
    )


def labels_needed(width: float, n_items: int, std: float, correlation: float = 0.0, *, level: float = 0.95) -> int:
    r"""How many of the items need a gold label for an interval of this width, the judge having labelled all of them.

    Args:
        width: Of the whole interval, from end to end.
        n_items: All items there are, with and without a gold label.
        std: Standard deviation of the true labels; `sqrt(p (1 - p))` of a share, 0.5 at most.
        correlation: Of the true labels with the judge's; 0 is a study without a judge.
        level: Of the interval.

    Returns:
        A number from 2 to `n_items`.

    Raises:
        ValueError: All items with gold labels would not be enough: there are too few. The error says how many would do.

    Example:
        >>> labels_needed(0.1, 2000, std=0.5), labels_needed(0.1, 2000, std=0.5, correlation=0.8)
        (385, 158)

    Source: Angelopoulos, Duchi & Zrnic (2023), arXiv:2311.01453.
    """
    _check_spread(std, correlation)
    if not width > 0:
        raise ValueError(f"the width of an interval is positive, not {width}")
    aim = (width / 2 / float(normal_quantile(level, jnp.result_type(float)))) ** 2
    # std^2 [(1 - rho^2) / n + rho^2 / n_items]
    left = aim - (std * correlation) ** 2 / n_items
    needed = std**2 * (1 - correlation**2) / left if left > 0 else math.inf
    if needed > n_items:
        raise ValueError(
            f"{n_items} items are too few for an interval of width {width:g}, even if all had gold labels: it takes "
            f"{math.ceil(std**2 / aim)} of them. Collect more items, or accept a wider interval."
        )
    # Rounding in the quantile must not ask for one more label than a round number of them.
    return max(2, math.ceil(needed - 1e-4))


def spearman_brown(
    reliability: Float[Array, "*b"] | float, n_judges: Float[Array, "*b"] | float | int
) -> Float[Array, "*b"]:
    r"""Reliability of the mean of several judges, \(\frac{J r}{1 + (J - 1) r}\).

    Args:
        reliability: Of one judge: the correlation \(r\) of two judges' labels, or an intraclass correlation.
        n_judges: Number of judges \(J\); fractions say what a part of a panel would do.

    Example:
        >>> spearman_brown(0.4, 3).round(4)
        Array(0.6667, dtype=float32)

    Source: Spearman (1910), doi:10.1111/j.2044-8295.1910.tb00206.x; Brown (1910),
    doi:10.1111/j.2044-8295.1910.tb00207.x.
    """
    r = jnp.asarray(reliability, jnp.result_type(reliability, 0.0))
    j = jnp.asarray(n_judges, r.dtype)
    return j * r / (1 + (j - 1) * r)


def judges_needed(reliability: float, target: float) -> int:
    """How many judges an item needs for their mean to be reliable enough.

    Args:
        reliability: Of one judge, inside (0, 1): the correlation of two judges' labels.
        target: Wanted of the mean, inside (0, 1).

    Raises:
        ValueError: One of the two is outside (0, 1).

    Example:
        >>> judges_needed(0.4, 0.8)
        6

    Source: Spearman (1910), doi:10.1111/j.2044-8295.1910.tb00206.x.
    """
    for name, value in (("reliability", reliability), ("target", target)):
        if not 0 < value < 1:
            raise ValueError(f"{name} must lie inside (0, 1), not be {value}")
    return max(1, math.ceil(target * (1 - reliability) / (reliability * (1 - target)) - 1e-9))


def panel_information(prevalence: Float[Array, " m"], confusion: Float[Array, "j m m"]) -> Float[Array, ""]:
    """What the labels of a panel say about the true level of an item, in nats: their mutual information.

    The difference of two panels is what the judges in which they differ are worth; each further one is worth less. At
    most the entropy of `prevalence`.

    Args:
        prevalence: Of the true levels.
        confusion: How each judge errs: row = true level. Judges err independently given the truth.

    Raises:
        ValueError: There are more than 65 536 patterns of labels.

    Example:
        >>> judge = jnp.array([[0.9, 0.1], [0.1, 0.9]])
        >>> even = jnp.array([0.5, 0.5])
        >>> [round(float(panel_information(even, jnp.stack([judge] * j)) / jnp.log(2)), 3) for j in (1, 2, 3)]
        [0.531, 0.742, 0.862]

    Source: Cover & Thomas (2006), "Elements of Information Theory", section 2.3.
    """
    j, m, _ = confusion.shape
    if m**j > _MOST_PATTERNS:
        raise ValueError(
            f"{j} judges have {m**j} patterns of {m} labels, more than {_MOST_PATTERNS}: take fewer judges"
        )
    joint = prevalence[None, :]
    for judge in range(j):
        joint = (joint[:, None, :] * confusion[judge].T[None]).reshape(-1, m)
    pattern = joint.sum(1)
    return _negentropy(joint) - _negentropy(pattern) - _negentropy(prevalence)


class Stopping(eqx.Module):
    """Whether enough is known about which candidate is the best.

    Attributes:
        stop: The probability of being the best has reached the threshold for some candidate.
        best: The candidate that is the best most probably.
        p_best: Of each candidate; they sum to one.
        regret: Expected shortfall of each candidate against the best, were it chosen now.
    """

    stop: Bool[Array, ""]
    best: Int[Array, ""]
    p_best: Float[Array, " k"]
    regret: Float[Array, " k"]


def probability_best(value: Float[Array, " k"], std_error: Float[Array, " k"]) -> Float[Array, " k"]:
    r"""Probability of each candidate to be the best, from independent normal estimates (or posteriors).

    $$P_k = \int \phi(z) \prod_{l \ne k} \Phi\Big(\frac{\mu_k + \sigma_k z - \mu_l}{\sigma_l}\Big) dz$$

    Args:
        value: Estimates; larger is better.
        std_error: Their standard errors, above 0 (a known value has a tiny one).

    Returns:
        Probabilities that sum to one. For estimates that share items count the best of joint draws instead, as
        `scorax.stats.rank_summary` does.

    Example:
        >>> probability_best(jnp.array([0.7, 0.6]), jnp.array([0.03, 0.04])).round(4)  # Phi(0.1 / 0.05)
        Array([0.9772, 0.0228], dtype=float32)

    Source: Gibbons, Olkin & Sobel (1977), "Selecting and Ordering Populations"; Russo (2020),
    doi:10.1287/opre.2019.1911.
    """
    k = value.shape[0]
    z = jnp.linspace(-_REACH, _REACH, _NODES, dtype=value.dtype)
    mass = jax.nn.softmax(-(z**2) / 2)
    at = value[:, None] + std_error[:, None] * z[None, :]
    below = log_ndtr((at[:, :, None] - value[None, None, :]) / std_error[None, None, :])
    others = jnp.where(jnp.eye(k, dtype=bool)[:, None, :], 0, below).sum(-1)
    share = jnp.exp(others) @ mass
    return share / share.sum()


def stop_when_best(draws: Float[Array, "r k"], *, threshold: float = 0.95) -> Stopping:
    """Whether to stop collecting labels: one candidate is the best with enough probability.

    A Bayesian rule: with posterior draws it may be asked after every label, as often as one likes. With bootstrap draws
    and many looks the chance of stopping at the wrong candidate is above `1 - threshold`.

    Args:
        draws: Joint draws of the candidates' scores (larger is better): of a posterior, or of a bootstrap that redraws
            items for all candidates alike. Ties are shared.
        threshold: Wanted probability, inside (0, 1).

    Raises:
        ValueError: `threshold` is outside (0, 1).

    Example:
        >>> draws = jnp.array([[0.75, 0.5]] * 96 + [[0.4, 0.6]] * 4)
        >>> found = stop_when_best(draws)
        >>> bool(found.stop), int(found.best), found.p_best.max().round(2), found.regret.min().round(3)
        (True, 0, Array(0.96, dtype=float32), Array(0.008, dtype=float32))

    Source: Russo (2020), doi:10.1287/opre.2019.1911; the regret: Chick & Inoue (2001), doi:10.1287/opre.49.5.732.10615.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold must lie inside (0, 1), not be {threshold}")
    top = draws.max(1, keepdims=True)
    winners = (draws == top).astype(draws.dtype)
    p_best = (winners / winners.sum(1, keepdims=True)).mean(0)
    best = jnp.argmax(p_best)
    return Stopping(p_best[best] >= threshold, best, p_best, (top - draws).mean(0))


def _negentropy(p: Float[Array, "..."]) -> Float[Array, ""]:
    """Sum of `p log p`; 0, with derivative 0, where `p` is 0."""
    possible = p > 0
    return jnp.where(possible, p * jnp.log(jnp.where(possible, p, 1)), 0).sum()


def _check_spread(std: float, correlation: float) -> None:
    if not std > 0:
        raise ValueError(f"std must be positive, not {std}: without spread one label is enough")
    if not -1 <= correlation <= 1:
        raise ValueError(f"correlation must lie between -1 and 1, not be {correlation}")
