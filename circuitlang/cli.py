"""`circ`: the command line."""

from __future__ import annotations

import errno
import os
import re
import sys
from typing import Annotated, NoReturn

import typer

from circuitlang.commands import (
    attribute,
    cache,
    curve,
    deciding,
    diff,
    discover,
    effects,
    exchange,
    lens,
    listing,
    locking,
    reporting,
    text,
)

INTERRUPTED = 130

app = typer.Typer(
    name="circ",
    help="Decide the claims that a .circ file makes about a transformer circuit.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(deciding.check)
app.command("eval")(deciding.evaluate)
app.command()(locking.lock)
app.command()(locking.verify)
app.command()(text.lint)
app.command()(text.fmt)
app.command()(diff.diff)
app.command()(text.show)
app.command()(deciding.plan)
app.command()(reporting.report)
app.command()(effects.effects)
app.command()(attribute.attribute)
app.command()(lens.lens)
app.command()(discover.discover)
app.command()(curve.curve)
app.command()(exchange.convert)
app.command()(exchange.export)
app.command()(text.explain)
app.command()(text.new)
app.command()(text.lsp)
app.command()(deciding.schema)
app.command("list")(listing.list_specs)
app.add_typer(cache.app, name="cache")


@app.callback(invoke_without_command=True)
def version(
    show_version: Annotated[bool, typer.Option("--version", help="print the version")] = False,
) -> None:
    if show_version:
        from importlib.metadata import version as installed

        print(f"circuitlang {installed('circuitlang')}")
        raise typer.Exit(0)


def main() -> None:
    """The entry point: nothing a user can do ends in a traceback."""
    try:
        code = app(standalone_mode=False) or 0
        sys.stdout.flush()
        if code == INTERRUPTED:
            print("interrupted", file=sys.stderr)
        sys.exit(code)
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        _leave_pipe()
    except SystemExit as ended:
        # typer and rich end with 1 where the reader of a pipe has gone.
        if isinstance(ended.__context__, BrokenPipeError):
            _leave_pipe()
        raise
    except Exception as problem:
        if isinstance(problem, OSError) and problem.errno == errno.ENOSPC:
            print("error: the output cannot be written: no space is left", file=sys.stderr)
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(2)
        if hasattr(problem, "show"):  # wrong usage, as typer words it
            if hasattr(problem, "message"):
                problem.message = _reworded(problem.message)
            problem.show()
            sys.exit(2)
        if os.environ.get("CIRC_TRACEBACK"):
            raise
        print(
            f"error[CL901]: a defect of circuitlang: {type(problem).__name__}: {problem}\n"
            "  help: set CIRC_TRACEBACK=1 to see where, and please report it",
            file=sys.stderr,
        )
        sys.exit(2)


def _leave_pipe() -> NoReturn:
    """Ends where nobody reads what is printed, which is no mistake."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(0)


def _reworded(message: str) -> str:
    """What typer says of wrong usage without its validator's words, and of a choice the likely one."""
    from circuitlang.language.diagnostics import did_you_mean

    said = message.removeprefix("Value error, ")
    choice = re.fullmatch(r"'(.*)' is not one of ('.*')\.", said, re.DOTALL)
    close = choice and did_you_mean(choice[1], re.findall(r"'([^']*)'", choice[2]))
    return f"{said} Did you mean '{close}'?" if close else said


if __name__ == "__main__":
    main()
