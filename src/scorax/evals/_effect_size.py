"""Effect sizes from summaries, with variances and intervals: one door to the measures of a replication table."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from scorax.evals._association import cramer_v, phi
from scorax.evals._normal import checked_level, float_arrays, safe_root, two_sided_quantile
from scorax.numerics import t_quantile


class EffectSize(eqx.Module):
    """An effect and what it does not know.

    Attributes:
        value: NaN where it is undefined: no variation to divide by, an empty cell.
        variance: Of the estimate; NaN where `degenerate`.
        lower: Of the interval; NaN where `degenerate`.
        upper: Of the interval.
        degenerate: The data cannot say how sure the effect is.
    """

    value: Float[Array, "*b"]
    variance: Float[Array, "*b"]
    lower: Float[Array, "*b"]
    upper: Float[Array, "*b"]
    degenerate: Bool[Array, "*b"]

    @property
    def std_error(self) -> Float[Array, "*b"]:
        """The root of the variance."""
        return safe_root(self.variance)


class _Estimate(NamedTuple):
    value: Array
    variance: Array
    degrees: Array | None = None
    """Of Student's t; the normal distribution without."""
    bounds: tuple[float, float] = (-float("inf"), float("inf"))
    on_fisher_scale: Array | None = None
    """Variance of Fisher's transform, on whose scale the interval is then."""


def effect_size(kind: str, *, level: float = 0.95, **inputs: Any) -> EffectSize:
    r"""An effect size with its variance and interval, from the numbers that papers report.

    - `"d"`, of `mean_1, std_1, n_1, mean_2, std_2, n_2`: Cohen's d, the difference over the pooled deviation;
      variance \(\frac{n_1 + n_2}{n_1 n_2} + \frac{d^2}{2 (n_1 + n_2)}\).
    - `"g"`, of the same: Hedges' g, \(d \, (1 - \frac{3}{4 \nu - 1})\) with \(\nu = n_1 + n_2 - 2\).
    - `"d_z"`, of `mean_difference, std_difference, n`: of pairs; variance \(\frac1n + \frac{d^2}{2 n}\).
    - `"d_from_t"`, of `t, degrees`: \(2 t / \sqrt{\nu}\), of two independent groups of one size.
    - `"r"`, of `r, n`: a correlation; variance \((1 - r^2)^2 / (n - 1)\), the interval by Fisher's z.
    - `"fisher_z"`, of `r, n`: \(\operatorname{artanh} r\); variance \(1 / (n - 3)\).
    - `"q"`, of `r_1, n_1, r_2, n_2`: Cohen's q, the difference of two Fisher's z.
    - `"log_odds_ratio"`, of `successes_1, n_1, successes_2, n_2` and, if wanted, `correction`: natural log; variance
      \(\sum 1 / n_{ij}\) over the four cells.
    - `"risk_difference"`, of `successes_1, n_1, successes_2, n_2`: \(p_1 - p_2\); variance \(\sum p (1 - p) / n\).
    - `"h"`, of the same: Cohen's h, \(2 \arcsin \sqrt{p_1} - 2 \arcsin \sqrt{p_2}\); variance
      \(\frac{1}{n_1} + \frac{1}{n_2}\).
    - `"phi"`, of `table` (two rows, two columns): the correlation of two binary answers; variance by the delta method.
    - `"cramer_v"`, of `table`: \(\sqrt{\chi^2 / (n \min(r - 1, c - 1))}\); variance by the delta method.
    - `"eta_squared"`, of `f, degrees_between, degrees_within`: the (partial) share of variance explained; variance as
      Olkin and Finn's of \(R^2\).

    Intervals are the estimate plus and minus a multiple of its standard error, by Student's t for the four kinds of d
    and g, else normal, and cut to the range of shares and correlations. Inputs may be arrays that broadcast.

    Args:
        kind: Which.
        level: Of the interval, in (0, 1).
        inputs: As the table says. `correction` is added to all four cells of tables that have an empty one; 0.5 is
            usual, none is added by default.

    Returns:
        `EffectSize`, `degenerate` where there is no variation (a deviation of 0, an empty cell, shares of 0 or 1 on
        both sides, a correlation of 1, no more than 3 pairs for Fisher's z). Estimates of V and eta squared are biased
        upwards, and their normal intervals poor, close to 0. Gradients do not go through degrees of freedom.

    Raises:
        ValueError: there is no such kind, an input is missing or not one of its own, or `level` is not inside (0, 1).

    Example:
        >>> found = effect_size("d", mean_1=5.2, std_1=1.1, n_1=40, mean_2=4.7, std_2=0.9, n_2=45)
        >>> found.value.round(4), found.lower.round(4), found.upper.round(4)
        (Array(0.5005, dtype=float32), Array(0.0617, dtype=float32), Array(0.9393, dtype=float32))
        >>> effect_size("log_odds_ratio", successes_1=12, n_1=20, successes_2=0, n_2=20).degenerate
        Array(True, dtype=bool)

    Source: Cohen (1988), "Statistical Power Analysis for the Behavioral Sciences"; Hedges (1981),
    doi:10.3102/10769986006002107; Fisher (1921), Metron 1; Haldane (1956), doi:10.1111/j.1469-1809.1955.tb01285.x (the
    correction); Cramér (1946), "Mathematical Methods of Statistics"; Olkin & Finn (1995),
    doi:10.1037/0033-2909.118.1.155.
    """
    if kind not in _KINDS:
        raise ValueError(f"kind must be one of {', '.join(map(repr, _KINDS))}, not {kind!r}")
    checked_level(level)
    names, measure = _KINDS[kind]
    optional = ("correction",) if kind == "log_odds_ratio" else ()
    missing = [name for name in names if name not in inputs]
    foreign = [name for name in inputs if name not in names + optional]
    if missing or foreign:
        wrong = f"lacks {', '.join(missing)}" if missing else f"does not take {', '.join(foreign)}"
        raise ValueError(f"effect size {kind!r} {wrong}: its inputs are {', '.join(names + optional)}")
    arrays = jnp.broadcast_arrays(*float_arrays(*(inputs[name] for name in names + optional if name in inputs)))
    return _with_interval(measure(*arrays), level)


