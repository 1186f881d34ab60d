"""Posterior predictive checks: where do the data stand among data that the fitted model makes?"""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from scorax.inference._criticism._over_draws import by_chain, check_fit, check_single, over_draws
from scorax.inference._criticism._replicates import keys_of_draws
from scorax.inference._posterior import Posterior

Discrepancy = Callable[[Any, Any], PyTree]

_MEANING = """\
p is the share of replicates above the data, ties half: near 0 or 1, the model does not make data like these.
Near 1/2 it is no evidence for the model: the data chose the parameters too, which draws p towards 1/2."""


class PredictiveCheck(eqx.Module):
    """A discrepancy of the data and of their replicates, draw by draw."""

    observed: PyTree
    """Of the data, under every draw of the parameters: arrays `[chain, draw, ...]`."""
    replicated: PyTree
    """Of the data replicated under the same draw."""

    @property
    def p_value(self) -> PyTree:
        """Share of replicates above the data, ties counted half; NaN where values are not ordered (NaN).

        It is not uniform where the model is right: it keeps nearer to 1/2, so that 0.02 is rarer than one in fifty.
        And it is not the probability that the model is right.
        """
        return jax.tree.map(_share_above, self.observed, self.replicated)

    def __str__(self) -> str:
        """A line for every number, and what p means."""
        lines = [["", "data", "replicates (95 %)", "p"], *_lines(self)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        body = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines]
        size = math.prod(jax.tree.leaves(self.replicated)[0].shape[:2])
        return "\n".join([f"Posterior predictive check with {size} replicates", *body, _MEANING])


def predictive_check(
    posterior: Posterior[Any], data: Any, discrepancy: Discrepancy, *, key: PRNGKeyArray, batch_size: int = 64
) -> PredictiveCheck:
    """Compare a discrepancy of the data with that of replicated data, under every draw of the parameters.

    Choose what the model was not fitted to: a mean that a parameter matches has p near 1/2 for any model. Good choices
    are the largest of something, a spread between groups, what happens over time or between pairs.

    Args:
        posterior: The draws.
        data: What the model was fitted to, one observation a row.
        discrepancy: A function of model and data that returns an array, or a tree of named ones. A statistic of the
            data alone ignores the model. Name it once if you call it often: a new lambda is compiled anew.
        key: The same key gives the same replicates, whatever `batch_size`: those of `posterior_predictive`.
        batch_size: Draws at a time, for memory.

    Raises:
        ValueError: A row holds several observations, or the data do not fit the model.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0, 0, 1, 0], [1, 1, 0, 1], [1.0, 1.0, 1.0, 0.5])
        >>> model = sx.choice.BradleyTerry.init(2)
        >>> posterior = sx.inference.sample(model, battles, key=jax.random.key(0), method="laplace", progress=False)
        >>> check = predictive_check(
        ...     posterior, battles, lambda model, data: {"first wins": data.outcome.mean()}, key=jax.random.key(1)
        ... )
        >>> bool(check.p_value["first wins"] < 0.5)
        True

    Source: Gelman, Meng & Stern (1996), Statistica Sinica 6, 733-760; Meng (1994), doi:10.1214/aos/1176325622.
    """
    check_fit(posterior, data)
    check_single(data)
    return _compare(posterior, data, discrepancy, key, batch_size)


@eqx.filter_jit
def _compare(
    posterior: Posterior[Any], data: Any, discrepancy: Discrepancy, key: PRNGKeyArray, batch_size: int
) -> PredictiveCheck:
    def one(model: Any, key: PRNGKeyArray) -> tuple[PyTree, PyTree]:
        return discrepancy(model, data), discrepancy(model, model.simulate(data, key=key))

    values = over_draws(one, posterior, keys_of_draws(posterior, key), batch_size=batch_size)
    return PredictiveCheck(*by_chain(posterior, values))


@jax.jit
def _share_above(observed: Array, replicated: Array) -> Float[Array, "..."]:
    above, equal = replicated > observed, replicated == observed
    ordered = (above | equal | (replicated < observed)).all((0, 1))
    return jnp.where(ordered, above.mean((0, 1)) + equal.mean((0, 1)) / 2, jnp.nan)


def _lines(check: PredictiveCheck) -> list[list[str]]:
    found = []
    size = math.prod(jax.tree.leaves(check.replicated)[0].shape[:2])
    observed, replicated = jax.tree.leaves(check.observed), jax.tree.leaves(check.replicated)
    for (path, p), data, copies in zip(
        jax.tree_util.tree_flatten_with_path(check.p_value)[0], observed, replicated, strict=True
    ):
        name = jax.tree_util.keystr(path, simple=True, separator=".") or "discrepancy"
        low, high = np.quantile(np.asarray(copies, float), [0.025, 0.975], axis=(0, 1))
        mean = np.asarray(data, float).mean((0, 1))
        for place in np.ndindex(p.shape):
            label = f"{name}[{', '.join(map(str, place))}]" if place else name
            interval = f"{low[place]:.4g} to {high[place]:.4g}"
            found.append([label, f"{mean[place]:.4g}", interval, _share(float(p[place]), size)])
    return found


def _share(p: float, n: int) -> str:
    """No share of `n` replicates is known to be smaller than one of them."""
    if p < 1 / n:
        return f"< {1 / n:.2g}"
    return f"> {1 - 1 / n:.6g}" if p > 1 - 1 / n else f"{p:.3f}"
