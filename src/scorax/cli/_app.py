"""The `scorax` command and its sub-commands: what they are called and what their manual says."""

from typing import Annotated

import typer

from scorax import __version__
from scorax.cli._aggregate import aggregate
from scorax.cli._agree import agree
from scorax.cli._data import data_app
from scorax.cli._debias import debias
from scorax.cli._doctor import doctor
from scorax.cli._elo import elo
from scorax.cli._judge import judge
from scorax.cli._options import EXIT_STATUS, manual
from scorax.cli._rank import rank

_EXIT_STATUS = (
    "[bold]Exit status[/bold]: 0 on success; 2 on bad input, with one message on standard error; 130 when interrupted."
)

app = typer.Typer(
    name="scorax",
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=False,
    epilog=_EXIT_STATUS,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"scorax {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def scorax(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Leaderboards and judges with honest uncertainty, from a file of votes.

    \b
    [bold]Examples[/bold]
      scorax rank battles.csv      who is best, and how sure are we?
      scorax elo games.csv         who is best by now?
      scorax aggregate orders.csv  one order from many
      scorax judge ratings.csv     which candidate is best, which judge errs?
      scorax agree ratings.csv     do the judges agree?
      scorax debias verdicts.csv   what are a judge's means worth, given some gold labels?
      scorax data list             data sets to try it on
      scorax doctor                does it work here?

    Every command has its own manual: scorax rank --help.
    """


app.command(help=manual(rank), epilog=EXIT_STATUS)(rank)
app.command(help=manual(elo), epilog=_EXIT_STATUS)(elo)
app.command(help=manual(aggregate), epilog=_EXIT_STATUS)(aggregate)
app.command(help=manual(judge), epilog=EXIT_STATUS)(judge)
app.command(help=manual(agree), epilog=_EXIT_STATUS)(agree)
app.command(help=manual(debias), epilog=_EXIT_STATUS)(debias)
app.add_typer(data_app, name="data")
app.command(help=manual(doctor), epilog="[bold]Exit status[/bold]: 0 if all is well, 1 if the self-check fails.")(
    doctor
)