def _with_interval(found: _Estimate, level: float) -> EffectSize:
    value = found.value
    degenerate = ~((found.variance > 0) & jnp.isfinite(found.variance) & jnp.isfinite(value))
    variance = jnp.where(degenerate, jnp.nan, found.variance)
    spread = variance if found.on_fisher_scale is None else found.on_fisher_scale
    root = jnp.sqrt(jnp.where(degenerate, 1, spread))
    if found.degrees is None:
        quantile = jnp.asarray(two_sided_quantile(level), value.dtype)
    else:
        degrees = jax.lax.stop_gradient(jnp.where(degenerate, 1, found.degrees))
        quantile = t_quantile(jnp.asarray((1 + level) / 2, value.dtype), degrees)
    reach = jnp.where(degenerate, jnp.nan, quantile * root)
    if found.on_fisher_scale is None:
        ends = [jnp.clip(value + side * reach, *found.bounds) for side in (-1, 1)]
    else:
        z = jnp.arctanh(jnp.where(degenerate, 0, value))
        ends = [jnp.tanh(z + side * reach) for side in (-1, 1)]
    return EffectSize(value, variance, ends[0], ends[1], degenerate)


def _ratio(top: Array, below: Array) -> Array:
    """NaN where `below` is not positive."""
    positive = below > 0
    return jnp.where(positive, top / jnp.where(positive, below, 1), jnp.nan)


def _cohen_d(mean_1: Array, std_1: Array, n_1: Array, mean_2: Array, std_2: Array, n_2: Array) -> _Estimate:
    degrees = n_1 + n_2 - 2
    pooled = safe_root(_ratio((n_1 - 1) * std_1**2 + (n_2 - 1) * std_2**2, degrees))
    d = _ratio(mean_1 - mean_2, pooled)
    return _Estimate(d, _ratio(n_1 + n_2, n_1 * n_2) + d**2 / (2 * (n_1 + n_2)), degrees)


def _hedges_g(*inputs: Array) -> _Estimate:
    d = _cohen_d(*inputs)
    assert d.degrees is not None
    known = jnp.isfinite(d.value) & jnp.isfinite(d.variance)
    shrink = 1 - 3 / (4 * jnp.where(known, d.degrees, 1) - 1)
    value, variance = (
        jnp.where(known, factor * jnp.where(known, v, 0), jnp.nan)
        for factor, v in ((shrink, d.value), (shrink**2, d.variance))
    )
    return _Estimate(value, variance, d.degrees)


def _paired_d(mean: Array, std: Array, n: Array) -> _Estimate:
    d = _ratio(mean, std)
    return _Estimate(d, _ratio(1 + d**2 / 2, n), n - 1)


def _d_from_t(t: Array, degrees: Array) -> _Estimate:
    d = _ratio(2 * t, safe_root(degrees))
    n = degrees + 2
    return _Estimate(d, (4 + d**2 / 2) / n, degrees)


def _fisher(r: Array) -> Array:
    inside = jnp.abs(r) < 1
    return jnp.where(inside, jnp.arctanh(jnp.where(inside, r, 0)), jnp.nan)


