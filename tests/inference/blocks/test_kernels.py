"""Kernels: stationary vectors of finite chains, exactly; the law of what is accepted; engines' kernels as ours."""

import blackjax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer import HMC
from numpyro.infer.ensemble import AIES

from scorax.inference._blocks import Traced, as_kernel, mh_kernel, random_walk, single_site
from scorax.inference._blocks._kernel import metropolis
from tests.inference.blocks.closed_forms import log_normal

TARGET = np.array([0.5, 0.2, 0.3])
PROPOSALS = np.array([[0.1, 0.6, 0.3], [0.5, 0.0, 0.5], [0.2, 0.7, 0.1]])
"""`q(u' | u)` by rows, not symmetric; every pair goes both ways or neither."""


class To(eqx.Module):
    """The finite proposal, with what it proposes fixed."""

    state: jax.Array

    def __call__(self, key, u):
        q = hidden_log(PROPOSALS)
        return self.state, q[self.state, u] - q[u, self.state]


def hidden_log(p):
    with np.errstate(divide="ignore"):
        return jnp.asarray(np.log(p), dtype=float)


def transition_matrix(correct: bool) -> np.ndarray:
    """Of the finite chain: the probability of each proposal times that of the kernel's own acceptance ratio."""

    def log_ratio(u, v):
        kernel = mh_kernel(lambda u: hidden_log(TARGET)[u], To(v))
        ratio = kernel.propose(jax.random.key(0), kernel.init(u))[1]
        q = hidden_log(PROPOSALS)
        return ratio if correct else ratio - (q[v, u] - q[u, v])

    states = jnp.arange(3)
    ratios = jax.jit(jax.vmap(jax.vmap(log_ratio, (None, 0)), (0, None)))(states, states)
    matrix = np.where(PROPOSALS > 0, PROPOSALS * np.exp(np.minimum(np.asarray(ratios), 0)), 0)
    np.fill_diagonal(matrix, 0)
    return matrix + np.diag(1 - matrix.sum(1))


def test_metropolis_hastings_is_stationary(x64):
    np.testing.assert_allclose(TARGET @ transition_matrix(True), TARGET, rtol=1e-14)
    # Without the proposal's ratio it is another chain.
    assert abs(TARGET @ transition_matrix(False) - TARGET).max() > 0.02


@pytest.mark.parametrize("log_ratio", [-1.0, 0.5, -np.inf, np.nan])
def test_the_share_accepted_is_the_ratio(log_ratio):
    def propose(key, state):
        return state + 1, jnp.asarray(log_ratio, jnp.float32)

    keys = jax.random.split(jax.random.key(0), 20_000)
    moved = np.asarray(
        jax.jit(lambda keys: jax.lax.map(lambda key: metropolis(propose, key, jnp.int32(0)), keys))(keys)
    )
    expected = np.nan_to_num(np.minimum(np.exp(log_ratio), 1), nan=0.0)
    assert abs(moved.mean() - expected) <= 4.5 * (expected * (1 - expected) / 20_000) ** 0.5


def bits_target():
    """Two bits with unlike priors, and a likelihood of both."""
    prior, likelihood = hidden_log(np.array([[0.3, 0.7], [0.6, 0.4]])), hidden_log(np.array([[1.0, 0.2], [0.5, 2.0]]))
    return Traced(
        draw=lambda key: jax.vmap(jax.random.categorical)(jax.random.split(key), prior).astype(jnp.int32),
        log_prior=lambda u: prior[0, u[0]] + prior[1, u[1]],
        log_likelihood=lambda u: likelihood[u[0], u[1]],
    )


def test_single_sites_are_invariant():
    target = bits_target()
    states = jnp.asarray([[0, 0], [0, 1], [1, 0], [1, 1]], jnp.int32)
    joint = np.exp(np.asarray(jax.vmap(target.log_joint)(states)))
    joint /= joint.sum()
    kernel = mh_kernel(target, single_site(target))
    n = 40_000

    @jax.jit
    def step(starts, keys):
        return jax.lax.map(lambda xs: kernel(xs[1], kernel.init(xs[0])).position, (starts, keys))

    starts = np.random.default_rng(0).choice(4, n, p=joint)
    after = np.asarray(step(states[starts], jax.random.split(jax.random.key(0), n))) @ [2, 1]
    # Two samples of one law, dependent; each has at most this standard error.
    frequency = np.bincount(after, minlength=4) / n
    assert (abs(frequency - joint) < 4.5 * np.sqrt(joint * (1 - joint) / n)).all()
    changed = np.asarray(states)[starts] != np.asarray(states)[after]
    assert changed.sum(1).max() == 1
    assert changed.mean() > 0.05
    # Row by row against the exact matrix: choose a site (1/2), draw it (prior), accept (likelihood ratio).
    prior, likelihood = np.array([[0.3, 0.7], [0.6, 0.4]]), np.array([[1.0, 0.2], [0.5, 2.0]])
    for u in range(4):
        a, b = divmod(u, 2)
        flips = {2 * (1 - a) + b: (0, 1 - a), 2 * a + 1 - b: (1, 1 - b)}
        rows = after[starts == u]
        for v, (site, value) in flips.items():
            ratio = likelihood[divmod(v, 2)] / likelihood[a, b]
            exact = prior[site, value] * min(1, ratio) / 2
            assert abs((rows == v).mean() - exact) < 4.5 * (exact * (1 - exact) / rows.size) ** 0.5


