"""Confidence intervals of Bradley-Terry ratings that do not trust the model for the noise."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from benchmarks._choice import battles
from benchmarks._reference import bradley_terry_mle, win_matrix
from benchmarks._row import Case, peer, row
from scorax.choice import BradleyTerry
from scorax.data import Comparisons
from scorax.inference import fit


def _sandwich(wins: np.ndarray, ties: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Standard errors of strengths that sum to zero, in NumPy."""
    k = len(wins)
    p = 1 / (1 + np.exp(strength[None, :] - strength[:, None]))
    met = wins + wins.T + ties
    bread = np.linalg.pinv(_laplacian(met * p * p.T), hermitian=True)
    meat = wins * p.T**2 + wins.T * p**2 + ties * (p - 0.5) ** 2
    return np.sqrt(np.diagonal(bread @ _laplacian(meat.reshape(k, k)) @ bread))


def _laplacian(edges: np.ndarray) -> np.ndarray:
    np.fill_diagonal(edges, 0)
    return np.diag(edges.sum(1)) - edges


@row("bradley_terry_fit + sandwich errors", "1e6 rows, 1000 items", x64=True)
def _with_intervals() -> Case:
    n_items = 1000
    a, b, outcome = battles(10**6, n_items)
    decided = outcome != 0.5
    wins = win_matrix(a[decided], b[decided], outcome[decided], n_items)
    ties = 2 * win_matrix(a[~decided], b[~decided], outcome[~decided], n_items)
    exact = _sandwich(wins, ties, np.asarray(bradley_terry_mle(win_matrix(a, b, outcome, n_items)), np.float64))

    def error(std_error: Any) -> float:
        return float(np.abs(np.asarray(std_error) / exact - 1).max())

    def call() -> Any:
        comparisons = Comparisons.from_arrays(a, b, outcome, n_items=n_items)
        return fit(BradleyTerry.init(n_items), comparisons).robust().std_error.strength

    def arena_rank() -> Any:
        import arena_rank.models.bradley_terry as models  # pyright: ignore[reportMissingImports]
        import arena_rank.utils.data_utils as data  # pyright: ignore[reportMissingImports]
        import pandas as pd

        words = np.array(["model_b", "tie", "model_a"])[(2 * outcome).astype(int)]
        frame = pd.DataFrame({"model_a": a.astype(str), "model_b": b.astype(str), "winner": words})
        dataset = data.PairDataset.from_pandas(frame)
        found = models.BradleyTerry(n_items).compute_ratings_and_cis(dataset)
        place = np.argsort([int(name) for name in found["competitors"]])
        return np.sqrt(np.asarray(found["variances"]))[place] * np.log(10) / 400

    # arena-rank pins an old JAX: pip install --no-deps arena-rank, and it runs on this one.
    return Case(call, error=error, peers=[peer("arena_rank", arena_rank, error)], goals={"error": 1e-8})


@row("sandwich of bradley_terry", "1000 items, given the fit", x64=True)
def _sandwich_alone() -> Case:
    a, b, outcome = battles(10**6, 1000)
    result = fit(BradleyTerry.init(1000), Comparisons.from_arrays(a, b, outcome, n_items=1000).table(1000))
    return Case(lambda: jnp.diagonal(result.robust().covariance), goals={"seconds": 0.2})
