import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.diffusion import EDM, VariancePreserving
from scorax.diffusion._empirical_score import EmpiricalScore
from scorax.diffusion._flow_jacobian import flow_jacobian_singular_values
from scorax.diffusion._gaussian_score import GaussianScore
from scorax.diffusion._sphere_score import SphereScore
from scorax.score_matching._intrinsic_dimension import local_intrinsic_dimension

RNG = np.random.default_rng(5)
POINTS = RNG.normal(size=(3, 3))
SPHERE = POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)
BASIS, _ = np.linalg.qr(RNG.normal(size=(5, 5)))
VALUES = np.asarray([2.0, 0.5])
estimate = eqx.filter_jit(local_intrinsic_dimension)


def plane(process):
    """Normal data on a plane in five dimensions."""
    return GaussianScore(jnp.ones(5), jnp.asarray(BASIS[:, :2]), jnp.asarray(VALUES), process)


def test_a_sphere_has_two_dimensions_by_every_method(x64):
    model, x, t = SphereScore(EDM()), jnp.asarray(SPHERE), jnp.asarray(0.05)

    @jax.jit
    def run(x, key):
        exact, spectrum = (local_intrinsic_dimension(model, x, t, method=m) for m in ("flipd", "jacobian"))
        normals = local_intrinsic_dimension(model, x, t, method="normal_bundle", key=key)
        return exact, spectrum, normals, t**2 * jax.vmap(jax.jacfwd(model), (0, None))(x, t)

    exact, spectrum, normals, jacobian = run(x, jax.random.key(0))
    np.testing.assert_allclose(exact, 2, atol=1e-12)
    np.testing.assert_array_equal(spectrum, [2, 2, 2])
    np.testing.assert_array_equal(normals, [2, 2, 2])
    eigenvalues = np.linalg.eigvalsh(jacobian)
    np.testing.assert_allclose(eigenvalues, np.tile([-0.9975, -0.0025, -0.0025], (3, 1)), atol=5e-5)


def test_flipd_of_normal_data_at_their_mean(x64):
    process, t = VariancePreserving(), jnp.asarray(0.02)
    level = process.sigma(t) / process.alpha(t)

    @jax.jit
    def run(x):
        flipd = local_intrinsic_dimension(plane(process), x, t, process=process)
        return flipd, local_intrinsic_dimension(plane(process), x, t, method="jacobian", process=process)

    flipd, spectrum = run(jnp.ones((1, 5)))
    np.testing.assert_allclose(flipd, [(VALUES / (VALUES + level**2)).sum()], rtol=1e-9)
    np.testing.assert_array_equal(spectrum, [2])


def test_the_estimated_divergence_has_the_mean_of_the_exact_one():
    model, t = SphereScore(EDM()), jnp.asarray(0.1)
    x = jnp.asarray(np.tile(SPHERE[:1], (500, 1)), jnp.float32)
    estimates = estimate(model, x, t, key=jax.random.key(0), n_probes=1)
    assert abs(estimates.mean() - 2) < 5 * estimates.std() / 500**0.5 + 1e-5
    assert estimates.std() > 1e-3


@pytest.mark.slow  # a reproduction: a rolled sheet in five dimensions, of which there are but samples
def test_a_swiss_roll_has_two_dimensions(x64):
    rng = np.random.default_rng(0)
    angle = 1.5 * np.pi * (1 + 2 * rng.random(2000))
    roll = np.stack([angle * np.cos(angle), 21 * rng.random(2000), angle * np.sin(angle)], 1) / 10
    data = jnp.asarray(roll @ np.linalg.qr(rng.normal(size=(5, 5)))[0][:3])
    model, t = EmpiricalScore(data, EDM()), jnp.asarray(0.15)

    @jax.jit
    def run(x, key):
        methods = ("flipd", "jacobian", "normal_bundle")
        return [jnp.median(local_intrinsic_dimension(model, x, t, method=m, key=key)) for m in methods]

    # At a quarter of the distance between turns; points at the edge count less. Measured medians: 1.80, 2, 2.
    flipd, spectrum, normals = run(data[:100], jax.random.key(0))
    assert abs(flipd - 2) < 0.4
    assert spectrum == normals == 2


