"""The door to posteriors: any model, any prior that is a NumPyro program, one call."""

import math
import os
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Key, PRNGKeyArray, UInt

from scorax.inference._draws import Chains, layout_of
from scorax.inference._frame import fits, frame_at_mode
from scorax.inference._kernels import (
    HMC,
    MCLMC,
    MEADS,
    NUTS,
    AbstractFrame,
    AbstractKernel,
    AdjustedMCLMC,
    ChEES,
    LaplaceMetropolis,
    Target,
)
from scorax.inference._laplace import draw_laplace
from scorax.inference._loop import RunFile, Setup, Stop, run_chains
from scorax.inference._model import AbstractModel
from scorax.inference._pathfinder import Pathfinder, draw_pathfinder, pathfinder_start
from scorax.inference._posterior import Posterior
from scorax.inference._posterior_problem import posterior_problem
from scorax.inference._problem import Problem
from scorax.inference._program import Program
from scorax.inference._progress import Progress, Report, reporter
from scorax.inference._proper import improper
from scorax.inference._run_file import identity_of
from scorax.inference._starts import start_of
from scorax.inference._variational import Variational, draw_variational

Model = TypeVar("Model", bound=AbstractModel[Any])
Method = AbstractKernel | Pathfinder | Variational


def sample(
    model: Model,
    data: Any,
    *,
    key: PRNGKeyArray,
    method: str | Method = "nuts",
    prior: Program | None = None,
    num_warmup: int = 500,
    num_samples: int = 500,
    num_chains: int = 4,
    progress: bool | Report = True,
    initial: AbstractModel[Any] | dict[str, Array] | Pathfinder | str | None = None,
    adaptation: dict[str, Array] | None = None,
    precondition: AbstractFrame | None = None,
    target_ess: float | int | None = None,
    target_rhat: float = 1.01,
    time_limit: float | int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    mesh: Mesh | None = None,
    chain_method: str = "auto",
) -> Posterior[Model]:
    """Draws from the posterior of a model's parameters, and of everything else its prior draws.

    A second call with data of the same shapes compiles nothing, whatever its key and its number of draws. A chain's
    draws depend on `key` and on its own number, not on how many chains there are, on chunks or on devices (bit for bit
    with `chain_method="map"`). The dtype of the draws is JAX's default float, whatever the model's.

    An interrupt (Ctrl-C) keeps what was drawn, with a warning; before the first draw it is passed on.

    Args:
        model: Gives shapes, and the default prior.
        data: The container that `model.log_prob` takes.
        key: The same key gives the same draws.
        method: A kernel, such as `NUTS(target_accept_prob=0.95)`, or the name of one with its defaults: `"nuts"`, the
            No-U-Turn sampler; `"laplace_metropolis"`, much faster where Laplace's method is good; `"hmc"`, `"mclmc"`,
            `"adjusted_mclmc"`, `"chees"`, `"meads"`; `"pathfinder"` and `"svi"`, approximations with a Pareto k; or
            `"auto"`, the second where a pilot says that it will do well, else the first (`posterior.method` says which
            it was; neither knows of modes that no chain has seen). Or `"laplace"`: independent draws from a Gaussian
            at the mode of the parameters (in unconstrained coordinates), in milliseconds where NUTS takes seconds. The
            sites of a hierarchical prior that are no parameters (at most ten numbers: scales, means, ...) are then
            integrated over first: importance sampling from their Laplace marginal, whose Pareto k is in `stats`.
        prior: A program (any function without arguments that draws a module) in place of `model.prior`. A function
            made anew at each call compiles anew at each call: name it once.
        num_warmup: Steps of adaptation of each chain; they are not kept.
        num_samples: Draws kept of each chain; at most so many where a target or a time limit is given.
        num_chains: Independent chains.
        progress: Show a line of progress, or not; or a function that receives a `Progress` after each chunk of work.
        initial: Where to start: values of sites, by name and in their own support, or a model whose parameters are
            sites. Chains start near it, at random in what it leaves open. `"pathfinder"`, or a `Pathfinder` with its
            settings: each chain at a draw of Pathfinder's, which saves warm-up where it is far to the posterior. None
            starts anywhere.
        adaptation: `posterior.adaptation` of an earlier run of the same kernel, model and number of chains: there is
            no warm-up then.
        precondition: Coordinates in which to sample: `laplace_frame(model, data)`, where parameters are correlated or
            of very different widths.
        target_ess: Stop when the smallest effective sample size (of the bulk) is this large and R-hat is small.
        target_rhat: What counts as small, for the largest R-hat.
        time_limit: Seconds, compilation included, after which to stop; what was drawn is kept, with a warning.
        checkpoint: A file in which to keep the run. If it is there already, go on from it, to the last bit as if
            nothing had happened; a run of another model, data, key or setting is refused.
        mesh: Devices over which to spread the chains, such as `jax.make_mesh((8,), ("chains",))`.
        chain_method: How one device moves its chains: `"map"`, one after the other; `"vmap"`, together; or `"auto"`:
            together on an accelerator, or where the kernel gains by it, if there is no mesh.

    Raises:
        ValueError: `method` is unknown; a count is not positive; the data do not fit the model; the prior samples a
            discrete site; `initial` names no site; the density is not finite at any start; the checkpoint is damaged
            or of another run; or `"laplace"` finds no maximum, or is asked for what it cannot do.
        TimeoutError: The time limit passed during the warm-up. (A checkpoint keeps it.)

    Warns:
        UserWarning: The run was cut short, or its target not reached; Pathfinder's starts are no fair draws; or the
            posterior is improper, which is looked for where a prior is flat and draws at most 2000 numbers.

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
    chosen = _method(method)
    _check_counts(num_warmup=(num_warmup, 0), num_samples=(num_samples, 1), num_chains=(num_chains, 1))
    if chain_method not in ("auto", "map", "vmap"):
        raise ValueError(f"chain_method must be 'auto', 'map' or 'vmap', not {chain_method!r}")
    by_rows = isinstance(chosen, AbstractKernel) and chosen.needs_rows
    paths = _paths(initial)
    values = None if isinstance(initial, Pathfinder | str) else initial
    problem, given = posterior_problem(model, data, prior, values, condense=not by_rows)
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        key = jax.random.wrap_key_data(key)
    layout = layout_of(problem)
    keys = _chain_keys(key, jnp.asarray(np.arange(num_chains, dtype=np.uint32)))
    report = reporter(progress)
    if not (method == "auto" or isinstance(chosen, AbstractKernel)):
        _refuse_for_chains_only(
            method,
            adaptation=adaptation,
            precondition=precondition,
            target_ess=target_ess,
            time_limit=time_limit,
            checkpoint=checkpoint,
            mesh=mesh,
            initial=paths,
        )
    chosen, frame = _settle(chosen, method, model, problem, key, precondition, report)
    start = start_of(problem.template, given)
    if isinstance(chosen, Pathfinder):
        chains = draw_pathfinder(
            chosen, problem, layout, start, keys=keys, key=key, num_samples=num_samples, report=report
        )
    elif isinstance(chosen, Variational):
        chains = draw_variational(chosen, problem, layout, start, keys=keys, num_samples=num_samples, report=report)
    elif chosen is None:
        chains = draw_laplace(model, problem, layout, keys=keys, key=key, num_samples=num_samples, report=report)
    else:
        if chain_method == "auto":
            alone = mesh is None and (jax.default_backend() != "cpu" or chosen.batches_well)
            chain_method = "vmap" if alone else "map"
        warmup = num_warmup if adaptation is None else 0
        setup = Setup(chosen, warmup, layout.moving, chain_method == "vmap", mesh, str(jax.random.key_impl(key)))
        # A run that goes on has started already.
        if paths is not None and (checkpoint is None or not os.path.exists(checkpoint)):
            start = pathfinder_start(paths, problem, start, key=key, keys=keys)
        raw = np.asarray(_raw_keys(keys))
        settings = {
            "kernel": str(chosen),
            "num_warmup": warmup,
            "num_chains": num_chains,
            "chain_method": chain_method,
            **{package: version(package) for package in chosen.built_on},
        }
        chains = run_chains(
            setup,
            Target(problem, frame),
            start,
            keys=raw,
            num_samples=num_samples,
            adaptation=None if adaptation is None else {name: np.asarray(x) for name, x in adaptation.items()},
            stop=Stop(target_ess, target_rhat, time_limit),
            report=report,
            file=None
            if checkpoint is None
            else RunFile(checkpoint, identity_of(problem, frame, _raw_keys(key), settings)),
        )
    flat = improper(problem, chains.records["sites"])
    if flat is not None:
        shape = chains.records["stats"]["log_density"].shape
        chains.records["stats"]["improper"] = np.broadcast_to(flat[:, None], shape)
    drawn = jax.device_put(chains.records)
    found = jax.device_put(dict(chains.adaptation))
    posterior = Posterior(
        *layout.assemble(drawn["leaves"]), drawn["sites"], drawn["stats"], found, str(chosen or method)
    )
    _warn_if_short(chains, posterior, num_samples, target_ess, target_rhat)
    if flat is not None and flat.any():
        warnings.warn(
            "this posterior is improper: under the flat prior its density does not fall however far one goes, so the "
            "draws mean nothing. Give a proper prior, or data that determine every parameter (connect the groups of "
            "items that never met). posterior.check() says more.",
            stacklevel=2,
        )
    return posterior


_METHODS: dict[str, Callable[[], Method]] = {
    "adjusted_mclmc": AdjustedMCLMC,
    "auto": NUTS,
    "chees": ChEES,
    "hmc": HMC,
    "laplace_metropolis": LaplaceMetropolis,
    "mclmc": MCLMC,
    "meads": MEADS,
    "nuts": NUTS,
    "pathfinder": Pathfinder,
    "svi": Variational,
}


def _method(method: str | Method) -> Method | None:
    """The method of that name; None for Laplace's, which has no settings."""
    if not isinstance(method, str):
        return method
    if method == "laplace":
        return None
    if method not in _METHODS:
        known = ", ".join(map(repr, sorted([*_METHODS, "laplace"])))
        raise ValueError(f"method must be a kernel or one of {known}, not {method!r}")
    return _METHODS[method]()


