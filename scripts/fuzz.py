"""Coverage-guided fuzzing of all that reads a spec: lint, prompts, the formatter, the language server.

    pip install atheris                     # CPython 3.11 to 3.13 on Linux
    python scripts/fuzz.py --minutes 30     # findings go to build/fuzz/findings
    python scripts/fuzz.py --distil         # afterwards: the corpus' smallest cover, into the tests
    python scripts/fuzz.py --mutants 1000   # that many edited specs, without atheris

Inputs are the specs of `specs/` and of the tests, mutated by libFuzzer byte by byte and, as often,
by `mutated` token by token. `examine` says what must not happen to any of them: an exception, a
diagnostic that names a defect of the tool or no place in the text, a text that formatting changes.
A finding is also an input that takes more than `SLOW` seconds or `LARGE` bytes. One input for each
place that failed is kept, and fuzzing goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from circuitlang import pipeline
from circuitlang.language.diagnostics import TITLES, Diagnostic, Diagnostics
from circuitlang.language.formulas import functions
from circuitlang.language.resolve import load, prelude
from circuitlang.language.source import Source
from circuitlang.language.text import syntax
from circuitlang.language.text.format import format_text
from circuitlang.language.text.grammar import METRIC_FUNCTIONS, RESERVED
from circuitlang.language.text.parse import parse
from circuitlang.lsp.analysis import Analysis
from circuitlang.lsp.completion import complete
from circuitlang.lsp.hover import hover
from circuitlang.lsp.text import Text
from circuitlang.report.diagnostics import render

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests" / "language" / "fuzz_corpus"
WORK = ROOT / "build" / "fuzz"
SLOW, LARGE = 5.0, 400_000_000
LONGEST = 16_000
MOST_FILES, MOST_BYTES = 180, 180_000

SIGNS = [*"{}[]()=:,.+-*/&@<%#'\"\\\n\r\0\ufeff", "..", "->", ">=", "==", "!=", '"""', "[*]"]
NUMBERS = ["0", "1", "2", "0.5", "5%", "1e999", "1e-999", "99999999999999999999", "007", "1e308"]
NODES = ["a0.h1", "a1.h0.q", "a9.h9", "m1", "m[*]", "a[0..1].h[*]", "m[0..999999999]", "a0.h[2..1]"]
NAMES = ["M", "none", "F", "END", "A1", "X", "heads", "any", "input", "logits", "zero", "nobody"]
TEXTS = ['"x"', '"{A}"', '"{"', '" {X:A1}"', '"toy"', '"names.txt"', '"../x"', '"graph.json"']
WORDS = sorted(RESERVED) + SIGNS + NUMBERS + NODES + NAMES + TEXTS
_TOKEN = re.compile(
    r'"""[\s\S]*?"""|"(?:\\.|[^"\\\n])*"|#[^\n]*|\w+|->|\.\.|[<>=!]=|\s+|.', re.DOTALL
)


def vocabulary() -> list[str]:
    """Words that a mutation may write: the grammar's, the functions' and the prelude's."""
    return WORDS + [
        *functions._HANDLERS,
        *METRIC_FUNCTIONS,
        *prelude(),
        "token_ids",
        "rows",
        "file",
    ]


def seeds() -> list[Path]:
    folders = (*ROOT.glob("specs/*"), *(ROOT / "tests" / "language" / f for f in ("good", "bad")))
    return sorted(p for f in (*folders, CORPUS) for p in f.glob("[!.]*.circ") if p.is_file())


def surroundings(folder: Path) -> None:
    """The files that specs name, beside the one that is examined."""
    for beside in {path.parent for path in seeds()}:
        for path in beside.iterdir():
            if path.is_dir():
                shutil.copytree(path, folder / path.name, dirs_exist_ok=True)
            elif not path.name.startswith("."):
                shutil.copyfile(path, folder / path.name)


# ---------------------------------------------------------------- one input