def _correlation(r: Array, n: Array) -> _Estimate:
    spread = _ratio(jnp.ones_like(n), n - 3)
    known = (jnp.abs(r) <= 1) & ~jnp.isnan(spread)
    variance = jnp.where(known, (1 - r**2) ** 2 / jnp.where(known, n - 1, 1), jnp.nan)
    return _Estimate(jnp.where(jnp.abs(r) <= 1, r, jnp.nan), variance, on_fisher_scale=spread)


def _fisher_z(r: Array, n: Array) -> _Estimate:
    return _Estimate(_fisher(r), _ratio(jnp.ones_like(n), n - 3))


def _cohen_q(r_1: Array, n_1: Array, r_2: Array, n_2: Array) -> _Estimate:
    one = jnp.ones_like(n_1)
    return _Estimate(_fisher(r_1) - _fisher(r_2), _ratio(one, n_1 - 3) + _ratio(one, n_2 - 3))


def _log_odds_ratio(x_1: Array, n_1: Array, x_2: Array, n_2: Array, correction: Array | None = None) -> _Estimate:
    cells = jnp.stack([x_1, n_1 - x_1, x_2, n_2 - x_2])
    if correction is not None:
        cells = cells + jnp.where((cells == 0).any(0), correction, 0)[None]
    known = (cells > 0).all(0)
    safe = jnp.where(known, cells, 1)
    logs = jnp.log(safe)
    value = jnp.where(known, logs[0] - logs[1] - logs[2] + logs[3], jnp.nan)
    return _Estimate(value, jnp.where(known, (1 / safe).sum(0), jnp.nan))


def _share(x: Array, n: Array) -> Array:
    """NaN where there are more successes than trials, or none of these."""
    return jnp.where((x >= 0) & (x <= n), _ratio(x, n), jnp.nan)


def _risk_difference(x_1: Array, n_1: Array, x_2: Array, n_2: Array) -> _Estimate:
    p_1, p_2 = _share(x_1, n_1), _share(x_2, n_2)
    variance = _ratio(p_1 * (1 - p_1), n_1) + _ratio(p_2 * (1 - p_2), n_2)
    return _Estimate(p_1 - p_2, variance, bounds=(-1.0, 1.0))


def _angle(p: Array) -> Array:
    """Twice the arc sine of the root; its slope is infinite at 0 and 1, and left out there."""
    inside = (p > 0) & (p < 1)
    angle = 2 * jnp.arcsin(jnp.sqrt(jnp.where(inside, p, 0.5)))
    return jnp.where(inside, angle, jnp.where(jnp.isnan(p), jnp.nan, jnp.where(p > 0, jnp.pi, 0)))


def _cohen_h(x_1: Array, n_1: Array, x_2: Array, n_2: Array) -> _Estimate:
    one = jnp.ones_like(n_1)
    return _Estimate(_angle(_share(x_1, n_1)) - _angle(_share(x_2, n_2)), _ratio(one, n_1) + _ratio(one, n_2))


def _phi(table: Array) -> _Estimate:
    return _Estimate(*phi(table), bounds=(-1.0, 1.0))


def _cramer_v(table: Array) -> _Estimate:
    return _Estimate(*cramer_v(table), bounds=(0.0, 1.0))


def _eta_squared(f: Array, between: Array, within: Array) -> _Estimate:
    eta = jnp.where(f >= 0, _ratio(f * between, f * between + within), jnp.nan)
    eta = jnp.where((between > 0) & (within > 0), eta, jnp.nan)
    n = between + within + 1
    variance = 4 * eta * (1 - eta) ** 2 * within**2 / ((n**2 - 1) * (n + 3))
    return _Estimate(eta, variance, bounds=(0.0, 1.0))


_GROUPS = ("mean_1", "std_1", "n_1", "mean_2", "std_2", "n_2")
_SHARES = ("successes_1", "n_1", "successes_2", "n_2")
_KINDS: dict[str, tuple[tuple[str, ...], Callable[..., _Estimate]]] = {
    "d": (_GROUPS, _cohen_d),
    "g": (_GROUPS, _hedges_g),
    "d_z": (("mean_difference", "std_difference", "n"), _paired_d),
    "d_from_t": (("t", "degrees"), _d_from_t),
    "r": (("r", "n"), _correlation),
    "fisher_z": (("r", "n"), _fisher_z),
    "q": (("r_1", "n_1", "r_2", "n_2"), _cohen_q),
    "log_odds_ratio": (_SHARES, _log_odds_ratio),
    "risk_difference": (_SHARES, _risk_difference),
    "h": (_SHARES, _cohen_h),
    "phi": (("table",), _phi),
    "cramer_v": (("table",), _cramer_v),
    "eta_squared": (("f", "degrees_between", "degrees_within"), _eta_squared),
}
