"""How often intervals hold the truth, over simulated data."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.inference._fit import fit
from scorax.inference._model import AbstractModel
from scorax.inference._program import Program
from scorax.inference._progress import Report
from scorax.inference.validity._chain import require
from scorax.inference.validity._joint import Joint, Quantities
from scorax.inference.validity._quantities import flatten, names_of
from scorax.inference.validity._result import TestResult, together, undecided
from scorax.inference.validity._sampler import PosteriorSampler, Sampler
from scorax.inference.validity._simulations import Path, simulate
from scorax.inference.validity._store import digest

Interval = Callable[[PRNGKeyArray, Any], tuple[Any, Any]]
"""`interval(key, data) -> (lower, upper)`, each shaped as the quantities."""


@dataclasses.dataclass(frozen=True)
class Coverage:
    """Whether each interval held the truth."""

    covered: Int[np.ndarray, "n q"]
    """1 or 0; -1 where an end of the interval was not a number."""
    names: tuple[str, ...]

    @property
    def rate(self) -> Float[np.ndarray, " q"]:
        """Share of the intervals that held the truth, among those that exist; NaN where none does."""
        held, n = self._counts()
        return np.divide(held, n, out=np.full(len(n), np.nan), where=n > 0)

    @property
    def failed(self) -> Int[np.ndarray, " q"]:
        """How many intervals do not exist. Coverage says nothing about those data."""
        return (self.covered < 0).sum(0)

    def interval(self, level: float = 0.95) -> tuple[Float[np.ndarray, " q"], Float[np.ndarray, " q"]]:
        """Exact (Clopper-Pearson) interval of the true coverage.

        Source: Clopper & Pearson (1934), doi:10.1093/biomet/26.4.404.
        """
        held, n = self._counts()
        tail = (1 - level) / 2
        lower = np.where(held > 0, scipy.special.betaincinv(np.maximum(held, 1), n - held + 1, tail), 0.0)
        upper = np.where(held < n, scipy.special.betaincinv(held + 1, np.maximum(n - held, 1), 1 - tail), 1.0)
        return lower, upper

    def test(self, level: float, *, at_least: bool = False) -> TestResult:
        """Exact binomial test that intervals hold the truth with probability `level`, Holm's correction over all.

        Args:
            level: What the intervals promise.
            at_least: Only too little coverage counts against them.

        Returns:
            The statistic is the coverage. NaN with a reason where some interval does not exist: look at `rate` and
            `failed` then.
        """
        held, n = self._counts()
        if self.failed.any():
            worst = int(np.argmax(self.failed))
            share = f"{self.failed[worst]} of {len(self.covered)}"
            return undecided(f"{share} intervals of {self.names[worst]!r} do not exist", rate=self.rate)
        below = scipy.special.bdtr(held, n, level)
        above = np.where(held > 0, scipy.special.bdtrc(np.maximum(held, 1) - 1, n, level), 1.0)
        p_values = below if at_least else np.minimum(1, 2 * np.minimum(below, above))
        return together(self.names, self.rate, p_values)

    def _counts(self) -> tuple[Int[np.ndarray, " q"], Int[np.ndarray, " q"]]:
        return (self.covered == 1).sum(0), (self.covered >= 0).sum(0)


def coverage(
    interval: Interval,
    joint: Joint,
    *,
    key: PRNGKeyArray,
    quantities: Quantities,
    n_simulations: int = 1000,
    batch_size: int = 50,
    vmapped: bool = True,
    file: Path | None = None,
    progress: bool | Report = False,
) -> Coverage:
    """How often intervals hold the truth over data simulated from `joint`.

    Credible intervals of a right posterior hold it at exactly their level on average over the prior; confidence
    intervals at every parameter (let `joint.prior` return that one).

    Args:
        interval: `(key, data) -> (lower, upper)`, each shaped as the quantities: `wald_interval`, `credible_interval`,
            or one of your own.
        joint: The law of parameters and data; it needs no log-likelihood.
        key: Random key. Simulation `i` has the key `fold_in(key, i)`, however they are batched.
        quantities: `quantities(theta, data)`, what the intervals are for.
        n_simulations: How many data sets.
        batch_size: How many at a time, in one compiled call.
        vmapped: False for intervals that JAX cannot trace, as those of `posterior_sampler`.
        file: As for `sbc`.
        progress: As for `sample`.

    Raises:
        ValueError: The ends are not shaped as the quantities, a count is too small, or `file` does not belong here.

    Example:
        >>> joint = sx.inference.validity.Joint(
        ...     prior=jax.random.normal, simulate=lambda key, theta: theta + jax.random.normal(key, (5,))
        ... )
        >>> def z_interval(key, data):
        ...     return data.mean() - 1.96 / jnp.sqrt(5), data.mean() + 1.96 / jnp.sqrt(5)
        >>> held = sx.inference.validity.coverage(
        ...     z_interval, joint, key=jax.random.key(1), quantities=lambda theta, data: theta
        ... )
        >>> held.test(0.95).p_value > 0.01
        True
    """
    require(n_simulations=(n_simulations, 1), batch_size=(batch_size, 1))
    simulation = _Simulation(interval, joint, quantities)
    by_hand = not vmapped or (
        isinstance(interval, _CredibleInterval) and isinstance(interval.sampler, PosteriorSampler)
    )
    names = names_of(lambda key: quantities(*joint.draw(key)), key)
    identity = {"key": digest(key), "quantities": list(names), "interval or law": digest((interval, joint, quantities))}

    def chunk(index: np.ndarray) -> dict[str, Array]:
        if not by_hand:
            return {"covered": _vmapped(simulation, key, jnp.asarray(index, jnp.int32))}
        own = jax.random.fold_in(key, index[0])
        data, truth = _truth(joint, quantities, own)
        return {"covered": _held(truth, interval(jax.random.fold_in(own, 1), data))[None]}

    size = 1 if by_hand else batch_size
    rows = simulate(chunk, n_simulations, size=size, file=file, identity=identity, progress=progress)
    return Coverage(rows["covered"].astype(np.int64), names)


class _Simulation(eqx.Module):
    interval: Interval
    joint: Joint
    quantities: Quantities

    def __call__(self, key: PRNGKeyArray) -> Int[Array, " q"]:
        data, truth = _truth(self.joint, self.quantities, key)
        return _held(truth, self.interval(jax.random.fold_in(key, 1), data))


@eqx.filter_jit
def _vmapped(simulation: _Simulation, key: PRNGKeyArray, number: Int[Array, " n"]) -> Int[Array, "n q"]:
    return jax.vmap(lambda i: simulation(jax.random.fold_in(key, i)))(number)


@eqx.filter_jit
def _truth(joint: Joint, quantities: Quantities, key: PRNGKeyArray) -> tuple[Any, Float[Array, " q"]]:
    theta, data = joint.draw(jax.random.fold_in(key, 0))
    return data, flatten(quantities(theta, data))


def _held(truth: Float[Array, " q"], ends: tuple[Any, Any]) -> Int[Array, " q"]:
    lower, upper = map(flatten, ends)
    if not lower.shape == upper.shape == truth.shape:
        raise ValueError(f"the interval's ends hold {lower.size} and {upper.size} numbers, the quantities {truth.size}")
    held = (lower <= truth) & (truth <= upper)
    return jnp.where(jnp.isnan(lower) | jnp.isnan(upper) | jnp.isnan(truth), -1, held.astype(jnp.int32))


class _CredibleInterval(eqx.Module):
    sampler: Sampler
    quantities: Quantities
    level: float = eqx.field(static=True)

    def __call__(self, key: PRNGKeyArray, data: Any) -> tuple[Array, Array]:
        return _quantiles(self.quantities, self.level, data, self.sampler(key, data))


@eqx.filter_jit
def _quantiles(quantities: Quantities, level: float, data: Any, draws: Any) -> tuple[Array, Array]:
    ordered = jnp.sort(eqx.filter_vmap(lambda theta: flatten(quantities(theta, data)))(draws), axis=0)
    # The truth is as likely to lie in any of the r + 1 gaps between r draws.
    place = (1 - level) / 2 * (len(ordered) + 1) - 1
    low = int(np.clip(np.floor(place), 0, len(ordered) - 1))
    share = float(np.clip(place - low, 0, 1))
    inner = min(low + 1, len(ordered) - 1)
    return (
        (1 - share) * ordered[low] + share * ordered[inner],
        (1 - share) * ordered[-1 - low] + share * ordered[-1 - inner],
    )


def credible_interval(sampler: Sampler, quantities: Quantities, *, level: float = 0.95) -> Interval:
    """The equal-tailed interval of a sampler's draws, for `coverage`.

    With `r` draws it holds the truth with probability `level` if `(1 - level) / 2 * (r + 1)` is a whole number, as for
    0.9 and 99 draws, and nearly so otherwise; `r` must be at least `2 / (1 - level) - 1`.

    Args:
        sampler: As for `sbc`.
        quantities: As for `coverage`.
        level: In (0, 1).

    Example:
        >>> def sampler(key, data):
        ...     return data / 2 + jax.random.normal(key, (99,)) / jnp.sqrt(2)
        >>> interval = sx.inference.validity.credible_interval(sampler, lambda theta, data: theta, level=0.9)
        >>> lower, upper = interval(jax.random.key(0), jnp.array(1.0))
        >>> bool(lower[0] < 0.5 < upper[0])
        True
    """
    return _CredibleInterval(sampler, quantities, _checked(level))


class _WaldInterval(eqx.Module):
    model: AbstractModel[Any]
    quantities: Quantities
    prior: Program | None
    level: float = eqx.field(static=True)
    robust: bool = eqx.field(static=True)

    def __call__(self, key: PRNGKeyArray, data: Any) -> tuple[Array, Array]:
        result = fit(self.model, data, prior=self.prior, throw=False)
        estimate = (result.robust() if self.robust else result).map(lambda m: flatten(self.quantities(m, data)))
        reach = float(scipy.special.ndtri((1 + self.level) / 2)) * estimate.std_error
        return estimate.value - reach, estimate.value + reach


def wald_interval(
    model: AbstractModel[Any],
    quantities: Quantities,
    *,
    prior: Program | None = None,
    level: float = 0.95,
    robust: bool = False,
) -> Interval:
    """Estimate plus or minus standard errors of `fit`, for `coverage`; it does not exist where the fit failed.

    Args:
        model: Where each fit starts.
        quantities: As for `coverage`, differentiable.
        prior: As in `fit`.
        level: In (0, 1).
        robust: Standard errors of the sandwich, `Fit.robust`.

    Example:
        >>> def gap(model, data):
        ...     return model.strength[0] - model.strength[1]
        >>> interval = sx.inference.validity.wald_interval(sx.choice.BradleyTerry.init(2), gap, robust=True)
        >>> callable(interval)  # lower, upper = interval(key, battles)
        True
    """
    return _WaldInterval(model, quantities, prior, _checked(level), robust)


def _checked(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    return level
