"""Sliced score matching by finite differences: no derivative with respect to the sample."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from scorax.numerics import Probe, draw_probes, map_in_turn, row_keys, spread_mask
from scorax.score_matching._score import Score, masked_scalar, masked_score


def finite_difference_sliced_score_matching_loss(
    function: Score,
    x: Float[Array, "n *event"],
    *,
    key: PRNGKeyArray,
    of: str = "score",
    step: float = 0.1,
    n_probes: int = 1,
    probe: str | Probe = "rademacher",
    where: Bool[Array, "..."] | None = None,
    offset: int | Int[Array, ""] = 0,
) -> Float[Array, " n"]:
    r"""Sliced score matching with differences over `h = step` along random directions v, the mean over probes.

    For a score s, which is a gradient of a log-density,

    $$\frac{v^\top [s(x + h v) - s(x - h v)]}{2h} + \tfrac18 |s(x + h v) + s(x - h v)|^2
      = v^\top J v + \tfrac12 |s|^2 + O(h^2),$$

    and for a log-density f

    $$\frac{f(x + h v) + f(x - h v) - 2 f(x)}{h^2} + \tfrac18 \Big[\frac{f(x + h v) - f(x - h v)}{h}\Big]^2
      = v^\top H v + \tfrac12 (v^\top \nabla f)^2 + O(h^2).$$

    So the first is `sliced_score_matching_loss` with its variance reduced, the second the plain form. One probe costs
    two evaluations of a score, as many as two regression steps, and three of a log-density; no derivative with respect
    to the sample is nested in that with respect to parameters.

    Args:
        function: On one sample, the score or the log-density to fit; the latter need not be normalised.
        x: Samples.
        key: Random key. Row `i` draws its probes with `fold_in(key, offset + i)`.
        of: What the function is: "score" or "log_prob".
        step: Length of the step in units of the probe, positive. The bias falls as its square; in single precision the
            rounding error of "log_prob" grows as `1e-7 / step²`.
        n_probes: Directions for each sample.
        probe: How directions are drawn, as in `sliced_score_matching_loss`.
        where: Entries that take part, of the shape of `x` or one that broadcasts to it. The others may hold anything,
            and the function reads zeros there.
        offset: Place of the first row in the whole batch, so that chunks draw what the whole would.

    Returns:
        One loss for each example, any real number.

    Raises:
        ValueError: There are no rows or no probes, `step` is not positive, the probe or `of` is unknown, or the
            function has a result of another shape.

    Example:
        >>> data = jnp.array([[-1.0], [0.0], [2.0]])
        >>> loss = finite_difference_sliced_score_matching_loss(lambda x: -x, data, key=jax.random.key(0))
        >>> loss.mean().round(4)  # the model N(0, 1): -1/6, as its score is linear
        Array(-0.1667, dtype=float32)

    Source: Pang, Xu, Li, Song, Ermon and Zhu (2020), arXiv:2007.03317.
    """
    if not step > 0:
        raise ValueError(f"step must be positive, not {step}.")
    if of not in ("score", "log_prob"):
        raise ValueError(f"of must say what the function is, 'score' or 'log_prob', not {of!r}.")

    def along_score(x, where, directions):
        score = masked_score(function, where)

        def term(v):
            ahead, behind = score(x + step * v), score(x - step * v)
            mean = 0.5 * (ahead + behind)
            return jnp.vdot(v, ahead - behind) / (2 * step) + 0.5 * jnp.vdot(mean, mean)

        return map_in_turn(term, directions).mean()

    def along_log_prob(x, where, directions):
        log_prob = masked_scalar(function, where)
        here = log_prob(x)

        def term(v):
            ahead, behind = log_prob(x + step * v), log_prob(x - step * v)
            slope = (ahead - behind) / (2 * step)
            return ((ahead - here) - (here - behind)) / step**2 + 0.5 * slope**2

        return map_in_turn(term, directions).mean()

    along = along_score if of == "score" else along_log_prob

    def example(x, where, key):
        return along(x, where, draw_probes(probe, key=key, shape=(n_probes, *x.shape), dtype=x.dtype))

    return jax.vmap(example)(x, spread_mask(where, x), row_keys(key, x.shape[0], offset))
