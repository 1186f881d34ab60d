"""One probability from those of several judges, and what their votes are worth."""

import jax
import jax.numpy as jnp
from jax.scipy.special import betainc, xlogy
from jaxtyping import Array, Bool, Float, Int

from scorax.judges._simplex_optimum import mixture_of_likelihoods
from scorax.judges._soft_logistic import softplus_minimum

# Both shapes of a beta transform are sought within exp(-4) and exp(4); the search closes in round by round.
_WIDEST, _CLOSER, _ROUNDS, _POINTS = 4.0, 0.55, 16, 7


def linear_pool(p: Float[Array, "*b j m"], weight: Float[Array, "*#b j"] | None = None) -> Float[Array, "*b m"]:
    r"""Weighted mean of the judges' probabilities, \(p = \sum_j v_j p_j\).

    A mean of calibrated forecasts is underconfident: see `beta_pool`.

    Args:
        p: Probability of each level by each judge.
        weight: Of the judges, at least 0; only their proportions matter. 0 leaves a judge out. Equal if None.

    Returns:
        Probabilities; NaN where all weights are 0.

    Example:
        >>> linear_pool(jnp.array([[0.9, 0.1], [0.5, 0.5]]))
        Array([0.7, 0.3], dtype=float32)

    Source: Stone (1961), doi:10.1214/aoms/1177704873; Genest & Zidek (1986), doi:10.1214/ss/1177013825.
    """
    share = _shares(p[..., 0], weight)
    held = share[..., None] > 0
    return (share[..., None] * jnp.where(held, p, 0)).sum(-2) + jnp.where(jnp.isnan(share[..., :1]), jnp.nan, 0)


def log_pool(
    log_p: Float[Array, "*b j m"], weight: Float[Array, "*#b j"] | None = None, *, normalise: bool = True
) -> Float[Array, "*b m"]:
    r"""Log-probabilities of the logarithmic pool, \(p \propto \prod_j p_j^{v_j}\).

    With weights that sum to one it is the geometric mean, which does not depend on whether evidence arrives before or
    after pooling. With weights 1 each the judges' probabilities are independent evidence (under even prior odds).

    Args:
        log_p: Natural-log probability of each level by each judge; `-inf` of a judge with weight is a veto.
        weight: Of the judges, at least 0. Equal if None.
        normalise: Whether weights are first made to sum to one.

    Returns:
        Natural-log probabilities; NaN where judges veto every level, or where all weights are 0 and normalised.

    Example:
        >>> jnp.exp(log_pool(jnp.log(jnp.array([[0.9, 0.1], [0.5, 0.5]])))).round(4)  # odds 3 : 1
        Array([0.75, 0.25], dtype=float32)

    Source: Genest & Zidek (1986), doi:10.1214/ss/1177013825; Bacharach (1972), as cited there.
    """
    share = _shares(log_p[..., 0], weight) if normalise else _given(log_p[..., 0], weight)
    held = share[..., None] > 0
    finite = log_p > -jnp.inf
    total = jnp.where(held & finite, share[..., None] * jnp.where(held & finite, log_p, 0), 0).sum(-2)
    vetoed = (held & ~finite).any(-2)
    blank = vetoed.all(-1, keepdims=True) | jnp.isnan(share[..., :1])
    safe = jnp.where(vetoed & ~blank, -jnp.inf, total)
    return jnp.where(blank, jnp.nan, jax.nn.log_softmax(safe, axis=-1))


