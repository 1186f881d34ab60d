"""DPM-Solver-v3: a multistep sampler that linearises the network by statistics of it, integrated beforehand."""

import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.diffusion._model_statistics import ModelStatistics
from scorax.diffusion._multistep import Samples
from scorax.diffusion._process import AbstractProcess, Score
from scorax.diffusion._sampling import Transform, clean_estimator, level_runner, plan


def dpm_solver_v3(
    score: Score,
    process: AbstractProcess,
    x_T: Float[Array, "n *event"],
    times: Float[Array, " t"],
    *,
    statistics: ModelStatistics,
    key: PRNGKeyArray | None = None,
    n_steps: int | Int[Array, ""] | None = None,
    order: int = 2,
    corrector: bool = True,
    p_pseudo: bool = False,
    c_pseudo: bool = False,
    lower_order_final: bool = True,
    transform: Transform | None = None,
    return_trajectory: bool = False,
) -> Samples:
    r"""Samples by DPM-Solver-v3, with one evaluation of the score a step.

    The flow is integrated exactly for a network that follows its statistics, by the trapezoid rule on their grid, in
    double precision on the host; what the network adds is extrapolated as in the other multistep methods. Times move to
    the nearest value of that grid. For normal data with a diagonal covariance one step is exact, up to the grid.
    With `l = 1`, `s = b = 0` it is DPM-Solver++.

    Args:
        score: `score(x, t)`, the gradient in x of the log-density of the noised data, on one sample.
        process: The noise process the score was trained with. Its parameters must be known values.
        x_T: Noise at the first time.
        times: At least two times, decreasing, known values, within the statistics; the last may be repeated. Its noise
            is not zero.
        statistics: Those of the network, such as from :func:`empirical_model_statistics`. Known values.
        key: Not used: nothing is random.
        n_steps: How many steps to take, which may be traced: the same program serves every number. None for all.
        order: Order of the predictor, 1 to 3.
        corrector: Whether a step is taken again once the network is known at its end.
        p_pseudo: Whether the predictor takes its derivatives from divided differences of their own order.
        c_pseudo: The same for the corrector, which is of one order more then.
        lower_order_final: Whether the order falls to one towards the last step.
        transform: `transform(x0, x, t)` on one sample, replaces the estimate of the clean sample at each evaluation.
        return_trajectory: Whether to return the samples at all times.

    Returns:
        Samples at the last time, or those at all times, first to last.

    Raises:
        ValueError: As the other samplers; `order` is not 1, 2 or 3; times, process or statistics are traced; the
            statistics do not increase, have another shape than the samples, do not reach over the times, or are so
            coarse that two times fall on one value.

    Example:
        >>> process, exact = sx.diffusion.EDM(), lambda x, t: -x / (1 + t**2)  # N(0, 1) data
        >>> grid = jnp.linspace(-jnp.log(10.0), jnp.log(10.0), 400)
        >>> slope = (1 / (1 + jnp.exp(2 * grid)))[:, None]
        >>> statistics = ModelStatistics(grid, slope, 0 * slope, 0 * slope)
        >>> x_T, times = jnp.array([[10.0]]), jnp.array([10.0, 0.1])
        >>> x = dpm_solver_v3(exact, process, x_T, times, statistics=statistics)
        >>> bool(jnp.abs(x - (10.0 * (1.01 / 101) ** 0.5))[0, 0] < 1e-3)
        True

    Source: Zheng, Lu, Chen and Zhu (2023), arXiv:2310.13268.
    """
    if order not in (1, 2, 3):
        raise ValueError(f"order must be 1, 2 or 3, not {order}.")
    places, known = _snapped(process, times, statistics, x_T)
    integrals = _Integrals.of(known)
    t = process.inverse_log_snr(jnp.asarray(known["log_snr"][places], x_T.dtype))
    steps = plan(process, t, x_T, n_steps)
    pairs = _pairs(places)
    predictors = [_rows(integrals, pairs, order, p, False, p_pseudo, x_T) for p in range(1, order + 1)]
    p = jnp.minimum(steps.number + 1, order)
    if lower_order_final:
        p = jnp.minimum(p, jnp.maximum(steps.left, 1))
    predict = _select(p, *predictors)
    correct = None
    if corrector:
        # Of order one there is nothing to correct: the row is a place holder.
        orders = [q + c_pseudo for q in range(1, order + 1)]
        correctors = [_rows(integrals, pairs, order, max(q, 2), True, c_pseudo, x_T) for q in orders]
        correct = _before(_select(p, *correctors)), _before(p + int(c_pseudo) > 1)
    slope = jnp.asarray(known["slope"][np.asarray(pairs)[:, 0]][:, None], x_T.dtype)
    estimate = clean_estimator(score, transform)

    def take(y, row, values):
        y = row.keep * y + row.shift
        return y + sum(weight * value for weight, value in zip(row.weights, values, strict=True))

    def step(state, at):
        (y, base, history), (_, (index, now, slope, predict, correct)) = state, at
        newest = y - estimate(y, now) - slope * y
        if correct is not None:
            row, wanted = correct
            y = jnp.where(wanted & (index > 0), take(base, row, (*history, newest)), y)
        history = (newest, *history[:-1])
        return take(y, predict, (*history, jnp.zeros_like(y))), y, history

    y = x_T / steps.now.alpha[0]
    start = (y, y, (jnp.zeros_like(y),) * order)
    inputs = (steps.number, steps.now, slope, predict, correct)
    return level_runner(step, start, steps, inputs, x_T, return_trajectory)


