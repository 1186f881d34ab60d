"""The loop that every kernel runs in: two compiled functions, driven from the host in chunks.

Everything that changes from call to call (data, prior, keys, number of draws) is an argument of the compiled functions,
so that a second call of the same shapes compiles nothing. Between chunks the host looks at the clock, at the draws and
for Ctrl-C, and writes the run to its file.
"""

import os
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Int, UInt

from scorax.inference._devices import SPLIT, WHOLE, agreed, is_first, on_host, over_devices, pad_chains
from scorax.inference._draws import Chains, Record, join
from scorax.inference._engine import engine
from scorax.inference._interrupt import interrupts_as_requests
from scorax.inference._kernels import AbstractKernel, Point, Target
from scorax.inference._kernels._kernel import State, strongly_typed
from scorax.inference._monitor import Convergence, convergence
from scorax.inference._progress import Clock, Report
from scorax.inference._run_file import read_run, write_run
from scorax.inference._starts import Start, check_starts, find_start

# Draws that one call of the compiled function can hold. It decides nothing about the result.
_CHUNK = 100
_SECONDS_PER_CHUNK = 0.5
# Looking at the draws, and writing them, may take this share of the time.
_SHARE = 0.05


class Setup(NamedTuple):
    """What the compiled functions are compiled for, besides shapes."""

    kernel: AbstractKernel
    num_warmup: int
    moving: tuple[bool, ...]
    """Which leaves of the module draws change."""
    together: bool
    """Whether a device moves its chains by `vmap`, not one after the other."""
    mesh: Mesh | None
    key_impl: str


class Stop(NamedTuple):
    """When to stop before all draws are drawn."""

    target_ess: float | int | None
    target_rhat: float
    time_limit: float | int | None
    """Seconds."""

    def reached(self, seen: Convergence) -> bool:
        """Whether the draws say enough. R-hat is not asked of a single chain."""
        return self.target_ess is not None and seen.ess >= self.target_ess and not seen.rhat > self.target_rhat


class RunFile(NamedTuple):
    """Where a run is kept, and what it is a run of."""

    path: str | os.PathLike[str]
    identity: dict[str, Any]


def run_chains(
    setup: Setup,
    target: Target,
    start: Start,
    *,
    keys: UInt[np.ndarray, "c w"],
    num_samples: int,
    adaptation: dict[str, np.ndarray] | None,
    stop: Stop,
    report: Report,
    file: RunFile | None,
) -> Chains:
    """Tune and sample one chain for each key, or go on with the run in the file.

    Raises:
        ValueError: Some chain finds no start at which density and gradient are finite; or the file holds another run.
        TimeoutError: The time limit passed before the first draw.
        KeyboardInterrupt: The user interrupted before the first draw. After it, what was drawn is returned.
    """
    run = _Run(setup, target, len(keys), report if is_first() else lambda _: None, file)
    with interrupts_as_requests() as asked:
        run.begin(start, keys, num_samples, adaptation)
        run.sample(num_samples, stop, asked)
    return run.chains()


