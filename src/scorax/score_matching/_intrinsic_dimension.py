"""How many dimensions data have near a point, as their score at a little noise tells."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from scorax.numerics import row_keys, spread_mask
from scorax.score_matching._denoising import NoiseProcess
from scorax.score_matching._operators import divergence
from scorax.score_matching._score import Score, masked_score


def local_intrinsic_dimension(
    score: Score,
    x: Float[Array, "n *event"],
    t: Float[Array, ""],
    *,
    method: str = "flipd",
    process: NoiseProcess | None = None,
    key: PRNGKeyArray | None = None,
    n_probes: int | None = None,
    offset: int | Int[Array, ""] = 0,
) -> Float[Array, " n"]:
    r"""The dimension of the data near each point: of a curved sheet in D dimensions with a little noise, the sheet's.

    The noise must be small against the curvature of the data and large against the score's own errors. In units of
    `y = x_t / alpha` and the level `sigma / alpha`, the score points at the data in normal directions and is nearly
    zero in tangent ones.

    Args:
        score: `score(x, t)`, the gradient of the log-density of the noised data, on one noised sample and one time.
        x: Clean points, on or near the data.
        t: The time, one for all, with a little noise.
        method: "flipd", `D + level² (div s + |s|²)`, a smooth number that is exact where the data are locally flat;
            "jacobian", how many eigenvalues of the symmetrised `level² ∇s` exceed -1/2 (tangent directions are near 0,
            normal ones near -1), a whole number;
            "normal_bundle", D less the place of the largest drop among the singular values of scores at noised copies
            of the point, a whole number from 1 to D - 1.
        process: The noise process; None for `x_t = x + t e`.
        key: Random key, for "normal_bundle" and for "flipd" with probes. Row `i` uses `fold_in(key, offset + i)`.
        n_probes: Noised copies of each point for "normal_bundle", at least D, `4 D` if None; directions of the
            divergence for "flipd", an exact one if None; of no use to "jacobian".
        offset: Place of the first row in the whole batch, so that chunks draw what the whole would.

    Returns:
        One estimate for each point.

    Raises:
        ValueError: There are no rows, the method is unknown or needs a key or more probes, or the score changes the
            shape of its sample.

    Example:
        >>> flat = lambda x, t: jnp.array([-x[0] / (1 + t**2), -x[1] / (1 + t**2), -x[2] / t**2])  # a plane in space
        >>> local_intrinsic_dimension(flat, jnp.zeros((1, 3)), jnp.array(0.01))
        Array([1.9998], dtype=float32)

    Source: Kamkari et al. (2024), arXiv:2406.03537 ("flipd"); Horvat and Pfister (2024), arXiv:2402.03845
    ("jacobian"); Stanczuk et al. (2022), arXiv:2212.12611 ("normal_bundle").
    """
    if method not in ("flipd", "jacobian", "normal_bundle"):
        raise ValueError(f"unknown method {method!r}: expected 'flipd', 'jacobian' or 'normal_bundle'.")
    spread_mask(None, x)
    dimension = math.prod(x.shape[1:])
    drawing = method == "normal_bundle" or (method == "flipd" and n_probes is not None)
    if drawing and key is None:
        raise ValueError(f"the method {method!r} draws random numbers here: pass key=.")
    copies = 4 * dimension if n_probes is None else n_probes
    if method == "normal_bundle" and (copies < dimension or dimension < 2):
        raise ValueError(
            f"{copies} noised copies do not span {dimension} dimensions, of which there must be at least 2."
        )
    keys = None if key is None else row_keys(key, x.shape[0], offset)
    time = t.astype(x.dtype)
    alpha, sigma = (jnp.ones_like(time), time) if process is None else (process.alpha(time), process.sigma(time))
    alpha, level = alpha.astype(x.dtype), (sigma / alpha).astype(x.dtype)

    def plain(y: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """The score of `y = x_t / alpha`."""
        return alpha * masked_score(score, None, t)(alpha * y)

    def example(x, key):
        if method == "flipd":
            return _flipd(plain, x, level, key, n_probes)
        if method == "jacobian":
            return _by_spectrum(plain, x, level)
        return _by_normals(plain, x, level, key, copies)

    return jax.vmap(example)(x, keys)


def _flipd(
    score: Score, y: Float[Array, "*event"], level: Float[Array, ""], key: PRNGKeyArray | None, n_probes: int | None
) -> Float[Array, ""]:
    if n_probes is None:
        value, spread = divergence(score, y)
    else:
        value, spread = divergence(score, y, method="hutchinson", key=key, n_probes=n_probes)
    return y.size + level**2 * (spread + jnp.vdot(value, value))


def _by_spectrum(score: Score, y: Float[Array, "*event"], level: Float[Array, ""]) -> Float[Array, ""]:
    jacobian = level**2 * jax.jacfwd(score)(y).reshape(y.size, y.size)
    # A part of the score that is no gradient would move the eigenvalues: the symmetric part is what counts.
    eigenvalues = jnp.linalg.eigvalsh(0.5 * (jacobian + jacobian.T))
    return (eigenvalues > -0.5).sum().astype(y.dtype)


def _by_normals(
    score: Score, y: Float[Array, "*event"], level: Float[Array, ""], key: PRNGKeyArray, copies: int
) -> Float[Array, ""]:
    noise = jax.random.normal(key, (copies, *y.shape), y.dtype)
    scores = jax.vmap(score)(y[None] + level * noise).reshape(copies, y.size)
    singular = jnp.linalg.svd(scores, compute_uv=False)
    return (y.size - 1 - jnp.argmax(singular[:-1] - singular[1:])).astype(y.dtype)
