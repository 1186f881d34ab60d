"""Score matching of discrete data: ratios of probabilities take the place of derivatives."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num, PRNGKeyArray, Shaped

from scorax.numerics import row_keys, spread_mask

LogProb = Callable[[Shaped[Array, "*event"]], Float[Array, ""]]
Neighbours = Callable[[Int[Array, "*event"]], Int[Array, "k *event"]]
ReverseNeighbours = Callable[[Int[Array, "*event"]], tuple[Int[Array, "m *event"], Int[Array, " m"], Bool[Array, " m"]]]


def ratio_matching_loss(
    log_prob: LogProb,
    x: Shaped[Array, "n *event"],
    *,
    n_coordinates: int | None = None,
    key: PRNGKeyArray | None = None,
    where: Bool[Array, "..."] | None = None,
    offset: int | Int[Array, ""] = 0,
) -> Float[Array, " n"]:
    r"""Ratio matching of binary data, `sum_i sigmoid(log p(x with entry i flipped) - log p(x))²`.

    Its expectation exceeds that of the true distribution by the expected squared error of the conditional
    probabilities of each entry given the others, so no normalising constant is needed. It costs `d + 1` evaluations.

    Args:
        log_prob: Log-probability of one sample, natural log, up to a constant.
        x: Samples of zeros and ones, of any dtype.
        n_coordinates: How many entries to flip, drawn without replacement; the sum is scaled so that the loss is
            unbiased. None: all.
        key: Random key, for `n_coordinates`. Row `i` draws with `fold_in(key, offset + i)`.
        where: Entries that take part, of the shape of `x` or one that broadcasts to it. The others are read as zeros,
            and never flipped.
        offset: Place of the first row in the whole batch, so that chunks draw what the whole would.

    Returns:
        One loss for each example, in `[0, d]`.

    Raises:
        ValueError: There are no rows, the log-probability is not one number, or `n_coordinates` is out of range or
            comes without a key.

    Example:
        >>> ratio_matching_loss(lambda x: x.sum(), jnp.array([[1.0, 0.0]]))  # sigmoid(-1)² + sigmoid(1)²
        Array([0.6067761], dtype=float32)

    Source: Hyvärinen (2007), doi:10.1016/j.csda.2006.09.003; Dauphin and Bengio (2013), "Stochastic ratio matching of
    RBMs for sparse high-dimensional inputs".
    """
    where = spread_mask(where, x)
    rows, size = len(x), x[0].size
    x = x if where is None else jnp.where(where, x, jnp.zeros_like(x))
    count = size if n_coordinates is None else n_coordinates
    if not 1 <= count <= size:
        raise ValueError(f"n_coordinates must be from 1 to the {size} entries of a sample, not {count}.")
    if n_coordinates is None:
        entries = jnp.broadcast_to(jnp.arange(size), (rows, size))
    elif key is None:
        raise ValueError("n_coordinates draws the entries to flip: pass key=, or leave it out to flip all.")
    else:
        keys = row_keys(key, rows, offset)
        entries = jax.vmap(lambda key: jax.random.permutation(key, size)[:count])(keys)

    # One batch of flipped samples, so that the model's matrix products stay two-dimensional.
    chosen = entries[:, :, None] == jnp.arange(size)[None, None]
    flat = x.reshape(rows, 1, size)
    flipped = jnp.where(chosen, 1 - flat if x.dtype != bool else ~flat, flat).reshape(rows * count, *x.shape[1:])
    here = _log_probs(log_prob, x)
    there = _log_probs(log_prob, flipped).reshape(rows, count)
    terms = jax.nn.sigmoid(there - here[:, None]) ** 2
    if where is not None:
        terms = jnp.where(jnp.take_along_axis(where.reshape(rows, size), entries, axis=1), terms, 0.0)
    return terms.sum(1) * (size / count)


def _log_probs(log_prob: LogProb, x: Shaped[Array, "n *event"]) -> Float[Array, " n"]:
    values = jax.vmap(log_prob)(x)
    if values.ndim != 1:
        raise ValueError(
            f"the log-probability of a sample of shape {x.shape[1:]} has shape {values.shape[1:]}. It takes one "
            "sample, without a batch axis, and returns one number."
        )
    return values


def concrete_score_matching_loss(
    concrete_score: Callable[[Shaped[Array, "*event"]], Float[Array, " k"]],
    x: Num[Array, "n *event"],
    neighbours: Neighbours,
    reverse_neighbours: ReverseNeighbours,
) -> Float[Array, " n"]:
    r"""Concrete score matching, for the rates of change `c(x)_k = p(neighbour k of x) / p(x) - 1` on a graph.

    $$\sum_k [c(x)_k^2 + 2 c(x)_k] - 2 \sum_{y:\ x \in N(y)} c(y)_{\to x}$$

    Its expectation is that of the squared error of the concrete score, less a constant, on any graph, directed or not.

    Args:
        concrete_score: The concrete score to fit, on one sample: one number, at least -1, for each neighbour.
        x: Samples, of the dtype that the graph takes.
        neighbours: The neighbours of a sample, `(k, *event)`, as of `hamming_graph` or `ring_graph`.
        reverse_neighbours: The samples that have this one as a neighbour `(m, *event)`, its place among their
            neighbours `(m,)`, and which of these rows take part `(m,)`. The others hold any valid sample and place.

    Returns:
        One loss for each example, any real number.

    Raises:
        ValueError: There are no rows, or the concrete score does not have one number for each neighbour.

    Example:
        >>> uniform = lambda x: jnp.zeros(2)  # all states alike
        >>> concrete_score_matching_loss(uniform, jnp.array([0, 1, 1]), *sx.score_matching.ring_graph(5))
        Array([0., 0., 0.], dtype=float32)

    Source: Meng, Choi, Song and Ermon (2022), arXiv:2211.00802.
    """
    spread_mask(None, x)
    count = jax.eval_shape(neighbours, x[0]).shape[0]
    here = jax.vmap(concrete_score)(x)
    if here.shape != (len(x), count):
        raise ValueError(
            f"the concrete score of a sample has shape {here.shape[1:]}, but it has {count} neighbours: it must be a "
            f"vector of {count} numbers."
        )
    sources, slots, where = jax.vmap(reverse_neighbours)(x)
    rows = jax.vmap(concrete_score)(sources.reshape(-1, *x.shape[1:])).reshape(*slots.shape, count)
    arriving = jnp.take_along_axis(rows, slots[:, :, None], axis=2)[:, :, 0]
    return (here**2 + 2 * here).sum(1) - 2 * jnp.where(where, arriving, 0.0).sum(1)


def hamming_graph(n_states: int) -> tuple[Neighbours, ReverseNeighbours]:
    """Samples that differ in one entry: `(n_states - 1) * d` neighbours, entry by entry.

    Place `i * (n_states - 1) + r - 1` holds the sample whose entry i, in row-major order, is `r` states further,
    modulo their number.

    Args:
        n_states: Number of states of an entry, 0 to `n_states - 1`. At least 2.

    Returns:
        `neighbours` and `reverse_neighbours` for `concrete_score_matching_loss`.

    Raises:
        ValueError: `n_states` is less than 2.

    Example:
        >>> neighbours, _ = hamming_graph(2)
        >>> neighbours(jnp.array([0, 1]))
        Array([[1, 1],
               [0, 0]], dtype=int32)
    """
    if n_states < 2:
        raise ValueError(f"n_states must be at least 2, not {n_states}.")
    return _shift_graph(n_states, tuple(range(1, n_states)))


def ring_graph(n_states: int, *, directed: bool = False) -> tuple[Neighbours, ReverseNeighbours]:
    """Samples that differ by one step in one entry, whose states lie on a ring: `2 d` neighbours, or `d`.

    Places `2 i` and `2 i + 1` hold the step up and the step down of entry i, in row-major order; place `i` the step up
    in a directed graph.

    Args:
        n_states: Number of states of an entry, 0 to `n_states - 1`. At least 3, or 2 in a directed graph.
        directed: Whether only steps up are edges.

    Returns:
        `neighbours` and `reverse_neighbours` for `concrete_score_matching_loss`.

    Raises:
        ValueError: There are too few states.

    Example:
        >>> neighbours, _ = ring_graph(5)
        >>> neighbours(jnp.array(0))
        Array([1, 4], dtype=int32)
    """
    least = 2 if directed else 3
    if n_states < least:
        raise ValueError(f"n_states must be at least {least}, not {n_states}.")
    return _shift_graph(n_states, (1,) if directed else (1, -1))


def _shift_graph(n_states: int, steps: tuple[int, ...]) -> tuple[Neighbours, ReverseNeighbours]:
    """Each entry in turn is moved by each of the steps."""

    def moved(x: Int[Array, "*event"], sign: int) -> Int[Array, "k *event"]:
        entries = jnp.eye(x.size, dtype=x.dtype)[:, None]
        change = sign * entries * jnp.asarray(steps, x.dtype)[None, :, None]
        return ((x.reshape(1, 1, -1) + change) % n_states).reshape(-1, *x.shape)

    def neighbours(x: Int[Array, "*event"]) -> Int[Array, "k *event"]:
        return moved(x, 1)

    def reverse_neighbours(
        x: Int[Array, "*event"],
    ) -> tuple[Int[Array, "k *event"], Int[Array, " k"], Bool[Array, " k"]]:
        sources = moved(x, -1)
        return sources, jnp.arange(len(sources)), jnp.ones(len(sources), bool)

    return neighbours, reverse_neighbours


def score_entropy_loss(
    log_score: Float[Array, "*b k"],
    ratio: Float[Array, "*b k"],
    *,
    weight: Float[Array, "*b k"] | None = None,
    where: Bool[Array, "*b k"] | None = None,
) -> Float[Array, "*b"]:
    r"""Score entropy, `sum_y w_y [s_y - r_y log s_y + r_y (log r_y - 1)]`, between positive scores and ratios.

    It is a Bregman divergence: zero at `s = r`, positive elsewhere. Its minimum in expectation is the mean of the
    ratio, so with ratios of the conditional noise it fits those of the marginal (denoising score entropy).

    Args:
        log_score: Natural log of the score of each other state y: of `p(y) / p(x)`.
        ratio: The ratio to fit, zero or positive.
        weight: The rate of each transition, zero or positive. None: 1.
        where: States that take part, which leaves out x itself. The others may hold anything.

    Returns:
        One loss for each example, in [0, inf).

    Example:
        >>> score_entropy_loss(jnp.log(jnp.array([2.0, 3.0])), jnp.array([2.0, 0.0]))
        Array(3., dtype=float32)

    Source: Lou, Meng and Ermon (2024), arXiv:2310.16834.
    """
    if where is not None:
        log_score, ratio = jnp.where(where, log_score, 0.0), jnp.where(where, ratio, 1.0)
    positive = ratio > 0
    excess = log_score - jnp.log(jnp.where(positive, ratio, 1.0))  # log(s / r)
    # Near s = r the difference of nearly equal terms is r (exp(u) - 1 - u); far away that would overflow first.
    near = ratio * (jnp.expm1(jnp.minimum(excess, 1.0)) - excess)
    far = jnp.exp(log_score) - ratio - ratio * excess
    terms = jnp.where(positive, jnp.where(excess < 1, near, far), jnp.exp(log_score))
    if weight is not None:
        terms = (weight if where is None else jnp.where(where, weight, 0.0)) * terms
    return (terms if where is None else jnp.where(where, terms, 0.0)).sum(-1)
