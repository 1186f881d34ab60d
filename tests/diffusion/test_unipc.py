import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.diffusion import EDM, log_snr_grid, unipc
from scorax.diffusion._multistep import psi

MIXTURE = {"weights": [0.3, 0.7], "means": [[-1.0], [1.5]], "variances": [0.05, 0.2]}


@pytest.mark.parametrize("case", [0, 1, 2])
def test_matches_the_reference_sampler(oracle, mixture_score, case, x64):
    expected, process = oracle("unipc")[case], EDM()
    score = mixture_score(process, *(jnp.asarray(expected["mixture"][k]) for k in ("weights", "means", "variances")))
    times = log_snr_grid(process, int(expected["steps"]), 0.05, 20.0)
    variant = {"vary_coeff": "vary"}.get(expected["variant"], expected["variant"])
    options = {"order": int(expected["order"]), "variant": variant, "coefficients": "released"}
    x = jax.jit(lambda x_T: unipc(score, process, x_T, times, **options))(jnp.asarray(expected["x_T"]))
    np.testing.assert_allclose(x, expected["x_0"], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("order", "variant", "coefficients", "low", "high"),
    [
        pytest.param(1, "bh2", "consistent", 1.85, 2.15, marks=pytest.mark.slow),
        (2, "bh1", "consistent", 2.8, 3.3),
        (3, "bh2", "consistent", 3.0, 4.3),
        pytest.param(3, "vary", "consistent", 2.8, 4.3, marks=pytest.mark.slow),
        (3, "vary", "released", 0.8, 1.2),
    ],
)
def test_converges_with_one_order_more_than_its_predictor(mixture_score, order, variant, coefficients, low, high, x64):
    process = EDM()
    weights, means, variances = (jnp.asarray(MIXTURE[name]) for name in ("weights", "means", "variances"))
    score = mixture_score(process, weights, means, variances)

    def quantile(x, t):
        return (weights * jax.scipy.stats.norm.cdf((x - means[:, 0]) / jnp.sqrt(variances + t**2))).sum(-1)

    @functools.partial(jax.jit, static_argnums=1)
    def error(x_T, n):
        # In one dimension the flow of any density keeps each sample at its quantile.
        times = log_snr_grid(process, n, 0.1, 10.0)
        # A last step of first order, without a corrector, would hold the order of the run at two.
        options = {"order": order, "variant": variant, "coefficients": coefficients, "lower_order_final": False}
        x = unipc(score, process, x_T, times, **options)
        place = jax.vmap(quantile, (0, None))
        return jnp.abs(place(x, times[-1]) - place(x_T, times[0])).max()

    slope = np.log2(
        error(jnp.asarray(np.linspace(-8, 8, 9)[:, None]), 160)
        / error(jnp.asarray(np.linspace(-8, 8, 9)[:, None]), 320)
    )
    assert low < slope < high


def test_coefficients_keep_their_digits_at_short_steps():
    z = np.array([-3.0, -1.0, -0.99, -0.05, -0.01, -1e-4, 0.3])
    for k in range(4):
        with jax.enable_x64(True):
            # psi_k = z sum_j z^j / (j + k + 1)!, summed far enough to be exact.
            series = sum(z ** (j + 1) / np.prod(np.arange(1.0, j + k + 2)) for j in range(40))
            np.testing.assert_allclose(psi(k, jnp.asarray(z)), series, rtol=1e-12)
        np.testing.assert_allclose(psi(k, jnp.asarray(z, jnp.float32)), series, rtol=2e-6)


def test_a_step_to_no_noise_ends_at_the_clean_estimate():
    point = jnp.asarray([1.0, -2.0])
    times = jnp.asarray([40.0, 4.0, 1.0, 0.0])

    @jax.jit
    @jax.value_and_grad
    def total(x_T):
        return (unipc(lambda x, t: (point - x) / t**2, EDM(), x_T, times) ** 2).sum()

    value, gradient = total(jnp.asarray([[30.0, -50.0]]))
    np.testing.assert_allclose(value, 5.0, rtol=1e-4)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": 4}, "order must be 1, 2 or 3, not 4"),
        ({"variant": "bh3"}, "unknown variant 'bh3'"),
        ({"coefficients": "new"}, "unknown coefficients 'new'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        unipc(lambda x, t: -x, EDM(), jnp.ones((1, 1)), jnp.asarray([2.0, 1.0]), **options)
