"""NumPyro mixes dtypes and ranks; our own code does not, and is tested under JAX's strict promotion."""

import contextlib
from collections.abc import Iterator

import jax


@contextlib.contextmanager
def engine() -> Iterator[None]:
    """Lift strict promotion around a call into NumPyro, at run time or while tracing."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
