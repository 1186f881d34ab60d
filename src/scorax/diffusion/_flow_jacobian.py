"""How the probability flow stretches the neighbourhood of a sample on its way to the data."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from scorax.diffusion._process import AbstractProcess, Score


class FlowJacobian(eqx.Module):
    """Where a sample goes, and the singular values of the derivative of that place by the start, at each time."""

    x: Float[Array, "t *event"]
    singular_values: Float[Array, "t d"]
    """Largest first."""

    def intrinsic_dimension(self) -> Float[Array, " t"]:
        """How many singular values lie above the largest gap between their logarithms, at each time."""
        log = jnp.log(self.singular_values)
        return (1 + jnp.argmax(log[:, :-1] - log[:, 1:], axis=1)).astype(log.dtype)


def flow_jacobian_singular_values(
    score: Score,
    process: AbstractProcess,
    x1: Float[Array, "*event"],
    ts: Float[Array, " t"],
    *,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    max_steps: int = 4096,
) -> FlowJacobian:
    r"""Singular values of the Jacobian of the probability flow from one sample's first time to all others.

    The Jacobian solves `dY/dt = ∇u(x(t), t) Y` along the path, `Y = I` at the start. On the way down to the data, the
    singular values of tangent directions settle and those of normal directions fall with the noise, so that the gap
    between them counts the dimensions of the data. For normal data they are
    `sqrt((sigma² + alpha² λ) / (sigma_1² + alpha_1² λ))`. One linearised evaluation of the score a stage, and `d`
    products with it.

    Args:
        score: `score(x, t)`, on one sample. It must be differentiable.
        process: The noise process the score belongs to.
        x1: One sample at the first time. `jax.vmap` over a batch.
        ts: At least two times, monotone, decreasing towards the data. The noise must not be zero at the last.
        rtol: Relative tolerance of the adaptive solver (Tsitouras, order 5).
        atol: Absolute tolerance.
        max_steps: Most steps of the solver; more are a run-time error.

    Returns:
        Samples and singular values at all times; at the first, `x1` and ones.

    Raises:
        ValueError: There are fewer than two times.

    Example:
        >>> exact = lambda x, t: -x / jnp.array([1 + t**2, t**2])  # a line in the plane
        >>> found = flow_jacobian_singular_values(exact, sx.diffusion.EDM(), jnp.ones(2), jnp.array([10.0, 0.1]))
        >>> found.singular_values[-1]  # sqrt(1.01 / 101), 0.01
        Array([0.1, 0.01], dtype=float32)
        >>> found.intrinsic_dimension()[-1]
        Array(1., dtype=float32)

    Source: Horvat and Pfister (2024), arXiv:2402.03845; Tsitouras (2011), doi:10.1016/j.camwa.2011.06.002.
    """
    if ts.shape[0] < 2:
        raise ValueError(f"a flow needs at least two times, not {ts.shape[0]}.")
    velocity = process.probability_flow(score)
    times = ts.astype(x1.dtype)

    def both(t, state, _):
        x, jacobian = state
        value, derivative = jax.linearize(lambda x: velocity(x, t.astype(x.dtype)), x)
        return value, jax.vmap(derivative)(jacobian)

    start = (x1, jnp.eye(x1.size, dtype=x1.dtype).reshape(x1.size, *x1.shape))
    found = diffrax.diffeqsolve(
        diffrax.ODETerm(both),
        diffrax.Tsit5(),
        times[0],
        times[-1],
        dt0=None,
        y0=start,
        saveat=diffrax.SaveAt(ts=times),
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
        max_steps=max_steps,
    )
    assert found.ys is not None
    path, jacobians = found.ys
    matrices = jacobians.reshape(len(times), x1.size, x1.size)
    return FlowJacobian(path, jnp.linalg.svd(matrices, compute_uv=False))
