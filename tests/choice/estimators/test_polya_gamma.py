"""The Pólya-Gamma law against its characteristic function; the Gibbs sampler against integrals."""

from decimal import Decimal, getcontext

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, log_expit

from scorax.choice import BradleyTerry
from scorax.choice._estimators import polya_gamma_block, polya_gamma_gibbs, polya_gamma_moments, sample_polya_gamma
from scorax.choice._estimators._polya_gamma import rest_of_sum, term_scales
from scorax.data import PairCounts
from scorax.inference import HMC, Gibbs, effective_sample_size, sample

moments = jax.jit(polya_gamma_moments)
draw = jax.jit(sample_polya_gamma)


@pytest.mark.parametrize("c", [1e-9, 1e-3, 0.05, 0.3, 0.99, 1.01, 5.0, 60.0])
def test_moments_to_the_last_digit(c, dtype):
    getcontext().prec = 60
    exact = Decimal(float(np.asarray(c, dtype)))
    up = exact.exp()
    mean = (up - 1) / (up + 1) / (2 * exact)
    variance = ((up - 1 / up) / 2 - exact) / (4 * exact**3) * 4 / (up + 2 + 1 / up)
    for sign in (1, -1):
        found = moments(jnp.full((), 2.5, dtype), jnp.full((), sign * c, dtype))
        tolerance = 8 * float(jnp.finfo(dtype).eps)
        np.testing.assert_allclose(found.mean, 2.5 * float(mean), rtol=tolerance)
        np.testing.assert_allclose(found.variance, 2.5 * float(variance), rtol=tolerance)


def test_moments_at_zero(dtype):
    found = moments(jnp.ones((), dtype), jnp.zeros((), dtype))
    np.testing.assert_allclose(jnp.stack(found), [1 / 4, 1 / 24], rtol=4 * jnp.finfo(dtype).eps)
    slope = jax.jit(jax.vmap(jax.grad(lambda c: polya_gamma_moments(jnp.ones_like(c), c).variance)))
    assert jnp.isfinite(slope(jnp.asarray([0.0, 0.5, 1.0, 80.0], dtype))).all()


# What the sampler's docstring promises, with a third to spare.
@pytest.mark.parametrize(("c", "tolerance"), [(0.0, 2e-7), (2.0, 2.5e-7), (10.0, 5e-6), (50.0, 4e-4), (300.0, 4e-4)])
def test_the_law_is_the_law(c, tolerance, x64):
    one, tilt = jnp.ones(()), jnp.full((), c)
    rest, scales = rest_of_sum(one, tilt), np.asarray(term_scales(tilt))
    shape = float(rest.mean) ** 3 / float(rest.variance)
    t = np.linspace(0, 60, 400)[:, None] / float(moments(one, tilt).variance) ** 0.5 * -1j
    inverse_gaussian = shape / float(rest.mean) * (1 - np.sqrt(1 + 2 * float(rest.mean) ** 2 * t / shape))
    ours = np.exp(-np.log(1 + scales * t).sum(1) + inverse_gaussian[:, 0] - t[:, 0] * float(rest.shift))
    root = np.sqrt(c**2 + 2 * t[:, 0]) / 2
    # Ratio of hyperbolic cosines, without overflow.
    exact = (1 + np.exp(-c)) / (1 + np.exp(-2 * root)) * np.exp(c / 2 - root)
    np.testing.assert_allclose(np.abs(ours - exact).max(), 0, atol=tolerance)


@pytest.mark.parametrize(("b", "c"), [(1.0, 0.0), (0.3, 4.0), (37.5, 1.5)])
def test_draws_have_the_law(b, c, dtype):
    n = 20_000
    shape = np.full(n, b)
    shape[0] = 0
    drawn = np.asarray(draw(jax.random.key(1), jnp.asarray(shape, dtype), jnp.full(n, c, dtype)), float)
    assert drawn[0] == 0
    drawn = drawn[1:]
    expected = moments(jnp.full((), b, dtype), jnp.full((), c, dtype))
    spread = float(expected.variance) ** 0.5
    np.testing.assert_allclose(drawn.mean(), expected.mean, atol=5 * spread / n**0.5)
    np.testing.assert_allclose(drawn.std(), spread, rtol=0.06)
    # The terms written out, 300 of them, and the mean of the others.
    rng = np.random.default_rng(0)
    scale = 1 / (2 * np.pi**2 * ((np.arange(300) + 0.5) ** 2 + (c / 2 / np.pi) ** 2))
    written = sum(s * rng.gamma(b, size=n) for s in scale) + float(expected.mean) - b * scale.sum()
    assert stats.ks_2samp(drawn, written).pvalue > 1e-3


def grid_moments(wins, precision, mean):
    """Mean and covariance of two or three strengths on a grid; the last one is summed out with the others."""
    k = len(wins)
    axis = np.linspace(-6, 6, 61)
    points = np.stack(np.meshgrid(*[axis] * k, indexing="ij"), -1).reshape(-1, k)
    centred = points - mean
    log = -np.einsum("ni,ij,nj->n", centred, precision, centred) / 2
    for i in range(k):
        for j in range(k):
            log += wins[i][j] * log_expit(points[:, i] - points[:, j])
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    middle = weight @ points
    return middle, (points - middle).T @ ((points - middle) * weight[:, None])


