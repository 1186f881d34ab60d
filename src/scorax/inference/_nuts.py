"""The No-U-Turn sampler: NumPyro's kernel in one executable for warm-up and sampling, driven from the host in chunks.

Everything that changes from call to call (data, prior, keys, number of draws) is an argument of the two compiled
functions, so that a second call of the same shapes compiles nothing.

Source: Hoffman & Gelman (2014), arXiv:1111.4246.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray
from numpyro.infer.hmc import HMCState, hmc
from numpyro.infer.util import ParamInfo

from scorax.inference._draws import Chains, Record, join, record_of
from scorax.inference._engine import engine
from scorax.inference._problem import Problem
from scorax.inference._progress import Clock, Report

# Draws that one call of the compiled function can hold. It decides nothing about the result.
_CHUNK = 100
_SECONDS_PER_CHUNK = 0.5
_STARTS = 100
_JITTER = 0.1


class Settings(NamedTuple):
    """What NumPyro's kernel is compiled for."""

    num_warmup: int
    target_accept_prob: float
    max_tree_depth: int
    dense_mass: bool
    vectorized: bool


class Start(NamedTuple):
    """Where chains start: near the values that are `given`, anywhere in (-2, 2) in all other coordinates."""

    centre: Float[Array, " d"]
    given: Bool[Array, " d"]


def run_chains(
    problem: Problem,
    start: Start,
    moving: tuple[bool, ...],
    settings: Settings,
    *,
    keys: Key[Array, " c"],
    num_samples: int,
    report: Report,
) -> Chains:
    """Warm up and sample one chain for each key.

    Raises:
        ValueError: Some chain finds no start at which density and gradient are finite.
        KeyboardInterrupt: The user interrupted before the first draw. After it, what was drawn is returned.
    """
    total = settings.num_warmup + num_samples
    clock = Clock(total, keys.shape[0])
    report(clock.progress("compiling", 0))
    state, finite, slope = _first(problem, start, keys, settings)
    _check_start(problem, np.asarray(finite), np.asarray(slope))
    kept: list[Record] = []
    done = divergences = 0
    interrupted = False
    try:
        for n in _chunks(settings.num_warmup, total):
            state, records = _advance(problem, state, jnp.asarray(np.int32(n)), moving, settings)
            jax.block_until_ready(state)
            if done == 0:
                clock.start(n)
            done += n
            if done > settings.num_warmup:
                kept.append(jax.tree.map(lambda x, n=n: np.asarray(x)[:, :n], records))
                divergences += int(kept[-1]["stats"]["diverging"].sum())
            report(clock.progress("sampling" if kept else "warm-up", done, divergences))
    except KeyboardInterrupt:
        if not kept:
            raise
        interrupted = True
    report(clock.progress("interrupted" if interrupted else "done", done, divergences)._replace(seconds_left=np.nan))
    return Chains(join(kept, axis=1), interrupted)


def _chunks(num_warmup: int, total: int) -> Iterator[int]:
    """Numbers of steps that take about half a second each and do not straddle the end of the warm-up."""
    done, n = 0, 10
    while done < total:
        step = min(n, (num_warmup if done < num_warmup else total) - done)
        began = time.perf_counter()
        yield step
        rate = step / max(time.perf_counter() - began, 1e-6)
        # The first call compiles, and says nothing about the rate.
        n = n if done == 0 else int(np.clip(rate * _SECONDS_PER_CHUNK, 1, _CHUNK))
        done += step


def _check_start(problem: Problem, finite: np.ndarray, slope: np.ndarray) -> None:
    if finite.all():
        return
    bad = np.flatnonzero(~finite)
    sites = jax.tree.map(lambda x: ~np.isfinite(x).all(), problem.coordinates(jnp.asarray(slope[bad[0]])))
    names = sorted(name for name, wrong in sites.items() if wrong)
    raise ValueError(
        f"{_STARTS} starts of chain {bad[0]} (and {bad.size - 1} others) had no finite density with a finite gradient"
        f"{' in ' + ', '.join(names) if names else ''}. Check that log_prob and prior are finite inside the "
        "parameters' supports, and that initial= lies inside them, not at an edge."
    )


def _potential(problem: Problem) -> Callable[[Float[Array, " d"]], Float[Array, ""]]:
    return lambda q: -problem.log_density(q)


