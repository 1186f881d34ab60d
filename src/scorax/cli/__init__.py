"""Floor 6: the `scorax` command. Its parser needs the extra `cli`; JAX loads only when a command computes."""

import sys
from collections.abc import Sequence

__all__ = ["main"]

_OF_THE_EXTRA = ("rich", "typer")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: What follows `scorax`; those of the process if None.

    Returns:
        The exit status: 0 success, 1 a check of `doctor` failed or an internal error, 2 bad input or a time limit that
        passed before the first draw, 130 interrupted.

    Example:
        >>> main(["--version"])
        scorax 0.1.0
        0
    """
    try:
        from scorax.cli._border import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _OF_THE_EXTRA:
            raise
        print(f"scorax: {error.name} is missing; the command line needs: pip install 'scorax[cli]'", file=sys.stderr)
        return 2
    return run(sys.argv[1:] if arguments is None else list(arguments))
