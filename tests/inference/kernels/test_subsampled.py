"""Energy-conserving subsampling: the estimate by enumeration, the kernel on its exact target, and large data."""

import dataclasses
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jaxtyping import Array, Bool, Float

from scorax.choice import BradleyTerry
from scorax.data import AbstractRows, Comparisons
from scorax.inference import HMC, HMCECS, AbstractModel, Frame, iid_prior, mcse_mean, mcse_sd, sample
from scorax.inference._engine import engine
from scorax.inference._kernels import Target, _subsampled
from scorax.inference._posterior_problem import posterior_problem
from scorax.inference.validity import Joint, check_invariance
from tests.inference.compilations import compilations
from tests.inference.toys import Measurements, Things, some_measurements

pytestmark = pytest.mark.engine


class Cases(AbstractRows):
    """A yes or no for each vector of features."""

    feature: Float[Array, "n d"]
    answer: Bool[Array, " n"]
    weight: Float[Array, " n"]
    count: Float[Array, " n"]


class Logistic(AbstractModel[Cases]):
    """Logistic regression; slopes are standard normal."""

    slope: Float[Array, " d"]

    def log_prob(self, data):
        margin = jnp.where(data.answer, 1, -1) * (data.feature.astype(self.slope.dtype) @ self.slope)
        return jax.nn.log_sigmoid(margin)

    def prior(self):
        return Logistic(jnp.asarray(numpyro.sample("slope", dist.Normal(0.0, 1.0).expand(self.slope.shape))))

    def simulate(self, data, *, key):
        chance = jax.nn.sigmoid(data.feature @ self.slope)
        return dataclasses.replace(data, answer=jax.random.uniform(key, chance.shape) < chance)


def cases(feature, answer, weight=None):
    feature = jnp.asarray(np.asarray(feature, float), dtype=float)
    ones = jnp.ones(feature.shape[0])
    weight = ones if weight is None else jnp.asarray(weight, dtype=float)
    return Cases(feature, jnp.asarray(answer), weight, ones)


def many(n, d=3, seed=0):
    rng = np.random.default_rng(seed)
    feature = rng.normal(size=(n, d))
    return cases(feature, rng.random(n) < 1 / (1 + np.exp(-feature @ np.linspace(-1, 1, d))))


def target_of(model, data, frame=None):
    return Target(posterior_problem(model, data, None, condense=False)[0], frame)


# The estimate, over all subsamples of a few rows.


def estimates(target, z, m):
    """Value and variance for every subsample, and their corrected log densities."""
    n = target.problem.data.weight.shape[0]
    every = jnp.asarray(list(itertools.product(range(n), repeat=m)), jnp.int32)
    return _all_estimates(target, every, z)


@eqx.filter_jit
def _all_estimates(target, every, z):
    with engine():
        expansion = _subsampled._expand(target)

        def one(rows):
            estimated = _subsampled._estimated(target, expansion, rows)
            return estimated.estimate(z), estimated.log_density(z)

        return jax.vmap(one)(every), expansion


@eqx.filter_jit
def seen_from(target, rows, z):
    """From one subsample: point, estimate and expansion; and the exact point."""
    with engine():
        expansion = _subsampled._expand(target)
        estimated = _subsampled._estimated(target, expansion, jnp.asarray(rows, jnp.int32))
        return estimated.point(z), estimated.estimate(z), expansion, target.point(z)


FEW = ([[1.0, 0.5], [-2.0, 1.0], [0.3, 2.0], [1.5, -1.0]], [True, False, True, False], [1.0, 3.0, 0.5, 2.0])


@pytest.mark.parametrize("m", [2, 3])
def test_the_estimate_and_its_variance_are_unbiased(m, x64):
    frame = Frame(jnp.asarray([0.2, -0.1]), jnp.asarray([[0.8, 0.0], [0.3, 0.5]]))
    target = target_of(Logistic(jnp.zeros(2)), cases(*FEW), frame)
    z = jnp.asarray([0.9, -1.4])
    (found, corrected), expansion = estimates(target, z, m)

    def total(z):
        model = Logistic(frame.outward(z))
        return jnp.vdot(jnp.asarray(FEW[2]), model.log_prob(target.problem.data))

    np.testing.assert_allclose(expansion.hessian, jax.hessian(total)(jnp.zeros(2)), rtol=1e-10)
    gain = total(z) - total(jnp.zeros(2))
    np.testing.assert_allclose(found.value.mean(), gain, rtol=1e-10)
    # All subsamples are equally likely, so this is the variance, not an estimate of it.
    np.testing.assert_allclose(found.variance.mean(), found.value.var(), rtol=1e-10)
    assert found.value.var() > 1e-3
    prior = target.problem.log_prior(frame.outward(z))
    np.testing.assert_allclose(corrected, prior + found.value - found.variance / 2, rtol=1e-10)


