"""What the options of sampling say together, for every command that samples; nothing here loads JAX."""

from pathlib import Path
from typing import Any, NamedTuple

from scorax.cli._options import Kernel

_DRAWS = 500
# A target stops long before, unless it cannot be reached.
_MOST_DRAWS_FOR_A_TARGET = 10_000
# The method whose draws come from Markov chains; all that is here but the draws is for them.
_CHAINS = "nuts"


class Sampling(NamedTuple):
    """How a posterior is drawn."""

    method: str
    """A kernel or an approximation, as users call it."""
    draws: int
    """Of each chain, at most."""
    warmup: int
    chains: int
    seed: int
    target_ess: int | None
    time_limit: float | None
    """Seconds."""
    resume: Path | None
    devices: int
    quiet: bool


def sampling(
    method: str | None,
    *,
    asked_by: str | None = None,
    kernel: Kernel | None,
    draws: int | None,
    warmup: int,
    chains: int,
    seed: int,
    target_ess: int | None,
    time_limit: float | None,
    resume: Path | None,
    devices: int | None,
    out: Path | None,
    quiet: bool,
) -> Sampling:
    """The options together, before any work.

    Args:
        method: As the user named it; None if not, which leaves it to Markov chains.
        asked_by: What asked for the method, in words, where it was not `--method`.
        kernel: All others are the options of these names.

    Raises:
        ValueError: They contradict each other; the error says which to drop.
    """
    if method not in (None, _CHAINS):
        _refuse_without_chains(
            asked_by or f"--method {method}",
            {
                "--kernel": kernel,
                "--resume": resume,
                "--target-ess": target_ess,
                "--time-limit": time_limit,
                "--devices": devices,
            },
        )
    elif method is not None and kernel not in (None, _CHAINS):
        raise ValueError(f"--method {method} and --kernel {kernel} name two kinds of chains. Drop --method {method}.")
    if devices is not None and devices > chains:
        raise ValueError(
            f"--devices {devices} is more than there are chains ({chains}), and a chain runs on one device. Give "
            f"--chains {devices}, or --devices {chains}."
        )
    if resume is not None and out is not None and resume.resolve() == (out / "posterior.npz").resolve():
        raise ValueError(
            f"--resume {resume} is where the posterior will be written. Name another file, such as {out / 'run.npz'}."
        )
    return Sampling(
        method=str(kernel or _CHAINS) if method in (None, _CHAINS) else str(method),
        draws=draws or (_DRAWS if target_ess is None else _MOST_DRAWS_FOR_A_TARGET),
        warmup=warmup,
        chains=chains,
        seed=seed,
        target_ess=target_ess,
        time_limit=time_limit,
        resume=resume,
        devices=devices or 1,
        quiet=quiet,
    )


def _refuse_without_chains(method: str, options: dict[str, Any]) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ValueError(f"{given[0]} is for Markov chains, and {method} runs none. Drop one of the two.")
