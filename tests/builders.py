"""What many tests begin with: random weights, small engines, runs, texts and tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from chargen.generation.engines.numpy_engine import NumpyEngine
from chargen.kinds import CLASSIFIER, LANGUAGE_MODEL
from chargen.models.config import ClassifierConfig, EncoderConfig, LanguageModelConfig, weight_shapes
from chargen.runs.create import create_run
from chargen.runs.folder import Run
from chargen.text.corpus import CorpusSettings
from chargen.text.tokenizers.base import Tokenizer
from chargen.text.tokenizers.char import CharTokenizer

Weights = dict[str, np.ndarray]

SENTENCE = "the cat sat on the mat, and the dog ran after the hat.\n"
LINES = ["The cat  sat on the mat.", "", "Grüße, 猫!", "  the cat ate the rat"] * 9
TEXT = "\n".join(LINES)
TOKENIZER = CharTokenizer("\n -abcdeé")  # of the runs that `write_language_model` makes


def random_weights(config: LanguageModelConfig | ClassifierConfig, scale: float = 1.0, seed: int = 0) -> Weights:
    """Weights that are all different from zero, biases too."""
    random = np.random.default_rng(seed)
    shapes = weight_shapes(config).items()
    return {name: random.normal(0, scale, shape).astype(np.float32) for name, shape in shapes}


def numpy_engine(encoder: EncoderConfig, scale: float = 1.0, seed: int = 0) -> NumpyEngine:
    """An engine of random weights."""
    config = LanguageModelConfig(encoder)
    return NumpyEngine(config, random_weights(config, scale, seed))


def write_run(
    path: Path,
    config: LanguageModelConfig | ClassifierConfig,
    tokenizer: Tokenizer,
    weights: Weights | None = None,
    *,
    labels: list[str] | None = None,
    overwrite: bool = False,
    **data: Any,
) -> Run:
    """A run that was never trained: of random weights, unless some are given. `data`: its record of its texts."""
    kind = CLASSIFIER if isinstance(config, ClassifierConfig) else LANGUAGE_MODEL
    record = {"kind": kind, "model": asdict(config), "data": {"fingerprint": "x"} | data}
    run = create_run(path, record, tokenizer, labels, overwrite=overwrite)
    run.save_weights(weights or random_weights(config))
    return run


def write_language_model(path: Path, documents: str | None = None) -> str:
    """The path of a run that writes TOKENIZER's characters, as one long text or as documents."""
    encoder = EncoderConfig(TOKENIZER.vocab_size, "lstm", num_layers=2, hidden_size=6, embedding_size=4)
    data: dict[str, Any] = {"documents": documents, "text_column": "text", "encoding": "utf-8"}
    return str(write_run(path, LanguageModelConfig(encoder), TOKENIZER, **data).path)


def write_text(path: Path, times: int = 40) -> str:
    """The path of a text: one sentence, again and again."""
    path.write_text(SENTENCE * times, encoding="utf-8")
    return str(path)


def write_table(path: Path, times: int = 30) -> str:
    """The path of a table of texts that a single word labels."""
    rows = [f"{word} {n},{label}" for n in range(times) for word, label in (("good", "pos"), ("bad", "neg"))]
    path.write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return str(path)


def edit_json(path: Path, edit: Callable[[Any], object]) -> None:
    """Change a JSON file of a run by hand, so that it has neither its checksum nor those of other files."""
    value = json.loads(path.read_text(encoding="utf-8"))
    edit(value)
    for name in ("sha256", "files"):
        value.pop(name, None)
    path.write_text(json.dumps(value), encoding="utf-8")


def settings_for(folder: Path, text: str, name: str = "text.txt") -> CorpusSettings:
    """What to encode: a file of this text, which is written."""
    path = folder / name
    path.write_bytes(text.encode())
    return CorpusSettings(inputs=(str(path),))