def test_the_correction_is_right_to_first_order(x64):
    """The mean of the exponential misses the likelihood by half the variance without it, by far less with it."""
    target = target_of(Logistic(jnp.zeros(2)), cases(*FEW[:2]))
    z = jnp.asarray([0.6, 0.6])
    (found, _), _ = estimates(target, z, 4)
    exact, variance = found.value.mean(), found.value.var()
    without, corrected = (
        jax.nn.logsumexp(x) - np.log(x.size) - exact for x in (found.value, found.value - found.variance / 2)
    )
    assert 0.4 < without / variance < 0.6
    assert abs(corrected) < 0.1 * without


def test_a_quadratic_likelihood_is_known_from_any_rows(x64):
    target = target_of(Things(jnp.zeros(3)), some_measurements(0))
    z = jnp.asarray([0.4, -2.0, 1.0, 0.5])
    point, estimate, expansion, exact = seen_from(target, [0, 7], z)
    np.testing.assert_allclose(point.log_density + expansion.value, exact.log_density, rtol=1e-12)
    np.testing.assert_allclose(point.slope, exact.slope, rtol=1e-10)
    assert estimate.variance < 1e-20


def test_padding_is_no_row(x64):
    """Even where its log-probability is minus infinity, it adds nothing, to value or gradient."""
    data = cases(*FEW).pad(5)
    broken = dataclasses.replace(data, feature=data.feature.at[4].set(1e30))
    z = jnp.asarray([0.9, -1.4])
    targets = [target_of(Logistic(jnp.zeros(2)), x) for x in (cases(*FEW), broken)]
    (alone, _), _ = estimates(targets[0], z, 2)
    (padded, _), _ = estimates(targets[1], z, 2)
    np.testing.assert_allclose(padded.value.mean(), alone.value.mean(), rtol=1e-12)
    point, *_ = seen_from(targets[1], [4, 1], z)
    assert jnp.isfinite(point.slope).all()


# The kernel on its exact target: parameters and subsample together, by quadrature and enumeration.


class Waves(AbstractModel[Measurements]):
    """Each row adds `value * sin(3 level)`: expanded about 0, its error grows in proportion, and the prior holds it."""

    level: Float[Array, ""]

    def log_prob(self, data):
        return data.value.astype(self.level.dtype) * jnp.sin(3 * self.level)

    def prior(self):
        return Waves(jnp.asarray(numpyro.sample("level", dist.Normal(0.8, 0.5))))

    def simulate(self, data, *, key):
        return data


OFF = Frame(jnp.asarray([0.0]), jnp.asarray([[0.5]]))
GRID = np.linspace(-6, 10, 801)
SMALL = {"subsample_size": 4, "num_blocks": 2, "inner": HMC(num_steps=2)}


def strong():
    data = Measurements.of([0, 0, 0, 0], [0.2, -0.1, 0.25, 0.0]).reweight(jnp.asarray([1.0, 2.0, 1.0, 1.0]))
    return target_of(Waves(jnp.zeros(())), data, OFF)


@pytest.fixture(scope="module")
def table():
    """Subsamples, and the log density of each with every place of the grid."""
    target = strong()
    every = jnp.asarray(list(itertools.product(range(4), repeat=4)), jnp.int32)
    with engine():
        expansion = _subsampled._expand(target)

        def row(rows):
            return jax.vmap(lambda z: _subsampled._estimated(target, expansion, rows).log_density(z[None]))(
                jnp.asarray(GRID, float)
            )

        return every, jax.jit(jax.vmap(row))(every)


class AlwaysNew(HMCECS):
    """Takes whatever subsample is proposed."""

    def resample(self, target, state, key):
        rows = jax.random.randint(key, (self.subsample_size,), 0, 4, jnp.int32)
        at = _subsampled._estimated(target, state.expansion, rows).point(state.inner.z)
        return state._replace(inner=self.inner.place(state.inner, at), rows=rows)


class Uncorrected(HMCECS):
    """Its own name, so that nothing compiled for another is taken."""


