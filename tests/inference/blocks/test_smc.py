"""Particle filters: exact on a model whose every run can be enumerated, and on a linear Gaussian one."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from scorax.inference._blocks import (
    Population,
    Stepped,
    adaptive_resample,
    compose,
    conditional_smc,
    history_walk,
    resample,
    rmsmc,
    smc,
)
from scorax.inference._blocks._smc import resampling, states
from scorax.numerics._resampling import (
    multinomial_indices,
    residual_indices,
    stratified_indices,
    systematic_indices,
)
from tests.inference.blocks import gaussian, hidden
from tests.inference.compilations import compilations

SCHEMES = {
    "multinomial": multinomial_indices,
    "stratified": stratified_indices,
    "systematic": systematic_indices,
    "residual": residual_indices,
}
TAPES = hidden.all_tapes()


@eqx.filter_jit
def every_run(tapes, ess_threshold, forget_total):
    def run(tape):
        scheme = hidden.forced_scheme(tape)

        def resampler(population, *, key):
            after = adaptive_resample(population, key=key, scheme=scheme, ess_threshold=ess_threshold)
            # The mutant: weights left at 1/N.
            forgotten = forget_total & (after.log_weight != population.log_weight)
            return Population(after.value, jnp.where(forgotten, -jnp.log(hidden.PARTICLES), after.log_weight))

        return smc(hidden.forced(tape), hidden.PARTICLES, key=hidden.KEY, resampler=resampler)

    return jax.vmap(run)(tapes)


def all_runs(ess_threshold, forget_total=False):
    tapes = jax.tree.map(jnp.asarray, TAPES)
    return every_run(tapes, jnp.asarray(ess_threshold), jnp.asarray(forget_total))


# Above 1: at every step. At 0.8: in some runs and steps and not in others.
@pytest.mark.parametrize("ess_threshold", [1.01, 0.8])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_exact_over_all_paths_and_ancestors(scheme, ess_threshold, x64):
    runs = all_runs(ess_threshold)
    probability = hidden.tape_probability(TAPES, scheme, ess_threshold)
    np.testing.assert_allclose(probability.sum(), 1.0, rtol=1e-13)
    weight = probability[:, None] * np.exp(np.asarray(runs.log_weight))
    # The evidence, and the weight of every path of hidden states: the whole meaning of the program.
    np.testing.assert_allclose(weight.sum(), hidden.EVIDENCE, rtol=1e-13)
    number = np.asarray(runs.value) @ (1 << np.arange(hidden.STEPS)[::-1])
    np.testing.assert_allclose(
        np.bincount(number.ravel(), weight.ravel(), len(hidden.PATHS)), hidden.path_weights(), rtol=1e-12
    )


def test_enumeration_notices_a_lost_total(x64):
    runs = all_runs(1.01, forget_total=True)
    weight = hidden.tape_probability(TAPES, "systematic", 1.01)[:, None] * np.exp(np.asarray(runs.log_weight))
    assert abs(weight.sum() / hidden.EVIDENCE - 1) > 0.1


@eqx.filter_jit
def draws(scheme, log_weights, keys):
    return jax.lax.map(lambda key: scheme(log_weights, key=key), keys)


@pytest.mark.parametrize("first", [0.15, 0.5, 0.8])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_schemes_have_the_laws_that_enumeration_assumes(scheme, first, x64):
    n = 20_000
    keys = jax.random.split(jax.random.key(0), n)
    log_weights = jnp.log(jnp.asarray([first, 1 - first]))
    drawn = np.asarray(draws(SCHEMES[scheme], log_weights, keys))
    exact = hidden.law(scheme, np.asarray(first))
    frequency = np.bincount(drawn @ [2, 1], minlength=4).reshape(2, 2) / n
    # Four and a half standard errors; what cannot happen never does.
    assert (abs(frequency - exact) <= 4.5 * np.sqrt(exact * (1 - exact) / n) + 1e-12).all()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", [systematic_indices, multinomial_indices], ids=["systematic", "multinomial"])
def test_linear_gaussian_evidence(scheme, x64):
    # 400 runs of 1000 particles over 50 steps; the log evidence scatters by 0.24 to 0.30.
    model = gaussian.LinearGaussian.simulated(seed=0, n_steps=50)
    resampler = eqx.Partial(resample, scheme=scheme)
    log_ratio = gaussian.log_evidences(model, 1000, resampler, n_runs=400) - model.log_evidence()
    ratio = np.exp(log_ratio)
    assert abs(ratio.mean() - 1) < 3 * ratio.std() / 20
    assert 0.2 < log_ratio.std() < 0.35


def test_few_particles_are_unbiased_too():
    model = gaussian.LinearGaussian.simulated(seed=1, n_steps=5)
    ratio = np.exp(gaussian.log_evidences(model, 20, adaptive_resample, n_runs=2000) - model.log_evidence())
    # The standard deviation of the log is about 0.5: near enough to normal for a z-test of the mean of 2000.
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / 2000**0.5


@eqx.filter_jit
def three_steps(stepped):
    return states(stepped, 8, resampling(resample), key=jax.random.key(0), n_steps=jnp.asarray(3, jnp.int32))


def test_the_number_of_steps_ahead_changes_nothing():
    model = gaussian.LinearGaussian.simulated(seed=3, n_steps=5)
    short = smc(gaussian.LinearGaussian(model.observed[:3]).stepped(), 8, key=jax.random.key(0))
    np.testing.assert_allclose(three_steps(model.stepped()).value, short.value, rtol=1e-6)


def test_dead_populations_stay_dead_without_nan():
    stepped = Stepped(lambda key: jnp.zeros(()), lambda t, x, key: (x, jnp.asarray(-jnp.inf)), n_steps=3)
    population = smc(stepped, 4, key=jax.random.key(0), resampler=adaptive_resample)
    assert (population.log_weight == -jnp.inf).all()
    assert population.log_evidence == -jnp.inf


def test_new_data_of_the_same_shape_compile_nothing():
    first, second = (gaussian.LinearGaussian.simulated(seed, n_steps=4) for seed in (4, 5))
    options = {"resampler": eqx.Partial(adaptive_resample, ess_threshold=0.3)}
    smc(first.stepped(), 8, key=jax.random.key(0), **options).log_weight.block_until_ready()
    stepped, key = second.stepped(), jax.random.key(1)
    with compilations() as count:
        again = {"resampler": eqx.Partial(adaptive_resample, ess_threshold=0.3)}
        smc(stepped, 8, key=key, **again).log_weight.block_until_ready()
    assert count[0] == 0


@eqx.filter_jit
def moved_runs(stepped, keys):
    def one(key):
        population = rmsmc(stepped, 30, key=key, n_moves=2)
        return population.log_evidence, population.integral(), population.value[:, 0]

    return jax.lax.map(one, keys)


# Whole histories, and the newest place alone.
@pytest.mark.parametrize("window", [None, 1])
def test_moved_histories_are_unbiased_and_have_the_smoothing_law(window, x64):
    model = gaussian.LinearGaussian.simulated(seed=6, n_steps=5)
    stepped = model.with_history(eqx.Partial(history_walk, scale=0.7, window=window))
    log_evidence, path, first = moved_runs(stepped, jax.random.split(jax.random.key(0), 1000))
    scale = np.exp(model.log_evidence())
    ratio = np.exp(np.asarray(log_evidence)) / scale
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / 1000**0.5
    # Unnormalised integrals of the path are unbiased too.
    exact = model.posterior()[0]
    path = np.asarray(path) / scale
    assert (abs(path.mean(0) - exact) < 4 * path.std(0) / 1000**0.5).all()
    # Moves of the whole history part the copies of the first place again; a window leaves them as they are. Measured:
    # 27.7 distinct first places of 30, and 6.9.
    distinct = np.mean([len(np.unique(values)) for values in np.asarray(first)[:200]])
    assert distinct > 24 if window is None else distinct < 12


def test_the_population_around_a_true_path_is_size_biased(x64):
    # A filter's law times its evidence over the true one: E[1/Z_hat] = 1/Z exactly under it, and more without it.
    generator = np.random.default_rng(0)
    n = 20_000
    paths = hidden.PATHS[generator.choice(len(hidden.PATHS), n, p=hidden.PATH_POSTERIOR)]
    paths = jnp.asarray(np.concatenate([np.zeros((n, 1, hidden.STEPS), int), _growing(paths)], 1), jnp.int32)
    stepped, keys = hidden.hidden_markov(), jax.random.split(jax.random.key(0), n)

    def log_increment(t, before, after):
        return hidden.log(hidden.EMISSION)[t, after[t]]

    @jax.jit
    def inverse(paths, keys):
        def around(path, key):
            population = conditional_smc(stepped, path, log_increment, hidden.PARTICLES, key=key)
            return -population.log_evidence, (population.value[0] == path[-1]).all()

        def fresh(key):
            return -smc(
                stepped, hidden.PARTICLES, key=key, resampler=eqx.Partial(resample, scheme=multinomial_indices)
            ).log_evidence

        return jax.lax.map(lambda xs: around(*xs), (paths, keys)), jax.lax.map(fresh, keys)

    (around, survived), fresh = inverse(paths, keys)
    assert survived.all()
    around, fresh = (np.exp(np.asarray(x)) * hidden.EVIDENCE for x in (around, fresh))
    assert abs(around.mean() - 1) < 4 * around.std() / n**0.5
    assert fresh.mean() - 1 > 10 * fresh.std() / n**0.5


def _growing(paths):
    """States after each step: the path so far, zero in what is to come."""
    return np.stack([np.where(np.arange(hidden.STEPS) <= t, paths, 0) for t in range(hidden.STEPS)], 1)


def test_moves_follow_resamplings_alone():
    # A state is a random number, the weight of every step, and the number of its moves.
    stepped = Stepped(
        lambda key: (jax.random.normal(key), jnp.zeros(())),
        lambda t, state, key: (state, state[0]),
        n_steps=3,
        move=lambda t, state, key: (state[0], state[1] + 1),
    )
    for resampler, moves in ((resample, 2), (compose(), 0)):
        population = rmsmc(stepped, 4, key=jax.random.key(0), resampler=resampler)
        assert (population.value[1] == moves).all()


def test_errors():
    model = gaussian.LinearGaussian.simulated(seed=0, n_steps=3)
    with pytest.raises(ValueError, match="n_particles must be at least 1, not 0"):
        smc(model.stepped(), 0, key=jax.random.key(0))
    with pytest.raises(ValueError, match="stepped has no move"):
        rmsmc(model.stepped(), 4, key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"path must hold 4 states.* not \[3\]"):
        conditional_smc(model.stepped(), jnp.zeros(3), lambda t, x, y: y, 4, key=jax.random.key(0))
    with pytest.raises(ValueError, match="window must be at least 1, not 0"):
        history_walk(lambda t, path: path.sum(), 0.1, window=0)
    nothing = Stepped(jax.random.normal, lambda t, x, key: (x, x), n_steps=0)
    with pytest.raises(ValueError, match="n_steps must be at least 1, not 0"):
        smc(nothing, 4, key=jax.random.key(0))


def test_kalman_of_these_tests_agrees_with_the_joint_density(x64):
    model = gaussian.LinearGaussian.simulated(seed=8, n_steps=4)
    joint = scipy.stats.multivariate_normal(np.zeros(4), model.data_covariance())
    np.testing.assert_allclose(model.log_evidence(), joint.logpdf(np.asarray(model.observed)), rtol=1e-10)
