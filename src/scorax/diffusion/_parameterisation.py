"""What a network may predict of a noised sample, and one prediction in terms of another."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from scorax.diffusion._process import AbstractProcess

PREDICTIONS = ("x0", "eps", "score", "v", "velocity")


def convert_prediction(
    prediction: Float[Array, "*event"],
    x: Float[Array, "*event"],
    t: Float[Array, ""],
    process: AbstractProcess,
    *,
    source: str,
    target: str,
    floor: float = 0.0,
) -> Float[Array, "*event"]:
    r"""A prediction made of a noised sample, as another of the five kinds.

    For `x = alpha x0 + sigma eps`: the clean sample "x0", the noise "eps", the "score" `-eps / sigma`, "v"
    `alpha eps - sigma x0`, and the "velocity" `alpha' x0 + sigma' eps` of the flow. The conversion is one division by
    what the source lacks: `sigma` from "x0", `alpha` from "eps" and "score", nothing that vanishes from "v" and
    "velocity" to "x0" and "eps".

    Args:
        prediction: What the network gave, for one sample.
        x: The noised sample.
        t: Its time.
        process: The noise process.
        source: What the prediction is.
        target: What it shall be.
        floor: Least value of a divisor, zero or more. Zero divides by what there is: nothing is clipped, so a
            prediction that the time leaves open (the noise, from "x0" at no noise) comes out infinite or NaN.

    Returns:
        The other prediction.

    Raises:
        ValueError: `source` or `target` is unknown, `floor` is negative, or the shapes of prediction and sample differ.

    Example:
        >>> process = sx.diffusion.EDM()
        >>> convert_prediction(jnp.ones(1), jnp.array([3.0]), jnp.array(2.0), process, source="x0", target="score")
        Array([-0.5], dtype=float32)

    Source: Salimans and Ho (2022), arXiv:2202.00512 ("v"); Lipman et al. (2023), arXiv:2210.02747 ("velocity").
    """
    for name in (source, target):
        if name not in PREDICTIONS:
            raise ValueError(f"unknown prediction {name!r}: expected one of {', '.join(PREDICTIONS)}.")
    if not floor >= 0:
        raise ValueError(f"floor must be zero or more, not {floor}.")
    if prediction.shape != x.shape:
        raise ValueError(
            f"a prediction of shape {prediction.shape} does not belong to a sample of shape {x.shape}; take one sample "
            "at a time, under jax.vmap."
        )
    if source == target:
        return prediction
    alpha, sigma = process.alpha(t).astype(x.dtype), process.sigma(t).astype(x.dtype)
    fall, rise = _slopes(process, t, alpha, sigma)

    def over(numerator: Array, divisor: Array) -> Array:
        return numerator / jnp.maximum(divisor, floor)

    clean, noise = None, None
    if source == "x0":
        clean = prediction
    elif source == "eps":
        noise = prediction
    elif source == "score":
        noise = -sigma * prediction
    elif source == "v":
        size = alpha**2 + sigma**2
        clean, noise = over(alpha * x - sigma * prediction, size), over(sigma * x + alpha * prediction, size)
    else:
        cross = alpha * rise - sigma * fall
        clean, noise = over(rise * x - sigma * prediction, cross), over(alpha * prediction - fall * x, cross)
    # One of the two may be missing, and is made of the other.
    if clean is None and noise is not None:
        clean = over(x - sigma * noise, alpha)
    elif noise is None and clean is not None:
        noise = over(x - alpha * clean, sigma)
    assert clean is not None
    assert noise is not None
    if target == "x0":
        return clean
    if target == "eps":
        return noise
    if target == "score":
        return over(alpha * clean - x, sigma**2) if source == "x0" else -over(noise, sigma)
    return alpha * noise - sigma * clean if target == "v" else fall * clean + rise * noise


def _slopes(
    process: AbstractProcess, t: Float[Array, ""], alpha: Float[Array, ""], sigma: Float[Array, ""]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The derivatives of `alpha` and `sigma` in time, finite where drift and diffusion are not."""
    one = jnp.ones_like(t)
    return (
        jax.jvp(process.alpha, (t,), (one,))[1].astype(alpha.dtype),
        jax.jvp(process.sigma, (t,), (one,))[1].astype(sigma.dtype),
    )
