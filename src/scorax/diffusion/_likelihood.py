"""Log-densities of a score model: along its probability flow, bounds on them, and along any trajectory."""

import math
from collections.abc import Callable

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.diffusion._process import AbstractProcess, Score
from scorax.diffusion._times import importance_times
from scorax.numerics import checked_score
from scorax.score_matching import divergence as field_divergence

LogProb = Callable[[Float[Array, "..."]], Float[Array, ""]]


def probability_flow_log_prob(
    score: Score,
    process: AbstractProcess,
    x: Float[Array, "n *event"],
    *,
    key: PRNGKeyArray | None = None,
    divergence: str = "exact",
    n_probes: int = 1,
    prior: LogProb | None = None,
    t0: float = 1e-5,
    t1: float = 1.0,
    solver: diffrax.AbstractAdaptiveSolver | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    max_steps: int = 4096,
    offset: int | Int[Array, ""] = 0,
) -> Float[Array, " n"]:
    r"""Log-densities of samples under the probability flow of a score, by the instantaneous change of variables.

    $$\log p_{t_0}(x) = \log \pi(x(t_1)) + \int_{t_0}^{t_1} \nabla \cdot u(x(t), t)\, dt, \quad
      \dot x = u = f x - \tfrac12 g^2 s$$

    A stage of the solver evaluates the score once, linearised: drift and divergence come from the same evaluation. With
    "hutchinson" a sample's directions are held fixed on its way, so that its equation is deterministic, and the
    estimate of its log-density is unbiased. Each sample has its own steps; a step is as dear as that of the sample
    that needs most.

    Args:
        score: `score(x, t)`, the gradient in x of the log-density of the noised data, on one sample. Differentiable.
        process: The noise process the score was trained with.
        x: Samples at `t0`.
        key: Random key, for all divergences but "exact". Row `i` uses `fold_in(key, offset + i)`.
        divergence: "exact", "hutchinson", "hutchpp" or "xtrace", as in `sx.score_matching.divergence`.
        n_probes: Products of the Jacobian for those that are not exact.
        prior: Log-density of one sample at `t1`; None for that of the noise from which sampling starts. The noised data
            are wider than it is, which for a process whose noise explodes costs some hundredths of a nat.
        t0: Time of the samples. The noise must not be zero there.
        t1: Time of the prior; `sigma_max` for the :class:`EDM` process.
        solver: An adaptive solver of diffrax; None for that of Tsitouras, order 5.
        rtol: Relative tolerance.
        atol: Absolute tolerance.
        max_steps: Most steps of the solver; more are a run-time error.
        offset: Place of the first row in the whole batch, so that chunks draw what the whole would.

    Returns:
        Natural log-density of each sample.

    Raises:
        ValueError: There are no samples, `t1` is not later than `t0`, or the divergence is unknown or lacks its key.

    Example:
        >>> process, exact = sx.diffusion.VariancePreserving(), lambda x, t: -x  # N(0, 1) data
        >>> jnp.round(probability_flow_log_prob(exact, process, jnp.zeros((1, 2))), 3)  # -log(2 pi)
        Array([-1.838], dtype=float32)

    Source: Song et al. (2021), arXiv:2011.13456, section 4.3; Grathwohl et al. (2019), arXiv:1810.01367.
    """
    if x.shape[0] == 0:
        raise ValueError(f"there are no samples: their shape is {x.shape}.")
    if not t0 < t1:
        raise ValueError(f"t1 must be later than t0, not t0={t0}, t1={t1}.")
    if divergence != "exact" and key is None:
        raise ValueError(f"the divergence {divergence!r} draws random directions: pass key=, or take 'exact'.")
    velocity = process.probability_flow(lambda x, t: checked_score(score(x, t), x))
    last = process.prior_log_prob if prior is None else prior
    rows = offset + jnp.arange(x.shape[0], dtype=jnp.int32)

    def one(x, row):
        directions = None if key is None else jax.random.fold_in(key, row)

        def stage(t, state, _):
            # The time of the solver may be wider than the sample.
            return field_divergence(
                lambda x: velocity(x, t.astype(x.dtype)),
                state[0],
                method=divergence,
                key=directions,
                n_probes=n_probes,
            )

        end, change = _solve(stage, (x, jnp.zeros((), x.dtype)), t0, t1, solver, rtol, atol, max_steps)
        return last(end) + change

    return jax.vmap(one)(x, rows)


def bits_per_dim(log_prob: Float[Array, "*s"], n_dims: int, scale: float = 1.0) -> Float[Array, "*s"]:
    """Bits a coordinate needs, `-log_prob / (n_dims log 2) + log2(scale)`.

    Args:
        log_prob: Natural log-densities of what the model saw, `data / scale + shift`.
        n_dims: Entries of a sample.
        scale: Units of the data in one of the model: 127.5 for pixels of 0 to 255 that were mapped to [-1, 1], 128
            where dequantised pixels in [0, 256) were. Positive.

    Returns:
        Bits per dimension.

    Raises:
        ValueError: `n_dims` or `scale` is not positive.

    Example:
        >>> bits_per_dim(jnp.zeros(()), 2, 128.0)
        Array(7., dtype=float32)

    Source: Theis, van den Oord and Bethge (2016), arXiv:1511.01844.
    """
    if n_dims < 1:
        raise ValueError(f"n_dims must be at least 1, not {n_dims}.")
    if not scale > 0:
        raise ValueError(f"scale must be positive, not {scale}.")
    return -log_prob / (n_dims * math.log(2)) + math.log2(scale)


