"""How few votes hold up the leader, and which votes do most."""

import dataclasses
import json
from typing import Any

import numpy as np

from scorax.choice import flips, vote_influence
from scorax.cli._votes import Votes
from scorax.data import Comparisons
from scorax.inference import Fit

_SHOWN = 10


@dataclasses.dataclass(frozen=True)
class Removed:
    """Votes of one row to take out."""

    row: int
    """Of the file (of rankings: which ranking), counted from 0."""
    vote: str
    votes: int


@dataclasses.dataclass(frozen=True)
class Influential:
    """A row whose votes hold the leader up."""

    row: int
    vote: str
    change: float
    """Of the gap between the first two, in strength, were one vote of the row not there."""
    leverage: float


@dataclasses.dataclass(frozen=True)
class Influence:
    """Everything that `--influence` found."""

    leader: str
    runner_up: str
    gap: float
    """Strength of the leader minus that of the runner-up."""
    votes: int
    """All that there are."""
    new_leader: str | None
    """None where half of the votes were not enough."""
    removed: tuple[Removed, ...]
    most_influential: tuple[Influential, ...]

    @property
    def n_removed(self) -> int:
        """How many votes are taken out."""
        return sum(row.votes for row in self.removed)


def influence_of(result: Fit[Any], votes: Votes) -> Influence:
    """The fewest votes found that change the leader, proved by a refit, and the rows that hold it up most."""
    strength = np.asarray(result.model.strength)
    leader, runner_up = (int(i) for i in np.argsort(-strength, kind="stable")[:2])
    flip, single = flips(result), vote_influence(result)
    # What a policy added stands behind the rows of the file, and is no vote.
    own = len(votes.row)
    places = [int(i) for i in single.strongest(own + _SHOWN)[0] if i < own][:_SHOWN]
    return Influence(
        leader=votes.items[leader],
        runner_up=votes.items[runner_up],
        gap=float(strength[leader] - strength[runner_up]),
        votes=int(np.asarray(votes.data.count)[:own].sum()),
        new_leader=votes.items[flip.new_leader] if flip.verified else None,
        removed=tuple(
            Removed(int(votes.row[i]), _words(votes, int(i)), int(flip.removed[i]))
            for i in np.flatnonzero(flip.removed)
        ),
        most_influential=tuple(
            Influential(int(votes.row[i]), _words(votes, i), float(single.change[i]), float(single.leverage[i]))
            for i in places
        ),
    )


def _words(votes: Votes, i: int) -> str:
    """What a row says, best first."""
    data, items = votes.data, votes.items
    if isinstance(data, Comparisons):
        a, b, outcome = items[int(data.a[i])], items[int(data.b[i])], float(data.outcome[i])
        if outcome in (0.0, 0.5, 1.0):
            return {1.0: f"{a} > {b}", 0.5: f"{a} = {b}", 0.0: f"{b} > {a}"}[outcome]
        return f"{a} > {b} ({outcome:.3g})"
    places = np.flatnonzero(np.asarray(data.where[i]))
    level = places if data.tie_level is None else np.asarray(data.tie_level[i])[places]
    names = [items[int(data.order[i, place])] for place in places]
    signs = [" = " if same else " > " for same in np.diff(level) == 0]
    return names[0] + "".join(sign + name for sign, name in zip(signs, names[1:], strict=True))


def describe(found: Influence) -> list[str]:
    """Lines for people."""
    if found.new_leader is None:
        n = found.votes
        first = f"No set of at most half of the {n:,} votes was found without which {found.leader} loses the lead."
    else:
        n = found.n_removed
        first = (
            f"Without {n:,} of {found.votes:,} votes ({100 * n / found.votes:.2g} %) {found.new_leader} leads, not "
            f"{found.leader}."
        )
    if not found.most_influential:
        return [first]
    lines = [first, f"Rows that hold {found.leader} above {found.runner_up} most:"]
    return lines + [f"  row {row.row}: {row.vote} ({row.change:+.4f} without it)" for row in found.most_influential]


def to_json(found: Influence) -> str:
    """All of it as an object."""
    return json.dumps({**dataclasses.asdict(found), "n_removed": found.n_removed}, indent=1, ensure_ascii=False)
