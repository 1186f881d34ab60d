"""Started from exact draws, a valid kernel changes no mean: the sharpest test of a kernel, reversible or not."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from scorax.inference.validity._chain import Chain, Init, Kernel, KernelGiven, differs, iterate, numbers, require
from scorax.inference.validity._joint import Joint, Quantities
from scorax.inference.validity._quantities import names_of
from scorax.inference.validity._result import TestResult, mean_test, undecided


def check_invariance(
    kernel: KernelGiven,
    joint: Joint,
    *,
    key: PRNGKeyArray,
    init: Init | None = None,
    position: Callable[[Any], Any] | None = None,
    quantities: Quantities | None = None,
    n: int = 2000,
    steps: int = 8,
    batch_size: int = 500,
) -> TestResult:
    """Whether a kernel leaves the posterior alone, from many short chains that start in it.

    Parameters from the prior are exact draws from the posterior given data simulated from them. So a few steps of a
    valid kernel change no expectation: in each of `n` independent pairs, the mean of a quantity over the steps minus
    its value at the start has mean zero. A t-test for each quantity, Holm's correction over all.

    A small step size hides a wrong accept step: test at an acceptance of about 0.7. A kernel that goes on adapting
    passes this test on easy targets; `check_frozen` is for that.

    Args:
        kernel: `kernel(data)` gives the kernel of the posterior given these data: any function `(key, state) -> state`
            whose state is `theta`, or a kernel with `init` and `position` such as those of `mh_kernel` and `as_kernel`.
            A function made anew at each call compiles anew at each call: name it once.
        joint: The law of parameters and data.
        key: Random key.
        init: `init(key) -> (state, data)` for a kernel that remembers more than `theta`. **What it remembers must come
            from its stationary law too**: the likelihood estimate that a pseudo-marginal chain keeps is size-biased
            (run `conditional_smc` around the simulated path), and with a fresh estimate a valid chain fails. Momentum
            that is drawn anew at every step needs no care.
        position: From a state to `theta`, where the kernel does not say so itself.
        quantities: `quantities(theta, data)`, arrays in any tree. None takes every coordinate of `theta` (eight
            random projections if there are more), its square, its product with the matching statistic of the data
            (the derivative of the log-likelihood at a fixed point), and the log-likelihood.
        n: Independent pairs.
        steps: Kernel steps in each.
        batch_size: Pairs at a time, for memory.

    Returns:
        `details` holds `estimates` (mean change of each quantity), `std_errors`, and `moved`, the share of steps at
        which `theta` changed. NaN with a reason where the kernel never moved, or some quantity was not finite.

    Raises:
        ValueError: `n` is below 30, or `steps` below 1.

    Example:
        >>> normal = sx.inference.validity.Joint(prior=jax.random.normal)
        >>> def walk(key, x):  # Metropolis for a standard normal
        ...     key_step, key_accept = jax.random.split(key)
        ...     new = x + 2 * jax.random.normal(key_step)
        ...     return jnp.where(jnp.log(jax.random.uniform(key_accept)) < (x**2 - new**2) / 2, new, x)
        >>> result = sx.inference.validity.check_invariance(lambda data: walk, normal, key=jax.random.key(0))
        >>> result.p_value > 0.01, result.details["names"]
        (True, ('theta', 'theta²'))

    Source: Geweke (2004), doi:10.1198/016214504000001132; Gandy & Scott (2020), arXiv:2001.06465 (whose chains start
        alike).
    """
    require(n=(n, 30), steps=(steps, 1), batch_size=(batch_size, 1))
    chain = Chain(kernel, joint, init, position, quantities)
    names = chain.names(key)
    changes, moved = _changes(chain, key, numbers(n), steps, batch_size)
    share = float(np.mean(moved))
    if share == 0:
        return undecided("the kernel never moved: standing still leaves everything alone", moved=share)
    return mean_test(names, np.asarray(changes), np.zeros(len(names)), moved=share)


@eqx.filter_jit
def _changes(
    chain: Chain, key: PRNGKeyArray, number: Int[Array, " n"], steps: int, batch_size: int
) -> tuple[Float[Array, "n q"], Float[Array, " n"]]:
    """Mean of every quantity over the steps minus its value at the start, and the share of steps that moved."""
    key_chain, key_pairs = jax.random.split(key)
    chain = chain.ready(key_chain)

    def pair(i: Int[Array, ""]) -> tuple[Float[Array, " q"], Float[Array, ""]]:
        key = jax.random.fold_in(key_pairs, i)
        first, data = chain.start(jax.random.fold_in(key, 0))
        kernel = chain.kernel(data)
        at_start = chain.look(kernel, first, data)

        def step(before: Any, t: Int[Array, ""]) -> tuple[Any, tuple[Float[Array, " q"], Bool[Array, ""]]]:
            after = kernel(jax.random.fold_in(key, t), before)
            moved = differs(chain.theta(kernel, before), chain.theta(kernel, after))
            # Differences before sums: a small change of a large number keeps its digits.
            return after, (chain.look(kernel, after, data) - at_start, moved)

        _, (changes, moved) = iterate(step, first, jnp.arange(1, steps + 1, dtype=jnp.int32))
        return changes.mean(0), moved.astype(changes.dtype).mean()

    return jax.lax.map(pair, number, batch_size=batch_size)


def check_frozen(
    kernel: Kernel, state: Any, adaptation: Callable[[Any], Any], *, key: PRNGKeyArray, steps: int = 8
) -> TestResult:
    """Whether sampling leaves the adaptation alone, bit for bit: a chain that goes on adapting is no Markov chain.

    Its error is too small to see in draws, so it is looked for in the state.

    Args:
        kernel: `(key, state) -> state`.
        state: Where to start, after warm-up.
        adaptation: From a state to the numbers that must not change: step size, mass matrix, their averages.
        key: Random key.
        steps: Kernel steps.

    Returns:
        The p-value is 1 where no bit changed and 0 where one did; the statistic is how many numbers changed. `details`
        holds their `names` and how often each changed, `statistics`.

    Raises:
        ValueError: `steps` is below 1, or `adaptation` gives no array.

    Example:
        >>> def adapting(key, state):
        ...     x, step_size = state
        ...     return x + step_size * jax.random.normal(key), 1.01 * step_size
        >>> start = (jnp.zeros(()), jnp.ones(()))
        >>> sx.inference.validity.check_frozen(adapting, start, lambda s: s[1], key=jax.random.key(0)).p_value
        0.0
    """
    require(steps=(steps, 1))
    names = names_of(adaptation, state)
    if not names:
        raise ValueError("adaptation gives no array to look at")
    changed = np.asarray(_adaptation_changes(kernel, state, adaptation, key, steps))
    return TestResult(
        float((changed > 0).sum()),
        0.0 if changed.any() else 1.0,
        {"names": names, "statistics": changed, "p_values": np.where(changed > 0, 0.0, 1.0)},
    )


@eqx.filter_jit
def _adaptation_changes(
    kernel: Kernel, state: Any, adaptation: Callable[[Any], Any], key: PRNGKeyArray, steps: int
) -> Int[Array, " q"]:
    def values(state: Any) -> list[Array]:
        return [jnp.ravel(leaf) for leaf in jax.tree.leaves(eqx.filter(adaptation(state), eqx.is_array))]

    def step(before: Any, t: Int[Array, ""]) -> tuple[Any, Bool[Array, " q"]]:
        after = kernel(jax.random.fold_in(key, t), before)
        # A NaN that stays is no change.
        pairs = zip(values(before), values(after), strict=True)
        return after, jnp.concatenate([(x != y) & ~((x != x) & (y != y)) for x, y in pairs])

    return iterate(step, state, jnp.arange(steps, dtype=jnp.int32))[1].sum(0)
