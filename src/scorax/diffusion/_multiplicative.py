"""Diffusion by multiplication: positive data under geometric Brownian motion, and scores relative to the data."""

import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from scorax.numerics import map_in_turn, masked_where, row_keys, spread_mask
from scorax.score_matching._score import Score, masked_score


class GeometricBrownian(eqx.Module):
    r"""Each entry grows and fluctuates in proportion to itself: `dX = mu X dt + sigma X dW`, X positive.

    $$\log x_t = \log x_0 + (\mu - \sigma^2/2) t + \sigma \sqrt t\, e$$

    It is no `AbstractProcess`: its noise multiplies, so that there is no alpha and no sigma. Under logarithms, with
    the drift taken away, it is the variance-exploding process of level `sigma sqrt(t)`.

    Args:
        mu: Rate of growth.
        sigma: Relative noise per unit of time. Positive.

    Both are floating leaves.

    Example:
        >>> process = GeometricBrownian(0.5, 1.0)
        >>> process.marginal(jnp.array([0.0, 1.0]), jnp.array(0.25))  # of logarithms: mean and standard deviation
        (Array([0., 1.], dtype=float32), Array(0.5, dtype=float32))

    Source: Shetty, Prasath and Seelamantula (2025), arXiv:2510.02730; Black and Scholes (1973), doi:10.1086/260062.
    """

    mu: Float[Array, ""]
    sigma: Float[Array, ""]

    def __init__(self, mu: float | Float[Array, ""] = 0.0, sigma: float | Float[Array, ""] = 1.0):
        self.mu = mu if isinstance(mu, jax.Array) else jnp.asarray(mu, dtype=float)
        noise = sigma if isinstance(sigma, jax.Array) else jnp.asarray(sigma, dtype=float)
        self.sigma = eqx.error_if(noise, ~(noise > 0), "sigma must be positive.")

    def log_drift(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """What the logarithm gains by time `t` in the mean, `(mu - sigma²/2) t`."""
        return (self.mu.astype(t.dtype) - 0.5 * self.sigma.astype(t.dtype) ** 2) * t

    def log_std(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Standard deviation of the logarithm given the clean one, `sigma sqrt(t)`."""
        return self.sigma.astype(t.dtype) * jnp.sqrt(t)

    def marginal(
        self, log_x0: Float[Array, "*event"], t: Float[Array, ""]
    ) -> tuple[Float[Array, "*event"], Float[Array, ""]]:
        """Mean and standard deviation of the noised logarithm given the clean one."""
        return log_x0 + self.log_drift(t).astype(log_x0.dtype), self.log_std(t).astype(log_x0.dtype)

    def drift(self, x: Float[Array, "*event"], t: Float[Array, ""]) -> Float[Array, "*event"]:
        """Drift `mu x` of the forward equation."""
        return self.mu.astype(x.dtype) * x

    def diffusion(self, x: Float[Array, "*event"], t: Float[Array, ""]) -> Float[Array, "*event"]:
        """Diffusion coefficient `sigma x` of each entry."""
        return self.sigma.astype(x.dtype) * x

    def perturb(
        self, x0: Float[Array, "*event"], t: Float[Array, ""], *, key: PRNGKeyArray
    ) -> tuple[Float[Array, "*event"], Float[Array, "*event"]]:
        """A noised sample of positive entries, and the standard normal noise that went into its logarithm."""
        noise = jax.random.normal(key, x0.shape, x0.dtype)
        return self.noised(x0, t, noise), noise

    def noised(
        self, x0: Float[Array, "*event"], t: Float[Array, ""], noise: Float[Array, "*event"]
    ) -> Float[Array, "*event"]:
        """The sample with this noise in its logarithm."""
        return x0 * jnp.exp(self.log_drift(t).astype(x0.dtype) + self.log_std(t).astype(x0.dtype) * noise)


def multiplicative_score(score: Score) -> Score:
    r"""The relative score `x ∘ score(x, t)`, the gradient of the log-density in proportion to the data.

    It is what the multiplicative losses fit, less one than the gradient in logarithms of the density of logarithms.
    (Its authors call it the Hyvärinen score, a name that here means a scoring rule.)

    Args:
        score: `score(x)` or `score(x, t)`, on one sample.

    Returns:
        A function of the same arguments.

    Example:
        >>> exponential = multiplicative_score(lambda x: -2.0 * jnp.ones_like(x))  # density 2 exp(-2 x)
        >>> exponential(jnp.array([3.0]))
        Array([-6.], dtype=float32)

    Source: Shetty, Prasath and Seelamantula (2025), arXiv:2510.02730.
    """

    def relative(x: Float[Array, "*event"], *t: Float[Array, ""]) -> Float[Array, "*event"]:
        return x * score(x, *t).astype(x.dtype)

    return relative


def multiplicative_denoising_loss(
    score: Score,
    process: GeometricBrownian,
    x0: Float[Array, "n *event"],
    t: Float[Array, " n"],
    *,
    key: PRNGKeyArray | None = None,
    noise: Float[Array, "n *event"] | None = None,
    where: Bool[Array, "..."] | None = None,
    offset: int | Int[Array, ""] = 0,
) -> Float[Array, " n"]:
    r"""Denoising score matching under multiplicative noise, `|sigma sqrt(t) (h(x_t, t) + 1) + e|² / 2`.

    The relative score of the noised data given the clean ones is `-1 - e / sigma sqrt(t)`; the squared error of h is
    weighted with `sigma² t`, so that nothing is divided by at any noise level. For weight w multiply the loss by
    `w(t) / (sigma² t)`.

    Args:
        score: The relative score `h(x, t)` to fit (see `multiplicative_score`), on one sample and one time.
        process: The noise process.
        x0: Clean samples, positive: shift data that hold zeros first.
        t: One time for each sample. It is cast to the dtype of `x0`.
        key: Random key. Row `i` draws its noise with `fold_in(key, offset + i)`.
        noise: Standard normal noise to use, in place of `key`.
        where: Entries that take part, of the shape of `x0` or one that broadcasts to it. The others may hold anything;
            the score sees ones there.
        offset: Place of the first row in the whole batch, so that chunks draw what the whole would.

    Returns:
        One loss for each example, in [0, inf).

    Raises:
        ValueError: There are no rows, neither `key` nor `noise`, or the score changes the shape of its sample.

    Data that are not positive are an error at run time.

    Example:
        >>> process, x0, t = GeometricBrownian(0.5, 1.0), jnp.ones((2, 3)), jnp.array([0.5, 2.0])
        >>> exact = lambda x, t: -1 - jnp.log(x) / t  # all data at one
        >>> bool((multiplicative_denoising_loss(exact, process, x0, t, key=jax.random.key(0)) < 1e-9).all())
        True

    Source: Shetty, Prasath and Seelamantula (2025), arXiv:2510.02730.
    """
    if key is None and noise is None:
        raise ValueError("the loss draws noise: pass key=, or the noise itself.")
    mask = spread_mask(where, x0)
    clean = _positive(masked_where(mask, x0, 1.0))
    draws = noise if key is None or noise is not None else row_keys(key, x0.shape[0], offset)

    def example(x0, t, where, draw):
        if noise is None:
            x, e = process.perturb(x0, t, key=draw)
        else:
            e = masked_where(where, draw, 0.0)
            x = process.noised(x0, t, e)
        relative = masked_score(score, where, t, fill=1.0)(x)
        error = masked_where(where, process.log_std(t).astype(x.dtype) * (relative + 1) + e, 0.0)
        return 0.5 * jnp.vdot(error, error)

    return jax.vmap(example)(clean, t.astype(x0.dtype), mask, draws)


def multiplicative_implicit_loss(
    score: Score, x: Float[Array, "n *event"], *, where: Bool[Array, "..."] | None = None
) -> Float[Array, " n"]:
    r"""Score matching on positive data by a relative score, `sum_i h_i²/2 + h_i + x_i d_i h_i`.

    It is Hyvärinen's loss for non-negative data with the score `h(x) / x`. Its expectation is half the mean squared
    error of h plus a constant, if `x_i p(x) h_i(x)` vanishes at zero and at infinity.

    Args:
        score: The relative score `h(x)` to fit (see `multiplicative_score`), on one sample. It must be differentiable.
        x: Samples, positive.
        where: Entries that take part, of the shape of `x` or one that broadcasts to it. The others may hold anything;
            the score sees ones there, and no derivative is taken in them.

    Returns:
        One loss for each example, any real number.

    Raises:
        ValueError: There are no rows, or the score changes the shape of its sample.

    Data that are not positive are an error at run time.

    Example:
        >>> multiplicative_implicit_loss(lambda x: -x, jnp.array([[1.0, 2.0]]))  # the standard exponential
        Array([-3.5], dtype=float32)

    Source: Hyvärinen (2007), doi:10.1016/j.csda.2006.09.003; Shetty, Prasath and Seelamantula (2025), arXiv:2510.02730.
    """
    mask = spread_mask(where, x)

    def example(x, where):
        value, derivative = jax.linearize(masked_score(score, where, fill=1.0), x)

        def diagonal(entry):
            scaled = jnp.where(jnp.arange(x.size) == entry, x.reshape(-1), jnp.zeros(x.size, x.dtype))
            return derivative(scaled.reshape(x.shape)).reshape(-1)[entry]

        slope = map_in_turn(diagonal, jnp.arange(x.size)).sum()
        return 0.5 * jnp.vdot(value, value) + value.sum() + slope

    return jax.vmap(example)(_positive(masked_where(mask, x, 1.0)), mask)


class _Step(NamedTuple):
    """Coefficients of a step, on the relative score, on the noise, and on neither."""

    t: Float[Array, "*s"]
    shift: Float[Array, "*s"]
    pull: Float[Array, "*s"]
    spread: Float[Array, "*s"]


def multiplicative_sample(
    score: Score,
    process: GeometricBrownian,
    x_T: Float[Array, "n *event"],
    times: Float[Array, " t"],
    *,
    key: PRNGKeyArray | None = None,
    method: str = "dale",
    offset: int | Int[Array, ""] = 0,
) -> Float[Array, "n *event"]:
    r"""Samples by the reverse equation of geometric Brownian motion, each step a multiplication.

    With h the relative score and `δ` the width of a step:
    "dale", `x ← x exp(δ (3/2 sigma² - mu + sigma² h) + sigma sqrt(δ) e)`, which keeps every sign whatever the step;
    "sign_agnostic", `x ← x (1 + δ (2 sigma² - mu + sigma² h) + sigma sqrt(δ) e)`, which does not where steps are large;
    "flow", the probability flow `x ← x exp(δ [sigma²/2 (h + 1) - (mu - sigma²/2)])`, without noise.

    All are of first order.

    Args:
        score: The relative score `h(x, t)` (see `multiplicative_score`), on one sample and one time.
        process: The noise process the score belongs to.
        x_T: Positive samples at the first time.
        times: At least two times, decreasing.
        key: Random key, for all methods but "flow". Row `i` uses `fold_in(key, offset + i)`.
        method: As above.
        offset: Place of the first row in the whole batch, so that chunks draw what the whole would.

    Returns:
        Samples at the last time. Where "sign_agnostic" took an entry to zero or below, its later values mean nothing:
        take smaller steps, or "dale".

    Raises:
        ValueError: Fewer than two times, an unknown method, one that needs a key, or a score that changes the shape of
            its sample.

    Example:
        >>> process = GeometricBrownian(0.5, 1.0)
        >>> exact = lambda x, t: -1 - jnp.log(x) / t  # all data at one
        >>> times = jnp.linspace(1.0, 0.001, 200)
        >>> x = multiplicative_sample(exact, process, jnp.array([[3.0]]), times, method="flow")
        >>> bool(jnp.abs(x - 1)[0, 0] < 0.1)
        True

    Source: Shetty, Prasath and Seelamantula (2025), arXiv:2510.02730.
    """
    if method not in ("dale", "sign_agnostic", "flow"):
        raise ValueError(f"unknown method {method!r}: expected 'dale', 'sign_agnostic' or 'flow'.")
    if times.shape[0] < 2:
        raise ValueError(f"a sampler needs at least two times, not {times.shape[0]}.")
    if method != "flow" and key is None:
        raise ValueError(f"the method {method!r} draws noise: pass key=, or take method='flow'.")
    steps = _steps(process, times.astype(x_T.dtype), method)
    keys = None if key is None else row_keys(key, x_T.shape[0], offset)

    def step(x, at):
        index, coefficients = at
        change = functools.partial(_change, score, coefficients, index, method)
        growth = jax.vmap(change)(x, keys)
        return x * (1 + growth if method == "sign_agnostic" else jnp.exp(growth)), None

    return jax.lax.scan(step, x_T, (jnp.arange(len(times) - 1, dtype=jnp.int32), steps))[0]


def _steps(process: GeometricBrownian, times: Float[Array, " t"], method: str) -> _Step:
    width = times[:-1] - times[1:]
    mu, square = process.mu.astype(times.dtype), process.sigma.astype(times.dtype) ** 2
    if method == "flow":
        return _Step(times[:-1], width * (square - mu), 0.5 * width * square, jnp.zeros_like(width))
    whole = 2.0 if method == "sign_agnostic" else 1.5
    return _Step(times[:-1], width * (whole * square - mu), width * square, jnp.sqrt(width * square))


def _change(
    score: Score,
    at: _Step,
    index: Int[Array, ""],
    method: str,
    x: Float[Array, "*event"],
    key: PRNGKeyArray | None,
) -> Float[Array, "*event"]:
    growth = at.shift + at.pull * masked_score(score, None, at.t)(x)
    if method == "flow" or key is None:
        return growth
    return growth + at.spread * jax.random.normal(jax.random.fold_in(key, index), x.shape, x.dtype)


def _positive(x: Float[Array, "n *event"]) -> Float[Array, "n *event"]:
    return eqx.error_if(
        x, x <= 0, "multiplicative noise needs positive data: shift data that hold zeros, such as x + 1."
    )
