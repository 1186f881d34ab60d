"""Calibration: exact samplers pass, wrong ones do not, and a run survives whatever happens to it."""

import os

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jaxtyping import Array

from scorax.inference import iid_prior
from scorax.inference.validity import Joint, joint_of, posterior_sampler, sbc
from tests.inference.compilations import compilations
from tests.inference.toys import Things, some_measurements


def noisy(key, theta):
    return theta + jax.random.normal(key)


def log_likelihood(theta, data):
    return -((data - theta) ** 2) / 2


NORMAL = Joint(jax.random.normal, noisy, log_likelihood)


class Sampler(eqx.Module):
    """Draws from the posterior of a normal level, or something like it. Arrays, so that all share a compilation."""

    use_data: Array = eqx.field(default_factory=lambda: jnp.array(1.0))
    shift: Array = eqx.field(default_factory=lambda: jnp.array(0.0))
    width: Array = eqx.field(default_factory=lambda: jnp.array(1.0))
    memory: Array = eqx.field(default_factory=lambda: jnp.array(0.0))

    def __call__(self, key, data):
        noise = jax.random.normal(key, (63,))
        spread = jnp.sqrt(1 - self.memory**2)
        chain = jax.lax.scan(lambda x, z: 2 * (self.memory * x + spread * z,), noise[0], noise)[1]
        sd = self.width * jnp.where(self.use_data > 0, jnp.sqrt(0.5), 1.0)
        return self.use_data * data / 2 + self.shift + sd * chain


def result(n_simulations=400, **wrong):
    sampler = Sampler(**{name: jnp.array(value) for name, value in wrong.items()})
    return sbc(sampler, NORMAL, key=jax.random.key(0), n_simulations=n_simulations)


@pytest.mark.slow
def test_exact_draws_pass():
    ranks = result()
    assert ranks.names == ("theta", "log-likelihood")
    assert ranks.num_draws == 63
    assert ranks.test().p_value > 0.01
    assert ranks.ecdf_test().p_value > 0.01
    np.testing.assert_allclose(ranks.ess, 63, rtol=0.06)  # three errors of a mean over 400 simulations


@pytest.mark.parametrize("wrong", [{"shift": 0.3}, {"width": 0.7}, {"width": 1.4}])
def test_wrong_draws_do_not(wrong):
    # Every one of thirty seeds has a p-value below 1e-5.
    assert result(**wrong).test().p_value < 1e-4


def test_returning_the_prior_is_seen_by_the_log_likelihood_alone():
    details = result(use_data=0.0).test().details
    p_values = dict(zip(details["names"], details["p_values"], strict=True))
    assert p_values["theta"] > 0.01
    assert p_values["log-likelihood"] < 1e-6


def test_draws_of_a_slow_chain_get_no_verdict():
    ranks = result(n_simulations=100, memory=0.8)
    assert ranks.ess[0] < 20
    assert np.isnan(ranks.test().p_value)


def test_batches_decide_nothing_and_other_data_compile_nothing():
    few, many = (
        sbc(Sampler(), NORMAL, key=jax.random.key(0), n_simulations=n, batch_size=b) for n, b in ((60, 50), (130, 50))
    )
    np.testing.assert_array_equal(few.rank, many.rank[:60])
    with compilations() as count:
        sbc(Sampler(), NORMAL, key=jax.random.key(1), n_simulations=90)
    assert count[0] == 0


@pytest.mark.slow
def test_one_by_one_is_the_same():
    options = {"key": jax.random.key(0), "n_simulations": 20}
    host = sbc(Sampler(), NORMAL, vmapped=False, **options)
    np.testing.assert_array_equal(host.rank, sbc(Sampler(), NORMAL, **options).rank)


def plus_or_not(key, theta):
    return theta + jax.random.randint(key, (), 0, 2)


def possible(theta, data):
    return jnp.where((data == theta) | (data == theta + 1), 0.0, -jnp.inf)


DISCRETE = Joint(lambda key: jax.random.randint(key, (), 0, 4), plus_or_not, possible)


@pytest.mark.slow
def test_discrete_parameters_tie():
    """So do log-likelihoods, all of which are equal."""

    def exact(key, data):
        return jax.random.categorical(key, possible(jnp.arange(4), data), shape=(31,))

    ranks = sbc(exact, DISCRETE, key=jax.random.key(0), n_simulations=1000)
    assert ranks.test().p_value > 0.01
    assert len(ranks.test().details["untested"]) == 0


def test_a_run_goes_on_where_it_was(tmp_path):
    file = tmp_path / "ranks.npz"
    options = {"key": jax.random.key(0), "file": file}
    first = sbc(Sampler(), NORMAL, n_simulations=70, **options)
    seen = []
    more = sbc(Sampler(), NORMAL, n_simulations=150, progress=seen.append, **options)
    assert seen[0].done == 70
    np.testing.assert_array_equal(more.rank[:70], first.rank)
    whole = sbc(Sampler(), NORMAL, n_simulations=150, key=jax.random.key(0))
    np.testing.assert_array_equal(more.rank, whole.rank)
    np.testing.assert_array_equal(more.ess, whole.ess)
    fewer = sbc(Sampler(), NORMAL, n_simulations=20, **options)
    np.testing.assert_array_equal(fewer.rank, whole.rank[:20])


