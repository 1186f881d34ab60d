import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.diffusion import (
    EDM,
    DiffusionModel,
    VarianceExploding,
    VariancePreserving,
    bits_per_dim,
    diffusion_elbo,
    ito_log_density_increment,
    probability_flow_log_prob,
)

MEAN = jnp.array([0.4, -1.0])
COVARIANCE = jnp.array([[1.0, 0.6], [0.6, 0.8]])


def noised(process, t, dtype):
    alpha, sigma = process.alpha(t), process.sigma(t)
    covariance = alpha**2 * COVARIANCE.astype(dtype) + sigma**2 * jnp.eye(2, dtype=dtype)
    return alpha * MEAN.astype(dtype), covariance


def log_density(process):
    def at(x, t):
        return jax.scipy.stats.multivariate_normal.logpdf(x, *noised(process, t, x.dtype))

    return at


def score_of(process):
    """In closed form: no derivative of a Cholesky factor."""

    def score(x, t):
        mean, c = noised(process, t, x.dtype)
        difference = mean - x
        inverse = jnp.stack([jnp.stack([c[1, 1], -c[0, 1]]), jnp.stack([-c[1, 0], c[0, 0]])])
        return (inverse * difference[None]).sum(1) / (c[0, 0] * c[1, 1] - c[0, 1] ** 2)

    return score


@pytest.mark.parametrize("case", [0, 1, 2])
def test_matches_the_reference_likelihood(oracle, mixture_score, case, x64):
    expected = oracle("likelihood_1d")[case]
    process = EDM(float(expected["sigma_min"]), float(expected["sigma_max"]))
    weights, means, variances = (jnp.asarray(expected["mixture"][k]) for k in ("weights", "means", "variances"))
    score = mixture_score(process, weights, means, variances)
    span = {"t0": float(expected["sigma_min"]), "t1": float(expected["sigma_max"])}

    def exact(x, t):
        scale = jnp.sqrt(variances + t**2)
        return jax.nn.logsumexp(jnp.log(weights) + jax.scipy.stats.norm.logpdf(x[0], means[:, 0], scale))

    @functools.partial(jax.jit, static_argnums=1)
    def run(x, with_exact_prior):
        prior = (lambda x: exact(x, jnp.asarray(span["t1"]))) if with_exact_prior else None
        return probability_flow_log_prob(score, process, x, prior=prior, rtol=1e-9, atol=1e-9, **span)

    x = jnp.asarray(expected["x"])
    np.testing.assert_allclose(run(x, False), expected["log_likelihood"], rtol=1e-6, atol=1e-6)
    if case == 0:
        right = jax.vmap(exact, (0, None))(x, jnp.asarray(span["t0"]))
        np.testing.assert_allclose(run(x, True), right, rtol=1e-7, atol=1e-7)


def test_normal_data_have_their_density(dtype):
    process, x = VariancePreserving(), jnp.asarray([[0.4, -1.0], [2.0, 1.0], [-1.0, 0.0]], dtype)
    t0, t1 = 1e-3, 1.0

    @jax.jit
    def both(x):
        prior = lambda x: log_density(process)(x, jnp.asarray(t1, dtype))  # noqa: E731
        found = probability_flow_log_prob(
            score_of(process), process, x, prior=prior, t0=t0, t1=t1, rtol=1e-6, atol=1e-6
        )
        return found, jax.vmap(log_density(process), (0, None))(x, jnp.asarray(t0, dtype))

    found, expected = both(x)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, atol=2e-4 if dtype == jnp.float32 else 2e-5)


@pytest.mark.slow
def test_probes_are_unbiased_with_a_variance_that_falls_as_their_number(x64):
    process, x = VariancePreserving(), jnp.broadcast_to(jnp.asarray([1.0, 0.5]), (300, 2))
    run = functools.partial(probability_flow_log_prob, score_of(process), process, t0=1e-3, rtol=1e-4, atol=1e-4)

    @functools.partial(jax.jit, static_argnums=1)
    def estimates(x, n_probes, offset):
        return run(x, key=jax.random.key(0), divergence="hutchinson", n_probes=n_probes, offset=offset)

    start = jnp.asarray(0, jnp.int32)
    exact = jax.jit(run)(x[:1])[0]
    one, four = estimates(x, 1, start), estimates(x, 4, start)
    for found in (one, four):
        # Solvers stop at other places for other probes: a bias of some 1e-4.
        assert abs(found.mean() - exact) < 5 * found.std() / 300**0.5 + 1e-3
    # Signs take two values here, so that the variances are known to 7 %.
    np.testing.assert_allclose(one.var() / four.var(), 4, rtol=0.25)
    np.testing.assert_allclose(estimates(x, 1, start + 3)[:-3], one[3:], rtol=1e-6)


def test_densities_have_gradients_in_the_score(x64):
    process, x = VariancePreserving(), jnp.asarray([[0.5]])

    def total(variance):
        score = lambda x, t: -x / (process.alpha(t) ** 2 * variance + process.sigma(t) ** 2)  # noqa: E731
        return probability_flow_log_prob(score, process, x, t0=1e-3, rtol=1e-6, atol=1e-6, max_steps=256).sum()

    def exact(variance):
        at = process.alpha(jnp.asarray(1e-3)) ** 2 * variance + process.sigma(jnp.asarray(1e-3)) ** 2
        return jax.scipy.stats.norm.logpdf(0.5, scale=jnp.sqrt(at))

    # The prior N(0, 1) is not quite that of the noised data, alpha(1)² is 4e-5.
    np.testing.assert_allclose(jax.jit(jax.grad(total))(0.7), jax.grad(exact)(0.7), atol=1e-4)


