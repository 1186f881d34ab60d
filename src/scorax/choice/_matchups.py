"""Relative confidence: which questions to set against each other, and scores from who was surer of which."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float, Int, PRNGKeyArray
from scipy import sparse
from scipy.sparse import csgraph

from scorax.choice._models import BradleyTerry
from scorax.choice._ratings import Elo, EloState, TrueSkill, elo_permuted
from scorax.data import Comparisons
from scorax.inference import fit, iid_prior

# Each round exchanges the ends of most edges, so few rounds forget the start.
_ROUNDS = 20
# Of Elo ratings, whose noise from the order of rows then is a tenth of what it was.
_ORDERS = 100


def confidence_matchups(n: int, m: int, *, design: str = "random", key: PRNGKeyArray) -> Int[Array, "p 2"]:
    """Pairs of questions to be compared. No question meets itself.

    Args:
        n: Number of questions.
        m: Opponents of each, from 1 to `n - 1`.
        design: `"random"`: each question draws `m` distinct opponents, `p = n * m` pairs; a pair may be drawn from both
            sides, and questions may fall into groups that never meet. `"regular"`: a random graph in which each has
            exactly `m` opponents, no pair repeats and all are linked, `p = n * m / 2` pairs.
        key: The same key gives the same pairs.

    Returns:
        Ids of both questions of each pair; in the random design the one that drew comes first.

    Raises:
        ValueError: `m` is out of range, the design is unknown, or no graph is regular: `n * m` is odd, or `m` is 1.

    Example:
        >>> pairs = confidence_matchups(6, 3, design="regular", key=jax.random.key(0))
        >>> pairs.shape, jnp.bincount(pairs.reshape(-1))
        ((9, 2), Array([3, 3, 3, 3, 3, 3], dtype=int32))

    Source: Shrivastava, Kumar & Liang (2025), arXiv:2502.01126.
    """
    if not 1 <= m < n:
        raise ValueError(f"each of {n} questions can have from 1 to {n - 1} opponents, not {m}")
    generator = np.random.default_rng(np.asarray(jax.random.bits(key, (4,), jnp.uint32)))
    if design == "random":
        return jnp.asarray(_drawn(n, m, generator), jnp.int32)
    if design != "regular":
        raise ValueError(f"design must be 'random' or 'regular', not {design!r}")
    if n * m % 2:
        raise ValueError(f"{n} questions cannot have {m} opponents each: one of the two numbers must be even")
    if m == 1 and n > 2:
        raise ValueError("with one opponent each, questions fall into pairs that cannot be ranked: take m of 2 or more")
    return jnp.asarray(_regular(n, m, generator), jnp.int32)


def _drawn(n: int, m: int, generator: np.random.Generator) -> np.ndarray:
    """Floyd's way to draw `m` of `n - 1` others, for all questions at once."""
    others = np.full((n, m), -1)
    for place in range(m):
        last = n - 1 - m + place
        drawn = generator.integers(0, last + 1, n)
        taken = (others[:, :place] == drawn[:, None]).any(1)
        others[:, place] = np.where(taken, last, drawn)
    question = np.arange(n)
    # Numbered from the question onwards, around the circle.
    opponents = (question[:, None] + 1 + others) % n
    return np.stack([np.repeat(question, m), opponents.reshape(-1)], axis=1)


