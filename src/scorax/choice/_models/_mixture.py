"""Groups of rankers with strengths of their own: a mixture of Plackett-Luce models."""

from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.distributions import constraints

from scorax.choice._models._plackett_luce import PlackettLuce
from scorax.choice._models._ranking_derivatives import ranking_derivatives
from scorax.choice._models._rankings import check_rankings, refuse_ties
from scorax.data import Rankings
from scorax.inference import AbstractModel, Fit, fit, iid_prior, log_likelihood, parameter
from scorax.numerics import available_dtype, solve_laplacian

Model = TypeVar("Model")


class PlackettLuceMixture(AbstractModel[Rankings]):
    r"""Every ranking comes from one of several groups, each a Plackett-Luce model: \(\log \sum_g w_g\, p_g\).

    Groups have no names: any order of them is the same model, so chains may differ in it. Two groups are identified
    from rankings of four items or more.

    Attributes:
        weight: Share of each group; they sum to one.
        strength: Natural-log worth of each item in each group, summing to zero over items.

    Example:
        >>> votes = sx.data.Rankings.from_orders(6 * [[0, 1, 2, 3]] + 6 * [[3, 2, 1, 0]] + [[0, 2, 1, 3], [3, 1, 0, 2]])
        >>> result = sx.choice.fit_plackett_luce_mixture(votes, 4, 2, key=jax.random.key(0), prior_precision=0.5)
        >>> result.model.weight.round(1)
        Array([0.5, 0.5], dtype=float32)

    Source: Gormley & Murphy (2008), doi:10.1214/08-AOAS178; Zhao, Piech & Xia (2016), arXiv:1603.07323
    (identifiability).
    """

    weight: Float[Array, " g"] = parameter(constraints.simplex)
    strength: Float[Array, "g k"] = parameter(constraints.zero_sum(1))

    @classmethod
    def init(cls, n_items: int, n_groups: int, *, key: PRNGKeyArray, dtype: Any = float) -> "PlackettLuceMixture":
        """Groups of equal size with random strengths: equal ones would stay equal."""
        dtype = available_dtype(dtype)
        strength = jax.random.normal(key, (n_groups, n_items), dtype)
        return cls(jnp.full(n_groups, 1 / n_groups, dtype), strength - strength.mean(1, keepdims=True))

    def log_joint(self, data: Rankings) -> Float[Array, "n g"]:
        """Log-probability of each ranking together with each group; its softmax says who a ranking's ranker was."""
        of_groups = jax.vmap(lambda strength: PlackettLuce(strength).log_prob(data), out_axes=1)(self.strength)
        return of_groups + jnp.log(self.weight)[None, :]

    def log_prob(self, data: Rankings) -> Float[Array, " n"]:
        """Log-probability of one observation of each ranking."""
        return jax.nn.logsumexp(self.log_joint(data), axis=1)

    def prior(self) -> "PlackettLuceMixture":
        """All shares alike, `Dirichlet(1)`; exchangeable items and groups on one unknown scale, `HalfNormal(1)`."""
        weight = numpyro.sample("weight", dist.Dirichlet(jnp.ones(self.weight.shape, self.weight.dtype)))
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        groups, items = self.strength.shape
        strength = numpyro.sample("strength", dist.ZeroSumNormal(scale, (items,)).expand((groups,)).to_event(1))
        return PlackettLuceMixture(jnp.asarray(weight), jnp.asarray(strength))

    def simulate(self, data: Rankings, *, key: PRNGKeyArray) -> Rankings:
        """New rankings of the same sets of items, each by a group drawn anew."""
        of_group, of_ranking = jax.random.split(key)
        drawn = jax.vmap(lambda strength: PlackettLuce(strength).simulate(data, key=of_ranking))(self.strength)
        group = jax.random.categorical(of_group, jnp.log(self.weight), shape=data.weight.shape)
        return jax.tree.map(lambda x: x[group, jnp.arange(group.size)], drawn)

    def check(self, data: Rankings) -> None:
        """Raise `ValueError` where rankings hold items that this model has not, or ties."""
        check_rankings(self, data)
        refuse_ties(self, data)