TABLE = {"wins": [[0, 3, 1], [1, 0, 0], [0, 2, 0]], "ties": [[0, 1, 0], [0, 0, 3], [0, 0, 0]]}
PRIOR = {"prior_precision": np.diag([1.0, 2.0, 0.7]), "prior_mean": [0.5, 0.0, -1.0]}
LENGTH = {"n_draws": 2000, "n_warmup": 100}


@pytest.mark.slow
def test_posterior_as_integrated():
    draws = polya_gamma_gibbs(PairCounts.from_arrays(**TABLE), key=jax.random.key(0), **PRIOR, **LENGTH)
    half = np.array(TABLE["ties"]) / 2
    middle, covariance = grid_moments(np.array(TABLE["wins"]) + half + half.T, *PRIOR.values())
    ess = min(float(effective_sample_size(draws[..., i])) for i in range(3))
    assert ess > 1500
    spread = np.sqrt(np.diag(covariance))
    # Four standard errors.
    flat = np.asarray(draws).reshape(-1, 3)
    np.testing.assert_allclose((flat.mean(0) - middle) / spread, 0, atol=4 / ess**0.5)
    np.testing.assert_allclose((np.cov(flat.T) - covariance) / np.outer(spread, spread), 0, atol=4 * (2 / ess) ** 0.5)


@pytest.mark.slow
def test_the_key_decides(x64):
    more, less = (
        polya_gamma_gibbs(PairCounts.from_arrays(**TABLE), key=jax.random.key(0), n_chains=n, **PRIOR, **LENGTH)
        for n in (4, 1)
    )
    np.testing.assert_allclose(more[:1, :20], less[:, :20], rtol=1e-9)
    assert not np.allclose(more[0, :20], more[1, :20])


@pytest.mark.slow
def test_simulated_strengths_are_anywhere_among_their_draws():
    """Simulation-based calibration: 200 times six strengths from the prior, and ten comparisons of each pair."""
    replicates, k, kept = 200, 6, 63
    rng = np.random.default_rng(4)
    strength = rng.normal(size=(replicates, k))
    wins = np.zeros((replicates, k, k))
    i, j = np.triu_indices(k, 1)
    wins[:, i, j] = rng.binomial(10, expit(strength[:, i] - strength[:, j]))
    wins[:, j, i] = 10 - wins[:, i, j]
    blank = PairCounts.from_arrays(wins[0])

    @jax.jit
    @jax.vmap
    def draws(key, won):
        table = blank.reweight(jnp.stack([won, jnp.zeros_like(won)]))
        return polya_gamma_gibbs(table, key=key, n_draws=kept * 4, n_warmup=30, n_chains=1)[0, ::4]

    found = np.asarray(draws(jax.random.split(jax.random.key(2), replicates), jnp.asarray(wins, jnp.float32)))
    for quantity in (lambda s: s[..., 0], lambda s: s[..., 1] - s[..., 2], lambda s: (s**2).sum(-1)):
        rank = (quantity(found) < quantity(strength)[:, None]).sum(1)
        counted = np.bincount(rank * 8 // (kept + 1), minlength=8)
        assert stats.chisquare(counted).pvalue > 1e-3


@pytest.mark.slow
@pytest.mark.engine
def test_a_block_of_gibbs():
    counts = PairCounts.from_arrays([[0, 6, 5, 7], [2, 0, 4, 5], [1, 3, 0, 2], [1, 2, 4, 0]])
    settings = {"num_warmup": 300, "num_samples": 1500, "num_chains": 2, "progress": False}
    model, hmc = BradleyTerry.init(4), HMC(num_steps=6)
    blocks = Gibbs({"strength": polya_gamma_block}, rest=hmc)
    ours = sample(model, counts, key=jax.random.key(0), method=blocks, **settings)
    theirs = sample(model, counts, key=jax.random.key(1), method=hmc, **settings)
    for name in ("strength", "scale"):
        a, b = (np.asarray(posterior.sites[name]).reshape(3000, -1) for posterior in (ours, theirs))
        # Five standard errors of a difference of means at 300 effective draws each, which both exceed.
        np.testing.assert_allclose(a.mean(0), b.mean(0), atol=5 * float(a.std(0).max()) * (2 / 300) ** 0.5)
        np.testing.assert_allclose(a.std(0), b.std(0), rtol=0.25)
    np.testing.assert_allclose(np.asarray(ours.sites["strength"]).sum(-1), 0, atol=1e-4)


def test_settings_are_checked():
    counts, key = PairCounts.from_arrays([[0, 3], [1, 0]]), jax.random.key(0)
    with pytest.raises(ValueError, match="n_draws"):
        polya_gamma_gibbs(counts, key=key, n_draws=0)
    with pytest.raises(ValueError, match="not positive definite"):
        polya_gamma_gibbs(counts, key=key, prior_precision=0.0)
    with pytest.raises(ValueError, match="prior_precision has shape"):
        polya_gamma_gibbs(counts, key=key, prior_precision=np.eye(3))
    with pytest.raises(ValueError, match="takes a table of pairs"):
        polya_gamma_block({"strength": jnp.zeros(2), "scale": jnp.ones(())}, counts.rows(), key=key)
