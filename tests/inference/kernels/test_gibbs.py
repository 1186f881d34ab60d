"""Gibbs blocks: exact conditionals, inner kernels whose target changes under them, and what they share with others."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jaxtyping import Array, Float

from scorax.inference import HMC, MCLMC, NUTS, AbstractModel, Frame, Gibbs, mcse_mean, mcse_sd, sample
from scorax.inference._engine import engine
from scorax.inference._kernels import Target
from scorax.inference._posterior_problem import posterior_problem
from scorax.inference.validity import Joint, check_invariance
from tests.inference.compilations import compilations
from tests.inference.toys import Measurements, Things, hierarchical_posterior, some_measurements

pytestmark = pytest.mark.engine

SHAPE, RATE, WIDTH = 3.0, 2.0, 1.5


class Gauss(AbstractModel[Measurements]):
    """`value ~ Normal(mean, 1 / sqrt(precision))`; the precision is Gamma, the mean Normal, independently."""

    mean: Float[Array, ""]
    precision: Float[Array, ""]

    def log_prob(self, data):
        residual = data.value.astype(self.mean.dtype) - self.mean
        return (jnp.log(self.precision / (2 * np.pi)) - self.precision * residual**2) / 2

    def prior(self):
        precision = numpyro.sample("precision", dist.Gamma(SHAPE, RATE))
        return Gauss(jnp.asarray(numpyro.sample("mean", dist.Normal(0.0, WIDTH))), jnp.asarray(precision))

    def simulate(self, data, *, key):
        noise = jax.random.normal(key, data.value.shape, data.value.dtype)
        return dataclasses.replace(data, value=self.mean + noise / jnp.sqrt(self.precision))


def draw_precision(sites, data, *, key):
    shape = SHAPE + data.weight.sum() / 2
    rate = RATE + (data.weight * (data.value - sites["mean"]) ** 2).sum() / 2
    return {"precision": jax.random.gamma(key, shape) / rate}


def draw_mean(sites, data, *, key):
    precision = WIDTH**-2 + sites["precision"] * data.weight.sum()
    centre = sites["precision"] * (data.weight * data.value).sum() / precision
    return {"mean": centre + jax.random.normal(key) / jnp.sqrt(precision)}


def draw_both(sites, data, *, key):
    """Any kernel that leaves the conditional alone will do: here one after the other."""
    one, other = jax.random.split(key)
    new = draw_mean(sites, data, key=one)
    return {**new, **draw_precision({**sites, **new}, data, key=other)}


DATA = some_measurements(3, k=1, each=5)
MODEL = Gauss(jnp.zeros(()), jnp.ones(()))
SHORT = HMC(num_steps=4)
KERNELS = {
    "precision exactly": Gibbs({"precision": draw_precision}, rest=SHORT),
    "mean exactly, precision first": Gibbs({"precision": SHORT, "mean": draw_mean}),
    "all exactly": Gibbs({"mean": draw_mean, "precision": draw_precision}),
    "one exact block of two": Gibbs({("mean", "precision"): draw_both}),
    "two inner kernels": Gibbs({"precision": HMC(num_steps=6), "mean": SHORT}),
    "nuts": Gibbs({"precision": draw_precision}),
}
SETTINGS = {"key": jax.random.key(0), "num_warmup": 200, "num_samples": 1500, "num_chains": 2, "progress": False}


def exact():
    """Means and standard deviations of mean and precision, by quadrature over the precision."""
    value = np.asarray(DATA.value, np.float64)
    t = np.exp(np.linspace(np.log(1e-3), np.log(30), 20_000))
    n, q = value.size, WIDTH**-2 + t * value.size
    centre = t * value.sum() / q
    log_weight = (SHAPE + n / 2) * np.log(t) - RATE * t - t * (value**2).sum() / 2 + q * centre**2 / 2 - np.log(q) / 2
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    mean, precision = weight @ centre, weight @ t
    return {
        "mean": (mean, np.sqrt(weight @ (1 / q + centre**2) - mean**2)),
        "precision": (precision, np.sqrt(weight @ t**2 - precision**2)),
    }


def assert_mean_and_sd(draws, mean, sd):
    """Within five Monte Carlo errors, each from its own effective sample size."""
    np.testing.assert_array_less(np.abs(draws.mean((0, 1)) - mean), 5 * np.asarray(mcse_mean(draws)))
    np.testing.assert_array_less(np.abs(draws.std((0, 1)) - sd), 5 * np.asarray(mcse_sd(draws)))


# Compiling is the cost.
SLOW = ("mean exactly, precision first", "one exact block of two", "two inner kernels", "nuts")


@pytest.mark.parametrize("name", [pytest.param(x, marks=pytest.mark.slow if x in SLOW else ()) for x in KERNELS])
def test_unknown_mean_and_precision(name):
    drawn = sample(MODEL, DATA, method=KERNELS[name], **SETTINGS)
    for site, (mean, sd) in exact().items():
        assert_mean_and_sd(drawn.sites[site], mean, sd)
    density = jax.vmap(jax.vmap(lambda m: m.log_prob(DATA).sum()))(drawn.model) + (
        dist.Normal(0.0, WIDTH).log_prob(drawn.model.mean)
        + dist.Gamma(SHAPE, RATE).log_prob(drawn.model.precision)
        + jnp.log(drawn.model.precision)
    )
    np.testing.assert_allclose(drawn.stats["log_density"], density, rtol=1e-4, atol=1e-4)
    pure = name in ("all exactly", "one exact block of two")
    assert set(drawn.stats) == {"log_density"} | (set() if pure else {"accept_prob", "diverging", "num_steps"})


@pytest.mark.slow
def test_double_precision_and_chains_together(x64):
    model = Gauss(jnp.zeros(()), jnp.ones(()))
    drawn = sample(model, DATA, method=KERNELS["precision exactly"], **{**SETTINGS, "chain_method": "vmap"})
    assert drawn.model.precision.dtype == jnp.float64
    for site, (mean, sd) in exact().items():
        assert_mean_and_sd(drawn.sites[site], mean, sd)


@pytest.mark.slow
def test_a_hierarchy_in_blocks():
    data = some_measurements(1)
    kernel = Gibbs({"scale": HMC(num_steps=6), "level": HMC(num_steps=6)})
    drawn = sample(Things.init(3), data, method=kernel, **{**SETTINGS, "num_samples": 4000})
    for site, found in hierarchical_posterior(data, 3).items():
        assert_mean_and_sd(drawn.sites[site], *found)
    # Both kernels' gradients.
    assert (drawn.stats["num_steps"] == 12).all()
    assert set(drawn.adaptation) == {f"{name}_{i}" for name in ("inverse_mass_matrix", "step_size") for i in (0, 1)}


def below():
    """`upper` is Gamma(2, 1), and `level` uniform below it: exponential, when `upper` is integrated out."""
    upper = numpyro.sample("upper", dist.Gamma(2.0, 1.0))
    return Things(jnp.asarray(numpyro.sample("level", dist.Uniform(0.0, upper).expand((1,)).to_event(1))))


def draw_upper(sites, data, *, key):
    return {"upper": sites["level"][0] + jax.random.exponential(key)}


@pytest.mark.slow
def test_a_support_that_moves_leaves_the_value_in_it():
    nothing = dataclasses.replace(some_measurements(0, k=1), weight=jnp.zeros(4))
    kernel = Gibbs({"upper": draw_upper}, rest=SHORT)
    drawn = sample(Things.init(1), nothing, prior=below, method=kernel, **{**SETTINGS, "num_samples": 4000})
    assert (drawn.sites["level"][..., 0] < drawn.sites["upper"]).all()
    assert_mean_and_sd(drawn.sites["level"], 1.0, 1.0)
    assert_mean_and_sd(drawn.sites["upper"], 2.0, 2**0.5)


# Invariance, and the classical bug, on two strongly correlated normal numbers.

RHO = 0.9


def correlated():
    x = jnp.asarray(numpyro.sample("x", dist.Normal(0.0, 1.0)))
    return Things(jnp.stack([x, jnp.asarray(numpyro.sample("y", dist.Normal(RHO * x, (1 - RHO**2) ** 0.5)))]))


class DrawX(eqx.Module):
    """Right at `rho` 0.9."""

    rho: Array

    def __call__(self, sites, data, *, key):
        return {"x": self.rho * sites["y"] + (1 - self.rho**2) ** 0.5 * jax.random.normal(key)}


class Forgetful(HMC):
    """Goes on with the density and the gradient that it had before the other blocks moved."""

    def place(self, state, at):
        return state._replace(z=at.z)


class Chain(eqx.Module):
    """Gibbs as a kernel of a key and a state, with a step size for an acceptance near 0.7."""

    kernel: Gibbs
    target: Target

    def __call__(self, data):
        return self.step

    def step(self, key, state):
        # Inner kernels keep keys of their own.
        inner = tuple(s._replace(rng_key=jax.random.fold_in(key, i)) for i, s in enumerate(state.inner))
        with engine():
            return self.kernel.step(self.target, state._replace(inner=inner, key=key), 0)

    def init(self, key):
        noise = jax.random.normal(key, (2,))
        z = jnp.stack([noise[0], RHO * noise[0] + (1 - RHO**2) ** 0.5 * noise[1]])
        found = {"step_size_0": jnp.full(1, 0.7), "inverse_mass_matrix_0": jnp.ones((1, 1))}
        with engine():
            start = jax.tree.map(lambda x: x[None], self.target.point(z))
            state = self.kernel.begin(self.target, start, key[None], 0, found)
        return jax.tree.map(lambda x: x[0], state), None


def position(state):
    return state.z


LAW = Joint(prior=lambda key: jnp.zeros(2))


def invariance(inner, rho=RHO):
    nothing = dataclasses.replace(some_measurements(0, k=1), weight=jnp.zeros(4))
    problem, _ = posterior_problem(Things.init(2), nothing, correlated)
    chain = Chain(Gibbs({"x": DrawX(jnp.asarray(rho))}, rest=inner), Target(problem, None))
    return check_invariance(chain, LAW, key=jax.random.key(0), init=chain.init, position=position)


# Over ten seeds p-values are above 0.37 for the right kernel, below 1.1e-6 and 1e-8 for the wrong ones.


def test_leaves_the_posterior_alone():
    result = invariance(HMC(num_steps=2))
    assert result.p_value > 0.01
    assert result.details["moved"] > 0.5


def test_a_stale_density_and_gradient_are_found():
    assert invariance(Forgetful(num_steps=2)).p_value < 1e-5


def test_a_wrong_conditional_is_found():
    assert invariance(HMC(num_steps=2), rho=0.8).p_value < 1e-6


# What every kernel does.

FEW = {**SETTINGS, "num_samples": 30, "method": KERNELS["precision exactly"]}


class Scaled(eqx.Module):
    """A conditional with numbers of its own."""

    factor: Array

    def __call__(self, sites, data, *, key):
        return {"precision": self.factor * draw_precision(sites, data, key=key)["precision"]}


def test_a_second_call_compiles_nothing():
    one, two = (Gibbs({"precision": Scaled(jnp.asarray(np.float32(x)))}, rest=SHORT) for x in (1, 2))
    first = sample(MODEL, DATA, **{**FEW, "method": one})
    others = some_measurements(4, k=1, each=5)
    with compilations() as count:
        sample(MODEL, others, **{**FEW, "method": one, "num_samples": 117})
        other = sample(MODEL, DATA, **{**FEW, "method": two})
    assert count[0] == 0
    assert other.sites["precision"].mean() > 1.5 * first.sites["precision"].mean()


def test_adaptation_takes_the_place_of_the_warm_up():
    tuned = sample(MODEL, DATA, **FEW)
    again = sample(MODEL, DATA, **FEW, adaptation=tuned.adaptation)
    jax.tree.map(np.testing.assert_array_equal, again.adaptation, tuned.adaptation)
    assert not np.array_equal(again.sites["mean"], tuned.sites["mean"])


@pytest.mark.slow
def test_together_and_on_a_mesh_the_draws_are_the_same(x64):
    model = Gauss(jnp.zeros(()), jnp.ones(()))
    adaptation = sample(model, DATA, **FEW).adaptation
    arguments = {**FEW, "adaptation": adaptation, "num_samples": 5}
    alone, together = (sample(model, DATA, **arguments, chain_method=how) for how in ("map", "vmap"))
    # Rounding, blown up by five trajectories.
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-8), alone.sites, together.sites)
    spread = sample(model, DATA, **arguments, chain_method="map", mesh=jax.make_mesh((1,), ("chains",)))
    jax.tree.map(np.testing.assert_array_equal, alone.sites, spread.sites)


def test_a_run_goes_on_with_the_same_functions_only(tmp_path):
    path = tmp_path / "run.npz"
    first = sample(MODEL, DATA, **{**FEW, "num_samples": 10}, checkpoint=path)
    jax.tree.map(
        lambda x, y: np.testing.assert_array_equal(x, y[:, :10]), first.sites, sample(MODEL, DATA, **FEW).sites
    )

    def draw_precision(sites, data, *, key):
        return {"precision": sites["precision"]}

    with pytest.raises(ValueError, match="differs in kernel"):
        sample(MODEL, DATA, **{**FEW, "method": Gibbs({"precision": draw_precision}, rest=SHORT)}, checkpoint=path)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ({"mean": SHORT, ("precision", "mean"): SHORT}, "no site twice"),
        ({(): SHORT}, "at least one site each"),
        ({"mean": MCLMC()}, r"\['mean'\] must be moved by a function, NUTS\(\.\.\.\) or HMC"),
    ],
)
def test_blocks_that_are_none(blocks, message):
    with pytest.raises(ValueError, match=message):
        Gibbs(blocks)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ({"men": NUTS()}, r"Gibbs moves \['men'\].*its sites are \['mean', 'precision'\]"),
        ({"mean": draw_precision}, r"draws \['mean'\] must return a dictionary of these"),
        (
            {"mean": lambda sites, data, *, key: {"mean": jnp.zeros(2)}},
            r"'mean' was drawn in shape \(2,\); the site has shape \(\)",
        ),
    ],
)
def test_errors_say_what_is_wrong(blocks, message):
    with pytest.raises(ValueError, match=message):
        sample(MODEL, DATA, **{**FEW, "method": Gibbs(blocks, rest=SHORT)})


def test_a_frame_is_refused():
    frame = Frame(jnp.zeros(4), jnp.eye(4))
    with pytest.raises(ValueError, match="leave out precondition="):
        sample(Things.init(3), some_measurements(0), **{**FEW, "method": Gibbs({"scale": SHORT})}, precondition=frame)
