"""A record says what was asked or found, so nobody changes one; a few classes hold work in progress."""

from __future__ import annotations

import ast
from pathlib import Path

import chargen

PACKAGE = Path(chargen.__file__).parent
CHANGING = {"Found", "_Sums", "LanguageModelling", "Classification", "Progress", "TextClassifier"}


def test_dataclasses_are_frozen() -> None:
    frozen: set[str] = set()
    changing: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                made = [ast.unparse(one) for one in node.decorator_list if "dataclass" in ast.unparse(one)]
                if made:
                    (frozen if "frozen=True" in made[0] else changing).add(node.name)
    assert {"Sampling", "Budget", "Streams", "Texts", "CorpusSettings", "Corpus", "Run", "Kind"} <= frozen
    assert changing == CHANGING
