"""Diffusion: a stage of the likelihood against a regression step, and samplers whose step count is a traced value.

The network is that of the score-matching rows. A stage evaluates drift and divergence of the probability flow, by one
random direction, for the whole batch. A sampler's row takes few steps of a program that allows many; its peer
evaluates the network as many times, so that the ratio is what the sampler adds.
"""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._row import Case, Peer, row
from benchmarks._score_matching import BATCH, DIMENSIONS, SIZE, WEIGHTS, Network, bare, data
from scorax.diffusion import (
    EDM,
    EmpiricalScore,
    VariancePreserving,
    dpm_solver_pp_2m,
    log_snr_grid,
    probability_flow_log_prob,
)
from scorax.score_matching import divergence, kernel_stein_discrepancy

MOST, FEW = 64, 16


def network() -> Network:
    return Network(DIMENSIONS, key=jax.random.key(0))


@eqx.filter_jit
def stage(net, x, t, key):
    """Velocity and its divergence, from one evaluation of the network."""
    process = VariancePreserving()
    velocity = process.probability_flow(net)

    def one(x, t, key):
        return divergence(lambda x: velocity(x, t), x, method="hutchinson", key=key)

    return jax.vmap(one)(x, t, key)


@eqx.filter_jit
def separate(net, x, t, key):
    """The same as two functions, each compiled code's own evaluation of the network."""
    velocity = VariancePreserving().probability_flow(net)
    v = jax.vmap(lambda key: jax.random.rademacher(key, x.shape[1:], x.dtype))(key)
    change = jax.vmap(jax.grad(lambda x, t, v: jnp.vdot(v, velocity(x, t))))(x, t, v)
    return jax.vmap(velocity)(x, t), (change * v).sum(1)


@row("likelihood_stage", f"1 probe, batch {BATCH}, {SIZE}")
def _stage() -> Case:
    x, target, t, key = data()
    net, keys = network(), jax.random.split(key, BATCH)
    return Case(
        lambda: stage(net, x, t, keys),
        flops=4 * BATCH * WEIGHTS,
        peers=[bare(x, t, target), Peer("grad(v . u)", lambda: separate(net, x, t, keys))],
        goals={"slower_than": 0.8},
    )


@row("probability_flow_log_prob", f"1 probe, batch 256, {SIZE}")
def _log_prob() -> Case:
    x, _, _, key = data()
    net = network()

    @eqx.filter_jit
    def run(net, x, key):
        options = {"divergence": "hutchinson", "t0": 1e-3, "rtol": 1e-3, "atol": 1e-3}
        return probability_flow_log_prob(net, VariancePreserving(), x, key=key, **options)

    return Case(lambda: run(net, x[:256], key))


@functools.cache
def _sampler() -> Any:
    @eqx.filter_jit
    def run(net, x_T, n):
        times = log_snr_grid(VariancePreserving(), n, 1e-3, 1.0, n_max=MOST)
        return dpm_solver_pp_2m(net, VariancePreserving(), x_T, times)

    return run


@eqx.filter_jit
def evaluation(net, x, t):
    return jax.vmap(net, (0, None))(x, t)


def _sample(n: int) -> Case:
    x_T, *_ = data()
    net, steps = network(), jnp.asarray(n, jnp.int32)
    run, t = _sampler(), jnp.asarray(0.5)

    def loop():
        x = x_T
        for _ in range(n):
            x = evaluation(net, x, t)
        return x

    return Case(
        lambda: run(net, x_T, steps),
        flops=2 * n * BATCH * WEIGHTS,
        peers=[Peer(f"{n} evaluations of the network", loop)],
        goals={"slower_than": 1.25},
    )


@row("dpm_solver_pp_2m", f"{FEW} of {MOST} steps, batch {BATCH}, {SIZE}")
def _few() -> Case:
    return _sample(FEW)


@row("dpm_solver_pp_2m", f"{MOST} of {MOST} steps, batch {BATCH}, {SIZE}")
def _many() -> Case:
    return _sample(MOST)


@row("empirical_score", "20 000 samples of 256 entries, 512 queries, f32")
def _empirical() -> Case:
    process, t = EDM(), jnp.asarray(1.0)
    generator = np.random.default_rng(0)
    samples = generator.normal(size=(20_000, 256)).astype(np.float32)
    queries = (samples[:512] + generator.normal(size=(512, 256))).astype(np.float32)
    model, x, y = EmpiricalScore(jnp.asarray(samples), process), jnp.asarray(queries), jnp.asarray(samples)
    program = eqx.filter_jit(lambda model, x, t: jax.vmap(model, (0, None))(x, t))

    @jax.jit
    def at_once(x: jax.Array, y: jax.Array) -> jax.Array:
        exponent = x @ y.T - 0.5 * (y**2).sum(1)[None]
        return jax.nn.softmax(exponent) @ y - x

    def error(score: Any) -> float:
        a, b = queries[:64].astype(np.float64), samples.astype(np.float64)
        exponent = a @ b.T - 0.5 * (b**2).sum(1)
        weight = np.exp(exponent - exponent.max(1, keepdims=True))
        return float(np.abs(weight @ b / weight.sum(1, keepdims=True) - a - np.asarray(score)[:64]).max())

    return Case(
        lambda: program(model, x, t),
        flops=4 * samples.size * len(queries),
        error=error,
        peers=[Peer("all weights at once", lambda: at_once(x, y), error)],
        goals={"slower_than": 1.25},
    )


@row("kernel_stein_discrepancy", "4096 samples of 64 entries, f32")
def _stein() -> Case:
    x = jax.random.normal(jax.random.key(0), (4096, 64))
    program = jax.jit(lambda x: kernel_stein_discrepancy(x, jnp.negative))
    # Three products for each pair of blocks, and of the pairs one half.
    return Case(lambda: program(x), flops=3 * x.shape[0] ** 2 * x.shape[1])
