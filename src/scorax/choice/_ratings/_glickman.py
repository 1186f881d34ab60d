"""What Glicko and Glicko-2 share: a scan over periods, and their scale."""

import abc
import math
from typing import Any, ClassVar, Generic

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from scorax.choice._ratings._periods import Evidence, Periods, as_periods, expected_score
from scorax.choice._ratings._system import AbstractRatingSystem, State
from scorax.data import Comparisons

# Points per unit of log-odds: 400 points are odds of 10 to 1.
POINTS = 400 / math.log(10)


class AbstractGlickman(AbstractRatingSystem[State], Generic[State]):
    """A rating with a standard deviation that shrinks with games and grows with time.

    Ratings and deviations are in points in a state, in log-odds in formulas.
    """

    initial: eqx.AbstractVar[float]

    takes: ClassVar[tuple[type, ...]] = (Comparisons, Periods)

    @abc.abstractmethod
    def begin(self, state: State, elapsed: Float[Array, ""]) -> State:
        """The state at the start of a period, `elapsed` periods after the last one; 0 changes nothing."""

    @abc.abstractmethod
    def end(self, state: State, evidence: Evidence) -> State:
        """The state after the games of a period."""

    @abc.abstractmethod
    def natural(self, state: State) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
        """Ratings and deviations in log-odds."""

    def step(self, state: State, match: Comparisons) -> State:
        """The state after one more period, whose games count at once."""
        state = self.begin(state, jnp.ones((), state_dtype(state)))
        mean, spread = self.natural(state)
        where = jnp.ones(match.weight.shape, bool)
        return self.end(state, Evidence.none(mean.shape[0], mean.dtype).add(mean, spread, match, where))

    def win_probability(self, state: State, a: Int[Array, "*s"], b: Int[Array, "*s"]) -> Float[Array, "*s"]:
        """Expected score of `a` against `b`, with the uncertainty of both."""
        return expected_score(*self.natural(state), a, b)

    def strength(self, state: State) -> Float[Array, " k"]:
        """Natural-log worths with mean zero: differences are log-odds."""
        mean, _ = self.natural(state)
        return mean - mean.mean()

    def prepare(self, data: Comparisons | Periods) -> Periods:
        """See `rating_periods`."""
        return as_periods(data)

    def play(self, state: State, data: Periods) -> tuple[State, Float[Array, " m"]]:
        """One scan over blocks of games; forecasts are made from the ratings before the period."""

        def block(carry: tuple[State, Evidence], games: tuple[Any, ...]) -> tuple[tuple[State, Evidence], Array]:
            state, evidence = carry
            rows, where, elapsed, last = games
            state = self.begin(state, elapsed.astype(state_dtype(state)))
            mean, spread = self.natural(state)
            evidence = evidence.add(mean, spread, rows, where)
            carry = jax.lax.cond(last, close, lambda *same: same, state, evidence)
            return carry, expected_score(mean, spread, rows.a, rows.b)

        def close(state: State, evidence: Evidence) -> tuple[State, Evidence]:
            return self.end(state, evidence), jax.tree.map(jnp.zeros_like, evidence)

        start = (state, Evidence.none(state_size(state), state_dtype(state)))
        (state, _), expected = jax.lax.scan(block, start, (data.rows, data.where, data.elapsed, data.last))
        return state, expected.reshape(-1)[data.place]


def state_dtype(state: Any) -> jnp.dtype:
    """Of all leaves of a state."""
    return jax.tree.leaves(state)[0].dtype


def state_size(state: Any) -> int:
    """Number of items in a state."""
    return jax.tree.leaves(state)[0].shape[0]