def extremised_pool(
    p: Float[Array, "*b j"],
    extremity: Float[Array, ""] | float = 1.0,
    *,
    weight: Float[Array, "*#b j"] | None = None,
) -> Float[Array, "*b"]:
    r"""Geometric mean of odds, moved away from even odds: \(\text{logit } p = a \sum_j v_j \text{ logit } p_j\).

    Judges who share part of what they know are each less sure than all of them together are entitled to be.

    Args:
        p: Probability of a yes by each judge, in [0, 1].
        extremity: \(a\): 1 is the geometric mean of odds, above 1 extremises; some 1.2 to 3 suit human forecasters.
        weight: Of the judges, at least 0; only their proportions matter. Equal if None.

    Returns:
        Probabilities of a yes; NaN where one judge is sure of it and another of the contrary.

    Example:
        >>> extremised_pool(jnp.array([0.8, 0.8]), 2.0).round(4)  # odds 4 : 1, squared
        Array(0.9412, dtype=float32)

    Source: Satopää, Baron, Foster, Mellers, Tetlock & Ungar (2014), doi:10.1016/j.ijforecast.2013.09.009.
    """
    share = _shares(p, weight)
    held = share > 0
    inside = held & (p > 0) & (p < 1)
    safe = jnp.where(inside, p, 0.5)
    odds = (jnp.where(inside, share, 0) * (jnp.log(safe) - jnp.log1p(-safe))).sum(-1)
    never, surely = (held & (p <= 0)).any(-1), (held & (p >= 1)).any(-1)
    sharper = jnp.where(never, 0, jnp.where(surely, 1, jax.nn.sigmoid(extremity * odds)))
    return jnp.where((never & surely) | ~held.any(-1), jnp.nan, sharper)


def beta_pool(
    p: Float[Array, "*b j"],
    a: Float[Array, ""] | float,
    b: Float[Array, ""] | float,
    *,
    weight: Float[Array, "*#b j"] | None = None,
) -> Float[Array, "*b"]:
    r"""Beta-transformed linear pool of probabilities of a yes: \(B_{a,b}(\sum_j v_j p_j)\).

    The distribution function of a beta variate makes up for the linear pool's lack of confidence (`a = b > 1`), and for
    a bias (`a` and `b` unequal).

    Args:
        p: Probability of a yes by each judge, in [0, 1].
        a: Above 0.
        b: Above 0. With `a = b = 1` it is the linear pool.
        weight: Of the judges, at least 0; only their proportions matter. Equal if None.

    Returns:
        Probabilities of a yes. Derivatives in `a` and `b` are not defined.

    Example:
        >>> beta_pool(jnp.array([0.8, 0.6]), 2.0, 2.0).round(4)  # 3 * 0.7^2 - 2 * 0.7^3
        Array(0.784, dtype=float32)

    Source: Ranjan & Gneiting (2010), doi:10.1111/j.1467-9868.2009.00726.x.
    """
    pooled = linear_pool(jnp.stack([p, 1 - p], axis=-1), weight)[..., 0]
    return betainc(jnp.asarray(a, p.dtype), jnp.asarray(b, p.dtype), jnp.clip(pooled, 0, 1))


def fit_linear_pool(
    p: Float[Array, "n j m"], outcome: Int[Array, " n"], *, weight: Float[Array, " n"] | None = None
) -> Float[Array, " j"]:
    """Weights of the judges that maximise the mean log score of their linear pool.

    The problem is convex: the weights are the best there are, and those of useless judges are exactly 0. Judges whose
    probabilities agree on every item share a weight in no unique way.

    Args:
        p: Probability of each level by each judge, for items whose true level is known.
        outcome: The true level, from 0.
        weight: Of the items, at least 0; equal if None.

    Returns:
        Weights that sum to one. First derivatives are those of the optimum.

    Example:
        >>> p = jnp.array([[[0.9, 0.1], [0.5, 0.5]], [[0.2, 0.8], [0.5, 0.5]], [[0.7, 0.3], [0.5, 0.5]]])
        >>> fit_linear_pool(p, jnp.array([0, 1, 1])).round(3)  # the first judge knows more than nothing
        Array([1., 0.], dtype=float32)

    Source: Hall & Mitchell (2007), doi:10.1016/j.ijforecast.2006.08.001; Conflitti, De Mol & Giannone (2015),
    doi:10.1016/j.ijforecast.2015.03.009.
    """
    likelihood = jnp.take_along_axis(p, outcome[:, None, None], axis=2)[..., 0]
    weight = jnp.ones(p.shape[0], p.dtype) if weight is None else weight.astype(p.dtype)
    return mixture_of_likelihoods(likelihood, weight)


