"""The score of a noised training set, each of whose samples is a point of mass."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from equinox.internal import unvmap_any
from jaxtyping import Array, Float, PRNGKeyArray

from scorax.diffusion._exact_scores import AbstractExactScore, need_noise, on_simplex
from scorax.diffusion._process import AbstractProcess

_PRECISION = jax.lax.Precision.HIGHEST  # the half-length products of accelerators spoil the exponents
_TOLERANCE = 1e-3  # largest rounding error of an exponent that products may leave


class _Running(NamedTuple):
    """Sums over the data seen so far, relative to the largest exponent among them."""

    top: Float[Array, ""]
    total: Float[Array, ""]
    mean: Float[Array, " d"]


class EmpiricalScore(AbstractExactScore):
    r"""The score of a noised data set: the law that gives each of its samples its weight, and nothing elsewhere.

    $$\text{score} = \Big(\alpha \sum_i w_i y_i - x\Big) / \sigma^2, \quad
      w = \operatorname{softmax}\big({-|x - \alpha y_i|^2} / 2 \sigma^2\big)$$

    It is what a score network that fits its training data perfectly would learn: its samples are the data themselves.
    The data are passed in chunks with a running log-sum-exp, so that a batch of queries under `jax.vmap` is two matrix
    products a chunk, and no array of queries by data is held. Exponents come from products of centred samples as long
    as rounding moves none by more than 1e-3, and from differences where the noise is less than that allows; a batch
    takes differences if one of its queries must.

    Args:
        data: Clean samples, at least one.
        process: The noise process that `x` and `t` belong to. The noise must not be zero at `t`, else there is
            a run-time error.
        weights: Weight of each sample, zero or more, with sum one. None for equal weights.
        chunk: How many samples are taken at a time.

    Raises:
        ValueError: There are no rows, the weights have another shape, or `chunk` is not positive.

    Example:
        >>> model = EmpiricalScore(jnp.array([[-1.0], [1.0]]), sx.diffusion.EDM())
        >>> model.denoise(jnp.array([1.0]), jnp.array(1.0))  # tanh(1)
        Array([0.7615942], dtype=float32)

    Source: Wang and Vastola (2024), arXiv:2412.09726; Milakov and Gimelshein (2018), arXiv:1805.02867 (running
    log-sum-exp).
    """

    centre: Float[Array, "*event"]
    chunks: Float[Array, "chunks size d"]
    log_weights: Float[Array, "chunks size"]
    process: AbstractProcess

    def __init__(
        self,
        data: Float[Array, "n *event"],
        process: AbstractProcess,
        *,
        weights: Float[Array, " weights"] | None = None,
        chunk: int = 1024,
    ):
        n = data.shape[0]
        if n == 0:
            raise ValueError(f"the data have no rows: their shape is {data.shape}.")
        if chunk < 1:
            raise ValueError(f"chunk must be at least 1, not {chunk}.")
        if weights is not None and weights.shape != (n,):
            raise ValueError(f"{n} samples need weights of shape {(n,)}, not {weights.shape}.")
        size = min(chunk, n)
        padding = -n % size
        self.centre = data.mean(0)
        flat = (data - self.centre[None]).reshape(n, -1)
        self.chunks = jnp.pad(flat, ((0, padding), (0, 0))).reshape(-1, size, flat.shape[1])
        each = jnp.full(n, 1 / n, data.dtype) if weights is None else on_simplex(weights).astype(data.dtype)
        self.log_weights = jnp.pad(jnp.log(each), (0, padding), constant_values=-jnp.inf).reshape(-1, size)
        self.process = process

    def score_at(
        self, x: Float[Array, "*event"], alpha: Float[Array, ""], sigma: Float[Array, ""]
    ) -> Float[Array, "*event"]:
        """Gradient in `x` of the log-density of `alpha x_0 + sigma e`."""
        centred, found = self._pass(x, alpha, sigma)
        return ((alpha * found.mean - centred) / sigma**2).reshape(x.shape)

    def denoise_at(
        self, x: Float[Array, "*event"], alpha: Float[Array, ""], sigma: Float[Array, ""]
    ) -> Float[Array, "*event"]:
        """Mean of `x_0` given that `alpha x_0 + sigma e` is `x`."""
        _, found = self._pass(x, alpha, sigma)
        return self.centre.astype(x.dtype) + found.mean.reshape(x.shape)

    def log_prob_at(
        self, x: Float[Array, "*event"], alpha: Float[Array, ""], sigma: Float[Array, ""]
    ) -> Float[Array, ""]:
        """Natural log of the density of `alpha x_0 + sigma e`."""
        _, found = self._pass(x, alpha, sigma)
        scale = jnp.log(sigma) + 0.5 * jnp.log(jnp.asarray(2 * jnp.pi, x.dtype))
        return found.top + jnp.log(found.total) - x.size * scale

    def draw(self, *, key: PRNGKeyArray) -> Float[Array, "..."]:
        """One sample without noise: one of the data."""
        flat = self.chunks.reshape(-1, self.chunks.shape[-1])
        row = flat[jax.random.categorical(key, self.log_weights.reshape(-1))]
        return self.centre + row.reshape(self.centre.shape)

    def _pass(
        self, x: Float[Array, "*event"], alpha: Float[Array, ""], sigma: Float[Array, ""]
    ) -> tuple[Float[Array, " d"], _Running]:
        """The centred query, and one pass over the data: their exponents' log-sum, and the mean of the centred data."""
        if x.shape != self.centre.shape:
            raise ValueError(
                f"a sample of shape {x.shape} does not fit data of samples of shape {self.centre.shape}. These "
                "functions take one sample: jax.vmap them over a batch."
            )
        centred = (need_noise(x, sigma) - alpha * self.centre.astype(x.dtype)).reshape(-1)
        chunks, log_weights = self.chunks.astype(x.dtype), self.log_weights.astype(x.dtype)
        reach, square = alpha * jnp.sqrt((chunks**2).sum(-1).max()), (centred**2).sum()
        rounding = float(jnp.finfo(x.dtype).eps) * reach * jnp.maximum(reach, jnp.sqrt(square)) / sigma**2
        # One branch for a whole batch: a choice for each query would make both, on copies of the data.
        coarse = unvmap_any(jax.lax.stop_gradient(rounding) > _TOLERANCE)
        run = functools.partial(_sums, centred, chunks, log_weights, alpha, sigma)

        def products():
            found = run(_by_products)
            return found._replace(top=found.top - 0.5 * square / sigma**2)

        return centred, jax.lax.cond(coarse, lambda: run(_by_differences), products)


