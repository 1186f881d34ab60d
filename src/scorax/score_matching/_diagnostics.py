"""How two scores differ, and whether a score is the gradient of anything."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from scorax.numerics import map_in_turn, row_keys, spread_mask
from scorax.score_matching._score import Score, masked_score


def fisher_divergence(
    score_p: Score, score_q: Score, samples: Float[Array, "n *event"], *, where: Bool[Array, "..."] | None = None
) -> Float[Array, " n"]:
    r"""The squared distance of two scores at each sample, `|score_p(x) - score_q(x)|²`, summed over entries.

    Its mean over samples of p is the Fisher divergence of p from q. There is no factor of one half, which
    `explicit_score_matching_loss` has.

    Args:
        score_p: The score of the law that the samples are from, on one sample.
        score_q: Another score, on one sample.
        samples: Samples of p.
        where: Entries that take part, of the shape of `samples` or one that broadcasts to it. The others may hold
            anything.

    Returns:
        One number for each sample, in [0, inf).

    Raises:
        ValueError: There are no rows, or a score changes the shape of its sample.

    Example:
        >>> fisher_divergence(lambda x: -x, lambda x: -x / 4, jnp.array([[2.0, 0.0]]))
        Array([2.25], dtype=float32)

    Source: Johnson (2004), doi:10.1142/9781860945373_0001; Hyvärinen (2005), JMLR 6:695-709.
    """

    def example(x, where):
        return jnp.sum((masked_score(score_p, where)(x) - masked_score(score_q, where)(x)) ** 2)

    return jax.vmap(example)(samples, spread_mask(where, samples))


def conservativity_gap(
    score: Score,
    x: Float[Array, "n *event"],
    *,
    key: PRNGKeyArray,
    n_probes: int = 1,
    where: Bool[Array, "..."] | None = None,
    offset: int | Int[Array, ""] = 0,
) -> Float[Array, ""]:
    r"""How far a score is from a gradient, `E |J - Jᵀ|² / E |J|²` in squared Frobenius norms of its Jacobian `J`.

    It is 0 for the gradient of a scalar, and at most 4, reached by an antisymmetric `J`. The norms are estimated by
    random signs, one product with `J` and one with `Jᵀ` a probe; both expectations are means over samples and probes.

    Args:
        score: `score(x)`, on one sample. It must be differentiable.
        x: Samples.
        key: Random key. Row `i` draws its probes with `fold_in(key, offset + i)`.
        n_probes: Probes for each sample.
        where: Entries that take part, of the shape of `x` or one that broadcasts to it. The others may hold anything.
        offset: Place of the first row in the whole batch.

    Returns:
        One number; NaN where the Jacobian is zero for all samples.

    Raises:
        ValueError: There are no rows or no probes, or the score changes the shape of its sample.

    Example:
        >>> turn = jnp.array([[0.0, 1.0], [-1.0, 0.0]])
        >>> conservativity_gap(lambda x: turn @ x, jnp.ones((1, 2)), key=jax.random.key(0))
        Array(4., dtype=float32)

    Source: Horvat and Pfister (2024), arXiv:2402.03845; Chao et al. (2023), arXiv:2209.12753.
    """
    asymmetry, size = jacobian_asymmetry(score, x, key, n_probes, where, offset)
    return asymmetry.mean() / size.mean()


def quasi_conservative_loss(
    score: Score,
    x: Float[Array, "n *event"],
    *,
    key: PRNGKeyArray,
    n_probes: int = 1,
    where: Bool[Array, "..."] | None = None,
    offset: int | Int[Array, ""] = 0,
) -> Float[Array, " n"]:
    r"""A penalty on what keeps a score from being a gradient, `|J - Jᵀ|²` of its Jacobian, estimated by random signs.

    Add it, with a small factor, to the loss that fits the score.

    Args:
        score: The score to fit, on one sample. It must be differentiable.
        x: Samples.
        key: Random key. Row `i` draws its probes with `fold_in(key, offset + i)`.
        n_probes: Probes for each sample.
        where: Entries that take part, of the shape of `x` or one that broadcasts to it. The others may hold anything.
        offset: Place of the first row in the whole batch.

    Returns:
        One loss for each example, in [0, inf).

    Raises:
        ValueError: There are no rows or no probes, or the score changes the shape of its sample.

    Example:
        >>> turn = jnp.array([[0.0, 1.0], [-1.0, 0.0]])
        >>> quasi_conservative_loss(lambda x: turn @ x, jnp.ones((1, 2)), key=jax.random.key(0))
        Array([8.], dtype=float32)

    Source: Chao et al. (2023), arXiv:2209.12753.
    """
    return jacobian_asymmetry(score, x, key, n_probes, where, offset)[0]


def jacobian_asymmetry(
    score: Score,
    x: Float[Array, "n *event"],
    key: PRNGKeyArray,
    n_probes: int,
    where: Bool[Array, "..."] | None,
    offset: int | Int[Array, ""],
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Unbiased estimates of `|J - Jᵀ|²` and `|J|²` at each sample."""
    if n_probes < 1:
        raise ValueError(f"n_probes must be at least 1, not {n_probes}.")

    def example(x, where, key):
        field = masked_score(score, where)
        _, forward = jax.linearize(field, x)
        _, backward = jax.vjp(field, x)

        def measured(probe):
            along, (across,) = forward(probe), backward(probe)
            return jnp.sum((along - across) ** 2), 0.5 * (jnp.sum(along**2) + jnp.sum(across**2))

        found = map_in_turn(measured, jax.random.rademacher(key, (n_probes, *x.shape), x.dtype))
        return jax.tree.map(lambda values: values.mean(0), found)

    return jax.vmap(example)(x, spread_mask(where, x), row_keys(key, x.shape[0], offset))
