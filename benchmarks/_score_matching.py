"""Denoising score matching against the bare regression step of the same network: what the loss itself costs.

The regression step is given what the loss has to make: noised samples, times and targets.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from benchmarks._row import Case, Peer, row
from scorax.diffusion import VariancePreserving, stratified_times
from scorax.score_matching import denoising_score_matching_loss

DIMENSIONS, BATCH, WIDTH = 16, 1024, 256


class Network(eqx.Module):
    """Three hidden layers of 256 on a sample and its time."""

    mlp: eqx.nn.MLP

    def __init__(self, dimensions: int, *, key: PRNGKeyArray):
        self.mlp = eqx.nn.MLP(dimensions + 1, dimensions, WIDTH, 3, jnp.tanh, key=key)

    def __call__(self, x: Float[Array, " d"], t: Float[Array, ""]) -> Float[Array, " d"]:
        return self.mlp(jnp.append(x, t))


def dsm_step(optimiser: optax.GradientTransformation) -> Any:
    """A compiled training step on clean samples: it draws times and noise, noises the samples and regresses."""
    process = VariancePreserving()

    @eqx.filter_jit(donate="none")
    def step(net, state, x0, key):
        time_key, noise_key = jax.random.split(key)
        t, _ = stratified_times(x0.shape[:1], key=time_key)

        def loss(net):
            return denoising_score_matching_loss(net, process, x0, t, key=noise_key).mean()

        value, gradient = eqx.filter_value_and_grad(loss)(net)
        updates, state = optimiser.update(gradient, state)
        return eqx.apply_updates(net, updates), state, value

    return step


def mse_step(optimiser: optax.GradientTransformation) -> Any:
    """A compiled training step of the same network by regression on ready inputs, times and targets."""

    @eqx.filter_jit(donate="none")
    def step(net, state, x, t, target):
        def loss(net):
            return (0.5 * jnp.sum((jax.vmap(net)(x, t) - target) ** 2, axis=-1)).mean()

        value, gradient = eqx.filter_value_and_grad(loss)(net)
        updates, state = optimiser.update(gradient, state)
        return eqx.apply_updates(net, updates), state, value

    return step


def steps() -> tuple[Callable[[], Any], Callable[[], Any], Any]:
    """Ready calls of either step on the same network, and the compiled program of the first."""
    # Unpacked once: indexing keys at each call would be timed with the step.
    net_key, data_key, time_key, key = jax.random.split(jax.random.key(0), 4)
    net = Network(DIMENSIONS, key=net_key)
    x, target = jax.random.normal(data_key, (2, BATCH, DIMENSIONS))
    t, _ = stratified_times((BATCH,), key=time_key)
    optimiser = optax.adam(1e-3)
    state = optimiser.init(eqx.filter(net, eqx.is_inexact_array))
    dsm, mse = dsm_step(optimiser), mse_step(optimiser)

    def program():
        return dsm.lower(net, state, x, key).compile().compiled

    return lambda: dsm(net, state, x, key)[2], lambda: mse(net, state, x, t, target)[2], program


@row("denoising_score_matching_step", f"batch {BATCH}, d {DIMENSIONS}, 3 x 256 f32")
def _denoising_step() -> Case:
    denoising, regression, program = steps()
    weights = (DIMENSIONS + 1) * WIDTH + 2 * WIDTH**2 + WIDTH * DIMENSIONS
    return Case(
        denoising,
        flops=6 * BATCH * weights,  # a multiplication and an addition, forwards, and twice that backwards
        peers=[Peer("bare regression step", regression)],
        program=program,
        goals={"slower_than": 1.05},
    )
