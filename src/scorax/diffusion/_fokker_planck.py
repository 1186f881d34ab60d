"""How far a model's log-density, or its score, is from solving the equation that noised densities obey."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.numerics import row_keys
from scorax.score_matching import divergence, laplacian

LogDensity = Callable[[Float[Array, "..."], Float[Array, ""]], Float[Array, ""]]
Field = Callable[[Float[Array, "..."], Float[Array, ""]], Float[Array, "..."]]
Schedule = Callable[[Float[Array, ""]], Float[Array, ""]]


def log_fokker_planck_residual(
    log_density: LogDensity,
    drift: Field,
    diffusion2: Schedule,
    x: Float[Array, "n *event"],
    t: Float[Array, ""] | Float[Array, " n"],
    *,
    center: bool = False,
) -> Float[Array, " n"]:
    r"""What a log-density `u(x, t)` lacks to be that of `dx = f(x, t) dt + g(t) dW`.

    $$R = \partial_t u + \nabla \cdot f + f \cdot \nabla u - \tfrac12 g^2 (|\nabla u|^2 + \Delta u)$$

    Where it is zero, and the score is `∇u`, the probability flow and the reverse equation give the same samples. Of an
    unnormalised `u` it is known up to a function of time.

    Args:
        log_density: `u(x, t)`, on one sample and one time, to one number. It must be twice differentiable.
        drift: f, on one sample and one time, such as `process.drift`.
        diffusion2: Squared diffusion coefficient g² at one time, such as `process.diffusion2`.
        x: Samples, or points of any choice.
        t: One time for all, or one for each.
        center: Whether to take away the mean over the batch, for an unnormalised `u` and one time for all.

    Returns:
        One residual for each point.

    Raises:
        ValueError: There are no rows, or `center` with a time for each point.

    Example:
        >>> process = sx.diffusion.EDM()
        >>> u = lambda x, t: -0.5 * x[0] ** 2 / (1 + t**2) - 0.5 * jnp.log(1 + t**2)  # N(0, 1) data
        >>> residual = jax.jit(lambda x, t: log_fokker_planck_residual(u, process.drift, process.diffusion2, x, t))
        >>> bool(jnp.abs(residual(jnp.ones((1, 1)), jnp.array(0.7)))[0] < 1e-6)
        True

    Source: Deveney et al. (2025), arXiv:2311.15996.
    """
    if center and t.ndim:
        raise ValueError("center takes away a function of time: pass one time for all points, not one for each.")

    def example(x, t):
        _, gradient, curvature = laplacian(lambda x: log_density(x, t), x)
        _, change = jax.jvp(lambda t: log_density(x, t), (t,), (jnp.ones_like(t),))
        flow, spread = divergence(lambda x: drift(x, t), x)
        pull = 0.5 * diffusion2(t).astype(x.dtype) * (jnp.vdot(gradient, gradient) + curvature)
        return change.astype(x.dtype) + spread + jnp.vdot(flow, gradient) - pull

    residual = _each(example, x, t)
    return residual - residual.mean() if center else residual


def score_fokker_planck_residual(
    score: Field,
    drift: Field,
    diffusion2: Schedule,
    x: Float[Array, "n *event"],
    t: Float[Array, ""] | Float[Array, " n"],
) -> Float[Array, "n *event"]:
    r"""What a score `s(x, t)` lacks to be that of `dx = f(x, t) dt + g(t) dW`: the gradient of the residual above.

    $$\partial_t s + \nabla \big[ \nabla \cdot f + f \cdot s - \tfrac12 g^2 (|s|^2 + \nabla \cdot s) \big]$$

    For networks that have no log-density. The gradient of a divergence costs about `2 (1 + d)` evaluations.

    Args:
        score: s, on one sample and one time. It must be twice differentiable.
        drift: f, on one sample and one time, such as `process.drift`.
        diffusion2: Squared diffusion coefficient g² at one time, such as `process.diffusion2`.
        x: Samples, or points of any choice.
        t: One time for all, or one for each.

    Returns:
        One residual for each point, in the shape of a sample.

    Raises:
        ValueError: There are no rows, or a function changes the shape of its sample.

    Example:
        >>> process, score = sx.diffusion.EDM(), lambda x, t: -x / (1 + t**2)  # N(0, 1) data
        >>> equation = process.drift, process.diffusion2
        >>> residual = jax.jit(lambda x, t: score_fokker_planck_residual(score, *equation, x, t))
        >>> bool(jnp.abs(residual(jnp.ones((1, 2)), jnp.array(0.7))).max() < 1e-6)
        True

    Source: Lai et al. (2023), arXiv:2210.04296; Deveney et al. (2025), arXiv:2311.15996.
    """

    def example(x, t):
        def balance(x):
            value, spread = divergence(lambda x: score(x, t), x)
            flow, widening = divergence(lambda x: drift(x, t), x)
            pull = 0.5 * diffusion2(t).astype(x.dtype) * (jnp.vdot(value, value) + spread)
            return widening + jnp.vdot(flow, value) - pull

        _, change = jax.jvp(lambda t: score(x, t), (t,), (jnp.ones_like(t),))
        return change.astype(x.dtype) + jax.grad(balance)(x)

    return _each(example, x, t)


def fokker_planck_penalty(
    log_density: LogDensity,
    drift: Field,
    diffusion2: Schedule,
    shape: tuple[int],
    *,
    key: PRNGKeyArray,
    low: Float[Array, "*event"],
    high: Float[Array, "*other"],
    t0: float,
    t1: float,
    offset: int | Int[Array, ""] = 0,
) -> Float[Array, " n"]:
    r"""Squared residuals of the equation at random points of a box and times: add their mean to a denoising loss.

    A larger factor brings the probability flow and the reverse equation nearer to each other; it does not bring both
    nearer to the data (Deveney et al. find the flow best near a factor of one).

    Args:
        log_density: `u(x, t)`, on one sample and one time, to one number. It must be twice differentiable.
        drift: f, on one sample and one time, such as `process.drift`.
        diffusion2: Squared diffusion coefficient g² at one time, such as `process.diffusion2`.
        shape: `(n,)`, how many points.
        key: Random key. Point `i` uses `fold_in(key, offset + i)`.
        low: Lower corner of the box, in the shape of a sample.
        high: Upper corner, of the same shape.
        t0: Earliest time.
        t1: Latest time.
        offset: Place of the first point in the whole batch, so that chunks draw what the whole would.

    Returns:
        One squared residual for each point, in [0, inf).

    Raises:
        ValueError: `t1` is not later than `t0`, or the corners differ in shape.

    Example:
        >>> process, corner = sx.diffusion.EDM(), jnp.ones(2)
        >>> u = lambda x, t: -0.5 * jnp.sum(x**2) / (1 + t**2) - jnp.log(1 + t**2)
        >>> equation, box = (process.drift, process.diffusion2), {"low": -corner, "high": corner, "t0": 0.1, "t1": 2.0}
        >>> penalty = jax.jit(lambda key: fokker_planck_penalty(u, *equation, (5,), key=key, **box))
        >>> bool(penalty(jax.random.key(0)).max() < 1e-9)
        True

    Source: Deveney et al. (2025), arXiv:2311.15996.
    """
    if not t0 < t1:
        raise ValueError(f"t1 must be later than t0, not t0={t0}, t1={t1}.")
    if low.shape != high.shape:
        raise ValueError(f"the corners of the box differ in shape: {low.shape} and {high.shape}.")

    def point(key):
        of_place, of_time = jax.random.split(key)
        place = jax.random.uniform(of_place, low.shape, low.dtype)
        return low + (high - low) * place, jax.random.uniform(of_time, (), low.dtype, t0, t1)

    keys = row_keys(key, shape[0], offset)
    return log_fokker_planck_residual(log_density, drift, diffusion2, *jax.vmap(point)(keys)) ** 2


def _each(
    example: Callable[..., Array], x: Float[Array, "n *event"], t: Float[Array, ""] | Float[Array, " n"]
) -> Float[Array, "n ..."]:
    if x.shape[0] == 0:
        raise ValueError(f"there are no points: their shape is {x.shape}.")
    return jax.vmap(example, (0, 0 if t.ndim else None))(x, t.astype(x.dtype))
