"""What priors are to the EM algorithm: Dirichlet and Beta ones counts, added to those of the data; others densities."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.core import Tracer
from jaxtyping import Array, Float
from numpyro import handlers

from scorax.inference import leaf_names


class PseudoCounts(NamedTuple):
    """What a prior adds to each count: its concentrations less one."""

    counts: dict[str, Array]

    def log_density(self, rows: dict[str, Array]) -> Float[Array, ""]:
        """Log prior of rows of probabilities, up to a constant."""
        terms = [_times_log(self.counts[name], row).sum() for name, row in rows.items()]
        return sum(terms[1:], start=terms[0])


def pseudo_counts(prior: Callable[[], Any], model: Any, rows: dict[str, Array]) -> PseudoCounts:
    """Counts that a program adds to rows of probabilities.

    Args:
        prior: Draws each parameter that has rows from a Dirichlet or Beta distribution, or from a flat one.
        model: Gives the parameters' values, at which the program is run.
        rows: Of the parameters; a probability `p` has the row `(p, 1 - p)`.

    Raises:
        ValueError: The program draws anything else, or weighs what it draws by a factor; or a concentration is below 1,
            where the density has no mode inside the simplex.
    """
    sites = _sites(prior, model, sorted(rows), "from a Dirichlet or Beta distribution")
    counts = {name: _counts_of(name, sites[name]["fn"], row) for name, row in rows.items()}
    return PseudoCounts(counts)


def log_prior(prior: Callable[[], Any], model: Any) -> Float[Array, ""]:
    """Log density of a program that draws each parameter of a model by itself.

    Raises:
        ValueError: It draws anything else, or weighs what it draws by a factor.
    """
    sites = _sites(prior, model, leaf_names(model), "by itself")
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        densities = [jnp.sum(site["fn"].log_prob(site["value"])) for site in sites.values()]
        return sum(densities[1:], start=densities[0])


def _sites(prior: Callable[[], Any], model: Any, names: list[str], how: str) -> dict[str, Any]:
    """The sites of a program at a model's parameters, which must be all there is."""
    leaves = dict(zip(leaf_names(model), jax.tree.leaves(model), strict=True))
    with (
        handlers.block(),
        handlers.trace() as trace,
        handlers.seed(rng_seed=0),
        handlers.substitute(data=leaves),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        prior()
    sites = {name: site for name, site in trace.items() if site["type"] == "sample"}
    others = sorted({name for name, site in sites.items() if site["is_observed"]} | (set(sites) ^ set(names)))
    if others:
        raise ValueError(
            f"the EM algorithm needs a prior that draws {names} and nothing else, each {how}; this one differs in "
            f"{others}. Use scorax.inference.fit or sample with it."
        )
    return sites


def _counts_of(name: str, distribution: dist.Distribution, row: Array) -> Array:
    inner = distribution
    while isinstance(inner, dist.Independent | dist.ExpandedDistribution):
        inner = inner.base_dist
    if isinstance(inner, dist.ImproperUniform):
        return jnp.zeros_like(row)
    if isinstance(inner, dist.Dirichlet):
        concentration = jnp.asarray(inner.concentration, row.dtype)
    elif isinstance(inner, dist.Beta):
        pair = jnp.broadcast_arrays(*map(jnp.asarray, (inner.concentration1, inner.concentration0)))
        concentration = jnp.stack(pair, axis=-1).astype(row.dtype)
    else:
        raise ValueError(
            f"the prior draws {name!r} from {type(inner).__name__}; the EM algorithm knows Dirichlet and Beta. "
            "Use scorax.inference.fit with it."
        )
    if not isinstance(concentration, Tracer) and (np.asarray(concentration) < 1).any():
        raise ValueError(
            f"the prior of {name!r} has a concentration of {float(concentration.min()):.3g}: below 1 its density is "
            "infinite at the edge, and no mode is an estimate. Use sample, or a concentration of 1 or more."
        )
    return jnp.broadcast_to(concentration, row.shape) - 1


def _times_log(count: Array, row: Array) -> Array:
    used = count != 0
    return jnp.where(used, count * jnp.log(jnp.where(used, row, jnp.ones_like(row))), jnp.zeros_like(row))
