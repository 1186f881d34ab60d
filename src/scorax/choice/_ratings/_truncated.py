"""How a result moves the difference of two performances: a Gaussian cut off at the margin of a draw."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from scorax.numerics import inverse_mills, mills_excess


class Correction(NamedTuple):
    """What a Gaussian of variance 1 gains in mean and loses in variance when it is cut off."""

    gain: Float[Array, "*s"]
    loss: Float[Array, "*s"]


def correction(t: Float[Array, "*s"], margin: Float[Array, "*s"], drawn: Bool[Array, "*s"]) -> Correction:
    r"""TrueSkill's \(v\) and \(w\), in the far tails too.

    Args:
        t: Mean of the better team's advantage, in its standard deviations.
        margin: Of a draw, likewise, at least 0.
        drawn: Whether the advantage is known to lie between `-margin` and `margin`; if not, above `margin`.

    Returns:
        For a win \(v = \varphi(t - m)/\Phi(t - m)\) and \(w = v (v + t - m)\), which tends to 1 for surprises. For a
        draw the same moments of the Gaussian between the margins; at margin 0 they are `-t` and 1.

    Source: Herbrich, Minka & Graepel (2007), "TrueSkill: a Bayesian skill rating system", NIPS 19.
    """
    # The difference of two tails a hair apart would be noise; the limit is the better answer.
    width = jnp.maximum(margin, float(jnp.finfo(t.dtype).eps) ** 0.5)
    side = jnp.where(t < 0, -jnp.ones_like(t), jnp.ones_like(t))
    away = side * t
    ratio, excess = _ratio_and_excess(jnp.stack([t - margin, width - away, -width - away]))
    decided = Correction(ratio[0], ratio[0] * excess[0])
    gain, loss = _between(away, width, ratio[1:], excess[1:])
    return Correction(jnp.where(drawn, side * gain, decided.gain), jnp.where(drawn, loss, decided.loss))


def _between(
    away: Float[Array, "*s"], width: Float[Array, "*s"], ratio: Float[Array, "2 *s"], excess: Float[Array, "2 *s"]
) -> Correction:
    """Of a draw, for `t = away >= 0`, from the tails beyond the nearer and the farther bound.

    Everything is relative to the density at the nearer bound, and differences of large numbers are taken in the
    excesses, where the large part is gone.
    """
    near, far = ratio[0], ratio[1]
    fall = jnp.exp(-2 * width * away)
    rise = -jnp.expm1(-2 * width * away)
    apart = (2 * width + excess[1] - excess[0]) / far
    inside = rise + fall * apart
    rest = fall * near / far
    bend = 2 * width * fall * apart + rise * (excess[0] - rest * excess[1])
    return Correction(-rise * near / inside, near * bend / inside**2)


@jax.custom_jvp
def _ratio_and_excess(x: Float[Array, "*s"]) -> tuple[Float[Array, "*s"], Float[Array, "*s"]]:
    """Density over distribution function, and that plus `x`: their derivatives need nothing else."""
    return inverse_mills(x), mills_excess(x)


@_ratio_and_excess.defjvp
def _ratio_and_excess_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[tuple, tuple]:
    ratio, excess = _ratio_and_excess(*primals)
    loss = ratio * excess
    return (ratio, excess), (-loss * tangents[0], (1 - loss) * tangents[0])
