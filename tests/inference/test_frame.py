"""Frames: what they do to the curvature, and how they are found where no matrix has a place."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers

from scorax.choice import BradleyTerry
from scorax.data import Comparisons, datasets
from scorax.inference import (
    NUTS,
    Frame,
    LowRankFrame,
    effective_sample_size,
    iid_prior,
    laplace_frame,
    mcse_mean,
    sample,
)
from scorax.inference._frame import _low_rank
from scorax.inference._large_gaussian import gaussian_at_mode, noise_at
from scorax.inference._posterior_problem import posterior_problem
from scorax.inference._run_file import digest_of_tree
from tests.inference.compilations import compilations
from tests.inference.toys import Things, hierarchical_posterior, normal_posterior, some_measurements

D = 24
MODEL = Things.init(D)
NOTHING = dataclasses.replace(some_measurements(0), weight=jnp.zeros(12))


def covariance(widest=100.0, directions=(200.0, 50.0, -0.98)):
    """Widths from one over the widest to that, and directions far wider or narrower than they say."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(D, len(directions))))[0]
    width = np.exp(rng.uniform(-np.log(widest), np.log(widest), D))
    return width[:, None] * (np.eye(D) + axes @ np.diag(directions) @ axes.T) * width


class Gaussian(eqx.Module):
    """A prior program whose density is the posterior's where the data say nothing."""

    covariance: jax.Array

    def __call__(self):
        zeros = jnp.zeros(D, self.covariance.dtype)
        return Things(jnp.asarray(numpyro.sample("level", dist.MultivariateNormal(zeros, self.covariance))))


def map_of(frame):
    """The matrix that `outward` multiplies by."""
    return (np.asarray(jax.vmap(frame.outward)(jnp.eye(frame.centre.size))) - np.asarray(frame.centre)).T


def random_frame(kind):
    rng = np.random.default_rng(1)
    if kind == "dense":
        return Frame(jnp.asarray(rng.normal(size=5)), jnp.asarray(np.tril(rng.normal(size=(5, 5))) + 3 * np.eye(5)))
    basis = np.linalg.qr(rng.normal(size=(5, 2)))[0]
    width, stretch = np.exp(rng.normal(size=5)), np.asarray([4.0, 0.1])
    return LowRankFrame(*map(jnp.asarray, (rng.normal(size=5), width, basis, stretch)))


@pytest.mark.parametrize("kind", ["dense", "low rank"])
def test_inward_undoes_outward(kind, dtype):
    frame = random_frame(kind)
    z = jnp.arange(10, dtype=dtype).reshape(2, 5)
    there = jax.jit(jax.vmap(frame.outward))(z)
    assert there.dtype == dtype
    # The condition numbers of both maps are below 100.
    back = jax.jit(jax.vmap(frame.inward))(there)
    np.testing.assert_allclose(back, z, atol=1e3 * jnp.finfo(dtype).eps)


@pytest.mark.slow
def test_all_directions_of_a_hierarchy_are_its_dense_frame(x64):
    """At the mode where what is above the parameters has its own, as the dense one is."""
    battles, foods = datasets.load_food()
    model = BradleyTerry.init(len(foods))
    dense, full = (laplace_frame(model, battles, rank=rank) for rank in (None, len(foods)))
    np.testing.assert_allclose(full.centre, dense.centre, rtol=1e-12)
    np.testing.assert_allclose(map_of(full) @ map_of(full).T, dense.root @ dense.root.T, rtol=1e-8)


@pytest.mark.slow
def test_what_is_left_of_a_gaussian_is_the_rest_of_its_spectrum(x64):
    matrix = covariance()
    rank = 4
    frame = laplace_frame(MODEL, NOTHING, prior=Gaussian(jnp.asarray(matrix)), rank=rank)
    precision = np.linalg.inv(matrix)
    width = np.diagonal(precision) ** -0.5
    np.testing.assert_allclose(frame.width, width, rtol=1e-7)
    spectrum = np.linalg.eigvalsh(width[:, None] * precision * width)
    spectrum = spectrum[np.argsort(-np.abs(np.log(spectrum)))]
    np.testing.assert_allclose(np.asarray(frame.stretch) ** -2, spectrum[:rank], rtol=1e-7)
    left = map_of(frame).T @ precision @ map_of(frame)
    expected = np.sort([*np.ones(rank), *spectrum[rank:]])
    np.testing.assert_allclose(np.linalg.eigvalsh(left), expected, rtol=1e-6)
    # And that is what sampling needs: a condition number of a few instead of ten thousand and more.
    assert np.linalg.cond(left) < 20
    assert np.linalg.cond(precision) > 1e6


def test_as_many_directions_as_numbers_are_the_dense_frame(heavy_dtype):
    # Not so badly scaled that the dense frame, whose eigenvalues are those before scaling, keeps the least of them up.
    prior = Gaussian(jnp.asarray(covariance(3.0, (20.0, 5.0, -0.9)), heavy_dtype))
    dense, full = (map_of(laplace_frame(MODEL, NOTHING, prior=prior, rank=rank)) for rank in (None, D))
    assert dense.dtype == full.dtype == heavy_dtype
    # In the dense frame's coordinates. The condition number of the covariance is below 10^5.
    relative = np.linalg.solve(dense.astype(float), full.astype(float))
    np.testing.assert_allclose(relative @ relative.T, np.eye(D), atol=1e5 * jnp.finfo(heavy_dtype).eps)


