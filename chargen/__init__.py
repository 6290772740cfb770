"""Recurrent language models: train them on any text, write with them, classify with them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chargen.api import evaluate, train, train_classifier
    from chargen.errors import ChargenError
    from chargen.estimators import TextClassifier, TextEmbedder
    from chargen.generation.writer import TextWriter
    from chargen.loading import load

__version__ = "0.1.0"
__all__ = [
    "ChargenError",
    "TextClassifier",
    "TextEmbedder",
    "TextWriter",
    "evaluate",
    "load",
    "train",
    "train_classifier",
]

# Where each name lives; it is loaded on first use, so that `import chargen` and `chargen --help` are instant.
_HOMES = {
    "ChargenError": "chargen.errors",
    "TextClassifier": "chargen.estimators",
    "TextEmbedder": "chargen.estimators",
    "TextWriter": "chargen.generation.writer",
    "evaluate": "chargen.api",
    "load": "chargen.loading",
    "train": "chargen.api",
    "train_classifier": "chargen.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'chargen' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
