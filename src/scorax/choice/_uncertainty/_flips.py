"""How few votes hold up the top of a leaderboard: a smallest set, found by influence and proved by a refit."""

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from scorax.choice._uncertainty._contrasts import contrasts
from scorax.choice._uncertainty._vote_influence import Gap, vote_influence, weight_of_one
from scorax.inference import Fit, fit

# Linear predictions in a row, each from where the last one ended.
_MOST_ROUNDS = 20


@dataclasses.dataclass(frozen=True)
class Flip:
    """Votes whose removal puts another item on top."""

    leader: int
    """The item on top of the whole data."""
    new_leader: int
    """The item on top without the removed votes; `leader` still where nothing was found."""
    removed: np.ndarray
    """How many observations of each row (or cell) to take out, in the shape of the data's weights."""
    predicted: int
    """How many were expected to be enough, by the sum of their single influences."""
    verified: bool
    """Whether an exact refit without the removed votes has `new_leader` on top."""
    fit: Fit[Any]
    """That refit."""

    @property
    def n_removed(self) -> int:
        """How many votes are taken out."""
        return int(self.removed.sum())


class _Votes(NamedTuple):
    """Observations in the order in which they are taken out, equal ones of a row together."""

    row: np.ndarray
    units: np.ndarray

    def removed(self, n: int, n_rows: int) -> np.ndarray:
        """How many of each row are among the first `n`."""
        before = np.cumsum(self.units) - self.units
        return np.bincount(self.row, np.clip(n - before, 0, self.units), n_rows)

    def first(self, n: int) -> "_Votes":
        """The first `n` votes."""
        before = np.cumsum(self.units) - self.units
        some = before < n
        return _Votes(self.row[some], np.minimum(self.units, n - before)[some])

    def then(self, more: "_Votes") -> "_Votes":
        """These and others after them."""
        return _Votes(np.concatenate([self.row, more.row]), np.concatenate([self.units, more.units]))

    @property
    def total(self) -> int:
        """How many votes there are."""
        return int(self.units.sum())


