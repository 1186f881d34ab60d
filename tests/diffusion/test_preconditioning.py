import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.diffusion import EDM, DenoiserScore, Preconditioned, VarianceExploding, VariancePreserving

LEVELS = [0.002, 0.1, 1.0, 80.0]


def nothing(x, c_noise):
    return jnp.zeros_like(x)


@pytest.mark.parametrize("case", [0, 1])
def test_matches_the_reference_denoiser(oracle, case, x64):
    expected = oracle("edm_preconditioning")[case]
    sigma, x0, noise, matrix = (jnp.asarray(expected[name]) for name in ("sigma", "x0", "noise", "net_matrix"))
    denoiser = Preconditioned(lambda x, c_noise: jnp.tanh(x @ matrix), sigma_data=expected["sigma_data"])
    for name, value in zip(("c_skip", "c_out", "c_in"), denoiser.factors(sigma), strict=False):
        np.testing.assert_allclose(value, expected[name], rtol=2e-11, err_msg=name)
    denoised = jax.jit(jax.vmap(denoiser))(x0 + sigma[:, None] * noise, sigma)
    np.testing.assert_allclose(denoised, expected["denoised"], rtol=2e-11, atol=2e-11)

    # The losses of the reference are means of squared errors of the network, which the weight turns ours into.
    network_error = denoiser.weight(sigma) * ((denoised - x0) ** 2).mean(-1)
    square, data = sigma**2, denoiser.sigma_data**2
    weights = {"karras": jnp.ones_like(sigma), "soft-min-snr": square * data / (square + data) ** 2}
    weights["snr"] = data / (square + data)
    for name, weight in weights.items():
        np.testing.assert_allclose(weight * network_error, expected[f"loss_{name}"], rtol=1e-10, err_msg=name)


def test_the_network_sees_unit_variance_and_unit_weight(dtype):
    denoiser, sigma = Preconditioned(nothing, sigma_data=0.7), jnp.asarray(LEVELS, dtype)
    _, c_out, c_in, c_noise = denoiser.factors(sigma)
    tolerance = 8 * float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(c_in**2 * (0.7**2 + sigma**2), 1, rtol=tolerance)
    np.testing.assert_allclose(denoiser.weight(sigma) * c_out**2, 1, rtol=tolerance)
    np.testing.assert_allclose(c_noise, jnp.log(sigma) / 4, rtol=tolerance)


def test_a_zero_network_is_exact_for_normal_data(dtype):
    x, sigma = jnp.asarray([1.0, -3.0], dtype), jnp.asarray(1.3, dtype)
    expected = 0.6**2 / (0.6**2 + 1.3**2) * x
    np.testing.assert_allclose(
        Preconditioned(nothing, sigma_data=0.6)(x, sigma), expected, rtol=8 * float(jnp.finfo(dtype).eps)
    )


def test_the_denoiser_is_the_identity_at_its_boundary(dtype):
    def loud(x, c_noise):
        return 100 * jnp.sin(x)

    x, sigma = jnp.asarray([1.0, -3.0], dtype), jnp.asarray(0.002, dtype)
    denoiser = Preconditioned(loud, sigma_data=0.5, boundary=0.002)
    # 0.002 is not a number of single precision: the boundary is missed by its rounding times the network's output.
    np.testing.assert_allclose(denoiser(x, sigma), x, rtol=1e-6)
    np.testing.assert_allclose(Preconditioned(loud)(x, jnp.zeros((), dtype) + 1e-30), x, rtol=1e-6)


@pytest.mark.parametrize("make", [VariancePreserving, VarianceExploding, EDM])
def test_the_score_of_an_exact_denoiser_is_the_score_of_the_noised_data(make, dtype):
    process, x, t = make(), jnp.asarray([0.4, -1.1], dtype), jnp.asarray(0.3, dtype)
    score = DenoiserScore(Preconditioned(nothing, sigma_data=0.8), process)
    expected = -x / (process.alpha(t) ** 2 * 0.64 + process.sigma(t) ** 2)
    # The two terms of the formula share their leading digits, the more the smaller the noise.
    tolerance = 16 * float(jnp.finfo(dtype).eps / process.sigma(t) ** 2)
    np.testing.assert_allclose(eqx.filter_jit(score)(x, t), expected, rtol=tolerance)


def test_only_the_network_has_parameters():
    denoiser = Preconditioned(eqx.nn.LayerNorm(2))
    assert len(jax.tree.leaves(eqx.filter(denoiser, eqx.is_inexact_array))) == 2


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match=r"sigma_data must be positive, not 0.0"):
        Preconditioned(nothing, sigma_data=0.0)
    with pytest.raises(ValueError, match=r"boundary must be a noise level, zero or more, not -1.0"):
        Preconditioned(nothing, boundary=-1.0)
