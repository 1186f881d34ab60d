"""NUTS through `sample`: known posteriors, one compilation, chains of their own, interrupts and errors."""

import dataclasses
import io

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from scorax.inference import NUTS, Progress, _loop, iid_prior, mcse_mean, mcse_sd, sample
from scorax.inference._draws import layout_of
from scorax.inference._kernels import Target
from scorax.inference._posterior_problem import posterior_problem
from scorax.inference._problem import Problem
from scorax.inference._progress import reporter
from scorax.inference._starts import start_of
from scorax.inference.validity import joint_of, posterior_sampler, sbc
from tests.inference.compilations import compilations
from tests.inference.toys import Things, hierarchical_posterior, normal_posterior, some_measurements

pytestmark = pytest.mark.engine

SETTINGS = {"num_warmup": 300, "num_chains": 2, "progress": False}
MODEL = Things.init(3)


def assert_mean_and_sd(draws, mean, sd):
    """Within five Monte Carlo errors, each from its own effective sample size.

    Trajectories of a fixed length come back to where they were: their means are better than independent draws', their
    spreads worse.
    """
    np.testing.assert_array_less(np.abs(draws.mean((0, 1)) - mean), 5 * np.asarray(mcse_mean(draws)))
    np.testing.assert_array_less(np.abs(draws.std((0, 1)) - sd), 5 * np.asarray(mcse_sd(draws)))


@pytest.mark.parametrize("method", ["nuts", "hmc"])
def test_conjugate_posterior(method, heavy_dtype):
    data = some_measurements(0)
    prior = iid_prior(MODEL, {"level": dist.Normal(0.0, 2.0)})
    posterior = sample(MODEL, data, key=jax.random.key(0), method=method, prior=prior, num_samples=1000, **SETTINGS)
    # Dual averaging aims at 0.8; the number of steps is what was asked for.
    assert posterior.stats["accept_prob"].mean() > 0.6
    assert method == "nuts" or (posterior.stats["num_steps"] == 16).all()
    assert posterior.model.level.shape == (2, 1000, 3)
    assert posterior.model.level.dtype == heavy_dtype
    assert_mean_and_sd(posterior.model.level, *normal_posterior(data, 3, 2.0))
    assert not posterior.stats["diverging"].any()
    exact = jax.vmap(jax.vmap(lambda m: m.log_prob(data).sum() + dist.Normal(0, 2).log_prob(m.level).sum()))
    np.testing.assert_allclose(posterior.stats["log_density"], exact(posterior.model), rtol=1e-5)


def test_hierarchical_posterior():
    data = some_measurements(1)
    posterior = sample(MODEL, data, key=jax.random.key(0), num_samples=2000, **SETTINGS)
    exact = hierarchical_posterior(data, 3)
    for name, draws in posterior.sites.items():
        assert_mean_and_sd(draws, *exact[name])
    np.testing.assert_array_equal(posterior.sites["level"], posterior.model.level)


def test_a_second_call_compiles_nothing():
    arguments = {**SETTINGS, "num_samples": 30}
    with compilations() as first:
        sample(MODEL, some_measurements(0), key=jax.random.key(0), **arguments)
        jax.jit(lambda x: x + 1)(jnp.ones(7))
    assert first[0] > 0
    others = [
        {"key": jax.random.key(1)},
        {"data": some_measurements(2)},
        {"num_samples": 117},
        {"model": Things(jnp.ones(3))},
    ]
    for other in others:
        with compilations() as count:
            sample(**{"model": MODEL, "data": some_measurements(0), "key": jax.random.key(0), **arguments, **other})
        assert count[0] == 0, other


def test_other_numbers_in_a_prior_compile_nothing():
    arguments = {**SETTINGS, "num_samples": 1000, "key": jax.random.key(0)}
    means = []
    with compilations() as count:
        for scale in (2.0, 0.1):
            count[0] = 0
            prior = iid_prior(MODEL, {"level": dist.Normal(0.0, scale)})
            means.append(jnp.abs(sample(MODEL, some_measurements(0), prior=prior, **arguments).model.level).mean())
    assert count[0] == 0
    assert means[1] < 0.2 * means[0]


