"""Counts of two sides, goals or points, as observations of a difference of skills."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln, ndtr
from jaxtyping import Array, Float

from scorax.choice._dynamic._bessel import log_ive
from scorax.choice._dynamic._observations import AbstractObservation

# Thresholds that decide a game less often than exp(-40) are left out; past 8 standard deviations nothing changes.
_LOG_NEVER = 40.0
_CERTAIN = 8.0
_NODES_OF_A_PIECE = 48


class CountDifference(AbstractObservation):
    r"""The difference of Poisson counts of rates \(\lambda e^{d}\) and \(\lambda e^{-d}\): Skellam's distribution.

    \(\log P(k \mid d) = k d - 2 \lambda \cosh d + \log I_{|k|}(2 \lambda)\): only the difference of the counts speaks
    of d.
    """

    base_rate: Float[Array, ""]

    def log_prob(self, difference: Float[Array, "*s"], outcome: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Of a difference `outcome` of counts."""
        rate = self.base_rate.astype(difference.dtype)
        z = jnp.broadcast_to(2 * rate, outcome.shape)
        return outcome * difference - 2 * rate * _cosh_less_one(difference) + log_ive(jnp.abs(outcome), z)

    def peak(self, outcome: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """Where the mean is what was seen."""
        return jnp.arcsinh(outcome / (2 * self.base_rate.astype(outcome.dtype)))

    def win_probability(self, mean: Float[Array, "*s"], variance: Float[Array, "*s"]) -> Float[Array, "*s"]:
        r"""That the difference of counts is positive.

        Its derivative in d, \(\lambda e^{-2 \lambda \cosh d} (e^d I_0(2\lambda) + I_1(2\lambda))\), is the density of a
        threshold that d must exceed.
        """
        return jnp.vectorize(self._win, signature="(),()->()")(mean, variance)

    def _win(self, mean: Float[Array, ""], variance: Float[Array, ""]) -> Float[Array, ""]:
        """The density of the threshold times the probability that d exceeds it, over three pieces of thresholds."""
        rate, std = self.base_rate.astype(mean.dtype), jnp.sqrt(variance)
        middle, spread, known_rate = (jax.lax.stop_gradient(x) for x in (mean, _CERTAIN * std, rate))
        end = jnp.arccosh(1 + _LOG_NEVER / (2 * known_rate))
        # On each piece both factors are smooth at the piece's own scale.
        cut = [jnp.clip(x, -end, end) for x in (middle - spread, middle + spread)]
        low, high = jnp.stack([-end, *cut]), jnp.stack([*cut, end])
        at, weight = (jnp.asarray(x[None], mean.dtype) for x in np.polynomial.legendre.leggauss(_NODES_OF_A_PIECE))
        half = ((high - low) / 2)[:, None]
        u = low[:, None] + half * (1 + at)
        i0, i1 = jnp.exp(log_ive(jnp.arange(2, dtype=mean.dtype), jnp.broadcast_to(2 * rate, (2,))))
        density = rate * (jnp.exp(u) * i0 + i1) * jnp.exp(-2 * rate * _cosh_less_one(u))
        return (half * weight * density * ndtr((mean - u) / std)).sum()


def log_smaller_count(
    smaller: Float[Array, "*s"], difference: Float[Array, "*s"], base_rate: Float[Array, ""]
) -> Float[Array, "*s"]:
    r"""Log-probability of the smaller of two counts given their difference, in which skills have no part.

    Bessel's distribution, \(P(s \mid k) = \lambda^{2s + |k|} / (s!\, (s + |k|)!\, I_{|k|}(2\lambda))\).

    Source: Yuan & Kalbfleisch (2000), "On the Bessel distribution and related problems", Ann. Inst. Stat. Math. 52.
    """
    order = jnp.abs(difference)
    rate = jnp.broadcast_to(base_rate.astype(order.dtype), order.shape)
    total = 2 * smaller + order
    counts = total * jnp.log(rate) - gammaln(smaller + 1) - gammaln(smaller + order + 1)
    return counts - 2 * rate - log_ive(order, 2 * rate)


def _cosh_less_one(d: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """`cosh(d) - 1` without cancellation, continued by a parabola where nothing can be that likely but powers overflow.

    So a search that starts far away finds its way back.
    """
    far = float(np.log(jnp.finfo(d.dtype).max)) / 4
    inside = jnp.clip(d, -far, far)
    beyond = d - inside
    return 2 * jnp.sinh(inside / 2) ** 2 + jnp.sinh(inside) * beyond + jnp.cosh(inside) * beyond**2 / 2
