import jax
import numpy as np
import pytest

from scorax.choice import BradleyTerry, Davidson, PlackettLuce
from scorax.data import Comparisons, Rankings
from scorax.inference import bootstrap, fit


@pytest.fixture(autouse=True)
def double(x64):
    """What is compared with refits and with other formulas has all its digits."""


def simulated(seed, ties=False, **columns):
    """Sixty comparisons of five items whose strengths lie half a unit apart, every pair at least once each way."""
    generator = np.random.default_rng(seed)
    strength = generator.normal(size=5) * 0.5
    once = np.array([(i, j) for i in range(5) for j in range(5) if i != j])
    more = generator.integers(5, size=40)
    a = np.concatenate([once[:, 0], more])
    b = np.concatenate([once[:, 1], (more + generator.integers(1, 5, size=40)) % 5])
    won = generator.random(60) < 1 / (1 + np.exp(strength[b] - strength[a]))
    outcome = np.where(np.arange(60) < 20, 1.0, won)
    if ties:
        outcome = np.where(generator.random(60) < 0.25, 0.5, outcome)
    return Comparisons.from_arrays(a, b, outcome, **{name: make(generator, 60) for name, make in columns.items()})


@pytest.fixture(scope="module")
def battles():
    with jax.enable_x64(True):
        return simulated(seed=0)


@pytest.fixture(scope="module")
def result(battles):
    with jax.enable_x64(True):
        return fit(BradleyTerry.init(5), battles)


@pytest.fixture(scope="module")
def tied():
    """A fit to data with ties."""
    with jax.enable_x64(True):
        return fit(Davidson.init(5), simulated(seed=1, ties=True))


@pytest.fixture(scope="module")
def ranked():
    """A fit to rankings."""
    orders = [np.random.default_rng(seed).permutation(4).tolist() for seed in range(40)]
    with jax.enable_x64(True):
        return fit(PlackettLuce.init(4), Rankings.from_orders(orders, n_items=4))


@pytest.fixture(scope="module")
def draws(result):
    """Refits to redrawn data."""
    with jax.enable_x64(True):
        return bootstrap(result.model, result.data, key=jax.random.key(0), n_resamples=100, method="bayesian")
