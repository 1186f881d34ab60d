"""Kernels of NumPyro and blackjax as functions `(key, state) -> state`."""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray
from numpyro.infer.mcmc import MCMCKernel

from scorax.inference._blocks._kernel import AbstractTransition
from scorax.inference._engine import engine


class _BlackjaxKernel(AbstractTransition):
    # What blackjax' functions return, known by its two functions: blackjax itself is not needed.
    algorithm: Any = eqx.field(static=True)

    def init(self, position: Any, *, key: PRNGKeyArray) -> Any:
        with engine():
            return self.algorithm.init(position, key)

    def __call__(self, key: PRNGKeyArray, state: Any) -> Any:
        with engine():
            return self.algorithm.step(key, state)[0]

    def position(self, state: Any) -> Any:
        return state.position


class _NumPyroKernel(AbstractTransition):
    kernel: MCMCKernel = eqx.field(static=True)
    arguments: tuple[Any, ...]

    def init(self, position: Any, *, key: PRNGKeyArray) -> Any:
        with engine():
            return self.kernel.init(key, 0, position, self.arguments, {})

    def __call__(self, key: PRNGKeyArray, state: Any) -> Any:
        # The kernel keeps in its own attributes what only its initialisation writes there.
        jax.eval_shape(lambda key, position: self.init(position, key=key), key, self.position(state))
        with engine():
            return self.kernel.sample(state._replace(rng_key=key), self.arguments, {})

    def position(self, state: Any) -> Any:
        return getattr(state, self.kernel.sample_field)


def as_kernel(kernel: Any, *arguments: Any) -> AbstractTransition:
    """A NumPyro or blackjax kernel as one of ours. It does not adapt: its options hold for good.

    Args:
        kernel: A NumPyro kernel, such as `NUTS(potential_fn=..., step_size=0.1)`, or a blackjax algorithm, such as
            `blackjax.hmc(log_density, 0.1, jnp.ones(d), 10)`. What its density closes over is compiled in: where data
            change, make the kernel inside the compiled function.
        arguments: Of the model, for a NumPyro kernel that was made of one.

    Returns:
        `state = kernel(key, state)`, from `kernel.init(position, key=key)`; `kernel.position(state)` is in the
        unconstrained space of a NumPyro model.

    Raises:
        ValueError: `kernel` is neither, or it moves many chains together.

    Example:
        >>> import blackjax
        >>> kernel = sx.inference.as_kernel(blackjax.hmc(lambda x: -(x @ x) / 2, 0.5, jnp.ones(2), 5))
        >>> state = kernel.init(jnp.zeros(2), key=jax.random.key(0))
        >>> kernel.position(kernel(jax.random.key(1), state)).shape
        (2,)

    Source: Phan, Pradhan & Jankowiak (2019), arXiv:1912.11554 (NumPyro); Cabezas et al. (2024), arXiv:2402.10797
        (blackjax).
    """
    if isinstance(kernel, MCMCKernel):
        if kernel.is_ensemble_kernel:
            raise ValueError(
                f"{type(kernel).__name__} moves an ensemble of chains together: it has no state of one chain"
            )
        return _NumPyroKernel(kernel, arguments)
    if callable(getattr(kernel, "init", None)) and callable(getattr(kernel, "step", None)) and not arguments:
        return _BlackjaxKernel(kernel)
    raise ValueError(
        f"{type(kernel).__name__} is no kernel: pass a NumPyro kernel, or a blackjax algorithm with init and step"
        + (" (without arguments)" if arguments else "")
    )
