"""How far the samples of the probability flow are from those of the reverse equation, and a bound on it."""

from collections.abc import Callable
from typing import NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from scipy.optimize import linear_sum_assignment

from scorax.diffusion._one_step_samplers import euler_maruyama
from scorax.diffusion._process import AbstractProcess, Score
from scorax.diffusion._samplers import heun

Metric = Callable[[Float[Array, "n *event"], Float[Array, "n *event"]], Float[Array, ""]]


class OdeSdeGap(NamedTuple):
    """Samples by the two ways, from the same noise, and the distance of their laws."""

    gap: Float[Array, ""]
    ode: Float[Array, "n *event"]
    sde: Float[Array, "n *event"]


class GaussianGap(NamedTuple):
    """Variances at the earliest time by the two ways, their distance, and its bound."""

    ode_variance: Float[Array, " d"]
    sde_variance: Float[Array, " d"]
    gap: Float[Array, ""]
    bound: Float[Array, ""]


def gaussian_wasserstein(x: Float[Array, "n *event"], y: Float[Array, "m *event"]) -> Float[Array, ""]:
    r"""The 2-Wasserstein distance of the normal laws with the means and covariances of two sets of samples.

    It is at most that of the samples themselves, and blind to everything but two moments.

    Args:
        x: Samples, at least one.
        y: Other samples.

    Returns:
        One distance.

    Example:
        >>> x = jnp.array([[-1.0], [1.0]])
        >>> gaussian_wasserstein(x, 2 * x + 3)  # means 3 apart, standard deviations 1 apart
        Array(3.1622777, dtype=float32)

    Source: Gelbrich (1990), doi:10.1002/mana.19901470121.
    """
    (first, a), (second, b) = (_moments(samples) for samples in (x, y))
    cross = jnp.linalg.svd(a @ b, compute_uv=False).sum()
    square = jnp.sum((first - second) ** 2) + jnp.sum(a**2) + jnp.sum(b**2) - 2 * cross
    return jnp.sqrt(jnp.maximum(square, 0))


def assignment_wasserstein(x: Float[Array, "n *event"], y: Float[Array, "m *other"]) -> Float[Array, ""]:
    r"""The 2-Wasserstein distance of two sets of as many samples, by the best assignment of one to the other.

    It is computed on the host in about cubic time, so not within compiled code, for up to a few thousand samples. In
    more than a few dimensions it overstates the distance of the laws, by that of two sets from the same one.

    Args:
        x: Samples.
        y: As many others.

    Returns:
        One distance.

    Raises:
        ValueError: The sets differ in shape.

    Example:
        >>> assignment_wasserstein(jnp.array([[0.0], [1.0]]), jnp.array([[3.0], [0.0]]))  # sqrt((0 + 4) / 2)
        Array(1.4142135, dtype=float32)

    Source: Crouse (2016), doi:10.1109/TAES.2016.140952 (the algorithm of SciPy).
    """
    if x.shape != y.shape:
        raise ValueError(f"an assignment needs as many samples of the same shape: {x.shape} and {y.shape}.")
    a, b = (np.asarray(samples, np.float64).reshape(len(x), -1) for samples in (x, y))
    cost = np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T, 0)
    return jnp.asarray(np.sqrt(cost[linear_sum_assignment(cost)].mean()), x.dtype)


def ode_sde_gap(
    score: Score,
    process: AbstractProcess,
    x_T: Float[Array, "n *event"],
    times: Float[Array, " t"],
    *,
    key: PRNGKeyArray,
    metric: Metric = gaussian_wasserstein,
    offset: int | Int[Array, ""] = 0,
) -> OdeSdeGap:
    r"""The distance between samples by the probability flow (`heun`) and by the reverse equation (`euler_maruyama`).

    With the exact score the two laws agree; with a learned one the distance says how far it is from the score of any
    noised density, whatever the data. Both ways start from the same noise and take the same times. Take many times: the
    error of the second way falls only with the step.

    Args:
        score: `score(x, t)`, on one sample and one time.
        process: The noise process the score belongs to.
        x_T: Noise at the first time, such as `process.prior_sample((n, *event), key=key)`. Where it is not the noised
            data, the reverse equation forgets that, and the probability flow does not.
        times: At least two times, decreasing, with noise at the last.
        key: Random key. Row `i` uses `fold_in(key, offset + i)`.
        metric: Distance of the laws of two sets of samples: `gaussian_wasserstein`, `assignment_wasserstein` (not
            under `jit`), or a function of your own.
        offset: Place of the first row in the whole batch, so that chunks draw what the whole would.

    Returns:
        The distance and both sets of samples.

    Raises:
        ValueError: There are fewer than two times.

    Example:
        >>> process, exact = sx.diffusion.EDM(), lambda x, t: -x / (1 + t**2)  # N(0, 1) data
        >>> times, (first, second) = sx.diffusion.edm_grid(64, 0.05, 80.0)[:-1], jax.random.split(jax.random.key(0))
        >>> x_T = process.prior_sample((500, 1), key=first)
        >>> bool(jax.jit(lambda key: ode_sde_gap(exact, process, x_T, times, key=key))(second).gap < 0.2)
        True

    Source: Deveney et al. (2025), arXiv:2311.15996.
    """
    ode = heun(score, process, x_T, times)
    sde = euler_maruyama(score, process, x_T, times, key=key, offset=offset)
    return OdeSdeGap(metric(ode, sde), ode, sde)


