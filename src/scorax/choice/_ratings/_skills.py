"""What TrueSkill and Weng and Lin's systems share: Gaussian skills of players who meet in teams."""

import abc
import dataclasses
import functools
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.scipy.special import ndtr
from jaxtyping import Array, Bool, Float, Int

from scorax.choice._ratings._system import AbstractRatingSystem, check_order, like, one_row
from scorax.data import Comparisons, Matches, refuse


class SkillState(eqx.Module):
    """Means and standard deviations of the players' skills."""

    mu: Float[Array, " k"]
    sigma: Float[Array, " k"]

    def ordinal(self, z: float = 3.0) -> Float[Array, " k"]:
        """`mu - z sigma`: what a player's skill is almost surely above, for leaderboards that newcomers climb.

        Example:
            >>> SkillState(jnp.array([25.0]), jnp.array([25 / 3])).ordinal().round(3)
            Array([0.], dtype=float32)
        """
        return self.mu - z * self.sigma


class AbstractSkillSystem(AbstractRatingSystem[SkillState]):
    """Skills that are independent Gaussians before and after every match, whose teams add up."""

    sigma: eqx.AbstractVar[Float[Array, ""]]
    beta: eqx.AbstractVar[Float[Array, ""]]
    tau: eqx.AbstractVar[Float[Array, ""]]
    mu: eqx.AbstractVar[float]
    takes: ClassVar[tuple[type, ...]] = (Comparisons, Matches)
    weighted: ClassVar[bool]
    """Whether weights of matches other than 0 and 1 mean something."""

    @abc.abstractmethod
    def revise(
        self, mean: Float[Array, "t p"], variance: Float[Array, "t p"], match: Matches
    ) -> tuple[Float[Array, "t p"], Float[Array, "t p"]]:
        """Means and variances of the players after a match.

        Args:
            mean: Before it, 0 where nobody plays.
            variance: Before it, drift included, positive where nobody plays.
            match: One row, teams in the order in which they came in, those that are not there last.
        """

    @abc.abstractmethod
    def noise(self, players: Float[Array, "*t"], dtype: Any) -> Float[Array, "*t"]:
        """Variance of the performance of teams of so many players, beyond that of their skills."""

    def init(self, n_items: int, *, dtype: Any = float) -> SkillState:
        """Newcomers."""
        mu = jnp.full(n_items, self.mu, dtype)
        return SkillState(mu, jnp.full(n_items, like(self.sigma, mu)))

    def step(self, state: SkillState, match: Comparisons | Matches) -> SkillState:
        """The state after one more match, a single row."""
        return self.play(state, one_row(match))[0]

    def win_probability(self, state: SkillState, a: Int[Array, "*s"], b: Int[Array, "*s"]) -> Float[Array, "*s"]:
        """Probability that players `a` perform better than players `b`, each alone."""
        spread = state.sigma[a] ** 2 + state.sigma[b] ** 2 + 2 * like(self.beta, state.mu) ** 2
        return ndtr((state.mu[a] - state.mu[b]) / jnp.sqrt(spread))

    def prepare(self, data: Comparisons | Matches) -> Comparisons | Matches:
        """The data themselves, checked."""
        name = type(self).__name__
        check_order(data, name)
        as_matches(data)
        if not self.weighted and not isinstance(data.weight, Tracer):
            known = np.isin(np.asarray(data.weight), (0.0, 1.0))
            refuse(~known, "weight is neither 0 nor 1", f"{name} knows no weights of matches.")
        return data

    def play(self, state: SkillState, data: Comparisons | Matches) -> tuple[SkillState, Float[Array, "..."]]:
        """One scan over the matches."""
        matches, order = _best_first(as_matches(data))

        def match(state: SkillState, match: Matches) -> tuple[SkillState, Float[Array, " t"]]:
            return self._after(state, match), self._expected_share(state, match)

        state, share = jax.lax.scan(match, state, matches)
        given = jnp.take_along_axis(share, jnp.argsort(order, axis=1), axis=1)
        return state, forecasts(data, given)

    def _after(self, state: SkillState, match: Matches) -> SkillState:
        where = match.where & (match.weight > 0)
        mean, sigma = _of_players(state, match, where)
        variance = sigma**2 + like(self.tau, sigma) ** 2
        new_mean, new_variance = self.revise(mean, variance, eqx.tree_at(lambda m: m.where, match, where))
        zero = jnp.zeros_like(sigma)
        return SkillState(
            state.mu.at[match.members].add(jnp.where(where, new_mean - mean, zero)),
            state.sigma.at[match.members].add(jnp.where(where, jnp.sqrt(new_variance) - sigma, zero)),
        )

    def _expected_share(self, state: SkillState, match: Matches) -> Float[Array, " t"]:
        """The share of its opponents that each team should beat, 0 for teams that are not there."""
        mean, sigma = _of_players(state, match, match.where)
        mean, variance = team_sums(mean, sigma**2, match.where)
        spread = variance + self.noise(players(match.where, mean.dtype), mean.dtype)
        beats = ndtr((mean[:, None] - mean[None, :]) / jnp.sqrt(spread[:, None] + spread[None, :]))
        pair = opponents(match.where)
        number = jnp.maximum(pair.sum(1), 1).astype(mean.dtype)
        return jnp.where(pair, beats, jnp.zeros_like(beats)).sum(1) / number


