"""Matches of several teams with several players each, and how they ended."""

from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from scorax.data._base import AbstractRows
from scorax.data._comparisons import Comparisons
from scorax.data._lists import is_list, listed_ids, to_lists
from scorax.data._ragged import codes, padded
from scorax.data._validate import (
    is_concrete,
    refuse,
    refuse_empty,
    to_array,
    to_clusters,
    to_filled_ids,
    to_float_array,
    to_int_array,
    to_numbers,
    to_weights,
    to_where,
)
from scorax.data._vocabulary import Vocabulary


class Matches(AbstractRows):
    """Matches of two teams or more, one or several equal ones a row.

    `members` holds the ids of each team's players, any valid id where `where` is false; a team without a player is not
    there. `rank` says how the teams came in, 1 is best, equal ranks are a draw, 0 stands where no team is. `time` says
    when, and rows of one `cluster` are not independent.
    """

    members: Int[Array, "n t p"]
    where: Bool[Array, "n t p"]
    rank: Int[Array, "n t"]
    weight: Float[Array, " n"]
    count: Float[Array, " n"]
    cluster: Int[Array, " n"] | None = None
    time: Float[Array, " n"] | None = None

    @classmethod
    def from_arrays(
        cls,
        members: Any,
        rank: Any,
        *,
        where: Any = None,
        weight: Any = None,
        count: Any = None,
        cluster: Any = None,
        time: Any = None,
        n_items: int | None = None,
    ) -> "Matches":
        """Check and build from arrays, one match a row.

        Args:
            members: `[n, t, p]` ids of players, counted from 0, or `[n, t]` where every player stands alone.
            rank: `[n, t]`, any numbers; lower is better, equal is a draw, and only their order within a match matters.
            where: In the shape of `members`, which places are filled; all by default.
            weight: What a row adds; `count` by default.
            count: How many equal matches a row stands for; 1 by default.
            cluster: An id for every row.
            time: When each match took place, in any unit.
            n_items: Number of players, where it is known: ids are checked against it.

        Raises:
            ValueError: no rows, shapes that differ, ids that are no ids, fewer than two teams in a match, a player
                twice in a match, a rank that is missing, a missing, infinite or negative value.

        Example:
            >>> games = Matches.from_arrays([[0, 1, 2], [2, 1, 0]], [[10, 20, 20], [1, 2, 3]])
            >>> games.rank
            Array([[1, 2, 2],
                   [1, 2, 3]], dtype=int32)
        """
        ids, filled = _places(members, where)
        present = np.any(filled, axis=2, keepdims=False)
        refuse(present.sum(1) < 2, "a match has fewer than two teams", "Drop these rows.")
        ids = to_filled_ids("members", ids, filled, n_items)
        _refuse_repeats(ids, filled)
        weights, counts = to_weights(weight, count, len(ids))
        return cls(
            members=to_int_array(ids),
            where=jnp.asarray(filled),
            rank=to_int_array(_dense_ranks(rank, present)),
            weight=weights,
            count=counts,
            cluster=to_clusters(cluster, len(ids)),
            time=None if time is None else to_float_array(to_numbers("time", time, (len(ids),))),
        )

    @classmethod
    def from_lists(
        cls,
        matches: Iterable[Any],
        ranks: Iterable[Any] | None = None,
        *,
        vocabulary: Vocabulary | None = None,
        weight: Any = None,
        count: Any = None,
        cluster: Any = None,
        time: Any = None,
        n_items: int | None = None,
    ) -> "Matches":
        """From lists of teams, each a list of players: `[["ann", "bob"], ["cy"]]` is one match.

        Args:
            matches: Teams of ids, or of names where a vocabulary is given, of any sizes.
            ranks: One number a team, lower is better, equal is a draw. By default the teams stand in the order in which
                they came in, the winners first.
            vocabulary: What names mean; `Vocabulary.of` collects them.
            weight: As in `from_arrays`.
            count: As in `from_arrays`.
            cluster: As in `from_arrays`.
            time: As in `from_arrays`.
            n_items: As in `from_arrays`; the vocabulary's length, where one is given.

        Raises:
            ValueError: as in `from_arrays`, an empty team or one that is no list, not one rank for every team, names
                without a vocabulary, or a name that is unknown.

        Example:
            >>> players = Vocabulary.of(["ann", "bob", "cy"])
            >>> Matches.from_lists([[["ann", "bob"], ["cy"]]], ranks=[[2, 1]], vocabulary=players).members
            Array([[[0, 1],
                    [2, 0]]], dtype=int32)
        """
        mend = "A match is a list of teams: [['ann', 'bob'], ['cy']]."
        given = to_lists(matches, "matches", "a match", mend)
        refuse([not all(map(is_list, match)) for match in given], "a team is no list", mend)
        teams = [[list(team) for team in match] for match in given]
        n_teams = np.array([len(match) for match in teams])
        refuse(n_teams < 2, "a match has fewer than two teams", mend)
        sizes = [np.array([len(team) for team in match]) for match in teams]
        refuse([(size == 0).any() for size in sizes], "a team is empty", "Leave the team out.")
        flat = [player for match in teams for team in match for player in team]
        ids = listed_ids("members", flat, vocabulary)
        by_team, filled = padded(ids, np.concatenate(sizes))
        places, present = padded(np.arange(len(by_team)), n_teams)
        return cls.from_arrays(
            by_team[places],
            _listed_ranks(ranks, n_teams),
            where=filled[places] & present[:, :, None],
            weight=weight,
            count=count,
            cluster=cluster,
            time=time,
            n_items=n_items if vocabulary is None else len(vocabulary),
        )

    @classmethod
    def from_comparisons(cls, comparisons: Comparisons) -> "Matches":
        """Comparisons as matches of two teams with one player each. Covariates are left behind; works under `jit`.

        Raises:
            ValueError: an outcome is not 0, 1/2 or 1 (checked where the values are known).

        Example:
            >>> Matches.from_comparisons(Comparisons.from_arrays([0, 1], [2, 0], [0.0, 0.5])).rank
            Array([[2, 1],
                   [1, 1]], dtype=int32)
        """
        outcome = comparisons.outcome
        if is_concrete(outcome):
            known = np.isin(np.asarray(outcome), (0.0, 0.5, 1.0))
            refuse(~known, "outcome is not 0, 1/2 or 1", "A match is won, lost or drawn: round soft labels.")
        members = jnp.stack([comparisons.a, comparisons.b], axis=1)[:, :, None]
        behind = jnp.stack([outcome < 0.5, outcome > 0.5], axis=1)
        return cls(
            members=members,
            where=jnp.ones(members.shape, bool),
            rank=1 + behind.astype(jnp.int32),
            weight=comparisons.weight,
            count=comparisons.count,
            cluster=comparisons.cluster,
            time=comparisons.time,
        )

    def canonical(self) -> "Matches":
        """The same matches with id 0 in all places that are not filled."""
        return Matches(
            members=jnp.where(self.where, self.members, 0),
            where=self.where,
            rank=self.rank,
            weight=self.weight,
            count=self.count,
            cluster=self.cluster,
            time=self.time,
        )