def flips(result: Fit[Any], *, rivals: int = 5, max_votes: int | None = None) -> Flip:
    """A small set of votes without which another item leads.

    For each rival, votes are taken out in the order of their influence on its distance to the leader, as many as the
    sum of influences asks for. A refit without them says whether the leader has changed; if not, influences are taken
    anew from there. Then the shortest run of these votes that is enough is found by exact refits, halving. What is
    found is proof that so few votes are enough, not that fewer are not: the search is greedy, exact only up to ties in
    practice on small data.

    Args:
        result: Of `fit` for a model with a `strength`, by maximum likelihood or under a prior.
        rivals: How many items to try: those whose distance to the leader is the fewest standard errors.
        max_votes: Give up beyond so many; half of all by default.

    Returns:
        The smallest `Flip` found. Where none was, `verified` is false and nothing is removed. (Votes without which
        no finite maximum exists prove nothing, and are not taken.)

    Raises:
        ValueError: `rivals` or `max_votes` is not positive, or the fit failed.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0] * 9, [1] * 9, [1.0] * 5 + [0.0] * 4)
        >>> found = flips(sx.inference.fit(sx.choice.BradleyTerry.init(2), battles))
        >>> found.n_removed, found.new_leader, found.verified  # 3 to 4
        (2, 1, True)

    Source: Broderick, Giordano and Meager (2020), arXiv:2011.14999; Huang, Shen, Wei and Broderick (2025),
        arXiv:2508.11847.
    """
    strength = np.asarray(result.model.strength)
    if not np.isfinite(strength).all():
        raise ValueError("the fit failed: there is no leader to unseat")
    if rivals < 1 or (max_votes is not None and max_votes < 1):
        raise ValueError(f"rivals and max_votes must be at least 1, not {rivals} and {max_votes}")
    limit = int(np.asarray(result.data.count).sum() // 2) if max_votes is None else max_votes
    leader = int(strength.argmax())
    away = -np.asarray(contrasts(result, reference=leader).z)
    near = [int(rival) for rival in np.argsort(away, kind="stable")[: min(rivals, strength.size - 1)]]
    proposals = [(_next_votes(result, leader, rival), rival) for rival in near]
    best = Flip(leader, leader, np.zeros(result.data.weight.shape, np.int64), 0, False, result)
    # The most promising first: the others then have to do better.
    for votes, rival in sorted(proposals, key=lambda proposal: (proposal[0].total, proposal[1])):
        most = best.n_removed - 1 if best.verified else limit
        found = _unseat(result, leader, rival, votes, most) if 0 < votes.total <= most else None
        best = best if found is None else found
    return best


def _next_votes(current: Fit[Any], leader: int, rival: int) -> _Votes:
    """The votes that hold the leader above the rival most, as many as are expected to be enough; none if none are."""
    found = vote_influence(current, target=Gap.of(leader, rival))
    change = np.asarray(found.change, np.float64).ravel()
    whole = np.floor(np.asarray(current.data.count, np.float64).ravel() + 1e-6).astype(np.int64)
    order = np.argsort(change, kind="stable")
    order = order[(change[order] < 0) & (whole[order] > 0)]
    fall = np.cumsum(-change[order] * whole[order])
    distance = float(found.value)
    if not fall.size or fall[-1] <= distance:
        return _Votes(order[:0], whole[:0])
    last = int(np.searchsorted(fall, distance, side="right"))
    votes = _Votes(order[: last + 1], whole[order[: last + 1]])
    spare = int((fall[last] - distance) // -change[order[last]])
    return votes.first(max(votes.total - spare, 1))


def _unseat(result: Fit[Any], leader: int, rival: int, votes: _Votes, most: int) -> Flip | None:
    """Take votes out until the leader changes, then as few of them as will do; None where that takes too many."""
    predicted, n_rows = votes.total, result.data.weight.size
    for _ in range(_MOST_ROUNDS):
        if votes.total > most:
            return None
        current = _without(result, votes.removed(votes.total, n_rows))
        if _lead(current, leader) != leader:
            return _shortest(result, leader, votes, predicted)
        more = _next_votes(current, leader, rival)
        if more.total == 0:
            return None
        votes = votes.then(more)
    return None


def _shortest(result: Fit[Any], leader: int, votes: _Votes, predicted: int) -> Flip | None:
    """The shortest run that changes the leader (or leaves no finite maximum, which is no flip)."""
    n_rows = result.data.weight.size
    below, above = 0, votes.total
    while above - below > 1:
        middle = (below + above) // 2
        if _lead(_without(result, votes.removed(middle, n_rows)), leader) == leader:
            below = middle
        else:
            above = middle
    removed = votes.removed(above, n_rows).astype(np.int64)
    refit = _without(result, removed)
    new_leader = _lead(refit, leader)
    if new_leader is None:
        return None
    return Flip(leader, new_leader, removed.reshape(result.data.weight.shape), predicted, True, refit)


def _lead(result: Fit[Any], leader: int) -> int | None:
    """The item on top, the old leader if it is level with it; None where there is no finite maximum."""
    if not bool(result.diagnostics.converged):
        return None
    strength = np.asarray(result.model.strength)
    first = int(strength.argmax())
    level = strength[first] - strength[leader] <= float(np.finfo(strength.dtype).eps) ** 0.5
    return leader if level else first


def _without(result: Fit[Any], removed: np.ndarray) -> Fit[Any]:
    """The exact refit, started at the estimate."""
    data = result.data
    each = weight_of_one(data, data.weight.dtype)
    count = data.count - jnp.asarray(removed.reshape(data.weight.shape), data.count.dtype)
    fewer = dataclasses.replace(data, weight=each * count.astype(each.dtype), count=count)
    return fit(result.model, fewer, prior=result.problem.program, solver=result.solver, throw=False)