def _regular(n: int, m: int, generator: np.random.Generator) -> np.ndarray:
    """Neighbours on a circle of random order, then exchanges of ends until nothing of the circle is left."""
    place = np.arange(n)
    circle = [np.stack([place, (place + step) % n], axis=1) for step in range(1, m // 2 + 1)]
    if m % 2:
        circle.append(np.stack([place[: n // 2], place[: n // 2] + n // 2], axis=1))
    edges = generator.permutation(n)[np.concatenate(circle)]
    if m == 2:
        # Exchanges would leave several circles.
        return edges
    for _ in range(_ROUNDS):
        edges = _exchanged(edges, n, generator)
    while not _linked(edges, n):
        edges = _exchanged(edges, n, generator)
    return edges


def _exchanged(edges: np.ndarray, n: int, generator: np.random.Generator) -> np.ndarray:
    """Edges two by two swap an end, where that makes no loop and repeats no pair."""
    edges = generator.permuted(generator.permutation(edges), axis=1)
    half = len(edges) // 2
    first, second = edges[:half], edges[half : 2 * half]
    new = np.stack([[first[:, 0], second[:, 1]], [second[:, 0], first[:, 1]]]).transpose(2, 0, 1)
    names = _pair_names(new, n)
    _, group, times = np.unique(names, return_inverse=True, return_counts=True)
    bad = (new[..., 0] == new[..., 1]) | (times[group].reshape(names.shape) > 1) | np.isin(names, _pair_names(edges, n))
    good = ~bad.any(1)
    edges[:half][good], edges[half : 2 * half][good] = new[good, 0], new[good, 1]
    return edges


def _pair_names(edges: np.ndarray, n: int) -> np.ndarray:
    return edges.min(-1).astype(np.int64) * n + edges.max(-1)


def _linked(edges: np.ndarray, n: int) -> bool:
    graph = sparse.coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(n, n))
    return csgraph.connected_components(graph, directed=False)[0] == 1


def relative_confidence(
    comparisons: Comparisons,
    *,
    method: str = "bradley_terry",
    prior_precision: float | int = 1.0,
    n_items: int | None = None,
    key: PRNGKeyArray | None = None,
) -> Float[Array, " k"]:
    """A confidence for every question from comparisons of pairs; larger is surer, and only the order is meant.

    For a probability of being right, calibrate it on questions whose answers are known.

    Args:
        comparisons: Outcome 1 where the model was surer of question `a`, 1/2 where it could not tell.
        method: `"bradley_terry"`: strengths under independent normal priors, which stay finite where a question won
            all of its few comparisons. `"elo"`: the mean of Elo ratings (K of 32) over 100 random orders.
            `"trueskill"`: mean skills of TrueSkill, in the order of the rows.
        prior_precision: Of each strength, above 0: the mode maximises log-likelihood minus
            `prior_precision / 2 * sum(strength**2)`. Bradley-Terry only.
        n_items: Number of questions; by default one more than the largest id. Those never compared get the confidence
            of a newcomer.
        key: Draws the orders; Elo only.

    Returns:
        Natural-log odds, mean zero; for TrueSkill skills, of which newcomers have 25.

    Raises:
        ValueError: The method is unknown, the precision is not positive, Elo has no key, an id is `n_items` or more, or
            (TrueSkill) an outcome is a soft label.

    Example:
        >>> surer = sx.data.Comparisons.from_arrays([0, 0, 1], [1, 2, 2], [1.0, 1.0, 1.0])
        >>> relative_confidence(surer).round(3) + 0
        Array([ 0.591,  0.   , -0.591], dtype=float32)

    Source: Shrivastava, Kumar & Liang (2025), arXiv:2502.01126.
    """
    if not prior_precision > 0:
        raise ValueError(f"prior_precision must be positive, not {prior_precision}")
    k = 1 + max(int(comparisons.a.max()), int(comparisons.b.max())) if n_items is None else n_items
    methods: dict[str, Callable[[], Float[Array, " k"]]] = {
        "bradley_terry": lambda: _bradley_terry(comparisons, k, prior_precision),
        "elo": lambda: _elo(comparisons, k, key),
        "trueskill": lambda: TrueSkill().rate(comparisons.expand(), TrueSkill().init(k)).mu,
    }
    if method not in methods:
        raise ValueError(f"method must be one of {sorted(methods)}, not {method!r}")
    return methods[method]()


def _bradley_terry(comparisons: Comparisons, k: int, precision: Any) -> Float[Array, " k"]:
    model = BradleyTerry.init(k)
    # An array, so that another precision compiles nothing.
    scale = 1 / jnp.sqrt(jnp.asarray(precision, model.strength.dtype))
    prior = iid_prior(model, {"strength": dist.Normal(jnp.zeros_like(scale), scale)})
    return fit(model, comparisons, prior=prior).model.strength


def _elo(comparisons: Comparisons, k: int, key: PRNGKeyArray | None) -> Float[Array, " k"]:
    if key is None:
        raise ValueError("Elo ratings depend on an order, which is drawn: pass key=jax.random.key(...)")
    elo = Elo(k=jnp.asarray(32.0))
    ratings = elo_permuted(comparisons.expand(), _ORDERS, key=key, elo=elo, n_items=k)
    return elo.strength(EloState(ratings.mean(0)))
