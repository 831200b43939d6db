"""Data files that a spec reads: lists of lines, and columns of JSON, JSONL and CSV tables."""

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
LONGEST_TEXT = 100_000
_JSON_LINES = (".jsonl", ".ndjson")
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_LINE = 'a JSONL file has one object per line: {"column": "text"}'
_WHOLE = 'write [{"column": "text"}, ...], or {"prompts": [...]} as AutoCircuit does'

Record = dict[str, object]


@dataclass
class DataFiles:
    """Reads files inside the folder of the spec that names them, each list once."""

    diagnostics: Diagnostics
    _lists: dict[tuple[Path | str, ...], list[Value]] = field(default_factory=dict)

    def lines(self, name: str, span: Span) -> list[Value]:
        """One text per line that is not empty."""
        key = (span.source.folder, name)
        if key not in self._lists:
            written = self._text(name, span).split("\n")
            self._lists[key] = [
                self._bounded(line.strip(), f'"{name}", line {number},', span)
                for number, line in enumerate(written, 1)
                if line.strip()
            ]
        return self._lists[key]

    def rows(self, name: str, columns: tuple[str, ...], span: Span) -> list[Value]:
        """One tuple per row, or one value per row when a single column is asked for."""
        key: tuple[Path | str, ...] = (span.source.folder, name, *columns)
        if key not in self._lists:
            self._lists[key] = [
                self._pick(record, columns, f'"{name}", {where}', span)
                for where, record in self._records(name, span)
            ]
        return self._lists[key]

    def _records(self, name: str, span: Span) -> Iterator[tuple[str, Record]]:
        suffix = Path(name).suffix.lower()
        if suffix in _JSON_LINES:
            return self._json_lines(self._text(name, span), name, span)
        if suffix == ".json":
            return self._json_list(self._text(name, span), name, span)
        if suffix in _SEPARATORS:
            return self._csv_records(self._text(name, span), _SEPARATORS[suffix], name, span)
        raise self._unusable(
            f'"{name}" is neither JSON nor CSV.', span, "use .jsonl, .json, .csv or .tsv"
        )

    def _text(self, name: str, span: Span) -> str:
        text = read_inside(name, span.source.folder, span, self.diagnostics).removeprefix("\ufeff")
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

    def _json_lines(self, text: str, name: str, span: Span) -> Iterator[tuple[str, Record]]:
        for number, written in enumerate(text.split("\n"), 1):
            if written.strip():
                where = f"line {number}"
                found = self._parsed(written, f'"{name}", {where},', span, _LINE)
                yield where, self._object(found, f'"{name}", {where},', span)

    def _json_list(self, text: str, name: str, span: Span) -> Iterator[tuple[str, Record]]:
        """A list of objects, or, as AutoCircuit writes tasks, an object that has it as `prompts`."""
        found = self._parsed(text, f'"{name}"', span, _WHOLE)
        if isinstance(found, dict):
            found = found.get("prompts")
        if not isinstance(found, list):
            raise self._unusable(f'"{name}" holds no list of objects.', span, _WHOLE)
        for number, record in enumerate(found, 1):
            where = f"entry {number}"
            yield where, self._object(record, f'"{name}", {where},', span)

    def _parsed(self, text: str, where: str, span: Span, help: str) -> object:
        size = sum(map(text.count, "[{,"))
        if size > LONGEST_LIST:
            raise self.diagnostics.reject(
                "CL302",
                f"{where} holds up to {size:,} values; the limit is {LONGEST_LIST:,}.",
                span,
                "keep the part that the spec needs",
            )
        try:
            return json.loads(text, parse_float=_exact, parse_int=_exact)
        except (ValueError, RecursionError) as problem:
            at = ""
            reason = "it is nested too deeply"
            if isinstance(problem, json.JSONDecodeError):
                reason = problem.msg
                at = f" (line {problem.lineno})" if "\n" in text else ""
            raise self._unusable(f"{where} is not JSON: {reason}{at}.", span, help) from problem

    def _object(self, found: object, where: str, span: Span) -> Record:
        if not isinstance(found, dict):
            raise self._unusable(f"{where} is not a JSON object.", span, 'write {"column": "text"}')
        return found

    def _csv_records(
        self, text: str, separator: str, name: str, span: Span
    ) -> Iterator[tuple[str, Record]]:
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
                yield f"line {reader.line_num}", dict(record)
        except csv.Error as problem:
            raise self._unusable(
                f'"{name}", line {reader.line_num}, is not CSV: {problem}.',
                span,
                "quote texts that hold the separator",
            ) from problem

    def _pick(self, record: Record, columns: tuple[str, ...], where: str, span: Span) -> Value:
        values: list[Value] = []
        for column in columns:
            if column not in record:
                known = ", ".join(record) or "none"
                help = (
                    suggestion(column, record) or "every entry needs every column that is asked for"
                )
                raise self._unusable(
                    f"{where}, has no column `{column}`; its columns are {known}.", span, help
                )
            values.append(self._cell(record[column], f"{where}: `{column}`", span))
        return values[0] if len(values) == 1 else tuple(values)

    def _cell(self, value: object, where: str, span: Span) -> Value:
        if isinstance(value, list):
            return [self._text_cell(member, where, span) for member in value]
        return self._text_cell(value, where, span)

    def _text_cell(self, value: object, where: str, span: Span) -> str | Number:
        if not isinstance(value, str | Number) or not _is_encodable(value):
            raise self._unusable(f"{where} is neither text nor a number.", span, "write it as text")
        self._bounded(str(value), where, span)
        return value

    def _bounded(self, text: str, where: str, span: Span) -> str:
        if len(text) > LONGEST_TEXT:
            raise self.diagnostics.reject(
                "CL302",
                f"{where} has {len(text):,} characters; a text has at most {LONGEST_TEXT:,}.",
                span,
                "shorten it",
            )
        return text


def _exact(written: str) -> Number:
    return Number(float(written), written)


def _is_encodable(value: str | Number) -> bool:
    """False for half of a surrogate pair, which JSON can spell and no tokenizer can read."""
    text = value if isinstance(value, str) else value.text
    return not any("\ud800" <= c <= "\udfff" for c in text)
