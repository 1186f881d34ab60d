"""Network choice: worths of nodes from how often each was entered and left, the transitions themselves unseen."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from numpyro.distributions import constraints

from scorax.data import Traffic, refuse
from scorax.inference import AbstractModel, AbstractSolver, Newton, parameter
from scorax.numerics import available_dtype, masked_logsumexp, masked_where, most_negative


def network_choice_log_prob(
    strength: Float[Array, "*b"],
    successors: Float[Array, "*b l"],
    visits_in: Float[Array, "*b"],
    visits_out: Float[Array, "*b"],
    *,
    log_edge_weight: Float[Array, "*b l"] | None = None,
    where: Bool[Array, "*b l"] | None = None,
) -> Float[Array, "*b"]:
    r"""What a node adds to the log-likelihood of the traffic on a network.

    $$\mathrm{in}_i \, \theta_i - \mathrm{out}_i \log \sum_{j \in N(i)} w_{ij} \, e^{\theta_j}$$

    Whoever leaves a node chooses among its successors in proportion to edge weight times worth. Summed over all nodes
    this is the log-probability of the transitions, up to what does not depend on the strengths; the part of one node is
    no probability by itself, and may be positive.

    Args:
        strength: Of the node, natural-log worth.
        successors: Strengths of the nodes that it leads to.
        visits_in: How many transitions ended in the node.
        visits_out: How many began there.
        log_edge_weight: Log of how much each edge is favoured; all alike if None.
        where: Which successors there are. A node without any must have no visits out.

    Returns:
        One number a node, of any sign.

    Example:
        >>> lead = jnp.array([[1.0, 0.0], [0.0, 0.0]])
        >>> network_choice_log_prob(jnp.zeros(2), lead, jnp.array([3.0, 1.0]), jnp.array([0.0, 2.0]))
        Array([ 0.       , -1.3862944], dtype=float32)

    Source: Maystre & Grossglauser (2017), "ChoiceRank: Identifying Preferences from Node Traffic in Networks",
        arXiv:1610.06525.
    """
    edge = successors if log_edge_weight is None else successors + log_edge_weight
    left = visits_out > 0
    total = masked_logsumexp(edge, where=where)
    return visits_in * strength - jnp.where(left, visits_out * jnp.where(left, total, 0), 0)


class NetworkChoice(AbstractModel[Traffic]):
    """Nodes have a strength; whoever leaves a node chooses among its successors by their strengths.

    Strengths are natural-log worths, identified up to a constant: they sum to zero. Only counts of visits are needed:
    they say all that the transitions would. The likelihood alone has no finite maximum where a node was never entered,
    and does not tell the strength of one that never has a rival: give a prior, or use `choicerank`. Rows are not
    independent observations, so `robust()` and cross-validation mean nothing here.

    Example:
        >>> triangle = [0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1]
        >>> walk = Traffic.from_edges(*triangle, visits_in=[14, 10, 6], visits_out=[10, 10, 10])
        >>> sx.inference.fit(NetworkChoice.init(3), walk).model.strength.round(3) + 0
        Array([ 0.576,  0.   , -0.576], dtype=float32)

    Source: Maystre & Grossglauser (2017), arXiv:1610.06525.
    """

    strength: Float[Array, " k"] = parameter(constraints.zero_sum(1))

    solver: ClassVar[AbstractSolver] = Newton()

    @classmethod
    def init(cls, n_nodes: int, *, dtype: Any = float) -> "NetworkChoice":
        """All strengths equal: where `fit` and `sample` start, and what gives them shapes and dtype."""
        return cls(jnp.zeros(n_nodes, available_dtype(dtype)))

    def log_prob(self, data: Traffic) -> Float[Array, " n"]:
        """What each row adds to the log-likelihood, see `network_choice_log_prob`."""
        theta = self.strength
        edge = data.log_edge_weight
        return network_choice_log_prob(
            theta[data.node],
            theta[data.successors],
            data.visits_in.astype(theta.dtype),
            data.visits_out.astype(theta.dtype),
            log_edge_weight=None if edge is None else edge.astype(theta.dtype),
            where=data.where,
        )

    def prior(self) -> "NetworkChoice":
        """Exchangeable nodes on an unknown scale, `HalfNormal(1)`."""
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        strength = numpyro.sample("strength", dist.ZeroSumNormal(scale, self.strength.shape))
        return NetworkChoice(jnp.asarray(strength))

    def simulate(self, data: Traffic, *, key: PRNGKeyArray) -> Traffic:
        """New visits in, of the same numbers of visits out. A node in several rows is entered in the first of them."""
        theta = self.strength
        favour = theta[data.successors]
        if data.log_edge_weight is not None:
            favour = favour + data.log_edge_weight.astype(theta.dtype)
        # A row without successors has nobody to send; its probabilities only have to be some.
        lowest = masked_where(data.where, favour, most_negative(theta.dtype))
        left = jnp.where(data.count > 0, data.visits_out, 0).astype(theta.dtype)
        moved = jax.random.multinomial(key, left, jax.nn.softmax(lowest, axis=-1), dtype=theta.dtype)
        arrived = jnp.zeros_like(theta).at[data.successors].add(masked_where(data.where, moved, 0.0))
        n = data.node.size
        row = jnp.arange(n, dtype=jnp.int32)
        first = jnp.full(theta.shape, n, jnp.int32).at[data.node].min(jnp.where(data.count > 0, row, n))
        entered = jnp.where(first[data.node] == row, arrived[data.node], 0)
        return dataclasses.replace(data, visits_in=entered.astype(data.visits_in.dtype))

    def check(self, data: Traffic) -> None:
        """Raise `ValueError` where the network has nodes that this model has not."""
        k = self.strength.size
        beyond = (np.asarray(data.node) >= k) | ((np.asarray(data.successors) >= k) & np.asarray(data.where)).any(1)
        refuse(
            beyond,
            f"a node id is {k} or more, but the model has {k} nodes,",
            "Make it with NetworkChoice.init(n_nodes).",
        )


class ChoiceRank(NamedTuple):
    """Worths of nodes, NaN where the iteration did not converge."""

    worth: Float[Array, " k"]
    """Mean 1: the prior sets the scale."""
    strength: Float[Array, " k"]
    """Natural-log worth, mean zero."""
    converged: Bool[Array, ""]
    steps: Int[Array, ""]


def choicerank(
    traffic: Traffic, *, alpha: float = 1.0, n_nodes: int | None = None, max_steps: int = 10_000
) -> ChoiceRank:
    r"""Worths of nodes under a gamma prior, by minorisation and maximisation: in the memory of the edges.

    $$\pi_i \leftarrow \frac{in_i + \alpha}{\alpha + \sum_{k:\, i \in N(k)} w_{ki} \, out_k / \sum_j w_{kj} \pi_j}$$

    Every step raises \(\log L + \alpha \sum_i (\theta_i - e^{\theta_i})\), with \(\theta = \log \pi\): worths have the
    prior \(\mathrm{Gamma}(\alpha, \alpha)\), read as a density of the strengths. `fit` with that prior finds the same,
    with standard errors.

    Args:
        traffic: A node a row.
        alpha: Visits in that every node has beforehand, above 0.
        n_nodes: Number of nodes; the number of rows by default.
        max_steps: When to give up.

    Returns:
        A `ChoiceRank`. Worths add up to the number of nodes.

    Raises:
        ValueError: `alpha` is not positive (for maximum likelihood: `fit`).

    Example:
        >>> import numpyro, numpyro.distributions as dist
        >>> triangle = [0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1]
        >>> walk = Traffic.from_edges(*triangle, visits_in=[14, 10, 6], visits_out=[10, 10, 10])
        >>> choicerank(walk).worth.round(2)
        Array([1.51, 0.93, 0.56], dtype=float32)
        >>> log_gamma = dist.TransformedDistribution(dist.Gamma(1.0, 1.0), dist.transforms.ExpTransform().inv)
        >>> def prior():
        ...     return NetworkChoice(numpyro.sample("strength", log_gamma.expand([3])))
        >>> jnp.exp(sx.inference.fit(NetworkChoice.init(3), walk, prior=prior).model.strength).round(2)
        Array([1.51, 0.93, 0.56], dtype=float32)

    Source: Maystre & Grossglauser (2017), arXiv:1610.06525.
    """
    if not alpha > 0:
        raise ValueError(
            f"alpha must be positive, not {alpha}; for maximum likelihood: fit(NetworkChoice.init(k), ...)"
        )
    k = traffic.node.shape[0] if n_nodes is None else n_nodes
    NetworkChoice(jnp.zeros(k)).check(traffic)
    return _choicerank(traffic, jnp.asarray(alpha, traffic.visits_in.dtype), k, max_steps)


@eqx.filter_jit
def _choicerank(traffic: Traffic, alpha: Float[Array, ""], k: int, max_steps: int) -> ChoiceRank:
    dtype = traffic.visits_in.dtype
    edge = jnp.zeros(traffic.where.shape, dtype) if traffic.log_edge_weight is None else traffic.log_edge_weight
    edge = masked_where(traffic.where, edge, most_negative(dtype))
    # Only ratios within a row matter.
    favour = masked_where(traffic.where, jnp.exp(edge - edge.max(-1, keepdims=True)), 0.0)
    left = traffic.weight * traffic.visits_out
    entered = jnp.zeros(k, dtype).at[traffic.node].add(traffic.weight * traffic.visits_in)

    def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        worth, _, steps = state
        total = (favour * worth[traffic.successors]).sum(-1)
        rate = jnp.where(left > 0, left / jnp.where(left > 0, total, 1), 0)
        pulled = jnp.zeros(k, dtype).at[traffic.successors].add(favour * rate[:, None])
        new = (entered + alpha) / (alpha + pulled)
        # Exact along the scale, where steps would be slow: there the likelihood is level and the prior is not.
        new = new * (k / new.sum())
        return new, jnp.abs(jnp.log(new / worth)).max(), steps + 1

    small = float(jnp.finfo(dtype).eps) ** (2 / 3)
    start = jnp.ones(k, dtype), jnp.asarray(jnp.inf, dtype), jnp.asarray(0, jnp.int32)
    worth, change, steps = jax.lax.while_loop(lambda at: (at[1] > small) & (at[2] < max_steps), step, start)
    converged = change <= small
    worth = jnp.where(converged, worth, jnp.nan)
    log_worth = jnp.log(worth)
    return ChoiceRank(worth, log_worth - log_worth.mean(), converged, steps)
