"""The trace of a linear map that is known by its products with vectors only."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

LinearMap = Callable[[Float[Array, "*event"]], Float[Array, "*event"]]
Probe = Callable[[PRNGKeyArray, tuple[int, ...], jnp.dtype], Float[Array, "..."]]
Out = TypeVar("Out")


class TraceEstimate(NamedTuple):
    """A trace, and the standard error of the draws behind it: 0 where it is exact, NaN where one draw cannot tell."""

    trace: Float[Array, ""]
    std_error: Float[Array, ""]


def map_in_turn(function: Callable[[Array], Out], over: Array) -> Out:
    """What a function gives for each item of the leading axis, stacked: one item at a time.

    Up to eight items make a program without a loop, more a scan. Within a `vmap` over a batch this keeps matrix
    products of two dimensions, where a second `vmap` would make batched ones, which are slow to differentiate.

    Args:
        function: Of one item, to an array or a pytree of arrays.
        over: Items along the leading axis, at least one.

    Example:
        >>> map_in_turn(jnp.sum, jnp.ones((3, 2)))
        Array([2., 2., 2.], dtype=float32)
    """
    if len(over) > 8:
        # Backwards, an item is computed again: less memory than its residuals take, and less time than they move in.
        return jax.lax.map(jax.checkpoint(function, prevent_cse=False), over)
    return jax.tree.map(lambda *results: jnp.stack(results), *(function(item) for item in over))


def draw_probes(
    probe: str | Probe, *, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any = float
) -> Float[Array, "..."]:
    """Random directions `v` with `E vvᵀ = I`, one for each place of the leading axis.

    Args:
        probe: "rademacher" (signs), "gaussian", "sphere" (of radius the root of the number of entries), or a function
            `(key, shape, dtype) -> directions`.
        key: Random key.
        shape: Number of directions, and the shape of each.
        dtype: Floating dtype of the directions.

    Raises:
        ValueError: There are no directions to draw, or the name is unknown.

    Example:
        >>> jnp.abs(draw_probes("rademacher", key=jax.random.key(0), shape=(2, 3)))
        Array([[1., 1., 1.],
               [1., 1., 1.]], dtype=float32)
    """
    if shape[0] < 1:
        raise ValueError(f"n_probes must be at least 1, not {shape[0]}.")
    if isinstance(probe, str) and probe not in _PROBES:
        raise ValueError(f"unknown probe {probe!r}: expected one of {', '.join(map(repr, _PROBES))} or a function.")
    draw = _PROBES[probe] if isinstance(probe, str) else probe
    return draw(key, shape, jax.dtypes.canonicalize_dtype(dtype))


def exact_trace(linear_map: LinearMap, like: Float[Array, "*event"]) -> TraceEstimate:
    """The trace by one product for each entry.

    Args:
        linear_map: A linear function of an array, to an array of the same shape.
        like: An array of the shape and dtype that the map takes; its values do not matter.

    Returns:
        The trace, with standard error 0.

    Example:
        >>> exact_trace(lambda v: 2 * v, jnp.zeros(3)).trace
        Array(6., dtype=float32)
    """

    def diagonal(entry: Array) -> Array:
        basis = (jnp.arange(like.size) == entry).astype(like.dtype).reshape(like.shape)
        return jnp.vdot(basis, linear_map(basis))

    zero = jnp.zeros((), like.dtype)
    return TraceEstimate(map_in_turn(diagonal, jnp.arange(like.size)).sum() if like.size else zero, zero)


def hutchinson_trace(
    linear_map: LinearMap,
    like: Float[Array, "*event"],
    *,
    key: PRNGKeyArray,
    n_probes: int = 1,
    probe: str | Probe = "rademacher",
) -> TraceEstimate:
    r"""Hutchinson's estimate: the mean of `vᵀAv` over random directions, unbiased for any square A.

    With `S` the symmetric part of the d x d matrix A, a probe has the variance
    $2 (\|S\|_F^2 - \sum_i S_{ii}^2)$ with signs, $2 \|S\|_F^2$ with normal numbers and
    $\frac{2d}{d+2} (\|S\|_F^2 - \mathrm{tr}(S)^2 / d)$ on the sphere.

    Args:
        linear_map: A linear function of an array, to an array of the same shape.
        like: An array of the shape and dtype that the map takes; its values do not matter.
        key: Random key.
        n_probes: Directions, and products, at least 1.
        probe: How directions are drawn, see `draw_probes`.

    Returns:
        The estimate, and its standard error: NaN for one probe.

    Raises:
        ValueError: `n_probes` is less than 1, or the probe is unknown.

    Example:
        >>> hutchinson_trace(lambda v: 2 * v, jnp.zeros(3), key=jax.random.key(0)).trace  # exact for a diagonal
        Array(6., dtype=float32)

    Source: Hutchinson (1990), doi:10.1080/03610919008812866.
    """
    directions = draw_probes(probe, key=key, shape=(n_probes, *like.shape), dtype=like.dtype)
    terms = map_in_turn(lambda v: jnp.vdot(v, linear_map(v)), directions)
    return TraceEstimate(terms.mean(), _std_error(terms))


def hutchpp_trace(
    linear_map: LinearMap, like: Float[Array, "*event"], *, key: PRNGKeyArray, n_probes: int
) -> TraceEstimate:
    r"""Hutch++: exact on a sketch of the range, Hutchinson on the rest. Unbiased for any square A.

    With `Q` an orthonormal basis of `A S`, S Gaussian, it is
    $\mathrm{tr}(Q^\top A Q)$ plus the mean of $g^\top (I - QQ^\top) A (I - QQ^\top) g$ over signs g. It is exact when
    the rank of A is at most `n_probes // 3`. For a positive semidefinite A its standard deviation falls as
    `1 / n_probes`, Hutchinson's as `1 / sqrt(n_probes)`. Gradients hold the basis constant, which keeps them unbiased.

    Args:
        linear_map: A linear function of an array, to an array of the same shape.
        like: An array of the shape and dtype that the map takes; its values do not matter.
        key: Random key.
        n_probes: Products, at least 3. As many products as entries or more give the trace itself, which is computed
            exactly then.

    Returns:
        The estimate, and its standard error: NaN with one sign vector (fewer than 4 products).

    Raises:
        ValueError: `n_probes` is less than 3.

    Example:
        >>> u = jnp.array([1.0, 1.0, 0.0, 0.0, 0.0])
        >>> hutchpp_trace(lambda v: u * jnp.vdot(u, v), u, key=jax.random.key(0), n_probes=3).trace.round(4)
        Array(2., dtype=float32)

    Source: Meyer, Musco, Musco and Woodruff (2021), arXiv:2010.09649.
    """
    if n_probes < 3:
        raise ValueError(f"n_probes must be at least 3 for Hutch++, not {n_probes}: use Hutchinson's estimate.")
    if n_probes >= like.size:
        return exact_trace(linear_map, like)
    flat, rank = _flat(linear_map, like), n_probes // 3
    sketch_key, sign_key = jax.random.split(key)
    sketch = jax.random.normal(sketch_key, (rank, like.size), like.dtype)
    basis = _orthonormal(map_in_turn(flat, sketch).T)[0].T  # rows are orthonormal
    inside = map_in_turn(lambda q: jnp.vdot(q, flat(q)), basis).sum()
    signs = jax.random.rademacher(sign_key, (n_probes - 2 * rank, like.size), like.dtype)
    rest = signs - (signs @ basis.T) @ basis
    outside = map_in_turn(lambda g: jnp.vdot(g, flat(g)), rest)
    return TraceEstimate(inside + outside.mean(), _std_error(outside))


def xtrace(linear_map: LinearMap, like: Float[Array, "*event"], *, key: PRNGKeyArray, n_probes: int) -> TraceEstimate:
    r"""XTrace: each of `n_probes / 2` test vectors in turn is left out of the sketch and estimates what is left.

    It is the mean over i of $\mathrm{tr}(Q_i^\top A Q_i) + \omega_i^\top (I - Q_i Q_i^\top) A (I - Q_i Q_i^\top)
    \omega_i$, with $Q_i$ a basis of A times all sign vectors but $\omega_i$. Unbiased for any square A, and more
    accurate than Hutch++ with as many products. It is exact when the rank of A is less than `n_probes / 2`, but for the
    few maps whose range the sign vectors may miss. Gradients hold the
    bases constant, which keeps them unbiased.

    Args:
        linear_map: A linear function of an array, to an array of the same shape.
        like: An array of the shape and dtype that the map takes; its values do not matter.
        key: Random key.
        n_probes: Products, even, at least 4. As many products as entries or more give the trace itself, which is
            computed exactly then.

    Returns:
        The estimate, and its standard error: the terms have overlapping bases, so it is approximate.

    Raises:
        ValueError: `n_probes` is odd or less than 4.

    Example:
        >>> u = jnp.array([4.0, 2.0, 1.0, 0.0, 0.0])
        >>> xtrace(lambda v: u * jnp.vdot(u, v), u, key=jax.random.key(0), n_probes=4).trace.round(3)
        Array(21., dtype=float32)

    Source: Epperly, Tropp and Webber (2024), arXiv:2301.07825.
    """
    if n_probes < 4 or n_probes % 2:
        raise ValueError(f"n_probes must be an even number of at least 4 for XTrace, not {n_probes}.")
    if n_probes >= like.size:
        return exact_trace(linear_map, like)
    flat, half = _flat(linear_map, like), n_probes // 2
    omega = jax.random.rademacher(key, (like.size, half), like.dtype)
    image = map_in_turn(flat, omega.T).T  # A Omega
    basis, triangle = _orthonormal(image)
    mapped = map_in_turn(flat, basis.T).T  # A Q
    left_out = _left_out(triangle)  # column i: the direction of the sketch that only vector i has
    inner = basis.T @ mapped
    seen = basis.T @ omega
    kept = seen - left_out * (left_out * seen).sum(0, keepdims=True)  # what the others' sketch sees of vector i
    inside = jnp.trace(inner) - (left_out * (inner @ left_out)).sum(0)
    outside = ((omega - basis @ kept) * (image - mapped @ kept)).sum(0)
    return TraceEstimate((inside + outside).mean(), _std_error(inside + outside))


def _flat(linear_map: LinearMap, like: Float[Array, "*event"]) -> LinearMap:
    return lambda v: linear_map(v.reshape(like.shape)).reshape(-1)


def _orthonormal(columns: Float[Array, "d k"]) -> tuple[Float[Array, "d k"], Float[Array, "k k"]]:
    """Gram and Schmidt's QR decomposition, each column twice; a column that depends on those before it becomes zero.

    It is held constant: any basis is unbiased, and that of dependent columns has no derivative. Householder's method
    would make an arbitrary direction of such a column, and of the ones after it rows of rounding errors.
    """
    columns = jax.lax.stop_gradient(columns)
    count = columns.shape[1]

    def add(i: Array, found: tuple[Array, Array]) -> tuple[Array, Array]:
        basis, triangle = found
        column = columns[:, i]
        once = basis.T @ column
        rest = column - basis @ once
        twice = basis.T @ rest
        rest = rest - basis @ twice
        length = jnp.linalg.norm(rest)
        independent = length > 64 * jnp.finfo(rest.dtype).eps * jnp.linalg.norm(column)
        unit = jnp.where(independent, rest / jnp.where(independent, length, 1), 0)
        share = once + twice + jnp.where(jnp.arange(count) == i, jnp.where(independent, length, 0), 0)
        return basis.at[:, i].set(unit), triangle.at[:, i].set(share)

    start = jnp.zeros_like(columns), jnp.zeros((count, count), columns.dtype)
    return jax.lax.fori_loop(0, count, add, start)


def _left_out(triangle: Float[Array, "k k"]) -> Float[Array, "k k"]:
    """Unit columns i, each orthogonal to all columns of the triangle but column i: those of its inverse transpose.

    A singular triangle, of a map of low rank, is made regular: the other columns span the range anyway.
    """
    size = jnp.abs(triangle).max()
    least = jnp.where(size > 0, size, 1) * jnp.finfo(triangle.dtype).eps
    unit = jnp.eye(len(triangle), dtype=triangle.dtype)

    def substitute(i: Array, inverse: Array) -> Array:
        row = triangle[:, i]  # of the transpose, which is lower triangular; the rows of the inverse below i are zero
        return inverse.at[i].set((unit[i] - row @ inverse) / jnp.maximum(row[i], least))

    inverse = jax.lax.fori_loop(0, len(triangle), substitute, jnp.zeros_like(triangle))
    # Scaled first, so that the length of a large column does not overflow.
    scaled = inverse / jnp.abs(inverse).max(0, keepdims=True)
    return scaled / jnp.linalg.norm(scaled, axis=0, keepdims=True)


def _std_error(terms: Float[Array, " m"]) -> Float[Array, ""]:
    """Of their mean. NaN for one term, without a warning of a division by zero."""
    if len(terms) < 2:
        return jnp.full((), jnp.nan, terms.dtype)
    return jax.lax.stop_gradient(terms.std(ddof=1)) / len(terms) ** 0.5


def _sphere(key: PRNGKeyArray, shape: tuple[int, ...], dtype: jnp.dtype) -> Float[Array, "..."]:
    direction = jax.random.normal(key, shape, dtype).reshape(shape[0], -1)
    length = jnp.linalg.norm(direction, axis=1, keepdims=True)
    return (direction / length * direction.shape[1] ** 0.5).reshape(shape)


_PROBES: dict[str, Probe] = {
    "rademacher": jax.random.rademacher,
    "gaussian": jax.random.normal,
    "sphere": _sphere,
}
