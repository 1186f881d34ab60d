"""Skills from counts against kickscore, fine grids and simulated histories."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, logsumexp
from scipy.stats import norm, poisson, skellam

from scorax.choice._dynamic import (
    Constant,
    Matern32,
    dynamic_count_difference_skills,
    dynamic_count_skills,
    skill_histories,
)
from scorax.choice._dynamic._count_observations import CountDifference, log_smaller_count
from scorax.choice._dynamic._observations import tilted
from scorax.data import Comparisons

# The case "countdiff-1" in the repository of kickscore, made by kickscore itself: two items, Matérn 3/2 of variance 2
# and scale 1, and exp(0.5) for the base rate.
TIME, DIFFERENCE, RATE = [0.11616722, 0.31198904], [-3.0, 4.0], float(np.exp(0.5))
MEAN, VARIANCE, LOG_LIKELIHOOD = [-0.12800459, 0.2519431], [0.4641517, 0.46345744], -7.893948747965447


def pair():
    return Comparisons.from_arrays([0, 0], [1, 1], [0.0, 1.0], time=TIME)


@pytest.fixture
def found(x64):
    return dynamic_count_difference_skills(pair(), jnp.asarray(DIFFERENCE), 2, Matern32(2.0, 1.0), base_rate=RATE)


def by_grid(cavity_mean, cavity_variance, k, rate):
    """Log of the integral, mean and variance of a difference once its count has been seen."""
    d = np.linspace(-12, 12, 3001)
    at_zero = skellam.logpmf(k, rate, rate) + 2 * rate
    log_term = at_zero + k * d - 2 * rate * np.cosh(d) + norm.logpdf(d, cavity_mean, cavity_variance**0.5)
    total = logsumexp(log_term)
    share = np.exp(log_term - total)
    mean = share @ d
    return total + np.log(d[1] - d[0]), mean, share @ (d - mean) ** 2


def textbook(cov, ks, rate, sweeps=40):
    """EP for two independent items, dense: by symmetry the second is the first with the other sign."""
    tau, nu = np.zeros((2, len(ks)))
    for _ in range(sweeps):
        for r, k in enumerate(ks):
            post = np.linalg.inv(np.linalg.inv(cov) + np.diag(tau))
            v = 1 / (1 / post[r, r] - tau[r])
            m = v * ((post @ nu)[r] / post[r, r] - nu[r])
            _, mean, var = by_grid(2 * m, 2 * v, k, rate)
            # Half of what the difference moves is each side's.
            mean, var = m + (mean - 2 * m) / 2, v + (var - 2 * v) / 4
            tau[r], nu[r] = 1 / var - 1 / v, mean / var - m / v
    post = np.linalg.inv(np.linalg.inv(cov) + np.diag(tau))
    log_evidence = nu @ post @ nu - np.linalg.slogdet(np.eye(len(ks)) + cov * tau)[1]
    for r, k in enumerate(ks):
        v = 1 / (1 / post[r, r] - tau[r])
        m = v * ((post @ nu)[r] / post[r, r] - nu[r])
        log_evidence += by_grid(2 * m, 2 * v, k, rate)[0]
        t, u = tau[r], nu[r]
        log_evidence -= (2 * m * u + u**2 * v - t * m**2) / (1 + t * v) - np.log(1 + t * v)
    return post @ nu, np.diag(post), log_evidence


def test_as_kickscore_and_as_textbook_expectation_propagation(found):
    # Seen: 2e-4, 1.6e-3 and 1.9e-3, of kickscore's quadrature: a fine grid agrees to 1e-5, see below.
    np.testing.assert_allclose(found.mean[0], MEAN, atol=1e-3)
    np.testing.assert_allclose(found.std[0] ** 2, VARIANCE, atol=3e-3)
    np.testing.assert_allclose(found.log_evidence, LOG_LIKELIHOOD, atol=3e-3)
    t, s = np.meshgrid(TIME, TIME)
    cov = np.asarray(Matern32(2.0, 1.0).covariance(jnp.asarray(t), jnp.asarray(s)))
    mean, variance, log_evidence = textbook(cov, DIFFERENCE, RATE)
    np.testing.assert_allclose(found.mean, [mean, -mean], atol=1e-5)
    np.testing.assert_allclose(found.std**2, [variance, variance], atol=1e-5)
    np.testing.assert_allclose(found.log_evidence, log_evidence, atol=1e-5)


def test_the_probability_of_counts(dtype):
    observation = CountDifference(jnp.asarray(1.3, dtype))
    d, k = (x.ravel() for x in np.meshgrid([-2.5, -0.3, 0.0, 1.1], [-40.0, -3, 0, 1, 7, 60]))
    a, b = 1.3 * np.exp(d), 1.3 * np.exp(-d)
    # Sums over the smaller count, all terms positive.
    s = np.arange(200)[:, None]
    terms = poisson.logpmf(s + np.maximum(k, 0), a) + poisson.logpmf(s + np.maximum(-k, 0), b)
    expected = logsumexp(terms, axis=0)
    found = jax.jit(lambda d, k: observation.log_prob(d, k))(jnp.asarray(d, dtype), jnp.asarray(k, dtype))
    eps = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(found, expected, rtol=40 * eps, atol=40 * eps)
    # Both counts: their difference, and the smaller one given it.
    smaller = jnp.full(k.shape, 2.0, dtype)
    both = found + jax.jit(log_smaller_count)(smaller, jnp.asarray(k, dtype), observation.base_rate)
    np.testing.assert_allclose(both, terms[2], rtol=100 * eps, atol=100 * eps)


def test_moments_are_exact_and_far_starts_find_back(dtype):
    """Counts of a hundred to one, and cavities far from all that counts allow, against a fine grid."""
    cases = [(0.0, 1.0, 2.0), (0.5, 4.0, -3.0), (20.0, 0.5, 0.0), (-3.0, 9.0, 100.0), (0.0, 10.0, 200.0)]
    mean, variance, k = (jnp.asarray(x, dtype) for x in np.array(cases).T)
    observation = CountDifference(jnp.asarray(1.0, dtype))
    log_total, slope, bend = jax.jit(
        lambda m, v, k: tilted(lambda d: observation.log_prob(d, k), m, v, 32, observation.peak(k))
    )(mean, variance, k)
    for i, (m, v, count) in enumerate(cases):
        d = np.linspace(-12, 12, 48_001)
        log_like = count * d - 2 * np.cosh(d) + float(observation.log_prob(jnp.zeros((), dtype), k[i])) + 2
        log_term = log_like + norm.logpdf(d, m, v**0.5)
        top = logsumexp(log_term)
        share = np.exp(log_term - top)
        middle = share @ d
        spread = share @ (d - middle) ** 2
        tolerance = 1e-8 if dtype == jnp.float64 else 2e-4
        np.testing.assert_allclose(log_total[i], top + np.log(d[1] - d[0]), atol=tolerance, rtol=tolerance)
        np.testing.assert_allclose(m + v * slope[i], middle, atol=tolerance, rtol=tolerance)
        np.testing.assert_allclose(v + v**2 * bend[i], spread, atol=10 * tolerance)


@pytest.mark.parametrize("rate", [0.05, 1.3, 100.0])
def test_win_probability(rate, x64):
    """From sharply known skills to wide ones; a win, a loss and a tie are all there is."""
    observation = CountDifference(jnp.asarray(rate))
    mean, variance = np.array([0.0, 1.0, -0.4, 3.0, -2.0]), np.array([0.5, 1e-6, 0.01, 9.0, 1.0])
    z = np.linspace(-9, 9, 9001)
    d = np.clip(mean[:, None] + np.sqrt(variance)[:, None] * z, -12, 12)
    weight = norm.pdf(z) / norm.pdf(z).sum()
    up, down = rate * np.exp(d), rate * np.exp(-d)
    win = jax.jit(lambda m, v: observation.win_probability(m, v))
    won, lost = win(jnp.asarray(mean), jnp.asarray(variance)), win(-jnp.asarray(mean), jnp.asarray(variance))
    # What the grid leaves of the sharpest case.
    np.testing.assert_allclose(won, skellam.sf(0, up, down) @ weight, atol=1e-7)
    log_tie = jax.vmap(lambda m, v: tilted(lambda d: observation.log_prob(d, jnp.zeros_like(d)), m, v, 64)[0])
    tied = jnp.exp(log_tie(jnp.asarray(mean), jnp.asarray(variance)))
    np.testing.assert_allclose(won + lost + tied, 1, atol=1e-6)
    slope = jax.jit(jax.grad(lambda m: win(m, jnp.asarray(variance)).sum()))(jnp.asarray(mean))
    step = 1e-5
    up, down = (win(jnp.asarray(mean + s), jnp.asarray(variance)) for s in (step, -step))
    expected = (up - down) / (2 * step)
    np.testing.assert_allclose(slope, expected, atol=1e-6)


@pytest.mark.slow
def test_one_game_is_exact(x64):
    """No circle: the moments and the evidence of a number seen through both skills. The mode of Laplace's method."""
    data = Comparisons.from_arrays([0], [1], [1.0], time=[0.0])
    log_total, mean, variance = by_grid(0.0, 2.0, 3, 1.3)
    ep = dynamic_count_difference_skills(data, jnp.asarray([3.0]), 2, Constant(1.0), base_rate=1.3)
    np.testing.assert_allclose(ep.mean[:, 0], [mean / 2, -mean / 2], atol=1e-6)
    np.testing.assert_allclose(ep.std[:, 0] ** 2, 1 + (variance - 2) / 4, atol=1e-6)
    np.testing.assert_allclose(ep.log_evidence, log_total, atol=1e-7)
    laplace = dynamic_count_difference_skills(
        data, jnp.asarray([3.0]), 2, Constant(1.0), base_rate=1.3, method="laplace"
    )
    mode = float(laplace.mean[0, 0])
    np.testing.assert_allclose(3 - 2 * 1.3 * np.sinh(2 * mode), mode, atol=1e-6)
    np.testing.assert_allclose(laplace.std[0, 0] ** 2, 1 / (1 + 2 * 1.3 * np.cosh(2 * mode)), atol=1e-6)


