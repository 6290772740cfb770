"""Documents: the separate texts in a source, such as lines, paragraphs, files or JSON records."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from chargen.errors import ChargenError
from chargen.text.sources import OnRead, Source, no_text_in, read_source

DOCUMENT_MODES = ("line", "blank-line", "file", "jsonl")
DECODER = json.JSONDecoder()
LONGEST = 1 << 26  # characters of a line, document or cell; a small compressed file may hold a line of gigabytes


def read_documents(
    sources: Sequence[Source],
    mode: str,
    *,
    encoding: str = "utf-8",
    text_column: str = "text",
    on_read: OnRead | None = None,
) -> Iterator[str]:
    """Yield the documents of all sources, without the line break that ends each. Blank ones are dropped.

    Args:
        sources: Files.
        mode: What a document is. `line`: each line; `blank-line`: the lines between blank lines; `file`: each file;
            `jsonl`: each line's JSON string, or the `text_column` of its JSON object.
        encoding: Of the files.
        text_column: Name of the text in JSON objects.
        on_read: Called with the number of bytes read.

    Raises:
        ChargenError: As for `read_text`; JSON is broken or lacks the column; a document is longer than LONGEST; there
            is none.
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
        raise no_text_in(sources)


def read_lines(source: Source, encoding: str = "utf-8", on_read: OnRead | None = None) -> Iterator[str]:
    """Yield the lines of one source without their line breaks.

    Raises:
        ChargenError: A line is longer than LONGEST.
    """
    pieces: list[str] = []  # of a line that spans blocks
    length, number = 0, 1  # of that line
    for block in read_source(source, encoding, on_read):
        first, *others = block.split("\n")
        pieces.append(first)
        length += len(first)
        check_length(length, f"{source.name}, line {number},")
        if others:
            yield "".join(pieces)
            number += len(others)
            pieces = [others.pop()]
            length = len(pieces[0])
            yield from others
    if any(pieces):
        yield "".join(pieces)


def read_whole(source: Source, encoding: str = "utf-8", on_read: OnRead | None = None) -> str:
    """The text of one source.

    Raises:
        ChargenError: It is longer than LONGEST.
    """
    pieces: list[str] = []
    length = 0
    for block in read_source(source, encoding, on_read):
        pieces.append(block)
        length += len(block)
        check_length(length, source.name)
    return "".join(pieces)


def check_length(length: int, what: str) -> None:
    """ChargenError if a line, document or cell, read as far as `length` characters, is longer than LONGEST."""
    if length > LONGEST:
        raise ChargenError(
            f"{what} has {length:,} characters or more, but one text may have at most {LONGEST:,}: break it into "
            "shorter ones"
        )


def read_records(source: Source, encoding: str = "utf-8", on_read: OnRead | None = None) -> Iterator[tuple[int, Any]]:
    """Yield line number and value of each line of JSON, skipping blank lines.

    Raises:
        ChargenError: A line is not JSON.
    """
    for number, line in enumerate(read_lines(source, encoding, on_read), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ChargenError(
                    f"{source.name}, line {number}, is not JSON ({_fault(error)}): put one JSON value on each line"
                ) from error


def read_array(source: Source, encoding: str = "utf-8") -> Iterator[tuple[int, Any]]:
    """Yield number (from 1) and value of each element of a file that is one JSON array, in bounded memory.

    Raises:
        ChargenError: The file is not one JSON array.
    """
    blocks = read_source(source, encoding)
    text, at, number = "", 0, 0
    while True:
        try:
            values, at = _element(text, at, "," if number else "[")
        except (ValueError, RecursionError) as error:
            incomplete = isinstance(error, json.JSONDecodeError)
            if incomplete:
                check_length(len(text) - at, f"{source.name}, row {number + 1}, is not JSON ({_fault(error)}), or")
            more = _more(blocks, len(text) - at) if incomplete else ""
            if not more:
                raise ChargenError(
                    f"{source.name}, row {number + 1}, is not JSON ({_fault(error)}): give an array of objects"
                ) from error
            text, at = text[at:] + more, 0
            continue
        if not values:
            break
        number += 1
        yield number, values[0]
    if text[at:].strip() or any(block.strip() for block in blocks):
        raise ChargenError(f"{source.name} goes on after its JSON array: give one array of objects")


def _fault(error: ValueError | RecursionError) -> str:
    """Why a text is not JSON, or not for Python."""
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    return "it is nested too deeply" if isinstance(error, RecursionError) else "an integer has too many digits"


def _element(text: str, at: int, before: str) -> tuple[list[Any], int]:
    """Parse the element after the delimiter `before` at index `at`.

    Returns:
        The value in a list, which is empty at the array's end, and the index to go on from.
    """
    at = _skip_space(text, at)
    if before == "," and text[at : at + 1] == "]":
        return [], at + 1
    if text[at : at + 1] != before:
        raise json.JSONDecodeError(f"Expecting {before!r} delimiter", text, at)
    at = _skip_space(text, at + 1)
    if before == "[" and text[at : at + 1] == "]":
        return [], at + 1
    value, end = DECODER.raw_decode(text, at)
    if end == len(text):  # a number may continue in the next block
        raise json.JSONDecodeError("Unexpected end", text, end)
    return [value], end


def _skip_space(text: str, at: int) -> int:
    while text[at : at + 1].isspace():
        at += 1
    return at


def _more(blocks: Iterator[str], minimum: int) -> str:
    """At least `minimum` more characters, if there are, so that a long value is not parsed again for every block."""
    found: list[str] = []
    for block in blocks:
        found.append(block)
        minimum -= len(block)
        if minimum <= 0:
            break
    return "".join(found)


def _documents(source: Source, mode: str, encoding: str, text_column: str, on_read: OnRead | None) -> Iterator[str]:
    if mode == "line":
        return read_lines(source, encoding, on_read)
    if mode == "blank-line":
        return _paragraphs(read_lines(source, encoding, on_read), source)
    if mode == "file":
        return iter([read_whole(source, encoding, on_read).strip("\n")])
    records = read_records(source, encoding, on_read)
    return (_column(record, text_column, source, number) for number, record in records)


def _paragraphs(lines: Iterator[str], source: Source) -> Iterator[str]:
    paragraph: list[str] = []
    length = 0
    for number, line in enumerate(lines, start=1):
        if line and not line.isspace():
            paragraph.append(line)
            length += len(line) + 1
            check_length(length - 1, f"{source.name}, line {number}, ends a paragraph that")
        elif paragraph:
            yield "\n".join(paragraph)
            paragraph, length = [], 0
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
    r"""Return `text` if it can be encoded. JSON can escape half a surrogate pair, which UTF-8 cannot encode.

    Args:
        text: Checked, and returned as it is.
        where: Begins the error's message.

    Raises:
        ChargenError: The text has half a surrogate pair.

    >>> well_formed("é", "a.json, line 1,")
    'é'
    """
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ChargenError(
                f"{where} has half a surrogate pair at character {error.start:,}: mend or remove it"
            ) from error
    return text
