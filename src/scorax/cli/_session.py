"""How a command computes: in double precision, with a compilation cache, and no louder than it was asked to be."""

import contextlib
import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

INTERRUPTED = 128 + signal.SIGINT
_CACHE_OPTION = "jax_compilation_cache_dir"


def note(text: str, *, quiet: bool) -> None:
    """Say something beside the results, on standard error, unless the user wants quiet."""
    if not quiet:
        print(text, file=sys.stderr, flush=True)


def verdict(result: Any, draws: int, *, quiet: bool) -> int:
    """The exit status of a result: 0, or that of an interrupt before all `draws`. Says what is doubtful about it."""
    from scorax.inference import Posterior

    if not isinstance(result, Posterior):
        return 0
    for problem in result.check().problems:
        note(f"scorax: {problem}", quiet=quiet)
    return INTERRUPTED if result.num_draws < draws else 0


@contextlib.contextmanager
def computing(*, quiet: bool) -> Iterator[None]:
    """Double precision, compiled programs kept between runs, warnings as one line each (none if `quiet`)."""
    import jax

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
    print(f"scorax: {' '.join(str(message).split())}", file=sys.stderr, flush=True)