def w2_gap_bound_gaussian(
    model_variance: Callable[[Float[Array, ""]], Float[Array, " d"]],
    process: AbstractProcess,
    prior_variance: Float[Array, " d"],
    *,
    t0: float,
    t1: float,
    rtol: float = 1e-6,
    atol: float = 1e-8,
) -> GaussianGap:
    r"""Gap and bound for a linear score `-x / v(t)`, entry by entry, where both are known from variance equations.

    The bound is `∫ g²/2 (E_q |s - ∇log q|²)^½ exp(∫_0^t L) dt`, with `q` the law of the reverse equation and `L` the
    one-sided Lipschitz constant of the reverse flow. Both ways start from `N(0, prior_variance)` at `t1`. The gap is
    zero if and only if `v` solves the variance equation of the process.

    Args:
        model_variance: `v(t)`, the variance that the score takes each entry to have. Positive.
        process: The noise process.
        prior_variance: Variances at `t1`. Positive.
        t0: Earliest time.
        t1: Latest time.
        rtol: Relative tolerance of the adaptive solver (Tsitouras, order 5).
        atol: Absolute tolerance.

    Returns:
        Both variances at `t0`, the 2-Wasserstein distance of the two normal laws, and the bound on it.

    Raises:
        ValueError: `t1` is not later than `t0`.

    Example:
        >>> process, noised = sx.diffusion.EDM(), lambda t: 1 + t[None] ** 2  # the truth for N(0, 1) data
        >>> exact = w2_gap_bound_gaussian(noised, process, jnp.array([5.0]), t0=0.1, t1=2.0)
        >>> bool(exact.gap < 1e-4), bool(exact.bound < 1e-4)
        (True, True)

    Source: Deveney et al. (2025), arXiv:2311.15996; the bound in this form is Grönwall's inequality.
    """
    if not t0 < t1:
        raise ValueError(f"t1 must be later than t0, not t0={t0}, t1={t1}.")
    dtype = prior_variance.dtype

    def change(t, state, _):
        ode, sde, bound = state
        time = jnp.asarray(t, dtype)
        rate, noise = process.drift_rate(time).astype(dtype), process.diffusion2(time).astype(dtype)
        pull = noise / model_variance(time).astype(dtype)
        lipschitz = (-rate - 0.5 * pull).max()
        error = jnp.sqrt(jnp.sum((1 / sde - pull / noise) ** 2 * sde))
        # Times fall, so what grows on the way down has a negative rate.
        return (
            2 * (rate + 0.5 * pull) * ode,
            2 * (rate + pull) * sde - noise,
            -(lipschitz * bound + 0.5 * noise * error),
        )

    found = diffrax.diffeqsolve(
        diffrax.ODETerm(change),
        diffrax.Tsit5(),
        jnp.asarray(t1, dtype),
        jnp.asarray(t0, dtype),
        dt0=None,
        y0=(prior_variance, prior_variance, jnp.zeros((), dtype)),
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
    )
    assert found.ys is not None
    ode, sde, bound = jax.tree.map(lambda leaf: leaf[-1], found.ys)
    gap = jnp.sqrt(jnp.sum((jnp.sqrt(ode) - jnp.sqrt(sde)) ** 2))
    return GaussianGap(ode, sde, gap, bound)


def _moments(x: Float[Array, "n *event"]) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
    """Mean and the symmetric root of the biased covariance."""
    flat = x.reshape(len(x), -1)
    centred = flat - flat.mean(0)[None]
    values, vectors = jnp.linalg.eigh(centred.T @ centred / len(x))
    return flat.mean(0), vectors * jnp.sqrt(jnp.maximum(values, 0))[None] @ vectors.T
