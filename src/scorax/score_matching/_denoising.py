"""Denoising score matching: a score of noised data, fitted by regression on the noise."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from scorax.numerics import masked_where, row_keys, spread_mask
from scorax.score_matching._score import Score, masked_score


@runtime_checkable
class NoiseProcess(Protocol):
    """Anything that noises one sample: `x_t = alpha(t) x0 + sigma(t) e`, with `e` standard normal."""

    def alpha(self, t: Float[Array, "..."], /) -> Float[Array, "..."]:
        """Factor of the clean sample."""
        ...

    def sigma(self, t: Float[Array, "..."], /) -> Float[Array, "..."]:
        """Standard deviation of the noise."""
        ...

    def perturb(
        self, x0: Float[Array, "..."], t: Float[Array, ""], /, *, key: PRNGKeyArray
    ) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        """The noised sample and the noise `e` in it."""
        ...


@runtime_checkable
class DiffusionProcess(NoiseProcess, Protocol):
    """A noise process that knows its diffusion coefficient, which the likelihood weighting asks for."""

    def diffusion2(self, t: Float[Array, "..."], /) -> Float[Array, "..."]:
        """Squared diffusion coefficient g²."""
        ...


Weight = Callable[[Float[Array, ""]], Float[Array, ""]]


def denoising_score_matching_loss(
    score: Score,
    process: NoiseProcess,
    x0: Float[Array, "n *event"],
    t: Float[Array, " n"],
    *,
    key: PRNGKeyArray | None = None,
    noise: Float[Array, "n *event"] | None = None,
    weighting: str | Weight = "std",
    where: Bool[Array, "..."] | None = None,
    offset: int | Int[Array, ""] = 0,
) -> Float[Array, " n"]:
    r"""Denoising score matching, `w(t) |score(x_t, t) + e / sigma(t)|² / 2`, summed over entries.

    Its expectation is that of the explicit loss on the noised data plus a constant, so it fits the score (a gradient of
    a log-density) of the noised data. It is evaluated as `w / sigma² · |sigma score(x_t, t) + e|² / 2`, where
    `w / sigma²` is 1 for the default, which so divides by nothing at any noise level.

    Args:
        score: `score(x, t)`, on one noised sample and one time.
        process: How samples are noised, such as `scorax.diffusion.VariancePreserving()`.
        x0: Clean samples.
        t: One time for each sample, from a time sampler. It is cast to the dtype of `x0`.
        key: Random key. Row `i` draws its noise with `fold_in(key, offset + i)`.
        noise: Standard normal noise to use, in place of `key`.
        weighting: The weight w(t) of the squared error of the score:
            "std", sigma², every noise level counts alike;
            "likelihood", g², a bound on the log-likelihood;
            "uniform", 1;
            "edm", `(1 + 4 (sigma / alpha)²) sigma²`, that of EDM on data of standard deviation 0.5;
            "min_snr", `min(1, 5 (sigma / alpha)²) sigma²`: the error of the denoised sample has the weight
            `min(SNR, 5)`, with `SNR = (alpha / sigma)²`;
            "soft_min_snr", `sigma² / (sigma² + alpha² / 4) sigma²`: the smooth form of the same for a cap of 4, which
            is `(0.5 u)² / (u² + 0.25)²` on the error of an EDM network at `u = sigma / alpha`;
            or a function of one time, which should be zero or positive.
        where: Entries that take part, of the shape of `x0` or one that broadcasts to it. The others may hold anything;
            the score sees zeros there.
        offset: Place of the first row in the whole batch, so that chunks draw what the whole would.

    Returns:
        One loss for each example, in [0, inf).

    Raises:
        ValueError: There are no rows, neither `key` nor `noise`, an unknown weighting, the likelihood weighting for
            a process without `diffusion2`, or a score that changes the shape of its sample.

    Example:
        >>> process, x0, t = sx.diffusion.EDM(), jnp.zeros((2, 3)), jnp.array([0.5, 2.0])
        >>> exact = lambda x, t: -x / t**2  # all data at the origin
        >>> denoising_score_matching_loss(exact, process, x0, t, key=jax.random.key(0))
        Array([0., 0.], dtype=float32)

    Source: Vincent (2011), doi:10.1162/NECO_a_00142; Song, Durkan, Murray and Ermon (2021), arXiv:2101.09258
    ("likelihood"); Karras, Aittala, Aila and Laine (2022), arXiv:2206.00364 ("edm"); Hang, Gu, Li and others (2023),
    arXiv:2303.09556 ("min_snr"); Crowson, Baumann, Birch and others (2024), arXiv:2401.11605 ("soft_min_snr").
    """
    if key is None and noise is None:
        raise ValueError("the loss draws noise: pass key=, or the noise itself.")
    factor = _noise_weight(process, weighting)
    draws = noise if key is None or noise is not None else row_keys(key, x0.shape[0], offset)

    def example(x0, t, where, draw):
        clean, std = masked_where(where, x0, 0.0), process.sigma(t).astype(x0.dtype)
        if noise is None:
            x, e = process.perturb(clean, t, key=draw)
        else:
            x, e = process.alpha(t).astype(x0.dtype) * clean + std * draw, draw
        error = std * masked_score(score, where, t)(x) + masked_where(where, e, 0.0)
        return factor(t) * 0.5 * jnp.vdot(error, error)

    return jax.vmap(example)(x0, t.astype(x0.dtype), spread_mask(where, x0), draws)


def noise_conditional_score_matching_loss(
    score: Score,
    x0: Float[Array, "n *event"],
    levels: Float[Array, " l"],
    *,
    key: PRNGKeyArray,
    where: Bool[Array, "..."] | None = None,
    offset: int | Int[Array, ""] = 0,
) -> Float[Array, " n"]:
    r"""Denoising score matching over a ladder of noise levels, `|sigma score(x0 + sigma e, sigma) + e|² / 2`.

    Each example draws one of the levels and fresh noise, so that the cost is that of one evaluation, and every level
    is trained alike in expectation: the error of the score has the weight sigma².

    Args:
        score: `score(x, sigma)`, a gradient of a log-density, on one noised sample and its noise level.
        x0: Clean samples.
        levels: Standard deviations of the noise, positive, at least one: commonly `jnp.geomspace(50.0, 0.01, 232)`.
            They are cast to the dtype of `x0`.
        key: Random key. Row `i` draws its level and its noise with `fold_in(key, offset + i)`.
        where: Entries that take part, of the shape of `x0` or one that broadcasts to it. The others may hold anything;
            the score sees zeros there.
        offset: Place of the first row in the whole batch, so that chunks draw what the whole would.

    Returns:
        One loss for each example, in [0, inf).

    Raises:
        ValueError: There are no rows or no levels, or the score changes the shape of its sample.

    Example:
        >>> exact = lambda x, sigma: -x / sigma**2  # all data at the origin
        >>> noise_conditional_score_matching_loss(
        ...     exact, jnp.zeros((2, 3)), jnp.array([4.0, 1.0]), key=jax.random.key(0)
        ... )
        Array([0., 0.], dtype=float32)

    Source: Song and Ermon (2019), arXiv:1907.05600; Song and Ermon (2020), arXiv:2006.09011.
    """
    if levels.shape[0] == 0:
        raise ValueError("there are no noise levels: pass at least one standard deviation.")

    def example(x0, where, key):
        level_key, noise_key = jax.random.split(key)
        sigma = jax.random.choice(level_key, levels).astype(x0.dtype)
        noise = masked_where(where, jax.random.normal(noise_key, x0.shape, x0.dtype), 0.0)
        x = masked_where(where, x0, 0.0) + sigma * noise
        error = sigma * masked_score(score, where, sigma)(x) + noise
        return 0.5 * jnp.vdot(error, error)

    return jax.vmap(example)(x0, spread_mask(where, x0), row_keys(key, x0.shape[0], offset))


def _noise_weight(process: NoiseProcess, weighting: str | Weight) -> Weight:
    """The weight of the squared error of the noise, `w / sigma²`."""
    if callable(weighting):
        return lambda t: weighting(t) / process.sigma(t) ** 2
    if weighting == "likelihood":
        if not isinstance(process, DiffusionProcess):
            raise ValueError(f"the likelihood weighting needs a process with diffusion2, which {process!r} lacks.")
        return lambda t: process.diffusion2(t) / process.sigma(t) ** 2
    weights: dict[str, Weight] = {
        "std": jnp.ones_like,
        "uniform": lambda t: 1 / process.sigma(t) ** 2,
        "edm": lambda t: 1 + 4 * (process.sigma(t) / process.alpha(t)) ** 2,
        "min_snr": lambda t: jnp.minimum(5 * (process.sigma(t) / process.alpha(t)) ** 2, 1.0),
        "soft_min_snr": lambda t: process.sigma(t) ** 2 / (process.sigma(t) ** 2 + process.alpha(t) ** 2 / 4),
    }
    if weighting not in weights:
        known = ", ".join(map(repr, (*weights, "likelihood")))
        raise ValueError(f"unknown weighting {weighting!r}: expected {known} or a function of the time.")
    return weights[weighting]
