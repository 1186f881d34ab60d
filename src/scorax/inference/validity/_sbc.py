"""Simulation-based calibration: under data drawn from the prior predictive, ranks of the truth are uniform.

Source: Talts, Betancourt, Simpson, Vehtari & Gelman (2018), arXiv:1804.06788.
"""

import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from scorax.inference._diagnostics import effective_sample_size
from scorax.inference._progress import Report
from scorax.inference.validity._chain import require
from scorax.inference.validity._joint import Joint, Quantities
from scorax.inference.validity._quantities import flatten, names_of
from scorax.inference.validity._ranks import Ranks, rank_among
from scorax.inference.validity._sampler import PosteriorSampler, Sampler
from scorax.inference.validity._simulations import Path, simulate
from scorax.inference.validity._store import digest


def sbc(
    sampler: Sampler,
    joint: Joint,
    *,
    key: PRNGKeyArray,
    quantities: Quantities | None = None,
    n_simulations: int = 1000,
    batch_size: int = 50,
    vmapped: bool = True,
    file: Path | None = None,
    progress: bool | Report = False,
) -> Ranks:
    """Simulation-based calibration: draw parameters and data, and rank the parameters among draws from their posterior.

    The log-likelihood is always ranked too: a sampler that ignores the data and returns the prior is calibrated for
    every function of the parameters alone.

    Args:
        sampler: `(key, data) -> draws`, nearly independent, shaped as `theta` with a leading axis of draws: any
            function that JAX can trace, or `posterior_sampler(model, ...)`.
        joint: The law of parameters and data, with its log-likelihood: `joint_of(model, design)`.
        key: Random key. Simulation `i` has the key `fold_in(key, i)`, however they are batched.
        quantities: What to rank: `quantities(theta, data)`, arrays in any tree. None ranks every parameter. With
            `joint_of`, `theta` is the module: to rank a hyper-parameter, make it a field.
        n_simulations: How many data sets.
        batch_size: How many at a time, in one compiled call.
        vmapped: False for a sampler that JAX cannot trace: it is called once for each data set.
        file: Keep the ranks in this `.npz` file, and go on from those that it holds already; more `n_simulations` can
            be asked for later. It is replaced whole or not at all.
        progress: As for `sample`. An interrupt keeps the ranks so far.

    Returns:
        `Ranks`: `ranks.test()` or `ranks.ecdf_test()` for a `TestResult`, `ranks.band()` for a picture.

    Raises:
        ValueError: `joint` has no log-likelihood, a count is too small, `file` is damaged or of another key, sampler or
            law, or the draws are not shaped as the parameters.

    Example:
        >>> def noisy(key, theta):
        ...     return theta + jax.random.normal(key)
        >>> def log_likelihood(theta, data):
        ...     return -((data - theta) ** 2) / 2
        >>> joint = sx.inference.validity.Joint(jax.random.normal, noisy, log_likelihood)
        >>> def exact(key, data):
        ...     return data / 2 + jax.random.normal(key, (63,)) / jnp.sqrt(2)
        >>> ranks = sx.inference.validity.sbc(exact, joint, key=jax.random.key(0), n_simulations=200)
        >>> ranks.names, ranks.test().p_value > 0.01, ranks.ecdf_test().p_value > 0.01
        (('theta', 'log-likelihood'), True, True)

    Source: Talts, Betancourt, Simpson, Vehtari & Gelman (2018), arXiv:1804.06788; Modrák, Moon, Kim, Bürkner, Huurre,
        Faltejsková, Gelman & Vehtari (2023), arXiv:2211.02383 (data-dependent quantities).
    """
    require(n_simulations=(n_simulations, 1), batch_size=(batch_size, 1))
    if joint.log_likelihood is None:
        raise ValueError("sbc ranks the log-likelihood too: give joint one")
    ranked = _Ranked(sampler, joint, quantities)
    names = names_of(lambda key: ranked.measure(*ranked.draw(key)), key)
    each = _one_by_one if isinstance(sampler, PosteriorSampler) or not vmapped else _together
    size = batch_size if each is _together else 1
    identity = {"key": digest(key), "quantities": list(names), "sampler or law": digest((sampler, joint, quantities))}
    rows = simulate(
        lambda index: each(ranked, key, index),
        n_simulations,
        size=size,
        file=file,
        identity=identity,
        progress=progress,
    )
    num_draws = np.unique(rows["num_draws"])
    if len(num_draws) != 1:
        raise ValueError(f"the sampler gives {num_draws.tolist()} draws; every data set must get equally many")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a quantity that never varies has no effective size
        ess = np.nanmean(rows["ess"].astype(np.float64), axis=0)
    return Ranks(rows["rank"].astype(np.int64), int(num_draws[0]), names, ess)


class _Ranked(eqx.Module):
    sampler: Sampler
    joint: Joint
    quantities: Quantities | None

    def measure(self, theta: Any, data: Any) -> dict[str, Any]:
        assert self.joint.log_likelihood is not None
        own = theta if self.quantities is None else self.quantities(theta, data)
        return {"": own, "log-likelihood": self.joint.log_likelihood(theta, data)}

    def draw(self, key: PRNGKeyArray) -> tuple[Any, Any]:
        """Parameters and data."""
        return self.joint.draw(jax.random.fold_in(key, 0))

    def sample(self, key: PRNGKeyArray, data: Any) -> Any:
        """Draws from the posterior given the data."""
        return self.sampler(jax.random.fold_in(key, 1), data)

    def row(self, key: PRNGKeyArray, theta: Any, data: Any, draws: Any) -> dict[str, Array]:
        """Ranks of the parameters among the draws."""
        rank, measured = rank_among(
            lambda theta: flatten(self.measure(theta, data)), theta, draws, jax.random.fold_in(key, 2)
        )
        return {
            "rank": rank,
            "ess": effective_sample_size(measured[None], kind="mean"),
            "num_draws": jnp.asarray(np.int32(len(measured))),
        }


def _together(ranked: _Ranked, key: PRNGKeyArray, index: Int[np.ndarray, " b"]) -> dict[str, Array]:
    return _vmapped(ranked, key, jnp.asarray(index, jnp.int32))


def _one_by_one(ranked: _Ranked, key: PRNGKeyArray, index: Int[np.ndarray, " b"]) -> dict[str, np.ndarray]:
    own = jax.random.fold_in(key, index[0])
    # Compiled functions do without the sampler: one of the host may hold what they cannot take.
    simple = _Ranked(_no_sampler, ranked.joint, ranked.quantities)
    theta, data = _draw(simple, own)
    row = _row(simple, own, theta, data, ranked.sample(own, data))
    return jax.tree.map(lambda x: np.asarray(x)[None], row)


def _no_sampler(key: PRNGKeyArray, data: Any) -> Any:
    raise AssertionError


@eqx.filter_jit
def _vmapped(ranked: _Ranked, key: PRNGKeyArray, number: Int[Array, " n"]) -> dict[str, Array]:
    def each(i: Int[Array, ""]) -> dict[str, Array]:
        own = jax.random.fold_in(key, i)
        theta, data = ranked.draw(own)
        return ranked.row(own, theta, data, ranked.sample(own, data))

    return jax.vmap(each)(number)


@eqx.filter_jit
def _draw(ranked: _Ranked, key: PRNGKeyArray) -> tuple[Any, Any]:
    return ranked.draw(key)


@eqx.filter_jit
def _row(ranked: _Ranked, key: PRNGKeyArray, theta: Any, data: Any, draws: Any) -> dict[str, Array]:
    return ranked.row(key, theta, data, draws)
