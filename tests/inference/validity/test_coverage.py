import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.stats
from jaxtyping import Array

from scorax.inference import iid_prior
from scorax.inference.validity import Coverage, Joint, coverage, credible_interval, joint_of, wald_interval
from tests.inference.toys import Things, some_measurements

JOINT = Joint(prior=jax.random.normal, simulate=lambda key, theta: theta + jax.random.normal(key, (4,)))


class Interval(eqx.Module):
    """Mean plus or minus a reach. The standard error is a half."""

    reach: Array

    def __call__(self, key, data):
        return data.mean() - self.reach, data.mean() + self.reach


def level(theta, data):
    return {"level": theta}


def run(reach, **options):
    return coverage(Interval(jnp.array(reach)), JOINT, key=jax.random.key(0), quantities=level, **options)


def test_intervals_of_the_right_length_pass_and_others_do_not():
    assert run(1.6449 / 2).test(0.9).p_value > 0.01
    for reach, side in ((1.2 / 2, 1), (2.2 / 2, -1)):
        held = run(reach)
        assert held.test(0.9).p_value < 1e-4
        assert (held.test(0.9, at_least=True).p_value < 1e-4) == (side > 0)
    assert held.names == ("level",)


def test_tests_and_intervals_are_those_of_scipy():
    generator = np.random.default_rng(0)
    for rate in (0.8, 0.95, 1.0):
        held = Coverage((generator.uniform(size=(50, 1)) < rate).astype(int), ("a",))
        count = int(held.covered.sum())
        reference = scipy.stats.binomtest(count, 50).proportion_ci(0.9)
        np.testing.assert_allclose([bound[0] for bound in held.interval(0.9)], reference)
        less = scipy.stats.binomtest(count, 50, 0.9, "less").pvalue
        more = scipy.stats.binomtest(count, 50, 0.9, "greater").pvalue
        assert held.test(0.9, at_least=True).p_value == pytest.approx(less)
        assert held.test(0.9).p_value == pytest.approx(min(1, 2 * less, 2 * more))


def test_intervals_that_do_not_exist_get_no_verdict():
    held = Coverage(np.array([[1, 1], [1, -1], [0, 1], [1, 1]]), ("a", "b"))
    np.testing.assert_array_equal(held.failed, [0, 1])
    np.testing.assert_array_equal(held.rate, [0.75, 1.0])
    result = held.test(0.9)
    assert np.isnan(result.p_value)
    assert "1 of 4 intervals of 'b' do not exist" in result.details["reason"]
    np.testing.assert_array_equal(run(jnp.nan, n_simulations=50).covered, -1)


class Draws(eqx.Module):
    """Of the posterior given four observations."""

    width: Array

    def __call__(self, key, data):
        return 0.8 * data.mean() + self.width * jnp.sqrt(0.2) * jax.random.normal(key, (19,))


def test_credible_intervals_of_few_draws_hold_what_they_promise():
    # The fifth of nineteen draws on either side: exactly half.
    options = {"key": jax.random.key(0), "quantities": level, "n_simulations": 2000}
    for width, passes in ((1.0, True), (0.7, False)):
        interval = credible_interval(Draws(jnp.array(width)), level, level=0.5)
        assert (coverage(interval, JOINT, **options).test(0.5).p_value > 0.01) == passes


def test_credible_interval_is_between_draws():
    interval = credible_interval(lambda key, data: jnp.arange(99.0), level, level=0.9)
    for_whole, for_part = (
        interval(jax.random.key(0), None),
        credible_interval(lambda key, data: jnp.arange(98.0), level, level=0.9)(jax.random.key(0), None),
    )
    np.testing.assert_allclose(np.ravel(for_whole), [4, 94])
    # The place of the lower end is 0.05 · 99 - 1 = 3.95.
    np.testing.assert_allclose(np.ravel(for_part), [3.95, 97 - 3.95], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.engine
def test_standard_errors_of_a_fit_hold_what_they_promise():
    template, design = Things.init(2), some_measurements(0, 2, 2)
    joint = joint_of(template, design, prior=iid_prior(template, {"level": dist.Normal(0.0, 3.0)}))
    levels = lambda model, data: model.level  # noqa: E731
    interval = wald_interval(template, levels, level=0.8)
    held = coverage(interval, joint, key=jax.random.key(0), quantities=levels, n_simulations=500)
    assert held.names == ("[0]", "[1]") or held.names == ("theta[0]", "theta[1]")
    assert held.test(0.8).p_value > 0.01
    assert held.test(0.9).p_value < 1e-4


def test_a_run_goes_on_where_it_was(tmp_path):
    file = tmp_path / "coverage.npz"
    run(0.8, n_simulations=60, file=file)
    np.testing.assert_array_equal(run(0.8, n_simulations=120, file=file).covered, run(0.8, n_simulations=120).covered)
    with pytest.raises(ValueError, match="simulations of another interval or law"):
        run(0.7, n_simulations=60, file=file)


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match="level must be between 0 and 1, not 1"):
        credible_interval(Draws(jnp.array(1.0)), level, level=1.0)
    with pytest.raises(ValueError, match="ends hold 2 and 2 numbers, the quantities 1"):
        coverage(lambda key, data: (data[:2], data[:2]), JOINT, key=jax.random.key(0), quantities=level)
