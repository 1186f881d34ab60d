"""Chains over devices and processes: each device moves its own chains, and none waits for another's."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, PartitionSpec

Value = TypeVar("Value")

SPLIT = True
WHOLE = False


def over_devices(
    f: Callable[..., Any], mesh: Mesh | None, inputs: tuple[bool, ...], outputs: Any
) -> Callable[..., Any]:
    """`f` on every device's share of the chains.

    Not `jit` of sharded arrays: the loops inside `f` would then go on until the last chain of all devices is done.

    Args:
        f: A function of arrays, or trees of them, whose leading axis is the chain where they are split.
        mesh: All of its devices are used, whatever its axes. None: `f` as it is.
        inputs: For each argument, whether it is split over the devices.
        outputs: The same for the result or each part of it.
    """
    if mesh is None:
        return f
    # Whatever the axes' types: here the compiler places what is not split.
    mesh = Mesh(mesh.devices, mesh.axis_names)
    split, whole = PartitionSpec(mesh.axis_names), PartitionSpec()
    specs = jax.tree.map(lambda is_split: split if is_split else whole, (inputs, outputs))
    # What is whole is equal on all devices because they compute it alike; JAX cannot prove that of a loop.
    return jax.shard_map(f, mesh=mesh, in_specs=specs[0], out_specs=specs[1], check_vma=False)


def pad_chains(tree: Any, mesh: Mesh | None) -> Any:
    """Repeat the last chain until the devices share evenly."""
    size = 1 if mesh is None else mesh.size

    def pad(x: np.ndarray) -> np.ndarray:
        missing = -x.shape[0] % size
        return np.concatenate([x, np.repeat(x[-1:], missing, axis=0)]) if missing else x

    return jax.tree.map(pad, tree)


def on_host(tree: Any) -> Any:
    """Arrays as NumPy's, whole, on every process."""
    return jax.tree.map(_gather, tree)


def _gather(x: Any) -> np.ndarray:
    if isinstance(x, jax.Array) and not x.is_fully_addressable:
        return np.asarray(multihost_utils.process_allgather(x, tiled=not x.is_fully_replicated))
    return np.asarray(x)


def agreed(value: Value) -> Value:
    """A number that all processes must hold alike, such as when to stop: that of the first process."""
    if jax.process_count() == 1:
        return value
    return type(value)(multihost_utils.broadcast_one_to_all(np.asarray(value)))  # pyright: ignore[reportCallIssue]


def is_first() -> bool:
    """Whether this process is the one that reports and writes files."""
    return jax.process_index() == 0
