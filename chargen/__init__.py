"""Recurrent language models: train them on any text, then write new text or classify texts with them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chargen.api.classifier import TextClassifier
    from chargen.api.embedder import TextEmbedder
    from chargen.api.evaluate import evaluate
    from chargen.api.inspect import inspect
    from chargen.api.load import load, load_classifier, load_language_model
    from chargen.api.train import train, train_classifier
    from chargen.api.writer import TextWriter
    from chargen.errors import ChargenError

__version__ = "0.1.0"
__all__ = [
    "ChargenError",
    "TextClassifier",
    "TextEmbedder",
    "TextWriter",
    "evaluate",
    "inspect",
    "load",
    "load_classifier",
    "load_language_model",
    "train",
    "train_classifier",
]

# The module of each name, imported on first use, so that `import chargen` and `chargen --help` are instant.
_MODULES = {
    "ChargenError": "chargen.errors",
    "TextClassifier": "chargen.api.classifier",
    "TextEmbedder": "chargen.api.embedder",
    "TextWriter": "chargen.api.writer",
    "evaluate": "chargen.api.evaluate",
    "inspect": "chargen.api.inspect",
    "load": "chargen.api.load",
    "load_classifier": "chargen.api.load",
    "load_language_model": "chargen.api.load",
    "train": "chargen.api.train",
    "train_classifier": "chargen.api.train",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'chargen' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