def test_an_interrupt_loses_nothing(tmp_path):
    file = tmp_path / "ranks.npz"

    def stop(state):
        if state.phase == "simulating":
            raise KeyboardInterrupt

    options = {"key": jax.random.key(0), "n_simulations": 150, "file": file}
    with pytest.warns(UserWarning, match="interrupted after 50 of 150 simulations"):
        part = sbc(Sampler(), NORMAL, progress=stop, **options)
    assert len(part.rank) == 50
    seen = []
    whole = sbc(Sampler(), NORMAL, progress=seen.append, **options)
    assert [state.done for state in seen] == [50, 100, 150, 150]
    np.testing.assert_array_equal(whole.rank[:50], part.rank)


def test_a_death_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "ranks.npz"
    options = {"key": jax.random.key(0), "file": file}
    first = sbc(Sampler(), NORMAL, n_simulations=50, **options)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: os._exit(1) if descriptor < 0 else _die())
        with pytest.raises(SystemExit):
            sbc(Sampler(), NORMAL, n_simulations=100, **options)
    assert os.listdir(tmp_path) == ["ranks.npz"]
    again = sbc(Sampler(), NORMAL, n_simulations=50, **options)
    np.testing.assert_array_equal(again.rank, first.rank)


def _die():
    raise SystemExit


def test_a_file_that_cannot_be_written_does_not_stop_the_run(tmp_path):
    with pytest.warns(UserWarning, match="cannot be written .* going on without it"):
        ranks = sbc(Sampler(), NORMAL, key=jax.random.key(0), n_simulations=50, file=tmp_path / "nowhere" / "ranks.npz")
    assert len(ranks.rank) == 50


def nothing_like_it(key, data):
    return jnp.zeros(63)


def test_files_of_other_runs_are_refused(tmp_path):
    file = tmp_path / "ranks.npz"
    sbc(Sampler(), NORMAL, key=jax.random.key(0), n_simulations=50, file=file)
    others = [
        ({"key": jax.random.key(1)}, "simulations of another key"),
        ({"sampler": Sampler(shift=jnp.array(1.0))}, "simulations of another sampler or law"),
        ({"sampler": nothing_like_it}, "simulations of another sampler or law"),
        ({"quantities": lambda theta, data: [theta, data]}, "simulations of another quantities"),
    ]
    for change, message in others:
        with pytest.raises(ValueError, match=message):
            sbc(**{"sampler": Sampler(), "joint": NORMAL, "key": jax.random.key(0), "file": file, **change})
    whole = file.read_bytes()
    half = len(whole) // 2
    for damaged in (whole[:200], b"nothing of the kind", whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1 :]):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"ranks\.npz (is damaged|is no scorax simulations)"):
            sbc(Sampler(), NORMAL, key=jax.random.key(0), file=file)


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match="give joint one"):
        sbc(Sampler(), Joint(jax.random.normal, noisy), key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"draws must be shaped as theta, \[\(\)\], .* theirs are \[\(2,\)\]"):
        sbc(lambda key, data: jnp.zeros((63, 2)), NORMAL, key=jax.random.key(0))
    with pytest.raises(ValueError, match="n_simulations must be at least 1, not 0"):
        sbc(Sampler(), NORMAL, key=jax.random.key(0), n_simulations=0)
    with pytest.raises(ValueError, match="thin must be at least 1, not 0"):
        posterior_sampler(Things.init(2), thin=0)


TEMPLATE, DESIGN = Things.init(2), some_measurements(0, 2, 2)


def level_prior(mean):
    return iid_prior(TEMPLATE, {"level": dist.Normal(jnp.array(mean), jnp.array(1.0))})


@pytest.mark.slow
@pytest.mark.engine
def test_sample_is_a_sampler():
    """The posterior is Gaussian, so `laplace` is exact; with a prior of its own it is not."""
    joint = joint_of(TEMPLATE, DESIGN, prior=level_prior(0.0))
    results = []
    for mean in (0.0, 1.5):
        sampler = posterior_sampler(TEMPLATE, prior=level_prior(mean), num_chains=3, method="laplace")
        ranks = sbc(sampler, joint, key=jax.random.key(0), n_simulations=40)
        assert ranks.names == ("level[0]", "level[1]", "log-likelihood")
        assert ranks.num_draws == 63
        results.append(ranks.test().p_value)
    assert results[0] > 0.01
    assert results[1] < 1e-3


@pytest.mark.slow
@pytest.mark.engine
def test_nuts_is_calibrated():
    sampler = posterior_sampler(TEMPLATE, prior=level_prior(0.0), num_warmup=300)
    joint = joint_of(TEMPLATE, DESIGN, prior=level_prior(0.0))
    ranks = sbc(sampler, joint, key=jax.random.key(0), n_simulations=200)
    assert ranks.test().p_value > 0.01
    assert (ranks.ess > 0.7 * 63).all()