def test_chains_do_not_know_of_each_other():
    arguments = {**SETTINGS, "num_samples": 50, "key": jax.random.key(3)}
    two = sample(MODEL, some_measurements(0), **{**arguments, "num_chains": 2})
    three = sample(MODEL, some_measurements(0), **{**arguments, "num_chains": 3})
    jax.tree.map(
        lambda x, y: np.testing.assert_array_equal(x, y[:2]), (two.sites, two.stats), (three.sites, three.stats)
    )
    assert not np.array_equal(two.sites["scale"][0], two.sites["scale"][1])


def test_chunks_decide_nothing(monkeypatch):
    arguments = {**SETTINGS, "num_samples": 30, "key": jax.random.key(3)}
    chunked = []
    for seconds in (1e-9, 10.0):
        monkeypatch.setattr(_loop, "_SECONDS_PER_CHUNK", seconds)
        seen = []
        posterior = sample(MODEL, some_measurements(0), **{**arguments, "progress": seen.append})
        chunked.append((len(seen), posterior))
    assert chunked[0][0] > 300 > chunked[1][0]
    jax.tree.map(np.testing.assert_array_equal, chunked[0][1].sites, chunked[1][1].sites)


def test_dense_mass_matrix_follows_correlations(x64):
    correlated = jnp.asarray([[1.0, 0.99, 0.0], [0.99, 1.0, 0.0], [0.0, 0.0, 100.0]])
    prior = iid_prior(MODEL, {"level": dist.MultivariateNormal(jnp.zeros(3), correlated)})
    data = some_measurements(0)
    arguments = {**SETTINGS, "num_samples": 1000, "key": jax.random.key(0), "prior": prior}
    posterior = sample(MODEL, data, method=NUTS(dense_mass=True), **arguments)
    precision = np.linalg.inv(correlated) + 4 * np.eye(3)
    covariance = np.linalg.inv(precision)
    mean = covariance @ np.bincount(data.thing, data.value)
    assert_mean_and_sd(posterior.model.level, mean, np.sqrt(np.diagonal(covariance)))


def test_leaves_that_no_draw_changes_are_kept_once():
    model = Things(jnp.asarray([1.0, 2.0, 3.0]))

    def pinned():
        return dataclasses.replace(model, level=model.level), numpyro.sample("shift", dist.Normal(0.0, 1.0))

    problem = Problem(pinned, some_measurements(0), {"shift": jnp.zeros(())}, jacobian=True)
    layout = layout_of(problem)
    assert layout.moving == (False, True)
    moving, still = layout.assemble([jnp.zeros((2, 5))])
    assert still[0].level is model.level
    assert moving[0].level is None
    assert moving[1].shape == (2, 5)


def test_initial_is_where_chains_start():
    for initial in ({"level": 5 * jnp.ones(3), "scale": jnp.asarray(2.0)}, Things(5 * jnp.ones(3))):
        problem, given = posterior_problem(MODEL, some_measurements(0), None, initial)
        setup = _loop.Setup(NUTS(), 300, (True,), False, None, "threefry2x32")
        keys = np.asarray(jax.random.key_data(jax.random.split(jax.random.key(0))))
        state, finite, _ = _loop._first(
            setup, Target(problem, None), start_of(problem.template, given).of_chains(len(keys)), keys, None
        )
        assert finite.all()
        level, scale = state.z[:, :3], jnp.exp(state.z[:, 3])
        # Jitter is a tenth.
        np.testing.assert_allclose(level, 5.0, atol=0.5)
        assert not np.array_equal(level[0], level[1])
        if "scale" in given:
            np.testing.assert_allclose(scale, 2.0, rtol=0.5)
        assert ((scale > np.exp(-2)) & (scale < np.exp(2))).all()


def interrupt_when(condition):
    def progress(state: Progress) -> None:
        if state.phase != "interrupted" and condition(state):
            raise KeyboardInterrupt

    return progress


def test_an_interrupt_keeps_what_was_drawn():
    arguments = {**SETTINGS, "num_samples": 10_000, "key": jax.random.key(0)}
    stop = interrupt_when(lambda state: state.phase == "sampling")
    with pytest.warns(UserWarning, match=r"interrupted: the posterior holds (\d+) of 10000 draws"):
        posterior = sample(MODEL, some_measurements(0), **{**arguments, "progress": stop})
    assert 0 < posterior.num_draws <= 100
    whole = sample(MODEL, some_measurements(0), **{**arguments, "num_samples": posterior.num_draws})
    jax.tree.map(np.testing.assert_array_equal, posterior.sites, whole.sites)


