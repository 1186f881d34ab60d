"""Association in tables of counts, with variances by the delta method."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def expected_counts(table: Float[Array, "*b r c"]) -> tuple[Float[Array, "*b r c"], Bool[Array, "*b"]]:
    """What rows and columns that are independent would have, and whether none of them is empty, nor a cell negative."""
    rows, columns, n = table.sum(-1, keepdims=True), table.sum(-2, keepdims=True), table.sum((-2, -1), keepdims=True)
    known = (rows > 0).all((-2, -1)) & (columns > 0).all((-2, -1)) & (table >= 0).all((-2, -1))
    expected = rows * columns / jnp.where(known[..., None, None], n, 1)
    return jnp.where(known[..., None, None], expected, 1), known


def chi_squared(table: Float[Array, "*b r c"], *, correction: bool = False) -> Float[Array, "*b"]:
    """Pearson's statistic; NaN where a row or a column is empty."""
    expected, known = expected_counts(table)
    apart = jnp.abs(jnp.where(known[..., None, None], table - expected, 0))
    if correction:
        apart = jnp.maximum(apart - 0.5, 0)
    return jnp.where(known, (apart**2 / expected).sum((-2, -1)), jnp.nan)


def phi(table: Float[Array, "*b r c"]) -> tuple[Float[Array, "*b"], Float[Array, "*b"]]:
    """The correlation of two binary answers, and its variance.

    Raises:
        ValueError: the table has not two rows and two columns.
    """
    if table.shape[-2:] != (2, 2):
        raise ValueError(f"phi needs a table of two rows and two columns, not of shape {table.shape}")

    def value(cells: Array) -> Array:
        sides = cells.sum(0).prod() * cells.sum(1).prod()
        return (cells[0, 0] * cells[1, 1] - cells[0, 1] * cells[1, 0]) / jnp.sqrt(sides)

    return _by_delta_method(value, table)


def cramer_v(table: Float[Array, "*b r c"]) -> tuple[Float[Array, "*b"], Float[Array, "*b"]]:
    """Cramér's V, and its variance, which is NaN where V is 0, its least value.

    Raises:
        ValueError: the table has a single row or column.
    """
    smaller = min(table.shape[-2:]) - 1 if table.ndim >= 2 else 0
    if smaller < 1:
        raise ValueError(f"Cramér's V needs a table of two rows and columns at least, not of shape {table.shape}")

    def value(cells: Array) -> Array:
        share = chi_squared(cells) / (cells.sum() * smaller)
        positive = share > 0
        return jnp.where(positive, jnp.sqrt(jnp.where(positive, share, 1)), 0)

    return _by_delta_method(value, table)


def _by_delta_method(
    value: Callable[[Array], Array], table: Float[Array, "*b r c"]
) -> tuple[Float[Array, "*b"], Float[Array, "*b"]]:
    known = expected_counts(table)[1]
    cells = jnp.where(known[..., None, None], table, 1)
    each = jax.value_and_grad(value)
    for _ in known.shape:
        each = jax.vmap(each)
    found, slope = each(cells)
    # Multinomial counts; the measure does not change with their total, so the mean slope is 0.
    variance = (cells * slope**2).sum((-2, -1))
    return jnp.where(known, found, jnp.nan), jnp.where(known, variance, jnp.nan)
