"""Which of two answers a judge prefers, when it has seen them in both orders."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from scorax.data import refuse

_METHODS = ("baseline", "likelihood", "ppl")


def pairwise_verdict(
    pair_probs: Float[Array, "*b 2 3"],
    *,
    method: str = "likelihood",
    tol: float | int = 0.0,
    cum_logprob: Float[Array, "*b 2"] | None = None,
    num_tokens: Int[Array, "*b 2"] | None = None,
) -> Int[Array, "*b"]:
    r"""One verdict on answers x and y: +1 where x is better, 0 where they are equal, -1 where y is.

    A judge that looks at where an answer stands says different things in the two orders. `"baseline"` believes what it
    says in both and calls the rest equal. `"likelihood"` adds the probabilities of the two orders and takes the largest
    sum; where the two largest differ by less than `2 tol`, the answers are equal. `"ppl"` believes the order in which
    the judge was surer of its own words, \(\mathrm{ppl} = \exp(-\log p / \text{tokens})\); where the two perplexities
    differ by at most `tol`, the answers are equal.

    Args:
        pair_probs: Probabilities of "the first is better", "the second is better", "equal". Row 0: x was shown first;
            row 1: y was. Each need not sum to one.
        method: `"baseline"`, `"likelihood"` or `"ppl"`.
        tol: See above, at least 0. `"baseline"` has none.
        cum_logprob: For `"ppl"`: log-probability of the judge's whole text in each order.
        num_tokens: For `"ppl"`: length of that text, at least 1.

    Returns:
        Verdicts in {-1, 0, 1}. Of probabilities that tie exactly the first counts. A pair without probabilities has no
        verdict: whatever is given for it, leave it out by `where` in what follows.

    Raises:
        ValueError: `method` is unknown, `tol` is negative, `"ppl"` lacks its arrays, or a text has no tokens (under
            `jit` a run-time error).

    Example:
        >>> seen = jnp.array([[0.55, 0.35, 0.10], [0.60, 0.30, 0.10]])  # the first one, whichever it is
        >>> pairwise_verdict(seen, method="baseline"), pairwise_verdict(seen, method="likelihood")
        (Array(0, dtype=int32), Array(-1, dtype=int32))

    Source: Wang et al. (2025), "TrustJudge", arXiv 2509.21117 (likelihood-aware aggregation).
    """
    if method not in _METHODS:
        raise ValueError(f"method must be one of {_METHODS}, not {method!r}")
    if not tol >= 0:
        raise ValueError(f"tol must be at least 0, not {tol}")
    perplexity = _perplexity(cum_logprob, num_tokens) if method == "ppl" else None
    by_x, by_y = pair_probs[..., 0, :], pair_probs[..., 1, jnp.array([1, 0, 2])]
    nobody = jnp.zeros((), jnp.int32)
    if method == "likelihood":
        both = by_x + by_y
        ordered = jnp.sort(both, axis=-1)
        return jnp.where((ordered[..., 2] - ordered[..., 1]) / 2 < tol, nobody, _side(both))
    one, other = _side(by_x), _side(by_y)
    if perplexity is None:
        return jnp.where(one == other, one, nobody)
    first, second = perplexity[..., 0], perplexity[..., 1]
    # Two that overflow differ by NaN, which exceeds no tolerance.
    apart = jnp.abs(first - second) > tol
    return jnp.where(apart, jnp.where(first < second, one, other), nobody)


def relation_from_scores(scores: Float[Array, "*b k"], tol: float | int = 0.0) -> Int[Array, "*b k k"]:
    r"""How the scores of candidates order each pair: +1 where the row's is larger, -1 where the column's is.

    Args:
        scores: Larger is better.
        tol: Scores that differ by less are equal (0). With 0 only equal scores are. Above 0 "equal" does not carry
            over: of three scores the outer two may differ though neither differs from the middle one.

    Returns:
        A relation in {-1, 0, 1}, of sign opposite to its transpose; a NaN score is equal to everything.

    Raises:
        ValueError: `tol` is negative.

    Example:
        >>> relation_from_scores(jnp.array([3.0, 1.0, 3.0]))
        Array([[ 0,  1,  0],
               [-1,  0, -1],
               [ 0,  1,  0]], dtype=int32)

    Source: Wang et al. (2025), "TrustJudge", arXiv 2509.21117.
    """
    if not tol >= 0:
        raise ValueError(f"tol must be at least 0, not {tol}")
    return sign_beyond(scores[..., :, None] - scores[..., None, :], tol)


def sign_beyond(difference: Float[Array, "*b"], tol: float | int) -> Int[Array, "*b"]:
    """Sign of a difference of scores, 0 where it is smaller than `tol` or NaN (that of infinite scores)."""
    apart = (jnp.abs(difference) >= tol) & ~jnp.isnan(difference)
    return jnp.where(apart, jnp.sign(difference), jnp.zeros_like(difference)).astype(jnp.int32)


def _side(probs: Float[Array, "*b 3"]) -> Int[Array, "*b"]:
    """The verdict that an arg-max over "x", "y", "equal" stands for."""
    return jnp.array([1, -1, 0], jnp.int32)[probs.argmax(-1)]


def _perplexity(
    cum_logprob: Float[Array, "*b 2"] | None, num_tokens: Int[Array, "*b 2"] | None
) -> Float[Array, "*b 2"]:
    """Of each text, whose length is checked: one of no tokens has no perplexity, and any verdict would do."""
    if cum_logprob is None or num_tokens is None:
        raise ValueError("method 'ppl' needs cum_logprob and num_tokens: the judge's words in both orders")
    length = num_tokens.astype(cum_logprob.dtype)
    if isinstance(num_tokens, Tracer):
        length = eqx.error_if(length, num_tokens < 1, "num_tokens is below 1")
    else:
        missing = (np.asarray(num_tokens) < 1).any(-1)
        refuse(missing.reshape(-1), "num_tokens is below 1", "Leave these pairs out.")
    return jnp.exp(-cum_logprob / length)
