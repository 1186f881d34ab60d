"""Whether chains can be believed: R-hat, effective sample size, Monte Carlo error and energy diagnostics."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Draws = Float[Array, "c r"]
Halves = Float[Array, "m n"]
"""Chains split in two: twice as many, half as long."""
Number = Float[Array, ""]


def rhat(draws: Float[Array, "c r *s"]) -> Float[Array, "*s"]:
    """Potential scale reduction: near 1 where chains agree; above 1.01 they do not.

    Chains are split in halves; the larger of the rank-normalised value and that of the folded draws is returned.

    Args:
        draws: By chain and draw; trailing axes are separate quantities.

    Returns:
        At least about 1. Infinite where every chain stands still at a value of its own; NaN for a single chain, fewer
        than four draws a half, draws that are all equal, or draws that are not finite.

    Example:
        >>> draws = jax.random.normal(jax.random.key(0), (4, 200))
        >>> bool(rhat(draws) < 1.01), bool(rhat(draws + jnp.arange(4.0)[:, None]) > 1.5)
        (True, True)

    Source: Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), arXiv:1903.08008.
    """
    return _over_quantities(_rhat, draws)


def effective_sample_size(
    draws: Float[Array, "c r *s"], *, kind: str = "bulk", probability: float | None = None
) -> Float[Array, "*s"]:
    """How many independent draws would say as much.

    Args:
        draws: By chain and draw; trailing axes are separate quantities.
        kind: `"bulk"` (rank-normalised, for the centre), `"tail"` (the worse of the 5 % and the 95 % quantile),
            `"mean"`, `"sd"`, `"median"` or `"quantile"` (for the error of that very estimate).
        probability: Of the quantile, in (0, 1); for `kind="quantile"` alone.

    Returns:
        Positive; above the number of draws where they are antithetic. NaN where draws are all equal, not finite, or
        fewer than four a half chain.

    Raises:
        ValueError: `kind` is unknown, or `probability` is missing, out of range or without use.

    Example:
        >>> draws = jax.random.normal(jax.random.key(0), (4, 200))
        >>> bool(effective_sample_size(draws) > 500)
        True

    Source: Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), arXiv:1903.08008; Geyer (1992),
        doi:10.1214/ss/1177011137.
    """
    if kind == "quantile":
        p = _probability(probability)
        return _over_quantities(lambda x: _ess_quantile(x, p), draws)
    if kind not in _KINDS:
        raise ValueError(f"kind must be one of {sorted([*_KINDS, 'quantile'])}, not {kind!r}")
    if probability is not None:
        raise ValueError(f"probability is for kind='quantile', not for kind={kind!r}")
    return _over_quantities(_KINDS[kind], draws)


def mcse_mean(draws: Float[Array, "c r *s"]) -> Float[Array, "*s"]:
    """Monte Carlo standard error of the mean over all draws: their standard deviation over the root of their ESS.

    Example:
        >>> draws = jax.random.normal(jax.random.key(0), (4, 200))
        >>> bool(abs(mcse_mean(draws) - 800**-0.5) < 0.01)
        True

    Source: Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), arXiv:1903.08008.
    """
    return _over_quantities(lambda x: jnp.std(x, ddof=1) / jnp.sqrt(_ess_mean(x)), draws)


def mcse_sd(draws: Float[Array, "c r *s"]) -> Float[Array, "*s"]:
    """Monte Carlo standard error of the standard deviation over all draws, by the delta method.

    NaN where `effective_sample_size(draws, kind="sd")` is.

    Example:
        >>> draws = jax.random.normal(jax.random.key(0), (4, 200))
        >>> bool(abs(mcse_sd(draws) - 1600**-0.5) < 0.01)
        True

    Source: Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), arXiv:1903.08008.
    """
    return _over_quantities(_mcse_sd, draws)


def mcse_quantile(draws: Float[Array, "c r *s"], probability: float) -> Float[Array, "*s"]:
    """Monte Carlo standard error of a quantile: half the distance of the order statistics one error to either side.

    Args:
        draws: By chain and draw; trailing axes are separate quantities.
        probability: Of the quantile, in (0, 1).

    Returns:
        At least 0 (exactly 0 where the order statistics tie). NaN where the effective sample size of the quantile is.

    Raises:
        ValueError: `probability` is not in (0, 1).

    Example:
        >>> draws = jax.random.normal(jax.random.key(0), (4, 200))
        >>> bool(abs(mcse_quantile(draws, 0.5) - (jnp.pi / 1600) ** 0.5) < 0.02)
        True

    Source: Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), arXiv:1903.08008.
    """
    p = _probability(probability)
    return _over_quantities(lambda x: _mcse_quantile(x, p), draws)


def highest_density_interval(
    draws: Float[Array, "c r *s"], *, level: float = 0.95
) -> tuple[Float[Array, "*s"], Float[Array, "*s"]]:
    """The shortest interval that holds a share `level` of all draws: for densities of one peak.

    Args:
        draws: By chain and draw; trailing axes are separate quantities.
        level: In (0, 1).

    Returns:
        Lower and upper ends, both among the draws; NaN where a draw is not finite. Unlike quantiles they change with
        the scale: the interval of a logarithm is not the logarithm of the interval.

    Raises:
        ValueError: `level` is not in (0, 1).

    Example:
        >>> lower, upper = highest_density_interval(jax.random.exponential(jax.random.key(0), (4, 500)))
        >>> bool(lower < 0.01), bool(abs(upper - 3) < 0.3)
        (True, True)

    Source: Chen & Shao (1999), doi:10.1080/10618600.1999.10474802.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    return _over_quantities(lambda x: _shortest_interval(x, level), draws)


