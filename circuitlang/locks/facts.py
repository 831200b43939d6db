"""What a check of a spec rests on: its meaning, files, models, prompts and runs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitlang.compiler.collect import all_runs, expand_examples
from circuitlang.compiler.draws import per_draw
from circuitlang.front import Front, Options, everything_asked, pairs_used
from circuitlang.language.models.find import Found
from circuitlang.language.prompt import Prompt
from circuitlang.language.spec import ModelReference
from circuitlang.lockfile.form import (
    Facts,
    LockedMeaning,
    LockedModel,
    LockedPart,
    LockedPlan,
    LockedTask,
)
from circuitlang.meaning import canonical, digest, meaning

if TYPE_CHECKING:
    from circuitlang.store import Store

NUMERICS = {
    "float32": "weights as published, products in float32 without TF32",
    "float64": "weights as published, everything in float64",
}

Used = Mapping[str, tuple[Found, str | None]]
"""Where the models lie and on which device they run, by name."""


def facts_of(
    front: Front,
    options: Options | None = None,
    used: Used | None = None,
    *,
    whole: bool = False,
) -> Facts:
    """The facts of a spec, its prompts as far as they are drawn.

    `used` says more of the models than the front, which has not loaded them. Without `options`
    nothing is read that the front has not: a model's files and the plan are left out. Files of a
    model that its commit identifies are read only for the `whole`.
    """
    assert front.resolved is not None
    spec = front.resolved.spec
    known: Used = {name: (found, None) for name, found in front.resolved.found.items()}
    known = {**known, **(used or {})}
    models = {name: _model(model, *known[name]) for name, model in spec.models.items()}
    stated = _meaning(front)
    if options is not None:
        from circuitlang.measurement.runner import open_store

        with closing(open_store(front, options, create=False)) as store:
            models = {
                name: _with_digests(model, known[name][0], store)
                if whole or model.commit is None
                else model
                for name, model in models.items()
            }
    return Facts(
        spec=spec.name,
        spec_version=spec.version,
        title=spec.title,
        authors=spec.authors,
        doi=spec.doi,
        plan=_plan(front) if options is not None else None,
        files=_files(front),
        models={name.strip('"'): model for name, model in models.items()},
        tasks=_tasks(front),
        meaning=stated,
    )


def _meaning(front: Front) -> LockedMeaning:
    stated = meaning(front).model_dump(mode="json")
    parts = {
        name: LockedPart(digest=digest(entry["content"]), json=canonical(entry).decode())
        for name, entry in stated.pop("entries").items()
    }
    whole = digest({name: part.digest for name, part in parts.items()})
    return LockedMeaning(digest=whole, json=canonical(stated).decode(), parts=parts)


# ---------------------------------------------------------------- models and files


def _model(model: ModelReference, found: Found, device: str | None) -> LockedModel:
    shape = {name: value for name, value in asdict(model.shape).items() if value is not None}
    return LockedModel(
        reference=model.reference,
        title=found.title,
        revision=model.revision,
        commit=found.commit,
        dtype=model.dtype,
        bos=model.bos,
        device=device,
        numerics=NUMERICS[model.dtype],
        shape=shape,
    )


def _with_digests(model: LockedModel, found: Found, store: Store) -> LockedModel:
    """With what the files of the model hold, as far as they are on this machine."""
    from circuitlang.content import model_content, weight_files

    tokenizer = [found.tokenizer] if found.tokenizer is not None else []
    files: dict[str, str] = {}
    for path in (*weight_files(found), *tokenizer):
        with suppress(OSError):
            files[path.name] = f"sha256:{store.file_digest(path)}"
    content = model_content(found, store.file_digest)
    return model.model_copy(update={"content": content, "files": files})


def _files(front: Front) -> dict[str, str]:
    """Imports and data files."""
    assert front.resolved is not None
    folder = front.resolved.source.folder.resolve()
    read = front.diagnostics.read.items()
    found = {Path(os.path.relpath(p, folder)).as_posix(): f"sha256:{held}" for p, held in read}
    return dict(sorted(found.items()))


# ---------------------------------------------------------------- prompts and runs


def _tasks(front: Front) -> dict[str, LockedTask]:
    assert front.resolved is not None
    found = {}
    for (task, name), drawn in front.prompts.items():
        model = name.strip('"')
        found[f"{task} {model}"] = LockedTask(
            task=task,
            model=model,
            seed=front.resolved.tasks[task].seed,
            split=front.resolved.tasks[task].split,
            prompts=len(drawn.prompts),
            prompts_digest=_digest_of(drawn.prompts),
            references=len(drawn.references),
            references_digest=_digest_of(drawn.references),
            population=drawn.population,
            enumerated=drawn.enumerated,
        )
    return found


def _digest_of(prompts: Iterable[Prompt]) -> str:
    return digest([{**_rendered(p), "donors": list(map(_rendered, p.donors))} for p in prompts])


def _rendered(prompt: Prompt) -> dict[str, Any]:
    return {
        "template": prompt.template,
        "text": _printable(prompt.text),
        "tokens": list(prompt.tokens),
        "places": {label: list(span) for label, span in prompt.spans.items()},
        "token sets": {name: list(ids) for name, ids in prompt.answers.items()},
        "corrupted": {
            name: [_printable(prompt.corrupted_text[name]), list(tokens)]
            for name, tokens in prompt.corrupted.items()
        },
    }


def _printable(text: str) -> str:
    """Without halves of surrogate pairs, which JSON files can spell and canonical JSON cannot."""
    return text.encode("utf-8", "backslashreplace").decode()


def _plan(front: Front) -> LockedPlan | None:
    """None while prompts that something needs are not drawn, or only some claims are asked for."""
    from circuitlang.content import Contents
    from circuitlang.measurement.batch import requests_of
    from circuitlang.measurement.measuring import needed_runs

    assert front.resolved is not None
    spec = front.resolved.spec
    whole = Front(front.diagnostics, front.resolved, everything_asked(spec), (), front.prompts)
    models = pairs_used(whole)
    if set(models) - set(front.prompts):
        return None
    counts = {task: len(drawn.prompts) for (task, _), drawn in front.prompts.items()}
    needed = needed_runs(whole, (expand_examples(form, counts) for form, _ in whole.asked))
    asked: list[str] = []
    runs = 0
    for (task, name), drawn in sorted(front.prompts.items()):
        requests = requests_of(needed, task, name)
        if requests:
            contents = Contents("", models[task, name], "", drawn)
            keys = (contents.asked(run, m) for run, metrics in requests.items() for m in metrics)
            asked.append(f"{name}: {digest(sorted(keys))}")
            runs += len(all_runs(per_draw(requests)))
    return LockedPlan(runs=runs, digest=digest(asked))
