"""Replicated data: what the same design would have shown, under the prior or under the posterior."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PRNGKeyArray, PyTree
from numpyro import handlers

from scorax.inference._criticism._over_draws import by_chain, check_fit, check_single, map_evenly, over_draws
from scorax.inference._engine import engine
from scorax.inference._model import AbstractModel
from scorax.inference._posterior import Posterior
from scorax.inference._program import Program

Statistic = Callable[[Any], PyTree]


def prior_predictive(
    model: AbstractModel[Any],
    data: Any,
    *,
    key: PRNGKeyArray,
    prior: Program | None = None,
    num_draws: int = 1000,
    statistic: Statistic | None = None,
    batch_size: int = 64,
) -> PyTree:
    """Data that the prior would have expected: a model drawn from it, then outcomes drawn from that model.

    Args:
        model: Gives shapes, and the default prior.
        data: The design; its outcomes are not looked at. One observation a row.
        key: The same key gives the same replicates, whatever `batch_size`; the first of them whatever `num_draws`.
        prior: A program in place of `model.prior`.
        num_draws: Replicates.
        statistic: A function of data that returns arrays: its values are returned in place of the data, which saves
            their memory. Name it once if you call it often: a new lambda is compiled anew.
        batch_size: Draws at a time, for memory.

    Returns:
        Data whose arrays (all of them, the design too) have a leading axis `[draw]`, or the statistic of each.

    Raises:
        ValueError: A row holds several observations, the data do not fit the model, or `num_draws` is not positive.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0, 0, 1, 0], [1, 1, 0, 1], [1.0, 1.0, 1.0, 0.5])
        >>> model = sx.choice.BradleyTerry.init(2)
        >>> replicated = prior_predictive(model, battles, key=jax.random.key(0), num_draws=100)
        >>> replicated.outcome.shape  # [draw, row]
        (100, 4)

    Source: Box (1980), doi:10.2307/2982063.
    """
    if num_draws < 1:
        raise ValueError(f"num_draws must be at least 1, not {num_draws}")
    model.check(data)
    check_single(data)
    program = model.prior if prior is None else prior
    return _from_prior(program, data, key, num_draws, statistic, batch_size)


def posterior_predictive(
    posterior: Posterior[Any],
    data: Any,
    *,
    key: PRNGKeyArray,
    statistic: Statistic | None = None,
    batch_size: int = 64,
) -> PyTree:
    """Data that the fitted model expects from the same design: outcomes drawn anew for every draw of the parameters.

    Args:
        posterior: The draws.
        data: The design; its outcomes are not looked at. It may be another one than the model was fitted to. One
            observation a row.
        key: The same key gives the same replicates, whatever `batch_size` and the number of chains.
        statistic: As in `prior_predictive`.
        batch_size: Draws at a time, for memory.

    Returns:
        Data whose arrays (all of them, the design too) have leading axes `[chain, draw]`, or the statistic of each.

    Raises:
        ValueError: A row holds several observations, or the data do not fit the model.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0, 0, 1, 0], [1, 1, 0, 1], [1.0, 1.0, 1.0, 0.5])
        >>> model = sx.choice.BradleyTerry.init(2)
        >>> posterior = sx.inference.sample(model, battles, key=jax.random.key(0), method="laplace", progress=False)
        >>> replicated = posterior_predictive(posterior, battles, key=jax.random.key(1))
        >>> replicated.outcome.shape  # [chain, draw, row]
        (4, 500, 4)

    Source: Rubin (1984), doi:10.1214/aos/1176346785.
    """
    check_fit(posterior, data)
    check_single(data)
    return _from_posterior(posterior, data, key, statistic, batch_size)


def keys_of_draws(posterior: Posterior[Any], key: PRNGKeyArray) -> Key[Array, " s"]:
    """A key for every draw, all chains end to end; it depends on the draw's place in its chain alone."""
    chains = jax.vmap(lambda chain: jax.random.fold_in(key, chain))(jnp.arange(posterior.num_chains))
    return jax.vmap(lambda chain: _keys(chain, posterior.num_draws))(chains).reshape(-1)


def _keys(key: PRNGKeyArray, n: int) -> Key[Array, " n"]:
    return jax.vmap(lambda draw: jax.random.fold_in(key, draw))(jnp.arange(n))


@eqx.filter_jit
def _from_prior(
    program: Program, data: Any, key: PRNGKeyArray, num_draws: int, statistic: Statistic | None, batch_size: int
) -> PyTree:
    def one(key: PRNGKeyArray) -> PyTree:
        key_model, key_outcome = jax.random.split(key)
        with engine():
            model = handlers.seed(program, key_model)()
        return _outcome(model, key_outcome, data, statistic)

    return map_evenly(one, _keys(key, num_draws), batch_size)


@eqx.filter_jit
def _from_posterior(
    posterior: Posterior[Any], data: Any, key: PRNGKeyArray, statistic: Statistic | None, batch_size: int
) -> PyTree:
    values = over_draws(
        lambda model, key: _outcome(model, key, data, statistic),
        posterior,
        keys_of_draws(posterior, key),
        batch_size=batch_size,
    )
    return by_chain(posterior, values)


def _outcome(model: Any, key: PRNGKeyArray, data: Any, statistic: Statistic | None) -> PyTree:
    replicated = model.simulate(data, key=key)
    return replicated if statistic is None else statistic(replicated)
