"""A process of the user's own schedule: two functions of time, everything else by differentiation and root finding."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from scorax.diffusion._process import AbstractProcess

Curve = Callable[[Float[Array, "..."]], Float[Array, "..."]]
_HALVINGS = 64  # as many as leave neighbouring numbers of double precision


class ScheduledProcess(AbstractProcess):
    r"""A noise process given by `log_alpha` and `sigma` as functions of time.

    Drift and diffusion come from forward derivatives of the two functions, the time of a noise level from bisection
    and a Newton step, which also carries the derivative. Functions that are modules keep their floating leaves, so that
    a schedule can be learned.

    Args:
        log_alpha_of: Natural log of the factor of the clean sample, on times of any shape. It is 0 at no noise.
        sigma_of: Standard deviation of the noise, on times of any shape. `log_alpha - log(sigma)` must fall.
        t0: First time at which the noise level is looked for.
        t1: Last time, from which sampling starts. Later than `t0`.

    Raises:
        ValueError: `t1` is not later than `t0`.

    Example:
        >>> process = ScheduledProcess(lambda t: -t, lambda t: jnp.sqrt(-jnp.expm1(-2 * t)), t1=5.0)
        >>> t = jnp.array(0.5)
        >>> process.drift_rate(t), process.diffusion2(t), process.inverse_log_snr(process.log_snr(t))
        (Array(-1., dtype=float32...), Array(2., dtype=float32...), Array(0.5, dtype=float32))

    Source: Kingma, Salimans, Poole and Ho (2021), arXiv:2107.00630 (learned schedules).
    """

    log_alpha_of: Curve
    sigma_of: Curve
    t0: float = eqx.field(static=True, default=0.0)
    t1: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        if not self.t0 < self.t1:
            raise ValueError(f"t1 must be later than t0, not t0={self.t0}, t1={self.t1}.")

    def log_alpha(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Natural log of the factor of the clean sample."""
        return self.log_alpha_of(t).astype(t.dtype)

    def sigma(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Standard deviation of the noise."""
        return self.sigma_of(t).astype(t.dtype)

    def drift_rate(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Factor of the drift, the derivative of `log_alpha`."""
        return _slope(self.log_alpha, t)[1]

    def diffusion2(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Squared diffusion coefficient, `2 sigma (sigma' - f sigma)`."""
        sigma, slope = _slope(self.sigma, t)
        return 2 * sigma * (slope - self.drift_rate(t) * sigma)

    def inverse_log_snr(self, log_snr: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """The time in [t0, t1] at which `log_snr` has this value; the nearer end where it has it nowhere."""

        def halve(_, ends):
            low, high = ends
            middle = 0.5 * (low + high)
            later = self.log_snr(middle) > log_snr
            return jnp.where(later, middle, low), jnp.where(later, high, middle)

        fixed = jax.lax.stop_gradient
        ends = (jnp.full_like(log_snr, self.t0), jnp.full_like(log_snr, self.t1))
        low, high = jax.lax.fori_loop(0, _HALVINGS, lambda i, e: fixed(halve(i, e)), ends)
        t = fixed(0.5 * (low + high))
        # At no noise, or beyond an end, there is no step to take.
        beyond = self._ends_of(log_snr)
        value, slope = _slope(self.log_snr, jnp.where(beyond == 0, t, 0.5 * (self.t0 + self.t1)))
        inside = t - jnp.where(beyond == 0, (value - log_snr) / fixed(slope), 0.0)
        return jnp.where(beyond > 0, self.t0, jnp.where(beyond < 0, self.t1, inside))

    def _ends_of(self, log_snr: Float[Array, "*s"]) -> Int[Array, "*s"]:
        """1 where the noise is less than it ever is, -1 where it is more, else 0."""
        first, last = (self.log_snr(jnp.asarray(t, log_snr.dtype)) for t in (self.t0, self.t1))
        return (log_snr >= first).astype(jnp.int32) - (log_snr <= last).astype(jnp.int32)

    @property
    def prior_scale(self) -> Float[Array, ""]:
        """The noise at `t1`."""
        return self.sigma(jnp.asarray(self.t1, dtype=float))


def _slope(curve: Curve, t: Float[Array, "*s"]) -> tuple[Float[Array, "*s"], Float[Array, "*s"]]:
    """Value and derivative of a function that acts on each time by itself."""
    return jax.jvp(curve, (t,), (jnp.ones_like(t),))