@functools.singledispatch
def as_matches(data: Any) -> Matches:
    """Comparisons as matches of two, matches as they are."""
    raise TypeError(f"no matches in {type(data).__name__}")


@as_matches.register
def _(data: Comparisons) -> Matches:
    return Matches.from_comparisons(data)


@as_matches.register
def _(data: Matches) -> Matches:
    return data


@functools.singledispatch
def forecasts(data: Any, share: Float[Array, "n t"]) -> Float[Array, "..."]:
    """Expected shares in the shape that goes with the data."""
    return share


@forecasts.register
def _(data: Comparisons, share: Float[Array, "n t"]) -> Float[Array, " n"]:
    return share[:, 0]


def team_sums(
    mean: Float[Array, "t p"], variance: Float[Array, "t p"], where: Bool[Array, "t p"]
) -> tuple[Float[Array, " t"], Float[Array, " t"]]:
    """Sums over the players of each team; a team that is not there has variance 1, so that nothing divides by 0."""
    total, spread = (jnp.where(where, x, jnp.zeros_like(x)).sum(1) for x in (mean, variance))
    return total, jnp.where(where.any(1), spread, jnp.ones_like(spread))


def players(where: Bool[Array, "t p"], dtype: Any) -> Float[Array, " t"]:
    """Number of players of each team; 1 where there is none, so that nothing divides by 0."""
    return jnp.maximum(where.sum(1), 1).astype(dtype)


def opponents(where: Bool[Array, "t p"]) -> Bool[Array, "t t"]:
    """Which teams met."""
    there = where.any(1)
    return there[:, None] & there[None, :] & ~jnp.eye(there.shape[0], dtype=bool)


def _of_players(
    state: SkillState, match: Matches, where: Bool[Array, "t p"]
) -> tuple[Float[Array, "t p"], Float[Array, "t p"]]:
    """Means and standard deviations; 0 and 1 where nobody plays, so that nothing there has a gradient."""
    mu, sigma = state.mu[match.members], state.sigma[match.members]
    return jnp.where(where, mu, jnp.zeros_like(mu)), jnp.where(where, sigma, jnp.ones_like(sigma))


def _best_first(matches: Matches) -> tuple[Matches, Int[Array, "n t"]]:
    """Teams in the order in which they came in, and that order; ties as they stand, absent teams last."""
    absent = ~matches.where.any(2)
    order = jnp.argsort(jnp.where(absent, jnp.iinfo(jnp.int32).max, matches.rank), axis=1, stable=True)
    return (
        dataclasses.replace(
            matches,
            members=jnp.take_along_axis(matches.members, order[:, :, None], axis=1),
            where=jnp.take_along_axis(matches.where, order[:, :, None], axis=1),
            rank=jnp.take_along_axis(matches.rank, order, axis=1),
        ),
        order,
    )