@pytest.mark.slow
@pytest.mark.engine
def test_nuts_draws_a_badly_scaled_gaussian():
    """Without the frame its trees would have to be a hundred times longer; with it, draws are all but independent."""
    matrix = covariance()
    prior = Gaussian(jnp.asarray(matrix))
    frame = laplace_frame(MODEL, NOTHING, prior=prior, rank=4)
    settings = {"num_warmup": 200, "num_samples": 500, "num_chains": 2, "progress": False}
    posterior = sample(
        MODEL,
        NOTHING,
        key=jax.random.key(3),
        prior=prior,
        precondition=frame,
        method=NUTS(max_tree_depth=5),
        **settings,
    )
    draws, sd = posterior.model.level, np.diagonal(matrix) ** 0.5
    assert np.asarray(effective_sample_size(draws)).min() > 200
    error = np.asarray(mcse_mean(draws))
    np.testing.assert_array_less(np.abs(draws.mean((0, 1))), 5 * error)
    np.testing.assert_array_less(np.abs(draws.std((0, 1)) - sd), 5 * 2 * error)


LARGE = 2048


@pytest.mark.slow
def test_a_large_posterior_gets_a_low_rank_frame_of_its_own():
    data = some_measurements(0, LARGE, 1)
    model = Things.init(LARGE)
    prior = iid_prior(model, {"level": dist.Normal(0.0, 2.0)})
    frame = laplace_frame(model, data, prior=prior)
    mean, sd = normal_posterior(data, LARGE, 2.0)
    assert isinstance(frame, LowRankFrame)
    np.testing.assert_allclose(frame.centre, mean, atol=1e-5)
    # Independent: random signs find the diagonal exactly, and there is nothing left to stretch.
    np.testing.assert_allclose(frame.width, sd, rtol=1e-5)
    np.testing.assert_allclose(frame.stretch, 1, rtol=1e-5)
    with compilations() as count:
        laplace_frame(model, some_measurements(1, LARGE, 1), prior=prior)
    assert count[0] == 0


@pytest.mark.slow
def test_a_large_hierarchy(x64):
    """Its frame is at the mode of the scale that quadrature finds, and `method="laplace"` draws its posterior."""
    data, model = some_measurements(0, LARGE, 1), Things.init(LARGE)
    exact = hierarchical_posterior(data, LARGE)
    (scale, scale_sd), (level, level_sd) = (exact[name] for name in ("scale", "level"))
    frame = laplace_frame(model, data)
    # So many levels leave the scale nearly normal: mean and mode are a fraction of a standard deviation apart.
    names = posterior_problem(model, data, None)[0].coordinates(frame.centre)
    assert abs(np.exp(names["scale"]) - scale) < 0.5 * scale_sd
    posterior = sample(model, data, key=jax.random.key(0), method="laplace", num_samples=100, progress=False)
    draws = posterior.sites["scale"]
    assert abs(draws.mean() - scale) < 5 * scale_sd / 400**0.5
    assert abs(draws.std() - scale_sd) < 5 * scale_sd / 800**0.5
    z = (posterior.model.level.mean((0, 1)) - level) / level_sd * 400**0.5
    # The largest of 2048 standard normals, once in a thousand times.
    assert np.abs(z).max() < 5
    ratio = posterior.model.level.std((0, 1)) / level_sd
    assert np.abs(ratio - 1).max() < 5 / 800**0.5


def sizes(jaxpr):
    """Of all arrays that a traced program makes, those of its inner programs among them."""
    for equation in jaxpr.eqns:
        yield from (var.aval.size for var in equation.outvars if hasattr(var.aval, "size"))
        for inner in jax.tree.leaves(list(equation.params.values())):
            inner = getattr(inner, "jaxpr", inner)
            yield from sizes(inner) if hasattr(inner, "eqns") else ()


@pytest.mark.parametrize(
    "program",
    [
        lambda problem, q: gaussian_at_mode(problem),
        lambda problem, q: noise_at(problem, q, jax.random.key(0)),
        lambda problem, q: _low_rank(problem, q, 16),
    ],
    ids=["mode", "draw", "frame"],
)
def test_no_matrix_is_ever_formed(program):
    k = 20_000
    battles = Comparisons.from_arrays(np.arange(k - 1), np.arange(1, k), np.ones(k - 1))
    model = BradleyTerry.init(k)
    pinned = handlers.condition(model.prior, {"scale": jnp.asarray(1.0)})
    problem, _ = posterior_problem(model, battles, pinned)
    traced, _, _ = eqx.filter_make_jaxpr(program)(problem, problem.start)
    # The largest is the basis of Lanczos' method, 78 vectors; as a matrix there would be 20 000.
    assert k - 1 <= max(sizes(traced.jaxpr)) <= 100 * k


def pinned_at_nothing():
    """No information about any level."""
    return Things(jnp.asarray(numpyro.sample("level", dist.ImproperUniform(dist.constraints.real, (), (LARGE,)))))


def test_it_refuses():
    for rank in (0, D + 1):
        with pytest.raises(ValueError, match="rank must be from 1 to the 24 numbers"):
            laplace_frame(MODEL, NOTHING, prior=Gaussian(jnp.asarray(covariance())), rank=rank)
    large, data = Things.init(LARGE), some_measurements(0, LARGE, 1)
    silent = dataclasses.replace(data, weight=jnp.ones(LARGE).at[7].set(0))
    with pytest.raises(ValueError, match="neither data nor prior determine"):
        laplace_frame(large, silent, prior=pinned_at_nothing)


def test_a_run_in_another_frame_is_another_run():
    frame = random_frame("low rank")
    other = eqx.tree_at(lambda f: f.stretch, frame, 2 * frame.stretch)
    assert len({digest_of_tree(f) for f in (frame, other, random_frame("dense"), None)}) == 4