def diffusion_elbo(
    score: Score,
    process: AbstractProcess,
    x0: Float[Array, "n *event"],
    *,
    key: PRNGKeyArray,
    n_times: int = 1,
    prior: LogProb | None = None,
    t0: float = 1e-5,
    t1: float = 1.0,
    offset: int | Int[Array, ""] = 0,
) -> Float[Array, " n"]:
    r"""An unbiased estimate of an upper bound on the negative log-density of samples, without solving an equation.

    $$-\mathbb E \log \pi(x_{t_1}) + \tfrac12 \int_{t_0}^{t_1} \mathbb E\big[ g^2 (|s|^2 + 2 \langle s, e \rangle /
      \sigma) - 2 \nabla \cdot f x \big]\, dt$$

    The times of a sample are equidistant in the log signal-to-noise ratio with a random shift of its own. The bound is
    that of the noised sample, `E[-log p(x_t0) | x0]`. Both `|s|²` and the noise's score diverge towards no noise, and
    the difference of their squares is written so that they never meet.

    Args:
        score: `score(x, t)`, the gradient in x of the log-density of the noised data, on one sample.
        process: The noise process the score was trained with.
        x0: Clean samples.
        key: Random key. Row `i` uses `fold_in(key, offset + i)`.
        n_times: How many times to draw for each sample. At least 1.
        prior: Log-density of one sample at `t1`; None for that of the noise from which sampling starts.
        t0: Earliest time. The noise must not be zero there.
        t1: Latest time; `sigma_max` for the :class:`EDM` process.
        offset: Place of the first row in the whole batch, so that chunks draw what the whole would.

    Returns:
        The bound for each sample, in nats.

    Raises:
        ValueError: There are no samples, `n_times` is less than 1, or `t1` is not later than `t0`.

    Example:
        >>> process, exact = sx.diffusion.VariancePreserving(), lambda x, t: -x  # N(0, 1) data
        >>> bound = diffusion_elbo(exact, process, jnp.zeros((64, 1)), key=jax.random.key(0), n_times=1024)
        >>> bool(jnp.abs(bound.mean() - 0.919) < 0.3)  # log(2 pi) / 2
        True

    Source: Song, Durkan, Murray and Ermon (2021), arXiv:2101.09258, theorem 3.
    """
    if x0.shape[0] == 0:
        raise ValueError(f"there are no samples: their shape is {x0.shape}.")
    if n_times < 1:
        raise ValueError(f"n_times must be at least 1, not {n_times}.")
    last = process.prior_log_prob if prior is None else prior
    rows = offset + jnp.arange(x0.shape[0], dtype=jnp.int32)
    end = jnp.asarray(t1, x0.dtype)

    def one(x0, row):
        of_times, of_noise, of_prior = jax.random.split(jax.random.fold_in(key, row), 3)
        times, density = importance_times((n_times,), key=of_times, process=process, t0=t0, t1=t1, dtype=x0.dtype)

        def integrand(t, density, key):
            x, noise = process.perturb(x0, t, key=key)
            value = checked_score(score(x, t), x)
            sigma, diffusion2 = process.sigma(t).astype(x0.dtype), process.diffusion2(t).astype(x0.dtype)
            change = 0.5 * diffusion2 * ((value**2).sum() + 2 * (value * noise).sum() / sigma)
            return (change - x0.size * process.drift_rate(t).astype(x0.dtype)) / density

        inner = jax.vmap(integrand)(times, density, jax.random.split(of_noise, n_times)).mean()
        noised = jax.vmap(lambda key: last(process.perturb(x0, end, key=key)[0]))
        return inner - noised(jax.random.split(of_prior, n_times)).mean()

    return jax.vmap(one)(x0, rows)


def ito_log_density_increment(
    score: Float[Array, "*event"],
    drift: Float[Array, "*event"],
    drift_divergence: Float[Array, ""],
    diffusion2: Float[Array, ""],
    dx: Float[Array, "*event"],
    dtau: float | Float[Array, ""],
) -> Float[Array, ""]:
    r"""Change of the log-density of the noised data along one step of any trajectory, without a score's divergence.

    $$d \log q = \langle s, dx \rangle
      + \big( \nabla \cdot f + \langle f, s \rangle - \tfrac12 g^2 |s|^2 \big)\, d\tau$$

    in reverse time `tau`, for a trajectory whose noise has the process' own `g` and whose drift may be anything. The
    sum over steps is right to the root of the step.

    Args:
        score: Gradient of the log-density at the start of the step.
        drift: Drift of the process itself, forward in time, there.
        drift_divergence: Divergence of that drift; `d` times `drift_rate` for a process of this room.
        diffusion2: Squared diffusion coefficient there.
        dx: The step.
        dtau: Its length in reverse time. Positive.

    Returns:
        The increment.

    Example:
        >>> ito_log_density_increment(jnp.ones(2), jnp.zeros(2), jnp.array(0.0), jnp.array(2.0), jnp.ones(2), 0.5)
        Array(1., dtype=float32)

    Source: Skreta et al. (2025), arXiv:2412.17762 (superposition of diffusion models).
    """
    rate = drift_divergence + (drift * score).sum() - 0.5 * diffusion2 * (score**2).sum()
    return (score * dx).sum() + rate * dtau


def _solve(
    stage: Callable, start: tuple[Array, Array], t0: float, t1: float, solver, rtol: float, atol: float, max_steps: int
) -> tuple[Float[Array, "*event"], Float[Array, ""]]:
    """The state at `t1` of an equation of pairs, in the precision of the state."""
    dtype = start[0].dtype
    found = diffrax.diffeqsolve(
        diffrax.ODETerm(stage),
        diffrax.Tsit5() if solver is None else solver,
        jnp.asarray(t0, dtype),
        jnp.asarray(t1, dtype),
        dt0=None,
        y0=start,
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
        max_steps=max_steps,
    )
    assert found.ys is not None
    return jax.tree.map(lambda a: a[0], found.ys)
