"""Geweke's joint test: parameters and data drawn together in two ways must agree."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.inference._blocks._kernel import AbstractTransition
from scorax.inference._diagnostics import effective_sample_size
from scorax.inference.validity._chain import KernelGiven, iterate, numbers, require
from scorax.inference.validity._joint import Joint, Quantities
from scorax.inference.validity._quantities import flatten, names_of, standard_quantities
from scorax.inference.validity._result import TestResult, together, undecided

_LEAST_ESS = 100


def geweke_test(
    kernel: KernelGiven,
    joint: Joint,
    *,
    key: PRNGKeyArray,
    quantities: Quantities | None = None,
    n: int = 10_000,
    n_chains: int = 20,
    n_steps: int = 1000,
) -> TestResult:
    """Whether a kernel leaves the posterior alone, by alternating it with the simulator of data.

    Independent draws of parameters and data from their joint law are compared with chains whose steps are a kernel
    step given the data, then new data given the parameters. Means of all quantities must agree: a z-test for each,
    the chains' error from their effective sample size, Holm's correction over all.

    An error of the kernel adds up along the chain, which makes the test sharp; but chains that mix slowly say little,
    and `check_invariance` needs no mixing at all.

    Args:
        kernel: As in `check_invariance`. What it remembers beside `theta` is made anew for each step's data, so kernels
            that must not forget (pseudo-marginal ones) are not for this test.
        joint: The law of parameters and data.
        key: Random key.
        quantities: `quantities(theta, data)`. None takes every coordinate of `theta` (eight random projections if
            there are more), their squares and products with each other and with the matching data statistic, and the
            log-likelihood.
        n: Independent draws.
        n_chains: Chains, each started at a draw from the joint law.
        n_steps: Of each chain.

    Returns:
        `details` holds both `means`, one after the other, and the chains' `ess`. NaN with a reason where chains give
        fewer than 100 effective draws.

    Raises:
        ValueError: A count is too small.

    Example:
        >>> def noisy(key, theta):
        ...     return theta + jax.random.normal(key)
        >>> def log_likelihood(theta, data):
        ...     return -((data - theta) ** 2) / 2
        >>> joint = sx.inference.validity.Joint(jax.random.normal, noisy, log_likelihood)
        >>> def gibbs(data):
        ...     return lambda key, theta: data / 2 + jax.random.normal(key) / jnp.sqrt(2)
        >>> def moments(theta, data):
        ...     return {"square": theta**2, "product": theta * data}
        >>> sx.inference.validity.geweke_test(
        ...     gibbs, joint, key=jax.random.key(0), quantities=moments, n_steps=100
        ... ).p_value > 0.01
        True

    Source: Geweke (2004), doi:10.1198/016214504000001132.
    """
    require(n=(n, 30), n_chains=(n_chains, 1), n_steps=(n_steps, 10))
    given = _Given(joint, quantities)
    names = names_of(lambda key: given.ready(key)(*joint.draw(key)), key)
    drawn = _two_ways(kernel, given, key, numbers(n), numbers(n_chains), n_steps)
    independent, chains, ess = (np.asarray(x, np.float64) for x in drawn)
    if not (np.isfinite(independent).all() and np.isfinite(chains).all()):
        return undecided("some quantities are not finite")
    if (ess < _LEAST_ESS).any():
        worst = int(np.nanargmin(ess))
        reason = f"the chains give only {ess[worst]:.0f} effective draws of {names[worst]!r}: raise n_steps"
        return undecided(reason, names=names, ess=ess)
    chains = chains.reshape(-1, len(names))
    means = np.stack([independent.mean(0), chains.mean(0)])
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (means[0] - means[1]) / np.sqrt(independent.var(0, ddof=1) / n + chains.var(0, ddof=1) / ess)
    return together(names, z, 2 * scipy.special.ndtr(-np.abs(z)), means=means, ess=ess)


class _Given(eqx.Module):
    joint: Joint
    quantities: Quantities | None

    def ready(self, key: PRNGKeyArray) -> Quantities:
        return standard_quantities(self.joint, key, cross=True) if self.quantities is None else self.quantities


@eqx.filter_jit
def _two_ways(
    kernel: KernelGiven,
    given: _Given,
    key: PRNGKeyArray,
    number: Int[Array, " n"],
    chain_number: Int[Array, " c"],
    n_steps: int,
) -> tuple[Float[Array, "n q"], Float[Array, "c r q"], Float[Array, " q"]]:
    """Independent draws, chains, and the chains' effective sample sizes."""
    key_quantities, key_draws, key_chains = jax.random.split(key, 3)
    joint, quantities = given.joint, given.ready(key_quantities)

    def independent(i: Int[Array, ""]) -> Float[Array, " q"]:
        return flatten(quantities(*joint.draw(jax.random.fold_in(key_draws, i))))

    def chain(i: Int[Array, ""]) -> Float[Array, "r q"]:
        key = jax.random.fold_in(key_chains, i)

        def step(state: Any, t: Int[Array, ""]) -> tuple[Any, Float[Array, " q"]]:
            key_theta, key_data = jax.random.split(jax.random.fold_in(key, t))
            theta, data = state
            advance = kernel(data)
            advance = advance.one_step if isinstance(advance, AbstractTransition) else advance
            theta = advance(key_theta, theta)
            data = joint.simulate(key_data, theta)
            return (theta, data), flatten(quantities(theta, data))

        first = joint.draw(jax.random.fold_in(key, 0))
        return iterate(step, first, jnp.arange(1, n_steps + 1, dtype=jnp.int32))[1]

    chains = jax.vmap(chain)(chain_number)
    return jax.vmap(independent)(number), chains, effective_sample_size(chains, kind="mean")
