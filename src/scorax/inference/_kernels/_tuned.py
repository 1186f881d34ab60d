"""What blackjax' kernels share here: a state of arrays alone, and transitions whose keys are their numbers."""

import abc
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from scorax.inference._kernels._kernel import AbstractKernel, Point, Target, strongly_typed

Found = dict[str, Array]
"""What tuning found."""
Moved = tuple[Point, dict[str, Array], dict[str, Array]]
"""A chain's new place, what it carries besides, and statistics of the transition."""

_LEAST_WARMUP = 20


class Chain(NamedTuple):
    """A chain between two transitions."""

    key: Key[Array, "*c"]
    """Of the chain. Transition `t` uses `fold_in(key, t)`."""
    t: Int[Array, "*c"]
    point: Point
    carried: dict[str, Array]
    """What the dynamics keep besides the place, such as a momentum."""
    found: Found
    stats: dict[str, Array]
    """Of the last transition."""


class TunedKernel(AbstractKernel):
    """A kernel of blackjax, tuned by blackjax before the first draw."""

    tunes_before: ClassVar[bool] = True
    built_on: ClassVar[tuple[str, ...]] = ("blackjax",)

    @abc.abstractmethod
    def tune(
        self, target: Target, start: Point, keys: Key[Array, " c"], num_warmup: int
    ) -> tuple[Float[Array, "c d"], Found]:
        """Where all chains are after tuning, and what was found, by chain."""

    @abc.abstractmethod
    def carry(self, point: Point, found: Found, key: PRNGKeyArray) -> dict[str, Array]:
        """What one chain's dynamics start with, besides its place."""

    @abc.abstractmethod
    def move(self, target: Target, chain: Chain, key: PRNGKeyArray) -> Moved:
        """One transition of one chain."""

    def begin(
        self,
        target: Target,
        start: Point,
        keys: Key[Array, " c"],
        num_warmup: int,
        adaptation: dict[str, Array] | None,
    ) -> Chain:
        """Tuned chains where tuning left them; or chains at their starts, where adaptation is given."""
        key, key_tune, key_carry = jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)(keys)
        if adaptation is None:
            _check_warmup(num_warmup)
            z, found = self.tune(target, start, key_tune, num_warmup)
            point = each_chain(target.point, z)
        else:
            point, found = start, adaptation

        def one(at: tuple[PRNGKeyArray, PRNGKeyArray, Point, Found]) -> Chain:
            key, key_carry, point, found = at
            chain = Chain(key, jnp.asarray(0, jnp.int32), point, self.carry(point, found, key_carry), found, {})
            stats = jax.eval_shape(lambda: self.move(target, chain, key)[2])
            return chain._replace(stats=jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), stats))

        return each_chain(one, (key, key_carry, point, found))

    def step(self, target: Target, state: Chain, num_warmup: int) -> Chain:
        """The next transition."""
        point, carried, stats = self.move(target, state, jax.random.fold_in(state.key, state.t))
        return strongly_typed(state._replace(t=state.t + 1, point=point, carried=carried, stats=stats))

    def position(self, state: Chain) -> Float[Array, " d"]:
        """Where the chain is."""
        return state.point.z

    def statistics(self, state: Chain) -> dict[str, Array]:
        """Of the last transition."""
        return {**state.stats, "log_density": state.point.log_density, "step_size": state.found["step_size"]}

    def adaptation(self, state: Chain) -> Found:
        """What tuning found."""
        return state.found


def each_chain(f: Any, chains: Any) -> Any:
    """`f` of every chain: one after the other on a CPU, where no chain's bits then depend on others; else together."""
    return jax.lax.map(f, chains) if jax.default_backend() == "cpu" else jax.vmap(f)(chains)


def for_all_chains(found: Found, chains: int) -> Found:
    """The same numbers for each chain."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (chains, *x.shape)), found)


def require_blackjax() -> ModuleType:
    """The library, which is an extra.

    Raises:
        ImportError: It is not installed.
    """
    try:
        import blackjax
    except ImportError as error:
        raise ImportError(
            "this method runs on blackjax, which is not installed: pip install 'scorax[samplers]'"
        ) from error
    return blackjax


def _check_warmup(num_warmup: int) -> None:
    if num_warmup < _LEAST_WARMUP:
        raise ValueError(
            f"num_warmup must be at least {_LEAST_WARMUP} for a kernel that is tuned before it draws, not {num_warmup}."
            " Pass adaptation= of an earlier run to do without."
        )
