import dataclasses

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats

from scorax.inference import mcse_mean, sample
from scorax.learning import BayesianTrend, NormalInverseGamma, StudentT, TimedScores, conjugate_trend

RNG = np.random.default_rng(5)
TIME = np.sort(RNG.uniform(2020, 2024, 24))
SCORE = 6.0 - 0.4 * (TIME - 2022) + RNG.normal(0, 1.0, 24)


@jax.jit
def brief(time, score, weight):
    found = conjugate_trend(time, score, weight=weight)
    return found.slope(), found.slope().below(0.0), found.change(2020.0, 2023.0)


@eqx.filter_jit
def facts(time, score, prior=None, weight=None):
    """What people ask of a trend."""
    found = conjugate_trend(time, score, prior=prior, weight=weight)
    slope = found.slope()
    ahead = time[-1:] + 1
    return (
        slope,
        slope.below(0.0),
        slope.interval(0.9),
        found.line(ahead).interval(),
        found.predictive(ahead).interval(),
    )


def flat(dtype=float):
    """The prior whose posterior is least squares."""
    return NormalInverseGamma(
        jnp.zeros(2, dtype), jnp.zeros((2, 2), dtype), jnp.asarray(-1.0, dtype), jnp.asarray(0.0, dtype)
    )


def test_posterior_is_the_closed_form(x64):
    m0, v0, a0, b0 = np.array([1.0, -2.0]), np.array([[2.0, 0.3], [0.3, 0.5]]), 3.0, 4.0
    design = np.stack([np.ones(24), TIME - 2022], axis=1)
    precision = np.linalg.inv(v0) + design.T @ design
    mean = np.linalg.solve(precision, np.linalg.solve(v0, m0) + design.T @ SCORE)
    rate = b0 + (SCORE @ SCORE + m0 @ np.linalg.solve(v0, m0) - mean @ precision @ mean) / 2
    prior = NormalInverseGamma(jnp.asarray(m0), jnp.asarray(np.linalg.inv(v0)), jnp.asarray(a0), jnp.asarray(b0))
    found = jax.jit(lambda prior, x, y: prior.update(x, y))(prior, jnp.asarray(design), jnp.asarray(SCORE))
    # The textbook's form of the rate cancels two digits.
    for ours, expected in (
        (found.mean, mean),
        (found.precision, precision),
        (found.shape, a0 + 12),
        (found.rate, rate),
    ):
        np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_flat_prior_is_least_squares(dtype):
    time, score = jnp.asarray(TIME - 2022, dtype), jnp.asarray(SCORE, dtype)
    slope, falling, interval, _, _ = facts(time, score, flat(dtype))
    line = scipy.stats.linregress(TIME, SCORE)
    close = {"rtol": 1e-4 if dtype == jnp.float32 else 1e-9}
    np.testing.assert_allclose(slope.location, line.slope, **close)
    np.testing.assert_allclose(slope.scale, line.stderr, **close)
    assert float(slope.degrees) == 22
    np.testing.assert_allclose(falling, scipy.stats.t.cdf(-line.slope / line.stderr, 22), **close)
    np.testing.assert_allclose(interval, line.slope + scipy.stats.t.ppf([0.05, 0.95], 22) * line.stderr, **close)


def test_bands_are_those_of_a_regression(x64):
    *_, band, predictive = facts(jnp.asarray(TIME), jnp.asarray(SCORE), flat())
    line, ahead = scipy.stats.linregress(TIME, SCORE), TIME[-1] + 1
    noise = (SCORE - line.intercept - line.slope * TIME) @ (SCORE - line.intercept - line.slope * TIME) / 22
    spread = 1 / 24 + (ahead - TIME.mean()) ** 2 / ((TIME - TIME.mean()) ** 2).sum()
    centre, t = line.intercept + line.slope * ahead, scipy.stats.t.ppf([0.05, 0.95], 22)
    # Intercepts at year 0 cost scipy three digits.
    np.testing.assert_allclose(np.ravel(band), centre + t * np.sqrt(noise * spread), rtol=1e-8)
    np.testing.assert_allclose(np.ravel(predictive), centre + t * np.sqrt(noise * (spread + 1)), rtol=1e-8)


def test_units_and_repetition(x64):
    time, score = jnp.asarray(TIME), jnp.asarray(SCORE)
    ones = jnp.ones(24)
    slope, falling, change = brief(time, score, ones)
    by_day, same, _ = brief(time * 365.25, score, ones)
    chex.assert_trees_all_close((by_day.location * 365.25, same), (slope.location, falling), rtol=1e-10)
    chex.assert_trees_all_close(change.location, 3 * slope.location, rtol=1e-12)
    # The last dozen again, once in rows of their own and once as rows that count twice.
    again, twice = jnp.concatenate([time, time[12:]]), jnp.repeat(jnp.array([1.0, 2.0]), 12)
    repeated = brief(again, jnp.concatenate([score, score[12:]]), jnp.ones(36))
    chex.assert_trees_all_close(brief(time, score, twice), repeated, rtol=1e-10)


