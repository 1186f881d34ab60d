"""Laplace's Gaussian of a problem for whose curvature there is no place: its mode, its volume and its draws."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from scorax.inference._curvature import Product, scaled, slopes_at, widths
from scorax.inference._lanczos import inverse_root, log_determinant
from scorax.inference._newton_cg import newton_cg
from scorax.inference._problem import Problem

_PROBES = 16


class GaussianAtMode(NamedTuple):
    """Where it is and how large."""

    mode: Float[Array, " d"]
    log_volume: Float[Array, ""]
    """`d/2 log 2 pi - log |-H|/2`, estimated with the same random signs whatever the problem; NaN where -H is not
    positive definite."""
    converged: Bool[Array, ""]


def gaussian_at_mode(problem: Problem) -> GaussianAtMode:
    """From the problem's start."""
    summit = newton_cg(problem, problem.start)
    product, width = _scaled_information(problem, summit.q)
    log_volume = jnp.log(width).sum() - log_determinant(product, width).value / 2
    return GaussianAtMode(summit.q, log_volume + width.size / 2 * math.log(2 * math.pi), summit.converged)


def noise_at(problem: Problem, mode: Float[Array, " d"], key: PRNGKeyArray) -> Float[Array, " d"]:
    """A draw of the Gaussian, less its mode."""
    product, width = _scaled_information(problem, mode)
    return width * inverse_root(product, jax.random.normal(key, mode.shape, mode.dtype))


def _scaled_information(problem: Problem, q: Float[Array, " d"]) -> tuple[Product, Float[Array, " d"]]:
    information = slopes_at(problem.log_density, q).information
    width = widths(information, jnp.ones_like(q), probes=_PROBES, rounds=2)
    return scaled(information, width), width