def test_an_interrupt_before_the_first_draw_is_passed_on():
    stop = interrupt_when(lambda state: state.phase == "warm-up")
    with pytest.raises(KeyboardInterrupt):
        sample(MODEL, some_measurements(0), key=jax.random.key(0), **{**SETTINGS, "progress": stop})


def test_progress_counts_up_to_the_end():
    seen: list[Progress] = []
    sample(MODEL, some_measurements(0), key=jax.random.key(0), num_samples=40, **{**SETTINGS, "progress": seen.append})
    phases = [state.phase for state in seen]
    assert phases[0] == "compiling"
    assert phases[-1] == "done"
    assert set(phases) == {"compiling", "warm-up", "sampling", "done"}
    done = [state.done for state in seen]
    assert done == sorted(done)
    assert done[0] == 0
    assert done[-1] == 340
    assert 300 in done
    assert "100%" in str(seen[-1])


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_lines(terminal, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setattr("sys.stderr", stream)
    report = reporter(True)
    for done in range(11):
        report(Progress("sampling", done, 10, 100.0, 75.0, 3))
    report(Progress("done", 10, 10, 100.0, float("nan"), 3))
    text = stream.getvalue()
    assert "3 divergent" in text
    assert text.endswith("\n")
    assert text.count("\n") == 1
    assert ("\r" in text) == terminal
    assert "1:15 left" in str(Progress("sampling", 1, 10, 100.0, 75.0, 3))


def discrete():
    kind = numpyro.sample("kind", dist.Bernoulli(0.5))
    return Things(jnp.full(3, kind))


def nowhere():
    level = jnp.asarray(numpyro.sample("level", dist.Normal(0.0, 1.0).expand((3,))))
    numpyro.factor("broken", jnp.nan * level.sum())
    return Things(level)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "magic"}, "method must be a kernel or one of .*'nuts'.*, not 'magic'"),
        ({"num_samples": 0}, "num_samples must be at least 1, not 0"),
        ({"num_chains": 0}, "num_chains must be at least 1, not 0"),
        ({"num_warmup": -1}, "num_warmup must be at least 0, not -1"),
        ({"prior": discrete}, "discrete site 'kind': sum it out"),
        ({"prior": nowhere}, "100 starts of chain 0 .* had no finite density .* in level"),
        ({"initial": {"levle": jnp.zeros(3)}}, r"initial= names \['levle'\].*its sites are \['level', 'scale'\]"),
        ({"initial": {"level": jnp.zeros(4)}}, r"'level' has shape \(3,\), its start has shape \(4,\)"),
    ],
)
def test_errors_say_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        sample(MODEL, some_measurements(0), key=jax.random.key(0), **{**SETTINGS, **arguments})


def test_rows_to_blame_are_named():
    data = some_measurements(0)
    broken = dataclasses.replace(data, value=data.value.at[jnp.asarray([2, 5])].set(jnp.nan))
    with pytest.raises(ValueError, match=r"in level\. At the last .* not finite for rows 2, 5 of the data"):
        sample(MODEL, broken, key=jax.random.key(0), **SETTINGS)


def ranks(model, design, quantities, *, seed=0, n_simulations=200, **options):
    sampler = posterior_sampler(model, num_warmup=300, **options)
    return sbc(
        sampler,
        joint_of(model, design),
        key=jax.random.key(seed),
        quantities=lambda model, _: quantities(model),
        n_simulations=n_simulations,
        vmapped=False,
    )


@pytest.mark.slow
def test_calibrated():
    found = ranks(MODEL, some_measurements(0), lambda m: m.level, method=NUTS(target_accept_prob=0.95))
    assert found.test().p_value > 0.01


@pytest.mark.slow
def test_calibrated_on_comparisons():
    from scorax.choice import BradleyTerry
    from scorax.data import Comparisons

    a, b = np.triu_indices(6, 1)
    design = Comparisons.from_arrays(np.tile(a, 4), np.tile(b, 4), np.ones(60))
    found = ranks(BradleyTerry.init(6), design, lambda m: m.strength[:3] - m.strength[3:], seed=1)
    assert found.test().p_value > 0.01


@pytest.mark.slow
def test_calibration_notices_a_wrong_prior():
    wrong = iid_prior(MODEL, {"level": dist.Normal(2.0, 0.5)})
    found = ranks(MODEL, some_measurements(0), lambda m: m.level, n_simulations=100, prior=wrong)
    assert found.test().p_value < 1e-4
