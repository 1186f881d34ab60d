"""Blocks on programs with exact answers; the answers themselves are checked by other means."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from jaxtyping import Array

from scorax.inference._blocks import (
    Population,
    adaptive_resample,
    mh_kernel,
    random_walk,
    resample,
    rmsmc,
    smc,
    tempered,
)
from scorax.inference.validity import check_block, stepped_examples, traced_examples
from scorax.numerics._resampling import multinomial_indices, residual_indices, stratified_indices


def example(name):
    return next(e for e in stepped_examples() if e.name == name)


class Resample(eqx.Module):
    """The right one, or one that forgets the weight of the population."""

    forget: Array

    def __call__(self, population, *, key):
        right = resample(population, key=key)
        equal = jnp.full_like(right.log_weight, -jnp.log(float(right.n_particles)))
        return Population(right.value, jnp.where(self.forget, equal, right.log_weight))


class Filter(eqx.Module):
    """A particle filter; its bugs are arrays, so that all share a compilation."""

    forget: Array = eqx.field(default_factory=lambda: jnp.array(False))
    """Resample without the weight of the population."""
    level: Array = eqx.field(default_factory=lambda: jnp.array(False))
    """Return equal weights, of the right sum."""
    power: Array = eqx.field(default_factory=lambda: jnp.array(1.0))
    """Raise weights to a power."""

    def __call__(self, program, key):
        right = smc(program, 30, key=key, resampler=Resample(self.forget))
        equal = jnp.broadcast_to(right.log_evidence - jnp.log(30.0), right.log_weight.shape)
        return Population(right.value, self.power * jnp.where(self.level, equal, right.log_weight))


def check(**bugs):
    block = Filter(**{name: jnp.array(value) for name, value in bugs.items()})
    return check_block(block, [stepped_examples()[1]], key=jax.random.key(0))


@pytest.mark.slow
def test_smc_is_valid():
    result = check()
    assert result.p_value > 0.01
    assert result.details["names"] == tuple(f"Normal-Normal: {test}" for test in ("evidence", "averages", "draws"))


def test_forgetting_weights_is_found():
    assert check(forget=True).details["results"]["Normal-Normal: evidence"].p_value < 1e-10


def test_right_evidence_with_the_wrong_draws_is_found():
    results = check(level=True).details["results"]
    assert results["Normal-Normal: evidence"].p_value > 0.01
    assert results["Normal-Normal: averages"].p_value < 1e-6


def test_too_few_effective_particles_get_no_verdict():
    result = check(power=20.0)
    assert np.isnan(result.p_value)
    assert "Normal-Normal: evidence: log estimates have standard deviation" in result.details["reason"]


def test_no_examples():
    with pytest.raises(ValueError, match="there are no examples"):
        check_block(Filter(), [], key=jax.random.key(0))


@pytest.mark.parametrize("which", range(3))
def test_answers_by_quadrature(which, x64):
    """The trapezoidal rule on a smooth density that is zero at both ends converges faster than any power."""
    example = traced_examples()[which]
    u, target = jnp.linspace(-40, 40, 8001), example.program
    log_prior, log_joint, output = jax.jit(
        jax.vmap(lambda u: (target.log_prior(u), target.log_joint(u), target.output(u)))
    )(u)
    assert jnp.exp(log_prior).sum() / 100 == pytest.approx(1, rel=1e-6)
    weight = jnp.exp(log_joint) / 100
    assert jnp.log(weight.sum()) == pytest.approx(example.log_evidence, rel=1e-6)
    for name, values in (("mean", output), ("second moment", output**2)):
        assert jnp.vdot(weight, values) / weight.sum() == pytest.approx(example.expected[name], rel=1e-6)


def test_closed_forms():
    beta, normal, *_ = stepped_examples()
    assert np.exp(beta.log_evidence) == pytest.approx(1 / 20)
    covariance = np.eye(3) + 1
    assert normal.log_evidence == pytest.approx(scipy.stats.multivariate_normal(cov=covariance).logpdf([1, 0.5, -0.3]))


def test_kalman_answers_by_one_large_normal():
    found = example("linear-Gaussian states")
    y = np.array([0.5, -0.4, 1.2, 1.0])
    lag = np.abs(np.subtract.outer(range(4), range(4)))
    states = 0.9**lag / (1 - 0.81)
    total = states + np.eye(4)
    assert found.log_evidence == pytest.approx(scipy.stats.multivariate_normal(cov=total).logpdf(y))
    gain = states[-1] @ np.linalg.inv(total)
    mean, variance = gain @ y, states[-1, -1] - gain @ states[:, -1]
    assert found.expected["mean"] == pytest.approx(mean)
    assert found.expected["second moment"] == pytest.approx(mean**2 + variance)


def test_forward_recursion_by_all_paths():
    found = example("hidden Markov")
    start = np.array([0.5, 0.3, 0.2])
    move = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]])
    emit = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    mass = np.zeros(3)
    for path in itertools.product(range(3), repeat=4):
        steps = [move[i, j] for i, j in itertools.pairwise(path)]
        mass[path[-1]] += start[path[0]] * np.prod(steps) * np.prod(emit[list(path), [0, 1, 1, 0]])
    assert found.log_evidence == pytest.approx(np.log(mass.sum()))
    np.testing.assert_allclose(found.expected, (mass / mass.sum())[:2])


MOVES = eqx.Partial(mh_kernel, proposal=random_walk(1.0))


def resampled(resampler, program, key):
    return smc(program, 100, key=key, resampler=resampler)


def resampled_and_moved(program, key):
    path = tempered(program, jnp.array([0.2, 0.5, 1.0]), kernel=MOVES)
    return rmsmc(path, 100, key=key)


@pytest.mark.slow
@pytest.mark.parametrize(
    "resampler",
    [
        resample,
        adaptive_resample,
        *(eqx.Partial(resample, scheme=s) for s in (multinomial_indices, stratified_indices, residual_indices)),
    ],
)
def test_shipped_filters_are_valid(resampler):
    result = check_block(eqx.Partial(resampled, resampler), key=jax.random.key(0), n=1000)
    assert result.p_value > 0.01, str(result)


@pytest.mark.slow
def test_shipped_resample_move_is_valid():
    result = check_block(resampled_and_moved, traced_examples(), key=jax.random.key(0), n=1000)
    assert result.p_value > 0.01, str(result)
