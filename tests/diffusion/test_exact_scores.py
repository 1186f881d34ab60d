import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from scorax.diffusion import EDM, VariancePreserving, edm_grid, heun
from scorax.diffusion._empirical_score import EmpiricalScore
from scorax.diffusion._gaussian_mixture_score import GaussianMixtureScore
from scorax.diffusion._gaussian_score import GaussianScore
from scorax.diffusion._sphere_score import SphereScore, langevin_ratio, log_sinh_excess
from scorax.diffusion._teleportation import explained_variance

RNG = np.random.default_rng(3)
BASIS, _ = np.linalg.qr(RNG.normal(size=(4, 4)))
VALUES = np.asarray([2.0, 0.7, 0.1, 0.0])
MEAN = np.asarray([0.3, -1.0, 2.0, 0.5])
COVARIANCE = BASIS * VALUES @ BASIS.T
POINTS = RNG.normal(size=(12, 4)) * [1.5, 1.0, 0.5, 0.2] + MEAN
QUERIES = RNG.normal(size=(5, 4)) * 1.5


def gaussian(process, dtype=jnp.float64, rank=4):
    return GaussianScore(
        jnp.asarray(MEAN, dtype), jnp.asarray(BASIS[:, :rank], dtype), jnp.asarray(VALUES[:rank], dtype), process
    )


def mixture(process, dtype=jnp.float64):
    weights = jnp.asarray([0.5, 0.2, 0.3], dtype)
    means = jnp.asarray(POINTS[:3], dtype)
    vectors = jnp.asarray(np.stack([BASIS[:, :2], BASIS[:, 1:3], BASIS[:, 2:]]), dtype)
    values = jnp.asarray([[1.0, 0.3], [0.2, 0.1], [0.5, 0.0]], dtype)
    return GaussianMixtureScore(weights, means, vectors, values, process)


def make(name, process, dtype=jnp.float64):
    if name == "empirical":
        return EmpiricalScore(jnp.asarray(POINTS, dtype), process, chunk=5)
    if name == "sphere":
        return SphereScore(process, jnp.asarray(1.3, dtype))
    return {"gaussian": gaussian, "mixture": mixture}[name](process, dtype)


def queries(name, dtype=jnp.float64):
    return jnp.asarray(QUERIES[:, :3] if name == "sphere" else QUERIES, dtype)


LAWS = [pytest.param("gaussian", marks=pytest.mark.slow), "mixture", "empirical", "sphere"]
batch = eqx.filter_jit(lambda method, x, *t: jax.vmap(method, (0, *[None] * len(t)))(x, *t))


@eqx.filter_jit
def everything(model, x, t):
    """Scores, denoised samples and log-densities of a batch."""
    return tuple(jax.vmap(method, (0, None))(x, t) for method in (model.score, model.denoise, model.log_prob))


