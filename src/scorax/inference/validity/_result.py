"""What every test of the kit returns, and how several p-values become one."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import scipy.special
from jaxtyping import Float, Shaped


@dataclasses.dataclass(frozen=True)
class TestResult:
    """The outcome of a test: a small `p_value` says that something is wrong.

    `print` it for a table of what was tested. Where the test could not be made, statistic and p-value are NaN and
    `details["reason"]` says why: `assert result.p_value > 0.01` then fails, as it should.

    Example:
        >>> estimates = jnp.log(1 + 0.1 * jax.random.normal(jax.random.key(0), (50,)))
        >>> sx.inference.validity.evidence_test(estimates, 0.0).p_value > 0.01
        True
    """

    __test__: ClassVar[bool] = False
    """Not a test class, whatever pytest thinks of its name."""

    statistic: float
    """That of the most suspicious quantity."""
    p_value: float
    """Of all quantities together: the smallest after Holm's correction."""
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    """`names`, `statistics` and `p_values` (corrected) of the quantities where there are several, what else the test
    has to say, and the `reason` of a NaN."""

    def __str__(self) -> str:
        lines = [f"p = {self.p_value:.3g} (statistic {self.statistic:.3g})"]
        if "reason" in self.details:
            lines.append(self.details["reason"])
        if "p_values" in self.details:
            width = max(map(len, self.details["names"]))
            rows = zip(*(self.details[column] for column in ("names", "statistics", "p_values")), strict=True)
            lines += [f"  {name:<{width}}  {statistic:>9.3g}  p = {p:.3g}" for name, statistic, p in rows]
        return "\n".join(lines)


def undecided(reason: str, **details: Any) -> TestResult:
    """The result of a test that could not be made."""
    return TestResult(float("nan"), float("nan"), {"reason": reason, **details})


def holm(p_values: Float[np.ndarray, " q"]) -> Float[np.ndarray, " q"]:
    """p-values corrected so that the smallest is below `a` with probability at most `a`; NaN takes no part.

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6.
    """
    corrected = np.full(p_values.shape, np.nan)
    order = np.argsort(p_values)[: np.isfinite(p_values).sum()]
    factor = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(factor * p_values[order]), 1)
    return corrected


def together(
    names: Sequence[str], statistics: Float[np.ndarray, " q"], p_values: Float[np.ndarray, " q"], **details: Any
) -> TestResult:
    """One result for several quantities. Those whose p-value is NaN take no part; `details["untested"]` lists them."""
    corrected = holm(p_values)
    table = {"names": tuple(names), "statistics": statistics, "p_values": corrected, **details}
    untested = tuple(name for name, p in zip(names, p_values, strict=True) if np.isnan(p))
    if len(untested) == len(names):
        return undecided("nothing varied: no quantity can be tested", **table)
    worst = int(np.nanargmin(p_values))
    return TestResult(float(statistics[worst]), float(corrected[worst]), {**table, "untested": untested})


class Means(NamedTuple):
    """Means of independent rows against what they should be."""

    mean: Float[np.ndarray, " q"]
    std_error: Float[np.ndarray, " q"]
    t: Float[np.ndarray, " q"]
    p_value: Float[np.ndarray, " q"]


def t_tests(rows: Shaped[np.ndarray, "n q"], expected: Float[np.ndarray, " q"], rounding: float = 0.0) -> Means:
    """t-tests that means are as expected, up to `rounding` (relative where the expected mean is above 1).

    A quantity that never varies is rejected where it is not as expected; where it is, its p-value is 1 if rounding is
    allowed for, so that exact values can be told from others, and otherwise NaN: there was nothing to test.
    """
    rows = rows.astype(np.float64)
    still = rows.max(0) == rows.min(0)
    mean = np.where(still, rows[0], rows.mean(0))
    error = np.where(still, 0.0, rows.std(0, ddof=1) / np.sqrt(len(rows)))
    off = np.abs(mean - expected) - rounding * np.maximum(1, np.abs(expected))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.sign(mean - expected) * np.maximum(off, 0) / error
    t = np.where(still & (off <= 0), 0.0 if rounding else np.nan, t)
    return Means(mean, error, t, 2 * scipy.special.stdtr(len(rows) - 1, -np.abs(t)))


def mean_test(
    names: Sequence[str],
    rows: Shaped[np.ndarray, "n q"],
    expected: Float[np.ndarray, " q"],
    *,
    rounding: float = 0.0,
    **details: Any,
) -> TestResult:
    """t-tests that means of independent rows are as expected, Holm's correction over all."""
    bad = np.atleast_1d(~np.isfinite(rows).all(1))
    if bad.any():
        return undecided(f"{bad.sum()} of {len(rows)} rows are not finite (first: {np.flatnonzero(bad)[0]})", **details)
    means = t_tests(rows, expected, rounding)
    return together(names, means.t, means.p_value, estimates=means.mean, std_errors=means.std_error, **details)
