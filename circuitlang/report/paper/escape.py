"""Untrusted text as LaTeX, in prose and in code.

Characters beyond ASCII stay what they are; `declarations` says what stands for those that pdfLaTeX
does not know.
"""

from __future__ import annotations

import re
import unicodedata

from circuitlang.report.diagnostics import shown

_SPECIAL = {
    **{ord(c): f"\\{c}" for c in "$&%#_"},
    ord("{"): r"\textbraceleft{}",
    ord("}"): r"\textbraceright{}",
    ord("\\"): r"\textbackslash{}",
    ord("^"): r"\textasciicircum{}",
    ord("~"): r"\textasciitilde{}",
    ord("<"): r"\textless{}",
    ord(">"): r"\textgreater{}",
    ord("|"): r"\textbar{}",
    ord('"'): r"\char34{}",
    ord("`"): r"\textasciigrave{}",
}
_LIGATURE = re.compile(r"([-,'])(?=\1)")
_BREAK_AFTER = re.compile(r"(\\_|\()")


def escape(text: str) -> str:
    """A text of one line in prose."""
    plain = " ".join(unicodedata.normalize("NFC", shown(text)).split())
    return _LIGATURE.sub(r"\1\\/", plain.translate(_SPECIAL))


def code(text: str) -> str:
    """A text of one line in typewriter type, which may break behind `_` and `(`."""
    found = escape(text).replace("'", r"\textquotesingle{}")
    return rf"\texttt{{{_BREAK_AFTER.sub(_breakable, found)}}}"


def _breakable(match: re.Match[str]) -> str:
    return rf"{match[1]}\allowbreak{{}}"


# ---------------------------------------------------------------- beyond ASCII

LAST_KNOWN = 0xFF  # what LaTeX knows with the encodings T1 and TS1
_SYMBOLS = {
    "→": "rightarrow", "←": "leftarrow", "↑": "uparrow", "↓": "downarrow", "↔": "leftrightarrow",
    "⇒": "Rightarrow", "⇐": "Leftarrow", "⇔": "Leftrightarrow", "≤": "leq", "≥": "geq",
    "≠": "neq", "≈": "approx", "≡": "equiv", "∞": "infty", "×": "times", "·": "cdot",
    "∈": "in", "∉": "notin", "∀": "forall", "∃": "exists", "∧": "wedge", "∨": "vee",
    "¬": "neg", "∩": "cap", "∪": "cup", "∅": "emptyset", "⊆": "subseteq", "⊂": "subset",
    "−": "-", "±": "pm", "√": "surd", "∑": "sum", "∏": "prod", "∂": "partial", "∆": "Delta",
    "∼": "sim", "∝": "propto", "⊕": "oplus", "⊗": "otimes", "⋅": "cdot", "∘": "circ",
    "′": "prime", "ℓ": "ell", "∥": "parallel", "⟂": "perp", "ε": "varepsilon", "ϵ": "epsilon",
    "φ": "varphi", "ϕ": "phi", "ς": "varsigma", "ϑ": "vartheta",
}  # fmt: skip
_AS_LATIN = {
    "ALPHA": "A", "BETA": "B", "EPSILON": "E", "ZETA": "Z", "ETA": "H", "IOTA": "I", "KAPPA": "K",
    "MU": "M", "NU": "N", "RHO": "P", "TAU": "T", "CHI": "X", "OMICRON": "O",
}  # fmt: skip
_GREEK = re.compile(r"GREEK (SMALL|CAPITAL) LETTER (\w+)")


def declarations(text: str) -> str:
    """What pdfLaTeX prints for the characters of a text, where no package says it already.

    A character that has no name in plain LaTeX is printed as its number. It is what
    `\\DeclareUnicodeCharacter` does, which may stand in the preamble only.
    """
    return "".join(
        rf"\expandafter\ifx\csname u8:\detokenize{{{c}}}\endcsname\relax"
        rf"\expandafter\gdef\csname u8:\detokenize{{{c}}}\endcsname{{{_in_latex(c)}}}\fi"
        "\n"
        for c in sorted({c for c in text if ord(c) > LAST_KNOWN})
    )


def _in_latex(c: str) -> str:
    if name := _SYMBOLS.get(c) or _greek(c):
        return rf"\ensuremath{{{name if len(name) == 1 else chr(92) + name}}}"
    return rf"{{\footnotesize[U+{ord(c):04X}]}}"


def _greek(c: str) -> str | None:
    match = _GREEK.fullmatch(unicodedata.name(c, ""))
    if match is None or (match[1] == "SMALL" and match[2] == "FINAL SIGMA"):
        return None
    name = {"LAMDA": "LAMBDA"}.get(match[2], match[2])
    if match[1] == "CAPITAL":
        return _AS_LATIN.get(name, name.capitalize())
    return "o" if name == "OMICRON" else name.lower()
