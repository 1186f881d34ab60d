"""The worst R-hat and effective sample size of draws so far, while a sampler runs.

On the host: the number of draws changes from one look to the next, and each number would be another program. The same
figures as those of `rhat` and `effective_sample_size(kind="bulk")`, which are compiled, and differentiable.
"""

from typing import NamedTuple

import numpy as np
import scipy.special
from jaxtyping import Float

_FEWEST = 8
_MOST_QUANTITIES = 2048


class Convergence(NamedTuple):
    """How far a run is; NaN where there are too few draws, or too few chains, to say."""

    rhat: float
    """The largest, over all quantities."""
    ess: float
    """The smallest effective sample size of the bulk."""


def convergence(draws: Float[np.ndarray, "c r q"]) -> Convergence:
    """The worst of all quantities; of so many that it would be slow, of an even selection."""
    chains, length, quantities = draws.shape
    if length < _FEWEST or quantities == 0:
        return Convergence(np.nan, np.nan)
    chosen = np.unique(np.linspace(0, quantities - 1, min(quantities, _MOST_QUANTITIES)).astype(int))
    x = np.moveaxis(draws[..., chosen], -1, 0).astype(np.float64)
    # What never moves (a fixed reference) says nothing; what moved in no chain but differs between them says all.
    moves = x.max((1, 2)) != x.min((1, 2))
    x = x[moves & np.isfinite(x).all((1, 2))]
    if not x.shape[0]:
        return Convergence(np.nan, np.nan)
    halves = _split(x)
    z = _normal_scores(halves)
    folded = _normal_scores(np.abs(halves - np.median(halves, axis=(1, 2), keepdims=True)))
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.fmax(_scale_reduction(z), _scale_reduction(folded))
        ess = _effective_sample_size(z)
    return Convergence(float(apart.max()) if chains > 1 else np.nan, float(np.nanmin(ess)))


def _split(x: Float[np.ndarray, "q c r"]) -> Float[np.ndarray, "q m n"]:
    half = x.shape[2] // 2
    return np.concatenate([x[..., :half], x[..., x.shape[2] - half :]], axis=1)


def _normal_scores(x: Float[np.ndarray, "q m n"]) -> Float[np.ndarray, "q m n"]:
    flat = x.reshape(x.shape[0], -1)
    size = flat.shape[1]
    order = np.argsort(flat, axis=1)
    ordered = np.take_along_axis(flat, order, axis=1)
    # Equal draws share the average of their ranks: the mean of the first and the last place of their run.
    places = np.broadcast_to(np.arange(size), flat.shape)
    begins = np.concatenate([np.ones((flat.shape[0], 1), bool), ordered[:, 1:] != ordered[:, :-1]], axis=1)
    first = np.maximum.accumulate(np.where(begins, places, 0), axis=1)
    ends = np.concatenate([begins[:, 1:], np.ones((flat.shape[0], 1), bool)], axis=1)
    last = np.minimum.accumulate(np.where(ends, places, size)[:, ::-1], axis=1)[:, ::-1]
    rank = np.empty_like(flat)
    np.put_along_axis(rank, order, (first + last) / 2 + 1, axis=1)
    return scipy.special.ndtri((rank - 3 / 8) / (size + 1 / 4)).reshape(x.shape)


def _scale_reduction(z: Float[np.ndarray, "q m n"]) -> Float[np.ndarray, " q"]:
    n = z.shape[2]
    within, between = z.var(2, ddof=1).mean(1), z.mean(2).var(1, ddof=1)
    return np.sqrt((n - 1) / n + between / within)


def _effective_sample_size(z: Float[np.ndarray, "q m n"]) -> Float[np.ndarray, " q"]:
    """Geyer's initial monotone sequence."""
    _, m, n = z.shape
    spectrum = np.fft.rfft(z - z.mean(2, keepdims=True), 2 * n, axis=2)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, 2 * n, axis=2)[..., :n] / n
    within = covariance[..., 0].mean(1) * n / (n - 1)
    total = within * (n - 1) / n + z.mean(2).var(1, ddof=1)
    rho = 1 - (within[:, None] - covariance.mean(1)) / total[:, None]
    rho[:, 0] = 1
    last = -(-(n - 2) // 2) - 1
    pairs = rho[:, : 2 * last + 2].reshape(rho.shape[0], -1, 2).sum(2)
    negative = pairs <= 0
    stop = np.where(negative.any(1), negative.argmax(1), last)
    kept = np.where(np.arange(last + 1) < stop[:, None], np.minimum.accumulate(pairs, axis=1), 0).sum(1)
    tau = -1 + 2 * kept + np.maximum(np.take_along_axis(rho, 2 * stop[:, None], axis=1)[:, 0], 0)
    return m * n / np.maximum(tau, 1 / np.log10(m * n))
