"""Whether verdicts on pairs fit together: no circle, and what is equal to the same is equal to one another."""

import functools
import itertools
import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from scorax.numerics import masked_where

_CIRCLE, _EQUAL, _MISSING = np.uint8(1), np.uint8(2), np.uint8(4)
_BYTE = 255
_BLOCK = 4 * _BYTE
_NOTHING = np.uint32(0)
_MOST = 2**31 - 1


class NontransitivityRatio(eqx.Module):
    """Shares of the subsets of candidates whose pairs were all judged. NaN where there are none."""

    ratio: Float[Array, ""]
    """Subsets that hold at least one triple that no order of its three candidates (ties allowed) explains."""
    circle: Float[Array, ""]
    """Subsets that hold a triple whose outer pair is ranked against what the other two imply."""
    equal: Float[Array, ""]
    """Subsets that hold one in which a tie is what does not fit. A subset may hold both kinds."""
    n_subsets: Int[Array, ""]
    """How many subsets these are shares of."""


@eqx.filter_jit
def nontransitivity_ratio(
    relations: Int[Array, "q k k"], size: int = 3, *, where: Bool[Array, "q k k"] | None = None
) -> NontransitivityRatio:
    r"""How many subsets of candidates were judged in a way that no ranking, with ties, explains.

    Every subset of `size` candidates of a question is looked at. Three candidates \(i < j < l\) fit if
    \(r_{ij}, r_{jl}, r_{il}\) come from some weak order of the three: 13 of the 27 possible triples do, 6 are circles,
    in 8 a tie does not fit. A subset is inconsistent if any of its triples is. Questions are pooled.

    Args:
        relations: +1 where the row's candidate is better, 0 for equal, -1 where the column's is. Only entries above the
            diagonal are read.
        size: Candidates in a subset, at least 3.
        where: Pairs that were judged, read likewise. A subset that lacks any pair is left out.

    Returns:
        A :class:`NontransitivityRatio`. The ratio does not fall with `size` if all pairs were judged; else it may.

    Raises:
        ValueError: `size` is below 3 or above the number of candidates, or there are more than 2^31 subsets.

    Example:
        >>> circle = jnp.array([[0, 1, -1, 1], [-1, 0, 1, 1], [1, -1, 0, 1], [-1, -1, -1, 0]])
        >>> found = nontransitivity_ratio(circle[None])  # one of the four triples runs in a circle
        >>> found.ratio, found.circle, found.n_subsets
        (Array(0.25, dtype=float32), Array(0.25, dtype=float32), Array(4, dtype=int32))

    Source: Wang et al. (2025), "TrustJudge", arXiv 2509.21117 (pairwise transitivity inconsistency).
    """
    n_questions, k, _ = relations.shape
    if not 3 <= size <= k:
        raise ValueError(f"size must be between 3 and the number of candidates, {k}, not {size}")
    if n_questions * math.comb(k, size) > _MOST:
        raise ValueError(
            f"{math.comb(k, size)} subsets of {size} of {k} candidates, for each of {n_questions} questions, are too "
            "many to count: take a smaller size, or fewer questions at a time"
        )
    triples = _Triples.of(k)
    # Questions come last: every step is then one over whole contiguous rows.
    op = jnp.moveaxis(relations.astype(jnp.int8), 0, -1)[triples.upper]
    codes = _classify(op[triples.ij], op[triples.jl], op[triples.il])
    if where is not None:
        judged = jnp.moveaxis(where, 0, -1)[triples.upper]
        missing = ~(judged[triples.ij] & judged[triples.jl] & judged[triples.il])
        codes = jnp.where(missing, _MISSING, codes)
    counts = _count(codes) if size == 3 else _count_subsets(codes, k, size)
    return _shares(counts.astype(jax.dtypes.canonicalize_dtype(float)), counts[0])


@eqx.filter_jit
def expected_nontransitivity(
    verdict_probs: Float[Array, "q k k 3"], *, where: Bool[Array, "q k k"] | None = None
) -> NontransitivityRatio:
    """What :func:`nontransitivity_ratio` of triples is on average, if each pair's verdict is drawn independently.

    A smooth function of the probabilities, so `.ratio` may stand in a loss. For verdicts that are certain it is the
    ratio itself.

    Args:
        verdict_probs: Probabilities that the row's candidate is better, that both are equal, that the column's is
            better; each three sum to one. Only entries above the diagonal are read.
        where: Pairs that were judged, read likewise; the others may hold anything. A triple that lacks any pair is left
            out.

    Returns:
        Expected shares of the triples, differentiable.

    Raises:
        ValueError: There are fewer than three candidates.

    Example:
        >>> even = jnp.full((1, 3, 3, 3), 1 / 3)
        >>> found = expected_nontransitivity(even)  # 14 of 27 triples do not fit, 6 are circles
        >>> found.ratio.round(4), found.circle.round(4)
        (Array(0.5185, dtype=float32), Array(0.2222, dtype=float32))

    Source: derived from Wang et al. (2025), "TrustJudge", arXiv 2509.21117.
    """
    k = verdict_probs.shape[1]
    if k < 3:
        raise ValueError(f"{k} candidates have no three to compare")
    judged = jnp.broadcast_to(jnp.triu(jnp.ones((k, k), bool), 1), verdict_probs.shape[:-1])
    judged = judged if where is None else judged & where
    up, level, down = jnp.moveaxis(masked_where(judged[..., None], verdict_probs, 0.0), -1, 0)
    # Matrices that are zero but for pairs i < j: a product of two sums over the j between i and l.
    through = functools.partial(jnp.matmul, precision="highest")
    rise = through(up, up + level) + through(level, up)
    fall = through(down, down + level) + through(level, down)
    circle = (rise * down + fall * up).sum()
    equal = ((rise + fall) * level + through(level, level) * (up + down)).sum()
    pair = judged.astype(circle.dtype)
    # Whole numbers, exact for every pair; their sum may not be in single precision.
    n = (through(pair, pair) * pair).astype(jnp.int32).sum(dtype=jnp.int32)
    return _shares(jnp.stack([n.astype(circle.dtype), circle + equal, circle, equal]), n)


