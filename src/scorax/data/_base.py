"""What every container is: rows of observations that say what they count for."""

import abc
import dataclasses
import math
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from scorax.data._distinct import distinct_rows
from scorax.data._validate import is_concrete, refuse, to_array, to_float_array, to_numbers

Data = TypeVar("Data", bound="AbstractData")
Rows = TypeVar("Rows", bound="AbstractRows")


class AbstractData(eqx.Module):
    """Observations. `weight` is what a row adds to the likelihood, `count` how many equal observations it holds.

    A row of padding has valid ids, weight 0 and count 0.
    """

    weight: eqx.AbstractVar[Float[Array, "..."]]
    count: eqx.AbstractVar[Float[Array, "..."]]

    @abc.abstractmethod
    def aggregate(self) -> "AbstractData":
        """The same data with every distinct row once."""

    @abc.abstractmethod
    def expand(self) -> "AbstractData":
        """The same data with one observation a row: what `simulate` wants."""

    def reweight(self: Data, weight: Any) -> Data:
        """The same rows with other weights; counts stay.

        Args:
            weight: In the shape of `self.weight`, at least 0 (checked where the values are known).

        Raises:
            ValueError: wrong shape, negative or missing values.

        Example:
            >>> battles = sx.data.Comparisons.from_arrays([0, 1], [1, 2], [1.0, 0.5])
            >>> battles.reweight(jnp.array([2.0, 0.0])).weight
            Array([2., 0.], dtype=float32)
        """
        weight = weight if isinstance(weight, jax.Array) else to_array("weight", weight)
        if jnp.shape(weight) != self.weight.shape:
            raise ValueError(f"weight has shape {jnp.shape(weight)}; the rows ask for {self.weight.shape}")
        if is_concrete(weight):
            to_numbers("weight", weight, self.weight.shape, lower=0.0)
        return dataclasses.replace(self, weight=jnp.asarray(weight, self.weight.dtype))


