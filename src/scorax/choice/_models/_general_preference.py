"""General preference: scores of pairs from an embedding of each item, so that preferences may run in circles."""

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, PRNGKeyArray

from scorax.choice._models._bradley_terry import bradley_terry_log_prob
from scorax.choice._models._orbit_newton import OrbitNewton, half_wins, weighted_log_sigmoid
from scorax.choice._models._pairs import draw_outcomes
from scorax.choice._models._skew_symmetric import refuse_blocks, rotate
from scorax.data import Comparisons, PairCounts, refuse
from scorax.inference import AbstractModel, AbstractSolver, weighted_total
from scorax.numerics import available_dtype


def general_preference_score(
    first: Float[Array, "*b e"], second: Float[Array, "*b e"], gate: Float[Array, "*b h"] | None = None
) -> Float[Array, "*b"]:
    r"""Score of one item against another (larger favours the first), from their embeddings.

    $$s(v, w) = \sum_{l=1}^{h} \lambda_l \, (v_{2l-1} w_{2l} - v_{2l} w_{2l-1})$$

    Swapping the two changes the sign. An embedding `(r, 1)` is a strength `r`: the score is a difference of strengths.

    Args:
        first: Embeddings of `2h` numbers: `h` blocks of two.
        second: The embeddings to compare with.
        gate: A factor for each block, \(\lambda\); one by default. A prompt may set it.

    Returns:
        Any real number; in units of the temperature, log-odds.

    Raises:
        ValueError: The embeddings have an odd number of entries, or the gate is not one number a block.

    Example:
        >>> angle = 2 * jnp.pi * jnp.arange(3) / 3  # rock, paper, scissors
        >>> hand = jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)
        >>> general_preference_score(hand, jnp.roll(hand, -1, axis=0)).round(3)
        Array([0.866, 0.866, 0.866], dtype=float32)

    Source: Zhang, Zhang, Wu, Xu & Gu (2025), arXiv:2410.02197. With two blades and two chests in place of one embedding
        it is the blade-chest-inner model of Chen & Joachims (2016), doi:10.1145/2835776.2835787: the same form.
    """
    width = first.shape[-1]
    if width % 2:
        raise ValueError(f"an embedding has two numbers a block, an even number; not {width}")
    block = first[..., 0::2] * second[..., 1::2] - first[..., 1::2] * second[..., 0::2]
    if gate is None:
        return block.sum(-1)
    if gate.shape[-1] != width // 2:
        raise ValueError(f"gate has {gate.shape[-1]} factors for {width // 2} blocks")
    return (gate * block).sum(-1)


def general_preference_log_prob(
    first: Float[Array, "*b e"],
    second: Float[Array, "*b e"],
    outcome: Float[Array, "*b"] | None = None,
    *,
    temperature: float | Float[Array, ""] = 1.0,
    gate: Float[Array, "*b h"] | None = None,
) -> Float[Array, "*b"]:
    r"""Log-probability of the outcome of a comparison under the general preference model.

    $$\log p = y \log \sigma(s/\tau) + (1 - y) \log \sigma(-s/\tau)$$

    Args:
        first: Embeddings of the first items.
        second: Embeddings of the second items.
        outcome: 1 if the first won, 0 if the second did, 0.5 for a tie that counts as half a win each, or any soft
            label. None: the first won.
        temperature: \(\tau > 0\), units of score per unit of log-odds.
        gate: See `general_preference_score`.

    Returns:
        Natural-log probability, at most 0.

    Raises:
        ValueError: As `general_preference_score`.

    Example:
        >>> general_preference_log_prob(jnp.array([2.0, 1.0]), jnp.array([0.0, 1.0]))  # log sigmoid(2 - 0)
        Array(-0.126928, dtype=float32)

    Source: Zhang, Zhang, Wu, Xu & Gu (2025), arXiv:2410.02197.
    """
    score = general_preference_score(first, second, gate)
    log_odds = score / jnp.asarray(temperature, score.dtype)
    return bradley_terry_log_prob(log_odds, jnp.ones_like(log_odds) if outcome is None else outcome)


