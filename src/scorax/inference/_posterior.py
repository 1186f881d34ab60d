"""Draws from a posterior: modules, sites and sampler statistics by chain and draw."""

import math
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from scorax.inference._model import leaf_names, parameters
from scorax.inference._posterior_file import read_posterior, write_posterior
from scorax.inference._summary import Summary, summarise

if TYPE_CHECKING:
    from scorax.inference._criticism import Verdict

Model = TypeVar("Model")

_ARVIZ_NAMES = {"accept_prob": "acceptance_rate", "log_density": "lp", "num_steps": "n_steps"}


class Posterior(eqx.Module, Generic[Model]):
    """Draws from a posterior, by chain and draw. `sample` makes it; `Posterior.load` reads it back.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0, 0, 1, 0], [1, 1, 0, 1], [1.0, 1.0, 1.0, 0.5])
        >>> model = sx.choice.BradleyTerry.init(2)
        >>> posterior = sx.inference.sample(model, battles, key=jax.random.key(0), method="laplace", progress=False)
        >>> posterior.model.strength.shape  # [chain, draw, item]
        (4, 500, 2)
        >>> sorted(posterior.sites)
        ['scale', 'strength']
        >>> bool(posterior.map(lambda model: model.strength[0] > model.strength[1]).mean() > 0.5)
        True
    """

    moving: Model
    """The module's leaves that draws change, with leading axes of chain and draw; None in place of all others."""
    still: Model
    """All other leaves of the module."""
    sites: dict[str, Array]
    """Value of every site of the prior, `[chain, draw, ...]`."""
    stats: dict[str, Array]
    """Statistics of the sampler, `[chain, draw]`."""
    adaptation: dict[str, Array] = eqx.field(default_factory=dict)
    """What the warm-up found, such as `step_size`, `[chain, ...]`: pass it to another `sample` to warm up no more."""
    method: str = eqx.field(static=True, default="")
    """What drew them, such as `NUTS(...)`."""

    @property
    def model(self) -> Model:
        """The module with leading axes of chain and draw. Leaves that no draw changes have none.

        Properties that read shapes (`n_items`) see the chains; `map` does not have this trouble.
        """
        return eqx.combine(self.moving, self.still)

    @property
    def num_chains(self) -> int:
        """How many chains there are."""
        return self.stats["log_density"].shape[0]

    @property
    def num_draws(self) -> int:
        """How many draws each chain has."""
        return self.stats["log_density"].shape[1]

    def map(self, f: Callable[[Model], PyTree], *, batch_size: int = 256) -> PyTree:
        """Any function of the model, for every draw: leading axes `[chain, draw]` on every array it returns.

        Args:
            f: A function of one model. Name it once if you call it often: a new lambda is compiled anew.
            batch_size: Draws at a time, for memory.
        """
        return _map(f, self.moving, self.still, (self.num_chains, self.num_draws), batch_size)

    def quantities(self) -> dict[str, Array]:
        """All sites, and the parameters of the module that are no sites, under their names."""
        names = leaf_names(self.moving)
        leaves = dict(zip(names, jax.tree.leaves(parameters(self.moving)), strict=True))
        return {**{name: leaf for name, leaf in leaves.items() if name not in self.sites}, **self.sites}

    def summary(self, names: Sequence[str] | None = None, *, level: float = 0.95) -> Summary:
        """Mean, spread, quantiles and diagnostics of every number drawn.

        Args:
            names: Labels of the items, such as a `Vocabulary`: the first axis of this length is labelled with them.
            level: Of the interval between the outer quantiles, in (0, 1).

        Raises:
            ValueError: `level` is not in (0, 1), or nothing has an axis as long as `names`.
        """
        return summarise(self.quantities(), names, level)

    def check(self, *, max_tree_depth: int = 10) -> "Verdict":
        """A verdict in plain words: whether these draws can be believed, and if not, what to try. See `verdict`."""
        from scorax.inference._criticism import verdict

        return verdict(self, max_tree_depth=max_tree_depth)

    def to_arviz(self) -> Any:
        """The draws for ArviZ: `InferenceData` before its version 1, a `DataTree` from then on.

        Raises:
            ImportError: ArviZ is not installed (it comes with `scorax[plot]`).
        """
        import arviz

        posterior = {name: np.asarray(value) for name, value in self.quantities().items()}
        stats = {_ARVIZ_NAMES.get(name, name): np.asarray(value) for name, value in self.stats.items()}
        groups: dict[str, Any] = {"posterior": posterior, "sample_stats": stats}
        return arviz.from_dict(groups) if int(arviz.__version__.split(".")[0]) >= 1 else arviz.from_dict(**groups)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one `.npz` file, all of it or nothing: a file that was there stays until the new one is complete."""
        groups = {"sites": self.sites, "stats": self.stats, "adaptation": self.adaptation}
        write_posterior(path, self.moving, self.still, groups, self.method)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, like: Model) -> "Posterior[Model]":
        """Read what `save` wrote.

        Args:
            path: The file.
            like: A model of the same class and shapes: it gives the structure, which the file does not hold.

        Raises:
            ValueError: The file is truncated or no posterior, or it does not match `like`; the error names the leaf.
        """
        return cls(*read_posterior(path, like))


@eqx.filter_jit
def _map(f: Callable[[Any], PyTree], moving: Any, still: Any, shape: tuple[int, int], batch_size: int) -> PyTree:
    outside: list[Any] = []

    def each(numbered: tuple[Array, Any]) -> Any:
        arrays, rest = eqx.partition(f(eqx.combine(numbered[1], still)), eqx.is_array)
        outside[:] = [rest]
        return arrays

    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), moving)
    # Numbered, so that there are draws to map over even where the prior leaves every parameter alone.
    values = jax.lax.map(each, (jnp.arange(math.prod(shape)), flat), batch_size=batch_size)
    return eqx.combine(jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), values), outside[0])
