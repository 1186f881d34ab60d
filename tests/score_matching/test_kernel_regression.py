import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.diffusion import AbstractProcess, VariancePreserving
from scorax.diffusion._gaussian_mixture_score import GaussianMixtureScore
from scorax.score_matching import denoising_score_matching_loss
from scorax.score_matching._kernel_regression import (
    BoundedScore,
    early_stopping_time,
    kernel_gd_filter,
    kernel_regression_score,
    project_to_ball,
    regression_inputs,
)
from scorax.score_matching._ntk import arc_cosine_kernel, empirical_ntk, ntk_relu

RNG = np.random.default_rng(6)
Z = RNG.normal(size=(6, 3))


class Relaxation(AbstractProcess):
    """`dx = -x/2 dt + dW`, which ends at unit variance."""

    def log_alpha(self, t):
        return -0.5 * t

    def sigma(self, t):
        return jnp.sqrt(-jnp.expm1(-t))

    def drift_rate(self, t):
        return jnp.full_like(t, -0.5)

    def diffusion2(self, t):
        return jnp.ones_like(t)

    def inverse_log_snr(self, log_snr):
        return jnp.log1p(jnp.exp(-2 * log_snr))

    @property
    def prior_scale(self):
        return jnp.asarray(1.0)


class Wide(eqx.Module):
    """Rectified units with trained inputs and fixed signs, scaled by the root of their number."""

    weight: jax.Array
    signs: jax.Array

    def __call__(self, z):
        signs = jax.lax.stop_gradient(self.signs)
        return signs @ jax.nn.relu(self.weight @ z) / self.weight.shape[0] ** 0.5


def test_the_tangent_kernel_of_itself_and_of_opposites(dtype):
    z = jnp.asarray(Z, dtype)
    same, opposite, zero = jax.jit(lambda z: (ntk_relu(z, z), ntk_relu(z, -z), ntk_relu(z, 0 * z)))(z)
    tolerance = {"rtol": 1e-3 if dtype == jnp.float32 else 1e-7, "atol": 1e-3 if dtype == jnp.float32 else 1e-7}
    np.testing.assert_allclose(jnp.diagonal(same), (Z**2).sum(1) / 2, **tolerance)
    np.testing.assert_allclose(jnp.diagonal(opposite), 0, **tolerance)  # an angle has the root of the digits
    np.testing.assert_array_equal(zero, 0)
    assert np.linalg.eigvalsh(np.asarray(same)).min() > 0


@pytest.mark.parametrize("order", [0, 1, 2])
def test_arc_cosine_kernels_are_expectations_over_units(order, x64):
    # In the plane, w = r (cos a, sin a): E r^2n = 2^n n!, and the mean over angles on a fine grid.
    angle = (np.arange(100_000) + 0.5) * 2 * np.pi / 100_000
    units = np.maximum(np.stack([np.cos(angle), np.sin(angle)], 1) @ Z[:, :2].T, 0)
    units = (units > 0).astype(float) if order == 0 else units**order
    expected = 2 * 2**order * [1, 1, 2][order] * units.T @ units / len(angle)
    z = jnp.asarray(Z[:, :2])
    found, tangent = jax.jit(lambda z: (arc_cosine_kernel(z, z, order=order), ntk_relu(z, z)))(z)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    if order == 0:
        np.testing.assert_allclose(tangent, 0.5 * expected * (Z[:, :2] @ Z[:, :2].T), rtol=1e-4, atol=1e-4)


def test_gradients_are_finite_between_equal_and_zero_vectors():
    z = jnp.asarray([[1.0, 2.0], [1.0, 2.0], [-2.0, -4.0], [0.0, 0.0]])

    @jax.jit
    def gradients(z):
        kernels = [ntk_relu, arc_cosine_kernel, lambda z, y: arc_cosine_kernel(z, y, order=2)]
        return [jax.grad(lambda z, k=k: k(z, z).sum())(z) for k in kernels]

    assert all(jnp.isfinite(gradient).all() for gradient in gradients(z))


def test_a_wide_layer_has_the_tangent_kernel(x64):
    width, z = 4096, jnp.asarray(Z)
    net = Wide(jnp.asarray(RNG.normal(size=(width, 3))), jnp.asarray(RNG.choice([-1.0, 1.0], size=(2, width))))
    found, expected = jax.jit(lambda z: (empirical_ntk(net, z, z[:4]), ntk_relu(z, z[:4])))(z)
    assert found.shape == (6, 4, 2, 2)
    # Standard error of a mean of 4096 terms of about unit size.
    np.testing.assert_allclose(found[..., 0, 0], expected, atol=0.15)
    np.testing.assert_allclose(found[..., 0, 0], found[..., 1, 1], rtol=1e-10)
    np.testing.assert_allclose(found[..., 0, 1], 0, atol=0.2)


