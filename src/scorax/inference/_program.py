"""Priors as NumPyro programs: from a program to a density over unconstrained coordinates, and from draws to modules.

A program is any function without arguments that draws what it needs and returns a module. Its coordinates are a
dictionary: for each site that it samples, the site's value in the unconstrained space of its support.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro import handlers
from numpyro.distributions import Distribution, biject_to

from scorax.inference._engine import engine

Program = Callable[[], Any]
Coordinates = dict[str, Array]


class Draw(NamedTuple):
    """One run of a program at given coordinates."""

    module: Any
    sites: dict[str, Array]
    """Value of every sampled site, in its own support, and of every deterministic one."""
    log_density: Float[Array, ""]
    """Log density of the sites in their own supports, and of the program's factors."""
    log_jacobian: Float[Array, ""]
    """What turns `log_density` into a density over the coordinates."""
    distributions: dict[str, Distribution]
    """What each sampled site is drawn from, given those before it."""


def _is_free(site: dict[str, Any]) -> bool:
    return site["type"] == "sample" and not site["is_observed"]


def run(program: Program, coordinates: Coordinates) -> Draw:
    """Run `program` with every site at the given coordinates.

    Raises:
        ValueError: The program samples a site that has no coordinates. (Drawing it from the prior instead would be
            silently wrong.)
    """
    jacobians = []

    def value_of(site: dict[str, Any]) -> Array | None:
        if not _is_free(site):
            return None
        name = site["name"]
        if name not in coordinates:
            raise ValueError(
                f"the prior samples a site {name!r} without coordinates; known are {sorted(coordinates)}. "
                "A prior must sample the same sites at every run."
            )
        transform = biject_to(site["fn"].support)
        with engine():
            value = transform(coordinates[name])
            jacobians.append(jnp.sum(transform.log_abs_det_jacobian(coordinates[name], value)))
        return value

    with handlers.block(), handlers.trace() as trace, handlers.substitute(substitute_fn=value_of):
        module = program()
    densities = [_log_prob(site) for site in trace.values() if site["type"] == "sample"]
    sites = {
        name: site["value"] for name, site in trace.items() if name in coordinates or site["type"] == "deterministic"
    }
    distributions = {name: trace[name]["fn"] for name in coordinates if name in trace}
    return Draw(module, sites, _total(densities), _total(jacobians), distributions)


def _log_prob(site: dict[str, Any]) -> Float[Array, ""]:
    with engine():
        log_prob = jnp.sum(site["fn"].log_prob(site["value"]))
    return log_prob if site["scale"] is None else site["scale"] * log_prob


def _total(terms: list[Array]) -> Float[Array, ""]:
    # Sites of a single-precision module mix with NumPyro's own numbers, which have JAX's default width.
    with engine():
        return sum(terms[1:], start=terms[0]) if terms else jnp.zeros(())


def initial_coordinates(program: Program, start: dict[str, Array]) -> Coordinates:
    """Coordinates of every site: of `start` where it names the site, else zero. Use it under `jit` or `eval_shape`.

    Raises:
        ValueError: A site is discrete, or `start` holds a value of another shape.
    """
    found: Coordinates = {}

    def value_of(site: dict[str, Any]) -> Array | None:
        if not _is_free(site):
            return None
        name, distribution = site["name"], site["fn"]
        if distribution.support.is_discrete:
            raise ValueError(
                f"the prior samples a discrete site {name!r}: sum it out in the model's log_prob instead, with "
                "scorax.numerics.masked_logsumexp over its values"
            )
        transform = biject_to(distribution.support)
        shape = distribution.shape()
        value = start.get(name)
        if value is None:
            found[name] = jnp.zeros(transform.inverse_shape(shape))
            with engine():
                return transform(found[name])
        if value.shape != shape:
            raise ValueError(f"the site {name!r} has shape {shape}, its start has shape {value.shape}")
        with engine():
            found[name] = transform.inv(value)
        return value

    with handlers.block(), handlers.seed(rng_seed=0), handlers.substitute(substitute_fn=value_of):
        program()
    return found
