"""Kemeny's rule where exact search is out of reach: single items move to their best place until none gains."""

import jax
import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray


def search(support: Float[np.ndarray, "k k"], *, restarts: int, key: PRNGKeyArray) -> Int[np.ndarray, " k"]:
    """A good order: the best of local optima from Borda's and Copeland's orders and from random changes of the best."""
    margin = support - support.T
    starts = [np.argsort(-margin.sum(1), kind="stable"), np.argsort(-np.sign(margin).sum(1), kind="stable")]
    best = min((_settle(margin, start) for start in starts), key=lambda order: _excess(margin, order))
    random = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    for _ in range(restarts):
        candidate = _settle(margin, _shaken(best, random))
        if _excess(margin, candidate) < _excess(margin, best):
            best = candidate
    return best


def _excess(margin: np.ndarray, order: np.ndarray) -> float:
    """Minus the net support that the order follows: the cost up to a constant."""
    return -float(np.triu(margin[np.ix_(order, order)], 1).sum())


def _settle(margin: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Sweep over the items, each to its best place, until a whole sweep moves none."""
    moved = True
    while moved:
        moved = False
        for item in order.copy():
            others = order[order != item]
            # Gain of standing behind the first p of the others: their support over the item, net.
            place = int(np.argmin(np.concatenate([[0.0], np.cumsum(margin[item, others])])))
            here = int(np.flatnonzero(order == item)[0])
            if place != here and _gains(margin[item, others], here, place):
                order = np.insert(others, place, item)
                moved = True
    return order


def _gains(net: np.ndarray, here: int, place: int) -> bool:
    """Whether a move gains more than rounding can: a tie must not move, or the sweeps never end."""
    low, high = sorted((here, place))
    gain = net[low:high].sum() * (1 if place < here else -1)
    return bool(gain > 1e-9 * max(np.abs(net).sum(), 1e-300))


def _shaken(order: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A few items, one in eight, inserted anywhere."""
    k = len(order)
    picked = random.choice(k, size=max(3, k // 8), replace=False)
    shaken = np.delete(order, picked)
    for item in order[picked]:
        shaken = np.insert(shaken, random.integers(len(shaken) + 1), item)
    return shaken
