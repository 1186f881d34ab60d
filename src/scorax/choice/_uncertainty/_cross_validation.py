"""K-fold cross-validation: all folds are refits to other weights, in one compiled call."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from scorax.inference import AbstractModel, fit

Program = Any


class CrossValidation(eqx.Module):
    """How well a model predicts observations that it has not seen."""

    log_loss: Float[Array, ""]
    """Mean of minus the log-probability over all observations, each predicted by the fit without its fold, in nats."""
    std_error: Float[Array, ""]
    """Of `log_loss`, over observations; folds share most of their data, so it is a guide, not a bound."""
    by_fold: Float[Array, " f"]
    """Mean over the observations of each fold; NaN where its fit failed."""
    converged: Bool[Array, " f"]
    """Whether the fit without each fold did. Where one did not, `log_loss` is NaN."""


def cross_validated_log_loss(
    model: AbstractModel[Any],
    data: Any,
    *,
    folds: int = 10,
    key: PRNGKeyArray,
    cluster: Int[Array, "..."] | None = None,
    prior: Program | None = None,
) -> CrossValidation:
    """Log loss of each observation under the fit to the other folds.

    Observations are dealt to folds at random, those of one row one by one, so aggregated and raw data are the same.
    They are left out with the weight that they have and predicted with weight one. Compare only models that give
    probabilities to the same outcomes: `BradleyTerry` gives a tie no probability, `Davidson` does.

    Args:
        model: Gives shapes and start, as in `fit`; the fit to all data starts best.
        data: The container that the model takes. Counts must be whole numbers.
        folds: Number of folds, at least 2.
        key: The same key deals the same folds.
        cluster: An id for every row: whole clusters (voters, prompts) are dealt, so that prediction is for new ones.
        prior: As in `fit`: keeps folds finite in which an item has lost all its wins.

    Raises:
        ValueError: There are fewer than 2 folds, or fewer observations or clusters than folds; a count is not whole;
            `cluster` has not the rows' shape; or the data do not fit the model.

    Example:
        >>> battles, models = sx.data.datasets.load_llmfao()
        >>> decided = battles.take(np.asarray(battles.outcome) != 0.5)
        >>> model = sx.choice.BradleyTerry.init(len(models))
        >>> found = cross_validated_log_loss(model, decided, folds=5, key=jax.random.key(0))
        >>> bool(found.log_loss < np.log(2))  # better than tossing a coin
        True

    Source: Stone (1974), doi:10.1111/j.2517-6161.1974.tb00994.x.
    """
    model.check(data)
    if cluster is None:
        data = model.condense(data)
        held = _deal(np.asarray(data.count, np.float64), folds, _generator(key))
    else:
        ids = np.asarray(cluster)
        if ids.shape != data.weight.shape:
            raise ValueError(f"cluster has shape {ids.shape}, but the data's rows have shape {data.weight.shape}")
        held = _deal_clusters(np.asarray(data.count, np.float64), ids, folds, _generator(key))
    return _validate(model, data, prior, jnp.asarray(held, data.count.dtype))


def _generator(key: PRNGKeyArray) -> np.random.Generator:
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())


def _deal(count: np.ndarray, folds: int, generator: np.random.Generator) -> np.ndarray:
    """`[f, ...]`: how many observations of each row are in each fold. Folds differ in size by at most one."""
    whole = count.ravel().astype(np.int64)
    if (whole != count.ravel()).any():
        raise ValueError("counts must be whole numbers: only whole observations can be dealt to folds")
    fold = _balanced(int(whole.sum()), folds, generator, "observations")
    row = np.repeat(np.arange(whole.size), whole)
    dealt = np.bincount(fold * whole.size + row, minlength=folds * whole.size)
    return dealt.reshape(folds, *count.shape)


def _deal_clusters(count: np.ndarray, ids: np.ndarray, folds: int, generator: np.random.Generator) -> np.ndarray:
    names, member = np.unique(ids.ravel(), return_inverse=True)
    fold = _balanced(len(names), folds, generator, "clusters")[member].reshape(count.shape)
    return np.stack([np.where(fold == f, count, 0) for f in range(folds)])


def _balanced(n: int, folds: int, generator: np.random.Generator, what: str) -> np.ndarray:
    if not 2 <= folds <= n:
        raise ValueError(f"folds must be between 2 and the number of {what}, {n}; not {folds}")
    return generator.permutation(np.arange(n) % folds)


@eqx.filter_jit
def _validate(
    model: AbstractModel[Any], data: Any, prior: Program | None, held: Float[Array, "f ..."]
) -> CrossValidation:
    each = jnp.where(data.count > 0, data.weight / jnp.where(data.count > 0, data.count, 1), 0)

    def one_fold(held: Float[Array, "..."]) -> tuple[Float[Array, ""], Float[Array, ""], Bool[Array, ""]]:
        count = data.count - held
        result = fit(model, eqx.tree_at(lambda d: (d.weight, d.count), data, (each * count, count)), prior=prior)
        log_prob = result.model.log_prob(data)
        loss = jnp.where(held > 0, -jnp.where(held > 0, log_prob, 0), 0)
        weight = held.astype(loss.dtype)
        return (weight * loss).sum(), (weight * loss**2).sum(), result.diagnostics.converged

    total, square, converged = jax.vmap(one_fold)(held)
    size = held.reshape(held.shape[0], -1).sum(1).astype(total.dtype)
    n = size.sum()
    mean = total.sum() / n
    spread = jnp.maximum(square.sum() / n - mean**2, 0)
    return CrossValidation(mean, jnp.sqrt(spread / (n - 1)), total / size, converged)
