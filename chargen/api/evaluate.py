"""Measuring a run from Python, on a text or on what it held out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from chargen.classification.explaining import strongest_ngrams
from chargen.classification.labeller import Labeller
from chargen.errors import ChargenError
from chargen.evaluation.calibration import cross_fitted, softmax
from chargen.evaluation.dynamic import Adaptation, dynamic_loss
from chargen.evaluation.labels import classifier_metrics, summary_metrics, worst_mistakes
from chargen.evaluation.losses import text_loss, xz_bits_per_character
from chargen.hardware import choose_device
from chargen.kinds import kind_of
from chargen.models.config import LanguageModelConfig
from chargen.models.language_model import LanguageModel
from chargen.models.weights import load_weights
from chargen.runs.folder import Run
from chargen.runs.search import find_run
from chargen.text.corpus import encode_corpus
from chargen.text.labelled import read_labelled
from chargen.text.labelled_data import load_labelled, recorded_columns
from chargen.text.records import LabelledRecord
from chargen.text.text_data import TextData, load_text
from chargen.training.ngrams import fit_ngrams
from chargen.training.options import ClassifierOptions, LanguageModelOptions, Options, options_of
from chargen.workers import workers_for


def evaluate(
    run: Run | str | Path,
    inputs: str | Path | Sequence[str | Path] = (),
    *,
    device: str = "auto",
    dynamic: Adaptation | None = None,
    progress: Callable[[float], object] | None = None,
    mistakes: int = 0,
    explain: bool = False,
    encoding: str | None = None,
    text_column: str | Sequence[str] | None = None,
    label_column: str | None = None,
) -> dict[str, Any]:
    """Measure a run.

    Args:
        run: A run, its name or its path.
        inputs: What to measure it on; none: what it held out of its own data.
        device: cpu, cuda, …; auto.
        dynamic: Let a language model go on learning from the text as it reads it; its own text must be there.
        progress: Called with the fraction, 0 to 1, of the text that is read, where `dynamic`.
        mistakes: How many of a classifier's most confident wrong labels to name.
        explain: Find the n-grams, in `inputs` or the training texts, that speak most for each label.
        encoding: Of `inputs`; None: as in training, and so are the next two.
        text_column: The column of texts, or several of a classifier's.
        label_column: The column of labels.

    Returns:
        Figures by name: of a language model nats per token, bits per character, …; of a classifier accuracy,
        macro-F1, calibration, a row per label, …

    Raises:
        ChargenError: Texts or labels are refused, the run does not know a label, or its own text has changed.

    >>> chargen.evaluate("book", "other.txt")["bits_per_character"]  # doctest: +SKIP
    """
    given: dict[str, Any] = {"encoding": encoding, "text_column": text_column, "label_column": label_column}
    reading = {name: value for name, value in given.items() if value not in (None, ())}
    run = run if isinstance(run, Run) else find_run(str(run))
    inputs = (str(inputs),) if isinstance(inputs, str | Path) else tuple(map(str, inputs))
    options = options_of(run, Options)
    if foreign := reading.keys() - {field.name for field in fields(options)}:
        raise ChargenError(
            f"{run.name} is a {kind_of(run.kind).title}, which reads no {min(foreign).replace('_', ' ')}"
        )
    if dynamic or not inputs:
        run.training_inputs()  # raises where they are gone
    options = replace(options, **reading)
    asked = Measuring(device, dynamic, progress, mistakes, explain, reading)
    figures: dict[str, Any] = kind_of(run.kind).get("evaluate")(run, options, inputs, asked)
    return figures


@dataclass(frozen=True)
class Measuring:
    """What may be asked of an evaluation, see `evaluate`."""

    device: str
    dynamic: Adaptation | None
    progress: Callable[[float], object] | None
    mistakes: int
    explain: bool
    reading: Mapping[str, Any]


def evaluate_language_model(
    run: Run, options: LanguageModelOptions, inputs: Sequence[str], asked: Measuring
) -> dict[str, Any]:
    """The figures of a language model."""
    if asked.mistakes or asked.explain:
        raise ChargenError(f"{run.name} is a language model and has no labels: ask for no mistakes or n-grams")
    device, dynamic, progress = asked.device, asked.dynamic, asked.progress
    tokenizer, config = run.tokenizer(), run.model_config(LanguageModelConfig)
    if inputs:
        corpus = encode_corpus(replace(options.corpus, inputs=tuple(inputs)), tokenizer=tokenizer)
        ids, unknown = corpus.ids, sum(corpus.unknown.values())
    else:
        ids = _own_text(run, options).validation
        unknown = 0 if tokenizer.unk_id is None else int((ids == tokenizer.unk_id).sum())
    if len(ids) < 2:
        raise ChargenError("the text has a single token, so there is nothing to predict: name a longer one")
    where = choose_device(device)
    weights = run.weights()  # which are compared with the config before a model is made of it
    model = load_weights(LanguageModel(config), weights).to(where)
    if dynamic:
        own = _own_text(run, options_of(run, LanguageModelOptions)).train
        figures = dynamic_loss(model, tokenizer, ids, own, dynamic, progress).figures()
    else:
        with workers_for(where) as workers:
            figures = text_loss(model, tokenizer, ids, workers).figures()
    return figures | {"unknown": unknown, "xz_bits_per_character": xz_bits_per_character(tokenizer, ids)}


def _own_text(run: Run, options: LanguageModelOptions) -> TextData:
    """What a run was trained on, and what it held out; ChargenError when its text has changed."""
    data = load_text(options.corpus, val=options.val, val_fraction=options.val_fraction, tokenizer=run.tokenizer())
    run.check_unchanged(data.record)
    return data


def evaluate_classifier(
    run: Run, options: ClassifierOptions, inputs: Sequence[str], asked: Measuring
) -> dict[str, Any]:
    """The figures of a classifier."""
    if asked.dynamic:
        raise ChargenError(f"{run.name} is a classifier: only a language model adapts to what it reads")
    mistakes, explain, reading = asked.mistakes, asked.explain, asked.reading
    classifier = Labeller(run, asked.device)
    if explain and classifier.ngrams is None:
        raise ChargenError(f"{run.name} has no n-grams to explain it with: train it again with --ngrams")
    recorded = run.data(LabelledRecord)
    if inputs:
        columns = recorded_columns(recorded)
        # What was recorded is what these options led to in training, so only what is named now goes before it.
        named = reading if columns["columns"] else vars(options)
        columns |= {name: named.get(name) for name in ("text_column", "label_column")}
        examples = read_labelled(inputs, **columns, encoding=options.encoding, for_training=False)
        explained = examples.texts
    else:
        data = load_labelled(options.labelled, recorded)
        run.check_unchanged(data.record(framed=recorded.framed, max_length=recorded.max_length))
        examples, explained = data.validation, data.train.texts
    if strange := sorted(set(examples.labels) - set(classifier.labels)):
        raise ChargenError(
            f"{run.name} knows no label {strange[0]!r}, only {', '.join(classifier.labels)}: remove such examples"
        )
    labels = classifier.labels
    index = {label: number for number, label in enumerate(labels)}
    truth = np.array([index[label] for label in examples.labels])
    sources = classifier.read(examples.texts)
    if not inputs and not options.val and sources.ngrams is not None:
        # Those of the run have seen what was held out, once it had served its purpose.
        unseeing = fit_ngrams(data.train, examples, labels, balance=options.balance)
        sources = sources._replace(ngrams=unseeing.logits(examples.texts))
    probs = softmax(classifier.combined(sources))
    figures = classifier_metrics(probs, truth, labels) | {"rows_dropped": examples.reading.rows_dropped}
    if inputs and not columns["columns"]:
        figures["guessed"] = list(examples.reading.notes)
    if sources.ngrams is not None:
        for name, logits in (("network", sources.network), ("ngrams", sources.ngrams)):
            # The run has scales for both together; alone, each half of the texts finds the other's.
            figures[name] = summary_metrics(cross_fitted(logits[None], truth, [1.0]), truth, labels)
    if mistakes:
        figures["mistakes"] = [
            {
                "probability": float(probs[i].max()),
                "label": labels[probs[i].argmax()],
                "truth": examples.labels[i],
                "text": examples.texts[i],
            }
            for i in worst_mistakes(probs, truth, mistakes)
        ]
    if explain and classifier.ngrams is not None:
        found = strongest_ngrams(classifier.ngrams, explained)
        figures["strongest_ngrams"] = {
            label: [ngram._asdict() for ngram in own] for label, own in zip(labels, found, strict=True)
        }
    return figures
