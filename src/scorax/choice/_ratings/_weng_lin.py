"""Weng and Lin's ratings: TrueSkill's purpose in closed form, for any number of teams and five models of a match."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from scorax.choice._ratings._skills import AbstractSkillSystem, opponents, team_sums
from scorax.choice._ratings._system import like, to_float
from scorax.choice._ratings._truncated import correction
from scorax.data import Matches

_MODELS = ("bradley_terry_full", "bradley_terry_part", "plackett_luce", "thurstone_full", "thurstone_part")

# Teams so many places apart still meet in the partial pairings.
_REACH = 4


class WengLin(AbstractSkillSystem):
    r"""Weng and Lin's approximate Bayesian updates, as the package openskill runs them.

    Data are `Comparisons` or `Matches`, in the order of time. A team moves by a gradient \(\Omega\) and becomes surer
    by a curvature \(\Delta\) of the log-likelihood of the model, shared out among its players by variance; the weight
    of a row multiplies both, 0 does nothing.

    Attributes:
        model: `"plackett_luce"`: the ranking as successive choices of the best. `"bradley_terry_full"` and
            `"thurstone_full"`: every pair of teams as a logistic or a normal comparison, summed. `"..._part"`: pairs at
            most four places apart, averaged (Weng and Lin pair neighbours, and sum).
        sigma: Standard deviation of a newcomer's skill.
        beta: Standard deviation of a team's performance.
        tau: How much a skill drifts before each match, as a standard deviation.
        kappa: The least factor by which a match can shrink a variance.
        margin: Of a draw under Thurstone's models.
        mu: Mean skill of a newcomer.

    Raises:
        ValueError: an unknown model; (in `rate`, `trace`) an outcome other than 0, 1/2 and 1, a row that stands for
            several matches, or time that runs backwards.

    Example:
        >>> players = sx.data.Vocabulary.of(["ann", "bob", "cy"])
        >>> games = Matches.from_lists([[["ann", "bob"], ["cy"]], [["cy"], ["bob"], ["ann"]]], vocabulary=players)
        >>> state = WengLin().rate(games)
        >>> state.ordinal().tolist()
        [-1.6, 2.6, 2.8]

    Source: Weng & Lin (2011), "A Bayesian approximation method for online ranking", JMLR 12.
    """

    sigma: Float[Array, ""] = eqx.field(converter=to_float, default=25 / 3)
    beta: Float[Array, ""] = eqx.field(converter=to_float, default=25 / 6)
    tau: Float[Array, ""] = eqx.field(converter=to_float, default=25 / 300)
    kappa: Float[Array, ""] = eqx.field(converter=to_float, default=1e-4)
    margin: Float[Array, ""] = eqx.field(converter=to_float, default=0.1)
    mu: float = eqx.field(static=True, default=25.0)
    model: str = eqx.field(static=True, default="plackett_luce")

    weighted: ClassVar[bool] = True

    def __check_init__(self):
        if self.model not in _MODELS:
            raise ValueError(f"model must be one of {', '.join(map(repr, _MODELS))}, not {self.model!r}")

    def revise(
        self, mean: Float[Array, "t p"], variance: Float[Array, "t p"], match: Matches
    ) -> tuple[Float[Array, "t p"], Float[Array, "t p"]]:
        """One step along the gradient, and the curvature off the variance."""
        team_mean, spread = team_sums(mean, variance, match.where)
        beta = like(self.beta, mean)
        if self.model == "plackett_luce":
            gain, loss = plackett_luce_step(team_mean, spread, beta, match.rank, match.where.any(1))
        else:
            gain, loss = self._by_pairs(team_mean, spread, match)
        weight = match.weight.astype(mean.dtype)
        share = variance / spread[:, None]
        kept = jnp.maximum(1 - share * (weight * loss)[:, None], like(self.kappa, mean))
        return mean + share * (weight * gain)[:, None], variance * kept

    def noise(self, players: Float[Array, "*t"], dtype: Any) -> Float[Array, "*t"]:
        """The same for every team, however large."""
        return jnp.full_like(players, self.beta.astype(dtype) ** 2)

    def _by_pairs(
        self, mean: Float[Array, " t"], spread: Float[Array, " t"], match: Matches
    ) -> tuple[Float[Array, " t"], Float[Array, " t"]]:
        """Gradient and curvature of comparisons of pairs."""
        thurstone, part = self.model.startswith("thurstone"), self.model.endswith("part")
        scale = jnp.sqrt(spread[:, None] + spread[None, :] + 2 * like(self.beta, mean) ** 2)
        scale = 2 * scale if thurstone and part else scale
        x = (mean[:, None] - mean[None, :]) / scale
        ahead = match.rank[:, None] < match.rank[None, :]
        drawn = match.rank[:, None] == match.rank[None, :]
        if thurstone:
            slope, bend = _normal(x, like(self.margin, mean) / scale, ahead, drawn)
        else:
            slope, bend = _logistic(x, ahead, drawn)
        pair = opponents(match.where)
        if part:
            place = jnp.arange(mean.shape[0])
            pair = pair & (jnp.abs(place[:, None] - place[None, :]) <= _REACH)
        number = jnp.maximum(pair.sum(1), 1) if part else jnp.ones(mean.shape, int)
        zero = jnp.zeros_like(x)
        gain = jnp.where(pair, spread[:, None] / scale * slope, zero).sum(1)
        loss = jnp.where(pair, spread[:, None] ** 1.5 / scale**3 * bend, zero).sum(1)
        return gain / number.astype(x.dtype), loss / number.astype(x.dtype)


def _logistic(
    x: Float[Array, "t t"], ahead: Bool[Array, "t t"], drawn: Bool[Array, "t t"]
) -> tuple[Float[Array, "t t"], Float[Array, "t t"]]:
    """Of the log-probability of a logistic comparison, a draw as half a win."""
    p = jax.nn.sigmoid(x)
    outcome = ahead.astype(x.dtype) + drawn.astype(x.dtype) / 2
    return outcome - p, p * (1 - p)


def _normal(
    x: Float[Array, "t t"], margin: Float[Array, "t t"], ahead: Bool[Array, "t t"], drawn: Bool[Array, "t t"]
) -> tuple[Float[Array, "t t"], Float[Array, "t t"]]:
    """Of the log-probability of a normal comparison with a margin of draws."""
    side = jnp.where(ahead, jnp.ones_like(x), -jnp.ones_like(x))
    moved = correction(side * x, margin, drawn)
    return side * moved.gain, moved.loss


def plackett_luce_step(
    mean: Float[Array, " t"],
    spread: Float[Array, " t"],
    beta: Float[Array, ""],
    rank: Int[Array, " t"],
    there: Bool[Array, " t"],
) -> tuple[Float[Array, " t"], Float[Array, " t"]]:
    """Gradient and curvature of a ranking as successive choices; teams that tie share their stages."""
    zero = jnp.zeros_like(mean)
    total = jnp.where(there, spread + beta**2, zero).sum()
    scale = jnp.sqrt(jnp.where(there.any(), total, jnp.ones_like(total)))
    # [i, q]: the chance that i is chosen at the stage of q, from q and all that came in no better.
    left = there[:, None] & there[None, :] & (rank[:, None] >= rank[None, :])
    worth = jnp.where(left, (mean / scale)[:, None], float(jnp.finfo(mean.dtype).min) / 4)
    p = jnp.where(left, jax.nn.softmax(worth, axis=0), jnp.zeros_like(worth))
    tied = (there[:, None] & there[None, :] & (rank[:, None] == rank[None, :])).sum(0)
    each = 1 / jnp.maximum(tied, 1).astype(mean.dtype)[None, :]
    chosen = jnp.eye(mean.shape[0], dtype=mean.dtype)
    gain = jnp.where(left, (chosen - p) * each, jnp.zeros_like(p)).sum(1)
    loss = (p * (1 - p) * each).sum(1)
    return spread / scale * gain, spread**1.5 / scale**3 * loss