def _paths(initial: Any) -> Pathfinder | None:
    """Whose ends the chains start at, if any."""
    if not isinstance(initial, str):
        return initial if isinstance(initial, Pathfinder) else None
    if initial != "pathfinder":
        raise ValueError(f"initial must be values of sites, a model, a Pathfinder or 'pathfinder', not {initial!r}")
    return Pathfinder()


def _settle(
    chosen: Method | None,
    method: str | Method,
    model: AbstractModel[Any],
    problem: Problem,
    key: PRNGKeyArray,
    frame: AbstractFrame | None,
    report: Report,
) -> tuple[Method | None, AbstractFrame | None]:
    """The frame that a kernel needs; and for `"auto"`, independent proposals where they do well, else NUTS."""
    if method != "auto":
        needs = isinstance(chosen, AbstractKernel) and chosen.needs_frame and frame is None
        return chosen, frame_at_mode(model, problem) if needs else frame
    report(Progress("choosing", 0, 1, math.nan, math.nan, 0))
    try:
        found = frame_at_mode(model, problem) if frame is None else frame
    except ValueError:
        return NUTS(), frame
    return (LaplaceMetropolis(), found) if fits(Target(problem, found), key) else (NUTS(), frame)


def _refuse_for_chains_only(method: Any, **arguments: Any) -> None:
    given = [name for name, value in arguments.items() if value is not None]
    if given:
        raise ValueError(
            f"{', '.join(given)} {'is' if len(given) == 1 else 'are'} for methods that run chains; {method!r} draws "
            "independently. Leave it out, or use method='nuts'."
        )


def _check_counts(**counts: tuple[int, int]) -> None:
    for name, (value, least) in counts.items():
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")


def _warn_if_short(
    chains: Chains, posterior: Posterior[Any], num_samples: int, target_ess: float | int | None, target_rhat: float
) -> None:
    if chains.ended in ("interrupted", "out of time"):
        warnings.warn(
            f"{chains.ended}: the posterior holds {posterior.num_draws} of {num_samples} draws of each chain",
            stacklevel=3,
        )
    elif target_ess is not None and chains.ended != "target":
        warnings.warn(
            f"the target was not reached in {num_samples} draws of each chain: the smallest effective sample "
            f"size is {chains.seen.ess:.0f} (of {target_ess:.0f}), the largest R-hat {chains.seen.rhat:.3f} "
            f"(of {target_rhat}). posterior.check() says more; all draws are kept.",
            stacklevel=3,
        )


@jax.jit
def _chain_keys(key: PRNGKeyArray, chain: UInt[Array, " c"]) -> Key[Array, " c"]:
    return jax.vmap(lambda chain: jax.random.fold_in(key, chain))(chain)


@jax.jit
def _raw_keys(keys: Key[Array, "*c"]) -> UInt[Array, "*c w"]:
    return jax.random.key_data(keys)
