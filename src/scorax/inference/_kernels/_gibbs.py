"""Gibbs sampling by blocks: sites drawn exactly given all others, and sites that a gradient moves.

Source: Geman & Geman (1984), doi:10.1109/TPAMI.1984.4767596; Gelfand & Smith (1990),
doi:10.1080/01621459.1990.10476213.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray
from numpyro.infer.hmc import HMCState

from scorax.inference._kernels._hamiltonian import HMC, NUTS, Hamiltonian
from scorax.inference._kernels._kernel import AbstractKernel, AbstractTarget, Point, Target
from scorax.inference._problem import Problem
from scorax.inference._program import initial_coordinates, run
from scorax.inference._run_file import digest_of_code, digest_of_tree

Conditional = Callable[..., dict[str, Array]]
"""`draw(sites, data, *, key)`: new values of a block's sites, from their law given all other sites."""
_Names = tuple[str, ...]

_REST = NUTS()


class _State(NamedTuple):
    z: Float[Array, " d"]
    log_density: Float[Array, ""]
    inner: tuple[HMCState, ...]
    """Of each block that a gradient moves."""
    step: Int[Array, ""]
    key: PRNGKeyArray


class _Block(AbstractTarget):
    """A target in some of its coordinates, with the others held."""

    target: Target
    held: Float[Array, " d"]
    places: tuple[int, ...] = eqx.field(static=True)

    def log_density(self, z: Float[Array, " b"]) -> Float[Array, ""]:
        return self.target.log_density(self.join(z))

    def join(self, z: Float[Array, " b"]) -> Float[Array, " d"]:
        return self.held.at[np.asarray(self.places)].set(z)

    def here(self) -> Float[Array, " b"]:
        return self.held[np.asarray(self.places)]


