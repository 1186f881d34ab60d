"""TrueSkill: Gaussian skills, noisy performances, and the exact moments of a match."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Bool, Float

from scorax.choice._ratings._performances import Result, posterior_performances
from scorax.choice._ratings._skills import AbstractSkillSystem, SkillState, as_matches, players, team_sums
from scorax.choice._ratings._system import like, to_float
from scorax.data import Comparisons, Matches


class TrueSkill(AbstractSkillSystem):
    r"""TrueSkill: assumed-density filtering of Gaussian skills.

    A player performs like \(N(\text{skill}, \beta^2)\), a team is the sum of its players, and teams come in by
    performance; those closer than a margin draw. Two teams are solved in closed form, more by expectation propagation.
    Data are `Comparisons` or `Matches`, in the order of time; a row of weight 0 does nothing.

    Attributes:
        sigma: Standard deviation of a newcomer's skill.
        beta: Standard deviation of a performance: a lead of beta wins 76 % of games.
        tau: How much a skill drifts before each match, as a standard deviation.
        draw_probability: Of two equal players, which fixes the margin; below 1.
        mu: Mean skill of a newcomer.
        sweeps: Of expectation propagation, where there are more than two teams.

    Raises:
        ValueError: (in `rate`, `trace`) an outcome other than 0, 1/2 and 1, a weight other than 0 and 1, a row that
            stands for several matches, or time that runs backwards.

    Example:
        >>> games = sx.data.Comparisons.from_arrays([0], [1], [1.0])
        >>> state = TrueSkill().rate(games)
        >>> state.mu.round(2), state.sigma.round(2)
        (Array([29.4, 20.6], dtype=float32), Array([7.17, 7.17], dtype=float32))

    Source: Herbrich, Minka & Graepel (2007), "TrueSkill: a Bayesian skill rating system", NIPS 19.
    """

    sigma: Float[Array, ""] = eqx.field(converter=to_float, default=25 / 3)
    beta: Float[Array, ""] = eqx.field(converter=to_float, default=25 / 6)
    tau: Float[Array, ""] = eqx.field(converter=to_float, default=25 / 300)
    draw_probability: Float[Array, ""] = eqx.field(converter=to_float, default=0.1)
    mu: float = eqx.field(static=True, default=25.0)
    sweeps: int = eqx.field(static=True, default=8)

    weighted: ClassVar[bool] = False

    def revise(
        self, mean: Float[Array, "t p"], variance: Float[Array, "t p"], match: Matches
    ) -> tuple[Float[Array, "t p"], Float[Array, "t p"]]:
        """Moments of the teams' performances, shared out among their players by variance."""
        number = players(match.where, mean.dtype)
        noise = self.noise(number, mean.dtype)
        team_mean, skill = team_sums(mean, variance, match.where)
        spread = skill + noise
        edge = ndtri((1 + like(self.draw_probability, mean)) / 2)
        result = Result(
            drawn=match.rank[1:] == match.rank[:-1],
            margin=edge * jnp.sqrt(noise[1:] + noise[:-1]),
            there=match.where.any(1)[1:],
        )
        new_mean, new_spread = posterior_performances(team_mean, spread, result, self.sweeps)
        share = variance / spread[:, None]
        return (
            mean + share * (new_mean - team_mean)[:, None],
            variance * (1 - share * (1 - new_spread / spread)[:, None]),
        )

    def noise(self, players: Float[Array, "*t"], dtype: Any) -> Float[Array, "*t"]:
        """Every player's performance varies by itself."""
        return players * self.beta.astype(dtype) ** 2

    def quality(self, state: SkillState, data: Comparisons | Matches) -> Float[Array, " n"]:
        """How even matches are: the probability density of a draw, relative to that of equal teams without doubts.

        Args:
            state: Skills before the matches.
            data: Who would play; results are not read.

        Returns:
            Between 0 and 1 for each match.

        Example:
            >>> game = Matches.from_lists([[[0], [1]]])
            >>> TrueSkill().quality(TrueSkill().init(2), game).round(3)
            Array([0.447], dtype=float32)

        Source: Herbrich, Minka & Graepel (2007); Moser (2010), "The math behind TrueSkill".
        """
        return _quality(self, state, as_matches(data))


@eqx.filter_jit
def _quality(system: TrueSkill, state: SkillState, matches: Matches) -> Float[Array, " n"]:
    def quality(match: Matches) -> Float[Array, ""]:
        mean, skill = team_sums(state.mu[match.members], state.sigma[match.members] ** 2, match.where)
        noise = system.noise(players(match.where, mean.dtype), mean.dtype)
        return _evenness(mean, skill, noise, match.where.any(1))

    return jax.vmap(quality)(matches)


def _evenness(
    mean: Float[Array, " t"], skill: Float[Array, " t"], noise: Float[Array, " t"], there: Bool[Array, " t"]
) -> Float[Array, ""]:
    """Density of equal performances over that of the same performances with equal known skills.

    Densities of all differences at zero are integrals of products of Gaussians, so no matrix is needed.
    """

    def total(x: Float[Array, " t"]) -> Float[Array, ""]:
        return jnp.where(there, x, jnp.zeros_like(x)).sum()

    noise = jnp.where(there, noise, jnp.ones_like(noise))
    spread = skill + noise
    centre = total(mean / spread) / total(1 / spread)
    log_ratio = total(jnp.log(noise / spread)) + jnp.log(total(1 / noise) / total(1 / spread))
    return jnp.exp((log_ratio - total((mean - centre) ** 2 / spread)) / 2)
