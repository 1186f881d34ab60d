"""What the losses share: a function of one sample that sees and returns the entries that take part only."""

from collections.abc import Callable

from jaxtyping import Array, Bool, Float

from scorax.numerics import checked_score, masked_where

Score = Callable[..., Float[Array, "..."]]


def masked_score(score: Score, where: Bool[Array, "*event"] | None, *t: Float[Array, ""], fill: float = 0.0) -> Score:
    """The score with zeros for excluded entries, at which it reads `fill` and passes no derivative."""

    def masked(x: Float[Array, "*event"]) -> Float[Array, "*event"]:
        return masked_where(where, checked_score(score(masked_where(where, x, fill), *t), x), 0.0)

    return masked


def masked_scalar(function: Score, where: Bool[Array, "*event"] | None) -> Score:
    """A function to one number that reads zeros for excluded entries, and passes no derivative there."""

    def masked(x: Float[Array, "*event"]) -> Float[Array, ""]:
        value = function(masked_where(where, x, 0.0))
        if value.shape != ():
            raise ValueError(
                f"the function of a sample of shape {x.shape} has shape {value.shape}. It takes one sample, without a "
                "batch axis, and returns one number."
            )
        return value.astype(x.dtype)

    return masked
