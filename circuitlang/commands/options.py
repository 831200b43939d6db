"""What several commands take on the command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from circuitlang.commands.printing import print_diagnostics_of

if TYPE_CHECKING:
    from circuitlang.front import Options


def memory_size(text: str) -> int:
    """Bytes in a size such as 4GiB; raises `typer.BadParameter`."""
    from pydantic import ByteSize, TypeAdapter, ValidationError

    try:
        found = int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        found = 0
    if found < 1:
        raise typer.BadParameter(f"`{text}` is no size; write one like 4GiB, 500MB or 2000000000")
    return found


Files = Annotated[list[Path], typer.Argument(help=".circ files", metavar="FILE")]
OneFile = Annotated[Path, typer.Argument(help="a .circ file", metavar="FILE")]
AsJson = Annotated[bool, typer.Option("--json", help="print the result document as JSON")]
PerExample = Annotated[bool, typer.Option("--per-example", help="include one number per prompt")]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:N")]
Samples = Annotated[
    int | None, typer.Option(min=1, max=100_000, help="prompts per task, instead of the spec's")
]
Seed = Annotated[int | None, typer.Option(min=0, help="seed of the sample, instead of the spec's")]
Chunk = Annotated[int | None, typer.Option(min=1, help="prompts that run together")]
Memory = Annotated[
    int | None,
    typer.Option(
        parser=memory_size,
        metavar="SIZE",
        help="what tensors may take besides the models, such as 4GiB or 500MB",
    ),
]
Quick = Annotated[bool, typer.Option(help="32 prompts per task; the table's title says so")]
StoreFolder = Annotated[
    Path | None,
    typer.Option("--store", metavar="DIR", help="where runs are stored, instead of .circ by FILE"),
]
NoStore = Annotated[bool, typer.Option("--no-store", help="neither read nor store runs")]
Fresh = Annotated[bool, typer.Option("--fresh", help="execute every run, stored or not")]
AgainstReference = Annotated[
    bool,
    typer.Option(
        "--against-reference",
        help="execute a sample of runs again with the reference executor, and compare",
    ),
]
ClaimNames = Annotated[
    list[str] | None, typer.Option("--claim", help="only this claim (may be repeated)")
]

# Fields of `Options` and the flags that set them, with what stands where none is given.
_FLAGS: dict[str, tuple[Any, Any]] = {
    "device": (Device, "cpu"),
    "samples": (Samples, None),
    "seed": (Seed, None),
    "claim": (ClaimNames, None),
    "quick": (Quick, False),
    "chunk": (Chunk, None),
    "memory": (Memory, None),
    "store": (StoreFolder, None),
    "no_store": (NoStore, False),
    "fresh": (Fresh, False),
    "against_reference": (AgainstReference, False),
}
EXECUTING = ("device", "chunk", "memory", "store", "no_store", "fresh")
SAMPLING = ("samples", "seed", "quick")
DECIDING = (*SAMPLING, "claim", *EXECUTING)


def with_options(*flags: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the named flags in place of its parameter `options`, made of them."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def called(**given: Any) -> None:
            command(**_rest(given, flags), options=_options({f: given[f] for f in flags}))

        hints = get_type_hints(command, localns={"Options": Any}, include_extras=True)
        parameters: list[inspect.Parameter] = []
        for name, one in inspect.signature(command).parameters.items():
            if name == "options":
                parameters += [_parameter(flag, *_FLAGS[flag]) for flag in flags]
            else:
                parameters.append(_parameter(name, hints[name], one.default))
        called.__name__, called.__doc__ = command.__name__, command.__doc__
        called.__annotations__ = {}
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return called

    return decorate


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def _rest(given: dict[str, Any], flags: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in flags}


def _options(given: dict[str, Any]) -> Options:
    from circuitlang.front import Options

    if "claim" in given:
        given["claims"] = tuple(given.pop("claim") or ())
    if "no_store" in given:
        given["stored"] = not given.pop("no_store")
    return Options(**given)


def refuse_with_lock(what: str, options: Options, per_example: bool = False) -> None:
    """A lock is of the spec's own prompts; ends the command where the options ask for others."""
    from circuitlang.language.diagnostics import Diagnostic

    given = {
        "--quick": options.quick,
        "--samples": options.samples is not None,
        "--seed": options.seed is not None,
        "--per-example": per_example,
    }
    refused = [name for name, is_given in given.items() if is_given]
    if refused:
        message = (
            f"`{what}` is about the spec as it is written, so `{refused[0]}` does not go with it."
        )
        help = (
            "a lock has no numbers of single prompts; `circ check --per-example` has"
            if refused == ["--per-example"]
            else "change `sample` or `seed` in the spec; `circ verify --seed` is for fresh prompts"
        )
        print_diagnostics_of([Diagnostic("CL719", message, None, help)])
        raise typer.Exit(2)