class _Triples(NamedTuple):
    """All i < j < l, as places in the list of pairs above the diagonal."""

    upper: tuple[np.ndarray, np.ndarray]
    ij: np.ndarray
    jl: np.ndarray
    il: np.ndarray

    @classmethod
    def of(cls, k: int) -> "_Triples":
        upper = np.triu_indices(k, 1)
        place = np.zeros((k, k), np.int32)
        place[upper] = np.arange(upper[0].size)
        i, j, l = np.array(list(itertools.combinations(range(k), 3)), np.int32).T  # noqa: E741
        return cls(upper, place[i, j], place[j, l], place[i, l])


def _classify(ij: Int[Array, "*s"], jl: Int[Array, "*s"], il: Int[Array, "*s"]) -> UInt8[Array, "*s"]:
    """0 for a triple that fits, or what is wrong with it: the whole table of 27 rows in two lines."""
    implied = jnp.sign(ij + jl)
    bad = (ij * jl >= 0) & (il != implied)
    circle = (implied != 0) & (il == -implied)
    return jnp.where(bad, jnp.where(circle, _CIRCLE, _EQUAL), np.uint8(0))


def _count(codes: UInt8[Array, "n q"]) -> Int[Array, "4"]:
    """How many are whole, inconsistent, with a circle, with a tie that does not fit.

    One sum for the four of them, a byte each, over as many rows as a byte can count: sums of truth values would each
    pass over the codes again (three times slower).
    """
    whole = codes < _MISSING
    flags = (whole, whole & (codes > 0), whole & (codes & _CIRCLE > 0), whole & (codes & _EQUAL > 0))
    packed = sum((flag.astype(jnp.uint32) << np.uint32(8 * byte) for byte, flag in enumerate(flags)), start=_NOTHING)
    n = codes.shape[0]
    packed = jnp.pad(packed, ((0, -n % _BYTE), (0, 0))).reshape(-1, _BYTE, codes.shape[1]).sum(1, dtype=jnp.uint32)
    return jnp.stack([(packed >> np.uint32(8 * byte) & np.uint32(_BYTE)).sum(dtype=jnp.int32) for byte in range(4)])


def _count_subsets(codes: UInt8[Array, "t q"], k: int, size: int) -> Int[Array, "4"]:
    """The same for larger subsets: what is wrong with one is what is wrong with any of its triples.

    Some subsets at a time, so that memory does not grow with their number.
    """
    blocks = jnp.asarray(_triples_of_subsets(k, size))
    # Fills up the last block: a triple that is not there, and makes its subset one that is left out.
    codes = jnp.concatenate([codes, jnp.full((1, codes.shape[1]), _MISSING)])

    def add(counts: Int[Array, "4"], block: Int[Array, "h s"]) -> tuple[Int[Array, "4"], None]:
        of_subset = codes[block[0]]
        for triple in block[1:]:
            of_subset = of_subset | codes[triple]
        return counts + _count(of_subset), None

    counts, _ = jax.lax.scan(add, jnp.zeros(4, jnp.int32), blocks)
    return counts


def _triples_of_subsets(k: int, size: int) -> np.ndarray:
    """Which triples each subset holds, `[blocks, triples of a subset, subsets of a block]`."""
    place = np.zeros((k, k, k), np.int32)
    place[tuple(np.array(list(itertools.combinations(range(k), 3))).T)] = np.arange(math.comb(k, 3))
    subsets = np.array(list(itertools.combinations(range(k), size)), np.int32)
    i, j, l = np.array(list(itertools.combinations(range(size), 3))).T  # noqa: E741
    held = place[subsets[:, i], subsets[:, j], subsets[:, l]]
    width = min(_BLOCK, len(held))
    full = np.full((-(-len(held) // width) * width, held.shape[1]), math.comb(k, 3), np.int32)
    full[: len(held)] = held
    return full.reshape(-1, width, held.shape[1]).swapaxes(1, 2)


def _shares(counts: Float[Array, "4"], n: Int[Array, ""]) -> NontransitivityRatio:
    some = n > 0
    share = masked_where(some, counts[1:] / jnp.where(some, counts[0], jnp.ones_like(counts[0])), jnp.nan)
    return NontransitivityRatio(share[0], share[1], share[2], n)
