"""Words that several commands share: choices, and the options that mean the same everywhere."""

import inspect
import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

MODEL, COLUMNS, SAMPLING, OUTPUT = "Model", "Columns of FILE", "Sampling", "Output"
EXIT_STATUS = (
    "[bold]Exit status[/bold]: 0 on success, doubts included (a missed target, a time limit that cut: standard error "
    "says so); 2 on bad input, or when the time was up before the first draw, with one message on standard error; 130 "
    "when interrupted, after printing what was drawn."
)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Format(StrEnum):
    """How results are written to standard output."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


class Unlisted(StrEnum):
    """What becomes of items that a ranking leaves out."""

    ABSENT = "absent"
    LAST = "last"


class Kernel(StrEnum):
    """Which Markov chains draw."""

    NUTS = "nuts"
    AUTO = "auto"
    LAPLACE_METROPOLIS = "laplace-metropolis"
    HMC = "hmc"
    CHEES = "chees"
    MCLMC = "mclmc"
    ADJUSTED_MCLMC = "adjusted-mclmc"
    MEADS = "meads"


def seconds(text: str) -> float:
    """A length of time such as `90`, `90s`, `10m` or `1h30m`.

    Raises:
        typer.BadParameter: It is none, or nothing.
    """
    number = r"\d+(?:\.\d+)?"
    plain = text.strip().lower()
    if re.fullmatch(number, plain):
        total = float(plain)
    elif re.fullmatch(f"(?:{number}[smhd])+", plain):
        total = sum(float(n) * _SECONDS[unit] for n, unit in re.findall(f"({number})([smhd])", plain))
    else:
        raise typer.BadParameter(f"{text!r} is no time: give seconds, or a time such as 90s, 10m, 2h or 1h30m.")
    if total <= 0:
        raise typer.BadParameter(f"{text!r} leaves no time: give more than 0.")
    return total


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
Draws = Annotated[
    int | None,
    typer.Option(
        min=4,
        metavar="N",
        help="Draws kept of each chain; at most so many where --target-ess or --time-limit is given.",
        show_default="500; with --target-ess 10000",
        rich_help_panel=SAMPLING,
    ),
]
Warmup = Annotated[
    int, typer.Option(min=1, metavar="N", help="Steps of adaptation of each chain, not kept.", rich_help_panel=SAMPLING)
]
Chains = Annotated[int, typer.Option(min=1, metavar="N", help="Independent chains.", rich_help_panel=SAMPLING)]
Chosen = Annotated[
    Kernel | None,
    typer.Option(
        "--kernel",
        metavar="NAME",
        help="Which Markov chains draw. nuts works everywhere. laplace-metropolis is faster where the posterior is "
        "close to a Gaussian; auto takes it where a pilot says so, else nuts. hmc has paths of fixed length. chees, "
        "mclmc, adjusted-mclmc and meads are for many chains on an accelerator; meads wants more chains than items.",
        show_default="nuts",
        rich_help_panel=SAMPLING,
    ),
]
TargetEss = Annotated[
    int | None,
    typer.Option(
        "--target-ess",
        min=1,
        metavar="N",
        help="Stop when the smallest effective sample size, in the bulk, is N and the largest R-hat at most 1.01.",
        show_default=False,
        rich_help_panel=SAMPLING,
    ),
]
TimeLimit = Annotated[
    float | None,
    typer.Option(
        parser=seconds,
        metavar="TIME",
        help="Stop after so many seconds of sampling, or a time such as 90s, 10m or 2h, and report what was drawn.",
        show_default=False,
        rich_help_panel=SAMPLING,
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Keep the run in FILE, and go on from it if it is there: after a crash, an interrupt or a time limit the "
        "same command continues, to the last bit as if nothing had happened.",
        show_default=False,
        rich_help_panel=SAMPLING,
    ),
]
Devices = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Spread the chains over N accelerators; without any, over N cores.",
        show_default="1",
        rich_help_panel=SAMPLING,
    ),
]


def column(help: str, default: str | bool, *names: str) -> Any:
    """An option that names a column of FILE, called as its argument or by `names`."""
    return typer.Option(*names, help=help, show_default=default, metavar="NAME", rich_help_panel=COLUMNS)


ItemA = Annotated[str | None, column("One item of the comparison.", "model_a")]
ItemB = Annotated[str | None, column("The other item.", "model_b")]
Outcome = Annotated[
    str | None,
    column("model_a, model_b, tie, the winner's name, or a number from 0 (b wins) to 1 (a wins).", "winner"),
]
OutcomeValue = Annotated[
    list[str] | None,
    typer.Option(
        help="What another word in that column means, as in DRAW=0.5. Repeat it for more words.",
        metavar="WORD=X",
        rich_help_panel=COLUMNS,
        show_default=False,
    ),
]
Weight = Annotated[str | None, column("How much the row counts.", "1 for every row")]
# Of labels by judges, whichever command reads them.
JudgedItem = Annotated[str | None, column("What was judged.", "item")]
Judge = Annotated[str | None, column("Who judged it.", "judge or rater")]
Label = Annotated[str | None, column("The label given: a number, or a level.", "label or rating")]
Candidate = Annotated[str | None, column("Whose work the item is.", "candidate or model, if there")]
Gold = Annotated[str | None, column("The true label, empty where unknown.", "gold, if there")]
Ranking = Annotated[str | None, column("Which ranking the row belongs to.", "ranking")]
Item = Annotated[str | None, column("The item ranked.", "item")]
Rank = Annotated[str | None, column("Its place, 1 is best; items that share one are tied.", "rank")]


def choice(help: str, metavar: str, default: str | bool = True) -> Any:
    """An option of the model, whose help explains the words that it takes."""
    return typer.Option(help=help, show_default=default, metavar=metavar, rich_help_panel=MODEL)


Levels = Annotated[
    str | None, choice("All levels from lowest to highest, as in 1,2,3.", "LIST", "the labels found, sorted")
]
Leaving = Annotated[
    Unlisted | None,
    typer.Option(
        "--unlisted",
        metavar="WORD",
        help="Of rankings that leave items out. absent: these were not there to choose from. last: they were, and lose "
        "to all that are listed.",
        show_default="absent",
        rich_help_panel=MODEL,
    ),
]


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