def test_both_counts_add_what_skills_have_no_part_in(found):
    data = pair()
    a, b = jnp.asarray([1.0, 6.0]), jnp.asarray([4.0, 2.0])
    both = dynamic_count_skills(data, a.astype(int), b, 2, Matern32(2.0, 1.0), base_rate=RATE)
    np.testing.assert_array_equal(both.mean, found.mean)
    s, k = np.array([1, 2]), np.array([3, 4])
    more = poisson.logpmf(s, RATE) + poisson.logpmf(s + k, RATE) - skellam.logpmf(k, RATE, RATE)
    np.testing.assert_allclose(both.log_evidence - found.log_evidence, more.sum(), atol=1e-9)
    weighted = data.reweight(jnp.asarray([1.0, 0.0]))
    with pytest.raises(ValueError, match="count_b is no whole number"):
        dynamic_count_skills(weighted, a, b.at[1].set(jnp.nan), 2, Matern32(2.0, 1.0), base_rate=RATE)


@pytest.mark.slow
def test_the_evidence_has_the_derivatives_of_its_value(x64):
    """In the base rate and the kernel, through both counts; central differences err by step**2."""
    histories = skill_histories(pair(), 2)
    a, b = jnp.asarray([1.0, 6.0]), jnp.asarray([4.0, 2.0])

    @jax.jit
    def log_evidence(x):
        return dynamic_count_skills(histories, a, b, 2, Matern32(x[0], x[1]), base_rate=x[2]).log_evidence

    x, step = jnp.asarray([2.0, 1.0, RATE]), 1e-4
    gradient = jax.jit(jax.grad(log_evidence))(x)
    moved = [[log_evidence(x.at[i].add(s)) for s in (step, -step)] for i in range(3)]
    np.testing.assert_allclose(gradient, [(up - down) / (2 * step) for up, down in moved], atol=1e-6)


