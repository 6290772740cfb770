"""Look inside a run from Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from chargen.api.inspected_gradients import curves_of, curves_to_compare, models_to_compare
from chargen.api.inspected_texts import Texts, held_out_texts, label_passage, predict_passage, take
from chargen.classification.explaining import explain
from chargen.errors import ChargenError
from chargen.inspection.decisions import Carrier, Decision, carriers, contributions
from chargen.inspection.findings import Findings
from chargen.inspection.gates import measure_gates, most_tokens
from chargen.inspection.gradients import STEPS
from chargen.inspection.passage import Passage
from chargen.inspection.probing import probe
from chargen.inspection.states import arrange
from chargen.inspection.survey import CHOSEN, probed_activations, survey
from chargen.inspection.untrained import untrained
from chargen.kinds import kind_of
from chargen.models.classifier import Classifier, embeddings, label_logits
from chargen.models.config import ClassifierConfig, LanguageModelConfig
from chargen.models.encoder import Encoder
from chargen.models.language_model import LanguageModel
from chargen.models.units import Unit, check_unit, layer_count, parse_unit
from chargen.models.weights import load_weights
from chargen.runs.folder import Run
from chargen.runs.search import find_run
from chargen.text.tokenizers.base import Tokenizer

LENGTH = 30_000  # characters; of 10,000, intervals are too wide to tell what was learned
MOST_POINTS = 500  # lines or texts
MOST_DECISIONS = 20  # texts whose labels are explained
MOST_SPANS = 50  # parts of such a text

Progress = Callable[[float], object]


@dataclass(frozen=True)
class InspectionSettings:
    """What all inspections are told, see `inspect`."""

    length: int
    units: tuple[Unit, ...]
    compare: tuple[str, ...]
    progress: Progress

    def part(self, start: float, stop: float) -> Progress:
        """Progress of a part of the work, from one fraction of the whole to another."""
        return lambda fraction: self.progress(start + (stop - start) * fraction)


def inspect(
    run: Run | str | Path,
    text: str | Sequence[str] | None = None,
    *,
    length: int = LENGTH,
    units: str | Sequence[str | tuple[int, int]] = (),
    compare: str | Sequence[str] = (),
    progress: Progress | None = None,
) -> Findings:
    """Look inside a run while it reads a text.

    Args:
        run: A run, its name or its path.
        text: What it reads: a text, or several; None: what the run held out of its own text.
        length: Most characters to read.
        units: A unit to follow along the text, or several, as (layer, unit) or "LAYER.UNIT", counted from 0.
        compare: Runs and cells whose gradients to measure beside a language model's, by name; several may stand in
            one, with commas. Of each cell a small model is first trained on the run's own text.
        progress: Called with the fraction done, 0 to 1.

    Returns:
        What was found: how each token is read, what units tell, gates, gradients, states, and what carries the
        decisions of a classifier.

    Raises:
        ChargenError: There is no text, it has characters that a language model never saw, a unit or a run does not
            exist, or a number is out of range.

    >>> findings = chargen.inspect("book")  # doctest: +SKIP
    >>> [(found.name, str(found.best.unit)) for found in findings.properties]  # doctest: +SKIP
    [('inside quotes', '1.42')]
    """
    if length < 1:
        raise ChargenError(f"length is {length}, but must be at least 1 character")
    run = run if isinstance(run, Run) else find_run(str(run))
    kind = kind_of(run.kind)
    if kind.inspect is None:
        raise ChargenError(f"{run.name} is a {kind.title}, which cannot be inspected: name another run")
    wanted = tuple(map(parse_unit, _several(units)))
    settings = InspectionSettings(length, wanted, tuple(_several(compare)), progress or (lambda fraction: None))
    texts = held_out_texts(run, length) if text is None else take(_several(text), length)
    findings: Findings = kind.get("inspect")(run, texts, settings)
    return findings


def _several(value: str | Sequence[Any]) -> Sequence[Any]:
    return [value] if isinstance(value, str) else value


def inspect_language_model(run: Run, texts: Texts, settings: InspectionSettings) -> Findings:
    """Look inside a language model; arguments and result as for `inspect`."""
    config, tokenizer = run.model_config(LanguageModelConfig), run.tokenizer()
    model = load_weights(LanguageModel(config), run.weights()).eval()
    passage = predict_passage(run, tokenizer, texts)
    others = models_to_compare(run, texts, settings.compare)
    fresh = untrained(partial(LanguageModel, config))
    found = _inspect_encoder(run, texts, settings, passage, model.encoder, fresh.encoder, model)
    curves, notes = curves_of(run.name, model, fresh, passage, settings.part(0.5, 0.7)), list(found.notes)
    if curves:
        more, said = curves_to_compare(run, texts, others, settings.part(0.7, 1.0))
        curves, notes = curves + more, notes + said
    else:
        notes.append(f"no text has more than {STEPS + 1} tokens, which measuring gradients needs")
    lines = list(passage.lines())
    spelled = ["".join(passage.symbols[start:stop]).rstrip("\n") for start, stop in lines]
    shown = [number for number, line in enumerate(spelled) if line.strip()][:MOST_POINTS]
    points = arrange(found.survey.line_means[shown], [spelled[number] for number in shown]) if shown else None
    settings.progress(1.0)
    return replace(found, curves=tuple(curves), points=points, notes=tuple(notes))


def inspect_classifier(run: Run, texts: Texts, settings: InspectionSettings) -> Findings:
    """Look inside the network of a classifier; arguments and result as for `inspect`."""
    if settings.compare:
        raise ChargenError(
            f"{run.name} is a classifier, and gradients are compared for language models: leave it out"
        )
    config, tokenizer = run.model_config(ClassifierConfig), run.tokenizer()
    model = load_weights(Classifier(config), run.weights()).eval()
    passage, encode = label_passage(run, tokenizer, texts)
    fresh = untrained(partial(Classifier, config))
    found = _inspect_encoder(run, texts, settings, passage, model.encoder, fresh.encoder)
    pooled = embeddings(model, passage.texts).astype(np.float64)
    labels, head = run.labels(), model.head.weight.detach().double().numpy()
    chosen = (pooled @ head.T + model.head.bias.detach().double().numpy()).argmax(axis=1).tolist()
    shares = np.stack([contributions(row, head, label) for row, label in zip(pooled, chosen, strict=True)])
    explained = texts.texts[:MOST_DECISIONS]
    why = explain(lambda variants: label_logits(model, list(map(encode, variants))), explained, MOST_SPANS)
    truths = texts.labels or (None,) * len(texts.texts)
    decisions = [
        Decision(text, labels[label], truth, carriers(own, config), spans)
        for text, label, truth, own, spans in zip(explained, chosen, truths, shares, why, strict=False)
    ]
    named = texts.labels or tuple(labels[label] for label in chosen)
    points = arrange(pooled[:MOST_POINTS], list(texts.texts[:MOST_POINTS]), named[:MOST_POINTS])
    settings.progress(1.0)
    notes = (*found.notes, *_without_ngrams(run))
    overall: tuple[Carrier, ...] = carriers(np.abs(shares).mean(axis=0), config)
    return replace(found, points=points, decisions=tuple(decisions), carriers=overall, notes=notes)


def _without_ngrams(run: Run) -> list[str]:
    if run.ngrams() is None:
        return []
    if not run.scales()[0]:
        return ["the network is inspected, which learned so little that n-grams alone decide in this classifier"]
    return ["the network alone is inspected, without the n-grams of this classifier"]


def _inspect_encoder(
    run: Run,
    texts: Texts,
    settings: InspectionSettings,
    passage: Passage,
    encoder: Encoder,
    fresh: Encoder,
    reader: LanguageModel | None = None,
) -> Findings:
    """What is found in the layers of any model, beside a fresh one of the same shape: units and gates."""
    config = encoder.config
    for unit in settings.units:
        check_unit(*unit, config)
    activations = probed_activations(encoder, passage)
    settings.progress(0.1)
    probed = probe(passage, activations, probed_activations(fresh, passage), config.layer_output_size)
    settings.progress(0.2)
    best = [found.best.unit for found in probed.properties]
    liveliest = np.argsort(-activations.var(axis=0), kind="stable").tolist()
    rest = [Unit(*divmod(index, config.layer_output_size)) for index in liveliest]
    most = max(CHOSEN, len(settings.units) + len(best))
    chosen = list(dict.fromkeys([*settings.units, *best, *rest]))[:most]
    surveyed = survey(encoder, passage, chosen, reader, settings.part(0.2, 0.4))
    gates = measure_gates(encoder, passage)
    settings.progress(0.5)
    notes = [*texts.notes]
    for what, most in (("properties", probed.tokens), ("gates", most_tokens(config.hidden_size))):
        if len(passage.symbols) > most:
            notes.append(f"{what} are measured on the first {most:,} tokens")
    if config.bidirectional:
        backwards = [str(layer) for layer in range(config.num_layers, layer_count(config))]
        notes.append(f"layers that read backwards: {', '.join(backwards)}")
    if config.layer_output_size > config.hidden_size:
        notes.append(
            f"a layer of the cell {config.cell} puts out {config.layer_output_size} numbers, of h and of m along "
            "depth, and each counts as a unit here"
        )
    if not any(layer.gates for layer in gates):
        notes.append(f"the cell {config.cell} has no gates")
    vocabulary = _spellings(run.tokenizer())
    return Findings(
        model=run.name,
        kind=run.kind,
        source=texts.source,
        passage=passage,
        vocabulary=vocabulary,
        units_per_layer=config.layer_output_size,
        layers=layer_count(config),
        survey=surveyed,
        properties=probed.properties,
        left_out=probed.left_out,
        gates=tuple(gates),
        asked=settings.units,
        notes=tuple(notes),
    )


def _spellings(tokenizer: Tokenizer) -> tuple[str, ...]:
    return tuple(tokenizer.decode([token]) for token in range(tokenizer.vocab_size))