def _kernels(settings: Settings) -> tuple[Callable[..., HMCState], Callable[..., HMCState]]:
    initialise, advance = hmc(potential_fn_gen=_potential, algo="NUTS")

    def begin(problem: Problem, z: Any, key: PRNGKeyArray) -> HMCState:
        return initialise(
            z,
            settings.num_warmup,
            max_tree_depth=settings.max_tree_depth,
            target_accept_prob=settings.target_accept_prob,
            dense_mass=settings.dense_mass,
            model_args=(problem,),
            rng_key=key,
        )

    return begin, advance


@eqx.filter_jit
def _first(
    problem: Problem, start: Start, keys: Key[Array, " c"], settings: Settings
) -> tuple[HMCState, Bool[Array, " c"], Float[Array, "c d"]]:
    """The state of every chain at its start, whether density and gradient are finite there, and the gradient."""
    with engine():
        begin, _ = _kernels(settings)
        energy = jax.value_and_grad(_potential(problem))

        def draw(key: PRNGKeyArray) -> Float[Array, " d"]:
            near, anywhere = jax.random.split(key)
            d, dtype = start.centre.shape, start.centre.dtype
            jittered = start.centre + _JITTER * jax.random.normal(near, d, dtype)
            return jnp.where(start.given, jittered, jax.random.uniform(anywhere, d, dtype, -2, 2))

        def again(carry: tuple[Int[Array, ""], Bool[Array, ""], ParamInfo], key: PRNGKeyArray) -> Any:
            q = draw(jax.random.fold_in(key, carry[0]))
            value, slope = energy(q)
            return carry[0] + 1, jnp.isfinite(value) & jnp.isfinite(slope).all(), ParamInfo(q, value, slope)

        def one_chain(key: PRNGKeyArray) -> Any:
            key_start, key_run = jax.random.split(key)
            blank = jnp.zeros_like(start.centre)
            _, finite, at = jax.lax.while_loop(
                lambda carry: (carry[0] < _STARTS) & ~carry[1],
                lambda carry: again(carry, key_start),
                (jnp.asarray(0, jnp.int32), jnp.asarray(False), ParamInfo(blank, blank.sum(), blank)),
            )
            return begin(problem, at, key_run), finite, at.z_grad

        return jax.lax.map(one_chain, keys)


@eqx.filter_jit
def _advance(
    problem: Problem, state: HMCState, n: Int[Array, ""], moving: tuple[bool, ...], settings: Settings
) -> tuple[HMCState, Record]:
    """`n` steps of every chain, and what is kept of them in the first `n` places of buffers."""
    with engine():
        begin, advance = _kernels(settings)
        # The kernel reads from its closure what only its initialisation writes there.
        jax.eval_shape(lambda key: begin(problem, problem.start, key), jax.random.key(0))

        def keep(state: HMCState) -> Record:
            return {**record_of(problem, state.z, moving), "stats": _statistics(state)}

        def one_chain(state: HMCState) -> tuple[HMCState, Record]:
            blank = jax.tree.map(lambda x: jnp.zeros((_CHUNK, *x.shape), x.dtype), jax.eval_shape(keep, state))

            def step(i: Int[Array, ""], carry: tuple[HMCState, Record]) -> tuple[HMCState, Record]:
                new = advance(carry[0], (problem,), {})
                return new, jax.tree.map(lambda buffer, x: buffer.at[i].set(x), carry[1], keep(new))

            return jax.lax.fori_loop(0, n, step, (state, blank))

        if not settings.vectorized:
            return jax.lax.map(one_chain, state)
        # All chains are at the same step: were its number batched, every condition on it would compute both branches.
        axes = _unbatched_clock(jax.tree.map(lambda _: 0, state), lambda _: None)
        shared = _unbatched_clock(state, lambda x: x[0])
        new, records = jax.vmap(one_chain, in_axes=(axes,), out_axes=(axes, 0))(shared)
        chains = state.i.shape[0]
        return _unbatched_clock(new, lambda x: jnp.broadcast_to(x, (chains,))), records


def _unbatched_clock(state: HMCState, change: Callable[[Any], Any]) -> HMCState:
    adaptation = state.adapt_state._replace(window_idx=change(state.adapt_state.window_idx))
    return state._replace(i=change(state.i), adapt_state=adaptation)


def _statistics(state: HMCState) -> dict[str, Array]:
    return {
        "accept_prob": state.accept_prob,
        "diverging": state.diverging,
        "energy": state.energy,
        "log_density": -state.potential_energy,
        "num_steps": state.num_steps,
        "step_size": state.adapt_state.step_size,
    }
