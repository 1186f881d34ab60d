"""Denoising score matching: a score of noised data, fitted by regression on the noise."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from scorax.numerics import masked_where
from scorax.score_matching._score import Score, masked_score, row_keys, spread_mask


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
    ("likelihood"); Karras, Aittala, Aila and Laine (2022), arXiv:2206.00364 ("edm").
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
    }
    if weighting not in weights:
        known = ", ".join(map(repr, (*weights, "likelihood")))
        raise ValueError(f"unknown weighting {weighting!r}: expected {known} or a function of the time.")
    return weights[weighting]
