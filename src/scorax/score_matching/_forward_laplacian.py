"""The forward Laplacian: every intermediate result carries its value, its Jacobian and its Laplacian.

For `y = g(u)` and inputs `x`, with `J` and `L` the Jacobian and the Laplacian with respect to `x`,

    J_y = g'(u) J_u,        L_y = g'(u) L_u + sum_k g''(u)[J_u,k , J_u,k].

The second term vanishes for a linear operation, is a sum of squares for an elementwise one and a product of Jacobians
for a matrix product. An operation without a rule here takes it from its own second derivatives, direction by direction.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal
from jaxtyping import Array, Float


class Jet(NamedTuple):
    """An intermediate result that depends on the input."""

    value: Float[Array, "*s"]
    jacobian: Float[Array, "d *s"]
    laplacian: Float[Array, "*s"]


Function = Callable[..., Any]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Linear, or linear between kinks, in all inputs that carry derivatives.
_LINEAR = _names("""
    neg add sub add_any reduce_sum cumsum reshape squeeze expand_dims broadcast_in_dim transpose rev concatenate pad
    slice dynamic_slice dynamic_update_slice gather scatter scatter-add convert_element_type reduce_precision copy
    copy_p real imag select_n split stack unstack tile device_put sharding_constraint optimization_barrier max min
    reduce_max reduce_min cummax cummin clamp abs sign floor ceil round stop_gradient sort reduce_window_sum
""")
_BILINEAR = _names("mul dot_general conv_general_dilated")
# One output entry for each input entry, so that a block of them is elementwise as a whole.
_PLAIN = _names("""
    exp exp2 log log1p expm1 tanh logistic sin cos tan asin acos atan sinh cosh asinh acosh atanh sqrt rsqrt cbrt
    square integer_pow pow erf erfc erf_inv lgamma digamma mul div
    neg add sub add_any max min clamp abs sign floor ceil round select_n convert_element_type copy copy_p stop_gradient
    eq ne lt le gt ge and or not xor is_finite
