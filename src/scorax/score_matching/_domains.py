"""Score matching on domains with a boundary: a weight that vanishes there takes the place of integration by parts."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from scorax.numerics import masked_where, spread_mask
from scorax.score_matching._operators import diagonal_rows, dot_rows, linearise_rows
from scorax.score_matching._score import Score, masked_score

DomainWeight = Callable[[Float[Array, "*event"]], Float[Array, "..."]]
"""Of one sample: the weight of each entry, or one weight for all."""

# What a score reads at entries that take no part: inside the positive orthant and the unit cube, where 0 is not.
_INSIDE = 0.5


def nonnegative_score_matching_loss(
    score: Score, x: Float[Array, "n *event"], *, where: Bool[Array, "..."] | None = None
) -> Float[Array, " n"]:
    r"""Hyvärinen's loss for positive data, `sum_i [x_i² s_i² / 2 + 2 x_i s_i + x_i² d_i s_i]`.

    Its expectation is half that of `sum_i x_i² (s_i - true score_i)²`, less a constant, for densities with
    `x_i² p(x) s_i(x)` zero at 0 and at infinity. It is `truncated_score_matching_loss` with the weight x², and exact
    at the cost of `1 + d` regression steps.

    Args:
        score: The score to fit, a gradient of a log-density, on one sample. It must be differentiable at positive
            entries.
        x: Samples, positive.
        where: Entries that take part, of the shape of `x` or one that broadcasts to it. The others may hold anything;
            the score reads 1/2 there.

    Returns:
        One loss for each example, any real number.

    Raises:
        ValueError: There are no rows, or the score changes the shape of its sample.

    Example:
        >>> data = jnp.array([[1.0], [2.0], [3.0]])
        >>> exponential = lambda x: jnp.full_like(x, -6 / 7)  # the best rate
        >>> nonnegative_score_matching_loss(exponential, data).mean()  # -12/7
        Array(-1.7142857, dtype=float32)

    Source: Hyvärinen (2007), doi:10.1016/j.csda.2006.09.003.
    """
    return truncated_score_matching_loss(score, x, jnp.square, where=where)


def truncated_score_matching_loss(
    score: Score, x: Float[Array, "n *event"], weight: DomainWeight, *, where: Bool[Array, "..."] | None = None
) -> Float[Array, " n"]:
    r"""Score matching with a weight h, `sum_i [h_i s_i² / 2 + h_i d_i s_i + s_i d_i h_i]`.

    Its expectation is half that of `sum_i h_i (s_i - true score_i)²`, less a constant, where `h_i p s_i` is zero at
    the boundary of the domain. The last two terms are the divergence of `h s`, computed exactly at the cost of
    `1 + d` regression steps.

    Args:
        score: The score to fit, a gradient of a log-density, on one sample. It must be differentiable in the domain.
        x: Samples in the domain.
        weight: The weight of one sample, zero or positive and zero at the boundary: of the shape of the sample, or
            one number for all entries, such as the distance to the boundary. On the positive orthant,
            `lambda x: jnp.minimum(x, c)` is robust against large samples; near 0 it needs a density like `x^(k-1)`
            with k > 1, `lambda x: jnp.minimum(x, c)**2` one with k > 0. Its derivative is taken automatically.
        where: Entries that take part, of the shape of `x` or one that broadcasts to it. The others may hold anything;
            the score and the weight read 1/2 there.

    Returns:
        One loss for each example, any real number.

    Raises:
        ValueError: There are no rows, the score changes the shape of its sample, or the weight has another shape than
            the sample or a number.

    Example:
        >>> data = jnp.array([[1.0], [2.0], [3.0]])
        >>> truncated_score_matching_loss(lambda x: -x, data, lambda x: jnp.minimum(x, 2.5))
        Array([-1.5 ,  0.  ,  8.75], dtype=float32)

    Source: Yu, Drton and Shojaie (2019), arXiv:1812.10551; Liu, Kanamori and Williams (2022), arXiv:1910.03834.
    """

    def flow(where):
        masked = masked_score(score, where, fill=_INSIDE)

        def both(x):
            h = weight(masked_where(where, x, _INSIDE)).astype(x.dtype)
            if h.shape not in ((), x.shape):
                raise ValueError(
                    f"the weight of a sample of shape {x.shape} has shape {h.shape}. It returns one number for each "
                    "entry, or one for all."
                )
            s = masked(x)
            return h * s, s

        return both

    (weighted, value), derivative = linearise_rows(flow, x, spread_mask(where, x))
    return 0.5 * dot_rows(weighted, value) + diagonal_rows(lambda v: derivative(v)[0], x).sum(0)
