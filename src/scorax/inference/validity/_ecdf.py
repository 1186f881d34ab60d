"""How far an empirical distribution of ranks may stray from the uniform, everywhere at once: exact, by counting paths.

Source: Säilynoja, Bürkner & Vehtari (2022), arXiv:2103.10522.
"""

import numpy as np
import scipy.special
from jaxtyping import Float, Int

_MOST_POINTS = 64


def points_of(num_draws: int) -> Int[np.ndarray, " p"]:
    """Where the distribution of ranks 0 to `num_draws` is looked at: numbers of ranks below, at most 64 of them."""
    return np.unique(np.linspace(1, num_draws, min(_MOST_POINTS, num_draws)).round().astype(int))


def counts_below(rank: Int[np.ndarray, " n"], points: Int[np.ndarray, " p"]) -> Int[np.ndarray, " p"]:
    """How many ranks are below each of the points."""
    return np.searchsorted(np.sort(rank), points)


class UniformPaths:
    """The counts of `n` independent uniform ranks below increasing points, which are a Markov chain of binomials."""

    def __init__(self, n: int, chance: Float[np.ndarray, " p"]) -> None:
        self.n, self.chance = n, chance
        count = np.arange(n + 1)
        self.below = scipy.special.bdtr(count, n, chance[:, None])
        above = np.concatenate([np.ones((len(chance), 1)), 1 - self.below[:, :-1]], axis=1)
        self.two_sided = np.minimum(1, 2 * np.minimum(self.below, above))
        """p-value of every count at every point."""
        self._log_factorial = scipy.special.gammaln(count + 1.0)

    def p_value(self, counts: Int[np.ndarray, " p"]) -> float:
        """Chance that some point is as far out as the farthest of these counts."""
        farthest = self.two_sided[np.arange(len(self.chance)), counts].min()
        if farthest == 1:
            return 1.0
        # A hair above, so that the counts themselves lie outside despite rounding.
        return float(np.clip(1 - self.stays(*self.band(farthest * (1 + 1e-9))), 0, 1))

    def band(self, gamma: float) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
        """Smallest and largest count at each point whose own p-value is above `gamma`."""
        inside = self.two_sided > gamma
        return inside.argmax(1), self.n - inside[:, ::-1].argmax(1)

    def simultaneous(self, level: float) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
        """The narrowest such band that holds all counts at once with probability at least `level`."""
        low, high = np.log(1e-12), np.log(1 - level)
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (middle, high) if self.stays(*self.band(np.exp(middle))) >= level else (low, middle)
        return self.band(np.exp(low))

    def stays(self, lower: Int[np.ndarray, " p"], upper: Int[np.ndarray, " p"]) -> float:
        """Probability that the counts lie between `lower` and `upper` at every point."""
        at, mass, before = np.zeros(1, int), np.ones(1), 0.0
        for low, high, chance in zip(lower, upper, self.chance, strict=True):
            to = np.arange(low, high + 1)
            mass = mass @ self._steps(at, to, (chance - before) / (1 - before))
            at, before = to, chance
        return float(mass.sum())

    def _steps(self, at: np.ndarray, to: np.ndarray, chance: float) -> Float[np.ndarray, "a b"]:
        """Probability to go from each count to each: binomial among those not yet counted."""
        left = (self.n - at)[:, None]
        more = to[None, :] - at[:, None]
        possible = more >= 0
        more = np.where(possible, more, 0)
        log_factorial = self._log_factorial
        log_ways = log_factorial[left] - log_factorial[more] - log_factorial[np.maximum(left - more, 0)]
        log_chance = more * np.log(chance) + (left - more) * np.log1p(-chance)
        return np.where(possible, np.exp(log_ways + log_chance), 0.0)
