"""The door to posteriors: any model, any prior that is a NumPyro program, one call."""

import warnings
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PRNGKeyArray, UInt
from numpyro.distributions import Distribution

from scorax.inference._draws import layout_of
from scorax.inference._laplace import draw_laplace
from scorax.inference._model import AbstractModel
from scorax.inference._nuts import Settings, Start, run_chains
from scorax.inference._posterior import Posterior
from scorax.inference._priors import named_leaves
from scorax.inference._problem import Problem
from scorax.inference._program import Coordinates, Program, initial_coordinates
from scorax.inference._progress import Report, reporter

Model = TypeVar("Model", bound=AbstractModel[Any])


def sample(
    model: Model,
    data: Any,
    *,
    key: PRNGKeyArray,
    method: str = "nuts",
    prior: Program | None = None,
    num_warmup: int = 500,
    num_samples: int = 500,
    num_chains: int = 4,
    progress: bool | Report = True,
    target_accept_prob: float = 0.8,
    max_tree_depth: int = 10,
    dense_mass: bool = False,
    initial: AbstractModel[Any] | dict[str, Array] | None = None,
) -> Posterior[Model]:
    """Draws from the posterior of a model's parameters, and of everything else its prior draws.

    A second call with data of the same shapes compiles nothing, whatever its key and its number of draws. A chain's
    draws depend on `key` and on its own number, not on how many chains there are (on a CPU, with a diagonal mass
    matrix, bit for bit). The dtype of the draws is JAX's default float, whatever the model's.

    An interrupt (Ctrl-C) keeps what was drawn, with a warning; before the first draw it is passed on.

    Args:
        model: Gives shapes, and the default prior.
        data: The container that `model.log_prob` takes.
        key: The same key gives the same draws.
        method: `"nuts"`, the No-U-Turn sampler; or `"laplace"`, independent draws from a Gaussian at the mode of the
            parameters (in unconstrained coordinates), in milliseconds where NUTS takes seconds. The sites of a
            hierarchical prior that are no parameters (at most three numbers, such as a scale) are then integrated
            over first: importance sampling from their Laplace marginal, whose Pareto k is in `stats`.
        prior: A program (any function without arguments that draws a module) in place of `model.prior`. A function
            made anew at each call compiles anew at each call: name it once.
        num_warmup: Steps of adaptation of each chain, for `"nuts"`; they are not kept.
        num_samples: Draws kept of each chain.
        num_chains: Independent chains; one after the other on a CPU, together on an accelerator.
        progress: Show a line of progress, or not; or a function that receives a `Progress` after each chunk of work.
        target_accept_prob: Raise it towards 1 where transitions diverge.
        max_tree_depth: At most `2 ** max_tree_depth` gradients a draw.
        dense_mass: Adapt a dense mass matrix, for strongly correlated parameters of no more than some hundreds.
        initial: Where to start: values of sites, by name and in their own support, or a model whose parameters are
            sites. Chains start near it, at random in what it leaves open. None starts anywhere.

    Raises:
        ValueError: `method` is unknown; a count is not positive; the data do not fit the model; the prior samples a
            discrete site; `initial` names no site; the density is not finite at any start; or `"laplace"` finds no
            maximum, or is asked for what it cannot do.

    Example:
        >>> battles = sx.data.Comparisons.from_arrays([0, 0, 1, 0], [1, 1, 0, 1], [1.0, 1.0, 1.0, 0.5])
        >>> model = sx.choice.BradleyTerry.init(2)
        >>> posterior = sx.inference.sample(
        ...     model, battles, key=jax.random.key(0), num_warmup=50, num_samples=50, num_chains=2, progress=False
        ... )
        >>> posterior.model.strength.shape  # [chain, draw, item]
        (2, 50, 2)

    Source: Hoffman & Gelman (2014), arXiv:1111.4246; Phan, Pradhan & Jankowiak (2019), arXiv:1912.11554 (NumPyro);
        Tierney & Kadane (1986), doi:10.1080/01621459.1986.10478240 (Laplace).
    """
    if method not in ("nuts", "laplace"):
        raise ValueError(f"method must be 'nuts' or 'laplace', not {method!r}")
    for name, value, least in (
        ("num_warmup", num_warmup, 0),
        ("num_samples", num_samples, 1),
        ("num_chains", num_chains, 1),
    ):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")
    model.check(data)
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        key = jax.random.wrap_key_data(key)
    program = _floats_as_arrays(model.prior if prior is None else prior)
    given = _given(initial)
    template = _coordinates(program, given)
    _check_given(initial, given, template)
    problem = Problem(program, model.condense(data), template, jacobian=True)
    layout = layout_of(problem)
    keys = _chain_keys(key, jnp.asarray(np.arange(num_chains, dtype=np.uint32)))
    report = reporter(progress)
    if method == "laplace":
        chains = draw_laplace(model, problem, layout, keys=keys, key=key, num_samples=num_samples, report=report)
    else:
        vectorized = dense_mass or jax.default_backend() != "cpu"
        settings = Settings(num_warmup, float(target_accept_prob), max_tree_depth, dense_mass, vectorized)
        start = _start(template, given)
        chains = run_chains(problem, start, layout.moving, settings, keys=keys, num_samples=num_samples, report=report)
    drawn = jax.device_put(chains.records)
    posterior = Posterior(*layout.assemble(drawn["leaves"]), drawn["sites"], drawn["stats"])
    if chains.interrupted:
        warnings.warn(
            f"interrupted: the posterior holds {posterior.num_draws} of {num_samples} draws of each chain", stacklevel=2
        )
    return posterior


def _floats_as_arrays(program: Program) -> Program:
    """Python numbers inside NumPyro distributions as arrays, so that other numbers are not another program."""

    def convert(node: Any) -> Any:
        if not isinstance(node, Distribution):
            return node
        return jax.tree.map(lambda x: jnp.asarray(np.asarray(x, _default_float())) if isinstance(x, float) else x, node)

    return jax.tree.map(convert, program, is_leaf=lambda node: isinstance(node, Distribution))


def _given(initial: AbstractModel[Any] | dict[str, Array] | None) -> dict[str, Array]:
    if initial is None:
        return {}
    values = initial if isinstance(initial, dict) else named_leaves(initial)
    return {name: jnp.asarray(np.asarray(value, _default_float())) for name, value in values.items()}


def _check_given(initial: Any, given: dict[str, Array], template: Coordinates) -> None:
    unknown = sorted(set(given) - set(template))
    if unknown and (isinstance(initial, dict) or len(unknown) == len(given)):
        raise ValueError(
            f"initial= names {unknown}, which the prior does not sample; its sites are {sorted(template)}. Pass a "
            "dictionary of values of those."
        )


@jax.jit
def _chain_keys(key: PRNGKeyArray, chain: UInt[Array, " c"]) -> Key[Array, " c"]:
    return jax.vmap(lambda chain: jax.random.fold_in(key, chain))(chain)


@eqx.filter_jit
def _coordinates(program: Program, given: dict[str, Array]) -> Coordinates:
    return initial_coordinates(program, given)


def _start(template: Coordinates, given: dict[str, Array]) -> Start:
    flags = {name: np.full(value.shape, name in given) for name, value in template.items()}
    # On the host: flattening is a handful of small compilations.
    centre, near = (
        np.concatenate([np.ravel(np.asarray(x)) for x in jax.tree.leaves(tree)] or [np.zeros(0)])
        for tree in (template, flags)
    )
    return Start(jnp.asarray(centre), jnp.asarray(near.astype(bool)))


def _default_float() -> np.dtype:
    return np.dtype(jnp.result_type(float))
