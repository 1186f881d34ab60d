"""Kernels with an accept step leave their target as it is, whatever their settings.

Chains that start as draws from the target are still draws from it afterwards: the mean of any function does not move.
Pairs of before and after make this test sharp (Student's t over independent pairs), also for chains with a momentum,
which `carry` draws from its stationary law.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.inference._engine import engine
from scorax.inference._kernels import HMC, NUTS, LaplaceMetropolis, Target, _laplace_metropolis
from scorax.inference._kernels._chees import ChEES
from scorax.inference._kernels._mclmc import MCLMC, AdjustedMCLMC
from scorax.inference._kernels._meads import MEADS

pytestmark = pytest.mark.engine

PAIRS, STEPS, K = 4000, 8, 10


class Skewed(Target):
    """Logarithms of independent gamma variables of shape 3: skew, and with a heavier tail on the left."""

    centre: float
    width: float

    def log_density(self, z):
        x = self.centre + self.width * z
        return (3 * x - jnp.exp(x)).sum()


TARGET = Skewed(None, None, 0.0, 1.0)
WIDTH = 0.63
# With mean zero and variance one, as independent proposals want it.
STANDARD = Skewed(None, None, 0.92, WIDTH)
# Step sizes at which a good share of proposals is rejected.
SETTINGS = {
    "adjusted_mclmc": (
        AdjustedMCLMC(),
        {"inverse_mass_matrix": jnp.full(K, WIDTH**2), "length": 10.0, "step_size": 5.0},
    ),
    "chees": (ChEES(), {"inverse_mass_matrix": jnp.full(K, WIDTH**2), "length": 3.0, "step_size": 0.8}),
    "meads": (MEADS(num_steps=2), {"damping": 0.3, "scale": jnp.full(K, WIDTH), "slide": 0.15, "step_size": 0.8}),
    "mclmc": (MCLMC(num_steps=2), {"inverse_mass_matrix": jnp.full(K, WIDTH**2), "length": 10.0, "step_size": 5.0}),
}


def pairs(kernel, found, target=TARGET):
    """Functions of the state before, and the mean of the same over the steps after, `[pair, function]`."""

    def functions(z):
        return jnp.concatenate([z, z**2, z[1:] * z[:-1], target.log_density(z)[None]])

    @jax.jit
    def run(keys):
        x = jnp.log(jax.vmap(lambda key: jax.random.gamma(key, 3.0, (K,)))(keys))
        z = (x - target.centre) / target.width
        every = jax.tree.map(lambda x: jnp.broadcast_to(jnp.asarray(x), (PAIRS, *jnp.shape(x))), found)
        state = kernel.begin(target, jax.vmap(target.point)(z), keys, 0, every)

        def step(state, _):
            state = jax.vmap(lambda chain: kernel.step(target, chain, 0))(state)
            return state, (jax.vmap(functions)(jax.vmap(kernel.position)(state)), kernel.statistics(state))

        _, (after, stats) = jax.lax.scan(step, state, length=STEPS)
        return jax.vmap(functions)(z), after.mean(0), stats

    with engine():
        return run(jax.random.split(jax.random.key(0), PAIRS))


def t_statistics(before, after):
    difference = np.asarray(after - before, np.float64)
    return difference.mean(0) / (difference.std(0, ddof=1) / PAIRS**0.5)


@pytest.mark.parametrize(
    "name", ["adjusted_mclmc", *(pytest.param(x, marks=pytest.mark.slow) for x in ("chees", "meads"))]
)
def test_no_mean_moves(name):
    before, after, stats = pairs(*SETTINGS[name])
    assert 0.4 < float(stats["accept_prob"].mean()) < 0.95
    # Thirty functions: a false alarm in three thousand runs.
    assert np.abs(t_statistics(before, after)).max() < 4.4


# Of eight steps two are local.
PROPOSALS = LaplaceMetropolis(local_every=4)


def test_no_mean_moves_by_independent_proposals():
    before, after, stats = pairs(PROPOSALS, {}, STANDARD)
    assert 0.3 < float(stats["accept_prob"].mean()) < 0.95
    assert np.abs(t_statistics(before, after)).max() < 4.4


@pytest.mark.slow
def test_proposals_that_forget_their_own_density_move_them(monkeypatch):
    """Accepted by the target's ratio alone, as if the walk were symmetric."""

    def forgetful(target, state, key):
        proposal_key, accept_key = jax.random.split(key)
        z = jax.random.normal(proposal_key, state.z.shape, state.z.dtype)
        log_density = target.log_density(z)
        return _laplace_metropolis._accept(state, z, log_density, log_density - state.log_density, accept_key, 1)

    monkeypatch.setattr(_laplace_metropolis, "_anywhere", forgetful)
    before, after, _ = pairs(PROPOSALS, {}, STANDARD)
    assert np.abs(t_statistics(before, after)).max() > 20


@pytest.mark.parametrize(
    "kernel", [NUTS(), pytest.param(HMC(num_steps=3), marks=pytest.mark.slow)], ids=["nuts", "hmc"]
)
def test_no_mean_moves_by_trajectories(kernel):
    found = {"inverse_mass_matrix": jnp.full(K, WIDTH**2), "step_size": 0.9}
    before, after, stats = pairs(kernel, found)
    assert 0.4 < float(stats["accept_prob"].mean()) < 0.97
    assert np.abs(t_statistics(before, after)).max() < 4.4


@pytest.mark.slow
def test_without_an_accept_step_they_do():
    """The same integrator at the same step size."""
    before, after, _ = pairs(*SETTINGS["mclmc"])
    assert np.abs(t_statistics(before, after)).max() > 5
