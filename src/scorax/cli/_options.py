"""Words that several commands share: choices, and the options that mean the same everywhere."""

import inspect
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

MODEL, COLUMNS, SAMPLING, OUTPUT = "Model", "Columns of FILE", "Sampling", "Output"


class Format(StrEnum):
    """How results are written to standard output."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


Level = Annotated[
    float, typer.Option(help="Level of all intervals, between 0 and 1.", metavar="P", rich_help_panel=OUTPUT)
]
Output = Annotated[Format, typer.Option("--format", help="Written to standard output.", rich_help_panel=OUTPUT)]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Folder for files, created if need be. Without it no file is written.",
        metavar="DIR",
        rich_help_panel=OUTPUT,
    ),
]
Plot = Annotated[
    bool | None,
    typer.Option(
        "--plot/--no-plot", help="Draw the figure into DIR.", show_default="if it can be drawn", rich_help_panel=OUTPUT
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Nothing on standard error but errors.", rich_help_panel=OUTPUT)
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=OUTPUT)]
Seed = Annotated[
    int,
    typer.Option(
        min=0, metavar="N", help="Of the random numbers: the same seed, the same draws.", rich_help_panel=SAMPLING
    ),
]
Draws = Annotated[int, typer.Option(min=4, metavar="N", help="Draws kept of each chain.", rich_help_panel=SAMPLING)]
Warmup = Annotated[
    int, typer.Option(min=1, metavar="N", help="Steps of adaptation of each chain, not kept.", rich_help_panel=SAMPLING)
]
Chains = Annotated[int, typer.Option(min=1, metavar="N", help="Independent chains.", rich_help_panel=SAMPLING)]


def column(help: str, default: str) -> Any:
    """An option that names a column of FILE."""
    return typer.Option(help=help, show_default=default, metavar="NAME", rich_help_panel=COLUMNS)


def choice(help: str, metavar: str, default: str | bool = True) -> Any:
    """An option of the model, whose help explains the words that it takes."""
    return typer.Option(help=help, show_default=default, metavar=metavar, rich_help_panel=MODEL)


def manual(command: Callable[..., object]) -> str:
    """The docstring of a command: paragraphs as single lines that any terminal can wrap, examples as they are."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(text if text.startswith("\b") else text.replace("\n", " ") for text in paragraphs)


def check_level(level: float) -> None:
    """Refuse a level of intervals outside (0, 1), before any work."""
    if not 0 < level < 1:
        raise ValueError(f"--level must lie between 0 and 1, such as 0.95, not {level:g}")


def plot_wanted(plot: bool | None, out: Path | None) -> bool:
    """Whether a figure is to be drawn: by default, if there is a folder for it and something to draw it with.

    Raises:
        ValueError: It was asked for, and one of the two is missing.
    """
    from importlib.util import find_spec

    drawable = find_spec("matplotlib") is not None
    if plot and out is None:
        raise ValueError("--plot needs a folder to draw into: add --out DIR")
    if plot and not drawable:
        raise ValueError("--plot needs matplotlib: pip install 'scorax[plot]'")
    return out is not None and drawable and plot is not False