def test_bits_per_dimension():
    np.testing.assert_allclose(bits_per_dim(jnp.asarray(-2 * np.log(2.0)), 2), 1.0, rtol=1e-6)
    # 256 equally likely grey values that were mapped to [-1, 1] by (x + u) / 128 - 1: eight bits.
    np.testing.assert_allclose(bits_per_dim(jnp.asarray(3 * np.log(0.5)), 3, 128.0), 8.0, rtol=1e-6)


def test_the_bound_of_the_exact_score_is_the_density(x64):
    # N(0.4, 1.3) at 1.1: -log p = 1.23858.
    process = VarianceExploding(0.1, 3.0, exact=True)
    score = lambda x, t: (0.4 - x) / (1.3 + process.sigma(t) ** 2)  # noqa: E731
    last = process.sigma(jnp.asarray(1.0))

    @jax.jit
    def run(x0):
        prior = lambda x: jax.scipy.stats.norm.logpdf(x[0], 0.4, jnp.sqrt(1.3 + last**2))  # noqa: E731
        return diffusion_elbo(score, process, x0, key=jax.random.key(0), n_times=64, prior=prior, t0=1e-4)

    bound = run(jnp.full((2000, 1), 1.1))
    error = bound.std() / 2000**0.5
    assert error < 0.02
    np.testing.assert_allclose(bound.mean(), 1.23858, atol=5 * error)


def test_a_wrong_score_loosens_the_bound():
    process = VariancePreserving()
    x0 = jnp.asarray(np.random.default_rng(0).normal(size=(500, 2)), jnp.float32)

    @jax.jit
    def bounds(x0):
        return [
            diffusion_elbo(lambda x, t, w=w: -w * x, process, x0, key=jax.random.key(0), n_times=16).mean()
            for w in (1.0, 1.2)
        ]

    right, wrong = bounds(x0)
    # The gap is half the integral of g² |0.2 x|² over time: 0.02 * 2 * 10.05 nats; the noise is shared.
    np.testing.assert_allclose(wrong - right, 0.402, rtol=0.3)


def test_density_along_a_trajectory_of_any_drift_needs_no_divergence(x64):
    process = VariancePreserving(1.0, 3.0)
    score, density = score_of(process), log_density(process)
    span = (0.9, 0.1)

    @functools.partial(jax.jit, static_argnums=1)
    def error(z, n):
        dtau = (span[0] - span[1]) / n

        def step(state, at):
            x, total = state
            z, index = at
            t = span[0] - index * dtau
            g2, rate = process.diffusion2(t), process.drift_rate(t)
            dx = (jnp.sin(3 * x) - 0.5 * x) * dtau + jnp.sqrt(g2 * dtau) * z
            total += ito_log_density_increment(score(x, t), rate * x, 2 * rate, g2, dx, dtau)
            return (x + dx, total), None

        start = jnp.asarray([0.5, -0.5])
        (x, total), _ = jax.lax.scan(step, (start, jnp.asarray(0.0)), (z, jnp.arange(n).astype(float)))
        return total - density(x, jnp.asarray(span[1])) + density(start, jnp.asarray(span[0]))

    def root_mean_square(n):
        z = jnp.asarray(np.random.default_rng(0).normal(size=(200, n, 2)))
        return jnp.sqrt((jax.vmap(error, (0, None))(z, n) ** 2).mean())

    coarse, fine = root_mean_square(64), root_mean_square(1024)
    # As the root of the step: a factor of four.
    np.testing.assert_allclose(coarse / fine, 4, rtol=0.3)


def test_a_model_has_densities_and_samples():
    model = DiffusionModel(lambda x, t: -x, VariancePreserving(), event=(2,))
    x = eqx.filter_jit(lambda m, key: m.simulate((2000,), key=key))(model, jax.random.key(0))
    assert x.shape == (2000, 2)
    np.testing.assert_allclose(x.var(0), 1, rtol=0.12)
    np.testing.assert_allclose(model.log_prob(x[:2]), jax.scipy.stats.norm.logpdf(x[:2]).sum(1), atol=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f, p, x: probability_flow_log_prob(f, p, x[:0]), "there are no samples"),
        (lambda f, p, x: probability_flow_log_prob(f, p, x, t0=1.0), "t1 must be later than t0"),
        (
            lambda f, p, x: probability_flow_log_prob(f, p, x, divergence="hutchpp"),
            "draws random directions: pass key=",
        ),
        (lambda f, p, x: probability_flow_log_prob(f, p, x, key=jax.random.key(0), divergence="no"), "unknown method"),
        (lambda f, p, x: diffusion_elbo(f, p, x[:0], key=jax.random.key(0)), "there are no samples"),
        (lambda f, p, x: diffusion_elbo(f, p, x, key=jax.random.key(0), n_times=0), "n_times must be at least 1"),
        (lambda f, p, x: diffusion_elbo(f, p, x, key=jax.random.key(0), t0=2.0), "t1 must be later than t0"),
        (lambda f, p, x: bits_per_dim(x.sum(), 0), "n_dims must be at least 1"),
        (lambda f, p, x: bits_per_dim(x.sum(), 2, 0.0), "scale must be positive"),
        (lambda f, p, x: DiffusionModel(f, p, event=(2,), t0=1.0), "t1 must be later than t0"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(lambda x, t: -x, VariancePreserving(), jnp.ones((2, 2)))