def examine(content: bytes, folder: Path) -> tuple[Diagnostic, ...]:
    """What is said of a spec with this content; raises what must not happen."""
    path = folder / "spec.circ"
    path.write_bytes(content)
    front = pipeline.lint(path, pipeline.Options(samples=16, pedantic=True))
    for diagnostic in front.found:
        _check(diagnostic)
    source = load(path, Diagnostics())
    if source is not None:
        _format(source)
        _edit(source, front)
    return front.found


def _check(diagnostic: Diagnostic) -> None:
    assert diagnostic.code in TITLES, diagnostic
    assert diagnostic.code != "CL901", diagnostic
    assert diagnostic.help or diagnostic.message.endswith("."), diagnostic
    for span in (diagnostic.span, *(span for span, _ in diagnostic.related)):
        assert span is None or 0 <= span.start <= span.end <= len(span.source.text), diagnostic
    assert render(diagnostic).plain.startswith(diagnostic.severity)


def _format(source: Source) -> None:
    new = format_text(source, Diagnostics())
    if new is None:
        return
    again = Source(source.name, new, source.folder)
    assert _tree(again) == _tree(source), "formatting changed the tree"
    assert format_text(again, Diagnostics()) == new, "formatting twice is not formatting once"


def _tree(source: Source) -> list[syntax.Statement]:
    diagnostics = Diagnostics()
    statements = parse(source, diagnostics).statements
    assert not diagnostics.has_errors, diagnostics.found
    nowhere = source.span(0, 0)
    return [
        replace(s, expect=(*s.expect[:2], nowhere))
        if isinstance(s, syntax.Claim) and s.expect is not None
        else s
        for s in statements
    ]


def _edit(source: Source, front: pipeline.Front) -> None:
    """What an editor asks for, at three places that depend on the text alone."""
    text = Text(source.text, source.name, source.folder, "utf-16")
    analysis = Analysis(text)
    if text.text == source.text:
        analysis.front = front
    random = Random(source.text)
    for _ in range(2):
        offset = random.randint(0, len(text.text))
        complete(text, offset, analysis)
        hover(analysis, offset)


# ---------------------------------------------------------------- mutations


def mutated(text: str, random: Random, words: Sequence[str], other: str = "") -> str:
    """The text with one to four edits of its tokens, lines or end."""
    for _ in range(random.choice((1, 1, 2, 4))):
        text = random.choice(EDITS)(text, random, words, other)
    return text


def _edited(text: str, random: Random, words: Sequence[str], other: str) -> str:
    """Cuts, doubles, swaps or replaces a token."""
    tokens = _TOKEN.findall(text)
    places = [i for i, t in enumerate(tokens) if not t.isspace()]
    if not places:
        return text + random.choice(words)
    at, also = random.choice(places), random.choice(places)
    new = random.choice((random.choice(words), tokens[also], "", f"{tokens[at]} {tokens[at]}"))
    if random.random() < 0.2:
        tokens[at], tokens[also] = tokens[also], tokens[at]
    else:
        tokens[at] = new
    return "".join(tokens)


def _renumbered(text: str, random: Random, words: Sequence[str], other: str) -> str:
    numbers = list(re.finditer(r"\d+", text))
    if not numbers:
        return text
    at = random.choice(numbers)
    return text[: at.start()] + random.choice(NUMBERS) + text[at.end() :]


def _bracketed(text: str, random: Random, words: Sequence[str], other: str) -> str:
    brackets = list(re.finditer(r"[\[\](){}\"]", text))
    if not brackets:
        return text
    at = random.choice(brackets)
    return text[: at.start()] + random.choice('[](){}" ') + text[at.end() :]


def _misspelt(text: str, random: Random, words: Sequence[str], other: str) -> str:
    names = list(re.finditer(r"[A-Za-z]\w+", text))
    if not names:
        return text
    at = random.choice(names)
    cut = random.randrange(len(at[0]))
    return (
        text[: at.start() + cut] + random.choice(["", "x", "_", "é"]) + text[at.start() + cut + 1 :]
    )