class Gibbs(AbstractKernel):
    """Gibbs sampling: some sites are drawn exactly given all others, the rest move by `NUTS` or `HMC` given these.

    One transition moves each block in turn, in the order given, and then `rest` moves all sites that no block names.
    It pays where a conditional is known that a gradient finds hard, as a variance given what it is the variance of;
    where blocks are strongly correlated, given the data, it is slow, and `NUTS` on everything is better.

    A function `draw(sites, data, *, key)` receives the values of all sites, its own among them, each in its own
    support, and the data as the likelihood sees them (after `model.condense`). It returns a dictionary with a new value
    of each site of its block, drawn from its law given all other sites; nothing can check that law but a test:
    `validity.check_invariance` finds a wrong one. A function made anew at each call compiles anew at each call: name it
    once.

    Adaptation is that of the inner kernels, one for each block, during the warm-up. Each block costs one gradient more
    than its kernel does. `stats` hold the mean `accept_prob` of the inner kernels, whether any was `diverging`, and
    the sum of their `num_steps`. Blocks move one after the other in coordinates of the sites, so there is no
    `precondition`.

    Args:
        blocks: From the name of a site, or a tuple of names, to what moves them: a function, `NUTS(...)` or
            `HMC(...)`.
        rest: What moves all other sites, if there are any.

    Raises:
        ValueError: A block is empty or shares a site with another, or is moved by something else; and from `sample`,
            where a block names no site, a function returns other sites or shapes than its block's, or a
            `precondition` is given.

    Example:
        >>> import numpyro, numpyro.distributions as dist
        >>> battles, foods = sx.data.datasets.load_food()
        >>> model = sx.choice.BradleyTerry.init(len(foods))
        >>> def prior():
        ...     variance = numpyro.sample("variance", dist.InverseGamma(2.0, 1.0))
        ...     strength = numpyro.sample("strength", dist.ZeroSumNormal(jnp.sqrt(variance), model.strength.shape))
        ...     return sx.choice.BradleyTerry(jnp.asarray(strength))
        >>> def draw_variance(sites, data, *, key):
        ...     s = sites["strength"]  # k numbers that sum to zero: k - 1 are free
        ...     return {"variance": (1.0 + (s**2).sum() / 2) / jax.random.gamma(key, 2.0 + (s.size - 1) / 2)}
        >>> posterior = sx.inference.sample(
        ...     model, battles, key=jax.random.key(0), prior=prior, num_warmup=100, num_samples=100, num_chains=2,
        ...     method=sx.inference.Gibbs({"variance": draw_variance}, rest=sx.inference.HMC(num_steps=8)),
        ...     progress=False,
        ... )
        >>> posterior.sites["variance"].shape
        (2, 100)

    Source: Geman & Geman (1984), doi:10.1109/TPAMI.1984.4767596; Gelfand & Smith (1990),
        doi:10.1080/01621459.1990.10476213.
    """

    blocks: tuple[_Names, ...] = eqx.field(static=True)
    moves: tuple[Any, ...]
    rest: NUTS | HMC

    tunes_before: ClassVar[bool] = False
    couples_chains: ClassVar[bool] = False

    def __init__(
        self, blocks: Mapping[str | tuple[str, ...], Conditional | AbstractKernel], *, rest: NUTS | HMC = _REST
    ) -> None:
        self.blocks = tuple((name,) if isinstance(name, str) else tuple(name) for name in blocks)
        self.moves = tuple(blocks.values())
        self.rest = rest
        _check_blocks(self.blocks, self.moves)

    def __repr__(self) -> str:
        """With a fingerprint of each function: a run in a file goes on with the same functions only."""
        shown = [
            f"{names}: {move if isinstance(move, Hamiltonian) else _shown(move)}"
            for names, move in zip(self.blocks, self.moves, strict=True)
        ]
        return f"Gibbs({{{', '.join(shown)}}}, rest={self.rest})"

    def begin(
        self,
        target: Target,
        start: Point,
        keys: Key[Array, " c"],
        num_warmup: int,
        adaptation: dict[str, Array] | None,
    ) -> _State:
        """Every chain at its start, with a state of each inner kernel."""
        if target.frame is not None:
            raise ValueError("Gibbs moves sites in their own coordinates: leave out precondition=")

        def one(at: tuple[Point, PRNGKeyArray, dict[str, Array] | None]) -> _State:
            point, key, found = at
            own, *others = jax.random.split(key, 1 + len(self._inner(target.problem)))
            inner = []
            for i, (names, kernel) in enumerate(self._inner(target.problem)):
                block = _block(target, point.z, names)
                here = Point(block.here(), point.log_density, point.slope[np.asarray(block.places)])
                mine = None if found is None else _numbered(found, i)
                inner.append(kernel.begin_one(block, here, others[i], mine, num_warmup))
            return _State(point.z, point.log_density, tuple(inner), jnp.asarray(0, jnp.int32), own)

        return jax.lax.map(one, (start, keys, adaptation))

    def step(self, target: Target, state: _State, num_warmup: int) -> _State:
        """Each block in turn."""
        key = jax.random.fold_in(state.key, state.step)
        z, log_density, inner = state.z, None, []
        before = iter(state.inner)
        for i, (names, move) in enumerate(self._plan(target.problem)):
            if isinstance(move, Hamiltonian):
                block = _block(target, z, names)
                moved = move.step(block, move.place(next(before), block.point(block.here())), num_warmup)
                z, log_density = block.join(moved.z), -moved.potential_energy
                inner.append(moved)
            else:
                z, log_density = _draw(target.problem, z, names, move, jax.random.fold_in(key, i)), None
        log_density = target.log_density(z) if log_density is None else log_density
        return _State(z, log_density, tuple(inner), state.step + 1, state.key)

    def position(self, state: _State) -> Float[Array, " d"]:
        """Where the chain is."""
        return state.z

    def statistics(self, state: _State) -> dict[str, Array]:
        """Of the inner kernels' last trajectories together."""
        found = {"log_density": state.log_density}
        if state.inner:
            found["accept_prob"] = jnp.stack([s.accept_prob for s in state.inner]).mean()
            found["diverging"] = jnp.stack([s.diverging for s in state.inner]).any()
            found["num_steps"] = jnp.stack([s.num_steps for s in state.inner]).sum()
        return found

    def adaptation(self, state: _State) -> dict[str, Array]:
        """Of each inner kernel, numbered."""
        kernels = [move for move in self.moves if isinstance(move, Hamiltonian)]
        # `rest` is the last, where there is one.
        pairs = zip([*kernels, self.rest], state.inner, strict=False)
        return {f"{name}_{i}": x for i, (kernel, s) in enumerate(pairs) for name, x in kernel.adaptation(s).items()}

    @property
    def batches_well(self) -> bool:
        """As the inner kernels do."""
        kernels = [move for move in (*self.moves, self.rest) if isinstance(move, Hamiltonian)]
        return all(kernel.batches_well for kernel in kernels)

    def chain_axes(self, state: _State) -> Any:
        """Every chain is at the same step."""
        inner = tuple(self.rest.chain_axes(s) for s in state.inner)
        return jax.tree.map(lambda _: 0, state)._replace(inner=inner, step=None)

    def _plan(self, problem: Problem) -> list[tuple[_Names, Any]]:
        """What moves which sites, in turn."""
        named = [name for names in self.blocks for name in names]
        unknown = sorted(set(named) - set(problem.template))
        if unknown:
            raise ValueError(
                f"Gibbs moves {unknown}, which the prior does not sample; its sites are {sorted(problem.template)}"
            )
        others = tuple(name for name in sorted(problem.template) if name not in named)
        plan = list(zip(self.blocks, self.moves, strict=True))
        return [*plan, (others, self.rest)] if others else plan

    def _inner(self, problem: Problem) -> list[tuple[_Names, Hamiltonian]]:
        return [(names, move) for names, move in self._plan(problem) if isinstance(move, Hamiltonian)]


