"""Claims, reported numbers, a circuit and the spec as LaTeX for an appendix."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pygments import highlight
from pygments.formatters import LatexFormatter

from circuitlang.highlight import CircLexer
from circuitlang.report.diagnostics import shown
from circuitlang.report.document import CheckDocument
from circuitlang.report.page.figure import Figure
from circuitlang.report.paper.escape import code, declarations, escape
from circuitlang.report.paper.rows import Row, claim_rows, named, provenance, report_rows
from circuitlang.report.paper.tikz import tikz
from circuitlang.report.terminal import summary

ENDS_MINTED = re.compile(r"\\end\s*\{\s*minted\s*\}")
CLAIMS = ("claim", "value", "interval", "threshold", "$n$", "verdict")
REPORTS = ("number", "of", "value", "interval", "$n$")
# Of a table: lines, and characters in a line of its first column.
LONGEST, CHARACTERS = 50, 34
_NUMBER = r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?%?"
_COMPARED = re.compile(rf"(>=|<=|==|!=|>|<) ?({_NUMBER})")
_WITHIN = re.compile(rf"in ({_NUMBER})\.\.({_NUMBER})")
_SIGNS = {">=": r"\geq", "<=": r"\leq", "==": "=", "!=": r"\neq", ">": ">", "<": "<"}
_PREFIX = "CIRC"


def latex(
    document: CheckDocument,
    figure: Figure | None,
    source: str,
    *,
    minted: bool = False,
    standalone: bool = False,
) -> str:
    """What `\\input` takes, or a document. With `minted` the spec must not match `ENDS_MINTED`."""
    packages = _packages(figure, minted)
    parts = [*_tables(document), *_drawn(figure), _listing(document, source, minted)]
    body = "\n".join(parts)
    if not standalone:
        needs = "\n".join(f"%   {line}" for line in packages)
        head = f"% {escape(named(document))}, written by circ export. The preamble needs\n{needs}\n"
        return head + declarations(body) + body
    authors = r" \and ".join(map(escape, document.authors))
    lines = [
        r"\documentclass{article}",
        r"\usepackage[margin=2.5cm]{geometry}",
        *packages,
        r"\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}",
        r"\usepackage[hidelinks]{hyperref}",
        rf"\title{{{escape(document.heading or named(document))}}}",
        rf"\author{{{authors}}}",
        r"\date{}",
        r"\begin{document}",
        r"\maketitle",
        *_references(document),
    ]
    text = "\n".join([*lines, body, r"\end{document}", ""])
    return text.replace(r"\title{", declarations(text) + r"\title{", 1)


def _packages(figure: Figure | None, minted: bool) -> list[str]:
    drawn = ",graphicx,tikz" if figure is not None else ""
    return [
        r"\usepackage[T1]{fontenc}",
        r"\usepackage{textcomp}",
        rf"\usepackage{{array,booktabs,tabularx{drawn}}}",
        r"\usepackage{minted}" if minted else r"\usepackage{fvextra,xcolor}",
    ]


def _references(document: CheckDocument) -> Iterator[str]:
    named_in = [*([f"doi:{document.doi}"] if document.doi else []), *document.papers]
    if named_in:
        yield rf"\noindent\begingroup\raggedright {'; '.join(map(escape, named_in))}.\par\endgroup"


# ---------------------------------------------------------------- tables


@dataclass(frozen=True)
class _Form:
    """Of a table: `columns` as tabularx has them, and what stands above the rows."""

    columns: str
    heads: tuple[str, ...]
    caption: str
    label: str


def _tables(document: CheckDocument) -> Iterator[str]:
    name = escape(named(document))
    if document.claims:
        about = "; ".join(map(escape, provenance(document)))
        said = rf"The claims of \texttt{{{name}}}: {escape(summary(document).plain)} ({about})."
        form = _Form("Xrllrl", CLAIMS, said, f"{document.spec}-claims")
        yield from _floats(form, claim_rows(document), _claim)
    if document.reports:
        said = rf"Numbers that \texttt{{{name}}} reports and claims nothing about."
        form = _Form("XXrlr", REPORTS, said, f"{document.spec}-reported")
        yield from _floats(form, report_rows(document), _report)


def _claim(row: Row) -> list[str]:
    verdict = escape(row.verdict)
    return [
        f"{code(row.name)}: {escape(row.says) if row.says else code(row.written)}",
        _number(row.value),
        _interval(row.interval),
        _threshold(row.threshold),
        row.n,
        verdict if row.ok else rf"\textbf{{{verdict}}}",
    ]


def _report(row: Row) -> list[str]:
    name = f"{code(row.name)}: {escape(row.says)}" if row.says else code(row.name)
    of = code(row.written) if row.written else ""
    return [name, of, _number(row.value), _interval(row.interval), row.n]


def _floats(
    form: _Form, rows: Iterable[Row], cells_of: Callable[[Row], list[str]]
) -> Iterator[str]:
    """Tables of about a page at most: no environment for longer ones stands in two columns."""
    part: list[str] = []
    lines, again = 0, ""
    for row in rows:
        taken = 1 + len(f"{row.name}: {row.says or row.written}") // CHARACTERS
        if part and lines + taken > LONGEST:
            yield _float(form, part, again)
            part, lines, again = [], 0, " (continued)"
        part.append(" & ".join(cells_of(row)) + r" \\")
        lines += taken
    yield _float(form, part, again)


def _float(form: _Form, rows: list[str], again: str) -> str:
    columns = form.columns.replace("X", r">{\raggedright\arraybackslash}X")
    label = "" if again else rf"\label{{tab:{_label(form.label)}}}"
    lines = [
        r"\begin{table*}[htbp]",
        r"\centering\small\setlength{\extrarowheight}{2pt}",
        rf"\caption{{{form.caption}{again}}}{label}",
        rf"\begin{{tabularx}}{{\linewidth}}{{@{{}}{columns}@{{}}}}",
        r"\toprule",
        " & ".join(form.heads) + r" \\",
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabularx}",
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def _label(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]+", "-", text)


def _number(text: str) -> str:
    plain = text.replace("∞", r"\infty ").replace("nan", r"\mathrm{nan}").replace("%", r"\%")
    mantissa, _, exponent = plain.partition("e")
    if exponent:
        plain = rf"{mantissa}\cdot 10^{{{int(exponent)}}}"
    return f"${plain}$" if plain else ""


def _interval(text: str) -> str:
    if not text.startswith("["):
        return escape(text)
    low, high = text[1:-1].split(", ")
    return f"$[{_number(low)[1:-1]}, {_number(high)[1:-1]}]$"


def _threshold(text: str) -> str:
    """`>= 5.4 (measured)` and the like as formulas, anything else as text."""
    said, bracket, rest = text.partition(" (")
    after = f" ({escape(rest)}" if bracket else ""
    if match := _COMPARED.fullmatch(said):
        return f"${_SIGNS[match[1]]} {_number(match[2])[1:-1]}${after}"
    if match := _WITHIN.fullmatch(said):
        low, high = (_number(end)[1:-1] for end in match.groups())
        return rf"$\in [{low}, {high}]${after}"
    return escape(text)


# ---------------------------------------------------------------- circuit and spec


def _drawn(figure: Figure | None) -> Iterator[str]:
    if figure is None:
        return
    note = f" {escape(figure.note)}" if figure.note else ""
    yield "\n".join(
        [
            r"\begin{figure*}[htbp]",
            r"\centering",
            tikz(figure),
            rf"\caption{{{escape(figure.description)}.{note}}}\label{{fig:{_label(figure.name)}}}",
            r"\end{figure*}",
            "",
        ]
    )


def _listing(document: CheckDocument, source: str, minted: bool) -> str:
    """The spec in colour: by minted where that is wanted, else as Pygments writes it, without it."""
    text = shown(source).replace("\f", " ").rstrip("\n") + "\n"
    shape = r"breaklines,breakanywhere,fontsize=\footnotesize"
    if minted:
        return f"\\begin{{minted}}[{shape}]{{circ}}\n{text}\\end{{minted}}\n"
    formatter = LatexFormatter(style="default", commandprefix=_PREFIX, verboptions=shape)
    lexer = CircLexer(stripnl=False, ensurenl=False)
    return f"{formatter.get_style_defs()}\n{highlight(text, lexer, formatter)}"
