import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from scorax.inference.validity import evidence_test


def log_normal(sd, shape, seed=0):
    """Logs of unbiased estimates of one."""
    return sd * np.random.default_rng(seed).normal(size=shape) - sd**2 / 2


def p_values(log_estimates):
    return np.array([evidence_test(jnp.asarray(x), 0.0).p_value for x in log_estimates])


def test_is_a_t_test_of_the_ratio(x64):
    x = log_normal(0.3, 50)
    result = evidence_test(jnp.asarray(x + 2.0), 2.0)
    reference = scipy.stats.ttest_1samp(np.exp(x), 1.0)
    assert result.p_value == pytest.approx(reference.pvalue)
    assert result.statistic == pytest.approx(reference.statistic)
    assert result.details["sd"] == pytest.approx(x.std(ddof=1))


def test_size_where_the_spread_is_small():
    # 0.01 within four errors of 400 samples.
    assert (p_values(log_normal(0.28, (400, 400))) < 0.01).mean() < 0.03


@pytest.mark.parametrize("bias", [np.log(0.5), 0.05])
def test_bias_is_found(bias):
    assert (p_values(log_normal(0.28, (20, 400)) + bias) < 0.01).mean() > 0.7


def test_the_mean_of_logs_is_no_evidence():
    log_weights = log_normal(0.5, (400, 20))
    right = jax.nn.logsumexp(jnp.asarray(log_weights), axis=1) - jnp.log(20.0)
    assert evidence_test(right, 0.0).p_value > 0.01
    assert evidence_test(jnp.asarray(log_weights.mean(1)), 0.0).p_value < 1e-6


def test_estimates_that_are_exact_pass_and_those_that_are_all_wrong_do_not(dtype):
    exact = jnp.full(20, -300.0, dtype) * (1 + jnp.finfo(dtype).eps * jnp.arange(-1, 19).clip(-1, 1).astype(dtype))
    assert evidence_test(exact, -300.0).p_value > 0.5
    assert evidence_test(exact, -300.1).p_value < 1e-50


@pytest.mark.parametrize(
    ("estimates", "reason"),
    [
        (log_normal(1.5, 400), "standard deviation 1.5, above 1: use more particles"),
        (np.append(log_normal(0.1, 20), -np.inf), "standard deviation inf"),
        (np.append(log_normal(0.1, 20), np.nan), "not a number"),
    ],
)
def test_no_verdict_comes_with_a_reason(estimates, reason):
    result = evidence_test(jnp.asarray(estimates), 0.0)
    assert np.isnan(result.p_value)
    assert reason in result.details["reason"]


def test_too_few_estimates():
    with pytest.raises(ValueError, match="log_estimates must be at least 10, not 5"):
        evidence_test(jnp.zeros(5), 0.0)
