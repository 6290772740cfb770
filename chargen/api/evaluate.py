"""Measure a run from Python, on a text or on the part of its data that it held out."""

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
from chargen.runs.inputs import OwnTexts, check_unchanged, own_texts
from chargen.runs.search import find_run
from chargen.text.corpus import encode_corpus
from chargen.text.labelled import LabelledSet, read_labelled
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
    skip_unlabelled: bool | None = None,
) -> dict[str, Any]:
    """Measure a run on a text or on labelled texts.

    Args:
        run: A run, its name or its path.
        inputs: Files, folders, patterns or named corpora; none: the part of its own data that the run held out.
        device: cpu, cuda, …; auto.
        dynamic: Let a language model go on learning from the text while it reads it; this needs its training text.
        progress: With `dynamic`, called with the fraction of the text read so far, 0 to 1.
        mistakes: How many mistakes of a classifier to return, those it was most sure of.
        explain: Return the n-grams of `inputs`, or of the training texts, that speak most for each label.
        encoding: Encoding of `inputs`; None: as in training.
        text_column: Column of the texts, or for a classifier several; None: as in training.
        label_column: Column of the labels; None: as in training.
        skip_unlabelled: Leave out texts without label instead of refusing them; None: as in training.

    Returns:
        Metrics by name: for a language model nats per token, bits per character, …; for a classifier accuracy,
        macro-F1, calibration, a row per label, …

    Raises:
        ChargenError: The texts or labels cannot be read, a label is new to the run, or its own text has changed.

    >>> chargen.evaluate("book", "other.txt")["bits_per_character"]  # doctest: +SKIP
    """
    typed: dict[str, Any] = {
        "encoding": encoding,
        "text_column": text_column,
        "label_column": label_column,
        "skip_unlabelled": skip_unlabelled,
    }
    reading = {name: value for name, value in typed.items() if value not in (None, ())}
    run = run if isinstance(run, Run) else find_run(str(run))
    inputs = (str(inputs),) if isinstance(inputs, str | Path) else tuple(map(str, inputs))
    options = options_of(run, Options)
    if foreign := reading.keys() - {field.name for field in fields(options)}:
        raise ChargenError(
            f"{run.name} is a {kind_of(run.kind).title}, which reads no {min(foreign).replace('_', ' ')}"
        )
    if dynamic or not inputs:
        own = own_texts(run)
        options = replace(options, inputs=own.inputs, val=own.val)
    options = replace(options, **reading)
    settings = EvaluationSettings(device, dynamic, progress, mistakes, explain, reading)
    metrics: dict[str, Any] = kind_of(run.kind).get("evaluate")(run, options, inputs, settings)
    return metrics


@dataclass(frozen=True)
class EvaluationSettings:
    """What all evaluations are told, see `evaluate`; `reading` has the encoding and columns that are named."""

    device: str
    dynamic: Adaptation | None
    progress: Callable[[float], object] | None
    mistakes: int
    explain: bool
    reading: Mapping[str, Any]


def evaluate_language_model(
    run: Run, options: LanguageModelOptions, inputs: Sequence[str], settings: EvaluationSettings
) -> dict[str, Any]:
    """Measure a language model; arguments and result as for `evaluate`."""
    if settings.mistakes or settings.explain:
        raise ChargenError(f"{run.name} is a language model and has no labels: leave out mistakes and explain")
    device, dynamic, progress = settings.device, settings.dynamic, settings.progress
    tokenizer, config = run.tokenizer(), run.model_config(LanguageModelConfig)
    if inputs:
        corpus = encode_corpus(replace(options.corpus, inputs=tuple(inputs)), tokenizer=tokenizer)
        ids, unknown = corpus.ids, sum(corpus.unknown.values())
    else:
        ids = _own_text(run, options).validation
        unknown = 0 if tokenizer.unk_id is None else int((ids == tokenizer.unk_id).sum())
    if len(ids) < 2:
        raise ChargenError("the text has a single token, so there is nothing to predict: name a longer one")
    torch_device = choose_device(device)
    weights = run.weights()  # compared with the config before a model is made of it
    model = load_weights(LanguageModel(config), weights).to(torch_device)
    if dynamic:
        unread = replace(options_of(run, LanguageModelOptions), inputs=options.inputs, val=options.val)
        own_text = _own_text(run, unread).train
        metrics = dynamic_loss(model, tokenizer, ids, own_text, dynamic, progress).figures()
    else:
        with workers_for(torch_device) as workers:
            metrics = text_loss(model, tokenizer, ids, workers).figures()
    return metrics | {"unknown": unknown, "xz_bits_per_character": xz_bits_per_character(tokenizer, ids)}


