"""Whether two samples of points come from one law: energy distance and maximum mean discrepancy, by permutation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from scorax.inference.validity._chain import require
from scorax.inference.validity._result import TestResult, undecided

Sums = tuple[Float[Array, "*b"], Float[Array, "*b"], Float[Array, "*b"]]


def energy_distance(x: Float[Array, "n d"], y: Float[Array, "m d"]) -> Float[Array, ""]:
    """`2 E|X - Y| - E|X - X'| - E|Y - Y'|`: zero for equal laws, positive for all others.

    Args:
        x: Points, one a row.
        y: Other points; as many as one likes.

    Returns:
        At least 0 (up to rounding), in the units of the points.

    Example:
        >>> jax.jit(energy_distance)(jnp.array([[0.0], [2.0]]), jnp.array([[1.0]]))  # 2 - 1 - 0
        Array(1., dtype=float32)

    Source: Székely & Rizzo (2013), doi:10.1016/j.jspi.2013.03.018.
    """
    return _energy(_distances(x, y), _first(len(x), len(y)))


def mmd(x: Float[Array, "n d"], y: Float[Array, "m d"]) -> Float[Array, ""]:
    """Squared maximum mean discrepancy, unbiased, with a Gaussian kernel as wide as the median distance.

    The kernel is `exp(-|a - b|^2 / m)`, `m` the median of all squared distances between two of the points.

    Args:
        x: Points, one a row, at least two.
        y: Other points, at least two.

    Returns:
        About 0 for equal laws (it may be negative), at most 2. NaN where the median distance is 0.

    Example:
        >>> jax.jit(mmd)(jnp.array([[0.0], [1.0]]), jnp.array([[0.0], [1.0]]))  # exp(-1) - 1, half of it
        Array(-0.632121, dtype=float32)

    Source: Gretton, Borgwardt, Rasch, Schölkopf & Smola (2012), "A kernel two-sample test", JMLR 13.
    """
    return _mmd(_kernel(_distances(x, y)), _first(len(x), len(y)))


def two_sample_test(
    x: Float[Array, "n d"],
    y: Float[Array, "m d"],
    *,
    key: PRNGKeyArray,
    distance: str = "energy",
    n_permutations: int = 500,
) -> TestResult:
    """Whether two samples come from one law, by exchanging their points: exact for independent points.

    Draws of a chain must be thinned until they are independent. Coordinates count as they are: scale them first where
    their units differ.

    Args:
        x: Points, one a row, at least two.
        y: Other points, at least two.
        key: Random key.
        distance: `"energy"` or `"mmd"`.
        n_permutations: The p-value is `(1 + those at least as far apart) / (1 + n_permutations)`.

    Returns:
        The statistic is the distance. NaN with a reason where points are not finite, or all equal.

    Raises:
        ValueError: `distance` is unknown, or there are too few points.

    Example:
        >>> x = jax.random.normal(jax.random.key(0), (2, 60, 2))
        >>> p = [sx.inference.validity.two_sample_test(x[0], x[1] + by, key=jax.random.key(1)).p_value for by in (0, 1)]
        >>> p[0] > 0.05, p[1] < 0.05
        (True, True)

    Source: Székely & Rizzo (2013), doi:10.1016/j.jspi.2013.03.018; Gretton, Borgwardt, Rasch, Schölkopf & Smola (2012).
    """
    if distance not in ("energy", "mmd"):
        raise ValueError(f"distance must be 'energy' or 'mmd', not {distance!r}")
    require(x=(len(x), 2), y=(len(y), 2), n_permutations=(n_permutations, 1))
    first = np.arange(len(x) + len(y)) < len(x)
    # On the host, where shuffling takes no compilation.
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    groups = generator.permuted(np.tile(first, (n_permutations, 1)), axis=1)
    statistics, scale = map(np.asarray, _statistics(x, y, jnp.asarray(np.vstack([first, groups])), distance))
    observed, permuted = statistics[0], statistics[1:]
    # Sums in another order differ by rounding; permutations that change nothing must count all the same.
    tolerance = 8 * np.finfo(observed.dtype).eps * scale
    if not np.isfinite(np.asarray(x)).all() or not np.isfinite(np.asarray(y)).all():
        return undecided("some points are not finite")
    if np.isnan(observed):
        return undecided("most points are equal, so that the kernel has no width: use distance='energy'")
    if scale == 0:
        return undecided("all points are equal: nothing can be told apart")
    p_value = (1 + (permuted >= observed - tolerance).sum()) / (1 + n_permutations)
    return TestResult(float(observed), float(p_value), {"permuted": permuted})


@functools.partial(jax.jit, static_argnames="distance")
def _statistics(
    x: Float[Array, "n d"], y: Float[Array, "m d"], groups: Bool[Array, "b s"], distance: str
) -> tuple[Float[Array, " b"], Float[Array, ""]]:
    """The distance between each way to make two groups, and the size of the numbers that it is a difference of."""
    matrix = _distances(x, y) if distance == "energy" else _kernel(_distances(x, y))
    return (_energy if distance == "energy" else _mmd)(matrix, groups), matrix.mean()


def _first(n: int, m: int) -> Bool[Array, " s"]:
    return jnp.arange(n + m) < n


def _distances(x: Float[Array, "n d"], y: Float[Array, "m d"]) -> Float[Array, "s s"]:
    """Euclidean, of all points, from differences: products of large coordinates would drown small distances."""
    z = jnp.concatenate([x, y.astype(x.dtype)])

    def row(a: Float[Array, " d"]) -> Float[Array, " s"]:
        squared = ((z - a[None, :]) ** 2).sum(1)
        apart = squared > 0
        return jnp.where(apart, jnp.sqrt(jnp.where(apart, squared, 1)), 0)

    return jax.lax.map(row, z, batch_size=64)


def _kernel(distance: Float[Array, "s s"]) -> Float[Array, "s s"]:
    squared = distance**2
    s = len(squared)
    # Every pair twice, and s zeros on the diagonal: the median of the pairs lies s places further on.
    pairs = jnp.sort(squared, axis=None)[s:]
    median = (pairs[(pairs.size - 1) // 2] + pairs[pairs.size // 2]) / 2
    return jnp.where(jnp.eye(s, dtype=bool), 0, jnp.exp(-squared / jnp.where(median > 0, median, jnp.nan)))


def _sums(matrix: Float[Array, "s s"], first: Bool[Array, "*b s"]) -> Sums:
    """Of entries within the first group, within the second, and from one to the other."""
    a = first.astype(matrix.dtype)
    to_first, to_second = (jnp.matmul(group, matrix, precision="highest") for group in (a, 1 - a))
    return (to_first * a).sum(-1), (to_second * (1 - a)).sum(-1), (to_first * (1 - a)).sum(-1)


def _sizes(first: Bool[Array, "*b s"]) -> tuple[Float[Array, "*b"], Float[Array, "*b"]]:
    n = first.sum(-1).astype(jnp.result_type(float))
    return n, first.shape[-1] - n


def _energy(distance: Float[Array, "s s"], first: Bool[Array, "*b s"]) -> Float[Array, "*b"]:
    within_x, within_y, between = _sums(distance, first)
    n, m = (size.astype(distance.dtype) for size in _sizes(first))
    return 2 * between / (n * m) - within_x / n**2 - within_y / m**2


def _mmd(kernel: Float[Array, "s s"], first: Bool[Array, "*b s"]) -> Float[Array, "*b"]:
    within_x, within_y, between = _sums(kernel, first)
    n, m = (size.astype(kernel.dtype) for size in _sizes(first))
    return within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * between / (n * m)
