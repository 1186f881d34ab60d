"""What `scorax aggregate` computes: an order and scores by a rule of voting."""

import dataclasses
import json
from typing import Any

import numpy as np

from scorax.choice import aggregate, kemeny, pairwise_matrix
from scorax.cli._aggregate import Rule
from scorax.cli._options import Format
from scorax.cli._output import print_table, to_csv
from scorax.cli._session import note
from scorax.cli._votes import Votes
from scorax.data import Comparisons


@dataclasses.dataclass(frozen=True)
class Place:
    """One item."""

    rank: int
    item: str
    score: float | None
    """The larger, the better; None where the rule gives none."""


@dataclasses.dataclass(frozen=True)
class Order:
    """What the rule found."""

    method: str
    items: tuple[Place, ...]
    cost: float | None = None
    """Kemeny's: support that the order contradicts."""
    lower_bound: float | None = None
    """No order costs less."""
    exact: bool | None = None
    """Whether no order is better, for sure."""


def order_of(votes: Votes, method: Rule | None, *, quiet: bool) -> Order:
    """The order of all items by a rule."""
    k, data = len(votes.items), votes.data
    pairs = isinstance(data, Comparisons)
    rule = method or (Rule.COUNTING if pairs else Rule.BORDA)
    voted = np.asarray(data.count).sum()
    said = f"{k} items, {voted:,.0f} {'comparisons' if pairs else 'rankings'}: {rule}"
    ballots: Any = data.table(k) if isinstance(data, Comparisons) else data
    if rule != Rule.KEMENY:
        found = aggregate(ballots, rule.replace("-", "_"), n_items=k)
        note(said, quiet=quiet)
        return Order(str(rule), _places(votes, np.asarray(found.order), np.asarray(found.score)))
    best = kemeny(pairwise_matrix(ballots, n_items=k))
    sure = "which no order is below" if best.exact else f"and no order is below {best.lower_bound:g}"
    note(f"{said} contradicts {best.cost:g} votes on pairs, {sure}", quiet=quiet)
    places = tuple(Place(place, votes.items[int(i)], None) for place, i in enumerate(np.asarray(best.order), 1))
    return Order(str(rule), places, best.cost, best.lower_bound, best.exact)


def _places(votes: Votes, order: np.ndarray, score: np.ndarray) -> tuple[Place, ...]:
    """Equal scores share the best of their ranks; items without a score come last."""
    known = np.isfinite(score)
    rank = np.where(known, 1 + (score[None, :] > score[:, None]).sum(1), 1 + known.sum())
    return tuple(Place(int(rank[i]), votes.items[int(i)], float(score[i]) if known[i] else None) for i in order)


def show(found: Order, format: Format) -> None:
    """Print the order to standard output; as CSV, the items only."""
    rows = [dataclasses.asdict(place) for place in found.items]
    if format == Format.JSON:
        whole = {name: value for name, value in dataclasses.asdict(found).items() if value is not None}
        print(json.dumps({**whole, "items": rows}, indent=1, ensure_ascii=False))
    elif format == Format.CSV:
        print(to_csv(rows), end="")
    else:
        scored = any(place.score is not None for place in found.items)
        headings = ["rank", "item", *["score"] * scored]
        body = [[str(p.rank), p.item, *["" if p.score is None else f"{p.score:.4g}"] * scored] for p in found.items]
        print_table(headings, body)