def test_random_walk_steps_have_their_scale():
    dtype = jnp.dtype("float32")
    position = {"a": jnp.zeros(2, dtype), "b": jnp.zeros((), dtype)}
    scale = jnp.asarray([1.0, 2.0, 0.0], dtype)
    keys = jax.random.split(jax.random.key(0), 4000)
    moved, ratio = jax.jit(jax.vmap(lambda key: random_walk(scale)(key, position)))(keys)
    # The relative standard error of a standard deviation of 4000 normals is 1.1 %.
    np.testing.assert_allclose(moved["a"].std(0), [1.0, 2.0], rtol=0.05)
    assert moved["a"].dtype == dtype
    assert (moved["b"] == 0).all()
    assert (ratio == 0).all()


def precise(x):
    """A correlated Gaussian of two dimensions."""
    return -(x[0] ** 2 - 1.2 * x[0] * x[1] + x[1] ** 2) / (2 * 0.64)


COVARIANCE = np.array([[1.0, 0.6], [0.6, 1.0]])


def program(scale):
    numpyro.sample("z", dist.LogNormal(0.0, scale))


@eqx.filter_jit
def chains(kernel, starts, keys, n_steps):
    def chain(start, key):
        key_init, key_steps = jax.random.split(key)

        def step(state, key):
            return kernel(key, state), None

        last, _ = jax.lax.scan(step, kernel.init(start, key=key_init), jax.random.split(key_steps, n_steps))
        return kernel.position(last)

    return jax.lax.map(lambda xs: chain(*xs), (starts, keys))


@pytest.mark.engine
@pytest.mark.parametrize(
    "make",
    [
        lambda: blackjax.hmc(precise, 0.7, jnp.ones(2), 4),
        lambda: HMC(
            potential_fn=lambda x: -precise(x),
            step_size=0.7,
            num_steps=4,
            trajectory_length=None,
            adapt_step_size=False,
        ),
        lambda: blackjax.additive_step_random_walk(precise, blackjax.mcmc.random_walk.normal(jnp.ones(2))),
    ],
    ids=["blackjax HMC", "NumPyro HMC", "blackjax random walk"],
)
def test_kernels_of_engines_leave_the_target_alone(make):
    kernel = as_kernel(make())
    n = 5000
    starts = np.random.default_rng(0).multivariate_normal(np.zeros(2), COVARIANCE, n).astype(np.float32)
    last = np.asarray(chains(kernel, jnp.asarray(starts), jax.random.split(jax.random.key(0), n), 3), np.float64)
    assert (last != starts).any(1).mean() > 0.5
    # Exact draws stay exact draws: standard errors of means and of products of standard normals (variance <= 2).
    assert (abs(last.mean(0)) < 4.5 / n**0.5).all()
    assert (abs(last.T @ last / n - COVARIANCE) < 4.5 * (2 / n) ** 0.5).all()


@pytest.mark.engine
def test_a_numpyro_kernel_of_a_model_with_arguments_moves_in_unconstrained_space():
    # The logarithm of the site is Normal(0, 2).
    kernel = as_kernel(
        HMC(program, step_size=1.4, num_steps=3, trajectory_length=None, adapt_step_size=False), jnp.asarray(2.0)
    )
    n = 4000
    starts = {"z": 2 * jax.random.normal(jax.random.key(1), (n,))}
    last = chains(kernel, starts, jax.random.split(jax.random.key(0), n), 2)["z"]
    assert (last != starts["z"]).mean() > 0.5
    assert abs(last.std() / 2 - 1) < 4.5 / (2 * n) ** 0.5


@pytest.mark.engine
def test_nothing_adapts_and_only_the_key_decides():
    kernel = as_kernel(HMC(potential_fn=lambda x: -precise(x), step_size=0.3, trajectory_length=1.0))
    init = eqx.filter_jit(kernel.init)
    states = [init(jnp.ones(2), key=jax.random.key(seed)) for seed in (0, 1)]
    after = [eqx.filter_jit(kernel)(jax.random.key(5), state) for state in states]
    np.testing.assert_array_equal(kernel.position(after[0]), kernel.position(after[1]))
    assert (kernel.position(after[0]) != 1).all()
    for what in ("step_size", "inverse_mass_matrix"):
        before, now = (getattr(state.adapt_state, what) for state in (states[0], after[0]))
        np.testing.assert_array_equal(before, now)


def test_what_is_no_kernel():
    with pytest.raises(ValueError, match="function is no kernel"):
        as_kernel(lambda key, state: state)
    with pytest.raises(ValueError, match="without arguments"):
        as_kernel(blackjax.hmc(log_normal, 0.5, jnp.ones(1), 2), 3)
    with pytest.raises(ValueError, match="AIES moves an ensemble"):
        as_kernel(AIES(program))