def _places(members: Any, where: Any) -> tuple[np.ndarray, np.ndarray]:
    """Ids `[n, t, p]` and which of them are filled."""
    given = to_array("members", members)
    ids = given[:, :, None] if given.ndim == 2 else given
    if ids.ndim != 3:
        raise ValueError(
            f"members has shape {given.shape}; expected [n, t, p]. For teams of different sizes: from_lists"
        )
    refuse_empty(ids.size, "matches")
    filled = np.ones(given.shape, bool) if where is None else to_where("where", where, given.shape, "members")
    return ids, filled.reshape(ids.shape)


def _dense_ranks(rank: Any, present: np.ndarray) -> np.ndarray:
    """1, 2, ... within each match, equal where the given numbers are; 0 where there is no team."""
    raw = to_array("rank", rank)
    if raw.shape != present.shape:
        raise ValueError(f"rank has shape {raw.shape}; the matches ask for {present.shape}")
    if raw.dtype.kind not in "fiub":
        raise ValueError(f"rank holds {raw.dtype} values, not numbers")
    numbers = to_numbers("rank", np.where(present, raw, 0), present.shape)
    keys = np.where(present, codes(numbers.ravel()).reshape(numbers.shape) + 1, 0)
    ordered = np.sort(keys, axis=1)
    steps = np.diff(ordered, axis=1, prepend=0) > 0
    place = (ordered[:, None, :] < keys[:, :, None]).sum(2)
    return np.take_along_axis(np.cumsum(steps, axis=1), place, axis=1)


def _listed_ranks(ranks: Iterable[Any] | None, n_teams: np.ndarray) -> np.ndarray:
    if ranks is None:
        return np.broadcast_to(np.arange(n_teams.max()), (len(n_teams), n_teams.max()))
    listed = to_lists(ranks, "ranks", "the ranks of a match", "Write [[1, 2], [2, 1]]: a number a team.")
    if len(listed) != len(n_teams):
        raise ValueError(f"ranks are given for {len(listed)} matches, but there are {len(n_teams)}")
    refuse([len(rank) for rank in listed] != n_teams, "there is not one rank for every team", "Lower is better.")
    return padded(np.asarray([x for rank in listed for x in rank]), n_teams)[0]


def _refuse_repeats(ids: np.ndarray, filled: np.ndarray) -> None:
    # Places that are not filled get ids of their own.
    flat, width = ids.reshape(len(ids), -1).astype(np.int64), ids[0].size
    ordered = np.sort(np.where(filled.reshape(flat.shape), flat, -1 - np.arange(width)), axis=1)
    refuse((ordered[:, 1:] == ordered[:, :-1]).any(1), "a player is listed twice", "A player is in one team, once.")
