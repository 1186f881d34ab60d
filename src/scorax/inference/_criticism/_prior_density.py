"""The densities that a prior is made of, site by site, and which of them stand at the top of its hierarchy."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro import handlers
from numpyro.distributions import Unit

from scorax.inference._criticism._over_draws import map_evenly
from scorax.inference._engine import engine
from scorax.inference._program import Program

Sites = dict[str, Array]


def log_prior_of(
    program: Program, sites: Sites, names: Sequence[str] | None, batch_size: int = 256
) -> tuple[Float[Array, " s"], tuple[str, ...]]:
    """Log density of the named sites at every draw, in their own supports, and the names of those that were taken.

    Args:
        program: The prior.
        sites: Values of its sites, all draws on the leading axis.
        names: Of the sites to take. None takes all whose distribution does not depend on other sites, and factors.
        batch_size: Draws at a time.

    Raises:
        ValueError: `names` holds something that the prior does not sample, or nothing; or a site has no values.
    """
    slopes, factors = jax.tree.map(np.asarray, _slopes(program, jax.tree.map(lambda x: x[0], sites)))
    # At one draw from a posterior, a dependence whose slope is exactly zero does not happen.
    top = [
        name for name, slope in slopes.items() if not any(np.any(s != 0) for other, s in slope.items() if other != name)
    ]
    known = [*slopes, *factors]
    chosen = (*top, *factors) if names is None else tuple(names)
    if not chosen or set(chosen) - set(known):
        raise ValueError(f"sites= must name some of what the prior samples, {sorted(known)}; it names {sorted(chosen)}")
    return _log_densities(program, sites, chosen, batch_size), chosen


def _densities(program: Program, sites: Sites) -> tuple[Sites, Sites]:
    """Log density of every site, and of every factor, with all sites at the given values."""

    def value_of(site: dict[str, Any]) -> Array | None:
        if site["type"] != "sample" or site["is_observed"]:
            return None
        if site["name"] not in sites:
            raise ValueError(
                f"the prior samples a site {site['name']!r}, of which the posterior has no draws (it has "
                f"{sorted(sites)}). Pass prior= as it was passed to sample."
            )
        return sites[site["name"]]

    with handlers.block(), handlers.trace() as trace, handlers.substitute(substitute_fn=value_of):
        program()
    found: tuple[Sites, Sites] = {}, {}
    for name, site in trace.items():
        if site["type"] == "sample":
            with engine():
                density = jnp.sum(site["fn"].log_prob(site["value"])) * (site["scale"] or 1)
            found[isinstance(site["fn"], Unit)][name] = density
    return found


@eqx.filter_jit
def _slopes(program: Program, sites: Sites) -> tuple[dict[str, Sites], Sites]:
    """Derivative of every site's log density in every site, and the factors (for their names)."""
    return jax.jacrev(lambda sites: _densities(program, sites), has_aux=True)(sites)


@eqx.filter_jit
def _log_densities(program: Program, sites: Sites, names: tuple[str, ...], batch_size: int) -> Float[Array, " s"]:
    def one(sites: Sites) -> Float[Array, ""]:
        ordinary, factors = _densities(program, sites)
        found = {**ordinary, **factors}
        with engine():
            return sum((found[name] for name in names[1:]), start=found[names[0]])

    return map_evenly(one, sites, batch_size)
