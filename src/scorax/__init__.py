"""scorax: differentiable statistics for scores in JAX.

Rooms load on first use, so `import scorax` is cheap:

    >>> import scorax as sx
    >>> sx.numerics.log1mexp(jnp.log(jnp.array([2.0])))  # log(1 - 1/2)
    Array([-0.6931472], dtype=float32)
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "choice",
    "cli",
    "data",
    "diffusion",
    "evals",
    "inference",
    "judges",
    "learning",
    "numerics",
    "plot",
    "score_matching",
    "stats",
]

if TYPE_CHECKING:
    from scorax import (
        choice,
        cli,
        data,
        diffusion,
        evals,
        inference,
        judges,
        learning,
        numerics,
        plot,
        score_matching,
        stats,
    )
else:

    def __getattr__(name: str):
        if name in __all__:
            return importlib.import_module(f"scorax.{name}")
        raise AttributeError(f"module 'scorax' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted([*globals(), *__all__])