def fit_plackett_luce_mixture(
    data: Rankings,
    n_items: int,
    n_groups: int,
    *,
    key: PRNGKeyArray,
    n_starts: int = 10,
    prior_precision: float = 0.0,
    max_steps: int = 500,
    dtype: Any = float,
) -> Fit[PlackettLuceMixture]:
    """The best mixture of several starts: by the EM algorithm, then to machine precision by `fit`.

    Groups come out from largest to smallest.

    Args:
        data: Rankings of items, complete or not.
        n_items: Number of items, `k`.
        n_groups: Number of groups, `g`.
        key: For the starts.
        n_starts: Likelihoods of mixtures have several modes; more starts find better ones.
        prior_precision: Of a normal prior of every strength, `0.5 * precision * strength^2`. A small group easily
            has items that lost nothing, and no finite maximum without a prior.
        max_steps: Of EM, from each start.
        dtype: Of the parameters.

    Raises:
        ValueError: as `fit`, for example where a group's strengths run to infinity.

    Example:
        >>> votes = sx.data.Rankings.from_orders(5 * [[0, 1, 2, 3]] + 3 * [[3, 2, 1, 0]] + [[0, 2, 1, 3], [3, 1, 0, 2]])
        >>> fit_plackett_luce_mixture(votes, 4, 2, key=jax.random.key(0), prior_precision=0.5).model.weight.round(1)
        Array([0.6, 0.4], dtype=float32)

    Source: Gormley & Murphy (2008), doi:10.1214/08-AOAS178.
    """
    if n_groups < 1 or n_starts < 1:
        raise ValueError(f"n_groups and n_starts must be 1 or more, not {n_groups} and {n_starts}")
    if not prior_precision >= 0:
        raise ValueError(f"prior_precision must be at least 0, not {prior_precision}")
    starts = [PlackettLuceMixture.init(n_items, n_groups, key=k, dtype=dtype) for k in jax.random.split(key, n_starts)]
    starts[0].check(data)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts)
    best = _best_of(stacked, data, jnp.asarray(prior_precision, starts[0].weight.dtype), max_steps)
    prior = None
    if prior_precision > 0:
        flat_shares = dist.Dirichlet(jnp.ones(n_groups, best.weight.dtype))
        prior = iid_prior(best, {"weight": flat_shares, "strength": dist.Normal(0.0, prior_precision**-0.5)})
    return fit(best, data, prior=prior)


@eqx.filter_jit
def _best_of(
    starts: PlackettLuceMixture, data: Rankings, precision: Float[Array, ""], max_steps: int
) -> PlackettLuceMixture:
    ends, values = jax.vmap(lambda model: _expectation_maximisation(model, data, precision, max_steps))(starts)
    best = jax.tree.map(lambda leaf: leaf[jnp.argmax(values)], ends)
    by_size = jnp.argsort(-best.weight)
    return PlackettLuceMixture(best.weight[by_size], best.strength[by_size])


def _expectation_maximisation(
    model: PlackettLuceMixture, data: Rankings, precision: Float[Array, ""], max_steps: int
) -> tuple[PlackettLuceMixture, Float[Array, ""]]:
    """EM steps until the objective gains nothing that counts, and the objective there."""
    total = data.weight.sum().astype(model.weight.dtype)

    def objective(model: PlackettLuceMixture) -> Float[Array, ""]:
        return log_likelihood(model, data) - 0.5 * precision * (model.strength**2).sum()

    def step(state: tuple[Any, ...]) -> tuple[Any, ...]:
        steps, model, value, _ = state
        share = jax.nn.softmax(model.log_joint(data), axis=1) * data.weight.astype(total.dtype)[:, None]
        strength = jax.vmap(lambda own, weight: _maximised(own, data.reweight(weight), precision))(
            model.strength, share.T
        )
        model = PlackettLuceMixture(share.sum(0) / total, strength)
        new = objective(model)
        return steps + 1, model, new, new - value

    def going(state: tuple[Any, ...]) -> Array:
        steps, _, _, gain = state
        return (steps < max_steps) & (gain > 1e-6 * total)

    infinite = jnp.full((), jnp.inf, total.dtype)
    _, model, value, _ = jax.lax.while_loop(going, step, (jnp.asarray(0), model, objective(model), infinite))
    return model, value


def _maximised(strength: Float[Array, " k"], data: Rankings, precision: Float[Array, ""]) -> Float[Array, " k"]:
    """A Newton step for one group's strengths, halved until it gains: enough for EM to climb."""
    model = PlackettLuce(strength)
    at = ranking_derivatives(model, data)(model)
    slope = at.gradient - precision * strength
    # Items without weight in this group stay where they are: the ridge is nothing beside any other information.
    ridge = precision + 1e-6 * jnp.abs(jnp.diagonal(at.hessian)).max()
    step = solve_laplacian(-at.hessian + ridge * jnp.eye(strength.size, dtype=strength.dtype), slope)
    step = step * jnp.minimum(1, 3 / jnp.maximum(jnp.abs(step).max(), 3))
    lengths = jnp.asarray([1.0, 0.5, 0.25, 0.125, 0.0], strength.dtype)

    def value(length: Float[Array, ""]) -> Float[Array, ""]:
        moved = strength + length * step
        return log_likelihood(PlackettLuce(moved), data) - 0.5 * precision * (moved**2).sum()

    return strength + lengths[jnp.argmax(jax.vmap(value)(lengths))] * step