def energy_bfmi(energy: Float[Array, "c r"]) -> Float[Array, " c"]:
    """Energy Bayesian fraction of missing information of each chain; below 0.3, energies are explored too slowly.

    Args:
        energy: Total energy of every draw, `posterior.stats["energy"]`.

    Example:
        >>> energy_bfmi(jnp.array([[0.0, 1.0, 0.0, 1.0]]))
        Array([3.], dtype=float32)

    Source: Betancourt (2016), arXiv:1604.00695.
    """
    deviation = energy - energy.mean(1, keepdims=True)
    return jnp.sum(jnp.diff(energy, axis=1) ** 2, 1) / jnp.sum(deviation**2, 1)


def _over_quantities(statistic: Callable[[Draws], Any], draws: Float[Array, "c r *s"]) -> Any:
    flat = draws.reshape(*draws.shape[:2], -1)
    return jax.tree.map(lambda x: x.reshape(draws.shape[2:]), jax.vmap(statistic, in_axes=2)(flat))


def _probability(value: float | None) -> float:
    if value is None or not 0 < value < 1:
        raise ValueError(f"the probability of a quantile must be between 0 and 1, not {value}")
    return value


def _split(x: Draws) -> Halves:
    """Each chain in two halves; the middle draw of an odd number is left out."""
    half = x.shape[1] // 2
    return jnp.concatenate([x[:, :half], x[:, x.shape[1] - half :]])


def _rank_normalise(x: Halves) -> Halves:
    """Normal scores of the pooled ranks; equal draws share their average rank."""
    flat = x.reshape(-1)
    ordered = jnp.sort(flat)
    below = jnp.searchsorted(ordered, flat, side="left")
    upto = jnp.searchsorted(ordered, flat, side="right")
    rank = (below + upto + 1).astype(x.dtype) / 2
    return jax.scipy.special.ndtri((rank - 3 / 8) / (x.size + 1 / 4)).reshape(x.shape)


def _fold(x: Halves) -> Halves:
    return jnp.abs(x - jnp.median(x))


def _scale_reduction(x: Halves) -> Number:
    """R-hat of chains as they stand."""
    n = x.shape[1]
    within = jnp.var(x, axis=1, ddof=1).mean()
    between = jnp.var(x.mean(1), ddof=1)
    still = (jnp.max(x, 1) == jnp.min(x, 1)).all()
    return jnp.where(still, jnp.inf, jnp.sqrt((n - 1) / n + between / jnp.where(still, 1, within)))


def _usable(x: Draws) -> Bool[Array, ""]:
    return jnp.isfinite(x).all() & (jnp.max(x) != jnp.min(x))


def _rhat(x: Draws) -> Number:
    if x.shape[0] < 2 or x.shape[1] < 8:
        return jnp.full((), jnp.nan, x.dtype)
    halves = _split(x)
    bulk, tail = _scale_reduction(_rank_normalise(halves)), _scale_reduction(_rank_normalise(_fold(halves)))
    # Chains that stand still on both sides of the median at one distance fold onto one value: that says nothing.
    folded_apart = jnp.max(_fold(halves)) != jnp.min(_fold(halves))
    return jnp.where(_usable(x), jnp.maximum(bulk, jnp.where(folded_apart, tail, 0)), jnp.nan)


def _autocovariance(x: Halves) -> Halves:
    """Biased (divided by n) autocovariances of every chain, at lags 0 to n - 1."""
    n = x.shape[1]
    spectrum = jnp.fft.rfft(x - x.mean(1, keepdims=True), 2 * n, axis=1)
    power = jnp.real(spectrum * jnp.conj(spectrum))
    return jnp.fft.irfft(power, 2 * n, axis=1)[:, :n] / n


