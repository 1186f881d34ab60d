"""The rank of an exact draw within a chain through it: a test of reversible kernels that is exact however small n is.

Source: Gandy & Scott (2020), arXiv:2001.06465.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from scorax.inference._blocks._kernel import select
from scorax.inference.validity._chain import Chain, Init, KernelGiven, iterate, numbers, require
from scorax.inference.validity._joint import Joint, Quantities
from scorax.inference.validity._ranks import Ranks, rank_among
from scorax.inference.validity._result import TestResult

_CLEAR = 0.1
"""A p-value above which a stage is not worth repeating with more chains."""


def rank_test(
    kernel: KernelGiven,
    joint: Joint,
    *,
    key: PRNGKeyArray,
    init: Init | None = None,
    position: Callable[[Any], Any] | None = None,
    quantities: Quantities | None = None,
    backward: KernelGiven | None = None,
    n: int = 500,
    length: int = 8,
    doublings: int = 3,
    level: float = 0.01,
    batch_size: int = 500,
) -> TestResult:
    """Whether a reversible kernel leaves the posterior alone, by ranks.

    An exact draw from the posterior is put at a random place of a chain of `length` states, which is run from there
    forwards and backwards. That is a stationary chain seen from a random place, so the rank of the draw among its
    states is uniform, however strongly they depend on each other.

    Sequential: while the p-value is neither small nor above 0.1, the test is repeated with twice as many new chains,
    and the p-value of stage `s` is multiplied by `2**s`; so false alarms stay below their level. Less sharp than
    `check_invariance`, whose t-test needs some hundred chains.

    Args:
        kernel: As in `check_invariance`; **reversible**, unless `backward` is given.
        joint: The law of parameters and data.
        key: Random key.
        init: As in `check_invariance`.
        position: As in `check_invariance`.
        quantities: As in `check_invariance`.
        backward: The kernel run backwards in time, such as a sweep in the opposite order. None: the kernel itself.
        n: Independent chains of the first stage.
        length: States of a chain.
        doublings: Stages at most.
        level: A p-value below it ends the test.
        batch_size: Chains at a time, for memory.

    Returns:
        Of the most suspicious stage. `details["stages"]` holds every stage's own p-value.

    Raises:
        ValueError: A count is too small.

    Example:
        >>> normal = sx.inference.validity.Joint(prior=jax.random.normal)
        >>> def shrinking(key, x):
        ...     return 0.5 * x + 0.5 * jax.random.normal(key)
        >>> sx.inference.validity.rank_test(lambda data: shrinking, normal, key=jax.random.key(0)).p_value < 0.01
        True

    Source: Gandy & Scott (2020), arXiv:2001.06465.
    """
    require(n=(n, 50), length=(length, 2), doublings=(doublings, 1), batch_size=(batch_size, 1))
    chain = Chain(kernel, joint, init, position, quantities)
    names = chain.names(key)
    results: list[TestResult] = []
    stages: list[float] = []
    for stage in range(1, doublings + 1):
        # 1, 2, 4, ... pieces of one size: however many stages, one compilation.
        pieces = [numbers(n, first=n * i) for i in range(2 ** (stage - 1) - 1, 2**stage - 1)]
        ranks = np.concatenate([np.asarray(_ranks(chain, backward, key, i, length, batch_size)) for i in pieces])
        result = Ranks(ranks, length - 1, names).test()
        results.append(result)
        stages.append(result.p_value)
        if not level < 2**stage * result.p_value or result.p_value > _CLEAR:
            break
    p_values = np.asarray(stages) * 2.0 ** np.arange(1, len(stages) + 1)
    worst = int(np.argmin(p_values)) if np.isfinite(p_values).all() else len(stages) - 1
    details = {**results[worst].details, "stages": tuple(stages)}
    return TestResult(results[worst].statistic, float(np.minimum(p_values[worst], 1)), details)


@eqx.filter_jit
def _ranks(
    chain: Chain,
    backward_given: KernelGiven | None,
    key: PRNGKeyArray,
    number: Int[Array, " n"],
    length: int,
    batch_size: int,
) -> Int[Array, "n q"]:
    """Ranks of the start's quantities in chains through it."""
    key_chain, key_chains = jax.random.split(key)
    chain = chain.ready(key_chain)

    def rank(i: Int[Array, ""]) -> Int[Array, " q"]:
        key_start, key_place, key_ties, key_steps = jax.random.split(jax.random.fold_in(key_chains, i), 4)
        first, data = chain.start(key_start)
        forward = chain.kernel(data)
        backward = None if backward_given is None else backward_given(data)
        before = jax.random.randint(key_place, (), 0, length, jnp.int32)

        arrays, rest = eqx.partition(first, eqx.is_array)

        def step(state: Any, t: Int[Array, ""]) -> tuple[Any, Any]:
            # The steps backwards come first; then the chain returns to where it started.
            state = eqx.combine(select(t == before, arrays, eqx.filter(state, eqx.is_array)), rest)
            key = jax.random.fold_in(key_steps, t)
            after = forward(key, state)
            if backward is not None:
                turned = eqx.filter(backward(key, state), eqx.is_array)
                after = eqx.combine(select(t < before, turned, eqx.filter(after, eqx.is_array)), rest)
            return after, eqx.filter(chain.theta(forward, after), eqx.is_array)

        _, others = iterate(step, first, jnp.arange(length - 1, dtype=jnp.int32))
        return rank_among(lambda theta: chain.measure(theta, data), chain.theta(forward, first), others, key_ties)[0]

    return jax.lax.map(rank, number, batch_size=batch_size)
