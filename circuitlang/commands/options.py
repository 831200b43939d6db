"""What several commands take on the command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from circuitlang.commands.printing import print_diagnostics_of

if TYPE_CHECKING:
    from circuitlang.discovery.experiment import Context
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
# Fields of `Context` and the flags that set them, each the spec's default where it is not given.
_CONTEXT: dict[str, Any] = {
    field: Annotated[str | None, typer.Option(f"--{field.rstrip('_')}", metavar=name, help=says)]
    for field, name, says in (
        ("on", "TASK", "the task, instead of the spec's default"),
        ("under", "ABLATION", "the ablation, instead of the spec's default"),
        ("by", "METRIC", "the metric, instead of the spec's default"),
        ("with_", "MODEL", "the model, instead of the spec's default"),
        ("free", "NODES", "nodes that are never ablated, instead of the spec's default"),
    )
}
EXECUTING = ("device", "chunk", "memory", "store", "no_store", "fresh")
SAMPLING = ("samples", "seed", "quick")
DECIDING = (*SAMPLING, "claim", *EXECUTING)


def with_options(*flags: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the named flags in place of its parameter `options`, made of them.

    A parameter `context` is made of the context words' flags in the same way.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        unnamed = {"Options": Any, "Context": Any}
        hints = get_type_hints(command, localns=unnamed, include_extras=True)
        signature = inspect.signature(command).parameters
        words = tuple(_CONTEXT) if "context" in signature else ()

        def called(**given: Any) -> None:
            made: dict[str, Any] = {"options": _options({f: given.pop(f) for f in flags})}
            if words:
                made["context"] = _context({word: given.pop(word) for word in words})
            command(**given, **made)

        parameters: list[inspect.Parameter] = []
        for name, one in signature.items():
            if name == "options":
                parameters += [_parameter(flag, *_FLAGS[flag]) for flag in flags]
            elif name == "context":
                parameters += [_parameter(word, _CONTEXT[word], None) for word in words]
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


def _options(given: dict[str, Any]) -> Options:
    from circuitlang.front import Options

    if "claim" in given:
        given["claims"] = tuple(given.pop("claim") or ())
    if "no_store" in given:
        given["stored"] = not given.pop("no_store")
    return Options(**given)


def _context(given: dict[str, Any]) -> Context:
    from circuitlang.discovery.experiment import Context

    return Context(**given)


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
