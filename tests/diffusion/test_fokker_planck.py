import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.diffusion import EDM, VariancePreserving
from scorax.diffusion._fokker_planck import (
    fokker_planck_penalty,
    log_fokker_planck_residual,
    score_fokker_planck_residual,
)
from scorax.diffusion._gaussian_mixture_score import GaussianMixtureScore

X = np.random.default_rng(0).normal(size=(5, 2))
T = np.asarray([0.1, 0.3, 0.5, 0.7, 0.9])


def mixture(process):
    weights, means = jnp.asarray([0.4, 0.6]), jnp.asarray([[-1.0, 0.5], [1.2, -0.3]])
    return GaussianMixtureScore.isotropic(weights, means, jnp.asarray([0.3, 0.1]), process)


def of(process):
    return process.drift, process.diffusion2


def test_exact_densities_have_no_residual(x64):
    process = VariancePreserving()
    model = mixture(process)

    @jax.jit
    def run(x, t):
        log = log_fokker_planck_residual(model.log_prob, *of(process), x, t)
        return log, score_fokker_planck_residual(model.score, *of(process), x, t)

    for residual in run(jnp.asarray(X), jnp.asarray(T)):
        np.testing.assert_allclose(residual, 0, atol=1e-8)


def test_the_score_residual_is_the_gradient_of_the_log_residual(x64):
    process = VariancePreserving()

    def u(x, t):  # of no density
        return jnp.sum(jnp.sin(x) * jnp.cos(t * x[::-1])) - t * jnp.sum(x**4)

    @jax.jit
    def run(x, t):
        def one(x, t):
            return log_fokker_planck_residual(u, *of(process), x[None], t)[0]

        return jax.vmap(jax.grad(one))(x, t), score_fokker_planck_residual(jax.grad(u), *of(process), x, t)

    np.testing.assert_allclose(*run(jnp.asarray(X), jnp.asarray(T)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_matches_the_reference_residual(oracle, case, x64):
    expected = oracle("log_fokker_planck")[case]
    names = ["input", "hidden1", "hidden2", "output"]
    layers = [tuple(jnp.asarray(expected["weights"][f"{n}.{k}"]) for k in ("weight", "bias")) for n in names]

    def u(x, t):
        z = jnp.append(t, x)
        for weight, bias in layers[:-1]:
            z = jax.nn.softplus(100 * (weight @ z + bias)) / 100
        return (layers[-1][0] @ z + layers[-1][1])[0]

    @jax.jit
    def run(x, t):
        residual = log_fokker_planck_residual(u, lambda x, t: -x, jnp.ones_like, x, t)
        return jax.vmap(u)(x, t), jax.vmap(jax.grad(u))(x, t), (residual**2).mean()

    points = jnp.asarray(expected["txy"])
    found = run(points[:, 1:], points[:, 0])
    for value, name in zip(found, ("log_density", "score", "mean_squared_residual"), strict=True):
        np.testing.assert_allclose(value, expected[name], rtol=1e-6, atol=1e-9)


def test_a_function_of_time_is_taken_away_on_request(x64):
    process = EDM()
    model = mixture(process)

    @jax.jit
    def run(x, t):
        def u(x, t):
            return model.log_prob(x, t) + 3 * jnp.exp(t)

        return [log_fokker_planck_residual(u, *of(process), x, t, center=center) for center in (True, False)]

    centred, plain = run(jnp.asarray(X), jnp.asarray(0.4))
    np.testing.assert_allclose(centred, 0, atol=1e-8)
    np.testing.assert_allclose(plain, 3 * np.exp(0.4), rtol=1e-8)


def test_the_penalty_takes_points_of_the_box_and_trains():
    process, corner = EDM(), jnp.asarray([1.0, 2.0])

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def penalty(variance, offset, n):
        def u(x, t):
            total = variance + t**2
            return -0.5 * jnp.sum(x**2) / total - jnp.log(total) + 0 * t

        options = {"low": -corner, "high": corner, "t0": 0.5, "t1": 2.0, "offset": offset}
        return fokker_planck_penalty(u, *of(process), (n,), key=jax.random.key(0), **options).sum()

    # Every variance is that of some normal data.
    value, gradient = penalty(jnp.asarray(0.7), 0, 6)
    np.testing.assert_allclose(value, 0, atol=1e-9)
    assert jnp.isfinite(gradient)


def test_chunks_of_points_are_those_of_the_whole():
    def u(x, t):
        return jnp.sum(x**3) * t

    corner = jnp.ones(2)
    options = {"key": jax.random.key(3), "low": -corner, "high": corner, "t0": 0.0, "t1": 1.0}

    @jax.jit
    def run(first, second):
        return [fokker_planck_penalty(u, *of(EDM()), (n,), offset=o, **options) for n, o in ((3, first), (2, second))]

    whole, chunk = run(0, 1)
    np.testing.assert_allclose(chunk, whole[1:], rtol=1e-5)


def test_bad_input_is_refused():
    x, corner, u = jnp.ones((2, 2)), jnp.ones(2), mixture(EDM()).log_prob
    with pytest.raises(ValueError, match="there are no points"):
        log_fokker_planck_residual(u, *of(EDM()), x[:0], jnp.asarray(1.0))
    with pytest.raises(ValueError, match="pass one time for all points"):
        log_fokker_planck_residual(u, *of(EDM()), x, jnp.ones(2), center=True)
    options = {"key": jax.random.key(0), "low": -corner, "t0": 0.1}
    with pytest.raises(ValueError, match="t1 must be later"):
        fokker_planck_penalty(u, *of(EDM()), (2,), high=corner, t1=0.1, **options)
    with pytest.raises(ValueError, match="corners of the box differ"):
        fokker_planck_penalty(u, *of(EDM()), (2,), high=jnp.ones(3), t1=1.0, **options)
