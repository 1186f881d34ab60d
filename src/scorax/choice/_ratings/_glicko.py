"""Glicko: a rating and how uncertain it is."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from scorax.choice._ratings._glickman import POINTS, AbstractGlickman
from scorax.choice._ratings._periods import Evidence
from scorax.choice._ratings._system import like, to_float


class GlickoState(eqx.Module):
    """Ratings and their standard deviations (RD), in points."""

    rating: Float[Array, " k"]
    deviation: Float[Array, " k"]


class Glicko(AbstractGlickman[GlickoState]):
    """Glicko: players who have played little move far, and move others little.

    Data are `Comparisons` whose `time` numbers the rating periods; all games of a period count at once, so the order of
    rows does not matter. Soft labels are partial scores, a row of weight w counts as w games.

    Attributes:
        growth: How much the variance of an idle rating grows in a period, as a standard deviation in points: Glickman's
            c. 34.6 takes a settled player (50) back to a newcomer in 100 periods.
        deviation: Of a newcomer, and the most that any rating has.
        initial: Rating of a newcomer.

    Raises:
        ValueError: (in `rate`, `trace`) the data have no time, or it is not whole.

    Example:
        >>> system = Glicko(growth=0.0)
        >>> state = GlickoState(jnp.array([1500.0, 1400, 1550, 1700]), jnp.array([200.0, 30, 100, 300]))
        >>> period = sx.data.Comparisons.from_arrays([0, 0, 0], [1, 2, 3], [1.0, 0.0, 0.0])
        >>> state = system.update(state, period)
        >>> state.rating[0].round(1), state.deviation[0].round(1)
        (Array(1464.1, dtype=float32), Array(151.4, dtype=float32))

    Source: Glickman (1999), doi:10.1111/1467-9876.00159.
    """

    growth: Float[Array, ""] = eqx.field(converter=to_float, default=34.6)
    deviation: Float[Array, ""] = eqx.field(converter=to_float, default=350.0)
    initial: float = eqx.field(static=True, default=1500.0)

    def init(self, n_items: int, *, dtype: Any = float) -> GlickoState:
        """Newcomers."""
        rating = jnp.full(n_items, self.initial, dtype)
        return GlickoState(rating, jnp.full(n_items, like(self.deviation, rating)))

    def begin(self, state: GlickoState, elapsed: Float[Array, ""]) -> GlickoState:
        """Deviations after `elapsed` periods without a game."""
        growth, most = like(self.growth, state.rating), like(self.deviation, state.rating)
        grown = jnp.minimum(jnp.sqrt(state.deviation**2 + elapsed * growth**2), most)
        return GlickoState(state.rating, jnp.where(elapsed > 0, grown, state.deviation))

    def end(self, state: GlickoState, evidence: Evidence) -> GlickoState:
        """One step of Newton's method, with the deviation as a prior."""
        mean, spread = self.natural(state)
        variance = 1 / (1 / spread**2 + evidence.information)
        return GlickoState(POINTS * (mean + variance * evidence.surprise) + self.initial, POINTS * jnp.sqrt(variance))

    def natural(self, state: GlickoState) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
        """Ratings and deviations in log-odds."""
        return (state.rating - self.initial) / POINTS, state.deviation / POINTS
