"""Glicko-2: a rating, how uncertain it is, and how much it wanders."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from scorax.choice._ratings._glickman import POINTS, AbstractGlickman
from scorax.choice._ratings._periods import Evidence
from scorax.choice._ratings._system import like, to_float
from scorax.choice._ratings._volatility import log_variance

# Below this the variance of a surprise would overflow single precision. No game is so sure.
_LEAST_INFORMATION = 1e-12


class Glicko2State(eqx.Module):
    """Ratings and their standard deviations (RD) in points, and the volatility of each, in log-odds a period."""

    rating: Float[Array, " k"]
    deviation: Float[Array, " k"]
    volatility: Float[Array, " k"]


class Glicko2(AbstractGlickman[Glicko2State]):
    """Glicko-2: Glicko whose deviations grow as fast as a player's results say.

    Data are `Comparisons` whose `time` numbers the rating periods; all games of a period count at once, so the order of
    rows does not matter. Soft labels are partial scores, a row of weight w counts as w games. A problem that solvers
    attempt is a player too: it wins where they fail, and its rating is its difficulty.

    Attributes:
        tau: How fast volatilities may change, 0.3 to 1.2; less where upsets are many.
        deviation: Of a newcomer, in points.
        volatility: Of a newcomer.
        initial: Rating of a newcomer.

    Raises:
        ValueError: (in `rate`, `trace`) the data have no time, or it is not whole.

    Example:
        >>> rating, deviation = jnp.array([1500.0, 1400, 1550, 1700]), jnp.array([200.0, 30, 100, 300])
        >>> state = Glicko2State(rating, deviation, jnp.full(4, 0.06))
        >>> period = sx.data.Comparisons.from_arrays([0, 0, 0], [1, 2, 3], [1.0, 0.0, 0.0])
        >>> state = Glicko2(tau=0.5).update(state, period)
        >>> state.rating[0].round(1), state.deviation[0].round(1), state.volatility[0].round(5)
        (Array(1464.1, dtype=float32), Array(151.5, dtype=float32), Array(0.06, dtype=float32))

    Source: Glickman (2012), "Example of the Glicko-2 system"; Glickman (2001), doi:10.1080/02664760120059219. As a
        measure of difficulty: Ding et al. (2024), arXiv:2409.18433.
    """

    tau: Float[Array, ""] = eqx.field(converter=to_float, default=0.5)
    deviation: Float[Array, ""] = eqx.field(converter=to_float, default=350.0)
    volatility: Float[Array, ""] = eqx.field(converter=to_float, default=0.06)
    initial: float = eqx.field(static=True, default=1500.0)

    def init(self, n_items: int, *, dtype: Any = float) -> Glicko2State:
        """Newcomers."""
        rating = jnp.full(n_items, self.initial, dtype)
        spread = (jnp.full(n_items, like(x, rating)) for x in (self.deviation, self.volatility))
        return Glicko2State(rating, *spread)

    def begin(self, state: Glicko2State, elapsed: Float[Array, ""]) -> Glicko2State:
        """Deviations after the periods in which nobody played; the growth of the last one is the update's."""
        idle = jnp.maximum(elapsed - 1, 0)
        grown = jnp.sqrt(state.deviation**2 + idle * (POINTS * state.volatility) ** 2)
        return Glicko2State(state.rating, jnp.where(idle > 0, grown, state.deviation), state.volatility)

    def end(self, state: Glicko2State, evidence: Evidence) -> Glicko2State:
        """Volatility first, then the deviation, then the rating; who did not play only grows less certain."""
        mean, spread = self.natural(state)
        played = evidence.information > 0
        information = jnp.maximum(jnp.where(played, evidence.information, 1), _LEAST_INFORMATION)
        squared_change = (jnp.where(played, evidence.surprise, 0) / information) ** 2
        tau = jnp.broadcast_to(like(self.tau, mean), mean.shape)
        before = 2 * jnp.log(state.volatility)
        after = jax.vmap(log_variance)(before, spread**2 + 1 / information, squared_change, tau)
        volatility = jnp.where(played, jnp.exp(after / 2), state.volatility)
        variance = 1 / (1 / (spread**2 + volatility**2) + evidence.information)
        return Glicko2State(
            POINTS * (mean + variance * evidence.surprise) + self.initial, POINTS * jnp.sqrt(variance), volatility
        )

    def natural(self, state: Glicko2State) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
        """Ratings and deviations in log-odds."""
        return (state.rating - self.initial) / POINTS, state.deviation / POINTS
