from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.numerics import draw_probes, exact_trace, hutchinson_trace, hutchpp_trace, map_in_turn, xtrace

KEY = jax.random.key(0)
# Every estimator with ten products, and so fewer than the twelve entries of the maps below.
ESTIMATORS = {
    "exact": lambda f, like, key: exact_trace(f, like),
    "hutchinson": lambda f, like, key: hutchinson_trace(f, like, key=key, n_probes=10),
    "hutchpp": lambda f, like, key: hutchpp_trace(f, like, key=key, n_probes=10),
    "xtrace": lambda f, like, key: xtrace(f, like, key=key, n_probes=10),
}
each = pytest.mark.parametrize("name", ESTIMATORS)


def matrix(d, dtype=jnp.float32, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(d, d)), dtype)


def of(a):
    return lambda v: a @ v


def tolerance(dtype, digits=256):
    return digits * float(jnp.finfo(dtype).eps)


N_KEYS = 2048


@pytest.fixture(scope="module")
def study():
    """Many draws of an estimate of a matrix's trace and their gradients, compiled once for each estimator and dtype."""

    def traced(estimate, a, key):
        result = estimate(of(a), a[0], key)
        return result.trace, result

    compiled = {
        name: jax.jit(jax.vmap(jax.value_and_grad(partial(traced, estimate), has_aux=True), (None, 0)))
        for name, estimate in ESTIMATORS.items()
    }

    def run(name, a):
        (_, estimates), slopes = compiled[name](a, jax.random.split(KEY, N_KEYS))
        return estimates, slopes

    return run


@each
def test_every_estimator_is_unbiased_and_knows_its_error(name, study, x64):
    # Not symmetric and not positive. The mean of the draws lies within 5 of its standard errors.
    a = matrix(12, jnp.float64)
    drawn, slopes = study(name, a)
    error = float(drawn.trace.std()) / N_KEYS**0.5
    np.testing.assert_allclose(drawn.trace.mean(), jnp.trace(a), atol=5 * error + 1e-12)
    # The mean square of the standard errors is the variance; XTrace's terms are slightly dependent.
    np.testing.assert_allclose((drawn.std_error**2).mean(), drawn.trace.var(), rtol=0.2, atol=1e-12)
    # The gradient of the trace is the identity. Of 144 normal numbers the largest rarely exceeds 4.
    error = np.std(slopes, axis=0) / N_KEYS**0.5
    assert (np.abs(slopes.mean(0) - np.eye(12)) < 5.5 * error + 1e-9).all()


@pytest.mark.parametrize("name", ["hutchpp", "xtrace"])
def test_sketches_gain_on_a_decaying_spectrum(name, study, x64):
    basis = np.linalg.qr(np.random.default_rng(5).normal(size=(12, 12)))[0]
    a = jnp.asarray(basis * 0.25 ** np.arange(12) @ basis.T)
    plain, sketched = (study(which, a)[0].trace for which in ("hutchinson", name))
    np.testing.assert_allclose(sketched.mean(), jnp.trace(a), rtol=0.02)
    assert sketched.std() < 0.3 * plain.std()


@pytest.mark.parametrize("rank", [0, 1, 3])
@pytest.mark.parametrize("name", ["hutchpp", "xtrace"])
def test_sketches_are_exact_and_finite_at_low_rank(name, rank, study, x64):
    # Of rank one for Hutch++, the vector that a sketch of signs would miss half the time.
    rng = np.random.default_rng(3)
    left, right = rng.normal(size=(12, 3)), rng.normal(size=(12, 3))
    u = (np.arange(12) < 2) * (1.0 if name == "hutchpp" else np.array([2.0, *[1.0] * 11]))
    a = jnp.asarray({0: np.zeros((12, 12)), 1: np.outer(u, u), 3: left @ right.T}[rank])
    drawn, slopes = study(name, a)
    chex.assert_tree_all_finite(slopes)
    # A draw of three columns has a condition number of up to some 1e5.
    np.testing.assert_allclose(drawn.trace, jnp.trace(a), atol=1e-9)
    np.testing.assert_allclose(drawn.std_error, 0, atol=1e-9)


@pytest.mark.parametrize("name", [pytest.param("hutchpp", marks=pytest.mark.slow), "xtrace"])
def test_single_precision_divides_by_nothing_either(name, study):
    u = (jnp.arange(12) < 2).astype(jnp.float32)
    for a in (jnp.zeros((12, 12)), jnp.outer(u, u)):
        drawn, slopes = study(name, a)
        assert drawn.trace.dtype == drawn.std_error.dtype == jnp.float32
        chex.assert_tree_all_finite((drawn, slopes))
        if name == "hutchpp":  # XTrace's signs miss this range at times
            np.testing.assert_allclose(drawn.trace, jnp.trace(a), atol=1e-4)


