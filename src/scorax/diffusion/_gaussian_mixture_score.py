"""The score of noised mixtures of normal laws."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from scorax.diffusion._exact_scores import AbstractExactScore, need_noise, on_simplex
from scorax.diffusion._gaussian_score import (
    Component,
    component_denoise,
    component_draw,
    component_log_prob,
    component_score,
)
from scorax.diffusion._process import AbstractProcess


class GaussianMixtureScore(AbstractExactScore):
    r"""The score of a noised mixture of normal laws, `sum_k w_k N(mean_k, V_k diag(eigenvalues_k) V_kᵀ)`.

    It is the mean of the components' scores, weighted by the probability that the noised sample belongs to each, which
    is computed in log space. Components may have any common rank, zero for points.

    Args:
        weights: Weight of each component. They are zero or more and sum to one.
        means: Mean of each component, in the shape of a sample.
        eigenvectors: Orthonormal columns of each component, one row for each entry of the flattened sample.
        eigenvalues: Variance along each column. Zero or more.
        process: The noise process that `x` and `t` belong to.

    All are leaves. Where a variance is zero the noise level must be positive, else the score is a run-time error.

    Raises:
        ValueError: The shapes do not fit together.

    Example:
        >>> weights, means, process = jnp.array([0.5, 0.5]), jnp.array([[-1.0], [1.0]]), sx.diffusion.EDM()
        >>> model = GaussianMixtureScore.isotropic(weights, means, jnp.array([0.0, 0.0]), process)
        >>> model.denoise(jnp.array([1.0]), jnp.array(1.0))  # tanh(1)
        Array([0.7615942], dtype=float32)

    Source: Wang and Vastola (2024), arXiv:2412.09726.
    """

    weights: Float[Array, " k"]
    means: Float[Array, "k *event"]
    eigenvectors: Float[Array, "k d r"]
    eigenvalues: Float[Array, "k r"]
    rest: Float[Array, " k"]
    process: AbstractProcess

    def __init__(
        self,
        weights: Float[Array, " weights"],
        means: Float[Array, "k *event"],
        eigenvectors: Float[Array, "vectors d r"],
        eigenvalues: Float[Array, "values rank"],
        process: AbstractProcess,
        *,
        rest: Float[Array, " k"] | None = None,
    ):
        k, d, r = means.shape[0], means[0].size, eigenvalues.shape[-1]
        if weights.shape != (k,) or eigenvalues.shape != (k, r) or eigenvectors.shape != (k, d, r):
            raise ValueError(
                f"means of shape {means.shape} need weights of shape {(k,)}, eigenvalues of shape (k, r) and "
                f"eigenvectors of shape {(k, d, 'r')}, not {weights.shape}, {eigenvalues.shape}, {eigenvectors.shape}."
            )
        self.weights = on_simplex(weights)
        self.means, self.eigenvectors, self.eigenvalues, self.process = means, eigenvectors, eigenvalues, process
        self.rest = jnp.zeros(k, means.dtype) if rest is None else rest

    @classmethod
    def isotropic(
        cls,
        weights: Float[Array, " weights"],
        means: Float[Array, "k *event"],
        variances: Float[Array, " variances"],
        process: AbstractProcess,
    ) -> "GaussianMixtureScore":
        """Of components with one variance each, the same in all directions."""
        k, d = means.shape[0], means[0].size
        if variances.shape != (k,):
            raise ValueError(f"means of shape {means.shape} need variances of shape {(k,)}, not {variances.shape}.")
        none = jnp.zeros((k, d, 0), means.dtype)
        return cls(weights, means, none, none[:, 0], process, rest=variances)

    def responsibilities(self, x: Float[Array, "*event"], t: float | Float[Array, ""]) -> Float[Array, " k"]:
        """Probability that a noised sample belongs to each component."""
        laws = self._noised(x, *self._levels(t, x.dtype))
        return jax.nn.softmax(self._joint(laws, x))

    def score_at(
        self, x: Float[Array, "*event"], alpha: Float[Array, ""], sigma: Float[Array, ""]
    ) -> Float[Array, "*event"]:
        """Gradient in `x` of the log-density of `alpha x_0 + sigma e`."""
        laws = self._noised(x, alpha, sigma)
        scores = jax.vmap(component_score, (0, None))(laws, x.reshape(-1))
        return (jax.nn.softmax(self._joint(laws, x)) @ scores).reshape(x.shape)

    def denoise_at(
        self, x: Float[Array, "*event"], alpha: Float[Array, ""], sigma: Float[Array, ""]
    ) -> Float[Array, "*event"]:
        """Mean of `x_0` given that `alpha x_0 + sigma e` is `x`."""
        weights = jax.nn.softmax(self._joint(self._noised(x, alpha, sigma), x))
        clean = jax.vmap(component_denoise, (0, None, None, None))(self._components(x), x.reshape(-1), alpha, sigma)
        return (weights @ clean).reshape(x.shape)

    def log_prob_at(
        self, x: Float[Array, "*event"], alpha: Float[Array, ""], sigma: Float[Array, ""]
    ) -> Float[Array, ""]:
        """Natural log of the density of `alpha x_0 + sigma e`."""
        return jax.nn.logsumexp(self._joint(self._noised(x, alpha, sigma), x))

    def draw(self, *, key: PRNGKeyArray) -> Float[Array, "..."]:
        """One sample without noise."""
        which, within = jax.random.split(key)
        index = jax.random.categorical(which, jnp.log(self.weights))
        law = jax.tree.map(lambda leaf: leaf[index], self._components(self.means[0]))
        return component_draw(law, key=within).reshape(self.means.shape[1:])

    def _joint(self, laws: Component, x: Float[Array, "*event"]) -> Float[Array, " k"]:
        """Log-density of each component at a sample, with its weight."""
        return jnp.log(self.weights.astype(x.dtype)) + jax.vmap(component_log_prob, (0, None))(laws, x.reshape(-1))

    def _noised(self, x: Float[Array, "*event"], alpha: Float[Array, ""], sigma: Float[Array, ""]) -> Component:
        laws = jax.vmap(Component.noised, (0, None, None))(self._components(x), alpha, sigma)
        least = jax.vmap(Component.least)(laws).min()
        return laws._replace(mean=need_noise(laws.mean, least))

    def _components(self, like: Float[Array, "*event"]) -> Component:
        k, *event = self.means.shape
        if like.shape != tuple(event):
            raise ValueError(
                f"a sample of shape {like.shape} does not fit means of shape {tuple(event)}. These functions take one "
                "sample: jax.vmap them over a batch."
            )
        means, vectors, values, rest = (
            leaf.astype(like.dtype)
            for leaf in (self.means.reshape(k, -1), self.eigenvectors, self.eigenvalues, self.rest)
        )
        return Component(means, vectors, values, rest)
