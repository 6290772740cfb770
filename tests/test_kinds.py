"""The table of kinds is complete, and the one place where a kind is told from another."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import chargen
from chargen.errors import ChargenError
from chargen.kinds import KINDS, Kind, is_kind, kind_of


def is_address(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"chargen[\w.]+:[\w.]+", value) is not None


PACKAGE = Path(chargen.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "kinds.py")
NAMES = {kind.name for kind in KINDS.values()}
TASKS = {kind.task for kind in KINDS.values()}  # one of which is a command's name too
CONSTANTS = {"LANGUAGE_MODEL", "CLASSIFIER"}
MEMBERS = [field.name for field in fields(Kind) if is_address(getattr(KINDS["language-model"], field.name))]
# Types that a kind has of its own, by which it could be told from another.
TYPES = {
    getattr(kind, member).rpartition(":")[2] for kind in KINDS.values() for member in ("model", "data", "options")
}
TYPES |= {"LanguageModel", "Classifier", "TextWriter", "TextClassifier"}


def test_what_a_row_names_is_found_out() -> None:
    assert set(MEMBERS) >= {"model", "data", "options", "prepare", "load", "embed", "evaluate", "show", "preview"}
    assert {"ClassifierOptions", "LanguageModelOptions", "LabelledRecord", "TextRecord"} <= TYPES


@pytest.mark.parametrize("name", KINDS)
def test_every_member_of_a_row_loads(name: str) -> None:
    kind = kind_of(name)
    for member in MEMBERS:
        assert getattr(kind, member) is None or callable(kind.get(member)), member


@pytest.mark.parametrize("name", KINDS)
def test_a_row_agrees_with_itself(name: str) -> None:
    kind = KINDS[name]
    assert kind.name == name and is_kind(name)
    assert kind.get("options").kind == name
    assert "{}" in kind.use and "{0}" in kind.wrong_kind and kind.title in kind.wrong_kind
    assert kind.train == ("chargen train" if name == "language-model" else f"chargen train --task {kind.task}")


def test_names_and_tasks_are_each_a_single_kinds() -> None:
    for member in ("name", "task", "title", "options", "data", "model"):
        assert len({getattr(kind, member) for kind in KINDS.values()}) == len(KINDS), member


@pytest.mark.parametrize("name", ["transformer", "", None, ["classifier"], {}])
def test_what_is_no_kind_is_said(name: Any) -> None:
    assert not is_kind(name)
    with pytest.raises(ChargenError, match="this chargen knows language-model, classifier"):
        kind_of(name)


def decisions(tree: ast.AST) -> list[str]:
    """Where a source tells kinds apart: by a name or a task that is compared, any name, or a type of a kind's own."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            parts = [part for one in (node.left, *node.comparators) for part in ast.walk(one)]
            values = {getattr(part, "value", None) for part in parts if isinstance(part, ast.Constant)}
            if values & (NAMES | TASKS) or {last_name(part) for part in parts} & CONSTANTS:
                found.append(ast.unparse(node))
        elif isinstance(node, ast.match_case):
            parts = list(ast.walk(node.pattern))
            found += [ast.unparse(node.pattern) for part in parts if getattr(part, "value", None) in NAMES | TASKS]
        elif isinstance(node, ast.Call) and last_name(node.func) in ("isinstance", "issubclass"):
            types = {last_name(part) for part in ast.walk(node.args[1])}
            found += [ast.unparse(node)] if types & TYPES else []
        elif isinstance(node, ast.Constant) and node.value in NAMES:
            found.append(repr(node.value))
    return found


def last_name(node: ast.AST) -> str | None:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None


@pytest.mark.parametrize(
    "line",
    [
        "if run.kind == 'classifier': pass",
        "x = kind != kinds.CLASSIFIER",
        "x = 'a' if task in ('classify', 'other') else 'b'",
        "if isinstance(options, ClassifierOptions): pass",
        "if isinstance(options, (str, options.LanguageModelOptions)): pass",
        "match kind:\n    case 'language-model': pass",
        "names = {'classifier': 1}",
    ],
)
def test_a_decision_is_found(line: str) -> None:
    assert decisions(ast.parse(line))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_other_file_tells_kinds_apart(path: Path) -> None:
    allowed = {
        # Which models an estimator leaves out of its pickle.
        "api/checks.py": ["isinstance(value, (TextWriter, Labeller))"],
    }
    found = decisions(ast.parse(path.read_text(encoding="utf-8")))
    assert found == allowed.get(path.relative_to(PACKAGE).as_posix(), [])
