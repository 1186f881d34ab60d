"""Score-matching steps against the bare regression step of the same network: what the loss itself costs.

The regression step is given what a loss has to make: noised samples, times and targets. Derivatives with respect to
the sample are held against the same ones written as `vmap(vmap(jvp))`, or as the trace of `jax.hessian`.
"""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from benchmarks._row import Case, Peer, row
from scorax.diffusion import VariancePreserving, stratified_times
from scorax.score_matching import (
    denoising_score_matching_loss,
    finite_difference_sliced_score_matching_loss,
    implicit_score_matching_loss,
    laplacian,
    sliced_score_matching_loss,
)

DIMENSIONS, BATCH, WIDTH = 16, 1024, 256
SIZE = f"d {DIMENSIONS}, 3 x {WIDTH} f32"
WEIGHTS = (DIMENSIONS + 1) * WIDTH + 2 * WIDTH**2 + WIDTH * DIMENSIONS
REGRESSION_FLOPS = 6 * BATCH * WEIGHTS
"""A multiplication and an addition for each weight, forwards, and twice that backwards."""


class Network(eqx.Module):
    """Three hidden layers of 256 on a sample and its time."""

    mlp: eqx.nn.MLP

    def __init__(self, dimensions: int, *, key: PRNGKeyArray):
        self.mlp = eqx.nn.MLP(dimensions + 1, dimensions, WIDTH, 3, jnp.tanh, key=key)

    def __call__(self, x: Float[Array, " d"], t: Float[Array, ""]) -> Float[Array, " d"]:
        return self.mlp(jnp.append(x, t))


Loss = Callable[..., Float[Array, ""]]


def step(loss: Loss) -> Any:
    """A compiled training step on `loss(net, *data)`."""
    optimiser = optax.adam(1e-3)

    @eqx.filter_jit(donate="none")
    def compiled(net, state, *data):
        value, gradient = eqx.filter_value_and_grad(loss)(net, *data)
        updates, state = optimiser.update(gradient, state)
        return eqx.apply_updates(net, updates), state, value

    return compiled


