"""The score of noised normal data, of full or low rank, with its flow in closed form."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from scorax.diffusion._exact_scores import AbstractExactScore, need_noise
from scorax.diffusion._process import AbstractProcess

_PRECISION = jax.lax.Precision.HIGHEST  # the half-length products of accelerators are too coarse for small noise


class Component(NamedTuple):
    """A normal law `N(mean, V diag(values) V' + rest (I - V V'))` on flat samples."""

    mean: Float[Array, " d"]
    vectors: Float[Array, "d r"]
    values: Float[Array, " r"]
    rest: Float[Array, ""]

    def noised(self, alpha: Float[Array, ""], sigma: Float[Array, ""]) -> "Component":
        """The law of `alpha x_0 + sigma e`."""
        signal, noise = alpha**2, sigma**2
        return Component(alpha * self.mean, self.vectors, signal * self.values + noise, signal * self.rest + noise)

    def least(self) -> Float[Array, ""]:
        """The smallest variance in any direction."""
        values = self.values if _spans(self.vectors) else jnp.append(self.values, self.rest)
        return values.min()


def _spans(vectors: Float[Array, "d r"]) -> bool:
    return vectors.shape[0] == vectors.shape[1]


def _split(law: Component, x: Float[Array, " d"]) -> tuple[Float[Array, " r"], Float[Array, " d"]]:
    """Coordinates of the deviation in the span, and its part outside, zero where the span is everything."""
    deviation = x - law.mean
    coordinates = jnp.matmul(law.vectors.T, deviation, precision=_PRECISION)
    if _spans(law.vectors):
        return coordinates, jnp.zeros_like(deviation)
    outside = deviation - _combine(law, coordinates)
    # Once more: what the first subtraction left of the span would be divided by a much smaller variance.
    outside = outside - _combine(law, jnp.matmul(law.vectors.T, outside, precision=_PRECISION))
    return coordinates, outside


def _combine(law: Component, coordinates: Float[Array, " r"]) -> Float[Array, " d"]:
    return jnp.matmul(law.vectors, coordinates, precision=_PRECISION)


def component_score(law: Component, x: Float[Array, " d"]) -> Float[Array, " d"]:
    """Gradient of the log-density: each part of the deviation over its own variance, nothing subtracted."""
    coordinates, outside = _split(law, x)
    inside = _combine(law, coordinates / law.values)
    return -inside if _spans(law.vectors) else -(inside + outside / law.rest)


def component_denoise(
    clean: Component, x: Float[Array, " d"], alpha: Float[Array, ""], sigma: Float[Array, ""]
) -> Float[Array, " d"]:
    """Mean of the clean sample: each part of the deviation shrunk by its share of signal."""
    noised = clean.noised(alpha, sigma)
    coordinates, outside = _split(noised, x)
    inside = clean.mean + _combine(clean, alpha * clean.values / noised.values * coordinates)
    return inside if _spans(clean.vectors) else inside + alpha * clean.rest / noised.rest * outside


def component_log_prob(law: Component, x: Float[Array, " d"]) -> Float[Array, ""]:
    """Natural log of the density."""
    coordinates, outside = _split(law, x)
    square = jnp.sum(coordinates**2 / law.values)
    log_det = jnp.sum(jnp.log(law.values))
    if not _spans(law.vectors):
        square = square + jnp.sum(outside**2) / law.rest
        log_det = log_det + (x.size - law.values.size) * jnp.log(law.rest)
    return -0.5 * (square + log_det + x.size * jnp.log(jnp.asarray(2 * jnp.pi, x.dtype)))


def component_draw(law: Component, *, key: PRNGKeyArray) -> Float[Array, " d"]:
    """One sample."""
    in_span, outside = jax.random.split(key)
    dtype, (d, r) = law.mean.dtype, law.vectors.shape
    x = law.mean + _combine(law, jnp.sqrt(law.values) * jax.random.normal(in_span, (r,), dtype))
    if _spans(law.vectors):
        return x
    noise = jax.random.normal(outside, (d,), dtype)
    noise = noise - _combine(law, jnp.matmul(law.vectors.T, noise, precision=_PRECISION))
    return x + jnp.sqrt(law.rest) * noise


class GaussianScore(AbstractExactScore):
    r"""The score of noised normal data, `N(mean, V diag(eigenvalues) Vᵀ + rest (I - V Vᵀ))`.

    With `delta = x - alpha mean`, `c = alpha² eigenvalues + sigma²` and `c_rest = alpha² rest + sigma²`,

    $$\text{score} = -V \operatorname{diag}(1/c) V^\top \delta - (I - V V^\top) \delta / c_\text{rest}.$$

    No matrix is formed or inverted: a sample costs two products with `V`. It is the best score that is linear in `x`,
    and close to the score of most data at high noise, where `explained_variance` says how close.

    Args:
        mean: Mean of the data, in the shape of a sample.
        eigenvectors: Orthonormal columns, one row for each entry of the flattened sample. No columns are allowed.
        eigenvalues: Variance along each column. Zero or more.
        process: The noise process that `x` and `t` belong to.
        rest: Variance in all directions outside the columns' span. Zero or more.

    All are leaves. Where a variance is zero the noise level must be positive, else the score is a run-time error.

    Raises:
        ValueError: The shapes do not fit together.

    Example:
        >>> model = GaussianScore(jnp.zeros(2), jnp.eye(2), jnp.array([3.0, 1.0]), sx.diffusion.EDM())
        >>> model.score(jnp.ones(2), jnp.array(1.0))
        Array([-0.25, -0.5 ], dtype=float32)
        >>> model.flow(jnp.ones(2), jnp.array(1.0), jnp.array(0.0))  # of the noised sample to its clean one
        Array([0.8660254 , 0.70710677], dtype=float32)

    Source: Wang and Vastola (2024), arXiv:2412.09726.
    """

    mean: Float[Array, "*event"]
    eigenvectors: Float[Array, "d r"]
    eigenvalues: Float[Array, " r"]
    rest: Float[Array, ""]
    process: AbstractProcess

    def __init__(
        self,
        mean: Float[Array, "*event"],
        eigenvectors: Float[Array, "d r"],
        eigenvalues: Float[Array, " values"],
        process: AbstractProcess,
        *,
        rest: float | Float[Array, ""] = 0.0,
    ):
        if eigenvectors.shape != (mean.size, eigenvalues.size):
            raise ValueError(
                f"a mean of {mean.size} entries with {eigenvalues.size} eigenvalues needs eigenvectors of shape "
                f"{(mean.size, eigenvalues.size)}, one column each, not {eigenvectors.shape}."
            )
        self.mean, self.eigenvectors, self.eigenvalues, self.process = mean, eigenvectors, eigenvalues, process
        self.rest = jnp.asarray(rest, mean.dtype)

    @classmethod
    def from_covariance(
        cls, mean: Float[Array, "*event"], covariance: Float[Array, "d d"], process: AbstractProcess
    ) -> "GaussianScore":
        """Of a mean and a covariance of the flattened sample; rounding errors below zero are taken for zero.

        Example:
            >>> GaussianScore.from_covariance(jnp.zeros(2), jnp.eye(2), sx.diffusion.EDM()).eigenvalues
            Array([1., 1.], dtype=float32)
        """
        if covariance.shape != (mean.size, mean.size):
            raise ValueError(
                f"a mean of {mean.size} entries needs a covariance of shape {(mean.size, mean.size)}, "
                f"not {covariance.shape}."
            )
        eigenvalues, eigenvectors = jnp.linalg.eigh(covariance)
        return cls(mean, eigenvectors, jnp.maximum(eigenvalues, 0), process)

    @classmethod
    def from_data(
        cls,
        x: Float[Array, "n *event"],
        process: AbstractProcess,
        *,
        rank: int | None = None,
        shrinkage: float = 0.0,
    ) -> "GaussianScore":
        r"""Maximum likelihood: the mean and the biased covariance (a mean over rows) of data.

        Args:
            x: Clean samples, at least one.
            process: The noise process.
            rank: How many leading directions to keep; the rest has variance zero before shrinkage. All of them if
                None: `min(n - 1, d)`, found by a thin decomposition, so that there may be fewer rows than entries.
            shrinkage: Share, in [0, 1], of `I tr(C) / d` in the covariance; the rest is the `C` of the data.

        Raises:
            ValueError: There are no rows, `rank` exceeds `min(n - 1, d)`, or `shrinkage` is outside [0, 1].

        Example:
            >>> model = GaussianScore.from_data(jnp.array([[0.0, 1.0], [2.0, 1.0]]), sx.diffusion.EDM())
            >>> model.mean, model.eigenvalues
            (Array([1., 1.], dtype=float32), Array([1.], dtype=float32))

        Source: Ledoit and Wolf (2004), doi:10.1016/S0047-259X(03)00096-4 (shrinkage).
        """
        n = x.shape[0]
        if n == 0:
            raise ValueError(f"the data have no rows: their shape is {x.shape}.")
        if not 0 <= shrinkage <= 1:
            raise ValueError(f"shrinkage must lie in [0, 1], not {shrinkage}.")
        mean = x.mean(0)
        full = min(n - 1, mean.size)
        kept = full if rank is None else rank
        if not 0 <= kept <= full:
            raise ValueError(f"rank must lie in [0, {full}] for data of shape {x.shape}, not {rank}.")
        centred = (x - mean[None]).reshape(n, mean.size)
        _, singular, transposed = jnp.linalg.svd(centred, full_matrices=False)
        values = singular**2 / n
        level = shrinkage * values.sum() / mean.size
        eigenvalues = (1 - shrinkage) * values[:kept] + level
        return cls(mean, transposed[:kept].T, eigenvalues, process, rest=level)

    def flow(
        self, x: Float[Array, "*event"], t_from: float | Float[Array, ""], t_to: float | Float[Array, ""]
    ) -> Float[Array, "*event"]:
        """Where the probability flow carries a noised sample, exactly and at any distance in time.

        Each part of the deviation keeps its size in standard deviations. No variance may be zero at `t_from`.

        Args:
            x: A sample at `t_from`.
            t_from: Time of the sample.
            t_to: Time to carry it to, earlier or later.
        """
        start, end = (self._component(x).noised(*self._levels(t, x.dtype)) for t in (t_from, t_to))
        coordinates, outside = _split(start, need_noise(x, start.least()).reshape(-1))
        inside = end.mean + _combine(end, jnp.sqrt(end.values / start.values) * coordinates)
        if not _spans(self.eigenvectors):
            inside = inside + jnp.sqrt(end.rest / start.rest) * outside
        return inside.reshape(x.shape)

    def score_at(
        self, x: Float[Array, "*event"], alpha: Float[Array, ""], sigma: Float[Array, ""]
    ) -> Float[Array, "*event"]:
        """Gradient in `x` of the log-density of `alpha x_0 + sigma e`."""
        law = self._component(x).noised(alpha, sigma)
        return component_score(law, need_noise(x, law.least()).reshape(-1)).reshape(x.shape)

    def denoise_at(
        self, x: Float[Array, "*event"], alpha: Float[Array, ""], sigma: Float[Array, ""]
    ) -> Float[Array, "*event"]:
        """Mean of `x_0` given that `alpha x_0 + sigma e` is `x`."""
        law = self._component(x)
        x = need_noise(x, law.noised(alpha, sigma).least())
        return component_denoise(law, x.reshape(-1), alpha, sigma).reshape(x.shape)

    def log_prob_at(
        self, x: Float[Array, "*event"], alpha: Float[Array, ""], sigma: Float[Array, ""]
    ) -> Float[Array, ""]:
        """Natural log of the density of `alpha x_0 + sigma e`."""
        law = self._component(x).noised(alpha, sigma)
        return component_log_prob(law, need_noise(x, law.least()).reshape(-1))

    def draw(self, *, key: PRNGKeyArray) -> Float[Array, "..."]:
        """One sample without noise."""
        return component_draw(self._component(self.mean), key=key).reshape(self.mean.shape)

    def _component(self, like: Float[Array, "*event"]) -> Component:
        if like.shape != self.mean.shape:
            raise ValueError(
                f"a sample of shape {like.shape} does not fit a mean of shape {self.mean.shape}. These functions take "
                "one sample: jax.vmap them over a batch."
            )
        mean, vectors, values, rest = (
            leaf.astype(like.dtype) for leaf in (self.mean.reshape(-1), self.eigenvectors, self.eigenvalues, self.rest)
        )
        return Component(mean, vectors, values, rest)