""")
_CALLS = _names("jit pjit closed_call core_call checkpoint remat remat2")


def forward_laplacian(
    f: Callable[[Float[Array, "*event"]], Float[Array, ""]], x: Float[Array, "*event"]
) -> tuple[Float[Array, ""], Float[Array, "*event"], Float[Array, ""]]:
    """Value, gradient and Laplacian of a scalar function, of the dtype of `x`."""
    program = jax.make_jaxpr(f)(x)
    basis = jnp.eye(x.size, dtype=x.dtype).reshape(x.size, *x.shape)
    (out,) = _evaluate(program, [Jet(x, basis, jnp.zeros_like(x))])
    if not isinstance(out, Jet):  # a constant
        out = jnp.asarray(out, x.dtype)
        return out, jnp.zeros_like(x), jnp.zeros_like(out)
    return out.value, out.jacobian.reshape(x.shape), out.laplacian


def second_derivative(f: Function, x: Array, direction: Array) -> tuple[Any, Any, Any]:
    """`f(x)`, and its first and second derivative along a direction, of the structure of `f(x)`."""

    def first(x: Array) -> tuple[Any, Any]:
        return jax.jvp(f, (x,), (direction,))

    (value, slope), (_, curvature) = jax.jvp(first, (x,), (direction,))
    return value, slope, curvature


def _evaluate(program: ClosedJaxpr, inputs: Sequence[Any]) -> list[Any]:
    """The program on arrays and jets."""
    known = dict(zip(program.jaxpr.constvars, program.consts, strict=True))
    known.update(zip(program.jaxpr.invars, inputs, strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else known[atom]

    for equation in program.jaxpr.eqns:
        outputs = _operation(equation, [read(atom) for atom in equation.invars])
        known.update(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in program.jaxpr.outvars]


def _operation(equation: JaxprEqn, inputs: list[Any]) -> list[Any]:
    """One operation on arrays and jets."""
    name, inner = equation.primitive.name, _inner(equation)
    if not any(isinstance(x, Jet) for x in inputs):
        return _bind(equation, inputs)
    if name.startswith("custom_vjp_call"):
        raise ValueError(
            "the forward Laplacian cannot pass a jax.custom_vjp, which has no forward derivative: take "
            "method='forward_over_reverse', or define the function with jax.custom_jvp."
        )
    if name in _CALLS and inner is not None and not _is_elementwise(equation, inputs):
        call = lambda inputs: _evaluate(inner, inputs)  # noqa: E731
        return (call if name in ("jit", "pjit") else jax.checkpoint(call))(inputs)
    discrete = [not jnp.issubdtype(_aval(out).dtype, jnp.inexact) for out in equation.outvars]
    if not any(discrete):
        return _rule(equation, inputs, range(len(discrete)))
    outputs = _bind(equation, [x.value if isinstance(x, Jet) else x for x in inputs])
    places = [place for place, is_discrete in enumerate(discrete) if not is_discrete]
    for place, jet in zip(places, _rule(equation, inputs, places) if places else [], strict=True):
        outputs[place] = jet
    return outputs


def _rule(equation: JaxprEqn, inputs: list[Any], places: Sequence[int]) -> list[Any]:
    """The jets of the outputs at these places, by the cheapest rule that holds."""
    name, varies = equation.primitive.name, [isinstance(x, Jet) for x in inputs]
    jets = [x for x in inputs if isinstance(x, Jet)]

    def function(*values: Array) -> list[Array]:
        rest = iter(values)
        outputs = _bind(equation, [next(rest) if isinstance(x, Jet) else x for x in inputs])
        return [outputs[place] for place in places]

    if name == "dot_general" and varies == [False, True]:
        return _linear(_swapped(equation.params, inputs[0]), jets)
    if name in _LINEAR or (name in _BILINEAR and len(jets) == 1) or (name == "div" and varies == [True, False]):
        return _linear(function, jets)
    if _is_elementwise(equation, inputs):
        return [_elementwise(lambda u: function(u)[0], jets[0])]
    if name == "mul":
        return [_product(*jets)]
    if name == "div":
        return [_product(jets[0], _elementwise(jnp.reciprocal, jets[1]))]
    if name == "dot_general":
        return [_matrix_product(function, equation.params, *jets)]
    return _any_operation(function, jets)


def _linear(function: Function, jets: list[Jet]) -> list[Jet]:
    values, push = jax.linearize(function, *(jet.value for jet in jets))
    jacobians = jax.vmap(push)(*(jet.jacobian for jet in jets))
    return list(map(Jet, values, jacobians, push(*(jet.laplacian for jet in jets))))


def _elementwise(function: Function, jet: Jet) -> Jet:
    value, slope, curvature = second_derivative(function, jet.value, jnp.ones_like(jet.value))
    squares = (jet.jacobian * jet.jacobian).sum(0)
    return Jet(value, slope[None] * jet.jacobian, slope * jet.laplacian + curvature * squares)


def _product(left: Jet, right: Jet) -> Jet:
    rank = max(left.value.ndim, right.value.ndim)
    (u, ju, lu), (v, jv, lv) = _of_rank(left, rank), _of_rank(right, rank)
    return Jet(u * v, u[None] * jv + v[None] * ju, u * lv + v * lu + 2 * (ju * jv).sum(0))


def _of_rank(jet: Jet, rank: int) -> Jet:
    """A scalar with axes of length one: operations take it together with any shape."""
    if jet.value.ndim == rank:
        return jet
    ones = (1,) * rank
    return Jet(jet.value.reshape(ones), jet.jacobian.reshape(-1, *ones), jet.laplacian.reshape(ones))


def _matrix_product(function: Function, params: dict[str, Any], left: Jet, right: Jet) -> Jet:
    (product,) = _linear(function, [left, right])  # the product rule, but for the product of the Jacobians
    (contracted_left, contracted_right), (batch_left, batch_right) = (
        [[axis + 1 for axis in side] for side in pair] for pair in params["dimension_numbers"]
    )
    both = jax.lax.dot_general(
        left.jacobian,
        right.jacobian,
        (([0, *contracted_left], [0, *contracted_right]), (batch_left, batch_right)),
        precision=params["precision"],
        preferred_element_type=params["preferred_element_type"],
    )
    return product._replace(laplacian=product.laplacian + 2 * both)


def _swapped(params: dict[str, Any], weight: Array) -> Function:
    """The product with a constant on the left, written with it on the right.

    So the rows of a Jacobian, and of a batch, come first in the result too: in the order of `weight @ x` each product
    would be transposed (measured with three layers of 256: 49 ms in place of 30 ms).
    """
    (contracted, contracted_x), (batch, batch_x) = params["dimension_numbers"]
    precision = params["precision"]
    precision = precision[::-1] if isinstance(precision, tuple) else precision
    free = weight.ndim - len(contracted) - len(batch)

    def product(x: Array) -> list[Array]:
        dimensions = ((contracted_x, contracted), (batch_x, batch))
        kind = params["preferred_element_type"]
        out = jax.lax.dot_general(x, weight, dimensions, precision=precision, preferred_element_type=kind)
        return [jnp.moveaxis(out, range(out.ndim - free, out.ndim), range(len(batch), len(batch) + free))]

    return product


def _any_operation(function: Function, jets: list[Jet]) -> list[Jet]:
    """By the second derivatives along each row of the Jacobian."""
    values = tuple(jet.value for jet in jets)

    def curvature(*tangents: Array) -> list[Array]:
        return jax.jvp(lambda *values: jax.jvp(function, values, tangents)[1], values, tangents)[1]

    curvatures = jax.vmap(curvature)(*(jet.jacobian for jet in jets))
    return [
        jet._replace(laplacian=jet.laplacian + rows.sum(0))
        for jet, rows in zip(_linear(function, jets), curvatures, strict=True)
    ]


def _bind(equation: JaxprEqn, values: list[Any]) -> list[Any]:
    bound: Any = equation.primitive.get_bind_params(equation.params)
    functions, params = bound if isinstance(bound, tuple) else ((), bound)  # JAX below 0.10 gives them apart
    out = equation.primitive.bind(*functions, *values, **params)
    return list(out) if equation.primitive.multiple_results else [out]


def _aval(atom: Any) -> Any:
    """Shape and dtype of a variable."""
    return atom.aval


def _inner(equation: JaxprEqn) -> ClosedJaxpr | None:
    """The program inside a call."""
    inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
    return ClosedJaxpr(inner, ()) if isinstance(inner, Jaxpr) else inner


def _is_elementwise(equation: JaxprEqn, inputs: list[Any]) -> bool:
    """Whether each entry of the one output depends on the same entry of the one input that carries derivatives."""
    shapes = [x.value.shape for x in inputs if isinstance(x, Jet)]
    return [_aval(out).shape for out in equation.outvars] == shapes and _is_plain(equation)


def _is_plain(equation: JaxprEqn) -> bool:
    name, inner = equation.primitive.name, _inner(equation)
    if name in _CALLS or name == "custom_jvp_call":
        return inner is not None and all(map(_is_plain, inner.jaxpr.eqns))
    return name in _PLAIN or (name == "broadcast_in_dim" and _aval(equation.invars[0]).shape == ())