def test_a_turning_part_of_the_score_does_not_move_the_spectrum(x64):
    process, t = EDM(), jnp.asarray(0.02)
    turn = np.zeros((5, 5))
    turn[0, 4], turn[4, 0] = 3e3, -3e3
    turned = eqx.filter_jit(
        lambda x: local_intrinsic_dimension(
            lambda x, t: plane(process)(x, t) + jnp.asarray(turn) @ (x - 1), x, t, method="jacobian"
        )
    )
    np.testing.assert_array_equal(turned(jnp.ones((1, 5))), [2])


def test_singular_values_of_the_flow_of_normal_data(x64):
    process, model = EDM(), plane(EDM())
    ts = jnp.asarray([10.0, 1.0, 0.1])

    @jax.jit
    def run(x):
        return flow_jacobian_singular_values(model, process, x, ts, rtol=1e-8, atol=1e-10), model.flow(x, ts[0], ts[2])

    found, end = run(3.0 * jnp.ones(5))
    values = np.append(VALUES, np.zeros(3))
    expected = np.sqrt((np.asarray(ts)[:, None] ** 2 + values) / (100 + values))
    np.testing.assert_allclose(found.singular_values, -np.sort(-expected, axis=1), rtol=1e-6)
    np.testing.assert_allclose(found.x[-1], end, rtol=1e-6)
    assert found.intrinsic_dimension()[-1] == 2


@pytest.mark.slow  # compiles two solvers of ten equations
def test_a_gauge_field_leaves_the_moments_of_the_flow_where_they_are(x64):
    # r = A C_t⁻¹ (x - mu): its flow maps N(mu, C_T) to N(mu, C_t), though not sample by sample.
    process, values = EDM(), jnp.asarray([2.0, 0.5])
    model = GaussianScore(jnp.asarray([1.0, -1.0]), jnp.eye(2), values, process)
    turn = jnp.asarray([[0.0, 0.3], [-0.3, 0.0]])

    def gauge(x, t):
        return model(x, t) + turn @ ((x - model.mean) / (values + t**2))

    def gradient(x, t):
        return model(x, t) - 0.3 * (x - model.mean) / (values + t**2)

    ts = jnp.asarray([5.0, 0.5])

    @jax.jit
    def covariances(x):
        return [_linear_map(field, process, x, ts) for field in (gauge, gradient)]

    start, end = values + 25.0, values + 0.25
    with_gauge, with_error = covariances(jnp.asarray([[1.0, 0.0], [0.0, 1.0]]) + model.mean[None])
    np.testing.assert_allclose(with_gauge @ np.diag(start) @ with_gauge.T, np.diag(end), atol=1e-6)
    assert np.abs(with_gauge - np.diag(np.diag(with_gauge))).max() > 1e-2
    assert np.abs(with_error @ np.diag(start) @ with_error.T - np.diag(end)).max() > 0.1


def _linear_map(field, process, x, ts):
    """The matrix of an affine flow about its fixed point, from where unit steps go."""
    ends = jax.vmap(lambda x: flow_jacobian_singular_values(field, process, x, ts, rtol=1e-9, atol=1e-11).x[-1])(x)
    return (ends - (x - jnp.eye(2))).T


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "pca"}, "unknown method 'pca'"),
        ({"method": "normal_bundle"}, "draws random numbers here: pass key="),
        ({"method": "flipd", "n_probes": 1}, "draws random numbers here: pass key="),
        ({"method": "normal_bundle", "key": jax.random.key(0), "n_probes": 2}, "2 noised copies do not span 3"),
    ],
)
def test_bad_input_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        local_intrinsic_dimension(SphereScore(EDM()), jnp.ones((2, 3)), jnp.asarray(0.1), **options)


def test_a_flow_needs_two_times():
    with pytest.raises(ValueError, match="a flow needs at least two times"):
        flow_jacobian_singular_values(plane(EDM()), EDM(), jnp.ones(5), jnp.asarray([1.0]))