def _own_text(run: Run, options: LanguageModelOptions) -> TextData:
    """Read the text that a run was trained on, split as it was; ChargenError if it has changed."""
    data = load_text(options.corpus, val=options.val, val_fraction=options.val_fraction, tokenizer=run.tokenizer())
    check_unchanged(run, data.record, OwnTexts(options.inputs, options.val))
    return data


def evaluate_classifier(
    run: Run, options: ClassifierOptions, inputs: Sequence[str], settings: EvaluationSettings
) -> dict[str, Any]:
    """Measure a classifier; arguments and result as for `evaluate`."""
    if settings.dynamic:
        raise ChargenError(f"{run.name} is a classifier: only a language model adapts to what it reads")
    mistakes, explain, reading = settings.mistakes, settings.explain, settings.reading
    classifier = Labeller(run, settings.device)
    if explain and classifier.ngrams is None:
        raise ChargenError(f"{run.name} has no n-grams to explain its labels with: train it again with --ngrams")
    train, examples = _labelled_texts(run, options, inputs, reading)
    if new_labels := sorted(set(examples.labels) - set(classifier.labels)):
        raise ChargenError(
            f"{run.name} knows no label {new_labels[0]!r}, only {', '.join(classifier.labels)}: remove such examples"
        )
    labels = classifier.labels
    index = {label: number for number, label in enumerate(labels)}
    truth = np.array([index[label] for label in examples.labels])
    sources = classifier.read(examples.texts)
    if train and not options.val and sources.ngrams is not None:
        # The run's own n-grams were fitted to the held-out texts too, after they had served for validation.
        without_held_out = fit_ngrams(train, examples, labels, balance=options.balance)
        sources = sources._replace(ngrams=without_held_out.logits(examples.texts))
    probs = softmax(classifier.combined(sources))
    left_out = {name: getattr(examples.reading, name) for name in ("rows_dropped", "unlabelled")}
    metrics = classifier_metrics(probs, truth, labels) | left_out
    if inputs and not recorded_columns(run.data(LabelledRecord))["columns"]:
        metrics["guessed"] = list(examples.reading.notes)
    if sources.ngrams is not None:
        for name, logits in (("network", sources.network), ("ngrams", sources.ngrams)):
            # The run has scales for the sum only; alone, each half of the texts is scaled by a fit to the other.
            metrics[name] = summary_metrics(cross_fitted(logits[None], truth, [1.0]), truth, labels)
    if mistakes:
        metrics["mistakes"] = [
            {
                "probability": float(probs[i].max()),
                "label": labels[probs[i].argmax()],
                "truth": examples.labels[i],
                "text": examples.texts[i],
            }
            for i in worst_mistakes(probs, truth, mistakes)
        ]
    if explain and classifier.ngrams is not None:
        found = strongest_ngrams(classifier.ngrams, (train or examples).texts)
        metrics["strongest_ngrams"] = {
            label: [ngram._asdict() for ngram in own] for label, own in zip(labels, found, strict=True)
        }
    return metrics


def _labelled_texts(
    run: Run, options: ClassifierOptions, inputs: Sequence[str], reading: Mapping[str, Any]
) -> tuple[LabelledSet | None, LabelledSet]:
    """The texts of a run's training, unless others are named, and the texts to measure on."""
    recorded = run.data(LabelledRecord)
    if not inputs:
        data = load_labelled(options.labelled, recorded)
        record = data.record(framed=recorded.framed, max_length=recorded.max_length)
        check_unchanged(run, record, OwnTexts(options.inputs, options.val))
        return data.train, data.validation
    columns = recorded_columns(recorded)
    # The recorded columns are those that the options led to in training; only columns named now override them.
    named = reading if columns["columns"] else vars(options)
    columns |= {name: named.get(name) for name in ("text_column", "label_column")}
    columns["skip_unlabelled"] = options.skip_unlabelled
    return None, read_labelled(inputs, **columns, encoding=options.encoding, for_training=False)