def test_single_precision(found):
    with jax.enable_x64(False):
        single = dynamic_count_difference_skills(pair(), jnp.asarray(DIFFERENCE), 2, Matern32(2.0, 1.0), base_rate=RATE)
        assert single.mean.dtype == jnp.float32
    # The iteration stops at changes of 3e-4 standard deviations.
    np.testing.assert_allclose(single.mean, found.mean, atol=1e-3)
    np.testing.assert_allclose(single.log_evidence, found.log_evidence, atol=1e-3)


def test_sides_may_be_swapped(found):
    swapped = dataclasses.replace(pair(), a=pair().b, b=pair().a)
    other = dynamic_count_difference_skills(swapped, -jnp.asarray(DIFFERENCE), 2, Matern32(2.0, 1.0), base_rate=RATE)
    np.testing.assert_allclose(other.mean, found.mean, atol=1e-9)
    np.testing.assert_allclose(other.log_evidence, found.log_evidence, atol=1e-9)


@pytest.mark.slow
def test_a_drifting_skill_and_the_base_rate_are_recovered():
    rng = np.random.default_rng(0)
    k, n = 8, 1500
    a = rng.integers(0, k, n)
    b = (a + rng.integers(1, k, n)) % k
    time = rng.uniform(0, 100, n)

    def truth(item, time):
        swing = np.where(item == 0, 1, np.where(item == 1, -1, 0)) * (expit((time - 50) / 8) - 0.5)
        return np.linspace(-0.4, 0.4, k)[item] + swing

    d = truth(a, time) - truth(b, time)
    of_a, of_b = rng.poisson(1.3 * np.exp(d)).astype(float), rng.poisson(1.3 * np.exp(-d)).astype(float)
    histories = skill_histories(Comparisons.from_arrays(a, b, of_a > of_b, time=time), k)
    kernel = Constant(0.2) + Matern32(0.2, 30.0)
    fits = {
        rate: dynamic_count_skills(histories, jnp.asarray(of_a), jnp.asarray(of_b), k, kernel, base_rate=rate)
        for rate in (1.1, 1.3, 1.5)
    }
    assert fits[1.3].log_evidence > max(fits[1.1].log_evidence, fits[1.5].log_evidence) + 10
    at = np.linspace(5, 95, 10)
    mean, _ = fits[1.3].predict(jnp.asarray(at))
    actual = truth(np.arange(k)[:, None], at[None, :])
    error = np.asarray(mean) - actual
    assert np.sqrt(((error - error.mean(0)) ** 2).mean()) < 0.15


def test_bad_input_is_refused():
    data, kernel = pair(), Constant(1.0)
    one = jnp.ones(2)
    for message, call in {
        "count_difference is no whole number": lambda: dynamic_count_difference_skills(
            data, one / 2, 2, kernel, base_rate=1.0
        ),
        "count_a is below 0": lambda: dynamic_count_skills(data, -one, one, 2, kernel, base_rate=1.0),
        "base_rate must be finite and above 0": lambda: dynamic_count_skills(data, one, one, 2, kernel, base_rate=0.0),
        r"count_a has shape \(1,\)": lambda: dynamic_count_skills(data, one[:1], one[:1], 2, kernel, base_rate=1.0),
    }.items():
        with pytest.raises(ValueError, match=message):
            call()
