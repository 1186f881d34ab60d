"""Second derivatives of functions of one sample: the divergence of a field, the Laplacian of a scalar."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PRNGKeyArray

from scorax.numerics import (
    Probe,
    draw_probes,
    exact_trace,
    hutchinson_trace,
    hutchpp_trace,
    map_in_turn,
    xtrace,
)
from scorax.score_matching._forward_laplacian import forward_laplacian, second_derivative
from scorax.score_matching._score import Score, masked_scalar, masked_score

MaskedField = Callable[[Bool[Array, "*event"] | None], Callable[[Float[Array, "*event"]], Any]]
"""From a mask to a field of one sample that heeds it."""
Scalar = Callable[[Float[Array, "*event"]], Float[Array, ""]]


def divergence(
    f: Score,
    x: Float[Array, "*event"],
    *,
    method: str = "exact",
    key: PRNGKeyArray | None = None,
    n_probes: int = 1,
    probe: str | Probe = "rademacher",
    where: Bool[Array, "..."] | None = None,
) -> tuple[Float[Array, "*event"], Float[Array, ""]]:
    r"""A field and its divergence `sum_i d_i f_i` at one sample, from one linearised evaluation.

    With F the cost of an evaluation, it takes about F for each product of the Jacobian, and one F more: `d` products
    for "exact", `n_probes` for the others. For a batch, `jax.vmap` it.

    Args:
        f: The field, from a sample to an array of the same shape. It must be differentiable.
        x: One sample.
        method: "exact";
            "hutchinson", the mean of `vᵀJv` over random directions;
            "hutchpp", exact on a sketch of the range of the Jacobian and "hutchinson" on the rest;
            "xtrace", where each test vector measures what the others miss. The last three are unbiased.
        key: Random key, for all methods but "exact".
        n_probes: Products of the Jacobian: at least 3 for "hutchpp", an even number of at least 4 for "xtrace"; of no
            use to "exact".
        probe: For "hutchinson", how directions are drawn: "rademacher" (exact where the Jacobian is diagonal),
            "gaussian", "sphere" (of radius the root of the number of entries), or a function
            `(key, shape, dtype) -> directions`.
        where: Entries that take part, of the shape of `x` or one that broadcasts to it. The others may hold anything:
            the field reads zeros there, and has neither value nor derivative.

    Returns:
        `f(x)` and its divergence.

    Raises:
        ValueError: The method or the probe is unknown, it needs a key or other probes, or the field changes the shape
            of its sample.

    Example:
        >>> divergence(lambda x: x**2, jnp.array([1.0, 2.0]))
        (Array([1., 4.], dtype=float32), Array(6., dtype=float32))

    Source: Hutchinson (1990), doi:10.1080/03610919008812866; Meyer, Musco, Musco and Woodruff (2021), arXiv:2010.09649;
    Epperly, Tropp and Webber (2024), arXiv:2301.07825.
    """
    _check_method(method, key)
    where = None if where is None else jnp.broadcast_to(where, x.shape)
    value, derivative = jax.linearize(masked_score(f, where), x)
    if method == "exact" or key is None:
        return value, exact_trace(derivative, x).trace
    if method == "hutchinson":
        return value, hutchinson_trace(derivative, x, key=key, n_probes=n_probes, probe=probe).trace
    estimate = hutchpp_trace if method == "hutchpp" else xtrace
    return value, estimate(derivative, x, key=key, n_probes=n_probes).trace


def rows_divergence(
    field: MaskedField,
    x: Float[Array, "n *event"],
    where: Bool[Array, "n *event"] | None,
    *,
    method: str = "exact",
    keys: Key[Array, " n"] | None = None,
    n_probes: int = 1,
) -> tuple[Float[Array, "n *event"], Float[Array, " n"]]:
    """As `divergence`, of the samples of a batch. `field(where)` is the masked field of one sample."""
    _check_method(method, keys)
    if method in ("hutchpp", "xtrace"):

        def one(x, where, key):
            return divergence(field(where), x, method=method, key=key, n_probes=n_probes)

        return jax.vmap(one)(x, where, keys)
    value, derivative = linearise_rows(field, x, where)
    if keys is None or method == "exact":
        return value, diagonal_rows(derivative, x).sum(0)
    directions = probe_rows("rademacher", keys, n_probes, x)
    return value, map_in_turn(lambda v: dot_rows(v, derivative(v)), directions).mean(0)


def linearise_rows(
    field: MaskedField, x: Float[Array, "n *event"], where: Bool[Array, "n *event"] | None
) -> tuple[Any, Callable[[Array], Any]]:
    """Values of a field at the samples of a batch and their derivative, linearised as one function.

    A `vmap` of linearised samples has the same flops, but transposes what `weight @ x` gives: one probe of three layers
    of 256 took 2.35 regression steps in place of 1.87.
    """
    return jax.linearize(lambda x: jax.vmap(lambda x, where: field(where)(x))(x, where), x)


def diagonal_rows(derivative: Callable[[Array], Array], x: Float[Array, "n *event"]) -> Float[Array, "d n"]:
    """The diagonal of each row's Jacobian, entry by entry."""

    def diagonal(entry: Array) -> Array:
        basis = (jnp.arange(x[0].size) == entry).astype(x.dtype).reshape(1, *x.shape[1:])
        directions = jnp.broadcast_to(basis, x.shape)
        return dot_rows(directions, derivative(directions))

    return map_in_turn(diagonal, jnp.arange(x[0].size))


