"""Programs whose meaning is known exactly: what blocks are tested on.

Each is a probabilistic program in the form that blocks take (`Stepped` or `Traced`), with its evidence, some averages
under its posterior, and independent draws from it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.inference._blocks._stepped import Stepped
from scorax.inference._blocks._traced import Traced
from scorax.inference.validity._enumerate import Choose, enumerate_outcomes


class Example(NamedTuple):
    """A program and what it means."""

    name: str
    program: Stepped | Traced
    log_evidence: float
    functions: Callable[[Any], Any]
    """From a value of the program to any tree of arrays."""
    expected: Any
    """Their exact averages under the posterior."""
    draw: Callable[[PRNGKeyArray], Any]
    """A value drawn from the posterior itself."""


def stepped_examples() -> list[Example]:
    """Programs with steps, for blocks such as `smc`: conjugate models, state-space models, a finite program.

    Example:
        >>> [example.name for example in sx.inference.validity.stepped_examples()]
        ['Beta-Bernoulli', 'Normal-Normal', 'mixture', 'linear-Gaussian states', 'hidden Markov', 'coins']
    """
    return [
        *(_by_rows(model) for model in (_beta_bernoulli(), _normal_normal(), _mixture())),
        _linear_gaussian(),
        _hidden_markov(),
        _coins(),
    ]


def traced_examples() -> list[Example]:
    """Programs over a trace of real numbers, for blocks such as `importance`, and for kernels.

    Example:
        >>> [example.name for example in sx.inference.validity.traced_examples()]
        ['Beta-Bernoulli', 'Normal-Normal', 'mixture']
    """
    return [_at_once(model) for model in (_beta_bernoulli(), _normal_normal(), _mixture())]


class _Model(NamedTuple):
    """A prior over one real number, and independent observations."""

    name: str
    prior: Callable[[PRNGKeyArray], Float[Array, ""]]
    log_prior: Callable[[Float[Array, ""]], Float[Array, ""]]
    log_likelihood: Callable[[Float[Array, ""], Float[Array, "*n"]], Float[Array, "*n"]]
    observed: tuple[float, ...]
    output: Callable[[Float[Array, ""]], Float[Array, ""]]
    log_evidence: float
    mean: float
    second_moment: float
    draw: Callable[[PRNGKeyArray], Float[Array, ""]]


def _moments(x: Float[Array, ""]) -> dict[str, Array]:
    return {"mean": x, "second moment": x**2}


def _by_rows(model: _Model) -> Example:
    def step(observed: Array, t: Int[Array, ""], x: Array, key: PRNGKeyArray) -> tuple[Array, Float[Array, ""]]:
        return x, model.log_likelihood(x, observed[t])

    observed = jnp.asarray(model.observed, dtype=float)
    program = Stepped(model.prior, eqx.Partial(step, observed), model.output, n_steps=len(observed))
    return _example(model, program)


def _at_once(model: _Model) -> Example:
    def log_likelihood(observed: Array, x: Array) -> Float[Array, ""]:
        return model.log_likelihood(x, observed).sum()

    observed = jnp.asarray(model.observed, dtype=float)
    return _example(model, Traced(model.prior, model.log_prior, eqx.Partial(log_likelihood, observed), model.output))


def _example(model: _Model, program: Stepped | Traced) -> Example:
    expected = {"mean": model.mean, "second moment": model.second_moment}
    return Example(model.name, program, model.log_evidence, _moments, expected, model.draw)


def _beta_bernoulli() -> _Model:
    """Three successes in four trials of unknown chance, uniform a priori: evidence 3! 1! / 5! = 1/20."""
    return _Model(
        name="Beta-Bernoulli",
        prior=jax.random.logistic,
        log_prior=lambda u: jax.nn.log_sigmoid(u) + jax.nn.log_sigmoid(-u),
        log_likelihood=lambda u, y: jax.nn.log_sigmoid((2 * y - 1) * u),
        observed=(1.0, 1.0, 0.0, 1.0),
        output=jax.nn.sigmoid,
        log_evidence=-float(np.log(20)),
        mean=4 / 6,
        second_moment=4 * 5 / (6 * 7),
        draw=lambda key: jax.random.beta(key, 4.0, 2.0),
    )


def _normal_normal() -> _Model:
    """Three observations of a standard normal level, with noise of variance one."""
    y = np.array([1.0, 0.5, -0.3])
    mean, variance = y.sum() / 4, 1 / 4
    # Jointly normal with covariance I + 1 1', whose determinant is 4 and whose inverse is I - 1 1' / 4.
    log_evidence = -(3 * np.log(2 * np.pi) + np.log(4) + (y @ y - y.sum() ** 2 / 4)) / 2
    return _Model(
        name="Normal-Normal",
        prior=jax.random.normal,
        log_prior=jax.scipy.stats.norm.logpdf,
        log_likelihood=_unit_normal,
        observed=tuple(y.tolist()),
        output=_same,
        log_evidence=float(log_evidence),
        mean=float(mean),
        second_moment=float(mean**2 + variance),
        draw=lambda key: float(mean) + 0.5 * jax.random.normal(key),
    )


def _mixture() -> _Model:
    """A level that is near -1.5 or near 1.5, observed twice: its posterior has two modes."""
    centre, width, y = np.array([-1.5, 1.5]), 0.7, np.array([0.4, 0.0])
    precision = width**-2 + 2
    means = (centre * width**-2 + y.sum()) / precision
    # Given the mode, the observations are jointly normal with covariance I + width^2 1 1'.
    off = y - centre[:, None]
    inverse = np.eye(2) - width**2 / (1 + 2 * width**2)
    log_each = -(2 * np.log(2 * np.pi) + np.log(1 + 2 * width**2) + np.einsum("mi,ij,mj->m", off, inverse, off)) / 2
    log_evidence = scipy.special.logsumexp(log_each) - np.log(2)
    share = scipy.special.softmax(log_each)
    centres = centre.tolist()

    def prior(key: PRNGKeyArray) -> Float[Array, ""]:
        key_mode, key_noise = jax.random.split(key)
        sign = jnp.where(jax.random.bernoulli(key_mode), 1.0, -1.0)
        return centres[1] * sign + width * jax.random.normal(key_noise)

    def log_prior(x: Float[Array, ""]) -> Float[Array, ""]:
        low, high = (jax.scipy.stats.norm.logpdf(x, m, width) for m in centres)
        return jnp.logaddexp(low, high) - float(np.log(2))

    def draw(key: PRNGKeyArray) -> Float[Array, ""]:
        key_mode, key_noise = jax.random.split(key)
        mean = jnp.where(jax.random.bernoulli(key_mode, float(share[1])), float(means[1]), float(means[0]))
        return mean + float(precision**-0.5) * jax.random.normal(key_noise)

    return _Model(
        name="mixture",
        prior=prior,
        log_prior=log_prior,
        log_likelihood=_unit_normal,
        observed=tuple(y.tolist()),
        output=_same,
        log_evidence=float(log_evidence),
        mean=float(share @ means),
        second_moment=float(share @ means**2 + 1 / precision),
        draw=draw,
    )


def _same(x: Float[Array, ""]) -> Float[Array, ""]:
    return x


def _unit_normal(x: Float[Array, ""], y: Float[Array, "*n"]) -> Float[Array, "*n"]:
    return -((y - x) ** 2 + float(np.log(2 * np.pi))) / 2


def _linear_gaussian() -> Example:
    """An autoregression seen with noise; what is asked for is its last state, by the Kalman filter."""
    persistence, y = 0.9, np.array([0.5, -0.4, 1.2, 1.0])
    stationary = 1 / (1 - persistence**2)
    mean, variance, log_evidence = 0.0, stationary, 0.0
    for t, value in enumerate(y):
        if t > 0:
            mean, variance = persistence * mean, persistence**2 * variance + 1
        total = variance + 1
        log_evidence -= (np.log(2 * np.pi * total) + (value - mean) ** 2 / total) / 2
        mean, variance = mean + variance / total * (value - mean), variance / total

    def init(key: PRNGKeyArray) -> Float[Array, ""]:
        return float(stationary**0.5) * jax.random.normal(key)

    def step(observed: Array, t: Int[Array, ""], x: Array, key: PRNGKeyArray) -> tuple[Array, Float[Array, ""]]:
        x = jnp.where(t > 0, persistence * x + jax.random.normal(key), x)
        return x, _unit_normal(x, observed[t])

    program = Stepped(init, eqx.Partial(step, jnp.asarray(y, dtype=float)), n_steps=len(y))
    expected = {"mean": mean, "second moment": mean**2 + variance}
    last, spread = float(mean), float(variance**0.5)
    return Example(
        "linear-Gaussian states",
        program,
        float(log_evidence),
        _moments,
        expected,
        lambda key: last + spread * jax.random.normal(key),
    )


def _hidden_markov() -> Example:
    """Three hidden states, two kinds of emission; what is asked for is the last state, by the forward recursion."""
    start = np.array([0.5, 0.3, 0.2])
    move = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]])
    emit = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    y = np.array([0, 1, 1, 0])
    forward = start * emit[:, y[0]]
    for value in y[1:]:
        forward = (forward @ move) * emit[:, value]
    log_start, log_move, log_emit = (jnp.asarray(np.log(p), dtype=float) for p in (start, move, emit))
    posterior = forward / forward.sum()
    log_posterior = jnp.asarray(np.log(posterior), dtype=float)

    def step(
        log_move: Array, log_emit: Array, y: Array, t: Int[Array, ""], x: Array, key: PRNGKeyArray
    ) -> tuple[Array, Float[Array, ""]]:
        x = jnp.where(t > 0, jax.random.categorical(key, log_move[x]), x)
        return x, log_emit[x, y[t]]

    observed = jnp.asarray(y, jnp.int32)
    return Example(
        "hidden Markov",
        Stepped(eqx.Partial(_categorical, log_start), eqx.Partial(step, log_move, log_emit, observed), n_steps=len(y)),
        float(np.log(forward.sum())),
        lambda x: [x == i for i in range(2)],
        [float(p) for p in posterior[:2]],
        eqx.Partial(_categorical, log_posterior),
    )


def _categorical(log_probability: Float[Array, " k"], key: PRNGKeyArray) -> Int[Array, ""]:
    return jax.random.categorical(key, log_probability)


def _coins() -> Example:
    """Three tosses of an unfair coin, each weighed by how many heads there are so far: by enumeration of all paths."""
    chance, factor = 0.3, np.array([0.2, 1.0, 0.5, 2.0])

    def tosses(choose: Choose) -> tuple[int, float]:
        heads, weight = 0, 1.0
        for _ in range(3):
            heads += choose([1 - chance, chance])
            weight *= factor[heads]
        return heads, weight

    mass = np.zeros(4)
    for (heads, weight), probability in enumerate_outcomes(tosses):
        mass[heads] += weight * probability
    posterior = mass / mass.sum()

    def step(log_factor: Array, t: Int[Array, ""], heads: Array, key: PRNGKeyArray) -> tuple[Array, Float[Array, ""]]:
        heads = heads + jax.random.bernoulli(key, chance).astype(heads.dtype)
        return heads, log_factor[heads]

    log_factor, log_posterior = (jnp.asarray(np.log(p), dtype=float) for p in (factor, posterior))
    return Example(
        "coins",
        Stepped(lambda key: jnp.zeros((), jnp.int32), eqx.Partial(step, log_factor), n_steps=3),
        float(np.log(mass.sum())),
        lambda heads: [heads == i for i in range(3)],
        [float(p) for p in posterior[:3]],
        eqx.Partial(_categorical, log_posterior),
    )
