"""Finite random programs, run down every path: exact laws and exact transition matrices, no statistics needed."""

import dataclasses
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

Choose = Callable[[Any], int]
"""`choose(probabilities) -> index`: where a finite program takes its randomness from."""


def enumerate_outcomes(program: Callable[[Choose], Any]) -> list[tuple[Any, float]]:
    """Every outcome of a finite random program, with its probability.

    The program is run once for each path through its choices, by running it again and again with other answers.

    Args:
        program: `program(choose) -> outcome`. Each `choose(p)` returns `i` with probability `p[i]`; the next choices
            may depend on it. Plain Python: what it computes need not be traceable, and its randomness must all come
            from `choose`.

    Returns:
        Outcomes in the order of their choices, one for each path of positive probability; equal outcomes are not
        merged.

    Raises:
        ValueError: Probabilities are negative, not numbers, or do not sum to one.

    Example:
        >>> enumerate_outcomes(lambda choose: choose([0.5, 0.5]) + choose([0.25, 0.75]))
        [(0, 0.125), (1, 0.375), (1, 0.125), (2, 0.375)]

    Source: Ścibior et al. (2018), arXiv:1711.03219 (enumeration as a representation of measures).
    """
    return list(_paths(program))


def _paths(program: Callable[[Choose], Any]) -> Iterator[tuple[Any, float]]:
    script: list[int] = []
    while True:
        choose = _Replay(script)
        outcome = program(choose)
        yield outcome, float(np.prod([p[index] for index, p in choose.taken]))
        # The next path differs in the last choice that has an answer left.
        taken = choose.taken
        while taken and not taken[-1][1][taken[-1][0] + 1 :].any():
            taken.pop()
        if not taken:
            return
        index, p = taken[-1]
        script = [*(i for i, _ in taken[:-1]), index + 1 + int(np.flatnonzero(p[index + 1 :])[0])]


class _Replay:
    """Answers as the script says, then with the first answer that has a chance, and remembers what was asked."""

    def __init__(self, script: list[int]) -> None:
        self.script = script
        self.taken: list[tuple[int, Float[np.ndarray, " k"]]] = []

    def __call__(self, probabilities: Any) -> int:
        p = _checked(probabilities)
        place = len(self.taken)
        index = self.script[place] if place < len(self.script) else int(np.flatnonzero(p)[0])
        self.taken.append((index, p))
        return index


def _checked(probabilities: Any) -> Float[np.ndarray, " k"]:
    p = np.asarray(probabilities, np.float64)
    # Single precision is good to seven digits.
    if p.ndim != 1 or not (p >= 0).all() or abs(p.sum() - 1) > 1e-6:
        raise ValueError(f"choose needs probabilities that sum to 1, not {probabilities}")
    return p


@dataclasses.dataclass(frozen=True)
class FiniteKernel:
    """A kernel on finitely many states, as a matrix."""

    states: tuple[Any, ...]
    transition: Float[np.ndarray, "k k"]
    """Probability to go from the row's state to the column's. Rows sum to 1."""

    @property
    def stationary(self) -> Float[np.ndarray, " k"]:
        """The law that the kernel leaves alone; NaN where it leaves several alone, because states are not connected."""
        k = len(self.states)
        system = np.concatenate([self.transition.T - np.eye(k), np.ones((1, k))])
        solution, _, rank, _ = np.linalg.lstsq(system, np.append(np.zeros(k), 1.0))
        return solution if rank == k else np.full(k, np.nan)

    def error(self, law: Float[np.ndarray, " k"]) -> float:
        """How much probability one step moves: total variation between `law` and the law after a step from it.

        Zero up to rounding if the kernel is valid.
        """
        p = np.asarray(law, np.float64)
        return float(np.abs(p @ self.transition - p).sum() / 2)


def enumerate_kernel(kernel: Callable[[Choose, Any], Any], states: Sequence[Hashable]) -> FiniteKernel:
    """The exact transition matrix of a finite kernel, by running it down every path from every state.

    Args:
        kernel: `kernel(choose, state) -> state`: as a kernel takes a key, this one takes a source of choices, see
            `enumerate_outcomes`.
        states: All states, hashable.

    Raises:
        ValueError: The kernel leaves the states.

    Example:
        >>> def flip(choose, state):  # Metropolis for the probabilities 1/3 and 2/3
        ...     accept = min(1.0, [1, 2][1 - state] / [1, 2][state])
        ...     return 1 - state if choose([1 - accept, accept]) else state
        >>> enumerate_kernel(flip, [0, 1]).stationary
        array([0.33333333, 0.66666667])
    """
    place = {state: i for i, state in enumerate(states)}
    transition = np.zeros((len(place), len(place)))
    for state, i in place.items():
        for after, probability in enumerate_outcomes(lambda choose, state=state: kernel(choose, state)):
            if after not in place:
                raise ValueError(
                    f"the kernel goes from {state!r} to {after!r}, which is none of the {len(place)} states"
                )
            transition[i, place[after]] += probability
    return FiniteKernel(tuple(place), transition)
