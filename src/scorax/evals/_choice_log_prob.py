"""Multiple choice by likelihood: what an option's tokens are worth, and which option that chooses."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from scorax.data import refuse

_NORMALISE = ("sum", "token", "char", "byte", "pmi")


class OptionChoice(NamedTuple):
    """What a question's scores choose."""

    option: Int[Array, "*b"]
    """The best option, the first of equals; -1 where a score is NaN or there is no option."""
    probability: Float[Array, "*b o"]
    """Softmax of the scores, 0 for options that there are not."""
    margin: Float[Array, "*b"]
    """Score of the best above that of the next; 0 for a tie, infinite for a single option."""


def choice_log_prob(
    token_log_prob: Float[Array, "*b t"],
    *,
    where: Bool[Array, "*b t"],
    normalize: str = "token",
    length: Float[Array, "*b"] | Int[Array, "*b"] | None = None,
    unconditional: Float[Array, "*b"] | None = None,
) -> Float[Array, "*b"]:
    r"""Score of an option of a multiple-choice question, from the log-probabilities of its tokens.

    With `"token"`, filling each option into the blank and taking the best is the lowest perplexity.

    Args:
        token_log_prob: Natural-log probability of each token; the last axis is tokens, the one before it usually
            options.
        where: Tokens that are scored: those of the option, or of the whole text that it was filled into.
        normalize: `"sum"`: log-probability of the option, which favours short ones. `"token"`: its mean over tokens.
            `"char"`, `"byte"`: over the characters, or bytes, of `length`, which tokenizers do not change. `"pmi"`: the
            sum minus `unconditional`, by how much the question makes the option likelier.
        length: Characters or bytes of each option, above 0.
        unconditional: Log-probability of each option without its question.

    Returns:
        Larger is better. NaN for an option without tokens, and for a length that is not positive; gradients are finite.

    Raises:
        ValueError: an option has no tokens, or no positive length, where that is known; there is no such `normalize`,
            or it lacks its argument, or another's is given.

    Example:
        >>> log_prob = jnp.array([[-1.0, -1.0, -1.0], [-2.0, -0.5, 0.0]])
        >>> where = jnp.array([[True, True, True], [True, True, False]])
        >>> choice_log_prob(log_prob, where=where), choice_log_prob(log_prob, where=where, normalize="sum")
        (Array([-1.  , -1.25], dtype=float32), Array([-3. , -2.5], dtype=float32))

    Source: Luan, Tian, Huan, Zhang, Chen, Zhang & Zhou (2025), arXiv 2503.00812; Brown et al. (2020), arXiv 2005.14165
    (means, and ratios to the unconditional probability); Holtzman, West, Shwartz, Choi & Zettlemoyer (2021), arXiv
    2104.08315 (pmi).
    """
    _check_arguments(normalize, length, unconditional)
    n = where.sum(-1)
    _refuse_known(n == 0, "an option has no tokens", "Leave it out, or mark its tokens in `where`.")
    total = jnp.where(where, token_log_prob, 0).sum(-1)
    dtype = total.dtype
    if unconditional is not None:
        total = total - unconditional.astype(dtype)
    over = jnp.ones_like(total)
    if normalize == "token":
        over = n.astype(dtype)
    elif length is not None:
        _refuse_known(~(length > 0), "the length of an option is not positive", f"Count its {normalize}s.")
        over = length.astype(dtype)
    known = (n > 0) & (over > 0)
    return jnp.where(known, total / jnp.where(known, over, 1), jnp.nan)


def option_perplexity(token_log_prob: Float[Array, "*b t"], *, where: Bool[Array, "*b t"]) -> Float[Array, "*b"]:
    """Perplexity of a text: the exponential of minus the mean log-probability of its tokens.

    Args:
        token_log_prob: Natural-log probability of each token.
        where: Tokens that are scored.

    Returns:
        At least 1 for probabilities; smaller is better. NaN for a text without tokens.

    Raises:
        ValueError: a text has no tokens, where that is known.

    Example:
        >>> option_perplexity(jnp.log(jnp.array([0.5, 0.125])), where=jnp.array([True, True]))
        Array(4., dtype=float32)

    Source: Jelinek, Mercer, Bahl & Baker (1977), doi:10.1121/1.2016299.
    """
    return jnp.exp(-choice_log_prob(token_log_prob, where=where, normalize="token"))


def choose_option(score: Float[Array, "*b o"], *, where: Bool[Array, "*b o"] | None = None) -> OptionChoice:
    """The option with the best score, and a softmax over all.

    Args:
        score: Of each option, as of `choice_log_prob`.
        where: Options that there are.

    Returns:
        `OptionChoice`; NaN in its floats where a score that takes part is NaN, or where there is no option.

    Example:
        >>> found = choose_option(jnp.array([-1.0, -1.25]))
        >>> found.option, found.probability.round(2), found.margin
        (Array(0, dtype=int32), Array([0.56, 0.44], dtype=float32), Array(0.25, dtype=float32))

    Source: Luan, Tian, Huan, Zhang, Chen, Zhang & Zhou (2025), arXiv 2503.00812.
    """
    part = jnp.ones(score.shape, bool) if where is None else where
    known = ~(part & jnp.isnan(score)).any(-1) & part.any(-1)
    usable = part & known[..., None]
    held = jnp.where(usable, score, -jnp.inf)
    option = jnp.where(known, jnp.argmax(held, axis=-1), -1)
    best = jnp.arange(score.shape[-1]).reshape((1,) * known.ndim + (-1,)) == option[..., None]
    top, rest = (jnp.where(mask, held, -jnp.inf).max(-1) for mask in (best, ~best))
    # Without a known option, a softmax over all keeps gradients finite before it is thrown away.
    everyone = jnp.where(known[..., None], part, True)
    probability = jax.nn.softmax(jnp.where(usable, score, 0), axis=-1, where=everyone)
    margin = jnp.where(known, top - jnp.where(known, rest, 0), jnp.nan)
    return OptionChoice(option, jnp.where(known[..., None], probability, jnp.nan), margin)


def _check_arguments(normalize: str, length: Any, unconditional: Any) -> None:
    if normalize not in _NORMALISE:
        raise ValueError(f"normalize must be one of {', '.join(map(repr, _NORMALISE))}, not {normalize!r}")
    for name, value, users in (("length", length, ("char", "byte")), ("unconditional", unconditional, ("pmi",))):
        if value is None and normalize in users:
            raise ValueError(f"normalize={normalize!r} needs `{name}`")
        if value is not None and normalize not in users:
            raise ValueError(f"normalize={normalize!r} does not use `{name}`: leave it out")


def _refuse_known(bad: Any, what: str, mend: str) -> None:
    if not isinstance(bad, Tracer):
        refuse(np.asarray(bad).ravel(), what, mend)