class WithoutCorrection(_subsampled.Estimated):
    """The logarithm of the likelihood is estimated without bias, the likelihood is not."""

    def log_density(self, z):
        return super().log_density(z) + self.estimate(z).variance / 2


class Chain(eqx.Module):
    """A kernel of a key and a state, from exact draws."""

    kernel: HMCECS
    target: Target
    every: Array
    log_density: Array

    def __call__(self, data):
        return self.step

    def step(self, key, state):
        key_own, key_inner = jax.random.split(key)
        inner = state.inner._replace(rng_key=key_inner)
        with engine():
            return self.kernel.step(self.target, state._replace(inner=inner, key=key_own), 0)

    def init(self, key):
        key_rows, key_draw, key_jitter, key_begin = jax.random.split(key, 4)
        which = jax.random.categorical(key_rows, jax.nn.logsumexp(self.log_density, axis=1))
        rows, place = self.every[which], jax.random.categorical(key_draw, self.log_density[which])
        jitter = jax.random.uniform(key_jitter, (1,), float, -0.5, 0.5) * (GRID[1] - GRID[0])
        z = jnp.asarray(GRID, float)[place][None] + jitter
        found = {"step_size": jnp.full(1, 1.3), "inverse_mass_matrix": jnp.ones((1, 1))}
        with engine():
            start = jax.tree.map(lambda x: x[None], self.target.point(z))
            state = jax.tree.map(lambda x: x[0], self.kernel.begin(self.target, start, key_begin[None], 0, found))
            at = _subsampled._estimated(self.target, state.expansion, rows).point(z)
            return state._replace(inner=self.kernel.inner.place(state.inner, at), rows=rows), None


def seen(state):
    """Where the chain is, and its subsample."""
    return {"z": state.inner.z, "rows": state.rows.astype(state.inner.z.dtype)}


LAW = Joint(prior=lambda key: {"z": jnp.zeros(1), "rows": jnp.zeros(4)})


def invariance(kernel, table, seed=0):
    chain = Chain(kernel, strong(), *table)
    return check_invariance(chain, LAW, key=jax.random.key(seed), init=chain.init, position=seen, n=500)


# Over eight seeds p-values are above 0.18 for the right kernel, below 1e-10 for the wrong ones.


@pytest.mark.slow
def test_leaves_its_target_alone(table):
    result = invariance(HMCECS(**SMALL), table)
    assert result.p_value > 0.01
    assert 0.5 < result.details["moved"] < 0.95


def test_a_subsample_that_is_always_taken_is_found(table):
    assert invariance(AlwaysNew(**SMALL), table).p_value < 1e-10


@pytest.mark.slow
def test_a_missing_correction_is_found(table, monkeypatch):
    monkeypatch.setattr(_subsampled, "Estimated", WithoutCorrection)
    assert invariance(Uncorrected(**SMALL), table).p_value < 1e-10


