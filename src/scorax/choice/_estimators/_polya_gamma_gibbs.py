"""Gibbs sampling of Bradley-Terry strengths: given Pólya-Gamma variables they are Gaussian."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from scorax.choice._estimators._iterated import is_concrete
from scorax.choice._estimators._polya_gamma import sample_polya_gamma
from scorax.choice._estimators._stages import half_wins
from scorax.data import Comparisons, PairCounts


class _Pairs(eqx.Module):
    """Pairs that met, and what their comparisons say."""

    a: Int[Array, " p"]
    b: Int[Array, " p"]
    met: Float[Array, " p"]
    lead: Float[Array, " k"]
    """Half of wins minus losses, of each item."""


class _Prior(eqx.Module):
    precision: Float[Array, "k k"]
    shift: Float[Array, " k"]
    """Precision times mean."""


def polya_gamma_gibbs(
    counts: PairCounts,
    *,
    key: PRNGKeyArray,
    prior_precision: Any = 1.0,
    prior_mean: Any = 0.0,
    n_draws: int = 1000,
    n_warmup: int = 200,
    n_chains: int = 4,
) -> Float[Array, "c r k"]:
    r"""Draws from the posterior of Bradley-Terry strengths under a normal prior, without a step size to tune.

    Alternates \(\omega_{ij} \sim PG(n_{ij}, s_i - s_j)\) for each pair that met and
    \(s \sim N(V b, V)\), \(V^{-1} = \sum \omega_{ij} (e_i - e_j)(e_i - e_j)^\top + P_0\), with b the half of wins minus
    losses of each item plus \(P_0 m_0\). A tie is half a win for each side. Consecutive draws are more alike the more
    comparisons a pair has: judge them by `scorax.inference.effective_sample_size`. For a prior on the scale too, see
    `polya_gamma_block`; for any other prior or model, `scorax.inference.sample`.

    Args:
        counts: A table of pairs.
        key: The same key gives the same draws; a chain's depend on its number, not on how many there are.
        prior_precision: One over the prior variance of each strength, or a positive definite matrix `[k, k]`.
        prior_mean: Prior mean of each strength, `[k]`, or of all.
        n_draws: Kept, of each chain.
        n_warmup: Not kept.
        n_chains: Independent chains; they start at random.

    Returns:
        Draws `[c, r, k]`. Their common level is what the prior says: differences are what the data speak of.

    Raises:
        ValueError: The prior is not proper or has another shape, or a number of draws or chains is not positive.

    Example:
        >>> counts = sx.data.PairCounts.from_arrays([[0, 3, 4], [1, 0, 2], [0, 2, 0]])
        >>> draws = polya_gamma_gibbs(counts, key=jax.random.key(0), n_draws=2000, n_warmup=100)
        >>> draws.shape, bool((draws[..., 0] > draws[..., 1]).mean() > 0.8)
        ((4, 2000, 3), True)

    Source: Polson, Scott, Windle (2013), doi:10.1080/01621459.2013.829001.
    """
    if min(n_draws, n_chains) < 1 or n_warmup < 0:
        raise ValueError(f"n_draws ({n_draws}) and n_chains ({n_chains}) must be at least 1, n_warmup ({n_warmup}) 0")
    prior = _prior(prior_precision, prior_mean, counts.weight.shape[-1], counts.weight.dtype)
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(n_chains))
    return _chains(_pairs(counts), prior, keys, n_draws, n_warmup)


def polya_gamma_block(
    sites: dict[str, Array], data: Comparisons | PairCounts, *, key: PRNGKeyArray
) -> dict[str, Array]:
    """A block for `scorax.inference.Gibbs`: new strengths of `BradleyTerry` under its default prior, given its scale.

    One step of `polya_gamma_gibbs`, with prior variance `scale**2`, centred. It leaves the law of the strengths given
    the scale as it is, so that `Gibbs({"strength": polya_gamma_block})` samples both, the scale by `rest`.

    Args:
        sites: With `strength` and `scale`.
        data: A table of pairs (what `sample` makes of comparisons without order and features).
        key: A key.

    Raises:
        ValueError: The data are no table.

    Example:
        >>> method = sx.inference.Gibbs({"strength": polya_gamma_block}, rest=sx.inference.HMC(num_steps=6))
        >>> method.blocks  # for sx.inference.sample(sx.choice.BradleyTerry.init(k), battles, method=method, key=key)
        (('strength',),)

    Source: Polson, Scott, Windle (2013), doi:10.1080/01621459.2013.829001.
    """
    strength, scale = sites["strength"], sites["scale"]
    if not isinstance(data, PairCounts):
        raise ValueError("the block takes a table of pairs: no order, no features, and at most 2048 items")
    k, dtype = strength.shape[0], strength.dtype
    prior = _Prior(jnp.eye(k, dtype=dtype) / scale.astype(dtype) ** 2, jnp.zeros(k, dtype))
    drawn = _renew(strength, _cast(_pairs(data), dtype), prior, key)
    return {"strength": drawn - drawn.mean()}


def _pairs(counts: PairCounts) -> _Pairs:
    won = half_wins(counts)
    met = won + won.T
    # Where the values are known, pairs that never met cost nothing.
    there = np.asarray(met) > 0 if is_concrete(counts) else np.ones(met.shape, bool)
    a, b = (jnp.asarray(x, jnp.int32) for x in np.nonzero(np.triu(there, 1)))
    return _Pairs(a, b, met[a, b], (won.sum(1) - won.sum(0)) / 2)


def _cast(pairs: _Pairs, dtype: Any) -> _Pairs:
    return _Pairs(pairs.a, pairs.b, pairs.met.astype(dtype), pairs.lead.astype(dtype))


def _prior(precision: Any, mean: Any, k: int, dtype: Any) -> _Prior:
    matrix, middle = jnp.asarray(precision, dtype), jnp.asarray(mean, dtype)
    if matrix.shape not in ((), (k, k)) or middle.shape not in ((), (k,)):
        raise ValueError(
            f"prior_precision has shape {matrix.shape} and prior_mean {middle.shape}; expected one number each, or "
            f"[{k}, {k}] and [{k}]"
        )
    matrix = matrix * jnp.eye(k, dtype=dtype) if matrix.ndim == 0 else matrix
    if is_concrete(matrix) and not (np.linalg.eigvalsh(np.asarray(matrix, np.float64)) > 0).all():
        raise ValueError("prior_precision is not positive definite: the level of the strengths would have no posterior")
    return _Prior(matrix, matrix @ jnp.broadcast_to(middle, (k,)))


@eqx.filter_jit
def _chains(pairs: _Pairs, prior: _Prior, keys: Key[Array, " c"], n_draws: int, n_warmup: int) -> Float[Array, "c r k"]:
    def chain(key: PRNGKeyArray) -> Float[Array, "r k"]:
        first = jax.random.normal(key, prior.shift.shape, prior.shift.dtype)

        def step(strength: Float[Array, " k"], i: Array) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
            strength = _renew(strength, pairs, prior, jax.random.fold_in(key, i))
            return strength, strength

        return jax.lax.scan(step, first, jnp.arange(n_warmup + n_draws))[1][n_warmup:]

    return jax.vmap(chain)(keys)


def _renew(strength: Float[Array, " k"], pairs: _Pairs, prior: _Prior, key: PRNGKeyArray) -> Float[Array, " k"]:
    """One round: the Pólya-Gamma variables given strengths, and strengths given them."""
    of_omega, of_strength = jax.random.split(key)
    omega = sample_polya_gamma(of_omega, pairs.met, strength[pairs.a] - strength[pairs.b])
    precision = prior.precision.at[pairs.a, pairs.a].add(omega).at[pairs.b, pairs.b].add(omega)
    precision = precision.at[pairs.a, pairs.b].add(-omega).at[pairs.b, pairs.a].add(-omega)
    factor = jnp.linalg.cholesky(precision)
    mean = jsl.cho_solve((factor, True), pairs.lead + prior.shift)
    noise = jax.random.normal(of_strength, strength.shape, strength.dtype)
    return mean + jsl.solve_triangular(factor, noise, trans=1, lower=True)
