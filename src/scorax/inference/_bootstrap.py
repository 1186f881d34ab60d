"""The bootstrap as a `vmap` over weights: all refits in one compiled call, each started at the estimate."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from scorax.inference._fit import fit
from scorax.inference._model import AbstractModel, parameters
from scorax.inference._program import Program
from scorax.stats import bayesian_bootstrap_weights, multinomial_weights

Model = TypeVar("Model", bound=AbstractModel[Any])

_REDRAW = {"multinomial": multinomial_weights, "bayesian": bayesian_bootstrap_weights}


class Bootstrap(eqx.Module, Generic[Model]):
    """Refits to redrawn data."""

    model: Model
    """With a leading axis of resamples; only those whose fit converged."""
    failed: int = eqx.field(static=True)
    """How many resamples had no finite maximum. They are left out, which makes intervals too short if they are many."""

    def map(self, f: Callable[[Model], PyTree]) -> PyTree:
        """Any function of the model, for every resample."""
        return eqx.filter_vmap(f)(self.model)

    @property
    def std_error(self) -> Model:
        """Standard deviation over resamples."""
        return jax.tree.map(lambda leaf: jnp.std(leaf, axis=0, ddof=1), parameters(self.model))

    def interval(self, f: Callable[[Model], PyTree], *, level: float = 0.95) -> tuple[PyTree, PyTree]:
        """Percentile interval of any function of the model."""
        values = self.map(f)
        tail = (1 - level) / 2
        bounds = [jax.tree.map(lambda x, q=q: jnp.quantile(x, q, axis=0), values) for q in (tail, 1 - tail)]
        return bounds[0], bounds[1]


def bootstrap(
    model: Model,
    data: Any,
    *,
    key: PRNGKeyArray,
    n_resamples: int = 1000,
    method: str = "multinomial",
    cluster: Int[Array, "..."] | None = None,
    prior: Program | None = None,
    batch_size: int = 25,
) -> Bootstrap[Model]:
    """Refit to redrawn data.

    Args:
        model: The fitted model; each refit starts there.
        data: What it was fitted to.
        key: The same key gives the same resamples, whatever `batch_size`.
        n_resamples: Number of refits.
        method: `"multinomial"` redraws observations with replacement; `"bayesian"` gives them smooth random weights,
            which never lose an observation, so that no refit fails where the fit did not.
        cluster: An id for every row of `data`: whole clusters (voters, prompts) are redrawn.
        prior: As in `fit`.
        batch_size: Refits at a time: few enough to stay in the cache.

    Raises:
        ValueError: `method` is unknown, the data do not fit the model, `cluster` has not the rows' shape, or nearly
            every refit failed.

    Example:
        >>> battles, models = sx.data.datasets.load_food()
        >>> result = sx.inference.fit(sx.choice.BradleyTerry.init(len(models)), battles)
        >>> draws = sx.inference.bootstrap(
        ...     result.model, battles, key=jax.random.key(0), n_resamples=50, method="bayesian"
        ... )
        >>> draws.model.strength.shape == (50, len(models))
        True

    Source: Efron (1979), doi:10.1214/aos/1176344552; Rubin (1981), doi:10.1214/aos/1176345338.
    """
    if method not in _REDRAW:
        raise ValueError(f"method must be one of {sorted(_REDRAW)}, not {method!r}")
    model.check(data)
    if cluster is None:
        # Distinct rows, not what the model condenses them to: observations of different weights, and soft labels, are
        # drawn as they are. Each refit condenses its own.
        data = data.aggregate()
        factor = _REDRAW[method](key, data.count, n_resamples)
    else:
        ids = np.asarray(cluster)
        if ids.shape != data.weight.shape:
            raise ValueError(f"cluster has shape {ids.shape}, but the data's rows have shape {data.weight.shape}")
        factor = _REDRAW[method](key, data.count, n_resamples, cluster=cluster)
    estimates, converged = _refits(model, data, prior, factor, batch_size)
    kept = np.flatnonzero(np.asarray(converged))
    if kept.size < 2:
        raise ValueError(
            f"{n_resamples - kept.size} of {n_resamples} refits had no finite maximum: the data are nearly separated. "
            "Use method='bayesian', or a prior."
        )
    return Bootstrap(jax.tree.map(lambda leaf: leaf[kept], estimates), n_resamples - kept.size)


@eqx.filter_jit
def _refits(
    model: Any, data: Any, prior: Program | None, count: Float[Array, "r ..."], batch_size: int
) -> tuple[Any, Bool[Array, " r"]]:
    each = jnp.where(data.count > 0, data.weight / jnp.where(data.count > 0, data.count, 1), 0)

    def refit(count: Float[Array, "..."]) -> tuple[Any, Bool[Array, ""]]:
        redrawn = eqx.tree_at(lambda d: (d.weight, d.count), data, (each * count, count))
        result = fit(model, redrawn, prior=prior)
        return parameters(result.model), result.diagnostics.converged

    leaves, converged = jax.lax.map(refit, count, batch_size=batch_size)
    return eqx.combine(leaves, model), converged