def _ess_of_chains(x: Halves) -> Number:
    """Geyer's initial monotone sequence over chains as they stand; all of them where all draws are equal."""
    m, n = x.shape
    covariance = _autocovariance(x)
    within = covariance[:, 0].mean() * n / (n - 1)
    total = within * (n - 1) / n + jnp.var(x.mean(1), ddof=1)
    constant = jnp.max(x) == jnp.min(x)
    rho = 1 - (within - covariance.mean(0)) / jnp.where(constant, 1, total)
    rho = rho.at[0].set(1)
    last = -(-(n - 2) // 2) - 1
    pairs = rho[: 2 * last + 2].reshape(-1, 2).sum(1)
    negative = pairs <= 0
    stop = jnp.where(negative.any(), jnp.argmax(negative), last)
    kept = jnp.where(jnp.arange(last + 1) < stop, jax.lax.cummin(pairs), 0).sum()
    tau = -1 + 2 * kept + jnp.maximum(rho[2 * stop], 0)
    return jnp.where(constant, m * n, m * n / jnp.maximum(tau, 1 / jnp.log10(m * n)))


def _ess(x: Draws, values: Halves) -> Number:
    """ESS of `values`, computed from the draws `x`, which say whether there is an answer at all."""
    if x.shape[1] < 8:
        return jnp.full((), jnp.nan, x.dtype)
    return jnp.where(_usable(x), _ess_of_chains(values), jnp.nan).astype(x.dtype)


def _ess_mean(x: Draws) -> Number:
    return _ess(x, _split(x))


def _ess_bulk(x: Draws) -> Number:
    return _ess(x, _rank_normalise(_split(x)))


def _ess_quantile(x: Draws, probability: float) -> Number:
    return _ess(x, _split((x <= jnp.quantile(x, probability)).astype(x.dtype)))


def _ess_tail(x: Draws) -> Number:
    return jnp.minimum(_ess_quantile(x, 0.05), _ess_quantile(x, 0.95))


def _ess_sd(x: Draws) -> Number:
    return _ess(x, _split((x - x.mean()) ** 2))


def _mcse_sd(x: Draws) -> Number:
    square = (x - x.mean()) ** 2
    variance = square.mean()
    return jnp.sqrt(jnp.var(square) / _ess_sd(x) / variance / 4)


def _mcse_quantile(x: Draws, probability: float) -> Number:
    ess = _ess_quantile(x, probability)
    usable = jnp.isfinite(ess)
    a, b = (jnp.where(usable, ess, 1) * p + 1 for p in (probability, 1 - probability))
    ordered = jnp.sort(x.reshape(-1))
    # One standard error to either side of the quantile, as places among the ordered draws.
    lower, upper = (_beta_quantile(jax.scipy.stats.norm.cdf(z).astype(x.dtype), a, b) * x.size - 1 for z in (-1.0, 1.0))
    first = jnp.floor(jnp.maximum(lower, 0)).astype(int)
    last = jnp.ceil(jnp.minimum(upper, x.size - 1)).astype(int)
    return jnp.where(usable, (ordered[last] - ordered[first]) / 2, jnp.nan)


def _beta_quantile(probability: Number, a: Number, b: Number) -> Number:
    """Inverse of the regularised incomplete beta function, by bisection to the last bit."""

    def halve(_: Any, bounds: tuple[Number, Number]) -> tuple[Number, Number]:
        middle = (bounds[0] + bounds[1]) / 2
        below = jax.scipy.special.betainc(a, b, middle) < probability
        return jnp.where(below, middle, bounds[0]), jnp.where(below, bounds[1], middle)

    return jax.lax.fori_loop(0, jnp.finfo(a.dtype).nmant + 2, halve, (jnp.zeros_like(a), jnp.ones_like(a)))[0]


def _shortest_interval(x: Draws, level: float) -> tuple[Number, Number]:
    ordered = jnp.sort(x.reshape(-1))
    inside = min(int(level * x.size), x.size - 1)
    first = jnp.argmin(ordered[inside:] - ordered[: x.size - inside])
    finite = jnp.isfinite(x).all()
    return jnp.where(finite, ordered[first], jnp.nan), jnp.where(finite, ordered[first + inside], jnp.nan)


_KINDS: dict[str, Callable[[Draws], Number]] = {
    "bulk": _ess_bulk,
    "tail": _ess_tail,
    "mean": _ess_mean,
    "sd": _ess_sd,
    "median": lambda x: _ess_quantile(x, 0.5),
}
