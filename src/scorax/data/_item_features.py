"""Votes together with what is known about the items."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from scorax.data._base import AbstractData
from scorax.data._validate import to_float_array, to_numbers


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
            ValueError: a missing or infinite value, or a feature that is the same for all items: strengths count only
                relative to one another, so it cannot matter.

        Example:
            >>> battles = sx.data.Comparisons.from_arrays([0, 1], [1, 2], [1.0, 0.5])
            >>> WithItemFeatures.from_arrays(battles, [7.0, 13.0, 70.0]).item_features.shape
            (3, 1)
        """
        values = np.asarray(item_features)
        columns = values[:, None] if values.ndim == 1 else values
        if columns.ndim != 2:
            raise ValueError(f"item_features has shape {values.shape}; expected [k, d]: one row of numbers an item")
        checked = to_numbers("item_features", columns, columns.shape)
        constant = np.flatnonzero((checked == checked[:1]).all(0))
        if constant.size:
            raise ValueError(
                f"item_features has a column that is the same for all items (column {constant[0]}): it cannot tell "
                "them apart. Leave it out."
            )
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