@pytest.mark.parametrize("n_steps", [0, 1, 2, 7])
def test_the_filter_is_gradient_descent(n_steps, dtype):
    values, step = np.asarray([0.0, 1e-9, 0.02, 1.0, 2.0, 3.4]), 0.5
    total = np.zeros(6)
    for _ in range(n_steps):
        total = total + step * (1 - values * total)
    found = jax.jit(kernel_gd_filter)(jnp.asarray(values, dtype), step, n_steps)
    np.testing.assert_allclose(found, total, rtol=32 * float(jnp.finfo(dtype).eps), atol=1e-30)


def test_the_filter_in_its_limits(x64):
    values = jnp.asarray([0.0, 1e-3, 0.5, 1.9])
    forever, slope = jax.jit(lambda v: (kernel_gd_filter(v, 1.0, 10**6), jax.jacfwd(kernel_gd_filter)(v, 0.5, 3)))(
        values
    )
    np.testing.assert_allclose(forever, [1e6, 1e3, 2, 1 / 1.9], rtol=1e-9)
    # The filter is 0.5 (3 - 3 r + r²) with r = λ / 2, so its derivative is 0.25 (2 r - 3); zero is a kink there.
    np.testing.assert_allclose(jnp.diagonal(slope)[1:], 0.25 * (values[1:] - 3), rtol=1e-9)
    with pytest.raises(RuntimeError, match="where descent diverges: lower step"):
        kernel_gd_filter(values, 1.1, 3)


@pytest.mark.parametrize("noise", [0.02, 0.3])
def test_the_time_to_stop_is_the_first_that_breaks_the_rule(noise, dtype):
    values, step = RNG.uniform(size=9) ** 4, 0.7

    def breaks(n):
        time = step * n
        return np.sqrt(np.minimum(values, 1 / time).mean()) > 1 / (2 * np.e * noise * time)

    expected = next(n for n in range(1, 10**6) if breaks(n)) - 1
    assert jax.jit(early_stopping_time)(jnp.asarray(values, dtype), noise, step) == expected


def test_a_bounded_score_is_fitted_by_weighted_regression(x64):
    process, radius, t = VariancePreserving(), 1.5, jnp.asarray([0.2, 0.5, 0.9])
    x0, noise = (jnp.asarray(RNG.normal(size=(3, 2))) for _ in range(2))

    def net(weight):
        return lambda x, t: jnp.tanh(weight @ x) * (2 + t)

    def by_score(weight):
        score = BoundedScore(net(weight), radius, process)
        return denoising_score_matching_loss(score, process, x0, t, noise=noise, weighting="uniform").sum()

    def by_regression(weight):
        def example(x0, t, e):
            alpha, sigma = process.alpha(t), process.sigma(t)
            label = project_to_ball(net(weight)(alpha * x0 + sigma * e, t), radius) - x0
            return 0.5 * (alpha / sigma**2) ** 2 * jnp.sum(label**2)

        return jax.vmap(example)(x0, t, noise).sum()

    (value, gradient), (expected, slope) = jax.jit(
        lambda w: (jax.value_and_grad(by_score)(w), jax.value_and_grad(by_regression)(w))
    )(jnp.asarray(RNG.normal(size=(2, 2))))
    np.testing.assert_allclose(value, expected, rtol=1e-10)
    np.testing.assert_allclose(gradient, slope, rtol=1e-9, atol=1e-10)


def test_points_within_the_ball_stay_where_they_are(dtype):
    gradient = jax.jit(jax.grad(lambda x: project_to_ball(x, 1.0).sum()))
    np.testing.assert_array_equal(project_to_ball(jnp.asarray([0.3, 0.4], dtype), 1.0), jnp.asarray([0.3, 0.4], dtype))
    np.testing.assert_array_equal(gradient(jnp.zeros(2, dtype)), [1, 1])
    outside = gradient(jnp.asarray([3.0, 4.0], dtype))
    np.testing.assert_allclose(outside, [(16 - 12) / 125, (9 - 12) / 125], rtol=1e-5)