class _Run:
    """The state of the loop on the host."""

    def __init__(self, setup: Setup, target: Target, num_chains: int, report: Report, file: RunFile | None) -> None:
        self.setup, self.target, self.num_chains = setup, target, num_chains
        self.report, self.file = report, file
        self.began = time.perf_counter()
        self.warmup = 0 if setup.kernel.tunes_before else setup.num_warmup
        self.done, self.divergences, self.ended = 0, 0, "done"
        self.kept: list[Record] = []
        self.state: State = None
        self.seen = Convergence(np.nan, np.nan)
        self.looking, self.writing = _Budget(), _Budget()

    def begin(self, start: Start, keys: np.ndarray, num_samples: int, adaptation: dict[str, np.ndarray] | None) -> None:
        """At the starts, or where the file left off."""
        mesh = self.setup.mesh
        # Tuning that looks at all chains must not see one twice: these are padded afterwards.
        coupled = mesh is not None and self.setup.kernel.couples_chains
        of_chains = (start.of_chains(self.num_chains), keys, adaptation)
        arguments: tuple[Any, ...] = (
            self.setup,
            self.target,
            *(x if coupled else pad_chains(x, mesh) for x in of_chains),
        )
        self.clock = Clock(self.warmup + num_samples, self.num_chains)
        self.report(self.clock.progress("compiling", 0))
        found = None if self.file is None else read_run(*self.file)
        if found is None:
            state, finite, points = _first(*arguments)
            self.state = pad_chains(on_host(state), mesh) if coupled else state
            check_starts(self.target, on_host(finite), on_host(points))
            if self.file is not None:
                # Where it cannot be written, that is better known now.
                self._save(self.file)
            return
        self.done, leaves, draws = found
        self.clock.start(self.done)
        _, structure = jax.tree.flatten(eqx.filter_eval_shape(_first, *arguments)[0])
        self.state = jax.tree.unflatten(structure, pad_chains(leaves, mesh))
        if draws is not None:
            self.kept = [draws]
            self.divergences = _divergences(draws)

    def sample(self, num_samples: int, stop: Stop, asked: Callable[[], bool]) -> None:
        """Go on until all is drawn, or it is time to stop."""
        total = self.warmup + num_samples
        saved = self.done
        self._stop_at_target(stop)
        try:
            for n in _chunks(self.done, self.warmup, total) if self.ended == "done" else ():
                fresh = self.done
                self._advance(n)
                if fresh == saved:
                    self.clock.start(self.done)
                self.ended = agreed_ending(self._ending(stop, asked, total))
                if self.ended == "done":
                    self._write(final=False)
                self.report(self._progress("sampling" if self.kept else "warm-up"))
                if self.ended != "done":
                    break
        except KeyboardInterrupt:
            # From a callback of the caller, or a second Ctrl-C.
            self.ended = "interrupted"
        if self.done > saved:
            self._write(final=True)
        if self.ended == "done":
            # The last draws may not have been looked at.
            self._stop_at_target(stop)
        if not self.kept:
            self._give_up(stop)
        self._trim(num_samples)
        ending = "done" if self.ended in ("done", "target") else self.ended
        self.report(self._progress(ending)._replace(seconds_left=np.nan))

    def _advance(self, n: int) -> None:
        state, records = _advance(self.setup, self.target, self.state, jnp.asarray(np.int32(n)))
        self.state = jax.block_until_ready(state)
        self.done += n
        if self.done > self.warmup:
            self.kept.append(jax.tree.map(lambda x: x[: self.num_chains, :n], on_host(records)))
            self.divergences += _divergences(self.kept[-1])

    def _ending(self, stop: Stop, asked: Callable[[], bool], total: int) -> str:
        """Why to stop now; "done" for no reason yet."""
        if asked():
            return "interrupted"
        if self.kept and self.looking.allows(self.began):
            self._look()
        if stop.reached(self.seen):
            return "target"
        if stop.time_limit is not None and time.perf_counter() - self.began >= stop.time_limit and self.done < total:
            return "out of time"
        return "done"

    def _stop_at_target(self, stop: Stop) -> None:
        if self.kept and stop.target_ess is not None:
            self._look()
            self.ended = agreed_ending("target" if stop.reached(self.seen) else "done")

    def _look(self) -> None:
        with self.looking:
            self.seen = convergence(_quantities(join(self.kept, axis=1)))

    def _give_up(self, stop: Stop) -> None:
        if self.ended == "out of time":
            kept = "" if self.file is None else f" {os.fspath(self.file.path)} keeps the run: call again to go on."
            raise TimeoutError(
                f"the time limit of {stop.time_limit} s passed after {self.done} of {self.warmup} warm-up steps, "
                f"before the first draw.{kept}"
            )
        raise KeyboardInterrupt

    def _trim(self, num_samples: int) -> None:
        """A file may hold more draws than are asked for."""
        whole = join(self.kept, axis=1)
        self.kept = [jax.tree.map(lambda x: x[:, :num_samples], whole)]

    def _write(self, *, final: bool) -> None:
        if self.file is None or not (final or self.writing.allows(self.began)):
            return
        with self.writing:
            try:
                self._save(self.file)
            except OSError as error:
                warnings.warn(
                    f"{os.fspath(self.file.path)} could not be written ({error}); it is as it was before. The run goes "
                    "on, and its draws are kept in memory.",
                    stacklevel=6,
                )

    def _save(self, file: RunFile) -> None:
        state = [x[: self.num_chains] for x in on_host(jax.tree.leaves(self.state))]
        self.kept = [join(self.kept, axis=1)] if self.kept else []
        if is_first():
            write_run(*file, self.done, state, self.kept[0] if self.kept else None)

    def _progress(self, phase: str) -> Any:
        # A file may hold more than is asked for now.
        found = self.clock.progress(phase, min(self.done, self.clock.total), self.divergences)
        return found._replace(rhat=self.seen.rhat, ess=self.seen.ess)

    def chains(self) -> Chains:
        """All that was drawn."""
        found = _adaptation(self.setup, self.state)
        return Chains(self.kept[0], self.ended, self.seen, jax.tree.map(lambda x: x[: self.num_chains], on_host(found)))


class _Budget:
    """Keeps a chore to its share of the time since the run began."""

    def __init__(self) -> None:
        self.spent, self.last = 0.0, 0.0

    def allows(self, began: float) -> bool:
        """Whether the chore, as long as it was the last time, fits. All processes must find the same."""
        elapsed = time.perf_counter() - began
        return agreed(bool(self.spent + self.last <= _SHARE * elapsed))

    def __enter__(self) -> None:
        self.entered = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.last = time.perf_counter() - self.entered
        self.spent += self.last


_ENDINGS = ("done", "target", "out of time", "interrupted")


def agreed_ending(ending: str) -> str:
    """All processes stop together, for the reason of the first."""
    return _ENDINGS[agreed(_ENDINGS.index(ending))]