def _sums(x, chunks, log_weights, alpha, sigma, exponents) -> _Running:
    @jax.checkpoint
    def add(sofar: _Running, piece: tuple[Float[Array, "size d"], Float[Array, " size"]]) -> tuple[_Running, None]:
        data, log_weight = piece
        exponent = log_weight + exponents(x, alpha, data) / sigma**2
        top = jax.lax.stop_gradient(jnp.maximum(sofar.top, exponent.max()))
        fade, weight = jnp.exp(sofar.top - top), jnp.exp(exponent - top)
        mean = fade * sofar.mean + jnp.matmul(weight, data, precision=_PRECISION)
        return _Running(top, fade * sofar.total + weight.sum(), mean), None

    start = _Running(jnp.full((), -jnp.inf, x.dtype), jnp.zeros((), x.dtype), jnp.zeros_like(x))
    end, _ = jax.lax.scan(add, start, (chunks, log_weights))
    return end._replace(mean=end.mean / end.total)


def _by_products(x: Float[Array, " d"], alpha: Float[Array, ""], data: Float[Array, "size d"]) -> Float[Array, " size"]:
    """As matrix products of a batch of queries, without `-|x|² / 2`, which is the same for all data."""
    return alpha * jnp.matmul(data, x, precision=_PRECISION) - 0.5 * alpha**2 * (data**2).sum(-1)


def _by_differences(
    x: Float[Array, " d"], alpha: Float[Array, ""], data: Float[Array, "size d"]
) -> Float[Array, " size"]:
    """To the last digit."""
    return -0.5 * ((x[None] - alpha * data) ** 2).sum(-1)
