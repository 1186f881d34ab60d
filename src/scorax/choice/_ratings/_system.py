"""What all rating systems are: hyper-parameters that turn a state and one match into the next state."""

import abc
import functools
from typing import Any, ClassVar, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from scorax.data import Comparisons, Matches, refuse

State = TypeVar("State", bound=eqx.Module)


class AbstractRatingSystem(eqx.Module, Generic[State]):
    """Hyper-parameters of a sequential rating system; those that are floating arrays can be tuned by gradients.

    `init` gives the state before the first match, `update` the state after one more, `rate` the state after all rows of
    the data in their order, `trace` also what was predicted before each of them. All are pure functions that work under
    `jit`, `vmap` and `grad`; a second call of equal shapes compiles nothing.
    """

    takes: ClassVar[tuple[type, ...]]
    """The kinds of data that can be rated."""

    @abc.abstractmethod
    def init(self, n_items: int, *, dtype: Any = float) -> State:
        """The state of `n_items` items that have not played yet."""

    @abc.abstractmethod
    def step(self, state: State, match: Any) -> State:
        """What `update` returns; not compiled."""

    @abc.abstractmethod
    def win_probability(self, state: State, a: Int[Array, "*s"], b: Int[Array, "*s"]) -> Float[Array, "*s"]:
        """Probability that items `a` beat items `b`, a draw counting half."""

    @abc.abstractmethod
    def prepare(self, data: Any) -> Any:
        """The data as `play` wants them, checked where their values are known."""

    @abc.abstractmethod
    def play(self, state: State, data: Any) -> tuple[State, Float[Array, "..."]]:
        """What `trace` returns, from data that are prepared; not compiled."""

    def update(self, state: State, match: Any) -> State:
        """The state after one more match, or one more rating period.

        Args:
            state: Before it.
            match: One row, such as `data.take(0)`; for `Glicko` and `Glicko2` all games of a period, whose `time` is
                not read.
        """
        return _update(self, state, match)

    def rate(self, data: Any, state: State | None = None) -> State:
        """The state after all rows of the data.

        Args:
            data: `Comparisons`, and for `TrueSkill` and `WengLin` also `Matches`.
            state: Where to start. By default `self.init(n)`, n being one more than the largest id in the data: give
                `self.init(len(vocabulary))` where some items may not occur, and wherever values are not known yet
                (under `jit`).

        Raises:
            ValueError: rows that the system cannot take (the class says which), ids outside the state.
        """
        rows, state = self.checked(data, state)
        return _rate(self, state, rows)

    def trace(self, data: Any, state: State | None = None) -> tuple[State, Float[Array, "..."]]:
        """The state after all rows, and what was expected of each row before it was seen.

        The prequential log-loss of these forecasts, a sum over the past that never peeks, is what hyper-parameters are
        tuned by.

        Args:
            data: As in `rate`.
            state: As in `rate`.

        Returns:
            The state, and for each row of `Comparisons` the probability `[n]` that `a` wins, a draw counting half; for
            each row of `Matches` the share `[n, t]` of its opponents that each team was expected to beat.

        Raises:
            ValueError: as in `rate`.
        """
        rows, state = self.checked(data, state)
        return _trace(self, state, rows)

    def checked(self, data: Any, state: State | None) -> tuple[Any, State]:
        """The data as `play` wants them, and where to start."""
        if not isinstance(data, self.takes):
            kinds = " or ".join(kind.__name__ for kind in self.takes)
            raise TypeError(f"{type(self).__name__} rates {kinds}, not {type(data).__name__}")
        rows = self.prepare(data)
        ids = largest_id(data)
        if state is None:
            if ids is None:
                raise ValueError("the number of items is not known under jit: pass state=system.init(n_items)")
            return rows, self.init(ids + 1)
        n_items = jax.tree.leaves(state)[0].shape[0]
        if ids is not None and ids >= n_items:
            raise ValueError(f"the largest id in the data is {ids}, but the state is of {n_items} items")
        return rows, state


@eqx.filter_jit
def _update(system: AbstractRatingSystem[Any], state: Any, match: Any) -> Any:
    return system.step(state, match)


@eqx.filter_jit
def _rate(system: AbstractRatingSystem[Any], state: Any, rows: Any) -> Any:
    return system.play(state, rows)[0]


@eqx.filter_jit
def _trace(system: AbstractRatingSystem[Any], state: Any, rows: Any) -> Any:
    return system.play(state, rows)


@functools.singledispatch
def largest_id(data: Any) -> int | None:
    """The largest id of an item in the data, None where values are not known."""
    raise TypeError(f"no matches in {type(data).__name__}")


@largest_id.register
def _(data: Comparisons) -> int | None:
    return None if isinstance(data.a, Tracer) else int(max(np.asarray(data.a).max(), np.asarray(data.b).max()))


@largest_id.register
def _(data: Matches) -> int | None:
    if isinstance(data.members, Tracer):
        return None
    return int(np.max(np.asarray(data.members), where=np.asarray(data.where), initial=0))


def check_order(data: Comparisons | Matches, name: str) -> None:
    """Raise `ValueError` where rows are not single matches in the order of time, as far as values are known."""
    if not isinstance(data.count, Tracer):
        several = np.asarray(data.count) > 1
        refuse(several, "a row stands for several matches", f"{name} takes one after the other: data.expand().")
    if data.time is not None and not isinstance(data.time, Tracer):
        backwards = np.diff(np.asarray(data.time), prepend=-np.inf) < 0
        mend = "Sort the rows: data.take(np.argsort(data.time, stable=True))."
        refuse(backwards, f"{name} goes through rows in their order, but time runs backwards", mend)


def one_row(match: Any) -> Any:
    """A single match as data of one row."""
    if match.weight.ndim != 0:
        raise ValueError("update takes one row, such as data.take(0); rate takes them all")
    return jax.tree.map(lambda column: column[None], match)


def to_float(value: Any) -> Float[Array, "..."]:
    """A hyper-parameter as a floating array, so that gradients reach it."""
    return jnp.asarray(value, dtype=None if isinstance(value, jax.Array) else float)


def like(hyperparameter: Float[Array, ""], state: Float[Array, "..."]) -> Float[Array, ""]:
    """The hyper-parameter in the state's dtype."""
    return hyperparameter.astype(state.dtype)
