"""Agreement: bootstrap of Krippendorff's alpha. Labels of 5000 items by 10 judges on 5 levels, a tenth missing."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._row import Case, peer, row
from scorax.stats import krippendorff_alpha, krippendorff_bootstrap, tally_ratings

ITEMS, JUDGES, LEVELS, DRAWS = 5000, 10, 5, 1000


def ratings() -> tuple[np.ndarray, np.ndarray]:
    """Levels, right six times in ten, and which of them there are."""
    random = np.random.default_rng(0)
    truth = random.integers(LEVELS, size=(ITEMS, 1))
    guess = random.integers(LEVELS, size=(ITEMS, JUDGES))
    right = random.uniform(size=(ITEMS, JUDGES)) < 0.6
    return np.where(right, truth, guess).astype(np.int32), random.uniform(size=(ITEMS, JUDGES)) < 0.9


def coincidences(labels: np.ndarray, there: np.ndarray) -> float:
    """Nominal alpha by its definition, in NumPy."""
    counts = np.stack([((labels == level) & there).sum(1) for level in range(LEVELS)], axis=1).astype(float)
    total = counts.sum(1)
    paired = total >= 2
    counts, total = counts[paired], total[paired]
    together = (counts.T / (total - 1)) @ counts - np.diag((counts / (total - 1)[:, None]).sum(0))
    margin = together.sum(1)
    n = margin.sum()
    return 1 - (n - 1) * (n - np.trace(together)) / (n**2 - (margin**2).sum())


def _bootstrap(metric: str) -> Case:
    labels, there = ratings()
    tally = tally_ratings(jnp.asarray(labels), LEVELS, where=jnp.asarray(there))
    key = jax.random.key(0)

    def draws() -> Any:
        return krippendorff_bootstrap(key, tally, DRAWS, metric=metric)

    def package() -> Any:
        import krippendorff  # pyright: ignore[reportMissingImports]

        random = np.random.default_rng(0)
        table = np.where(there, labels, np.nan)[random.integers(ITEMS, size=ITEMS)]
        return krippendorff.alpha(table.T, level_of_measurement=metric)

    def error(_: Any) -> float:
        return abs(float(krippendorff_alpha(tally).value) - coincidences(labels, there))

    # Redrawn counts are written once and read once, for all resamples at once.
    return Case(
        draws,
        bytes=2 * DRAWS * ITEMS * tally.dtype.itemsize,
        error=error if metric == "nominal" else None,
        peers=[peer("krippendorff", package, times=DRAWS)],
        goals={"seconds": 1.0},
    )


@row("krippendorff_bootstrap nominal", f"{ITEMS} x {JUDGES}, {DRAWS} resamples f32")
def _nominal() -> Case:
    return _bootstrap("nominal")


@row("krippendorff_bootstrap ordinal", f"{ITEMS} x {JUDGES}, {DRAWS} resamples f32")
def _ordinal() -> Case:
    return _bootstrap("ordinal")
