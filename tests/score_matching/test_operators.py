import json
import pathlib
from functools import partial

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scorax.numerics import exact_trace, hutchinson_trace, hutchpp_trace, xtrace
from scorax.score_matching import divergence, implicit_score_matching_loss, laplacian

ORACLES = pathlib.Path(__file__).parent.parent / "oracles" / "diffusion"
KEY = jax.random.key(0)


def point(d, dtype=jnp.float32, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(size=d), dtype)


def close(dtype, digits=64):
    return {"rtol": digits * float(jnp.finfo(dtype).eps), "atol": digits * float(jnp.finfo(dtype).eps)}


def weights(d, dtype, width=5, seed=0):
    rng = np.random.default_rng(seed)
    shapes = ((d, width), (width, width), (width,))
    return tuple(jnp.asarray(rng.normal(size=shape) / shape[0] ** 0.5, dtype) for shape in shapes)


def network(x, w):
    """A scalar network whose Hessian is full."""
    return jnp.tanh(jnp.tanh(x.reshape(-1) @ w[0]) @ w[1]) @ w[2]


def field(x, w):
    """A vector field that is no gradient."""
    return jnp.tanh(x @ w[0]) @ w[0].T + 0.1 * x**3 * x[::-1]


def by_hessian(f, x):
    """The reference: the whole Hessian."""
    hessian = jax.hessian(f)(x).reshape(x.size, x.size)
    return f(x), jax.grad(f)(x), jnp.trace(hessian)


# What a log-density may be made of: each goes through other rules of the forward Laplacian.
@jax.custom_jvp
def bump(x):
    return x**2 / (1 + x**2)


bump.defjvp(lambda primals, tangents: (bump(primals[0]), tangents[0] * 2 * primals[0] / (1 + primals[0] ** 2) ** 2))


@jax.custom_jvp
def mixing(x):  # not elementwise
    return jnp.cumsum(x) ** 2


mixing.defjvp(lambda primals, tangents: (mixing(primals[0]), 2 * jnp.cumsum(primals[0]) * jnp.cumsum(tangents[0])))


def attention(x):
    rows = x.reshape(3, 2)
    scores = jax.nn.softmax(rows @ rows.T, axis=-1)
    return jnp.sum(jnp.sin(scores @ rows))


def layer_norm(x):
    centred = x - x.mean()
    return jnp.sum(jnp.tanh(centred * jax.lax.rsqrt(jnp.mean(centred**2) + 0.1)))


def scanned(x):
    carry, outputs = jax.lax.scan(lambda c, x: (jnp.sin(c) + x**2, c * x), x[0], x)
    return carry * outputs.sum()