def probe_rows(
    probe: str | Probe, keys: Key[Array, " n"], n_probes: int, x: Float[Array, "n *event"]
) -> Float[Array, "k n *event"]:
    """Directions for each row, drawn with its own key."""

    def draw(key: PRNGKeyArray) -> Array:
        return draw_probes(probe, key=key, shape=(n_probes, *x.shape[1:]), dtype=x.dtype)

    return jax.vmap(draw, out_axes=1)(keys)


def dot_rows(u: Float[Array, "n *event"], v: Float[Array, "n *event"]) -> Float[Array, " n"]:
    """Inner products of rows."""
    return (u * v).sum(range(1, v.ndim))


def _check_method(method: str, key: Any) -> None:
    if method not in ("exact", "hutchinson", "hutchpp", "xtrace"):
        raise ValueError(f"unknown method {method!r}: expected 'exact', 'hutchinson', 'hutchpp' or 'xtrace'.")
    if method != "exact" and key is None:
        raise ValueError(f"the method {method!r} draws random directions: pass key=, or take method='exact'.")


def laplacian(
    f: Scalar,
    x: Float[Array, "*event"],
    *,
    method: str = "forward",
    key: PRNGKeyArray | None = None,
    n_probes: int = 1,
    probe: str | Probe = "coordinates",
    where: Bool[Array, "..."] | None = None,
) -> tuple[Float[Array, ""], Float[Array, "*event"], Float[Array, ""]]:
    r"""Value, gradient and Laplacian `sum_i d_ii f` of a scalar function at one sample.

    With F the cost of an evaluation of a network and d entries, "forward" takes about `(d + 2) F` and
    "forward_over_reverse" about `2 d F` or more. For a batch, `jax.vmap` it.

    Args:
        f: From a sample to one number, such as a log-density. It must be twice differentiable; where it is only
            piecewise so (a relu), the Laplacian is that of the pieces.
        x: One sample.
        method: "forward", one pass through the function that carries value, gradient and Laplacian of every
            intermediate result. It has rules for linear and elementwise operations and for matrix products; any other
            (a `scan`, a Cholesky factor) costs `3 d` evaluations of that operation, with the same result. It cannot
            pass a `jax.custom_vjp`;
            "forward_over_reverse", the exact divergence of the gradient;
            "stde", an unbiased estimate by the second derivatives along a few directions; value and gradient are exact.
        key: Random key, for "stde".
        n_probes: Directions of "stde".
        probe: Directions of "stde": "coordinates" (`n_probes` of the d coordinates, without replacement; all of them
            give the Laplacian itself) or as in `divergence`.
        where: Entries that take part, of the shape of `x` or one that broadcasts to it. The others may hold anything:
            the function reads zeros there, and no derivative is taken.

    Returns:
        `f(x)`, its gradient and its Laplacian.

    Raises:
        ValueError: The method or the probe is unknown, it needs a key, there are more probes than coordinates, or the
            function does not return one number.

    Example:
        >>> laplacian(lambda x: -0.5 * jnp.sum(x**2), jnp.array([1.0, 2.0]))
        (Array(-2.5, dtype=float32), Array([-1., -2.], dtype=float32), Array(-2., dtype=float32))

    Source: Li, Ye, Zhang and others (2024), doi:10.1038/s42256-024-00794-x ("forward"); Hu, Shi, Karniadakis and
    Kawaguchi (2024), arXiv:2412.00088 ("stde").
    """
    where = None if where is None else jnp.broadcast_to(where, x.shape)

    scalar = masked_scalar(f, where)
    if method == "forward":
        return forward_laplacian(scalar, x)
    if method == "forward_over_reverse":
        (value, gradient), derivative = jax.linearize(jax.value_and_grad(scalar), x)
        return value, gradient, exact_trace(lambda v: derivative(v)[1], x).trace
    if method == "stde":
        if key is None:
            raise ValueError("the method 'stde' draws random directions: pass key=, or take method='forward'.")
        value, gradient = jax.value_and_grad(scalar)(x)
        return value, gradient, _sampled_laplacian(scalar, x, key, n_probes, probe)
    raise ValueError(f"unknown method {method!r}: expected 'forward', 'forward_over_reverse' or 'stde'.")


def _sampled_laplacian(
    f: Scalar, x: Float[Array, "*event"], key: PRNGKeyArray, n_probes: int, probe: str | Probe
) -> Float[Array, ""]:
    def along(direction: Float[Array, "*event"]) -> Float[Array, ""]:
        return second_derivative(f, x, direction)[2]

    if probe != "coordinates":
        directions = draw_probes(probe, key=key, shape=(n_probes, *x.shape), dtype=x.dtype)
        return map_in_turn(along, directions).mean()
    if not 1 <= n_probes <= x.size:
        raise ValueError(f"n_probes must be from 1 to the {x.size} coordinates, not {n_probes}.")
    entries = jax.random.permutation(key, x.size)[:n_probes]
    basis = (jnp.arange(x.size)[None] == entries[:, None]).astype(x.dtype).reshape(n_probes, *x.shape)
    return map_in_turn(along, basis).mean() * x.size
