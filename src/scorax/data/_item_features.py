"""Votes together with what is known about the items."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from scorax.data._base import AbstractData
from scorax.data._choices import Choices
from scorax.data._comparisons import Comparisons, PairCounts
from scorax.data._matches import Matches
from scorax.data._rankings import Rankings
from scorax.data._validate import is_concrete, refuse, refuse_empty, to_array, to_float_array, to_numbers


class WithItemFeatures(AbstractData):
    """Comparisons or rankings, and a row of features for every item.

    `rows` are the votes, `item_features` what strengths may depend on: sizes, prices, doses, the group an item is of.
    """

    rows: Any
    item_features: Float[Array, "k d"]

    @classmethod
    def from_arrays(cls, rows: AbstractData, item_features: Any) -> "WithItemFeatures":
        """Check and build.

        Args:
            rows: Comparisons, a table of them, or rankings.
            item_features: `[k, d]`, or `[k]` for a single one.

        Raises:
            ValueError: `rows` are no data, an item has no row of features, a missing or infinite value, or a feature
                that is the same for all items: strengths count only relative to one another, so it cannot matter.

        Example:
            >>> battles = sx.data.Comparisons.from_arrays([0, 1], [1, 2], [1.0, 0.5])
            >>> WithItemFeatures.from_arrays(battles, [7.0, 13.0, 70.0]).item_features.shape
            (3, 1)
        """
        if not isinstance(rows, AbstractData):
            raise ValueError(f"rows are comparisons, a table of them or rankings, not a {type(rows).__name__}")
        values = to_array("item_features", item_features)
        columns = values[:, None] if values.ndim == 1 else values
        refuse_empty(columns.size, "features")
        if columns.ndim != 2:
            raise ValueError(f"item_features has shape {values.shape}; expected [k, d]: one row of numbers an item")
        checked = to_numbers("item_features", columns, columns.shape)
        constant = np.flatnonzero((checked == checked[:1]).all(0))
        if constant.size:
            raise ValueError(
                f"item_features has a column that is the same for all items (column {constant[0]}): it cannot tell "
                "them apart. Leave it out."
            )
        _refuse_items_without(rows, len(checked))
        return cls(rows=rows, item_features=to_float_array(checked))  # pyright: ignore[reportCallIssue]

    @property
    def weight(self) -> Float[Array, "..."]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Of the rows."""
        return self.rows.weight

    @property
    def count(self) -> Float[Array, "..."]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Of the rows."""
        return self.rows.count

    def aggregate(self) -> "WithItemFeatures":
        """The same with every distinct row once."""
        return dataclasses.replace(self, rows=self.rows.aggregate())

    def expand(self) -> "WithItemFeatures":
        """The same with one observation a row."""
        return dataclasses.replace(self, rows=self.rows.expand())

    def reweight(self, weight: Any) -> "WithItemFeatures":
        """The same with other weights of the rows."""
        return dataclasses.replace(self, rows=self.rows.reweight(weight))

    def take(self, rows: Any) -> "WithItemFeatures":
        """The same with some of the rows."""
        return dataclasses.replace(self, rows=self.rows.take(rows))

    def pad(self, n: int) -> "WithItemFeatures":
        """The same with `n` rows, the new ones of weight 0."""
        return dataclasses.replace(self, rows=self.rows.pad(n))


def _refuse_items_without(rows: AbstractData, k: int) -> None:
    """Raise where an item has no row of features: a gather out of range would be silent."""
    if isinstance(rows, PairCounts):
        if rows.weight.shape[-1] != k:
            raise ValueError(f"the table is of {rows.weight.shape[-1]} items, item_features has {k} rows: one an item")
        return
    ids = {
        Comparisons: lambda data: (data.a, data.b),
        Rankings: lambda data: (jnp.where(data.where, data.order, 0),),
        Choices: lambda data: (jnp.where(data.where, data.offered, 0),),
        Matches: lambda data: (jnp.where(data.where, data.members, 0),),
    }.get(type(rows), lambda data: ())(rows)
    if is_concrete(*ids):
        for column in map(np.asarray, ids):
            beyond = (column >= k).reshape(len(column), -1).any(1)
            refuse(beyond, f"an item id is {k} or more, and item_features has {k} rows,", "Give every item a row.")


def contrast_features(
    of_a: Any, of_b: Any, *, relative: bool = False, center: bool = False
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, " d"]]:
    r"""Features of comparisons from a property of either side, such as the lengths of two answers.

    The difference, or \((a - b)/(a + b + 1)\), over its root mean square. It changes sign with the sides, and so must
    the scaling: dividing does, subtracting a mean would not.

    Args:
        of_a: `[n]` or `[n, d]`, the property of the first sides.
        of_b: The same of the second sides.
        relative: Divide by the sum plus one, as for counts of tokens or of list items; properties are then at least 0.
        center: Subtract the mean first, as LMArena's style control does. The fit then depends on who is written first;
            for comparison with published numbers only.

    Returns:
        The features, and what they were divided by: multiply new contrasts by its inverse.

    Raises:
        ValueError: shapes that differ, a missing value, a negative one with `relative`, or a property on which the
            sides never differ.

    Example:
        >>> features, scale = contrast_features([120.0, 80.0, 50.0], [60.0, 90.0, 50.0])
        >>> features.ravel().round(3), scale.round(2)
        (array([ 1.708, -0.285,  0.   ]), array([35.12]))

    Source: Li, Angelopoulos, Chiang (2024), "Does style matter? Disentangling style and substance in Chatbot Arena".
    """
    first, second = (_properties(name, side, relative) for name, side in (("of_a", of_a), ("of_b", of_b)))
    if first.shape != second.shape:
        raise ValueError(f"the two sides have properties of shapes {first.shape} and {second.shape}")
    contrast = first - second
    if relative:
        contrast = contrast / (first + second + 1)
    if center:
        contrast = contrast - contrast.mean(0)
    scale = np.sqrt((contrast**2).mean(0))
    if (scale == 0).any():
        raise ValueError(f"the sides never differ in feature {np.flatnonzero(scale == 0)[0]}: leave it out")
    return contrast / scale, scale


def _properties(name: str, side: Any, relative: bool) -> Float[np.ndarray, "n d"]:
    values = np.asarray(side)
    columns = values[:, None] if values.ndim == 1 else values
    if columns.ndim != 2 or columns.size == 0:
        raise ValueError(f"{name} has shape {values.shape}; expected [n] or [n, d]")
    checked = to_numbers(name, columns, columns.shape, lower=0.0 if relative else -np.inf)
    return checked.astype(np.float64)
