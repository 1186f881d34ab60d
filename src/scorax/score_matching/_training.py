"""A training loop for those who want one: one compiled step, moving averages, a state that saves and resumes."""

import math
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt32

Tree = TypeVar("Tree")
Decay = Callable[[Int[Array, ""]], Float[Array, ""]]


def exponential_moving_average(average: Tree, new: Tree, decay: float | Float[Array, ""]) -> Tree:
    """`decay * average + (1 - decay) * new` in the floating leaves; what else there is comes from `average`.

    Args:
        average: The average so far, any pytree.
        new: A pytree of the same structure.
        decay: Share of the old average, in [0, 1].

    Example:
        >>> exponential_moving_average({"w": jnp.array(1.0), "name": "net"}, {"w": jnp.array(2.0), "name": "net"}, 0.75)
        {'name': 'net', 'w': Array(1.25, dtype=float32)}

    Source: Polyak and Juditsky (1992), doi:10.1137/0330046; Karras, Aittala, Lehtinen and others (2024),
    arXiv:2312.02696.
    """
    share = 1 - jnp.asarray(decay)
    old, rest = eqx.partition(average, eqx.is_inexact_array)
    fresh = eqx.filter(new, eqx.is_inexact_array)
    return eqx.combine(jax.tree.map(lambda old, new: old + share.astype(old.dtype) * (new - old), old, fresh), rest)


def power_function_decay(gamma: float) -> Decay:
    r"""Decays `(1 - 1/t)^(gamma + 1)` of an average whose weights grow as `t^gamma`: the same profile at any length.

    A function of the count t of steps, this one included, for `make_step`. The first step replaces the average.

    Args:
        gamma: The power, above -1; see `power_function_gamma` for the one of a given width.

    Raises:
        ValueError: `gamma` is -1 or less.

    Example:
        >>> power_function_decay(0.0)(jnp.array(4))  # the plain mean of four
        Array(0.75, dtype=float32)

    Source: Karras, Aittala, Lehtinen, Hellsten, Aila and Laine (2024), arXiv:2312.02696, section 3.1.
    """
    if not gamma > -1:
        raise ValueError(f"gamma must be above -1, not {gamma}.")

    def decay(step: Int[Array, ""]) -> Float[Array, ""]:
        t = step.astype(float)
        # At t = 1 the decay is 0; the logarithm is kept finite.
        return jnp.where(t > 1, jnp.exp((gamma + 1) * jnp.log1p(-1 / jnp.maximum(t, 2.0))), 0.0)

    return decay


def power_function_width(gamma: float) -> float:
    r"""The relative width of a power-function average, `sqrt((gamma + 1) / ((gamma + 2)² (gamma + 3)))`.

    It is the standard deviation of the weights over steps, relative to the length of the training.

    Args:
        gamma: The power, above -1.

    Raises:
        ValueError: `gamma` is -1 or less.

    Example:
        >>> round(power_function_width(6.94), 3)
        0.1

    Source: Karras, Aittala, Lehtinen, Hellsten, Aila and Laine (2024), arXiv:2312.02696, equation 123.
    """
    if not gamma > -1:
        raise ValueError(f"gamma must be above -1, not {gamma}.")
    return math.sqrt((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3)))


def power_function_gamma(sigma_rel: float) -> float:
    r"""The power of an average of a given relative width: the inverse of `power_function_width`.

    Args:
        sigma_rel: The relative width, above 0 and at most 0.3002. Powers below -0.38 are never given.

    Raises:
        ValueError: `sigma_rel` is out of range.

    Example:
        >>> round(power_function_gamma(0.1), 2)
        6.94

    Source: Karras, Aittala, Lehtinen, Hellsten, Aila and Laine (2024), arXiv:2312.02696, algorithm 2.
    """
    widest = power_function_width((math.sqrt(5) - 3) / 2)
    if not 0 < sigma_rel <= widest:
        raise ValueError(f"sigma_rel must be above 0 and at most {widest:.4f}, not {sigma_rel}.")
    inverse = sigma_rel**-2
    return float(np.roots([1, 7, 16 - inverse, 12 - inverse]).real.max())


