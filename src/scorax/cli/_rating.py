"""What `scorax elo` computes: ratings after all matches, from the state of a rating system."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from scorax.choice import Elo, Glicko, Glicko2, TrueSkill, WengLin, elo_permuted
from scorax.cli._elo import System
from scorax.cli._options import Format
from scorax.cli._output import print_table, to_csv
from scorax.cli._session import note
from scorax.cli._votes import Votes
from scorax.data import Comparisons


class Wanted(NamedTuple):
    """The choices of the command line."""

    system: System
    k: float
    permutations: int | None
    seed: int
    level: float
    quiet: bool


@dataclasses.dataclass(frozen=True)
class RatingRow:
    """One item."""

    rank: int
    item: str
    rating: float
    deviation: float | None
    """What the system takes for the standard deviation of the rating, if it has one."""
    lower: float | None
    upper: float | None
    """Interval of the rating over orders, where they were drawn."""
    matches: float


class _Rated(NamedTuple):
    """Numbers by item."""

    rating: Any
    deviation: Any = None
    lower: Any = None
    upper: Any = None


def rate(votes: Votes, wanted: Wanted) -> list[RatingRow]:
    """Ratings from the highest to the lowest."""
    data, items = votes.data, votes.items
    # Read as comparisons, see the command.
    assert isinstance(data, Comparisons)
    k = len(items)
    found = _SYSTEMS[wanted.system](data, k, wanted)
    note(f"{k} items, {len(data.weight):,} matches: {wanted.system}", quiet=wanted.quiet)
    columns = [[None] * k if column is None else np.asarray(column, float).tolist() for column in found]
    matches = sum(np.bincount(np.asarray(side), minlength=k) for side in (data.a, data.b))
    order = np.argsort(-np.asarray(found.rating), kind="stable")
    return [
        RatingRow(place, items[int(i)], *(column[i] for column in columns), matches=float(np.asarray(matches)[i]))
        for place, i in enumerate(order, 1)
    ]


def _elo(data: Comparisons, k: int, wanted: Wanted) -> _Rated:
    system = Elo(k=jnp.asarray(wanted.k))
    if wanted.permutations is None:
        return _Rated(system.rate(_by_time(data), system.init(k)).rating)
    key = jax.random.key(wanted.seed)
    ratings = np.asarray(elo_permuted(data, wanted.permutations, key=key, elo=system, n_items=k))
    tail = (1 - wanted.level) / 2
    return _Rated(ratings.mean(0), None, *np.quantile(ratings, [tail, 1 - tail], axis=0))


def _in_periods(make: Callable[[], Any]) -> Callable[[Comparisons, int, Wanted], _Rated]:
    def of(data: Comparisons, k: int, wanted: Wanted) -> _Rated:
        if data.time is None:
            note("all matches are one period: --time-column says otherwise", quiet=wanted.quiet)
            data = dataclasses.replace(data, time=jnp.zeros_like(data.weight))
        system = make()
        state = system.rate(data, system.init(k))
        return _Rated(state.rating, state.deviation)

    return of


def _of_skills(make: Callable[[], Any]) -> Callable[[Comparisons, int, Wanted], _Rated]:
    def of(data: Comparisons, k: int, wanted: Wanted) -> _Rated:
        system = make()
        state = system.rate(_by_time(data), system.init(k))
        return _Rated(state.mu, state.sigma)

    return of


_SYSTEMS: dict[System, Callable[[Comparisons, int, Wanted], _Rated]] = {
    System.ELO: _elo,
    System.GLICKO: _in_periods(Glicko),
    System.GLICKO2: _in_periods(Glicko2),
    System.TRUESKILL: _of_skills(TrueSkill),
    System.WENG_LIN: _of_skills(WengLin),
}


def _by_time(data: Comparisons) -> Comparisons:
    return data if data.time is None else data.take(np.argsort(np.asarray(data.time), kind="stable"))


def show(rows: Sequence[RatingRow], format: Format, level: float) -> None:
    """Print the ratings to standard output."""
    records = [dataclasses.asdict(row) for row in rows]
    if format == Format.JSON:
        print(json.dumps(records, indent=1, ensure_ascii=False))
    elif format == Format.CSV:
        print(to_csv(records), end="")
    else:
        # A system has all of its numbers for every item.
        first = rows[0]
        kinds = {"deviation": first.deviation, f"{100 * level:g}% of orders": first.lower}
        shown = [heading for heading, value in kinds.items() if value is not None]
        # Skills are of the order of ten, ratings in points of the order of a thousand.
        digits = 2 if max(abs(row.rating) for row in rows) < 100 else 0
        print_table(["rank", "item", "rating", *shown, "matches"], [_cells(row, digits) for row in rows])


def _cells(row: RatingRow, digits: int) -> list[str]:
    cells = [str(row.rank), row.item, f"{row.rating:.{digits}f}"]
    if row.deviation is not None:
        cells.append(f"{row.deviation:.{digits}f}")
    if row.lower is not None and row.upper is not None:
        cells.append(f"{row.lower:.{digits}f} to {row.upper:.{digits}f}")
    return [*cells, f"{row.matches:g}"]