class GeneralPreference(AbstractModel[Comparisons | PairCounts]):
    """Items have an embedding; the log-odds of a comparison are a skew-symmetric form of two of them.

    Any probabilities of pairs can be had with enough blocks, cycles among them; one block holds Bradley-Terry. A tie is
    half a win for each side.

    Only scores are identified: a symplectic map of all embeddings (a rotation within a block, for one) changes none.
    `fit` moves and measures across the orbits of these maps. So `result.map(lambda model: model.score_matrix())` and
    whatever else depends on scores has right standard errors, those of the embeddings themselves mean nothing. A prior
    on the embeddings should treat all their coordinates alike, as `prior` does.

    The likelihood may have several local maxima where fewer than `k // 2` blocks are used. `fit` starts at the spectral
    approximation of the observed log-odds, or at the given model where that is more likely.

    Attributes:
        embedding: `2 * n_blocks` numbers an item.
        temperature: Units of score per unit of log-odds. It sets the scale of the embeddings, and nothing else.

    Example:
        >>> circle = sx.data.PairCounts.from_arrays([[0, 90, 10], [10, 0, 90], [90, 10, 0]])
        >>> start = GeneralPreference.init(3, 1, key=jax.random.key(0))
        >>> sx.inference.fit(start, circle).model.score_matrix()[0].round(3)  # log 9
        Array([ 0.   ,  2.197, -2.197], dtype=float32)

    Source: Zhang, Zhang, Wu, Xu & Gu (2025), arXiv:2410.02197.
    """

    embedding: Float[Array, "k e"]
    temperature: float = eqx.field(static=True, default=1.0)

    solver: ClassVar[AbstractSolver] = OrbitNewton()

    @classmethod
    def init(
        cls, n_items: int, n_blocks: int, *, temperature: float = 1.0, key: PRNGKeyArray, dtype: Any = float
    ) -> "GeneralPreference":
        """Small random embeddings: where `fit` and `sample` start. All zero would be a saddle of the likelihood.

        Args:
            n_items: Number of items, `k`.
            n_blocks: Blocks of two numbers in an embedding, from 1 to `k // 2`, which can represent anything.
            temperature: See the class.
            key: For the start.
            dtype: Of the embeddings.

        Raises:
            ValueError: `n_blocks` is out of range, or the temperature is not positive.
        """
        refuse_blocks(n_items, n_blocks)
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, not {temperature}")
        away = jax.random.normal(key, (n_items, 2 * n_blocks), available_dtype(dtype))
        return cls(0.1 * temperature**0.5 * away, float(temperature))

    @property
    def n_blocks(self) -> int:
        """Blocks of two numbers in an embedding, `h`."""
        return self.embedding.shape[1] // 2

    @property
    def n_free(self) -> int:
        """Numbers that the scores can vary by: `2hk - h(2h + 1)`. For tests against models within this one."""
        k, h = self.embedding.shape[0], self.n_blocks
        return 2 * h * k - h * (2 * h + 1)

    def score_matrix(self) -> Float[Array, "k k"]:
        """Score of the row's item against the column's: skew-symmetric, of rank `2 * n_blocks`."""
        product = self.embedding @ rotate(self.embedding).T
        return (product - product.T) / 2

    def log_odds(self, data: Comparisons | PairCounts) -> Float[Array, "..."]:
        """Log-odds of `a` over `b` for every row, in the shape of `data.weight`."""
        if isinstance(data, PairCounts):
            return jnp.broadcast_to(self.score_matrix()[None] / self.temperature, data.weight.shape)
        return general_preference_score(self.embedding[data.a], self.embedding[data.b]) / self.temperature

    def log_prob(self, data: Comparisons | PairCounts) -> Float[Array, "..."]:
        """Log-probability of one observation of each row."""
        log_odds = self.log_odds(data)
        return bradley_terry_log_prob(log_odds, data.outcome.astype(log_odds.dtype))

    def total_log_prob(self, data: Comparisons | PairCounts) -> Float[Array, ""]:
        """Of a table, by one sigmoid an ordered pair."""
        if isinstance(data, PairCounts):
            score = self.score_matrix()
            return weighted_log_sigmoid(half_wins(data).astype(score.dtype), score / self.temperature)
        return weighted_total(self.log_prob(data), data)

    def prior(self) -> "GeneralPreference":
        """Independent normal embeddings on an unknown scale, `HalfNormal(sqrt(temperature))`."""
        scale = numpyro.sample("scale", dist.HalfNormal(self.temperature**0.5))
        unit = dist.Normal(0.0, scale).expand(self.embedding.shape)
        return GeneralPreference(jnp.asarray(numpyro.sample("embedding", unit)), self.temperature)

    def simulate(self, data: Comparisons | PairCounts, *, key: PRNGKeyArray) -> Comparisons:
        """New outcomes of the same comparisons, one observation a row (see `data.expand()`).

        Raises:
            ValueError: `data` is a table: outcomes are drawn for rows.
        """
        log_odds = self.log_odds(data)
        each = jnp.stack([jax.nn.log_sigmoid(-log_odds), jax.nn.log_sigmoid(log_odds)], axis=-1)
        return draw_outcomes(each, (0.0, 1.0), data, key)

    def check(self, data: Comparisons | PairCounts) -> None:
        """Raise `ValueError` where ids or a table do not fit the number of items."""
        k = self.embedding.shape[0]
        if isinstance(data, PairCounts):
            if data.weight.shape[-1] != k:
                raise ValueError(f"the table is of {data.weight.shape[-1]} items, the model of {k}")
            return
        refuse(
            (np.asarray(data.a) >= k) | (np.asarray(data.b) >= k),
            f"an item id is {k} or more, but the model has {k} items,",
            "Make it with GeneralPreference.init(n_items, n_blocks, key=key).",
        )

    def condense(self, data: Comparisons | PairCounts) -> PairCounts:
        """The dense table of pair counts, which says everything."""
        if isinstance(data, PairCounts):
            return data
        return dataclasses.replace(data, order=None, features=None).table(self.embedding.shape[0])
