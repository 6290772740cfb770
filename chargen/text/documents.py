"""Documents: the short texts that a source holds, such as lines, paragraphs, files, records."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from chargen.errors import ChargenError
from chargen.text.sources import OnRead, Source, nothing_in, read_source

DOCUMENT_MODES = ("line", "blank-line", "file", "jsonl")


def read_documents(
    sources: Sequence[Source],
    mode: str,
    *,
    encoding: str = "utf-8",
    text_column: str = "text",
    on_read: OnRead | None = None,
) -> Iterator[str]:
    """The documents of all sources, one by one, without the line break that ends each.

    `line`: each line; `blank-line`: what stands between blank lines; `file`: each file; `jsonl`: a line's JSON
    string, or its object's `text_column`. Documents of white space alone are dropped. Raises ChargenError for
    what `read_text` refuses, for JSON that is broken or lacks the column, and when no document is left.
    """
    if mode not in DOCUMENT_MODES:
        raise ChargenError(f"unknown documents {mode!r}: choose one of {', '.join(DOCUMENT_MODES)}")
    empty = True
    for source in sources:
        for document in _documents(source, mode, encoding, text_column, on_read):
            if document.strip():
                empty = False
                yield document
    if empty:
        raise nothing_in(sources)


def read_lines(source: Source, encoding: str = "utf-8", on_read: OnRead | None = None) -> Iterator[str]:
    """The lines of one source without their line breaks."""
    pieces: list[str] = []  # of a line that goes on over blocks
    for block in read_source(source, encoding, on_read):
        first, *others = block.split("\n")
        pieces.append(first)
        if others:
            yield "".join(pieces)
            pieces = [others.pop()]
            yield from others
    if any(pieces):
        yield "".join(pieces)


def read_records(source: Source, encoding: str = "utf-8", on_read: OnRead | None = None) -> Iterator[tuple[int, Any]]:
    """The line number and the value of each line of JSON, blank lines left out."""
    for number, line in enumerate(read_lines(source, encoding, on_read), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                raise ChargenError(
                    f"{source.name}, line {number}, is not JSON ({error.msg}): put one JSON value on each"
                ) from error


def _documents(source: Source, mode: str, encoding: str, text_column: str, on_read: OnRead | None) -> Iterator[str]:
    if mode == "line":
        return read_lines(source, encoding, on_read)
    if mode == "blank-line":
        return _paragraphs(read_lines(source, encoding, on_read))
    if mode == "file":
        return iter(["".join(read_source(source, encoding, on_read)).strip("\n")])
    records = read_records(source, encoding, on_read)
    return (_column(record, text_column, source, number) for number, record in records)


def _paragraphs(lines: Iterator[str]) -> Iterator[str]:
    paragraph: list[str] = []
    for line in lines:
        if line and not line.isspace():
            paragraph.append(line)
        elif paragraph:
            yield "\n".join(paragraph)
            paragraph = []
    yield "\n".join(paragraph)


def _column(record: Any, column: str, source: Source, number: int) -> str:
    text = record.get(column) if isinstance(record, dict) else record
    if not isinstance(text, str):
        has = f"has {', '.join(record)}" if isinstance(record, dict) else f"is {json.dumps(record)[:40]}"
        raise ChargenError(
            f"{source.name}, line {number}, {has}, but no text in {column!r}: name it with --text-column"
        )
    return well_formed(text, f"{source.name}, line {number},")


def well_formed(text: str, where: str) -> str:
    """The text itself, if it is Unicode: JSON can spell half a surrogate pair, which no encoding can."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ChargenError(
                f"{where} has half a surrogate pair at character {error.start:,}: mend or remove it"
            ) from error
    return text
