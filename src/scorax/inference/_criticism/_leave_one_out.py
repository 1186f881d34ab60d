"""Leave-one-out cross-validation from one posterior: each observation is taken out by importance weights."""

import hashlib
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from scorax.data import AbstractRows, PairCounts
from scorax.inference._criticism._over_draws import check_fit, over_draws
from scorax.inference._posterior import Posterior
from scorax.inference._psis import smooth_weights

# Log-probabilities (draws times rows) held at a time: some tens of megabytes with what is made of them.
_HELD = 2**21
_DRAWS = 64


class LeaveOneOut(eqx.Module):
    """How well a model predicts each observation from all others. `loo` makes it; print it, or hand it to `compare`."""

    pointwise: Float[Array, " n"]
    """Log predictive density of one observation of each row, given all others; NaN for a row of count 0."""
    kept: Float[Array, " n"]
    """The same with the observation itself among the data."""
    pareto_k: Float[Array, " n"]
    """Tail index of each row's importance weights; NaN where nothing had to be reweighted."""
    count: Float[Array, " n"]
    """Observations of each row."""
    num_draws: int = eqx.field(static=True)
    """Of all chains together."""
    fingerprint: str = eqx.field(static=True)
    """Of the rows: only values from the same rows can be compared."""

    @property
    def elpd(self) -> float:
        """Expected log predictive density of all observations: the larger, the better the model predicts."""
        return self._sum(self.pointwise)

    @property
    def std_error(self) -> float:
        """Standard error of `elpd`, over observations like these; too small where they are fewer than a hundred."""
        return deviation_of_sum(np.asarray(self.pointwise, np.float64), np.asarray(self.count, np.float64))

    @property
    def p_loo(self) -> float:
        """How much better observations are predicted that the model has seen: the effective number of parameters."""
        return self._sum(self.kept) - self._sum(self.pointwise)

    @property
    def k_threshold(self) -> float:
        """Pareto k above which a value cannot be trusted: 0.7, and less for fewer than 2200 draws."""
        return min(1 - 1 / math.log10(max(self.num_draws, 2)), 0.7)

    @property
    def bad(self) -> Bool[np.ndarray, " n"]:
        """Rows whose value cannot be trusted."""
        return (np.asarray(self.count) > 0) & (np.asarray(self.pareto_k) > self.k_threshold)

    @property
    def num_bad(self) -> int:
        """Observations whose value cannot be trusted."""
        return round(float(np.asarray(self.count, np.float64)[self.bad].sum()))

    def _sum(self, values: Array) -> float:
        return total(np.asarray(values, np.float64), np.asarray(self.count, np.float64))

    def __str__(self) -> str:
        """The estimate, its error, and whether it can be trusted."""
        observations = float(np.asarray(self.count, np.float64).sum())
        lines = [
            f"elpd {self.elpd:.1f} (standard error {self.std_error:.1f}), p_loo {self.p_loo:.1f}, "
            f"{observations:g} observations"
        ]
        if self.num_bad:
            worst = int(np.argmax(np.where(self.bad, np.asarray(self.pareto_k), -np.inf)))
            lines.append(
                f"{self.num_bad} of them have a Pareto k above {self.k_threshold:.2f} (worst: row {worst}, "
                f"{float(self.pareto_k[worst]):.2f}), and elpd cannot be trusted: they pull the posterior too far to "
                "be taken out by weights. Look at them, use a likelihood with heavier tails, or refit without them."
            )
        return "\n".join(lines)