def _relined(text: str, random: Random, words: Sequence[str], other: str) -> str:
    """Cuts a line, doubles it, or takes one from the other text."""
    lines = text.split("\n")
    at = random.randrange(len(lines))
    foreign = random.choice((other or text).split("\n"))
    lines[at : at + 1] = random.choice(([], [lines[at]] * 2, [lines[at], foreign]))
    return "\n".join(lines)


def _truncated(text: str, random: Random, words: Sequence[str], other: str) -> str:
    return text[: random.randint(0, len(text))]


EDITS: tuple[Callable[[str, Random, Sequence[str], str], str], ...] = (
    *[_edited] * 6, _renumbered, _bracketed, _misspelt, *[_relined] * 2, _truncated
)  # fmt: skip


# ---------------------------------------------------------------- the run


class Target:
    """Examines inputs and keeps one for each way in which they fail."""

    def __init__(self, folder: Path, findings: Path) -> None:
        self.folder, self.findings = folder, findings

    def __call__(self, content: bytes) -> tuple[Diagnostic, ...] | None:
        """What was said of the input, None where it failed."""
        started, before, found = time.process_time(), _peak(), None
        try:
            found = examine(content, self.folder)
        except Exception as problem:
            self._keep(_place(problem), content, traceback.format_exc())
        if (seconds := time.process_time() - started) > SLOW:
            self._keep(f"slow-{int(seconds)}", content, f"{seconds:.1f} s")
        if (grown := _peak() - before) > LARGE:
            self._keep(f"large-{grown >> 20}", content, f"{grown >> 20} MiB")
        return found

    def _keep(self, name: str, content: bytes, said: str) -> None:
        if not (self.findings / f"{name}.txt").exists():
            (self.findings / f"{name}.txt").write_text(said, encoding="utf-8", errors="replace")
            (self.findings / f"{name}.circ").write_bytes(content)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _place(problem: Exception) -> str:
    """The kind of an exception and the innermost lines of ours that it passed."""
    frames = traceback.extract_tb(problem.__traceback__)
    ours = [f"{Path(f.filename).stem}.{f.lineno}" for f in frames if "circuitlang" in f.filename]
    said = re.sub(r"\W+", "_", str(problem))[:40] if isinstance(problem, AssertionError) else ""
    return "-".join([type(problem).__name__, said, *ours[-2:]])