def ready(loss: Loss, *data: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A call of the step on these data, and its compiled program."""
    net = Network(DIMENSIONS, key=jax.random.key(0))
    state = optax.adam(1e-3).init(eqx.filter(net, eqx.is_inexact_array))
    compiled = step(loss)
    return lambda: compiled(net, state, *data)[2], lambda: compiled.lower(net, state, *data).compile().compiled


def data() -> tuple[Array, Array, Array, PRNGKeyArray]:
    """Samples, targets, times and a key."""
    data_key, time_key, key = jax.random.split(jax.random.key(1), 3)
    x, target = jax.random.normal(data_key, (2, BATCH, DIMENSIONS))
    return x, target, stratified_times((BATCH,), key=time_key)[0], key


def regression(net, x, t, target):
    return (0.5 * jnp.sum((jax.vmap(net)(x, t) - target) ** 2, axis=-1)).mean()


def bare(x: Array, t: Array, target: Array) -> Peer:
    return Peer("bare regression step", ready(regression, x, t, target)[0])


def denoising(net, x0, key):
    """Draws times and noise, noises the samples and regresses."""
    time_key, noise_key = jax.random.split(key)
    t, _ = stratified_times(x0.shape[:1], key=time_key)
    return denoising_score_matching_loss(net, VariancePreserving(), x0, t, key=noise_key).mean()


def at_one_time(loss: Callable[..., Array]) -> Loss:
    """A loss of a score without a time."""

    def of_net(net, x, key):
        return loss(lambda x: net(x, jnp.zeros((), x.dtype)), x, key).mean()

    return of_net


def nested(net: Network, x: Array, directions: Float[Array, "k n d"]) -> tuple[Array, Array]:
    """Second-order terms along directions, a `vmap` of derivatives within a `vmap`, and the score."""

    def score(x):
        return net(x, jnp.zeros((), x.dtype))

    def along(v):
        return jax.vmap(lambda x, v: jnp.vdot(v, jax.jvp(score, (x,), (v,))[1]))(x, v)

    return jax.vmap(along)(directions), jax.vmap(score)(x)


def nested_sliced(net, x, key):
    slopes, value = nested(net, x, jax.random.rademacher(key, (8, *x.shape), x.dtype))
    return slopes.mean() + 0.5 * (value**2).sum(1).mean()


def nested_implicit(net, x, key):
    slopes, value = nested(net, x, jnp.broadcast_to(jnp.eye(DIMENSIONS)[:, None], (DIMENSIONS, *x.shape)))
    return (slopes.sum(0) + 0.5 * (value**2).sum(1)).mean()


@row("denoising_score_matching_step", f"batch {BATCH}, {SIZE}")
def _denoising_step() -> Case:
    x, target, t, key = data()
    call, program = ready(denoising, x, key)
    return Case(call, flops=REGRESSION_FLOPS, peers=[bare(x, t, target)], program=program, goals={"slower_than": 1.05})


@row("sliced_score_matching_step", f"1 probe, batch {BATCH}, {SIZE}")
def _sliced_step() -> Case:
    x, target, t, key = data()
    loss = at_one_time(lambda score, x, key: sliced_score_matching_loss(score, x, key=key))
    call, program = ready(loss, x, key)
    return Case(
        call, flops=2 * REGRESSION_FLOPS, peers=[bare(x, t, target)], program=program, goals={"slower_than": 2.2}
    )


@row("sliced_score_matching_step", f"8 probes, batch {BATCH}, {SIZE}")
def _sliced_step_of_eight() -> Case:
    x, target, t, key = data()
    loss = at_one_time(lambda score, x, key: sliced_score_matching_loss(score, x, key=key, n_probes=8))
    call, program = ready(loss, x, key)
    peers = [Peer("vmap(vmap(jvp))", ready(nested_sliced, x, key)[0]), bare(x, t, target)]
    return Case(call, flops=9 * REGRESSION_FLOPS, peers=peers, program=program, goals={"slower_than": 0.7})


@row("finite_difference_sliced_step", f"1 probe, batch {BATCH}, {SIZE}")
def _finite_difference_step() -> Case:
    x, target, t, key = data()
    loss = at_one_time(lambda score, x, key: finite_difference_sliced_score_matching_loss(score, x, key=key))
    call, program = ready(loss, x, key)
    return Case(
        call, flops=2 * REGRESSION_FLOPS, peers=[bare(x, t, target)], program=program, goals={"slower_than": 2.2}
    )


@row("implicit_score_matching_step", f"exact, batch {BATCH}, {SIZE}")
def _implicit_step() -> Case:
    x, target, t, key = data()
    loss = at_one_time(lambda score, x, key: implicit_score_matching_loss(score, x))
    call, program = ready(loss, x, key)
    peers = [Peer("vmap(vmap(jvp))", ready(nested_implicit, x, key)[0]), bare(x, t, target)]
    flops = (1 + DIMENSIONS) * REGRESSION_FLOPS
    return Case(call, flops=flops, peers=peers, program=program, goals={"slower_than": 1 / 1.4})


@row("laplacian", f"forward, batch {BATCH}, {SIZE}")
def _laplacian() -> Case:
    net = eqx.nn.MLP(DIMENSIONS, "scalar", WIDTH, 3, jnp.tanh, key=jax.random.key(0))
    x = data()[0]

    @functools.partial(jax.jit, static_argnames="method")
    def run(x, method):
        return jax.vmap(lambda x: laplacian(net, x, method=method))(x)

    @jax.jit
    def by_hessian(x):
        return jax.vmap(lambda x: (net(x), jax.grad(net)(x), jnp.trace(jax.hessian(net)(x))))(x)

    evaluation = jax.jit(jax.vmap(net)).lower(x).compile().cost_analysis()
    counted = run.lower(x, "forward").compile().cost_analysis()
    counts = None
    if evaluation and counted:
        counts = {"evaluations": counted["flops"] / evaluation["flops"]}
    return Case(
        lambda: run(x, "forward"),
        flops=2 * (DIMENSIONS + 2) * BATCH * (DIMENSIONS * WIDTH + 2 * WIDTH**2 + WIDTH),
        peers=[
            Peer("forward over reverse", lambda: run(x, "forward_over_reverse")),
            Peer("trace of jax.hessian", lambda: by_hessian(x)),
        ],
        program=lambda: run.lower(x, "forward").compile(),
        facts=None if counts is None else lambda result, cpu: counts,
        goals={"slower_than": 1.0},
    )
