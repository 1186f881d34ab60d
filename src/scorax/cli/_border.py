"""The border between commands and the shell: what fails becomes one message and an exit status."""

import os
import sys
import traceback

import typer

from scorax.cli._app import app
from scorax.cli._session import INTERRUPTED
from scorax.cli._words import in_words_of_the_shell

BAD_INPUT = 2
# What a process that was killed by the closing of its pipe would return.
_PIPE_CLOSED = 141


def run(arguments: list[str]) -> int:
    """Run the command that `arguments` name and return its exit status."""
    command = typer.main.get_command(app)
    try:
        # Not `command.main`, which has its own ideas of interrupts and closed pipes.
        with command.make_context("scorax", list(arguments)) as context:
            status = command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as over:
        return over.exit_code
    except KeyboardInterrupt as interrupt:
        print("\nscorax: interrupted", *interrupt.args, sep="; ", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Nobody reads on, as in `scorax rank ... | head`; nor will they read what the interpreter flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    except Exception as error:
        message = _message(error)
        if message is None:
            raise
        if "--debug" in arguments:
            traceback.print_exc()
        if message:
            print(f"scorax: {message}", file=sys.stderr)
        return BAD_INPUT
    return status or 0


def _message(error: Exception) -> str | None:
    """What to tell the user about input that cannot be used; None if the fault is ours."""
    usage = getattr(error, "format_message", None)
    if usage is not None and not usage():
        # No command at all: its manual has been printed.
        return ""
    if usage is not None:
        context = getattr(error, "ctx", None)
        where = f"\n  See: {context.command_path} --help" if context is not None else ""
        return f"{usage()}{where}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    # An `ImportError` without a name was written for people: which extra to install.
    if isinstance(error, ValueError | OSError) or (isinstance(error, ImportError) and error.name is None):
        return "\n  ".join(in_words_of_the_shell(str(error)).splitlines())
    return None