def fuzz(arguments: list[str]) -> None:
    """The process that libFuzzer takes over; the package is instrumented as it is imported."""
    import atheris

    words = vocabulary()

    def mutate(data: bytes, largest: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < 0.3:
            changed: bytes = atheris.Mutate(data, largest)
            return changed
        text = data.decode("utf-8", "replace")
        return mutated(text, random, words, random.choice(others)).encode("utf-8", "replace")[
            :largest
        ]

    others = [path.read_text("utf-8", "replace") for path in seeds()]
    with tempfile.TemporaryDirectory() as name:
        surroundings(Path(name))
        target = Target(Path(name), WORK / "findings")
        atheris.Setup([sys.argv[0], *arguments], target, custom_mutator=mutate)
        atheris.Fuzz()


def run(minutes: float, seed: int) -> None:
    corpus, findings = WORK / "corpus", WORK / "findings"
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    for path in seeds():
        content = path.read_bytes()[:LONGEST]
        (corpus / hashlib.sha1(content).hexdigest()).write_bytes(content)
    end = time.monotonic() + 60 * minutes
    while (left := int(end - time.monotonic())) > 5:
        arguments = [
            str(corpus), f"-max_total_time={left}", f"-max_len={LONGEST}", "-len_control=0",
            "-timeout=60", "-rss_limit_mb=4000", "-print_final_stats=1", f"-seed={seed}",
            f"-artifact_prefix={findings}/", "-reload=0",
        ]  # fmt: skip
        code = (
            "import atheris\nwith atheris.instrument_imports(include=['circuitlang']):\n"
            f"    from scripts import fuzz\n    fuzz.fuzz({arguments!r})"
        )
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
        seed += 1
    print(*sorted(p.name for p in findings.glob("*.circ")), sep="\n")


# ---------------------------------------------------------------- the tests' corpus


def lines_of(content: bytes, folder: Path) -> frozenset[tuple[str, int]]:
    """The lines of the package that examining an input executes."""
    seen: set[tuple[str, int]] = set()

    def line(frame: FrameType, event: str, argument: Any) -> Any:
        seen.add((frame.f_code.co_filename, frame.f_lineno))
        return line

    def call(frame: FrameType, event: str, argument: Any) -> Any:
        return line if "circuitlang" in frame.f_code.co_filename else None

    sys.settrace(call)
    try:
        examine(content, folder)
    finally:
        sys.settrace(None)
    return frozenset(seen)


def distilled(folder: Path) -> Iterator[bytes]:
    """Small inputs of the corpus, each with lines that those before it and the specs do not reach."""
    known = {path.read_bytes() for path in seeds() if path.parent != CORPUS}
    covered = set().union(*(lines_of(content, folder) for content in known))
    small = sorted((p.read_bytes() for p in (WORK / "corpus").iterdir()), key=len)
    for content in small:
        if content not in known and not (new := lines_of(content, folder)) <= covered:
            covered |= new
            yield content


def distil() -> None:
    with tempfile.TemporaryDirectory() as name:
        surroundings(Path(name))
        size = 0
        for content in list(distilled(Path(name)))[:MOST_FILES]:
            size += len(content)
            if size <= MOST_BYTES:
                (CORPUS / f"{hashlib.sha1(content).hexdigest()[:12]}.circ").write_bytes(content)


# ---------------------------------------------------------------- edited specs


def mutants(number: int, seed: int) -> Iterator[bytes]:
    """Specs of the repository, most of them sound, each with one to four edits."""
    random, words = Random(seed), vocabulary()
    texts = {path: path.read_text("utf-8", "replace") for path in seeds()}
    every = list(texts.values())
    sound = [text for path, text in texts.items() if path.parent.name not in ("bad", CORPUS.name)]
    for _ in range(number):
        text, other = random.choice(random.choice((sound, sound, every))), random.choice(every)
        yield mutated(text, random, words, other).encode("utf-8", "replace")[:LONGEST]


def examine_mutants(number: int, seed: int) -> None:
    """Prints how many were refused, warned of or accepted, and the slowest."""
    findings = WORK / "findings"
    findings.mkdir(parents=True, exist_ok=True)
    verdicts: Counter[str] = Counter()
    slowest = 0.0
    with tempfile.TemporaryDirectory() as name:
        surroundings(Path(name))
        target = Target(Path(name), findings)
        for content in mutants(number, seed):
            started = time.process_time()
            found = target(content)
            slowest = max(slowest, time.process_time() - started)
            severities = {d.severity for d in found or ()}
            kind = next((s for s in ("error", "warning") if s in severities), "clean")
            verdicts["exception" if found is None else kind] += 1
    counts = ", ".join(f"{verdicts[k]} {k}" for k in ("error", "warning", "clean", "exception"))
    print(f"{number} edited specs, seed {seed}: {counts}; the slowest took {slowest:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--distil", action="store_true", help="renew the tests' corpus")
    parser.add_argument("--mutants", type=int, metavar="N", help="examine N edited specs")
    options = parser.parse_args()
    if options.mutants:
        examine_mutants(options.mutants, options.seed)
    elif options.distil:
        distil()
    else:
        run(options.minutes, options.seed)


if __name__ == "__main__":
    main()
