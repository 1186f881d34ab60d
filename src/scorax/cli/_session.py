"""How a command computes: in double precision, with a compilation cache, and no louder than it was asked to be."""

import contextlib
import logging
import os
import re
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scorax.cli._words import in_words_of_the_shell

INTERRUPTED = 128 + signal.SIGINT
_CACHE_OPTION = "jax_compilation_cache_dir"
# More draws, where it was not `--draws` that ended the run.
_MORE_DRAWS = {
    "target": "Raise --target-ess.",
    "out of time": "Raise --time-limit.",
    "interrupted": "Let the run go on.",
}
# What only the library can change.
_IN_PYTHON = {
    "rhat": "Raise --warmup and --draws; if that does not help, the posterior has several modes, or a direction that "
    "data hardly determine (try --kernel auto).",
    "divergences": "Raise --warmup, or in Python target_accept_prob of the kernel to 0.95 or 0.99.",
    "tree_depth": "Raise --warmup; if that does not help, in Python, try NUTS(dense_mass=True) or precondition=.",
    "bfmi": "Raise --warmup and --draws; if that does not help, in Python, try a prior with lighter tails.",
    "stuck": "They are where every step is rejected: raise --warmup, or try another --seed or --kernel.",
}


def note(text: str, *, quiet: bool) -> None:
    """Say something beside the results, on standard error, unless the user wants quiet."""
    if not quiet:
        print(text, file=sys.stderr, flush=True)


def verdict(result: Any, ended: str, *, names: Sequence[str] | None = None, quiet: bool) -> int:
    """The exit status of a result: 0, or that of an interrupt. Says what is doubtful about it, and what to try.

    Args:
        result: A posterior, or a fit, which has its own certificate.
        ended: Why sampling ended: `"done"`, `"target"`, `"out of time"` or `"interrupted"`.
        names: Of items, for what is said of a `strength`.
        quiet: Whether to say nothing.
    """
    for doubt in doubts(result, ended, names=names):
        note(f"scorax: {doubt}", quiet=quiet)
    return status_of(result, ended)


def status_of(result: Any, ended: str) -> int:
    """The exit status of a result: 0, or that of an interrupt."""
    from scorax.inference import Posterior

    return INTERRUPTED if isinstance(result, Posterior) and ended == "interrupted" else 0


def doubts(result: Any, ended: str, *, names: Sequence[str] | None = None) -> list[str]:
    """What is doubtful about a posterior, and what to try; arguments as of `verdict`."""
    from scorax.inference import Posterior

    if not isinstance(result, Posterior):
        return []
    return [
        f"{_with_names(problem.what, names)}. {_advice(problem.check, ended) or in_words_of_the_shell(problem.advice)}"
        for problem in result.check().problems
    ]


def _advice(check: str, ended: str) -> str | None:
    """What to try from the shell, where that is not what the library says."""
    if check in ("draws", "ess", "rhat") and ended in _MORE_DRAWS:
        return _MORE_DRAWS[ended]
    return _IN_PYTHON.get(check)


def _with_names(text: str, names: Sequence[str] | None) -> str:
    return text if names is None else re.sub(r"\bstrength\[(\d+)\]", lambda found: names[int(found[1])], text)


@contextlib.contextmanager
def computing(*, quiet: bool, devices: int = 1) -> Iterator[None]:
    """Double precision, compiled programs kept between runs, warnings as one line each (none if `quiet`).

    Raises:
        ValueError: There are fewer than `devices` devices.
    """
    import jax

    if devices > 1:
        _require_devices(devices)
    _keep_compiled_programs()
    with warnings.catch_warnings(), jax.enable_x64(True):
        if quiet:
            warnings.simplefilter("ignore")
            logging.getLogger("jax").setLevel(logging.ERROR)
        else:
            warnings.showwarning = _as_one_line
        yield


def cache_folder() -> Path:
    """Where this user's compiled programs are kept: `$XDG_CACHE_HOME/scorax`, or the platform's own place."""
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "scorax"
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "scorax" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "scorax"
    return Path.home() / ".cache" / "scorax"


def compiled_programs() -> str | None:
    """Where JAX keeps compiled programs now, if anywhere."""
    import jax

    # By name: the attribute is made at run time, and no type checker knows it.
    return getattr(jax.config, _CACHE_OPTION)


def _require_devices(wanted: int) -> None:
    """As many accelerators as are wanted; without any, the CPU is divided into as many devices."""
    import jax

    # JAX refuses where it has started already: then the devices are what they are.
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", wanted)
    found = len(jax.devices())
    if found >= wanted:
        return
    if jax.default_backend() == "cpu":
        raise ValueError(
            f"--devices {wanted}: JAX runs in this process already, with {found} device{'s' * (found != 1)} of the "
            f"CPU. Set XLA_FLAGS=--xla_force_host_platform_device_count={wanted} before it starts."
        )
    raise ValueError(
        f"--devices {wanted}: there {'is' if found == 1 else 'are'} {found} ({', '.join(map(str, jax.devices()))}). "
        f"Give --devices {found}, or set JAX_PLATFORMS=cpu to spread the chains over the cores of the CPU."
    )


def _keep_compiled_programs() -> None:
    import jax

    if compiled_programs() is not None:
        # Chosen by the user, through JAX_COMPILATION_CACHE_DIR or in this process.
        return
    folder = cache_folder() / "xla"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        # A cache is a convenience: without a place for it every run compiles.
        return
    if not os.access(folder, os.W_OK):
        return
    jax.config.update(_CACHE_OPTION, str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def _as_one_line(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    print(f"scorax: {in_words_of_the_shell(' '.join(str(message).split()))}", file=sys.stderr, flush=True)