class _Row(NamedTuple):
    """A step `y <- keep y + shift + sum weights f`, `f` of the base, the ones before it, and the new end."""

    keep: Float[Array, "steps 1 *event"]
    shift: Float[Array, "steps 1 *event"]
    weights: tuple[Float[Array, "steps 1 *event"], ...]


class _Integrals(NamedTuple):
    """Integrals of the statistics from the first value of their grid, by the trapezoid rule."""

    at: np.ndarray
    slope: np.ndarray
    growth: np.ndarray
    both: np.ndarray
    """Of `exp(slope + growth)`."""
    shift: np.ndarray
    """Of `b exp(-growth)`."""
    shifted: np.ndarray
    """Of `exp(slope + growth) shift`."""

    @staticmethod
    def of(known: dict[str, np.ndarray]) -> "_Integrals":
        at = known["log_snr"]
        slope, growth = _cumulative(known["slope"], at), _cumulative(known["growth"], at)
        weight = np.exp(slope + growth)
        shift = _cumulative(known["shift"] * np.exp(-growth), at)
        return _Integrals(at, slope, growth, _cumulative(weight, at), shift, _cumulative(weight * shift, at))

    def moment(self, s: int, t: int, n: int) -> np.ndarray:
        """The integral from `s` to `t` of the weight relative to `s`, times a power over its factorial."""
        part = slice(s, t + 1)
        weight = np.exp(self.slope[part] + self.growth[part] - self.slope[s] - self.growth[s])
        power = (self.at[part] - self.at[s]) ** (n - 1) / math.factorial(n - 1)
        return np.trapezoid(weight * power.reshape(-1, *(1,) * (weight.ndim - 1)), self.at[part], axis=0)


