"""What two different labels still agree: Gwet's weights of levels."""

import jax.numpy as jnp
from jaxtyping import Array, Float

CREDITS = ("identity", "linear", "quadratic", "ordinal")


def agreement_credit(kind: str, values: Float[Array, " m"]) -> Float[Array, "m m"]:
    r"""How much two labels agree, from 0 to 1: the partial credit that weighted coefficients give.

    $$w_{kl} = 1[k = l], \quad 1 - \frac{|v_k - v_l|}{\max v - \min v}, \quad
    1 - \frac{(v_k - v_l)^2}{(\max v - \min v)^2}, \quad 1 - \frac{h(|k - l| + 1)}{h(m)}$$

    for `"identity"`, `"linear"`, `"quadratic"` and `"ordinal"`, with \(h(x) = x(x - 1)/2\). The last one looks at the
    places of levels only; it is not the ordinal metric of Krippendorff, which looks at how often they are used.

    Args:
        kind: One of the four words.
        values: What the levels are worth, from lowest to highest, at least two of them.

    Returns:
        A symmetric matrix with ones on its diagonal.

    Raises:
        ValueError: `kind` is unknown, or there are fewer than two levels.

    Example:
        >>> agreement_credit("linear", jnp.array([1.0, 2.0, 5.0]))
        Array([[1.  , 0.75, 0.  ],
               [0.75, 1.  , 0.25],
               [0.  , 0.25, 1.  ]], dtype=float32)

    Source: Cohen (1968), doi:10.1037/h0026256; Gwet (2014), "Handbook of Inter-Rater Reliability", chapter 3.
    """
    if kind not in CREDITS:
        raise ValueError(f"credit must be {', '.join(map(repr, CREDITS))} or a matrix, not {kind!r}")
    m = values.shape[0]
    if m < 2:
        raise ValueError("agreement wants two levels or more: with a single one nobody can disagree")
    if kind == "identity":
        return jnp.eye(m, dtype=values.dtype)
    if kind == "ordinal":
        place = jnp.arange(m, dtype=values.dtype)
        apart = jnp.abs(place[:, None] - place[None, :])
        return 1 - apart * (apart + 1) / (m * (m - 1))
    share = jnp.abs(values[:, None] - values[None, :]) / (values.max() - values.min())
    return 1 - (share if kind == "linear" else share**2)


def discord_of(credit: str | Float[Array, "m m"], m: int, dtype: jnp.dtype) -> Float[Array, "m m"]:
    """One minus the credit: what two labels disagree, on levels evenly apart where `credit` is a word."""
    if isinstance(credit, str):
        return 1 - agreement_credit(credit, jnp.arange(m, dtype=dtype))
    if credit.shape != (m, m):
        raise ValueError(f"credit has shape {credit.shape}; the {m} levels ask for {(m, m)}")
    return 1 - credit.astype(dtype)
