"""Consistency of judges: inconsistent triples of candidates, counted and expected."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._row import Case, Peer, row
from scorax.judges import expected_nontransitivity, nontransitivity_ratio

QUESTIONS, CANDIDATES = 1000, 30
TRIPLES = CANDIDATES * (CANDIDATES - 1) * (CANDIDATES - 2) // 6


def design() -> np.ndarray:
    """Verdicts on every pair, at random."""
    upper = np.triu(np.random.default_rng(0).integers(-1, 2, (QUESTIONS, CANDIDATES, CANDIDATES)), 1)
    return (upper - upper.swapaxes(1, 2)).astype(np.int32)


@row("nontransitivity_ratio", f"{QUESTIONS} questions x {CANDIDATES} candidates")
def _triples() -> Case:
    verdicts = design()
    relations = jnp.asarray(verdicts)
    exact = _by_gathers(verdicts)

    def error(result: Any) -> float:
        return abs(float(result.ratio) - exact)

    def by_the_book() -> float:
        """The reference's way: a look-up in a table for every triple, in Python; one question of the thousand."""
        table, one = _table(), verdicts[0].tolist()
        triples = itertools.combinations(range(CANDIDATES), 3)
        return sum((one[a][b], one[b][c], one[a][c]) in table for a, b, c in triples) / TRIPLES

    return Case(
        lambda: nontransitivity_ratio(relations),
        # The verdicts are read, and a byte for each triple is written and read again.
        bytes=verdicts.nbytes / 2 + 2 * QUESTIONS * TRIPLES,
        error=error,
        peers=[
            Peer("NumPy", lambda: _by_gathers(verdicts)),
            Peer("a table in Python", by_the_book, times=QUESTIONS),
        ],
        # Sums of whole numbers, divided in single precision.
        goals={"cpu_seconds": 0.05, "error": 1e-7},
    )


def _by_gathers(verdicts: np.ndarray) -> float:
    i, j, l = np.array(list(itertools.combinations(range(CANDIDATES), 3))).T  # noqa: E741
    ij, jl, il = (verdicts[:, a, b] for a, b in ((i, j), (j, l), (i, l)))
    return float(((ij * jl >= 0) & (il != np.sign(ij + jl))).mean())


def _table() -> set[tuple[int, ...]]:
    """The triples that no order of three candidates explains."""
    sign = lambda a, b: (a > b) - (a < b)  # noqa: E731
    orders = {(sign(a, b), sign(b, c), sign(a, c)) for a, b, c in itertools.product(range(3), repeat=3)}
    return set(itertools.product(range(-1, 2), repeat=3)) - orders


@row("expected_nontransitivity + grad", f"{QUESTIONS} questions x {CANDIDATES} candidates f32")
def _expected() -> Case:
    probs = jax.random.dirichlet(jax.random.key(0), jnp.ones(3), (QUESTIONS, CANDIDATES, CANDIDATES))
    program = jax.jit(jax.value_and_grad(lambda p: expected_nontransitivity(p).ratio))
    compiled = program.lower(probs).compile()
    exact = _expected_by_einsum(np.asarray(probs, np.float64))
    return Case(
        lambda: program(probs),
        # The probabilities are read for the value and for the gradient, which is written.
        bytes=3 * probs.nbytes,
        # Eight products of triangular matrices forward, two for each of them back.
        flops=3 * 8 * 2 * QUESTIONS * CANDIDATES**3,
        error=lambda result: abs(float(result[0]) - exact),
        program=lambda: compiled,
    )


def _expected_by_einsum(probs: np.ndarray) -> float:
    """All 27 outcomes of every triple i < j < l, in double precision."""
    held = probs * np.triu(np.ones((CANDIDATES, CANDIDATES)), 1)[None, :, :, None]
    total = 0.0
    for ij, jl, il in _table():
        through = held[..., 1 - ij] @ held[..., 1 - jl]
        total += float((through * held[..., 1 - il]).sum())
    return total / (QUESTIONS * TRIPLES)
