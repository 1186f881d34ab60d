"""Rankings: fits, ties of any order, exact consensus."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._row import Case, peer, row
from scorax.choice import PlackettLuce, davidson_luce_log_prob, kemeny
from scorax.data import Rankings
from scorax.inference import fit


def rankings(n: int, length: int, n_items: int) -> np.ndarray:
    """Ids, best first, of rankings of random subsets drawn from a Plackett-Luce model."""
    generator = np.random.default_rng(0)
    strength = generator.normal(size=n_items)
    order = np.argpartition(generator.random((n, n_items)), length, axis=1)[:, :length]
    noisy = strength[order] + generator.gumbel(size=order.shape)
    return np.take_along_axis(order, np.argsort(-noisy, axis=1), axis=1)


def _gradient(order: np.ndarray, strength: np.ndarray) -> np.ndarray:
    worth = np.exp(strength[order])
    remaining = np.cumsum(worth[:, ::-1], axis=1)[:, ::-1]
    expected = worth * np.cumsum(1 / remaining, axis=1)
    return np.bincount(order.ravel(), (1 - expected).ravel(), len(strength))


@row("plackett_luce_fit", "1e5 rankings of 10, 1000 items", x64=True)
def _fit() -> Case:
    n_items = 1000
    order = rankings(10**5, 10, n_items)
    lists = [tuple(line) for line in order.tolist()]

    def error(strength: Any) -> float:
        """Steepest coordinate of the log-likelihood, a ranking."""
        return float(np.abs(_gradient(order, np.asarray(strength, np.float64))).max() / len(order))

    def call() -> Any:
        return fit(PlackettLuce.init(n_items), Rankings.from_arrays(order, n_items=n_items)).model.strength

    def choix() -> Any:
        import choix  # pyright: ignore[reportMissingImports]

        return choix.ilsr_rankings(n_items, lists)

    return Case(
        call,
        bytes=order.nbytes,
        error=error,
        peers=[peer("choix", choix, error)],
        goals={"slower_than": 1 / 20, "error": 1e-10},
    )


@row("davidson_luce_log_prob + grad", "1000 x 100, ties of three, f32")
def _ties() -> Case:
    generator = np.random.default_rng(0)
    level = np.sort(generator.integers(0, 70, (1000, 100)), axis=1)
    # No more than three of a level: the others move up.
    for place in range(3, 100):
        full = level[:, place] == level[:, place - 3]
        level[full, place:] += 1
        level = np.maximum.accumulate(level, axis=1)
    strength = jax.random.normal(jax.random.key(0), (1000, 100))
    log_tie, tie_level = jnp.asarray([-0.5, -1.0]), jnp.asarray(level)

    @jax.jit
    def program(strength: jax.Array) -> Any:
        return jax.value_and_grad(lambda s: davidson_luce_log_prob(s, tie_level, log_tie).sum())(strength)

    # Listing the sets of up to three of a hundred items would take 166 750 terms a stage.
    return Case(lambda: program(strength), bytes=2 * strength.nbytes)


@row("kemeny", "16 items, exact", x64=True)
def _kemeny() -> Case:
    generator = np.random.default_rng(0)
    support = generator.integers(0, 100, (16, 16)).astype(float)
    np.fill_diagonal(support, 0)
    return Case(lambda: kemeny(support).order, goals={"seconds": 2.0})
