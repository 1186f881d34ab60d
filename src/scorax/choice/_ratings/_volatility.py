"""The equation for a player's new volatility: a bracketed root, with the derivative of the solution."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# 2 to 8 are used; under vmap all players wait for the slowest.
_STEPS = 60


@jax.custom_jvp
def log_variance(
    before: Float[Array, ""], noise: Float[Array, ""], squared_change: Float[Array, ""], tau: Float[Array, ""]
) -> Float[Array, ""]:
    r"""Log of the new squared volatility, the root \(x\) of Glickman's equation.

    $$\tau^2 \frac{e^x (\Delta^2 - s - e^x)}{2 (s + e^x)^2} = x - \log \sigma^2$$

    Args:
        before: \(\log \sigma^2\), of the volatility before the period.
        noise: \(s = \phi^2 + v\), the variance of what the period says, without volatility.
        squared_change: \(\Delta^2\), the squared change of rating that the games alone would suggest.
        tau: Prior standard deviation of the change of \(x\); 0 keeps it.

    Source: Glickman (2012), "Example of the Glicko-2 system".
    """
    # The left side is at least -tau^2/2, at most 0 where e^x = Delta^2 - s: so a bracket needs no search.
    excess = squared_change - noise
    upper = jnp.log(jnp.where(excess > 0, excess, 1))
    rises = (excess > 0) & (upper > before)
    start = (before, jnp.where(rises, upper, before - tau**2 / 2))
    tolerance = 1e-6 if before.dtype == jnp.float64 else 1e-5

    def residual(x: Float[Array, ""]) -> Float[Array, ""]:
        return _residual(x, before, noise, squared_change, tau)

    def unfinished(state: tuple[Array, ...]) -> Array:
        a, b, _, _, step = state
        return (jnp.abs(b - a) > tolerance) & (step < _STEPS)

    def narrow(state: tuple[Array, ...]) -> tuple[Array, ...]:
        a, b, at_a, at_b, step = state
        c = a + (a - b) * at_a / jnp.where(at_b == at_a, 1, at_b - at_a)
        at_c = residual(c)
        crossed = at_c * at_b <= 0
        a, at_a = jnp.where(crossed, b, a), jnp.where(crossed, at_b, at_a / 2)
        return a, c, at_a, at_c, step + 1

    a, b = start
    a, b, *_ = jax.lax.while_loop(unfinished, narrow, (a, b, residual(a), residual(b), jnp.zeros((), jnp.int32)))
    return b


@log_variance.defjvp
def _log_variance_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    root = log_variance(*primals)
    slope = jax.grad(_residual)(root, *primals)
    _, moved = jax.jvp(lambda *given: _residual(root, *given), primals, tangents)
    return root, -moved / slope


def _residual(
    x: Float[Array, ""],
    before: Float[Array, ""],
    noise: Float[Array, ""],
    squared_change: Float[Array, ""],
    tau: Float[Array, ""],
) -> Float[Array, ""]:
    share = jnp.exp(x) / (noise + jnp.exp(x))
    return tau**2 * share * (squared_change / (noise + jnp.exp(x)) - 1) / 2 - (x - before)
