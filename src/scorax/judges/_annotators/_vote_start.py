"""Where chains start: at the vote of the majority, for priors of any form."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import optax
from jaxtyping import Array, Float
from numpyro.infer.util import constrain_fn, potential_energy

from scorax.data import Annotations
from scorax.inference import AbstractModel, weighted_total
from scorax.judges._majority_vote import majority_vote


def vote_start(
    model: AbstractModel[Any], data: Annotations, n_levels: int, *, prior: Callable[[], Any] | None = None
) -> dict[str, Array]:
    """Values of a prior's sites that go with the vote of the majority: `sample(..., initial=vote_start(...))`.

    A sampler starts from sites, and from a model's parameters to the sites of a hierarchical or constrained prior there
    is no formula. So the density of the sites, and of labels and true levels if these were shared as the votes are, is
    climbed for 300 steps of Adam. Where the sites are the parameters themselves, a model is a start already
    (`at_majority_vote`). A start alone does not hold chains in one labelling: the prior has to. And chains that all
    start in one place say nothing of others: let one more start anywhere (`initial=None`), and compare
    `label_switching`.

    Args:
        model: Takes gold labels, as all models with hidden true levels do.
        data: Rows of labels.
        n_levels: Number of levels.
        prior: What is to be sampled; `model.prior` if None.

    Returns:
        Values by the names of the sites, in their own supports.

    Example:
        >>> ratings, names = sx.data.datasets.load_anesthesia()
        >>> model = sx.judges.DawidSkene.init(5, 4)
        >>> start = vote_start(model, ratings, 4, prior=sx.judges.HierarchicalDawidSkenePrior(model))
        >>> sorted(start)
        ['logit_offset', 'logit_spread', 'mean_logit', 'prevalence']

    Source: Dawid & Skene (1979), doi:10.2307/2346806 (the vote as a start).
    """
    model.check(data)
    share = majority_vote(data, n_levels, smoothing=1.0)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return _climb(model.prior if prior is None else prior, data, share)


@eqx.filter_jit
def _climb(prior: Callable[[], Any], data: Annotations, share: Float[Array, "n m"]) -> dict[str, Array]:
    # A gold label leaves the term of one true level.
    by_level = [
        dataclasses.replace(data, gold=jnp.full_like(data.gold, level), has_gold=jnp.ones_like(data.has_gold))
        for level in range(share.shape[1])
    ]

    def joint() -> None:
        drawn = prior()
        terms = jnp.stack([drawn.log_prob(known) for known in by_level], axis=-1)
        numpyro.factor("votes", weighted_total((share.astype(terms.dtype) * terms).sum(-1), data))

    with numpyro.handlers.block(), numpyro.handlers.seed(rng_seed=0), numpyro.handlers.trace() as trace:
        prior()
    sites = {name: site for name, site in trace.items() if site["type"] == "sample" and not site["is_observed"]}
    origin = {
        name: jnp.zeros(numpyro.distributions.biject_to(site["fn"].support).inverse_shape(site["fn"].shape()))
        for name, site in sites.items()
    }
    adam = optax.adam(0.05)

    def step(carry: Any, _: None) -> Any:
        place, state = carry
        slope = jax.grad(lambda place: potential_energy(joint, (), {}, place))(place)
        change, state = adam.update(slope, state)
        return (optax.apply_updates(place, change), state), None

    (place, _), _ = jax.lax.scan(step, (origin, adam.init(origin)), length=300)
    return constrain_fn(joint, (), {}, place)
