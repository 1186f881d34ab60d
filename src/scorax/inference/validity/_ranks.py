"""Ranks of truths among draws, and whether they are uniform."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.inference.validity._ecdf import UniformPaths, counts_below, points_of
from scorax.inference.validity._result import TestResult, together, undecided

_MOST_BINS = 20
_LEAST_PER_BIN = 5


class Band(NamedTuple):
    """An empirical distribution of ranks and where it would lie if they were uniform. All as shares, ready to draw."""

    at: Float[np.ndarray, " p"]
    ecdf: Float[np.ndarray, "q p"]
    """One row for each quantity."""
    lower: Float[np.ndarray, " p"]
    upper: Float[np.ndarray, " p"]


@dataclasses.dataclass(frozen=True)
class Ranks:
    """How many of the draws lie below the truth, in many simulations; uniform on 0 to `num_draws` if all is well."""

    rank: Int[np.ndarray, "n q"]
    """By simulation and quantity; -1 where the truth or a draw was not a number."""
    num_draws: int
    names: tuple[str, ...]
    """Of the quantities."""
    ess: Float[np.ndarray, " q"] | None = None
    """Mean effective sample size of the draws: below 0.9 `num_draws`, thin more. None where they were not in order."""

    def test(self, bins: int | None = None) -> TestResult:
        """Pearson's chi-square test that ranks are uniform, for each quantity, Holm's correction over all.

        Args:
            bins: Of neighbouring ranks, equal or nearly so. None takes the largest number up to 20 that divides
                `num_draws + 1` and leaves five ranks or more in each.

        Returns:
            NaN with a reason where a draw was not a number, where ranks are too few, or where the draws depend on each
            other so much that ranks of a correct sampler would not be uniform (`ess` below 0.7 `num_draws`).

        Raises:
            ValueError: `bins` is below 2 or above `num_draws + 1`.

        Source: Talts, Betancourt, Simpson, Vehtari & Gelman (2018), arXiv:1804.06788.
        """
        if (trouble := self._trouble()) is not None:
            return trouble
        n, values = len(self.rank), self.num_draws + 1
        bins = _bins(values, n) if bins is None else bins
        if not 2 <= bins <= values:
            raise ValueError(f"bins must be between 2 and num_draws + 1 = {values}, not {bins}")
        label = np.arange(values) * bins // values
        expected = n * np.bincount(label) / values
        counts = np.stack([np.bincount(label[rank], minlength=bins) for rank in self.rank.T])
        chi_square = ((counts - expected) ** 2 / expected).sum(1)
        p_values = scipy.special.chdtrc(bins - 1, chi_square)
        return together(self.names, chi_square, p_values, counts=counts, expected=expected, ess=self.ess)

    def ecdf_test(self) -> TestResult:
        """Whether the empirical distribution stays near the uniform everywhere: sharper than bins against bias.

        The statistic is the smallest p-value of a binomial count over all points; its own p-value is exact.

        Returns:
            NaN with a reason in the cases of `test`.

        Source: Säilynoja, Bürkner & Vehtari (2022), arXiv:2103.10522.
        """
        if (trouble := self._trouble()) is not None:
            return trouble
        points = points_of(self.num_draws)
        paths = UniformPaths(len(self.rank), points / (self.num_draws + 1))
        counts = [counts_below(rank, points) for rank in self.rank.T]
        farthest = np.asarray([paths.two_sided[np.arange(len(points)), count].min() for count in counts])
        p_values = np.asarray([paths.p_value(count) for count in counts])
        return together(self.names, farthest, p_values, ess=self.ess)

    def band(self, level: float = 0.95) -> Band:
        """Empirical distributions, and the band that holds a uniform one everywhere with probability `level`.

        Raises:
            ValueError: `level` is not in (0, 1).

        Source: Säilynoja, Bürkner & Vehtari (2022), arXiv:2103.10522.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must be between 0 and 1, not {level}")
        n, points = len(self.rank), points_of(self.num_draws)
        at = points / (self.num_draws + 1)
        lower, upper = UniformPaths(n, at).simultaneous(level)
        ecdf = np.stack([counts_below(rank, points) for rank in self.rank.T])
        return Band(at, ecdf / n, lower / n, upper / n)

    def _trouble(self) -> TestResult | None:
        bad = np.atleast_1d((self.rank < 0).any(1))
        if bad.any():
            return undecided(f"{bad.sum()} of {len(bad)} simulations have draws that are not numbers", simulations=bad)
        if len(self.rank) < 2 * _LEAST_PER_BIN:
            return undecided(f"{len(self.rank)} ranks are too few: raise n_simulations to {2 * _LEAST_PER_BIN} or more")
        if self.ess is not None and (self.ess < 0.7 * self.num_draws).any():
            worst = int(np.argmin(self.ess))
            return undecided(
                f"draws of {self.names[worst]!r} depend on each other: {self.ess[worst]:.0f} effective of "
                f"{self.num_draws}. Thin more, until at least 0.9 of them are effective.",
                ess=self.ess,
            )
        return None


def _bins(values: int, n: int) -> int:
    most = min(_MOST_BINS, n // _LEAST_PER_BIN, values)
    divisors = [bins for bins in range(2, most + 1) if values % bins == 0]
    return divisors[-1] if divisors else most


def rank_among(
    measure: Callable[[Any], Float[Array, " q"]], truth: Any, draws: Any, key: PRNGKeyArray
) -> tuple[Int[Array, " q"], Float[Array, "r q"]]:
    """Rank of a truth among draws of its shape in everything that is measured, and what the draws measure.

    All are measured in one operation: done apart, equal ones would differ by rounding and be ties no more.
    """
    arrays, rest = eqx.partition(truth, eqx.is_array)
    others = eqx.filter(draws, eqx.is_array)
    shapes = [[x.shape[m:] for x in jax.tree.leaves(tree)] for m, tree in enumerate((arrays, others))]
    if jax.tree.structure(arrays) != jax.tree.structure(others) or shapes[0] != shapes[1]:
        raise ValueError(f"draws must be shaped as theta, {shapes[0]}, with a leading axis; theirs are {shapes[1]}")
    together = jax.tree.map(lambda x, y: jnp.concatenate([x[None].astype(y.dtype), y]), arrays, others)
    measured = jax.vmap(lambda arrays: measure(eqx.combine(arrays, rest)))(together)
    return rank_of(measured[0], measured[1:], key), measured[1:]


def rank_of(truth: Float[Array, " q"], draws: Float[Array, "r q"], key: PRNGKeyArray) -> Int[Array, " q"]:
    """How many draws lie below the truth, ties broken at random; -1 where something is not a number.

    Numbers that differ by rounding tie. Calling a few more numbers ties does no harm.
    """
    rounding = 16 * jnp.finfo(truth.dtype).eps * jnp.maximum(jnp.abs(truth[None, :]), jnp.abs(draws))
    equal = (draws == truth[None, :]) | ((jnp.abs(draws - truth[None, :]) <= rounding) & jnp.isfinite(rounding))
    below = ((draws < truth[None, :]) & ~equal).sum(0)
    ties = equal.sum(0)
    share = jnp.floor(jax.random.uniform(key, ties.shape, draws.dtype) * (ties + 1).astype(draws.dtype))
    rank = below + jnp.minimum(share.astype(ties.dtype), ties)
    return jnp.where(jnp.isnan(truth) | jnp.isnan(draws).any(0), -1, rank)
