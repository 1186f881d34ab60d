"""Hunter's minorise-maximise algorithm for Bradley-Terry and Plackett-Luce."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from scorax.choice._estimators._iterated import Iterated, item_count, iterate, poisoned, refuse_unconverged
from scorax.choice._estimators._linked import beaten, strongly_connected
from scorax.choice._estimators._stages import stage_sums, stages_won
from scorax.data import PairCounts, Rankings


def mm(
    data: PairCounts | Rankings,
    *,
    alpha: float | int = 0.0,
    n_items: int | None = None,
    max_steps: int = 10_000,
    tol: float | None = None,
    throw: bool = True,
) -> Iterated:
    r"""Maximum likelihood, or a posterior mode under a gamma prior, by minorising and maximising.

    Maximises, over worths \(\pi_i = e^{s_i}\),
    $$\sum_{\text{stages}} w \Big[ s_{\text{winner}} - \log \sum_{j \text{ there}} e^{s_j} \Big]
    + \alpha \sum_i (s_i - e^{s_i}),$$
    by \(\pi_i \leftarrow (W_i + \alpha) / (\sum_{\text{stages with } i} w / \text{total} + \alpha)\). Every step
    raises the objective; there is no step size, and it may take thousands of steps where comparisons form a chain. For
    derivatives with respect to the data use `scorax.inference.fit`.

    Args:
        data: A table of pairs, where a tie is half a win for each side, or rankings. A ranking is a stage for each of
            its places but the last; where unlisted items lose to the listed (`rest`), the last is a stage too.
        alpha: The prior of each worth is Gamma with shape `alpha + 1` and rate `alpha`; 0: maximum likelihood.
        n_items: Number of items; that of the table or of `rest`, or one more than the largest id. Under `jit`,
            rankings need it.
        max_steps: When to give up.
        tol: Distance of strengths from the maximum, as the last steps let expect it, at which to stop; None: the square
            root of the machine's precision.
        throw: Raise where it failed. Under `jit` and `vmap` nothing is raised: strengths are NaN and `converged` false.

    Returns:
        Strengths that sum to zero (the prior fixes the mean worth at 1 before that).

    Raises:
        ValueError: No finite maximum (an item always won or lost, groups that never met); no convergence; or a
            negative `alpha`.

    Example:
        >>> counts = sx.data.PairCounts.from_arrays([[0, 3], [1, 0]])
        >>> mm(counts).strength.round(4)  # half of log 3, each way
        Array([ 0.5493, -0.5493], dtype=float32)

    Source: Hunter (2004), doi:10.1214/aos/1079120141; Caron and Doucet (2012), doi:10.1080/10618600.2012.638220
    (the prior).
    """
    if alpha < 0:
        raise ValueError(f"alpha must be at least 0, not {alpha}")
    k = item_count(data, n_items)
    result = _mm(data, jnp.asarray(alpha, data.weight.dtype), k, tol, jnp.asarray(max_steps))
    return refuse_unconverged(result, data, k, prior=alpha > 0, check=throw)


@eqx.filter_jit
def _mm(
    data: PairCounts | Rankings, alpha: Float[Array, ""], k: int, tol: float | None, max_steps: Int[Array, ""]
) -> Iterated:
    numerator = jnp.log(stages_won(data, k) + alpha)

    def advance(strength: Float[Array, " k"]) -> Float[Array, " k"]:
        sums = stage_sums(data, jnp.exp(strength))
        return unit_mean(numerator - jnp.log(sums.shared + sums.missed + alpha))

    linked = (alpha > 0) | strongly_connected(beaten(data, k))
    start = jnp.zeros_like(numerator)
    strength, converged, steps = iterate(advance, start, tol=tol, max_steps=max_steps, possible=linked)
    return Iterated(poisoned(converged, strength), converged, steps)


def unit_mean(strength: Float[Array, " k"]) -> Float[Array, " k"]:
    """Strengths moved so that worths have mean 1: where the gamma prior puts them, whatever the data."""
    return strength - (jax.nn.logsumexp(strength) - math.log(strength.size))
