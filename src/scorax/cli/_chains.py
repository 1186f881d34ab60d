"""Draws from a posterior as the options say: on which devices, from which file, until when."""

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh
from jaxtyping import Array

from scorax.cli._sampling import Sampling
from scorax.cli._session import note
from scorax.inference import AbstractModel, Posterior, Progress, run_state, sample
from scorax.inference._progress import Report, reporter

_CUT_SHORT = ("interrupted", "out of time")
_NAMES = {"NUTS": "nuts", "LaplaceMetropolis": "laplace-metropolis"}


class Drawn(NamedTuple):
    """A posterior, and why sampling ended."""

    posterior: Posterior[Any]
    ended: str
    """`"done"`, `"target"`, `"interrupted"` or `"out of time"`."""


class _Watch:
    """Shows progress, and remembers whether the run was cut short."""

    def __init__(self, show: Report) -> None:
        self.show, self.ended = show, "done"

    def __call__(self, progress: Progress) -> None:
        if progress.phase in _CUT_SHORT:
            self.ended = progress.phase
        self.show(progress)


def draw(
    model: AbstractModel[Any],
    data: Any,
    sampling: Sampling,
    *,
    prior: Any = None,
    initial: dict[str, Array] | None = None,
) -> Drawn:
    """Draws of `model` given `data`.

    Raises:
        ValueError: The file cannot hold the run, or holds another; or what `sample` raises.
        TimeoutError: The time was up before the first draw.
        KeyboardInterrupt: Before the first draw.
    """
    file, quiet = sampling.resume, sampling.quiet
    if file is not None:
        note(_state_of(file, sampling), quiet=quiet)
    watch = _Watch(reporter(not quiet))
    try:
        posterior = sample(
            model,
            data,
            key=jax.random.key(sampling.seed),
            method=sampling.method.replace("-", "_"),
            prior=prior,
            num_warmup=sampling.warmup,
            num_samples=sampling.draws,
            num_chains=sampling.chains,
            progress=watch,
            initial=initial,
            target_ess=sampling.target_ess,
            time_limit=sampling.time_limit,
            checkpoint=file,
            mesh=_mesh(sampling.devices),
        )
    except TimeoutError as error:
        mend = "" if file is not None else " Give it more time, or keep the run in a file with --resume FILE."
        raise TimeoutError(f"{error}{mend}") from error
    except OSError as error:
        if file is None:
            raise
        raise _cannot_keep(file, error) from error
    except KeyboardInterrupt as interrupt:
        if file is None or not file.exists():
            raise
        raise KeyboardInterrupt(f"the same command goes on from {file}") from interrupt
    if file is not None and watch.ended in _CUT_SHORT:
        note(f"the same command goes on from {file}", quiet=quiet)
    if sampling.method == "auto":
        note(f"auto chose {_NAMES[posterior.method.partition('(')[0]]}", quiet=quiet)
    if watch.ended == "done" and sampling.target_ess is not None and posterior.num_draws < sampling.draws:
        note(f"the target was reached with {posterior.num_draws} draws of each chain", quiet=quiet)
        return Drawn(posterior, "target")
    return Drawn(posterior, watch.ended)


def _mesh(devices: int) -> Mesh | None:
    return None if devices == 1 else jax.make_mesh((devices,), ("chains",), devices=jax.devices()[:devices])


def _state_of(file: Path, sampling: Sampling) -> str:
    """What there is in the file. Whether it is a run of these data is for `sample` to find.

    Raises:
        ValueError: It cannot be read, or not be written.
    """
    try:
        # Known now rather than after compiling.
        with tempfile.TemporaryFile(dir=file.parent):
            pass
        if not file.exists():
            return f"keeping the run in {file}"
        found = run_state(file)
    except OSError as error:
        raise _cannot_keep(file, error) from error
    except ValueError as error:
        if "is no scorax run" in str(error):
            # Somebody's file, perhaps a precious one.
            raise ValueError(f"{file} is no scorax run, or was cut short. Name another file with --resume.") from error
        raise ValueError(f"{error}. Name another file with --resume, or delete this one to begin anew.") from error
    if not found.drawn:
        return f"going on from {file}: in the warm-up, {found.done} of {sampling.warmup} steps"
    return f"going on from {file}: {min(found.drawn, sampling.draws)} of {sampling.draws} draws of each chain"


def _cannot_keep(file: Path, error: OSError) -> ValueError:
    return ValueError(f"cannot keep the run in {str(file)!r}: {error.strerror or error}. Name another with --resume.")