def _chunks(done: int, warmup: int, total: int) -> Iterator[int]:
    """Numbers of steps that take about half a second each and do not straddle the end of the warm-up."""
    n, first = 10, True
    while done < total:
        step = min(n, (warmup if done < warmup else total) - done)
        began = time.perf_counter()
        yield step
        rate = step / max(time.perf_counter() - began, 1e-6)
        # The first call compiles, and says nothing about the rate.
        n = n if first else agreed(int(np.clip(rate * _SECONDS_PER_CHUNK, 1, _CHUNK)))
        done, first = done + step, False


def _divergences(record: Record) -> int:
    return int(record["stats"]["diverging"].sum()) if "diverging" in record["stats"] else 0


def _quantities(record: Record) -> np.ndarray:
    """Every number that is drawn, side by side."""
    parts = [x.reshape(*x.shape[:2], -1) for x in jax.tree.leaves(record["sites"] or record["leaves"])]
    return np.concatenate(parts, axis=2)


class _RawKey(eqx.Module):
    """A typed random key as plain numbers, which files and other processes understand."""

    data: UInt[Array, "..."]
    impl: str = eqx.field(static=True)


def _raw(tree: Any, impl: str) -> Any:
    def convert(x: Any) -> Any:
        return _RawKey(jax.random.key_data(x), impl) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x

    return jax.tree.map(convert, tree)


def _typed(tree: Any) -> Any:
    def convert(x: Any) -> Any:
        return jax.random.wrap_key_data(x.data, impl=x.impl) if isinstance(x, _RawKey) else x

    return jax.tree.map(convert, tree, is_leaf=lambda x: isinstance(x, _RawKey))


@eqx.filter_jit
def _first(
    setup: Setup,
    target: Target,
    start: Start,
    keys: UInt[np.ndarray | Array, "c w"],
    adaptation: dict[str, Any] | None,
) -> tuple[State, Bool[Array, " c"], Point]:
    """The state of every chain at its start, whether density and gradient are finite there, and the start."""

    def begin(start: Start, keys: UInt[Array, "c w"], adaptation: dict[str, Array] | None) -> Any:
        both = jax.vmap(lambda key: jax.random.split(key))(jax.random.wrap_key_data(keys, impl=setup.key_impl))
        points, finite = jax.lax.map(lambda chain: find_start(target, *chain), (start, both[:, 0]))
        state = setup.kernel.begin(target, points, both[:, 1], setup.num_warmup, adaptation)
        return strongly_typed(_raw(state, setup.key_impl)), finite, points

    with engine():
        spread = WHOLE if setup.kernel.couples_chains else SPLIT
        split = over_devices(begin, setup.mesh, (spread, spread, spread), spread)
        return split(*jax.tree.map(jnp.asarray, (start, keys, adaptation)))


@eqx.filter_jit
def _advance(setup: Setup, target: Target, state: State, n: Int[Array, ""]) -> tuple[State, Record]:
    """`n` steps of every chain, and what is kept of them in the first `n` places of buffers."""
    kernel = setup.kernel

    def keep(state: State) -> Record:
        return {**target.record(kernel.position(state), setup.moving), "stats": kernel.statistics(state)}

    def one_chain(state: State) -> tuple[State, Record]:
        blank = jax.tree.map(lambda x: jnp.zeros((_CHUNK, *x.shape), x.dtype), jax.eval_shape(keep, state))

        def step(i: Int[Array, ""], carry: tuple[State, Record]) -> tuple[State, Record]:
            new = kernel.step(target, carry[0], setup.num_warmup)
            return new, jax.tree.map(lambda buffer, x: buffer.at[i].set(x), carry[1], keep(new))

        return jax.lax.fori_loop(0, n, step, (state, blank))

    def all_chains(raw: State) -> tuple[State, Record]:
        state = _typed(raw)
        move = _together if setup.together else _in_turn
        new, records = move(one_chain, kernel, state)
        return strongly_typed(_raw(new, setup.key_impl)), records

    with engine():
        return over_devices(all_chains, setup.mesh, (SPLIT,), SPLIT)(state)


def _in_turn(one_chain: Callable[[State], Any], kernel: AbstractKernel, state: State) -> Any:
    return jax.lax.map(one_chain, state)


def _together(one_chain: Callable[[State], Any], kernel: AbstractKernel, state: State) -> Any:
    axes = kernel.chain_axes(state)
    new, records = jax.vmap(one_chain, in_axes=(axes,), out_axes=(axes, 0))(_shared(axes, state, lambda x: x[0]))
    chains = jax.tree.leaves(state)[0].shape[0]
    return _shared(axes, new, lambda x: jnp.broadcast_to(x, (chains, *x.shape))), records


def _shared(axes: Any, state: State, change: Callable[[Array], Array]) -> State:
    """The state with what all chains share changed: leaves whose axis is None, but for absent leaves."""

    def each(axis: int | None, x: Any) -> Any:
        return change(x) if axis is None and x is not None else x

    return jax.tree.map(each, axes, state, is_leaf=lambda axis: axis is None)


@eqx.filter_jit
def _adaptation(setup: Setup, state: State) -> dict[str, Array]:
    return jax.vmap(setup.kernel.adaptation)(_typed(state))