def loo(posterior: Posterior[Any], data: Any, *, relative_efficiency: float = 1.0) -> LeaveOneOut:
    """Pareto-smoothed leave-one-out cross-validation: no refit, one pass over draws and rows.

    A row of several equal observations loses one of them and counts as many times, so aggregated and raw data give the
    same numbers; aggregate first where rows repeat. An observation is taken out with the weight it was given
    (`weight / count` of its row) and predicted with weight one. Rows are taken a batch at a time, so memory does not
    grow with them.

    Compare models only where both give probabilities to the same outcomes. `BradleyTerry` gives a tie half the
    log-probability of a win and half that of a loss, which is no probability of a tie: `Davidson` gives one.

    Args:
        posterior: The draws, from these data.
        data: What the model was fitted to. Values of a table of pairs are those of `data.rows()`.
        relative_efficiency: Effective draws per draw, in (0, 1] for most samplers: fewer make a longer tail. (ArviZ
            takes the mean ESS over the number of draws.)

    Raises:
        ValueError: The data do not fit the model, or `relative_efficiency` is not positive.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0, 0, 1, 0], [1, 1, 0, 1], [1.0, 1.0, 1.0, 0.5])
        >>> model = sx.choice.BradleyTerry.init(2)
        >>> posterior = sx.inference.sample(model, battles, key=jax.random.key(0), method="laplace", progress=False)
        >>> result = loo(posterior, battles)
        >>> result.pointwise.shape, result.num_bad
        ((4,), 0)

    Source: Vehtari, Gelman & Gabry (2017), arXiv:1507.04544; Vehtari, Simpson, Gelman, Yao & Gabry (2024),
        arXiv:1507.02646.
    """
    check_fit(posterior, data)
    rows = data.rows() if isinstance(data, PairCounts) else data
    draws = posterior.num_chains * posterior.num_draws
    block = max(1, min(_HELD // draws, rows.weight.shape[0]))
    values = _by_row(posterior, rows, block, float(relative_efficiency))
    return LeaveOneOut(*values, rows.count, draws, _fingerprint(rows))


@eqx.filter_jit
def _by_row(
    posterior: Posterior[Any], data: AbstractRows, block: int, relative_efficiency: float
) -> tuple[Float[Array, " n"], Float[Array, " n"], Float[Array, " n"]]:
    """`pointwise`, `kept` and `pareto_k` of every row."""
    n = data.weight.shape[0]

    def some_rows(first: Array) -> tuple[Array, Array, Array]:
        # The last block repeats the last row.
        some = data.take(jnp.minimum(first + jnp.arange(block), n - 1))
        log_prob = over_draws(lambda model: model.log_prob(some), posterior, batch_size=_DRAWS)
        held = some.count > 0
        each = jnp.where(held, some.weight / jnp.where(held, some.count, 1), 0).astype(log_prob.dtype)
        values = jax.vmap(lambda x, w: _without_one(x, w, relative_efficiency), in_axes=(1, 0))(log_prob, each)
        return jax.tree.map(lambda x: jnp.where(held, x, jnp.nan), values)

    blocks = jax.lax.map(some_rows, jnp.arange(0, n, block))
    return jax.tree.map(lambda x: x.reshape(-1)[:n], blocks)


def _without_one(
    log_prob: Float[Array, " s"], weight: Float[Array, ""], relative_efficiency: float
) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
    ratio = jnp.where(weight == 0, 0, -weight * jnp.where(weight == 0, 0, log_prob))
    smoothed = smooth_weights(ratio, relative_efficiency=relative_efficiency)
    left_out = jax.nn.logsumexp(smoothed.log_weight + log_prob)
    kept = jax.nn.logsumexp(log_prob) - math.log(log_prob.shape[0])
    # Where every draw gives the observation one probability, no weight changes and there is no tail to fit.
    same = jnp.max(ratio) == jnp.min(ratio)
    return left_out, kept, jnp.where(same, jnp.nan, smoothed.pareto_k)


def total(values: Float[np.ndarray, " n"], count: Float[np.ndarray, " n"]) -> float:
    """Sum over observations; rows of count 0 have none."""
    return float((count[count > 0] * values[count > 0]).sum())


def deviation_of_sum(values: Float[np.ndarray, " n"], count: Float[np.ndarray, " n"]) -> float:
    """Standard error of the sum over observations, were they drawn anew."""
    mean = total(values, count) / count.sum()
    with np.errstate(invalid="ignore"):  # Infinite values have no deviation: NaN.
        return math.sqrt(total((values - mean) ** 2, count))


def _fingerprint(data: Any) -> str:
    digest = hashlib.sha256(type(data).__qualname__.encode())
    for path, leaf in jax.tree_util.tree_flatten_with_path(data)[0]:
        column = np.ascontiguousarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {column.dtype} {column.shape}".encode())
        digest.update(column.tobytes())
    return digest.hexdigest()
