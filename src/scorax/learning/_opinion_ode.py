"""Opinions that change by a law: an ordinary differential equation, solved so that it can be learnt."""

from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from scorax.data import refuse
from scorax.learning._opinion_fields import growth_of_shares, log_shares, shares


class OpinionODE(eqx.Module):
    r"""Opinions \(x\) that follow \(\dot x = f(x, u(t))\), with a forcing \(u\) from outside.

    `field` is any callable of state `[d]` and forcing `[e]` (empty without one), such as `NeuralField` or
    `InteractionField`. With `shares=True` the states are shares of a population: `field` gives their growth rates and
    \(\dot x_i = x_i (f_i - \sum_j x_j f_j)\), solved in the logarithms of shares, so that they stay on the simplex.

    A scenario is another forcing, or another start, of the same model. Gradients go through `solve` backwards, with
    memory that grows as the root of the number of steps; use them in any training loop.

    Example:
        >>> decay = OpinionODE(lambda state, forcing: -state)
        >>> decay.solve(jnp.array([1.0]), jnp.array([0.0, 1.0]))[:, 0].round(3)
        Array([1.   , 0.368], dtype=float32)

    Source: Pavlyshenko (2025), arXiv:2505.06313; Kidger (2021), arXiv:2202.02435 (diffrax); Tsitouras (2011),
    doi:10.1016/j.camwa.2011.06.002 (the solver).
    """

    field: Callable[[Array, Array], Array]
    shares: bool = eqx.field(static=True, default=False)
    rtol: float = eqx.field(static=True, default=1e-5)
    atol: float = eqx.field(static=True, default=1e-7)
    max_steps: int = eqx.field(static=True, default=4096)

    def solve(
        self, initial: Float[Array, " d"], time: Float[Array, " t"], *, forcing: Any = None
    ) -> Float[Array, "t d"]:
        """The states at some times.

        Args:
            initial: The state at `time[0]`; with `shares`, at least 0 with sum one.
            time: Ascending, two or more.
            forcing: \\(u\\): a callable of time, or an interpolation of diffrax, giving `[e]`; None for none. Give
                either as an Equinox module to `vmap` over scenarios.

        Returns:
            A row a time. NaN where the solver gave up: it took `max_steps`, or the states ran away.

        Raises:
            ValueError: `field` does not give one number a state; or `time` does not ascend, or `initial` are no shares,
                where their values are known.
        """
        _check(initial, time, self.shares)
        start, some = log_shares(initial) if self.shares else (initial, jnp.ones_like(initial))

        def velocity(t: Any, state: Any, args: Any) -> Array:
            field, source, some = args
            u = _forced(source, t, state)
            if not self.shares:
                return _changes(field, state, u)
            share = shares(state, some)
            return some * growth_of_shares(_changes(field, share, u), share)

        found = diffrax.diffeqsolve(
            diffrax.ODETerm(velocity),
            diffrax.Tsit5(),
            t0=time[0],
            t1=time[-1],
            dt0=None,
            y0=start,
            args=(self.field, forcing, some),
            saveat=diffrax.SaveAt(ts=time),
            stepsize_controller=diffrax.PIDController(rtol=self.rtol, atol=self.atol),
            adjoint=diffrax.RecursiveCheckpointAdjoint(),
            max_steps=self.max_steps,
            throw=False,
        )
        states = found.ys
        assert states is not None
        if self.shares:
            states = jax.vmap(shares, (0, None))(states, some)
        return jnp.where(diffrax.is_successful(found.result), states, jnp.nan)

    def log_prob(
        self,
        observed: Float[Array, "t d"],
        time: Float[Array, " t"],
        *,
        initial: Float[Array, " d"],
        noise: Float[Array, "..."] | float,
        forcing: Any = None,
        where: Bool[Array, "t d"] | None = None,
    ) -> Float[Array, " t"]:
        """Log-density of what was seen at each time, with independent normal noise.

        Args:
            observed: Noisy states; any number where `where` is false.
            time: As in `solve`.
            initial: As in `solve`.
            noise: Standard deviation: one number, or one a state, above 0.
            forcing: As in `solve`.
            where: What was seen; all by default.

        Returns:
            Natural log, one number a time: minus its mean is a loss.
        """
        states = self.solve(initial, time, forcing=forcing)
        seen = jnp.ones(observed.shape, bool) if where is None else where
        scale = jnp.broadcast_to(jnp.asarray(noise, states.dtype), initial.shape)[None, :]
        away = jnp.where(seen, observed, 0).astype(states.dtype) - jnp.where(seen, states, 0)
        density = jax.scipy.stats.norm.logpdf(away / scale) - jnp.log(scale)
        return jnp.where(seen, density, 0).sum(-1)

    def simulate(
        self,
        initial: Float[Array, " d"],
        time: Float[Array, " t"],
        *,
        noise: Float[Array, "..."] | float,
        key: PRNGKeyArray,
        forcing: Any = None,
    ) -> Float[Array, "t d"]:
        """Noisy states at some times; arguments as in `log_prob`."""
        states = self.solve(initial, time, forcing=forcing)
        scale = jnp.broadcast_to(jnp.asarray(noise, states.dtype), initial.shape)[None, :]
        return states + scale * jax.random.normal(key, states.shape, states.dtype)


def _forced(source: Any, t: Array, like: Array) -> Float[Array, " e"]:
    """The forcing at a time."""
    if source is None:
        return jnp.zeros(0, like.dtype)
    u = source.evaluate(t) if isinstance(source, diffrax.AbstractPath) else source(t)
    return jnp.atleast_1d(jnp.asarray(u, like.dtype))


def _changes(field: Callable[[Array, Array], Array], state: Float[Array, " d"], u: Float[Array, " e"]) -> Array:
    """What the field says, of every state."""
    change = field(state, u)
    if change.shape != state.shape:
        raise ValueError(
            f"field returns shape {change.shape} for states of shape {state.shape} and a forcing of shape {u.shape}: "
            "it gives one number a state"
        )
    return change


def _check(initial: Array, time: Array, of_shares: bool) -> None:
    if time.shape[0] < 2:
        raise ValueError(f"time holds {time.shape[0]} value: the first is that of the start, so give two or more")
    if not isinstance(time, Tracer):
        steps = np.diff(np.asarray(time))
        refuse(np.r_[False, steps < 0], "time is smaller than the one before", "Sort rows by time.")
        if not steps.any():
            raise ValueError("all times are equal: there is nothing to solve")
    if of_shares and not isinstance(initial, Tracer):
        share = np.asarray(initial, np.float64)
        refuse(share < 0, "a share is negative", "Shares are at least 0.")
        # Rounding of so many single-precision shares.
        if not abs(share.sum() - 1) < 1e-5 * share.size:
            raise ValueError(f"the shares at the start sum to {share.sum():g}, not to 1: divide by their sum")