@pytest.mark.parametrize(
    ("probe", "variance"),
    [
        ("rademacher", lambda s: 2 * ((s**2).sum() - (np.diagonal(s) ** 2).sum())),
        ("gaussian", lambda s: 2 * (s**2).sum()),
        ("sphere", lambda s: 2 * len(s) / (len(s) + 2) * ((s**2).sum() - np.trace(s) ** 2 / len(s))),
    ],
)
def test_the_variance_of_hutchinson_is_the_formula(probe, variance, x64):
    a, n_keys = matrix(5, jnp.float64), 40_000
    keys = jax.random.split(KEY, n_keys)
    run = jax.jit(jax.vmap(lambda key: hutchinson_trace(of(a), a[0], key=key, probe=probe, n_probes=2).trace))
    symmetric = np.asarray(a + a.T) / 2
    # The relative standard error of a variance of n draws is sqrt((kurtosis - 1) / n), here below 0.02.
    np.testing.assert_allclose(run(keys).var(), variance(symmetric) / 2, rtol=0.1)


def test_xtrace_is_its_leave_one_out_definition(x64):
    a, k = matrix(12, jnp.float64), 3
    omega = np.asarray(jax.random.rademacher(KEY, (12, k), jnp.float64))
    terms = []
    for i in range(k):
        q = np.linalg.qr(np.asarray(a) @ np.delete(omega, i, axis=1))[0]
        rest = omega[:, i] - q @ (q.T @ omega[:, i])
        terms.append(np.trace(q.T @ a @ q) + rest @ np.asarray(a) @ rest)
    result = jax.jit(lambda: xtrace(of(a), a[0], key=KEY, n_probes=2 * k))()
    np.testing.assert_allclose(result.trace, np.mean(terms), rtol=1e-11)
    np.testing.assert_allclose(result.std_error, np.std(terms, ddof=1) / k**0.5, rtol=1e-11)


def test_events_of_any_shape():
    scale = jnp.arange(1.0, 13.0).reshape(3, 4)

    @jax.jit
    def both(key):
        def scaled(estimate, like):
            return estimate(lambda v: like * v, like, key)

        names = "exact", "hutchinson", "xtrace"
        return [[scaled(ESTIMATORS[name], like) for like in (scale, scale.ravel())] for name in names]

    for folded, flat in both(KEY):
        chex.assert_trees_all_close(folded, flat, rtol=tolerance(jnp.float32), atol=tolerance(jnp.float32, 1024))


def test_as_many_products_as_entries_are_exact():
    a = matrix(4)
    for estimate in (hutchpp_trace, xtrace):
        result = estimate(of(a), a[0], key=KEY, n_probes=4)
        np.testing.assert_array_equal(result.trace, exact_trace(of(a), a[0]).trace)
        assert result.std_error == 0
    assert exact_trace(lambda v: v, jnp.zeros(0)).trace == 0


def test_one_draw_has_no_standard_error():
    assert jnp.isnan(hutchinson_trace(lambda v: v, jnp.ones(3), key=KEY).std_error)
    assert jnp.isnan(hutchpp_trace(lambda v: v, jnp.ones(5), key=KEY, n_probes=3).std_error)


def test_probes_have_the_identity_as_their_second_moment(dtype):
    for probe in ("rademacher", "gaussian", "sphere"):
        v = draw_probes(probe, key=KEY, shape=(20_000, 3), dtype=dtype)
        assert v.dtype == dtype
        # Entries of v vᵀ have a standard deviation of at most sqrt(2), so 5 standard errors.
        np.testing.assert_allclose(v.T @ v / len(v), np.eye(3), atol=5 * 2**0.5 / len(v) ** 0.5)
    np.testing.assert_allclose(jnp.linalg.norm(v, axis=1), 3**0.5, rtol=tolerance(dtype))


def test_items_are_taken_in_turn_below_and_above_the_length_of_a_loop():
    for n in (3, 12):
        twice, square = map_in_turn(lambda x: (2 * x, x**2), jnp.arange(n))
        np.testing.assert_array_equal(twice, 2 * np.arange(n))
        np.testing.assert_array_equal(square, np.arange(n) ** 2)


def test_bad_input_is_refused():
    like = jnp.ones(8)
    with pytest.raises(ValueError, match="unknown probe 'cauchy': expected one of 'rademacher', 'gaussian', 'sphere'"):
        hutchinson_trace(lambda v: v, like, key=KEY, probe="cauchy")
    with pytest.raises(ValueError, match="n_probes must be at least 1, not 0"):
        hutchinson_trace(lambda v: v, like, key=KEY, n_probes=0)
    with pytest.raises(ValueError, match="n_probes must be at least 3 for Hutch"):
        hutchpp_trace(lambda v: v, like, key=KEY, n_probes=2)
    for odd in (2, 5):
        with pytest.raises(ValueError, match=f"n_probes must be an even number of at least 4 for XTrace, not {odd}"):
            xtrace(lambda v: v, like, key=KEY, n_probes=odd)