FUNCTIONS = {
    "quadratic": lambda x: -0.5 * x @ jnp.arange(36, dtype=x.dtype).reshape(6, 6) @ x,
    "activations": lambda x: jnp.sum(
        jax.nn.gelu(x) * jax.nn.softplus(x) + jax.nn.silu(x[::-1]) - jax.nn.relu(x) ** 2 + jax.nn.elu(x) ** 2
    ),
    "elementary": lambda x: jnp.sum(
        jnp.exp(-(x**2)) / (1 + x[0] ** 2) + jnp.log1p(x**2) ** 1.5 - jax.scipy.special.erf(x) + jnp.sqrt(2 + x) / x
    ),
    "quotients": lambda x: jnp.sum(x[::-1] / (2 + jnp.cos(x)) + 1 / (1 + x**2)) + (2 + x[0] ** 2) ** x[1],
    "logsumexp": lambda x: jax.nn.logsumexp(jnp.array([1.0, 2.0, 3.0], x.dtype) * x[:3] + x[3:] ** 2) * x[0],
    "attention": attention,
    "normalised": layer_norm,
    "custom rules": lambda x: jnp.sum(bump(x) * x) + jnp.sum(jnp.sin(mixing(x))),
    "scan": scanned,
    "branch": lambda x: jax.lax.cond(x[0] > 0, lambda x: jnp.sum(x**3), lambda x: jnp.sum(x**4), x),
    "sorted": lambda x: jnp.vdot(jnp.sort(x) ** 2, jnp.arange(6, dtype=x.dtype)) + jnp.max(x) ** 3 + jnp.prod(x),
    "cholesky": lambda x: jnp.log(jnp.diagonal(jnp.linalg.cholesky(jnp.eye(6, dtype=x.dtype) + jnp.outer(x, x)))).sum(),
    "remat": lambda x: jax.checkpoint(lambda x: jnp.sum(jnp.sin(x) * x[::-1]) ** 2)(x),
    "masked": lambda x: jnp.sum(jnp.where(x > 0, x**3, -(x**2))) + jnp.clip(x, -0.5, 0.5).sum() ** 2,
    "indexed": lambda x: jnp.sum(x[jnp.array([0, 0, 3])] ** 3) + jnp.zeros(3, x.dtype).at[1].add(x[2])[1] ** 2,
    "linear": lambda x: jnp.sum(x),
    "constant": lambda x: jnp.asarray(3.0, x.dtype),
    "discrete": lambda x: jnp.sum(x**2) * jnp.argmax(x).astype(x.dtype),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_forward_is_the_trace_of_the_hessian(name, x64):
    f, x = FUNCTIONS[name], point(6, jnp.float64) * 0.7
    actual, expected = jax.jit(lambda x: (laplacian(f, x), by_hessian(f, x)))(jnp.abs(x) + 0.1 if "elem" in name else x)
    chex.assert_trees_all_close(actual, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("method", ["forward", "forward_over_reverse"])
def test_laplacian_matches_the_reference(method, x64):
    for expected in json.loads((ORACLES / "laplacian_mlp.json").read_text())["cases"]:
        w0, w1, w2, b0, b1 = map(jnp.asarray, (*expected["W"], *expected["b"]))

        @jax.jit
        @jax.vmap
        def compute(x, w0=w0, w1=w1, w2=w2, b0=b0, b1=b1):
            return laplacian(lambda x: (jnp.tanh(jnp.tanh(x @ w0 + b0) @ w1 + b1) @ w2)[0], x, method=method)

        value, gradient, trace = compute(jnp.asarray(expected["x"]))
        np.testing.assert_allclose(value, np.ravel(expected["value"]), rtol=2e-11)
        np.testing.assert_allclose(gradient, expected["gradient"], rtol=2e-11, atol=2e-11)
        np.testing.assert_allclose(trace, np.ravel(expected["laplacian"]), rtol=2e-11, atol=2e-11)


def test_all_methods_agree(dtype):
    # All coordinates make "stde" exact.
    x, w = point(12, dtype), weights(12, dtype)
    options = {"forward": {}, "forward_over_reverse": {}, "stde": {"key": KEY, "n_probes": 12}}

    @jax.jit
    def compute(x, w):
        f = lambda x: network(x, w)  # noqa: E731
        return [laplacian(f, x, method=method, **options[method]) for method in options], by_hessian(f, x)

    results, expected = compute(x, w)
    for result in results:
        chex.assert_trees_all_close(result, expected, **close(dtype, 256))


def test_the_sampled_laplacian_is_unbiased(x64):
    x, w = point(6, jnp.float64), weights(6, jnp.float64)

    @jax.jit
    @jax.vmap
    def draws(key):
        sampled = partial(laplacian, lambda x: network(x, w), x, method="stde", key=key, n_probes=2)
        return [sampled(probe=probe)[2] for probe in ("coordinates", "rademacher")]

    exact = jax.jit(lambda x: laplacian(lambda x: network(x, w), x)[2])(x)
    for estimates in draws(jax.random.split(KEY, 4096)):
        np.testing.assert_allclose(estimates.mean(), exact, atol=5 * float(estimates.std()) / 64)
        assert estimates.std() > 0.01 * abs(exact)


def test_the_forward_laplacian_has_the_gradient_of_the_others(x64):
    x, w = point(6, jnp.float64), weights(6, jnp.float64)

    def loss(w, method):
        value, gradient, trace = laplacian(lambda x: network(x, w), x, method=method)
        return trace + 0.5 * jnp.vdot(gradient, gradient) + value

    forward, reverse = jax.jit(lambda w: [jax.grad(loss)(w, method) for method in ("forward", "forward_over_reverse")])(
        w
    )
    chex.assert_trees_all_close(forward, reverse, rtol=1e-10, atol=1e-12)


def test_the_forward_laplacian_takes_d_plus_2_evaluations():
    # Counted in the compiled program of a batch.
    d, width, n = 16, 64, 8
    net = eqx.nn.MLP(d, "scalar", width, 3, jnp.tanh, key=KEY)
    x = jnp.ones((n, d))

    def flops(function):
        return jax.jit(jax.vmap(function)).lower(x).compile().cost_analysis()["flops"]

    evaluation = flops(net)
    # Elementwise work comes on top, a share of about 1 / width.
    assert flops(lambda x: laplacian(net, x)) < 1.15 * (d + 2) * evaluation


METHODS = {
    "exact": {},
    "hutchinson": {"n_probes": 10},
    "hutchpp": {"n_probes": 10},
    "xtrace": {"n_probes": 10},
}
TRACES = {
    "exact": lambda f, x, **_: exact_trace(f, x),
    "hutchinson": hutchinson_trace,
    "hutchpp": hutchpp_trace,
    "xtrace": xtrace,
}


@pytest.mark.parametrize("name", ["exact", "hutchinson", "xtrace", pytest.param("hutchpp", marks=pytest.mark.slow)])
def test_the_divergence_and_the_implicit_loss_trace_the_jacobian(name, x64):
    # By the same draws as the estimate of the trace of the whole Jacobian: row i of the loss with its own key.
    x, w = jnp.stack([point(12, jnp.float64, seed) for seed in (1, 2)]), weights(12, jnp.float64)
    f, options = partial(field, w=w), METHODS[name]
    keys = jax.vmap(jax.random.fold_in, (None, 0))(KEY, jnp.arange(2, dtype=jnp.int32))
    trace, draws = partial(TRACES[name], **options), partial(divergence, f, method=name, **options)

    @jax.jit
    def compute(x):
        traces = jax.vmap(lambda a, x, key: trace(lambda v: a @ v, x, key=key).trace)(
            jax.vmap(jax.jacfwd(f))(x), x, keys
        )
        values, divergences = jax.vmap(lambda x, key: draws(x, key=key))(x, keys)
        loss = implicit_score_matching_loss(f, x, method=name, key=KEY, **options)
        return traces, jax.vmap(f)(x), divergences, values, loss

    traces, expected, divergences, values, loss = compute(x)
    np.testing.assert_allclose(values, expected, rtol=1e-12)
    np.testing.assert_allclose(divergences, traces, rtol=1e-9)
    np.testing.assert_allclose(loss, traces + 0.5 * (expected**2).sum(1), rtol=1e-9)


@pytest.mark.parametrize("name", ["exact", "hutchinson", "xtrace", pytest.param("hutchpp", marks=pytest.mark.slow)])
def test_excluded_entries_reach_neither_value_nor_gradient(name):
    x, w = point(12), weights(12, jnp.float32)
    where = jnp.arange(12) != 4
    options = {"method": name, "key": KEY, **METHODS[name]}

    @jax.jit
    def total(w, x):
        def loss(w, x):
            value, trace = divergence(lambda x: field(x, w), x, where=where, **options)
            return value.sum() + trace

        return jax.value_and_grad(loss, (0, 1))(w, x)

    value, slopes = total(w, x.at[4].set(jnp.nan))
    expected, expected_slopes = total(w, x.at[4].set(1e6))
    assert jnp.isfinite(value)
    chex.assert_tree_all_finite(slopes)
    np.testing.assert_array_equal(value, expected)
    chex.assert_trees_all_equal(slopes, expected_slopes)
    assert slopes[1][4] == 0


def test_the_laplacian_leaves_excluded_entries_out():
    x, w, where = point(6), weights(6, jnp.float32), jnp.arange(6) < 4
    options = {"forward": {}, "forward_over_reverse": {}, "stde": {"key": KEY, "n_probes": 6}}

    @jax.jit
    def compute(x, w):
        f = lambda x: network(x, w)  # noqa: E731
        masked = [laplacian(f, x, method=method, where=where, **options[method]) for method in options]
        return masked, by_hessian(lambda x: f(jnp.append(x, jnp.zeros(2, x.dtype))), x[:4])

    results, (e_value, e_gradient, e_trace) = compute(x.at[4:].set(jnp.nan), w)
    for value, gradient, trace in results:
        np.testing.assert_allclose(value, e_value, **close(jnp.float32))
        np.testing.assert_allclose(gradient[:4], e_gradient, **close(jnp.float32))
        np.testing.assert_array_equal(gradient[4:], 0)
        np.testing.assert_allclose(trace, e_trace, **close(jnp.float32, 256))


def test_samples_of_any_shape_and_batches():
    x, w = point(12).reshape(2, 2, 3), weights(6, jnp.float32)
    rows = jax.jit(jax.vmap(lambda x: laplacian(lambda x: network(x, w), x)))(x)
    for i in range(2):
        value, gradient, trace = jax.jit(lambda x: by_hessian(lambda x: network(x, w), x))(x[i].reshape(-1))
        expected = value, gradient.reshape(2, 3), trace
        chex.assert_trees_all_close(jax.tree.map(lambda a, i=i: a[i], rows), expected, **close(jnp.float32, 256))
    value, trace = divergence(jnp.sin, jnp.asarray(0.5))
    np.testing.assert_allclose((value, trace), (np.sin(0.5), np.cos(0.5)), rtol=1e-6)


def test_bad_input_is_refused():
    @jax.custom_vjp
    def opaque(x):
        return jnp.sin(x)

    opaque.defvjp(lambda x: (jnp.sin(x), x), lambda x, g: (g * jnp.cos(x),))
    x = jnp.ones(6)
    with pytest.raises(ValueError, match=r"cannot pass a jax\.custom_vjp.* take method='forward_over_reverse'"):
        laplacian(lambda x: opaque(x).sum(), x)
    np.testing.assert_allclose(
        laplacian(lambda x: opaque(x).sum(), x, method="forward_over_reverse")[2], -6 * np.sin(1.0), rtol=1e-6
    )
    with pytest.raises(ValueError, match=r"the function of a sample of shape \(6,\) has shape \(6,\)"):
        laplacian(jnp.sin, x)
    with pytest.raises(ValueError, match="unknown method 'jet': expected 'forward', 'forward_over_reverse' or 'stde'"):
        laplacian(jnp.sum, x, method="jet")
    with pytest.raises(ValueError, match="'stde' draws random directions: pass key="):
        laplacian(jnp.sum, x, method="stde")
    with pytest.raises(ValueError, match="n_probes must be from 1 to the 6 coordinates, not 7"):
        laplacian(jnp.sum, x, method="stde", key=KEY, n_probes=7)
    with pytest.raises(ValueError, match="unknown method 'hutch': expected 'exact', 'hutchinson', 'hutchpp' or 'xtr"):
        divergence(jnp.sin, x, method="hutch")
    with pytest.raises(ValueError, match="the method 'xtrace' draws random directions: pass key="):
        divergence(jnp.sin, x, method="xtrace", n_probes=4)
    with pytest.raises(ValueError, match=r"the score of a sample of shape \(6,\) has shape \(\)"):
        divergence(jnp.sum, x)