def fit_log_odds_pool(
    p: Float[Array, "n j"],
    outcome: Float[Array, " n"],
    *,
    shared: bool = False,
    ridge: float = 0.0,
) -> Float[Array, " j"]:
    r"""Coefficients of the judges' log-odds that maximise the log score: \(\text{logit } p = \sum_j c_j \text{ logit }
    p_j\).

    A logistic regression without intercept. Their sum is the extremity of `extremised_pool`, their proportions its
    weights; negative ones are possible, as of a judge who repeats what others overstate.

    Args:
        p: Probability of a yes by each judge, inside (0, 1).
        outcome: Whether it was a yes, in [0, 1].
        shared: Whether all judges have the same coefficient: only the extremity is learned then.
        ridge: Penalty on half the sum of squared coefficients, per item; keeps them finite where yes and no are
            separated.

    Returns:
        A coefficient a judge; NaN where there is no finite maximum, or it is not unique.

    Example:
        >>> p = jnp.array([[0.6, 0.5], [0.7, 0.5], [0.4, 0.5], [0.6, 0.5], [0.6, 0.5]])
        >>> fit_log_odds_pool(p, jnp.array([1.0, 1.0, 0.0, 1.0, 0.0]), shared=True).round(2)
        Array([3.17, 3.17], dtype=float32)

    Source: Satopää et al. (2014), doi:10.1016/j.ijforecast.2013.09.009; Allard, Comunian & Renard (2012),
    doi:10.1007/s11004-012-9396-3.
    """
    n, j = p.shape
    odds = jnp.log(p) - jnp.log1p(-p)
    features = odds.mean(1, keepdims=True) if shared else odds
    weight = jnp.full(n, 1 / n, p.dtype)
    found, _ = softplus_minimum(features, weight, features.T @ (weight * outcome.astype(p.dtype)), ridge)
    return jnp.full(j, found[0] / j) if shared else found