def _check_blocks(blocks: tuple[_Names, ...], moves: tuple[Any, ...]) -> None:
    named = [name for names in blocks for name in names]
    if not all(blocks) or len(set(named)) < len(named):
        raise ValueError(f"blocks must name at least one site each, and no site twice; they are {list(blocks)}")
    for names, move in zip(blocks, moves, strict=True):
        if isinstance(move, AbstractKernel) and not isinstance(move, Hamiltonian):
            raise ValueError(f"{list(names)} must be moved by a function, NUTS(...) or HMC(...), not by {move}")


def _shown(move: Any) -> str:
    name = getattr(move, "__name__", type(move).__name__)
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(move)):
        return name
    return f"{name} {digest_of_tree((move,))[:6]}{digest_of_code(move)[:6]}"


def _block(target: Target, z: Float[Array, " d"], names: _Names) -> _Block:
    template = target.problem.template
    flags = [np.full(template[name].size, name in names) for name in sorted(template)]
    return _Block(target, z, tuple(np.flatnonzero(np.concatenate(flags)).tolist()))


def _draw(
    problem: Problem, z: Float[Array, " d"], names: _Names, draw: Conditional, key: PRNGKeyArray
) -> Float[Array, " d"]:
    """The coordinates with the block's sites drawn by the user's function, all other sites where they were."""
    before = problem.draw(z).sites
    values = _checked(draw(dict(before), problem.data, key=key), before, names)
    given = {**{name: before[name] for name in problem.template}, **values}
    old, new = problem.coordinates(z), initial_coordinates(problem.program, given)
    new = {name: new[name].astype(x.dtype) for name, x in old.items()}
    # Other sites keep their coordinates, to the last bit, unless the block's new values change their supports.
    mixed = {name: new[name] if name in names else old[name] for name in old}
    after = run(problem.program, mixed).sites
    kept = {name: jnp.where((after[name] == given[name]).all(), x, new[name]) for name, x in mixed.items()}
    return ravel_pytree(kept)[0]


def _checked(found: Any, before: dict[str, Array], names: _Names) -> dict[str, Array]:
    if not isinstance(found, dict) or set(found) != set(names):
        raise ValueError(f"the function that draws {list(names)} must return a dictionary of these, not {found}")
    for name, value in found.items():
        if jnp.shape(value) != before[name].shape:
            raise ValueError(f"{name!r} was drawn in shape {jnp.shape(value)}; the site has shape {before[name].shape}")
    return {name: jnp.asarray(value).astype(before[name].dtype) for name, value in found.items()}


def _numbered(found: dict[str, Array], i: int) -> dict[str, Array]:
    """The part of an adaptation that is of inner kernel `i`."""
    return {name.removesuffix(f"_{i}"): x for name, x in found.items() if name.endswith(f"_{i}")}