def assert_equal_laws(first, second, x, t):
    """To the digits of double precision, with one compilation for both."""
    both = eqx.filter_jit(lambda models, x, t: [everything(model, x, t) for model in models])((first, second), x, t)
    for found, expected in zip(*both, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", LAWS)
def test_the_score_is_the_gradient_of_the_density_and_gives_the_denoiser(name, x64):
    process, t = VariancePreserving(), jnp.asarray(0.4)

    @eqx.filter_jit
    def run(model, x):
        gradient = jax.vmap(jax.grad(model.log_prob), (0, None))(x, t)
        return gradient, *(jax.vmap(f, (0, None))(x, t) for f in (model.score, model, model.denoise))

    x = queries(name)
    gradient, score, called, clean = run(make(name, process), x)
    np.testing.assert_allclose(score, gradient, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(called, score)
    # Tweedie's formula.
    alpha, sigma = process.alpha(t), process.sigma(t)
    np.testing.assert_allclose(alpha * clean, x + sigma**2 * score, rtol=1e-9, atol=1e-9)


@pytest.mark.slow  # compiles the draw of a mixture of full components
def test_samples_of_a_mixture_have_its_moments(x64):
    process, t, n = VariancePreserving(), jnp.asarray(0.3), 4000
    model = mixture(process)
    x = jax.jit(lambda key: model.simulate((n,), t, key=key))(jax.random.key(0))
    weights, means = np.asarray(model.weights), np.asarray(model.means)
    covariances = np.einsum("kdr,kr,ker->kde", model.eigenvectors, model.eigenvalues, model.eigenvectors)
    alpha, sigma = process.alpha(t), process.sigma(t)
    mean = weights @ means
    within = np.einsum("k,kde->de", weights, covariances)
    covariance = alpha**2 * (within + (weights[:, None] * means).T @ means - np.outer(mean, mean)) + sigma**2 * np.eye(
        4
    )
    spread = np.sqrt(np.diag(covariance))
    # Within five standard errors; those of products of normal variables, of the scale of the entries.
    np.testing.assert_array_less(np.abs(x.mean(0) - alpha * mean), 5 * spread / n**0.5)
    np.testing.assert_array_less(np.abs(np.cov(x.T) - covariance), 5 * 1.5 * np.outer(spread, spread) / n**0.5)


def test_chunks_of_samples_are_those_of_the_whole():
    data = make("empirical", EDM(), jnp.float32)

    @jax.jit
    def run(key):
        chunk = data.simulate((2,), 0.5, key=key, offset=2)
        return data.simulate((4,), 0.5, key=key), chunk, data.simulate((200,), key=key)

    whole, chunk, clean = run(jax.random.key(2))
    np.testing.assert_allclose(chunk, whole[2:], rtol=1e-6)
    # Each of the twelve points, and nothing else: the chance to miss one in 200 draws is 3e-7.
    which = np.abs(np.asarray(clean)[:, None] - POINTS[None]).max(-1) < 1e-6
    assert (which.sum(1) == 1).all()
    assert which.any(0).all()


@pytest.mark.parametrize("case", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_matches_the_reference_scores(oracle, case, x64):
    expected, process = oracle("gaussian_scores")[case], EDM()
    arrays = [jnp.asarray(expected[k]) for k in ("weights", "means", "U", "eigenvalues", "x", "data")]
    rank, n = expected["rank"], len(expected["data"])

    @jax.jit
    def run(arrays, t):
        weights, means, vectors, values, x, data = arrays
        thin = vectors[:, :, :rank], values[:, :rank]
        full = GaussianMixtureScore(weights, means, vectors, values, process)
        low = GaussianMixtureScore(weights, means, *thin, process)
        first = GaussianScore(means[0], thin[0][0], thin[1][0], process)
        points = GaussianMixtureScore.isotropic(jnp.full(n, 1 / n), data, jnp.zeros(n), process)
        exact, fitted = EmpiricalScore(data, process, chunk=5), GaussianScore.from_data(data, process)
        methods = full.log_prob, full, low, first, exact, points.responsibilities, fitted
        found = [jax.vmap(method, (0, None))(x, t) for method in methods]
        return (
            found,
            explained_variance(exact, fitted, x, t),
            jax.vmap(fitted, (0, None))(x, expected["sigma_expansion"]),
        )

    found, explained, far = run(arrays, jnp.asarray(expected["sigma"]))
    names = "lowrank_score", "first_component_lowrank_gaussian_score", "delta_mixture_score", "delta_mixture_weights"
    references = [*expected["full"].values(), *(expected[name] for name in names), expected["gaussian_score_of_data"]]
    for value, reference in zip(found, references, strict=True):
        np.testing.assert_allclose(value, reference, rtol=1e-9, atol=1e-9)  # the numbers hold 12 digits
    np.testing.assert_allclose(explained, expected["explained_var"], rtol=1e-9)
    # The series in C / sigma² alternates: at this noise each term is much smaller than the one before.
    first, second = (np.abs(far - np.asarray(expected[f"{k}_order"])).max() for k in ("first", "second"))
    assert second < 0.6 * first


def test_low_rank_equals_dense(x64):
    t, x = jnp.asarray(0.6), queries("gaussian")
    low, mean, noised = gaussian(EDM(), rank=3), jnp.asarray(MEAN), jnp.asarray(COVARIANCE) + 0.36 * jnp.eye(4)
    assert_equal_laws(low, gaussian(EDM()), x, t)  # the fourth variance is zero
    by_matrix = GaussianScore.from_covariance(mean, jnp.asarray(COVARIANCE), EDM())
    found = everything(by_matrix, x, t)
    deviation = np.asarray(x - mean[None])
    np.testing.assert_allclose(found[0], -np.linalg.solve(noised, deviation.T).T, rtol=1e-9)
    expected = scipy.stats.multivariate_normal(MEAN, noised).logpdf(x)
    np.testing.assert_allclose(found[2], expected, rtol=1e-10)


def test_a_mixture_of_one_is_its_component(x64):
    process = VariancePreserving()
    parts = (jnp.asarray(part)[None] for part in (MEAN, BASIS[:, :3], VALUES[:3]))
    one = GaussianMixtureScore(jnp.ones(1), *parts, process)
    assert_equal_laws(one, gaussian(process, rank=3), queries("mixture"), jnp.asarray(0.2))


@pytest.mark.parametrize("chunk", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_a_data_set_is_a_mixture_of_points_however_it_is_chunked(chunk, x64):
    weights, x = jnp.arange(1.0, 13) / 78, queries("empirical")
    points = GaussianMixtureScore.isotropic(weights, jnp.asarray(POINTS), jnp.zeros(12), EDM())
    data = EmpiricalScore(jnp.asarray(POINTS), EDM(), weights=weights, chunk=chunk)
    assert_equal_laws(data, points, x, jnp.asarray(0.5))


def test_a_fit_is_maximum_likelihood_with_fewer_rows_than_entries(x64):
    x = RNG.normal(size=(3, 2, 4))

    @jax.jit
    def run(x):
        fits = [GaussianScore.from_data(x, EDM()), GaussianScore.from_data(x, EDM(), rank=1, shrinkage=0.25)]
        point = jax.vmap(GaussianScore.from_data(x[:1], EDM()), (0, None))(x, jnp.asarray(2.0))
        return fits, point, jax.vmap(fits[1], (0, None))(x, jnp.asarray(0.0))  # no variance is zero: no noise is needed

    (model, shrunk), point, clean = run(jnp.asarray(x))
    flat, vectors, values = x.reshape(3, 8), np.asarray(model.eigenvectors), np.asarray(model.eigenvalues)
    assert values.shape == (2,)
    covariance = vectors * values @ vectors.T
    np.testing.assert_allclose(covariance, np.cov(flat.T, bias=True), atol=1e-12)
    np.testing.assert_allclose(model.mean, x.mean(0), rtol=1e-12)
    level = 0.25 * np.trace(covariance) / 8
    np.testing.assert_allclose(shrunk.eigenvalues, 0.75 * values[:1] + level, rtol=1e-12)
    np.testing.assert_allclose(shrunk.rest, level, rtol=1e-12)
    leading = vectors[:, :1] * values[:1] @ vectors[:, :1].T
    expected = -np.linalg.solve(0.75 * leading + level * np.eye(8), (flat - flat.mean(0)).T).T
    np.testing.assert_allclose(clean.reshape(3, 8), expected, rtol=1e-9)
    np.testing.assert_allclose(point, (x[:1] - x) / 4, rtol=1e-12)


def test_the_flow_composes_and_keeps_the_law(x64):
    model, x = gaussian(VariancePreserving(), rank=3), queries("gaussian")

    @jax.jit
    def run(x, a, b, c):
        flow = jax.vmap(model.flow, (0, None, None))
        direct = flow(x, a, c)
        derivatives = jax.jacfwd(model.flow)(x[0], a, c), *(jax.jacfwd(model.score)(x[0], t) for t in (a, c))
        return direct, flow(flow(x, a, b), b, c), flow(direct, c, a), *derivatives

    direct, composed, back, matrix, start, end = run(x, *(jnp.asarray(t) for t in (0.9, 0.5, 0.1)))
    np.testing.assert_allclose(composed, direct, rtol=1e-10)
    np.testing.assert_allclose(back, x, rtol=1e-9)
    # It is affine, and its matrix carries the covariance of one time to that of the other.
    np.testing.assert_allclose(matrix @ jnp.linalg.inv(-start) @ matrix.T, jnp.linalg.inv(-end), rtol=1e-9, atol=1e-12)


def test_heun_follows_the_flow(x64):
    process, x = EDM(), 10 * queries("gaussian")
    model = gaussian(process, rank=3)
    times = edm_grid(401, 0.1, 10.0)[:-1]
    reached = jax.jit(lambda x: heun(model, process, x, times))(x)
    np.testing.assert_allclose(reached, batch(model.flow, x, times[0], times[-1]), atol=1e-4)  # see the order test


def test_single_precision_at_the_least_noise():
    # The form of the paper, which subtracts before it divides by sigma², is off by 7e-4 here.
    d, rng = 16, np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(d, d)))
    values, mean, z = np.linspace(0.01, 1, d), rng.normal(size=d), rng.normal(size=(20, d))
    for rank in (d, 12):
        spread = np.where(np.arange(d) < rank, values, 0) + 0.002**2
        x = mean + (z * np.sqrt(spread)) @ basis.T
        exact = -((x - mean) @ basis / spread) @ basis.T
        model = GaussianScore(*(jnp.asarray(a, jnp.float32) for a in (mean, basis[:, :rank], values[:rank])), EDM())
        found = batch(model.score, jnp.asarray(x, jnp.float32), jnp.asarray(0.002, jnp.float32))
        # Rounding the samples themselves to single precision moves the scores by eps |x| / sigma² of the off-span part.
        rounded = np.asarray(jnp.asarray(x, jnp.float32), np.float64)
        centre = np.asarray(jnp.asarray(mean, jnp.float32), np.float64)
        exact = -((rounded - centre) @ basis / spread) @ basis.T
        error = np.abs(found - exact).max() / np.abs(exact).max()
        assert error < (1e-5 if rank == d else 3e-4), (rank, error)


def test_a_data_set_far_from_the_origin_keeps_its_digits_at_small_noise():
    # Exponents from products of uncentred samples would be off by eps 1000² / 2 sigma² = 2400.
    rng, sigma = np.random.default_rng(1), 0.005
    data = rng.normal(size=(30, 6))
    x = data[:4] + sigma * rng.normal(size=(4, 6))
    exponent = -0.5 * ((x[:, None] - data[None]) ** 2).sum(-1) / sigma**2
    weights = np.exp(exponent - exponent.max(1, keepdims=True))
    expected = (weights / weights.sum(1, keepdims=True)) @ data
    for shift in (0.0, 8.0):
        model = EmpiricalScore(jnp.asarray(data + shift, jnp.float32), EDM(), chunk=8)
        found = batch(model.denoise, jnp.asarray(x + shift, jnp.float32), jnp.asarray(sigma, jnp.float32))
        np.testing.assert_allclose(found, expected + shift, atol=2e-6)


def test_a_batch_may_mix_times(x64):
    # One query asks for differences (in double precision below a noise level of 2e-6), the others do not.
    model = EmpiricalScore(jnp.asarray(POINTS), EDM(), chunk=5)
    x, t = jnp.asarray(POINTS[:3] + np.asarray([[1e-7], [0.1], [1.0]])), jnp.asarray([1e-7, 0.3, 2.0])

    @jax.jit
    def run(x, t):
        return jax.vmap(model.denoise)(x, t), jnp.stack([model.denoise(x[i], t[i]) for i in range(3)])

    together, alone = run(x, t)
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    np.testing.assert_allclose(together[0], POINTS[0], rtol=1e-12)


@pytest.mark.parametrize("name", ["empirical", "sphere"])
def test_gradients_are_finite_at_small_noise(name):
    model, x, t = make(name, EDM(), jnp.float32), queries(name, jnp.float32), jnp.asarray(1e-3)

    @eqx.filter_jit
    @eqx.filter_grad
    def total(model, x):
        return jax.vmap(model.denoise, (0, None))(x, t).sum()

    gradient = total(model, x)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_the_sphere_at_its_centre_and_in_the_limits(dtype):
    model, origin = SphereScore(EDM(), jnp.asarray(1.0, dtype)), jnp.zeros(3, dtype)
    t = jnp.asarray(0.5, dtype)
    # Around the centre the denoiser is x radius² / 3 sigma², so the score's Jacobian is (1 / 3 sigma² - 1) / sigma².
    jacobian = jax.jit(jax.jacfwd(model.score))(origin, t)
    np.testing.assert_allclose(jacobian, (4 / 3 - 1) * 4 * np.eye(3), atol=64 * float(jnp.finfo(dtype).eps))
    z = jnp.asarray([0.0, 0.3, 1.0, 40.0, 400.0, 1e4], dtype)
    ratio, slope = jax.jit(lambda z: (langevin_ratio(z), jax.vmap(jax.grad(langevin_ratio))(z)))(z)
    assert jnp.isfinite(slope).all()
    expected = [1 / 3, *((1 / np.tanh(v) - 1 / v) / v for v in np.asarray(z[1:], float))]
    np.testing.assert_allclose(ratio, expected, rtol=64 * float(jnp.finfo(dtype).eps))
    below = jax.jit(log_sinh_excess)(z[:4])
    exact = [0.0, *(np.log(np.sinh(v) / v) - v for v in np.asarray(z[1:4], float))]
    np.testing.assert_allclose(below, exact, rtol=64 * float(jnp.finfo(dtype).eps), atol=1e-30)


def test_the_series_meets_the_closed_form(x64):
    # Both branches just on either side of the change, at the same argument.
    z = jnp.asarray([0.3 - 1e-15, 0.3])
    assert abs(langevin_ratio(z)[0] - langevin_ratio(z)[1]) < 2e-14
    assert abs(log_sinh_excess(z)[0] - log_sinh_excess(z)[1]) < 4e-15


@pytest.mark.parametrize("name", ["empirical", "sphere", "mixture"])
def test_a_density_without_noise_is_an_error(name):
    model, x = make(name, EDM(), jnp.float32), queries(name, jnp.float32)
    with pytest.raises(RuntimeError, match="no density without noise"):
        model.score(x[0], jnp.asarray(0.0))


def test_bad_input_is_refused():
    process, x = EDM(), jnp.ones((3, 2))
    with pytest.raises(ValueError, match=r"needs eigenvectors of shape \(2, 1\)"):
        GaussianScore(jnp.ones(2), jnp.eye(2), jnp.ones(1), process)
    with pytest.raises(ValueError, match=r"does not fit a mean of shape \(2,\)"):
        GaussianScore.from_data(x, process).score(x, jnp.asarray(1.0))
    with pytest.raises(ValueError, match="the data have no rows"):
        GaussianScore.from_data(x[:0], process)
    with pytest.raises(ValueError, match=r"rank must lie in \[0, 2\]"):
        GaussianScore.from_data(x, process, rank=3)
    with pytest.raises(ValueError, match=r"shrinkage must lie in \[0, 1\], not 2"):
        GaussianScore.from_data(x, process, shrinkage=2.0)
    with pytest.raises(ValueError, match="needs a covariance of shape"):
        GaussianScore.from_covariance(jnp.ones(2), jnp.eye(3), process)
    with pytest.raises(ValueError, match="the data have no rows"):
        EmpiricalScore(x[:0], process)
    with pytest.raises(ValueError, match="chunk must be at least 1"):
        EmpiricalScore(x, process, chunk=0)
    with pytest.raises(ValueError, match=r"3 samples need weights of shape \(3,\)"):
        EmpiricalScore(x, process, weights=jnp.ones(2))
    with pytest.raises(ValueError, match="does not fit data of samples"):
        EmpiricalScore(x, process).score(x, jnp.asarray(1.0))
    with pytest.raises(ValueError, match=r"does not lie in space"):
        SphereScore(process).score(x, jnp.asarray(1.0))
    with pytest.raises(ValueError, match="need weights of shape"):
        GaussianMixtureScore.isotropic(jnp.ones(2) / 2, x, jnp.ones(3), process)
    with pytest.raises(RuntimeError, match="sum to one"):
        GaussianMixtureScore.isotropic(jnp.ones(3), x, jnp.ones(3), process)