class TrainingState(eqx.Module):
    """All that a training step changes: a pytree that `eqx.tree_serialise_leaves` saves.

    To resume, `eqx.tree_deserialise_leaves(path, step.init(model, key=key))` with any model of the same structure.
    """

    model: Any
    average: Any
    """The moving average of the model, of the same structure."""
    optimiser: Any
    """The state of the optimiser."""
    step: Int[Array, ""]
    """Steps done."""
    key_data: UInt32[Array, "..."]
    """The numbers in the random key; each step folds its count into it. A typed key could not be saved."""
    key_type: Hashable = eqx.field(static=True)
    """The implementation of the random key."""


class TrainingStep(eqx.Module):
    """A compiled training step. Made by `make_step`."""

    loss: Callable[..., Float[Array, " n"]]
    optimiser: optax.GradientTransformation = eqx.field(static=True)
    decay: Decay = eqx.field(static=True)

    def init(self, model: Any, *, key: PRNGKeyArray) -> TrainingState:
        """The state before the first step, whose average is the model itself."""
        optimiser = self.optimiser.init(eqx.filter(model, eqx.is_inexact_array))
        key_data, key_type = jax.random.key_data(key), jax.random.key_impl(key)
        return TrainingState(model, model, optimiser, jnp.zeros((), jnp.int32), key_data, key_type)

    @eqx.filter_jit
    def __call__(self, state: TrainingState, batch: Any) -> tuple[TrainingState, Float[Array, ""]]:
        """The state after one step, and the mean loss before it."""
        key = jax.random.fold_in(jax.random.wrap_key_data(state.key_data, impl=state.key_type), state.step)

        @eqx.filter_value_and_grad
        def mean(model: Any) -> Float[Array, ""]:
            return self.loss(model, batch, key=key).mean()

        value, gradient = mean(state.model)
        weights = eqx.filter(state.model, eqx.is_inexact_array)
        updates, optimiser = self.optimiser.update(gradient, state.optimiser, weights)
        model, step = eqx.apply_updates(state.model, updates), state.step + 1
        average = exponential_moving_average(state.average, model, self.decay(step))
        return TrainingState(model, average, optimiser, step, state.key_data, state.key_type), value


def make_step(
    loss: Callable[..., Float[Array, " n"]],
    optimiser: optax.GradientTransformation,
    *,
    ema: float | Decay = 0.999,
) -> TrainingStep:
    r"""A compiled training step on the mean of a loss per example, with a moving average of the model.

    Only the floating arrays of the model move; integers, keys and functions in it stay as they are. The step with
    number k draws with `fold_in(key, k)`, so training that is saved and resumed goes on bit by bit as if it had not
    stopped.

    Args:
        loss: `loss(model, batch, *, key) -> (n,)`, one loss for each example of a batch. The batch is any pytree; what
            the loss does not need it may ignore. Arrays inside it, where it is a module, are not trained.
        optimiser: How the model moves.
        ema: Decay of the moving average in [0, 1], or a function of the count of steps, such as
            `power_function_decay(6.94)`.

    Returns:
        The step: `state = step.init(model, key=key)`, then `state, value = step(state, batch)`. The trained model is
        `state.model`, its moving average `state.average`.

    Raises:
        ValueError: `ema` is a number outside [0, 1].

    Example:
        >>> import optax
        >>> def loss(model, x, *, key):
        ...     return sx.score_matching.implicit_score_matching_loss(lambda x: -model["precision"] * x, x)
        >>> step = make_step(loss, optax.sgd(0.1))
        >>> state = step.init({"precision": jnp.ones(())}, key=jax.random.key(0))
        >>> state, value = step(state, jnp.array([[-1.0], [0.0], [2.0]]))
        >>> value, state.model["precision"]
        (Array(-0.16666667, dtype=float32), Array(0.93333334, dtype=float32))
    """
    if not callable(ema) and not 0 <= ema <= 1:
        raise ValueError(f"ema must be a decay from 0 to 1, or a function of the count of steps, not {ema}.")
    decay = ema if callable(ema) else (lambda step: jnp.asarray(ema, float))
    return TrainingStep(loss, optimiser, decay)