@pytest.mark.parametrize(("n_steps", "tolerance"), [(1, 1e-10), (2**30, 1e-6)])
def test_one_step_and_all_of_them(n_steps, tolerance, x64):
    process, t = Relaxation(), jnp.asarray(RNG.uniform(0.5, 2, size=6))
    x0, key = jnp.asarray(Z[:, :2]), jax.random.key(0)

    @jax.jit
    def run(x0, t):
        noised, _ = jax.vmap(lambda x, t, i: process.perturb(x, t, key=jax.random.fold_in(key, i)))(
            x0, t, jnp.arange(6)
        )
        score = kernel_regression_score(process, x0, t, key=key, n_steps=n_steps, step=0.1)
        inputs = regression_inputs(noised, t)
        return (
            jax.vmap(score.denoise)(noised, t),
            0.1 * ntk_relu(inputs, inputs) @ x0 / 6,
            noised,
            jax.vmap(score)(noised, t),
        )

    found, once, noised, scores = run(x0, t)
    np.testing.assert_allclose(found, once if n_steps == 1 else x0, rtol=tolerance, atol=tolerance)
    alpha, sigma = process.alpha(t)[:, None], process.sigma(t)[:, None]
    np.testing.assert_allclose(scores, (alpha * found - noised) / sigma**2, rtol=1e-10)


def test_a_wide_network_trains_by_its_kernel():
    width, n, step, n_steps = 8192, 16, 0.05, 50
    rng = np.random.default_rng(1)
    z, y, test = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((n, 3), (n, 1), (20, 3)))
    first, signs = (
        jnp.asarray(a, jnp.float32) for a in (rng.normal(size=(width, 3)), rng.choice([-1.0, 1.0], (1, width)))
    )

    @jax.jit
    def run(first):
        def outputs(weight, z):
            # Less what it begins with, so that descent starts from zero.
            return jax.vmap(Wide(weight, signs))(z) - jax.vmap(Wide(first, signs))(z)

        def descend(weight, _):
            return weight - step * jax.grad(lambda w: 0.5 * ((outputs(w, z) - y) ** 2).sum())(weight), None

        trained = jax.lax.scan(descend, first, length=n_steps)[0]
        values, vectors = jnp.linalg.eigh(ntk_relu(z, z))
        kept = vectors @ (kernel_gd_filter(values, step, n_steps)[:, None] * (vectors.T @ y))
        return outputs(trained, test), ntk_relu(test, z) @ kept

    network, kernel = run(first)
    # Published: 3e-2 at most, 7e-3 measured.
    assert jnp.linalg.norm(network - kernel) < 3e-2 * jnp.linalg.norm(kernel)


@pytest.mark.slow  # a reproduction: three fits of 256 samples
def test_stopping_early_beats_interpolation(x64):
    process, n, seed = Relaxation(), 256, jax.random.key(0)
    means = jnp.asarray([[-1.5, 0.0], [1.0, 1.0], [0.5, -1.5]])
    model = GaussianMixtureScore.isotropic(jnp.full(3, 1 / 3), means, jnp.full(3, 0.1), process)

    @jax.jit
    def errors(key):
        keys = jax.random.split(key, 6)
        times = [0.2 + 1.8 * jax.random.uniform(k, (n,)) for k in keys[:2]]
        clean = [model.simulate((n,), key=k) for k in keys[2:4]]
        noised, _ = jax.vmap(lambda x, t, key: process.perturb(x, t, key=key))(
            clean[1], times[1], jax.random.split(keys[4], n)
        )
        truth = jax.vmap(model.denoise)(noised, times[1])

        def error(n_steps):
            fit = kernel_regression_score(process, clean[0], times[0], key=keys[5], n_steps=n_steps)
            return ((jax.vmap(fit.denoise)(noised, times[1]) - truth) ** 2).mean(), fit.n_steps

        return [error(n_steps) for n_steps in (None, 100, 2**30)]

    early, best, interpolant = errors(seed)
    # Four published seeds: ratios .48, .61, .48, .52 with the rule, which stops after 2 steps; .17 to .21 at 100.
    assert early[0] < 0.7 * interpolant[0]
    assert best[0] < early[0]
    assert 1 <= early[1] <= 10


def test_bad_input_is_refused():
    process, x, t, key = VariancePreserving(), jnp.ones((3, 2)), jnp.ones(3), jax.random.key(0)
    with pytest.raises(ValueError, match="radius must be positive"):
        BoundedScore(lambda x, t: x, 0.0, process)
    with pytest.raises(ValueError, match="order must be 0, 1 or 2"):
        arc_cosine_kernel(x, x, order=3)
    with pytest.raises(ValueError, match="needs at least two samples"):
        kernel_regression_score(process, x[:1], t[:1], key=key)
    with pytest.raises(ValueError, match="n_steps must be zero or more"):
        kernel_regression_score(process, x, t, key=key, n_steps=-1)