@pytest.mark.slow
def test_what_a_chain_remembers_is_of_its_subsample(table):
    """Whether the proposal was taken or not."""
    chain = Chain(HMCECS(**SMALL), strong(), *table)

    @jax.jit
    def resampled(key):
        before, _ = chain.init(key)
        with engine():
            state = chain.kernel.resample(chain.target, before, key)
            point = _subsampled._estimated(chain.target, state.expansion, state.rows).point(state.inner.z)
        return before.rows, state, point

    before, state, point = jax.vmap(resampled)(jax.random.split(jax.random.key(0), 50))
    changed = np.asarray(before != state.rows)
    assert 10 < changed.any(1).sum() < 45
    # One block of two.
    assert not (changed[:, :2].any(1) & changed[:, 2:].any(1)).any()
    np.testing.assert_allclose(state.inner.potential_energy, -point.log_density, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(state.inner.z_grad, -point.slope, rtol=1e-4, atol=1e-4)


# Through `sample`.

MODEL = Logistic(jnp.zeros(3))
SETTINGS = {"key": jax.random.key(0), "num_warmup": 200, "num_samples": 1000, "num_chains": 2, "progress": False}
# The same shapes everywhere: one program.
SHORT = {**SETTINGS, "num_samples": 20, "method": HMCECS(50, inner=HMC(num_steps=4))}


@pytest.mark.slow
def test_logistic_regression_of_many_weighted_rows():
    data = many(2000)
    data = data.reweight(jnp.asarray(np.resize([0.0, 1.0, 1.0, 2.0], 2000), dtype=float))
    few = sample(MODEL, data, **{**SHORT, "num_samples": 1000})
    # The variance is far below 1, and so is the bias: it is not seen in as many draws.
    assert 0 < few.stats["estimator_variance"].mean() < 0.1
    assert few.stats["subsample_accept_prob"].mean() > 0.9
    every = sample(MODEL, data, **SETTINGS)
    for function, error in ((np.mean, mcse_mean), (np.std, mcse_sd)):
        one, other = (function(np.asarray(x.model.slope), axis=(0, 1)) for x in (few, every))
        tolerance = 5 * np.hypot(error(few.model.slope), error(every.model.slope))
        np.testing.assert_array_less(np.abs(one - other), tolerance)
    gap = few.stats["log_density"].mean() - every.stats["log_density"].mean()
    assert abs(gap) < 5 * np.hypot(mcse_mean(few.stats["log_density"]), mcse_mean(every.stats["log_density"]))


FOUND = {"step_size": jnp.full(2, 0.8), "inverse_mass_matrix": jnp.ones((2, 3))}


@pytest.mark.slow
def test_adaptation_takes_the_place_of_the_warm_up():
    """And another call compiles nothing."""
    first = sample(MODEL, many(2000), **SHORT, adaptation=FOUND)
    jax.tree.map(np.testing.assert_array_equal, dict(first.adaptation), FOUND)
    others = many(2000, seed=1)
    with compilations() as count:
        other = sample(MODEL, others, **{**SHORT, "num_samples": 30}, adaptation=FOUND)
    assert count[0] == 0
    assert not np.array_equal(other.model.slope[:, :20], first.model.slope)


def test_starts_far_away_are_moved_near():
    """In the frame, where the expansion can be believed."""
    far = {"slope": jnp.asarray([30.0, -30.0, 30.0])}
    drawn = sample(MODEL, many(2000), **SHORT, initial=far, adaptation=FOUND)
    assert (jnp.abs(drawn.model.slope) < 2).all()


@pytest.mark.slow
def test_together_and_on_a_mesh_the_draws_are_the_same(x64):
    model, data = Logistic(jnp.zeros(3)), many(2000)
    found = {name: x.astype(float) for name, x in FOUND.items()}
    arguments = {**SHORT, "adaptation": found, "num_samples": 5}
    alone, together = (sample(model, data, **arguments, chain_method=how) for how in ("map", "vmap"))
    # Rounding, blown up by five trajectories.
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-8), alone.sites, together.sites)
    spread = sample(model, data, **arguments, chain_method="map", mesh=jax.make_mesh((1,), ("chains",)))
    jax.tree.map(np.testing.assert_array_equal, alone.sites, spread.sites)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1,), "subsample_size must be at least 2, not 1"),
        ((4, 5), r"num_blocks must be between 1 and subsample_size \(4\), not 5"),
        ((4, 0), "not 0"),
    ],
)
def test_settings_that_are_none(arguments, message):
    with pytest.raises(ValueError, match=message):
        HMCECS(*arguments)


BATTLES = Comparisons.from_arrays([0, 0, 1], [1, 2, 2], [1.0, 0.0, 1.0])


def identity(d):
    return Frame(jnp.zeros(d), jnp.eye(d))


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match=r"PairCounts has no rows to subsample.*use NUTS"):
        sample(BradleyTerry.init(3), BATTLES.table(3), **{**SHORT, "method": HMCECS(2, 1)}, precondition=identity(3))
    with pytest.raises(ValueError, match="a subsample of 50 from 12 rows saves nothing"):
        sample(MODEL, many(12), **SHORT, precondition=identity(3))
    large = Things(jnp.zeros(501))
    with pytest.raises(ValueError, match=r"dense Hessian of what is sampled, at most 500 numbers.*has 501"):
        sample(
            large,
            some_measurements(0),
            **{**SHORT, "method": HMCECS(2, 1)},
            prior=iid_prior(large, {"level": dist.Normal(0.0, 1.0)}),
            precondition=identity(501),
        )


@pytest.mark.slow
def test_rows_are_kept_where_the_model_condenses_them():
    """Comparisons would be a table."""
    drawn = sample(BradleyTerry.init(3), BATTLES, **{**SHORT, "method": HMCECS(2, 1, inner=HMC(num_steps=4))})
    assert drawn.model.strength.shape == (2, 20, 3)