def fit_beta_pool(
    p: Float[Array, "n j"], outcome: Float[Array, " n"], *, weight: Float[Array, " j"] | None = None
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Both shapes of `beta_pool` that maximise the log score, within `exp(-4)` and `exp(4)`, for given weights.

    A grid that closes in on the best of its points: the log score has a single maximum in practice, but no derivatives.

    Args:
        p: Probability of a yes by each judge, in [0, 1].
        outcome: Whether it was a yes, in [0, 1].
        weight: Of the judges, as in `beta_pool`; `fit_linear_pool` finds some.

    Returns:
        `a` and `b`, to about one part in a thousand.

    Example:
        >>> p = jnp.tile(jnp.array([[0.6], [0.4]]), (50, 1))  # a judge that should be surer: right 8 times in 10
        >>> yes = jnp.concatenate([jnp.array([1.0, 0.0] * 40), jnp.array([0.0, 1.0] * 10)])
        >>> beta_pool(jnp.array([0.6]), *fit_beta_pool(p, yes)).round(2)
        Array(0.8, dtype=float32)

    Source: Ranjan & Gneiting (2010), doi:10.1111/j.1467-9868.2009.00726.x.
    """
    pooled = jnp.clip(linear_pool(jnp.stack([p, 1 - p], axis=-1), weight)[..., 0], 0, 1)
    yes = outcome.astype(p.dtype)
    corners = jnp.linspace(-1, 1, _POINTS, dtype=p.dtype)
    offsets = jnp.stack(jnp.meshgrid(corners, corners, indexing="ij"), -1).reshape(-1, 2)

    def score(log_shape: Float[Array, " 2"]) -> Float[Array, ""]:
        a, b = jnp.exp(log_shape)
        # Each tail by itself: one minus the other would round to zero.
        chance, contrary = betainc(a, b, pooled), betainc(b, a, 1 - pooled)
        return (xlogy(yes, chance) + xlogy(1 - yes, contrary)).mean()

    def closer(step: Int[Array, ""], centre: Float[Array, " 2"]) -> Float[Array, " 2"]:
        points = jnp.clip(
            centre[None] + _WIDEST * jnp.asarray(_CLOSER, p.dtype) ** step.astype(p.dtype) * offsets, -_WIDEST, _WIDEST
        )
        values = jax.vmap(score)(points)
        return points[jnp.argmax(jnp.where(jnp.isnan(values), -jnp.inf, values))]

    a, b = jnp.exp(jax.lax.fori_loop(0, _ROUNDS, closer, jnp.zeros(2, p.dtype)))
    return a, b


def effective_judges(n_judges: int | Float[Array, "*b"], correlation: Float[Array, "*b"] | float) -> Float[Array, "*b"]:
    r"""How many independent judges a panel is worth whose errors are correlated: \(J / (1 + (J - 1) \rho)\).

    At most \(1 / \rho\), however many sit on it.

    Args:
        n_judges: Number of judges \(J\), at least 1.
        correlation: Mean correlation \(\rho\) of two judges' errors, above `-1 / (J - 1)`.

    Returns:
        NaN where the correlation is impossible.

    Example:
        >>> effective_judges(10, 0.3).round(2)
        Array(2.7, dtype=float32)

    Source: Kish (1965), "Survey Sampling", section 5.4 (design effect).
    """
    rho = jnp.asarray(correlation, jnp.result_type(correlation, 0.0))
    j = jnp.asarray(n_judges, rho.dtype)
    inflation = 1 + (j - 1) * rho
    possible = inflation > 0
    return jnp.where(possible, j / jnp.where(possible, inflation, 1), jnp.nan)


def weighted_majority(
    label: Int[Array, "*b j"],
    accuracy: Float[Array, " j"],
    n_levels: int,
    *,
    where: Bool[Array, "*b j"] | None = None,
    prevalence: Float[Array, " m"] | None = None,
) -> Float[Array, "*b m"]:
    r"""Log-probability of each level, given votes of judges of known accuracy who err evenly and independently.

    A judge's vote counts \(\log \frac{a_j (M - 1)}{1 - a_j}\): 0 at chance, less than nothing below it. The level of
    the most votes is Bayes's choice.

    Args:
        label: Votes, from 0 to below `n_levels`.
        accuracy: How often each judge is right, inside (0, 1).
        n_levels: Number of levels \(M\), at least 2.
        where: Which votes were cast; all if None.
        prevalence: Of the levels; even if None.

    Returns:
        Natural-log probabilities.

    Example:
        >>> votes = jnp.array([0, 1, 1])  # one good judge against two poor ones
        >>> jnp.exp(weighted_majority(votes, jnp.array([0.9, 0.6, 0.6]), 2)).round(3)  # odds 9 : 2.25
        Array([0.8, 0.2], dtype=float32)

    Source: Nitzan & Paroush (1982), doi:10.2307/2526438; Shapley & Grofman (1984), doi:10.1007/BF00118940.
    """
    worth = jnp.log(accuracy) - jnp.log1p(-accuracy) + jnp.log(jnp.asarray(n_levels - 1, accuracy.dtype))
    votes = jax.nn.one_hot(label, n_levels, dtype=accuracy.dtype)
    if where is not None:
        votes = jnp.where(where[..., None], votes, 0)
    total = jnp.einsum("...jm,j->...m", votes, worth)
    if prevalence is not None:
        total = total + jnp.broadcast_to(jnp.log(prevalence.astype(total.dtype)), total.shape)
    return jax.nn.log_softmax(total, axis=-1)


def _given(p: Float[Array, "*b j"], weight: Float[Array, "*#b j"] | None) -> Float[Array, "*b j"]:
    ones = jnp.ones_like(p)
    return ones if weight is None else jnp.broadcast_to(weight.astype(p.dtype), p.shape)


def _shares(p: Float[Array, "*b j"], weight: Float[Array, "*#b j"] | None) -> Float[Array, "*b j"]:
    given = _given(p, weight)
    total = given.sum(-1, keepdims=True)
    return jnp.where(total > 0, given / jnp.where(total > 0, total, 1), jnp.nan)
