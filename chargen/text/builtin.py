"""Corpora made from the user's own Python, without a download: its documentation, its source, its labelled lines."""

from __future__ import annotations

import ast
import csv
import io
import random
import re
import sysconfig
import tokenize
from collections.abc import Iterator
from pathlib import Path

from chargen.errors import ChargenError

# Folders that are not the library itself: installed packages, tests and their data, tables, generated files.
SKIPPED_FOLDERS = {"site-packages", "dist-packages", "test", "tests", "idle_test", "idlelib", "lib2to3", "turtledemo"}
SKIPPED_FOLDERS |= {"encodings", "pydoc_data", "ensurepip", "__phello__", "__pycache__"}
GENERATED = ("_sysconfigdata", "config-")
MIN_DOCSTRING = 40  # characters; shorter ones say little
LABELS = ("code", "comment", "docstring")
LINES_PER_LABEL = 10_000
LINE_LENGTHS = range(12, 101)  # characters of a labelled line
TO_ASCII = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "–": "-", "—": "--", "…": "..."})

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def python_docs() -> Iterator[str]:
    """Yield the language reference's topics and the standard library's docstrings, in ASCII, no paragraph twice.

    Topics and modules are shuffled in a fixed order, so that the end of the text resembles the rest.
    """
    seen: set[str] = set()
    topics = sorted(_topics(), key=len, reverse=True)  # a long topic may contain a short one whole
    parts = [_section(topic, seen) for topic in topics]
    for module, source in _modules():
        parts.append(
            "".join(
                _section(docstring, seen, name + _signature(node))
                for name, node in _defined(ast.parse(source), module)
                if len(docstring := ast.get_docstring(node) or "") >= MIN_DOCSTRING
            )
        )
    random.Random(0).shuffle(parts)
    yield from parts


def python_source() -> Iterator[str]:
    r"""Yield the standard library's source in ASCII (`\xe9` for é), its modules shuffled in a fixed order."""
    modules = [source for _, source in _modules()]
    random.Random(0).shuffle(modules)
    for source in modules:
        yield source.encode("ascii", "backslashreplace").decode().rstrip() + "\n\n\n"


def python_lines() -> Iterator[str]:
    """Yield a CSV with the columns text and label: lines of source that are code, comment or docstring.

    Indentation and the `#` of a comment are removed, so that only the words can give the label away. No text occurs
    twice, and each label has at most LINES_PER_LABEL of them.
    """
    modules = [source for _, source in _modules()]
    random.Random(0).shuffle(modules)
    lines: dict[str, str] = {}  # text -> label
    wanted = dict.fromkeys(LABELS, LINES_PER_LABEL)
    for source in modules:
        for text, label in _labelled_lines(source):
            if wanted[label] and text not in lines and len(text) in LINE_LENGTHS and re.search(r"\w\w", text):
                lines[text] = label
                wanted[label] -= 1
        if not any(wanted.values()):
            break
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([("text", "label"), *lines.items()])
    yield table.getvalue()


def _topics() -> list[str]:
    try:
        from pydoc_data.topics import topics
    except ImportError:  # some distributions leave it out
        return []
    return list(topics.values())


def _modules() -> list[tuple[str, str]]:
    """Name and source of each module of the standard library, sorted by path."""
    library = Path(sysconfig.get_path("stdlib"))
    modules = []
    for path in sorted(library.rglob("*.py")):
        parts = path.relative_to(library).with_suffix("").parts
        if SKIPPED_FOLDERS.isdisjoint(parts) and not any(part.startswith(GENERATED) for part in parts):
            name = ".".join(part for part in parts if part != "__init__")
            modules.append((name, path.read_text(encoding="utf-8")))
    if not modules:
        raise ChargenError(f"this Python has no source of its library in {library}: name your own text instead")
    return modules


def _section(text: str, seen: set[str], heading: str = "") -> str:
    """The paragraphs that are new and pure ASCII, below the heading; "" if there are none. Adds them to `seen`."""
    paragraphs = dict.fromkeys(part.strip("\n") for part in text.translate(TO_ASCII).split("\n\n"))
    new = [paragraph for paragraph in paragraphs if paragraph.isascii() and paragraph and paragraph not in seen]
    seen.update(new)
    return "\n\n".join([heading, *new] if heading else new) + "\n\n\n" if new else ""


def _defined(node: ast.AST, name: str) -> Iterator[tuple[str, ast.Module | Definition]]:
    """A module and its definitions in order, each with its dotted name."""
    if isinstance(node, ast.Module | Definition):
        yield name, node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Definition):
            yield from _defined(child, f"{name}.{child.name}")
        elif isinstance(child, ast.stmt | ast.excepthandler):
            yield from _defined(child, name)


def _signature(node: ast.AST) -> str:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return f"({ast.unparse(node.args)})"
    return ""


def _labelled_lines(source: str) -> Iterator[tuple[str, str]]:
    """Text and label of each line that is code, comment or docstring alone."""
    strings: set[int] = set()  # rows of multi-line strings and docstrings
    comments: set[int] = set()
    for _, node in _defined(ast.parse(source), ""):
        if docstring := ast.get_docstring(node, clean=False):
            strings.add(node.body[0].lineno)
            yield from ((line.strip(), "docstring") for line in docstring.split("\n"))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments.add(token.start[0])
        elif token.end[0] > token.start[0]:
            strings.update(range(token.start[0], token.end[0] + 1))
    for row, line in enumerate(source.split("\n"), start=1):
        text = line.strip()
        if row not in comments and row not in strings:
            yield text, "code"
        elif row in comments and text.startswith("#"):
            yield text.lstrip("# "), "comment"
