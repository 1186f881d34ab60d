"""Exponential families by score matching: a linear system in place of a normalising constant."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from scorax.numerics import map_in_turn
from scorax.score_matching._domains import DomainWeight
from scorax.score_matching._forward_laplacian import second_derivative

Statistic = Callable[[Float[Array, "*event"]], Float[Array, " k"]]


class ExponentialFamilyFit(eqx.Module):
    """Natural parameters that minimise the score-matching loss, and how well the data determine them."""

    theta: Float[Array, " k"]
    """The estimate. NaN where the data do not determine it."""
    covariance: Float[Array, "k k"]
    """Sandwich covariance of the estimate, valid when the family is wrong too."""
    loss: Float[Array, ""]
    """The mean loss at the estimate, without the ridge."""
    condition: Float[Array, ""]
    """Condition number of the linear system, its diagonal scaled to one so that units do not matter."""

    @property
    def std_error(self) -> Float[Array, "*b k"]:
        """Standard errors of the parameters, of one fit or a batch of them."""
        return jnp.sqrt(jnp.diagonal(self.covariance, axis1=-2, axis2=-1))


def exponential_family_score_matching(
    statistic: Statistic,
    x: Float[Array, "n *event"],
    *,
    base: Callable[[Float[Array, "*event"]], Float[Array, ""]] | None = None,
    weight: DomainWeight | None = None,
    sample_weight: Float[Array, " n"] | None = None,
    ridge: float | Float[Array, ""] = 0.0,
) -> ExponentialFamilyFit:
    r"""Fit `p(x) ∝ exp(theta · T(x) + b(x))` by score matching, in closed form and without its normalising constant.

    The loss is quadratic, $\tfrac12 \theta^\top \Gamma \theta + g^\top \theta$ and a constant, with

    $$\Gamma = \mathrm{mean} \sum_i h_i \, \partial_i T \, \partial_i T^\top, \qquad
      g = \mathrm{mean} \sum_i [h_i \, \partial_i b \, \partial_i T + h_i \, \partial_{ii} T + \partial_i h_i \,
      \partial_i T].$$

    The estimate is $\theta = -(\Gamma + \mathrm{ridge}\, I)^{-1} g$, its covariance
    $\Gamma^{-1} \mathrm{Cov}(\Gamma_j \theta + g_j) \Gamma^{-1} / n$ over examples j. Only the diagonal second
    derivatives of the statistic are computed. The fit is differentiable in everything that it is given.

    Args:
        statistic: The statistics T of one sample, k numbers, twice differentiable.
        x: Samples, at least one; more than k for a covariance that means anything.
        base: The log of the base measure b, of one sample. None: constant.
        weight: A weight h that vanishes at the boundary of the domain, as in `truncated_score_matching_loss`. None: 1,
            for densities on the whole space.
        sample_weight: What each row adds to the means, zero or positive, not all zero. A row is one observation,
            whatever its weight: repeat rows for counts. Rows of weight 0 may hold anything.
        ridge: Added to the diagonal of the system, zero or more.

    Returns:
        The fit. Where the system is singular (its condition number is above the inverse rounding error of the dtype),
        theta, covariance and loss are NaN.

    Raises:
        ValueError: There are no rows, or the statistic, the base or the weight has another shape.

    Example:
        >>> data = jnp.array([[-1.0], [0.0], [2.0]])
        >>> fit = exponential_family_score_matching(lambda x: jnp.append(x, -0.5 * x**2), data)  # a normal
        >>> 1 / fit.theta[1], fit.loss  # variance 14/9, loss -9/28
        (Array(1.5555555, dtype=float32), Array(-0.32142857, dtype=float32))

    Source: Hyvärinen (2007), doi:10.1016/j.csda.2006.09.003, section 4; Yu, Drton and Shojaie (2019),
    arXiv:1812.10551.
    """
    if x.shape[0] == 0:
        raise ValueError(f"the data have no rows: their shape is {x.shape}.")
    weights = jnp.ones(x.shape[0], x.dtype) if sample_weight is None else sample_weight.astype(x.dtype)
    # Rows of no weight become copies of one that has some, so that nothing in them reaches a derivative.
    used = (weights > 0).reshape(-1, *(1,) * (x.ndim - 1))
    x = jnp.where(used, x, x[jnp.argmax(weights)][None])
    share = weights / weights.sum()

    slopes, h, linear, constant = jax.vmap(lambda x: _terms(statistic, base, weight, x))(x)
    gamma = jnp.einsum("n,nd,ndk,ndl->kl", share, h, slopes, slopes)
    g = share @ linear
    solve, condition = _solver(gamma + jnp.asarray(ridge, g.dtype) * jnp.eye(len(g), dtype=g.dtype))
    theta = -solve(g[:, None])[:, 0]
    gradients = jnp.einsum("nd,ndk,nd->nk", h, slopes, slopes @ theta) + linear
    spread = share[:, None] * (gradients - (share @ gradients)[None])
    half = solve(spread.T)
    loss = 0.5 * theta @ gamma @ theta + g @ theta + share @ constant
    return ExponentialFamilyFit(theta, half @ half.T, loss, condition)


def _terms(
    statistic: Statistic,
    base: Callable[[Array], Array] | None,
    weight: DomainWeight | None,
    x: Float[Array, "*event"],
) -> tuple[Float[Array, "d k"], Float[Array, " d"], Float[Array, " k"], Float[Array, ""]]:
    """Of one sample: the slopes of the statistic, the weights, and the terms of the loss of first and zeroth order."""
    _check(statistic, base, weight, x)

    def everything(x: Array) -> tuple[Array, Array]:
        return statistic(x), jnp.zeros((), x.dtype) if base is None else base(x)

    def along(entry: Array) -> tuple[Array, ...]:
        basis = (jnp.arange(x.size) == entry).astype(x.dtype).reshape(x.shape)
        _, (slope, b_slope), (curvature, b_curvature) = second_derivative(everything, x, basis)
        if weight is None:
            h, h_slope = jnp.ones((), x.dtype), jnp.zeros((), x.dtype)
        else:
            h, h_slope = (_at(part, basis) for part in jax.jvp(weight, (x,), (basis,)))
        linear = h * b_slope * slope + h * curvature + h_slope * slope
        return slope, h, linear, h * (0.5 * b_slope**2 + b_curvature) + h_slope * b_slope

    slopes, h, linear, constant = map_in_turn(along, jnp.arange(x.size))
    return slopes, h, linear.sum(0), constant.sum(0)


def _at(values: Float[Array, "..."], basis: Float[Array, "*event"]) -> Float[Array, ""]:
    """The entry that the basis vector picks, or the one number for all."""
    return values if values.ndim == 0 else (values * basis).sum()


def _check(statistic: Statistic, base: Callable | None, weight: DomainWeight | None, x: Array) -> None:
    shape = jax.eval_shape(statistic, x).shape
    if len(shape) != 1 or shape[0] == 0:
        raise ValueError(
            f"the statistic of a sample of shape {x.shape} has shape {shape}. It takes one sample, without a batch "
            "axis, and returns a vector of one or more numbers."
        )
    if base is not None and jax.eval_shape(base, x).shape != ():
        raise ValueError("the base is the log of a measure: it takes one sample and returns one number.")
    if weight is not None and jax.eval_shape(weight, x).shape not in ((), x.shape):
        raise ValueError("the weight takes one sample and returns one number for each entry, or one for all.")


def _solver(
    matrix: Float[Array, "k k"],
) -> tuple[Callable[[Float[Array, "k r"]], Float[Array, "k r"]], Float[Array, ""]]:
    """A solver of the system, NaN where it is singular, and its condition number."""
    scale = jax.lax.rsqrt(jnp.diagonal(matrix))
    scaled = scale[:, None] * matrix * scale[None]
    usable = jnp.isfinite(scaled).all()
    values = jnp.abs(jnp.linalg.eigvalsh(jax.lax.stop_gradient(jnp.where(usable, scaled, 0.0))))
    condition = jnp.where(usable, values.max() / values.min(), jnp.inf)
    regular = condition * jnp.finfo(matrix.dtype).eps < 1
    safe = jnp.where(regular, scaled, jnp.eye(len(matrix), dtype=matrix.dtype))

    def solve(right: Float[Array, "k r"]) -> Float[Array, "k r"]:
        solution = scale[:, None] * jnp.linalg.solve(safe, scale[:, None] * right)
        return jnp.where(regular, solution, jnp.nan)

    return solve, condition
