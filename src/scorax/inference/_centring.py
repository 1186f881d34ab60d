"""Between a centred and a non-centred hierarchy: as much of each as the data say, number by number."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro import handlers
from numpyro.infer.reparam import LocScaleReparam, Reparam

from scorax.inference._engine import engine
from scorax.inference._laplace import laplace_mode
from scorax.inference._model import AbstractModel
from scorax.inference._posterior_problem import posterior_problem
from scorax.inference._problem import Problem
from scorax.inference._program import Program, run

# How far the coordinates are moved to see whether a site's mean or scale moves with them.
_NUDGE = 0.1


class PartlyCentred(eqx.Module):
    """A prior with some of its normal sites drawn as `x = m + s^(1 - c) (z - c m)`, `z ~ Normal(c m, s^c)`.

    The same distribution of the same sites, in other coordinates: with `c = 1` those of the site itself (centred), with
    `c = 0` those of a standard normal (non-centred). `partly_centred` finds the `c`.
    """

    program: Program
    centredness: dict[str, Float[Array, "..."]]
    """By site, between 0 and 1."""

    def __call__(self) -> Any:
        """A program that draws the same module; each site's `z` is a site `<name>_decentered`."""
        config: dict[str, Reparam] = {name: LocScaleReparam(c) for name, c in self.centredness.items()}
        with engine(), handlers.reparam(config=config):
            return self.program()


def partly_centred(
    model: AbstractModel[Any], data: Any, *, prior: Program | None = None, sites: Sequence[str] | None = None
) -> PartlyCentred:
    r"""The prior in coordinates in which a hierarchy's posterior has no funnel: pass it to `sample(prior=...)`.

    Where data say much about a parameter, its own coordinates are the right ones; where they say little, those of a
    standard normal; and one hierarchy may hold both. Each number of a normal site is centred by
    \(c = I s^2 / (1 + I s^2)\), with \(s\) its scale and \(I\) its Fisher information, at the mode of Laplace's method.

    Args:
        model: Gives shapes, and the default prior.
        data: The container that `model.log_prob` takes.
        prior: As in `sample`, in its centred form.
        sites: Normal sites to move; by default all whose mean or scale is drawn.

    Raises:
        ValueError: A site is not normal, or there is none (a zero-sum site cannot be centred in part: its coordinates
            are benign; `laplace_frame` mends what is left); or as `sample(method="laplace")`.

    Example:
        >>> import numpyro, numpyro.distributions as dist
        >>> battles, models = sx.data.datasets.load_food()
        >>> class League(eqx.Module):
        ...     k: int
        ...     def __call__(self):
        ...         scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        ...         strength = numpyro.sample("strength", dist.Normal(0.0, scale).expand([self.k]).to_event(1))
        ...         return sx.choice.BradleyTerry(strength)
        >>> model = sx.choice.BradleyTerry.init(len(models))
        >>> prior = sx.inference.partly_centred(model, battles, prior=League(len(models)))
        >>> float(prior.centredness["strength"][0])  # some of both
        0.45

    Source: Papaspiliopoulos, Roberts & Sköld (2007), doi:10.1214/088342307000000014; Gorinova, Moore & Hoffman (2019),
        arXiv:1906.03028.
    """
    problem, _ = posterior_problem(model, data, prior)
    program = problem.program
    q = laplace_mode(model, problem)
    names = _movable(problem, q) if sites is None else tuple(sites)
    if not names:
        raise ValueError(
            "no normal site of this prior has a mean or a scale that is drawn, so there is nothing to centre in part. "
            "Zero-sum sites have benign coordinates already; where scales differ, precondition=laplace_frame(...) helps"
        )
    scale = _scales(problem, q, names)
    information = problem.coordinates(_information(problem, q))
    return PartlyCentred(program, {name: _centredness(information[name], scale[name]) for name in names})


def _centredness(information: Array, scale: np.ndarray) -> Array:
    known = np.maximum(np.asarray(information), 0) * np.broadcast_to(np.asarray(scale), information.shape) ** 2
    return jnp.asarray(known / (1 + known))


@eqx.filter_jit
def _information(problem: Problem, q: Float[Array, " d"]) -> Float[Array, " d"]:
    """Minus the second derivative of the log-likelihood in each coordinate."""

    def log_likelihood(q: Float[Array, " d"]) -> Float[Array, ""]:
        return problem.log_density(q) - problem.log_prior(q)

    def of(i: Array) -> Array:
        axis = jnp.zeros_like(q).at[i].set(1)
        return -jnp.vdot(axis, jax.jvp(jax.grad(log_likelihood), (q,), (axis,))[1])

    with engine():
        return jax.lax.map(of, jnp.arange(q.size))


def _movable(problem: Problem, q: Float[Array, " d"]) -> tuple[str, ...]:
    """Normal sites whose mean or scale is another elsewhere."""
    elsewhere = q + _NUDGE
    here, there = (_normals(problem, q), _normals(problem, elsewhere))
    return tuple(
        name
        for name, at in here.items()
        if not all(np.array_equal(*pair) for pair in zip(at, there[name], strict=True))
    )


def _scales(problem: Problem, q: Float[Array, " d"], names: Sequence[str]) -> dict[str, np.ndarray]:
    known = _normals(problem, q)
    other = [name for name in names if name not in known]
    if other:
        raise ValueError(
            f"the sites {other} are not normal, or no sites of this prior; its normal sites are {sorted(known)}"
        )
    return {name: known[name][1] for name in names}


def _normals(problem: Problem, q: Float[Array, " d"]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Mean and scale of every normal site."""
    return jax.tree.map(np.asarray, _trace_normals(problem, q))


@eqx.filter_jit
def _trace_normals(problem: Problem, q: Float[Array, " d"]) -> dict[str, tuple[Array, Array]]:
    distributions = run(problem.program, problem.coordinates(q)).distributions
    inner = {name: _inside(distribution) for name, distribution in distributions.items()}
    normals = {name: x for name, x in inner.items() if isinstance(x, dist.Normal)}
    return {name: (jnp.asarray(x.loc), jnp.asarray(x.scale)) for name, x in normals.items()}


def _inside(distribution: dist.Distribution) -> dist.Distribution:
    """Less what repeats it over axes."""
    wrapped = isinstance(distribution, dist.Independent | dist.ExpandedDistribution)
    return _inside(distribution.base_dist) if wrapped else distribution
