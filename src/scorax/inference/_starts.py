"""Where chains start: near what is given, anywhere else at random, and always where the density is finite."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from scorax.inference._engine import engine
from scorax.inference._kernels import Point, Target
from scorax.inference._program import Coordinates

_STARTS = 100
_JITTER = 0.1


class Start(NamedTuple):
    """Where chains start, each by itself or all alike."""

    centre: Float[Array | np.ndarray, "*c d"]
    spread: Float[Array | np.ndarray, "*c d"]
    """Standard deviation about the centre; infinite where a chain starts anywhere in (-2, 2), or in a frame."""

    @classmethod
    def at(cls, places: Float[Array, "c d"]) -> "Start":
        """Every chain at its own place."""
        return cls(places, jnp.zeros_like(places))

    def of_chains(self, chains: int) -> "Start":
        """With an axis of chains, on the host."""
        shape = (chains, self.centre.shape[-1])
        return Start(*(np.broadcast_to(np.asarray(x), shape) for x in self))


def start_of(template: Coordinates, given: dict[str, Array]) -> Start:
    """The start near the template's values of the sites that are given, and anywhere in all others."""
    spread = {name: np.full(x.shape, _JITTER if name in given else np.inf) for name, x in template.items()}
    # On the host: flattening is a handful of small compilations.
    centre, spreads = (
        np.concatenate([np.ravel(np.asarray(x)) for x in jax.tree.leaves(tree)] or [np.zeros(0)])
        for tree in (template, spread)
    )
    return Start(jnp.asarray(centre), jnp.asarray(spreads.astype(centre.dtype)))


def find_start(target: Target, start: Start, key: PRNGKeyArray) -> tuple[Point, Bool[Array, ""]]:
    """A point for one chain, and whether density and gradient are finite there: the first of a hundred tries."""

    def draw(key: PRNGKeyArray) -> Float[Array, " d"]:
        near, anywhere = jax.random.split(key)
        d, dtype = start.centre.shape, start.centre.dtype
        free = jnp.isinf(start.spread)
        jittered = start.centre + jnp.where(free, 0, start.spread) * jax.random.normal(near, d, dtype)
        # In a frame, the posterior itself says how wide is wide.
        framed = target.frame is not None
        wide = (
            target.outward(jax.random.normal(anywhere, d, dtype))
            if framed
            else jax.random.uniform(anywhere, d, dtype, -2, 2)
        )
        return jnp.where(free, wide, jittered)

    def again(carry: tuple[Int[Array, ""], Bool[Array, ""], Point]) -> Any:
        point = target.point(target.inward(draw(jax.random.fold_in(key, carry[0]))))
        return carry[0] + 1, jnp.isfinite(point.log_density) & jnp.isfinite(point.slope).all(), point

    blank = jnp.zeros_like(start.centre)
    _, finite, at = jax.lax.while_loop(
        lambda carry: (carry[0] < _STARTS) & ~carry[1],
        again,
        (jnp.asarray(0, jnp.int32), jnp.asarray(False), Point(blank, blank.sum(), blank)),
    )
    return at, finite


def check_starts(target: Target, finite: np.ndarray, points: Point) -> None:
    """Raise `ValueError` for a chain that found none, naming sites without a finite gradient, and rows to blame."""
    if finite.all():
        return
    bad = np.flatnonzero(~finite)
    last = jax.tree.map(lambda x: jnp.asarray(x[bad[0]]), points)
    coordinates = target.problem.coordinates(last.slope)
    names = sorted(name for name, x in coordinates.items() if not np.isfinite(np.asarray(x)).all())
    rows = np.flatnonzero(~np.isfinite(np.asarray(_log_prob_of_rows(target, last.z))).reshape(-1))
    raise ValueError(
        f"{_STARTS} starts of chain {bad[0]} (and {bad.size - 1} others) had no finite density with a finite gradient"
        f"{' in ' + ', '.join(names) if names else ''}. {_blame(rows)} Check that log_prob and prior are finite inside "
        "the parameters' supports, and that initial= lies inside them, not at an edge."
    )


def _blame(rows: np.ndarray) -> str:
    if not rows.size:
        return "log_prob is finite for every row at the last of them: look at the prior, and at gradients."
    shown = ", ".join(map(str, rows[:3])) + (f" and {rows.size - 3} others" if rows.size > 3 else "")
    words = "row" if rows.size == 1 else "rows"
    return f"At the last of them log_prob is not finite for {words} {shown} of the data (after model.condense)."


@eqx.filter_jit
def _log_prob_of_rows(target: Target, z: Float[Array, " d"]) -> Float[Array, "..."]:
    with engine():
        return target.problem.module(target.outward(z)).log_prob(target.problem.data)
