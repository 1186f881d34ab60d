"""Variational inference: the Gaussian nearest to the posterior, by stochastic gradients of the evidence bound.

Source: Kucukelbir, Tran, Ranganath, Gelman & Blei (2017), arXiv:1603.00788.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray
from numpyro.distributions import constraints
from numpyro.infer import SVI, Trace_ELBO, init_to_value
from numpyro.infer.autoguide import (
    AutoContinuous,
    AutoDiagonalNormal,
    AutoLowRankMultivariateNormal,
    AutoMultivariateNormal,
)
from numpyro.optim import optax_to_numpyro

from scorax.inference._draws import Chains, Layout, Record, record_of
from scorax.inference._engine import engine
from scorax.inference._independent import draw_all
from scorax.inference._kernels import Target
from scorax.inference._kernels._tuned import each_chain
from scorax.inference._problem import Problem
from scorax.inference._progress import Clock, Report
from scorax.inference._psis import smooth_weights
from scorax.inference._starts import Start, find_start

_BATCH = 64
_CHECKED = 1000
_GUIDES: dict[str, type[AutoContinuous]] = {
    "normal": AutoDiagonalNormal,
    "multivariate": AutoMultivariateNormal,
    "low_rank": AutoLowRankMultivariateNormal,
}


class Variational(eqx.Module):
    """Draws from a Gaussian fitted to the posterior in unconstrained coordinates: for large models, and a first look.

    Each chain is a fit of its own, from a start of its own: R-hat says whether they agree. `stats["pareto_k"]` says
    whether the Gaussian covers the posterior (below 0.7), and `adaptation["elbo"]` holds the bound on the log evidence
    at every step, `[chain, step]`: it should have levelled out.

    Args:
        guide: `"normal"`, independent numbers, too narrow where they are correlated; `"multivariate"`, with all
            correlations; `"low_rank"`, with correlations along `sqrt(d)` directions, for `d` numbers.
        num_steps: Of Adam, whose rate falls to zero along half a cosine.
        learning_rate: The rate at the start.
        num_particles: Draws that each gradient averages over.

    Example:
        >>> sx.inference.Variational(guide="multivariate")
        Variational(guide='multivariate')

    Source: Kucukelbir, Tran, Ranganath, Gelman & Blei (2017), arXiv:1603.00788; Yao, Vehtari, Simpson & Gelman (2018),
        arXiv:1802.02538 (Pareto k); Phan, Pradhan & Jankowiak (2019), arXiv:1912.11554 (NumPyro).
    """

    guide: str = eqx.field(static=True, default="normal")
    num_steps: int = eqx.field(static=True, default=2000)
    learning_rate: float = eqx.field(static=True, default=0.05)
    num_particles: int = eqx.field(static=True, default=8)

    def __check_init__(self) -> None:
        if self.guide not in _GUIDES:
            raise ValueError(f"guide must be one of {', '.join(map(repr, sorted(_GUIDES)))}, not {self.guide!r}")


class _Fitted(NamedTuple):
    """A Gaussian for each chain."""

    guide: dist.Distribution
    elbo: Float[Array, "c t"]
    pareto_k: Float[Array, " c"]
    usable: Bool[Array, " c"]


def draw_variational(
    settings: Variational,
    problem: Problem,
    layout: Layout,
    start: Start,
    *,
    keys: Key[Array, " c"],
    num_samples: int,
    report: Report,
) -> Chains:
    """Independent draws from each chain's own fit.

    Raises:
        ValueError: A fit ended where the density is not finite.
    """
    chains = keys.shape[0]
    clock = Clock(chains * num_samples, 1)
    report(clock.progress("fitting", 0))
    fitted = _fit(settings, problem, start, keys)
    if not fitted.usable.all():
        raise ValueError(
            f"method='svi' found no fit in {int((~fitted.usable).sum())} of {chains} chains: the bound became NaN or "
            "infinite. Check that log_prob and prior are finite inside the parameters' supports, lower learning_rate, "
            "or start nearer (initial=)."
        )

    def some(chain: Int[Array, " b"], number: Int[Array, " b"]) -> Record:
        return _draw(problem, fitted.guide, keys, chain, number, layout.moving)

    record = draw_all(some, chains, num_samples, batch=_BATCH, clock=clock, report=report)
    record["stats"]["pareto_k"] = np.repeat(np.asarray(fitted.pareto_k)[:, None], num_samples, axis=1)
    return Chains(record, adaptation={"elbo": np.asarray(fitted.elbo)})


@eqx.filter_jit
def _fit(settings: Variational, problem: Problem, start: Start, keys: Key[Array, " c"]) -> _Fitted:
    target = Target(problem, None)
    schedule = optax.cosine_decay_schedule(settings.learning_rate, settings.num_steps)

    def program() -> None:
        """The density as it is: guides live in unconstrained coordinates anyway."""
        support = dist.ImproperUniform(constraints.real_vector, (), start.centre.shape)
        numpyro.factor("log_density", target.log_density(jnp.asarray(numpyro.sample("q", support))))

    def one(key: PRNGKeyArray) -> tuple[dist.Distribution, Array, Array, Array]:
        key_start, key_fit, key_check = jax.random.split(jax.random.fold_in(key, 0), 3)
        point, _ = find_start(target, start, key_start)
        guide = _GUIDES[settings.guide](program, init_loc_fn=init_to_value(values={"q": point.z}))
        svi = SVI(program, guide, optax_to_numpyro(optax.adam(schedule)), Trace_ELBO(settings.num_particles))
        begun = svi.init(key_fit)
        ended, losses = jax.lax.scan(lambda state, _: svi.update(state), begun, length=settings.num_steps)
        found = guide.get_posterior(svi.get_params(ended))
        q = found.sample(key_check, (_CHECKED,))
        log_ratio = jax.lax.map(lambda q: target.log_density(q) - found.log_prob(q).sum(), q, batch_size=_BATCH)
        usable = jnp.isfinite(losses[-1]) & jnp.isfinite(log_ratio).any()
        pareto_k = smooth_weights(jnp.where(jnp.isfinite(log_ratio), log_ratio, -jnp.inf)).pareto_k
        return found, -losses, pareto_k, usable

    with engine():
        return _Fitted(*each_chain(one, keys))


@eqx.filter_jit
def _draw(
    problem: Problem,
    guide: dist.Distribution,
    keys: Key[Array, " c"],
    chain: Int[Array, " b"],
    number: Int[Array, " b"],
    moving: tuple[bool, ...],
) -> Record:
    """The draws of these numbers in these chains."""

    def one(chain: Int[Array, ""], number: Int[Array, ""]) -> Record:
        own: Any = jax.tree.map(lambda x: x[chain], guide)
        q = own.sample(jax.random.fold_in(jax.random.fold_in(keys[chain], 1), number))
        return {**record_of(problem, q, moving), "stats": {"log_density": problem.log_density(q)}}

    with engine():
        return jax.vmap(one)(chain, number)
