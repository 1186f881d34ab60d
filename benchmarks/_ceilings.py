"""What this device can do at best: bytes copied and flops of a matrix product, per second."""

import dataclasses
import functools
import os
import pathlib
import platform
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Ceilings:
    """Measured on the device of the rows, in the same run."""

    device: str
    copy: float
    """Bytes read and written per second."""
    matmul: dict[str, float]
    """Flops per second by dtype, at JAX's default precision."""


def measure_ceilings(*, repeats: int = 10) -> Ceilings:
    """The best of some repeats: a ceiling is what the device does when nothing disturbs it."""
    large = jax.default_backend() != "cpu"
    return Ceilings(
        describe_device(),
        _copy(2**28 if large else 2**25, repeats),
        {dtype: _matmul(8192 if large else 1024, dtype, repeats) for dtype in ("float32", "float64")},
    )


def _copy(size: int, repeats: int) -> float:
    # In place: a fresh output would pay for its pages, which is the price of the allocator and not of the memory.
    step = jax.jit(lambda x: x + 1, donate_argnums=0)
    x, best = step(jnp.zeros(size, jnp.float32)), float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        x = jax.block_until_ready(step(x))
        best = min(best, time.perf_counter() - start)
    return 2 * x.nbytes / best


def _matmul(size: int, dtype: str, repeats: int) -> float:
    with jax.enable_x64(dtype == "float64"):
        x = jnp.ones((size, size), dtype)
        return 2 * size**3 / _best(functools.partial(jax.jit(jnp.matmul), x, x), repeats)


def _best(call: Callable[[], Any], repeats: int) -> float:
    jax.block_until_ready(call())
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def describe_device() -> str:
    """Device, cores that this process may use, versions."""
    device = jax.devices()[0]
    name = _processor() if device.platform == "cpu" else device.device_kind
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    plural = "core" if cores == 1 else "cores"
    return f"{name}, {cores} {plural}, {platform.system()}, Python {platform.python_version()}, JAX {jax.__version__}"


def _processor() -> str:
    information = pathlib.Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