def test_derivatives(x64):
    time = jnp.asarray(TIME)

    @jax.jit
    @jax.grad
    def of_scores(score):
        slope = conjugate_trend(time, score).slope()
        return slope.below(0.0) + slope.interval().lower

    @jax.jit
    def value(score):
        slope = conjugate_trend(time, score).slope()
        return slope.below(0.0) + slope.interval().lower

    score, direction = jnp.asarray(SCORE), jnp.asarray(RNG.normal(size=24))
    h = 1e-5
    # Central differences err by h^2, and by rounding over h.
    numeric = (value(score + h * direction) - value(score - h * direction)) / (2 * h)
    np.testing.assert_allclose(jnp.vdot(of_scores(score), direction), numeric, rtol=1e-7)


def test_student_distribution_and_its_density(dtype):
    x = jnp.asarray([-30.0, -1.3, 0.0, 0.4, 6.0], dtype)

    @jax.jit
    @jax.vmap
    @jax.value_and_grad
    def below(location):
        return StudentT(location, jnp.ones_like(location), jnp.full_like(location, 4.0)).below(0.0)

    value, slope = below(-x)
    close = {"rtol": 2e-5 if dtype == jnp.float32 else 1e-12}
    np.testing.assert_allclose(value, scipy.stats.t.cdf(np.asarray(x, float), 4), **close)
    # At zero as well, where the incomplete beta function has a vertical tangent.
    np.testing.assert_allclose(-slope, scipy.stats.t.pdf(np.asarray(x, float), 4), **close)


def test_no_trend_without_time():
    slope, falling, interval, band, _ = facts(jnp.full(4, 3.0), jnp.arange(4.0))
    assert jnp.isnan(jnp.stack([slope.location, falling, *interval, *map(jnp.squeeze, band)])).all()
    with pytest.raises(ValueError, match="between 0 and 1, not 90"):
        slope.interval(90.0)


def test_intervals_hold_the_slope():
    """A slope of -0.5 a year under noise of 1.5, 150 scores in three years, 200 times."""
    times = jax.random.uniform(jax.random.key(0), (200, 150), minval=-1.5, maxval=1.5)
    scores = 5.0 - 0.5 * times + 1.5 * jax.random.normal(jax.random.key(1), times.shape)

    @jax.jit
    @jax.vmap
    def study(time, score):
        slope = conjugate_trend(time, score).slope()
        return *slope.interval(0.9), slope.below(0.0)

    lower, upper, falling = study(times, scores)
    held = float(((lower < -0.5) & (upper > -0.5)).mean())
    # Two and a third standard errors of 200 studies to either side of 0.9; forty other seeds gave 0.860 to 0.925.
    assert 0.85 <= held <= 0.95
    # The slope is 3.5 standard errors below zero: 0.967 of the studies of forty seeds give it this much.
    assert float((falling > 0.95).mean()) > 0.9


class Conjugate(eqx.Module):
    """The conjugate trend's weak prior as a program."""

    model: BayesianTrend

    def __call__(self):
        variance = jnp.asarray(numpyro.sample("variance", dist.InverseGamma(0.5, 0.5)))
        scale = 2.5 * jnp.sqrt(variance)
        intercept = jnp.asarray(numpyro.sample("intercept", dist.Normal(0.0, scale).expand([1]).to_event(1)))
        tilt = jnp.asarray(numpyro.sample("tilt", dist.Normal(0.0, scale).expand([1, 1]).to_event(2)))
        return dataclasses.replace(self.model, intercept=intercept, tilt=tilt, noise=jnp.sqrt(variance))


@pytest.mark.slow  # a program of its own for one comparison
@pytest.mark.engine
def test_chains_agree_with_the_closed_form(x64):
    data = TimedScores.from_arrays(TIME, SCORE)
    model = BayesianTrend.init(data)
    posterior = sample(
        model,
        data,
        key=jax.random.key(0),
        prior=Conjugate(model),
        num_warmup=300,
        num_samples=1000,
        num_chains=2,
        progress=False,
    )
    slope, falling, *_ = facts(jnp.asarray(TIME), jnp.asarray(SCORE))
    draws = posterior.map(BayesianTrend.slope)[..., 0, 0]
    # Four Monte Carlo standard errors; a spread of 2000 draws is known to a thirtieth at worst.
    assert abs(float(draws.mean() - slope.location)) < 4 * float(mcse_mean(draws))
    expected = float(slope.scale) * np.sqrt(float(slope.degrees / (slope.degrees - 2)))
    np.testing.assert_allclose(draws.std(), expected, rtol=0.1)
    np.testing.assert_allclose((draws < 0).mean(), falling, atol=0.03)
