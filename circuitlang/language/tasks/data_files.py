"""Data files that a spec reads: lists of lines, and columns of JSONL and CSV tables."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from circuitlang.language.diagnostics import Diagnostics, suggestion
from circuitlang.language.files import read_inside
from circuitlang.language.source import Span
from circuitlang.language.tasks.text_values import Number, Value

LONGEST_LIST = 1_000_000
_JSON = (".jsonl", ".ndjson")
_SEPARATORS = {".csv": ",", ".tsv": "\t"}


@dataclass
class DataFiles:
    """Reads files inside the spec's folder, each list once."""

    folder: Path
    diagnostics: Diagnostics
    _lists: dict[tuple[str, ...], list[Value]] = field(default_factory=dict)

    def lines(self, name: str, span: Span) -> list[Value]:
        """One text per line that is not empty."""
        if (name,) not in self._lists:
            written = self._text(name, span).split("\n")
            self._lists[name,] = [line.strip() for line in written if line.strip()]
        return self._lists[name,]

    def rows(self, name: str, columns: tuple[str, ...], span: Span) -> list[Value]:
        """One tuple per row, or one value per row when a single column is asked for."""
        key = (name, *columns)
        if key not in self._lists:
            self._lists[key] = [
                self._pick(record, columns, f'"{name}", line {line}', span)
                for line, record in self._records(name, span)
            ]
        return self._lists[key]

    def _records(self, name: str, span: Span) -> Iterator[tuple[int, dict[str, object]]]:
        suffix = Path(name).suffix.lower()
        if suffix in _JSON:
            return self._json_records(self._text(name, span), name, span)
        if suffix in _SEPARATORS:
            return self._csv_records(self._text(name, span), _SEPARATORS[suffix], name, span)
        raise self._unusable(
            f'"{name}" is neither JSONL nor CSV.', span, "use .jsonl, .csv or .tsv"
        )

    def _text(self, name: str, span: Span) -> str:
        text = read_inside(name, self.folder, span, self.diagnostics).removeprefix("\ufeff")
        if text.count("\n") > LONGEST_LIST:
            raise self.diagnostics.reject(
                "CL302",
                f'"{name}" has {text.count(chr(10)):,} lines; '
                f"a list has at most {LONGEST_LIST:,} values.",
                span,
            )
        return text

    def _unusable(self, message: str, span: Span, help: str | None = None) -> Exception:
        return self.diagnostics.reject("CL112", message, span, help)

    # ------------------------------------------------------------ tables

    def _json_records(
        self, text: str, name: str, span: Span
    ) -> Iterator[tuple[int, dict[str, object]]]:
        for line, written in enumerate(text.split("\n"), 1):
            if not written.strip():
                continue
            try:
                record = json.loads(written, parse_float=_exact, parse_int=_exact)
            except (ValueError, RecursionError) as problem:
                reason = problem.msg if isinstance(problem, json.JSONDecodeError) else "too deep"
                raise self._unusable(
                    f'"{name}", line {line}, is not JSON: {reason}.',
                    span,
                    'a JSONL file has one object per line: {"column": "text"}',
                ) from problem
            if not isinstance(record, dict):
                raise self._unusable(
                    f'"{name}", line {line}, is not a JSON object.',
                    span,
                    'write {"column": "text"}',
                )
            yield line, record

    def _csv_records(
        self, text: str, separator: str, name: str, span: Span
    ) -> Iterator[tuple[int, dict[str, object]]]:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        try:
            for record in reader:
                if None in record or None in record.values():
                    raise self._unusable(
                        f'"{name}", line {reader.line_num}, does not have '
                        f"{len(reader.fieldnames or ())} columns as the first line has.",
                        span,
                        "quote texts that hold the separator",
                    )
                yield reader.line_num, dict(record)
        except csv.Error as problem:
            raise self._unusable(
                f'"{name}", line {reader.line_num}, is not CSV: {problem}.',
                span,
                "quote texts that hold the separator",
            ) from problem

    def _pick(
        self, record: dict[str, object], columns: tuple[str, ...], where: str, span: Span
    ) -> Value:
        values: list[Value] = []
        for column in columns:
            if column not in record:
                known = ", ".join(record) or "none"
                help = (
                    suggestion(column, record) or "every line needs every column that is asked for"
                )
                raise self._unusable(
                    f"{where}, has no column `{column}`; its columns are {known}.", span, help
                )
            value = record[column]
            if not isinstance(value, str | Number) or not _is_encodable(value):
                raise self._unusable(
                    f"{where}: `{column}` is neither text nor a number.", span, "write it as text"
                )
            values.append(value)
        return values[0] if len(values) == 1 else tuple(values)


def _exact(written: str) -> Number:
    return Number(float(written), written)


def _is_encodable(value: str | Number) -> bool:
    """False for half of a surrogate pair, which JSON can spell and no tokenizer can read."""
    text = value if isinstance(value, str) else value.text
    return not any("\ud800" <= c <= "\udfff" for c in text)