def _cumulative(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    width = np.diff(at).reshape(-1, *(1,) * (values.ndim - 1))
    return np.concatenate([np.zeros_like(values[:1]), np.cumsum(0.5 * width * (values[1:] + values[:-1]), axis=0)])


def _snapped(
    process: AbstractProcess, times: Float[Array, " t"], statistics: ModelStatistics, x_T: Float[Array, "n *event"]
) -> tuple[list[int], dict[str, np.ndarray]]:
    """The place of each time in the grid of the statistics, and the statistics on the host."""
    with jax.ensure_compile_time_eval():
        found = process.log_snr(times)
    leaves = (found, statistics.log_snr, statistics.slope, statistics.growth, statistics.shift)
    if any(isinstance(leaf, Tracer) for leaf in leaves):
        raise ValueError(
            "the steps of DPM-Solver-v3 are integrated on the host: times, process and statistics must be known "
            "values, so close over them rather than passing them to the compiled function."
        )
    names = ("log_snr", "slope", "growth", "shift")
    known = {name: np.asarray(leaf, np.float64) for name, leaf in zip(names, leaves[1:], strict=True)}
    at, wanted = known["log_snr"], np.asarray(found, np.float64)
    if (np.diff(at) <= 0).any():
        raise ValueError("log_snr of the statistics must increase.")
    if known["slope"].shape[1:] != x_T.shape[1:]:
        raise ValueError(f"statistics of shape {known['slope'].shape[1:]} do not fit samples of {x_T.shape[1:]}.")
    slack = 0.5 * np.diff(at).max()
    if not ((wanted >= at[0] - slack) & (wanted <= at[-1] + slack)).all():
        raise ValueError(
            f"the statistics span log_snr from {at[0]:.4g} to {at[-1]:.4g}, the times from {wanted.min():.4g} to "
            f"{wanted.max():.4g}: take statistics over all of it, and end where the noise is not zero."
        )
    places = [int(np.abs(at - value).argmin()) for value in wanted]
    fixed = np.diff(np.asarray(times)) == 0
    if ((np.diff(places) == 0) & ~fixed).any():
        raise ValueError("two times fall on one value of the statistics' log_snr: take a finer grid or fewer steps.")
    return places, known


def _pairs(places: list[int]) -> list[tuple[int, int]]:
    """Places of base and end of each step; those of the first where nothing happens."""
    pairs = list(itertools.pairwise(places))
    return [pair if pair[0] != pair[1] else pairs[0] for pair in pairs]


def _rows(
    integrals: _Integrals,
    pairs: list[tuple[int, int]],
    held: int,
    order: int,
    corrects: bool,
    pseudo: bool,
    x_T: Float[Array, "n *event"],
) -> _Row:
    """The coefficients of all steps at one order; of a lower one where there are not so many evaluations yet.

    `held` is how many evaluations of the past a step has.
    """
    rows = [_row(integrals, pairs, i, held, order, corrects, pseudo) for i in range(len(pairs))]
    keep, shift, weights = zip(*rows, strict=True)
    cast = lambda parts: jnp.asarray(np.stack(parts)[:, None], x_T.dtype)  # noqa: E731
    return _Row(cast(keep), cast(shift), tuple(map(cast, zip(*weights, strict=True))))


def _row(integrals, pairs, i, held, order, corrects, pseudo):
    at, slope, growth, both, shift, shifted = integrals
    s, t = pairs[i]
    older = [pairs[i - back][0] for back in range(1, held) if i - back >= 0]
    nodes = ([t] if corrects else []) + older
    slots = ([held] if corrects else []) + [1 + back for back in range(len(older))]
    nodes, slots = nodes[: order - 1], slots[: order - 1]
    fade = np.exp(slope[s] - slope[t])
    total = both[t] - both[s]
    weights = [np.zeros_like(fade) for _ in range(held + 1)]
    weights[0] = -np.exp(-slope[t] - growth[s]) * total
    constant = -np.exp(-slope[t]) * (shifted[t] - shifted[s] - shift[s] * total)
    derivatives = _derivatives(at[nodes] - at[s], pseudo)
    moments = [integrals.moment(s, t, n + 2) for n in range(len(nodes))]
    for column, (node, slot) in enumerate(zip(nodes, slots, strict=True)):
        weight = -fade * sum(moment * row[column] for moment, row in zip(moments, derivatives, strict=True))
        weights[0] = weights[0] - weight
        weights[slot] = weights[slot] + weight * np.exp(growth[s] - growth[node])
        constant = constant - weight * np.exp(growth[s]) * (shift[node] - shift[s])
    return fade, constant, weights


def _derivatives(distance: np.ndarray, pseudo: bool) -> np.ndarray:
    """Rows: the first, second, ... derivative at the base, as a sum of differences of the nodes from it."""
    size = len(distance)
    if not pseudo:
        powers = np.arange(1, size + 1)
        factorials = np.array([math.factorial(n) for n in powers], np.float64)
        return np.linalg.inv(distance[:, None] ** powers[None] / factorials[None])
    rows = np.zeros((size, size))
    for n in range(1, size + 1):
        points = np.concatenate([[0.0], distance[:n]])
        for j in range(1, n + 1):  # the divided difference of f is sum_j f_j / prod_{m != j} (point_j - point_m)
            rows[n - 1, j - 1] = math.factorial(n) / np.prod(points[j] - np.delete(points, j))
    return rows


def _select(p: Int[Array, " steps"], *rows: _Row) -> _Row:
    """The rows of order `p` at each step."""

    def choose(*options):
        chosen = options[0]
        for q, option in enumerate(options[1:], 2):
            chosen = jnp.where((p == q).reshape(-1, *(1,) * (option.ndim - 1)), option, chosen)
        return chosen

    return jax.tree.map(choose, *rows)


def _before(rows):
    """What belonged to the step before; at the first step it is not used."""
    return jax.tree.map(lambda a: jnp.concatenate([a[:1], a[:-1]]), rows)