class AbstractRows(AbstractData):
    """Data whose arrays all have the row as their leading axis."""

    def canonical(self: Rows) -> Rows:
        """The same rows, written so that equal observations have equal arrays."""
        return self

    def take(self: Rows, rows: Any) -> Rows:
        """Some of the rows.

        Args:
            rows: Row numbers, or one truth value a row.

        Raises:
            ValueError: there is no such row (checked on the host: an array of JAX is taken as it is).

        Example:
            >>> battles = sx.data.Comparisons.from_arrays([0, 1], [1, 2], [1.0, 0.5])
            >>> battles.take(np.array([False, True])).outcome
            Array([0.5], dtype=float32)
        """
        if isinstance(rows, np.ndarray | list | tuple):
            rows = _checked_rows(np.asarray(rows), self.weight.shape[0])
        return jax.tree.map(lambda column: column[rows], self)

    def pad(self: Rows, n: int) -> Rows:
        """The same data in `n` rows: shapes that repeat compile once.

        The new rows repeat the first one with weight 0 and count 0, so they add nothing.

        Raises:
            ValueError: there are more than `n` rows already.

        Example:
            >>> battles = sx.data.Comparisons.from_arrays([0, 1], [1, 2], [1.0, 0.5])
            >>> battles.pad(4).weight
            Array([1., 1., 0., 0.], dtype=float32)
        """
        rows = self.weight.shape[0]
        if rows > n:
            raise ValueError(f"cannot pad {rows} rows to {n}")
        longer = self.take(jnp.concatenate([jnp.arange(rows), jnp.zeros(n - rows, int)]))
        real = jnp.arange(n) < rows
        blank = [jnp.where(real, column, jnp.zeros_like(column)) for column in (longer.weight, longer.count)]
        return dataclasses.replace(longer, weight=blank[0], count=blank[1])

    def shard(self: Rows, devices: Mesh | NamedSharding) -> Rows:
        """The rows split over devices, padded to a multiple of their number. Nothing else is split.

        Args:
            devices: A mesh, all of whose axes split the rows, or a sharding whose first axis does.

        Example:
            >>> mesh = jax.make_mesh((1,), ("rows",))
            >>> battles = sx.data.Comparisons.from_arrays([0, 1], [1, 2], [1.0, 0.5]).shard(mesh)
            >>> battles.weight.sharding.spec[0]
            'rows'
        """
        if isinstance(devices, Mesh):
            mesh, axes = devices, devices.axis_names
        else:
            mesh, axes = devices.mesh, devices.spec[0] if devices.spec else None
        if not isinstance(mesh, Mesh):
            raise ValueError("rows are split over real devices: pass a Mesh, not an abstract one")
        names = () if axes is None else (axes,) if isinstance(axes, str) else tuple(axes)
        parts = math.prod(mesh.shape[name] for name in names)
        rows = -(-self.weight.shape[0] // parts) * parts
        # Axes of a plain mesh are automatic: explicit ones would ask every gather of a parameter for a sharding.
        automatic = Mesh(mesh.devices, mesh.axis_names)
        split = names[0] if len(names) == 1 else names or None
        return jax.device_put(self.pad(rows), NamedSharding(automatic, PartitionSpec(split)))

    def aggregate(self: Rows) -> Rows:
        """Every distinct row once, with the sums of weights and counts; rows of padding go.

        Rows are merged where all columns and the weight of one observation agree, so that likelihood, sandwich and
        bootstrap stay the same. On the host, in 64 bits.

        Example:
            >>> battles = sx.data.Comparisons.from_arrays([0, 1, 0], [1, 2, 1], [1.0, 0.5, 1.0])
            >>> battles.aggregate().count
            Array([2., 1.], dtype=float32)
        """
        weight, count = (np.asarray(column, np.float64) for column in (self.weight, self.count))
        held = np.flatnonzero(count > 0)
        if held.size == 0:
            return self.take(np.zeros(1, int))
        rows = self.canonical()
        key = jax.tree.leaves(eqx.tree_at(lambda data: (data.weight, data.count), rows, (None, None)))
        first, group = distinct_rows([*(np.asarray(column)[held] for column in key), weight[held] / count[held]])
        sums = [np.bincount(group, column[held]) for column in (weight, count)]
        return _with_weights(rows.take(held[first]), *sums)

    def expand(self: Rows) -> Rows:
        """One observation a row, each with its share of the weight; rows of padding go. Undoes `aggregate`.

        Raises:
            ValueError: a count is not a whole number, or all are 0.

        Example:
            >>> battles = sx.data.Comparisons.from_arrays([0, 1], [1, 2], [1.0, 0.5], count=[2, 1])
            >>> battles.expand().a
            Array([0, 0, 1], dtype=int32)
        """
        weight, count = (np.asarray(column, np.float64) for column in (self.weight, self.count))
        whole = count.astype(np.int64)
        refuse(whole != count, "count is not a whole number", "Only whole observations can stand in rows of their own.")
        if not whole.any():
            raise ValueError("there are no observations to expand: every count is 0")
        rows = np.repeat(np.arange(len(whole)), whole)
        return _with_weights(self.take(rows), weight[rows] / count[rows], np.ones(len(rows)))


def _checked_rows(rows: np.ndarray, n: int) -> np.ndarray:
    """Row numbers that are there; JAX would take the last row for all beyond it."""
    if rows.dtype == bool and rows.shape != (n,):
        raise ValueError(f"rows holds truth values of shape {rows.shape}; expected one for each of the {n} rows")
    if rows.dtype != bool and rows.size and not (-n <= rows.min() and rows.max() < n):
        raise ValueError(f"there are {n} rows, so none has the number {rows.max() if rows.max() >= n else rows.min()}")
    return rows if rows.size else rows.astype(int)


def _with_weights(rows: Rows, weight: np.ndarray, count: np.ndarray) -> Rows:
    return dataclasses.replace(rows, weight=to_float_array(weight), count=to_float_array(count))
