"""Checks at the data border, on the host: what is wrong, where, and how to mend it."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int


def refuse(bad: Any, what: str, mend: str = "") -> None:
    """Raise `ValueError` where any of `bad` holds, with the count and the first rows.

    Args:
        bad: One truth value a row.
        what: The complaint, such as "weight is negative".
        mend: A sentence that says what to do.

    Example:
        >>> refuse(np.array([False, True]), "weight is negative", "Drop these rows.")
        Traceback (most recent call last):
        ValueError: weight is negative in 1 row (row 1). Drop these rows.
    """
    rows = np.flatnonzero(bad)
    if rows.size:
        first = ", ".join(map(str, rows[:3])) + (", ..." if rows.size > 3 else "")
        plural = "s" if rows.size > 1 else ""
        raise ValueError(f"{what} in {rows.size} row{plural} ({'rows' if plural else 'row'} {first}). {mend}".rstrip())


def is_concrete(*arrays: Any) -> bool:
    """Whether all values are known now, so that the host may look at them."""
    return not any(isinstance(x, Tracer) for x in arrays)


def to_array(name: str, values: Any) -> np.ndarray:
    """As a NumPy array; lists within it are of one length."""
    try:
        return np.asarray(values)
    except ValueError:
        raise ValueError(f"{name} has rows of different lengths, or lists in place of single values") from None


def count_rows(name: str, values: Any) -> int:
    """The length of a column."""
    raw = to_array(name, values)
    if raw.ndim == 0:
        raise ValueError(f"{name} is no list of values, one a row, but a single {type(values).__name__}")
    return len(raw)


def to_where(name: str, values: Any, shape: tuple[int, ...], like: str) -> np.ndarray:
    """Truth values in the shape of `like`; 0 and 1 are some, NaN is none."""
    raw = to_array(name, values)
    if raw.shape != shape:
        raise ValueError(f"{name} has shape {raw.shape}, {like} {shape}")
    return to_truths(name, raw)


def to_truths(name: str, raw: np.ndarray) -> np.ndarray:
    """Truth values of any shape."""
    if raw.dtype.kind not in "biuf":
        raise ValueError(f"{name} holds {raw.dtype} values, not True and False")
    if raw.dtype.kind != "b":
        refuse(~np.isin(raw, (0, 1)).reshape(len(raw), -1).all(1), f"{name} is neither True nor False")
    return raw.astype(bool)


def to_filled_ids(name: str, raw: np.ndarray, filled: np.ndarray, n_ids: int | None = None) -> np.ndarray:
    """Ids of any shape where places are filled, 0 elsewhere, whatever stands there."""
    _require_integers(name, raw)
    return to_id_array(name, np.where(filled, raw, 0), n_ids)


def to_ids(name: str, values: Any, n: int, n_ids: int | None = None) -> np.ndarray:
    """One int32 id a row, from 0 up to below `n_ids` where that is known."""
    raw = to_array(name, values)
    if raw.shape != (n,):
        raise ValueError(f"{name} has shape {raw.shape}; expected one id for each of the {n} rows")
    return to_id_array(name, raw, n_ids)


def to_id_array(name: str, raw: np.ndarray, n_ids: int | None = None) -> np.ndarray:
    """Ids of any shape, checked and narrowed to int32."""
    _require_integers(name, raw)
    limit = 2**31 if n_ids is None else n_ids
    if raw.size and (raw.min() < 0 or raw.max() >= limit):
        bad = (raw < 0) | (raw >= limit)
        refuse(bad.reshape(len(raw), -1).any(1), f"{name} is no id from 0 to {limit - 1}", "Ids count from 0.")
    return raw.astype(np.int32, copy=False)


def _require_integers(name: str, raw: np.ndarray) -> None:
    if raw.dtype.kind not in "iu":
        raise ValueError(
            f"{name} holds {raw.dtype} values, not integer ids. Names become ids with "
            "Vocabulary.of(names).encode(names), or use from_frame."
        )


def to_numbers(
    name: str, values: Any, shape: tuple[int, ...], *, lower: float = -np.inf, upper: float = np.inf
) -> np.ndarray:
    """Finite floats between two bounds; a single number stands for all rows."""
    raw = to_array(name, values)
    if raw.dtype.kind not in "fiub":
        raise ValueError(f"{name} holds {raw.dtype} values, not numbers")
    if raw.ndim == 0:
        raw = np.full(shape, raw)
    if raw.shape != shape:
        raise ValueError(f"{name} has shape {raw.shape}; the rows ask for {shape}")
    if raw.dtype.kind != "f":
        raw = raw.astype(np.float64)
    # A NaN fails both comparisons, so two reductions settle the usual case.
    largest = np.finfo(raw.dtype).max
    if raw.size and not (raw.min() >= max(lower, -largest) and raw.max() <= min(upper, largest)):
        by_row = raw.reshape(len(raw), -1)
        refuse(np.isnan(by_row).any(1), f"{name} is missing (NaN)", "Drop these rows or fill them in.")
        refuse((by_row < lower).any(1), _below(name, lower), f"It must be {_range(lower, upper)}.")
        refuse((by_row > upper).any(1), f"{name} is above {upper:g}", f"It must be {_range(lower, upper)}.")
        refuse(~np.isfinite(by_row).all(1), f"{name} is infinite", "Drop these rows or mend them.")
    return raw


def _below(name: str, lower: float) -> str:
    return f"{name} is negative" if lower == 0 else f"{name} is below {lower:g}"


def _range(lower: float, upper: float) -> str:
    return f"at least {lower:g}" if np.isinf(upper) else f"between {lower:g} and {upper:g}"


def to_float_array(values: np.ndarray) -> Float[Array, "..."]:
    """To the device in JAX's default width."""
    return jnp.asarray(values, dtype=float)


def to_int_array(values: np.ndarray) -> Int[Array, "..."]:
    """To the device as int32."""
    return jnp.asarray(values, dtype=jnp.int32)


def to_weights(
    weight: Any, count: Any, n: int, *, name: str = "weight"
) -> tuple[Float[Array, " rows"], Float[Array, " rows"]]:
    """Weights and counts of rows, one by default.

    A row without observations (count 0) must have weight 0. Where only counts are given, they are the weights too.
    """
    if count is None and weight is None:
        ones = jnp.ones(n, dtype=float)
        return ones, ones
    counts = to_numbers("count", 1.0 if count is None else count, (n,), lower=0.0)
    weights = counts if weight is None else to_numbers(name, weight, (n,), lower=0.0)
    refuse((counts == 0) & (weights != 0), f"{name} is not 0 although count is 0", "A row of padding has both 0.")
    if n and not weights.max() > 0:
        raise ValueError(f"every {name} is 0: nothing is left to learn from")
    return to_float_array(weights), to_float_array(counts)


def to_clusters(cluster: Any, n: int) -> Int[Array, " rows"] | None:
    """Cluster ids, if any."""
    return None if cluster is None else to_int_array(to_ids("cluster", cluster, n))


def refuse_empty(n: int, what: str) -> None:
    """Raise `ValueError` where there is no row."""
    if n == 0:
        raise ValueError(f"there are no {what}: the data are empty")
