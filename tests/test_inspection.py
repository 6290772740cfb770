"""Laws of an inspection: what it measures is what a slower or another way gives."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import textbook
import torch
from builders import TOKENIZER, random_weights
from torch.nn.functional import cross_entropy

from chargen.generation.engines.numpy_engine import NumpyEngine
from chargen.generation.scoring import score
from chargen.inspection.decisions import carriers, contributions
from chargen.inspection.gates import LEFT, RIGHT, gates_along, measure_gates, time_constant
from chargen.inspection.gradients import differentiate, measure_gradients
from chargen.inspection.passage import Passage
from chargen.inspection.reading import Reading, read_part
from chargen.inspection.states import cluster, principal_components
from chargen.inspection.survey import probed_activations, survey
from chargen.inspection.tracing import trace
from chargen.inspection.untrained import untrained
from chargen.models.classifier import Classifier
from chargen.models.config import ClassifierConfig, EncoderConfig, LanguageModelConfig
from chargen.models.language_model import LanguageModel
from chargen.models.specs import SPECS
from chargen.models.units import Unit
from chargen.models.weights import load_weights

RANDOM = np.random.default_rng(0)


def language_model(cell: str = "lstm", bos_id: int | None = None, layers: int = 2) -> LanguageModel:
    config = LanguageModelConfig(EncoderConfig(TOKENIZER.vocab_size, cell, layers, 4, 3, bos_id=bos_id))
    return load_weights(LanguageModel(config), random_weights(config, 0.7)).eval()


def passage_of(*texts: str) -> Passage:
    """Texts, each after a line break."""
    return Passage.of(TOKENIZER, [TOKENIZER.encode("\n" + text) for text in texts], lead=1)


@pytest.mark.parametrize(("documents", "rows"), [(False, 999), (True, 999), (False, 7)])
def test_the_surprise_of_all_tokens_is_their_score(
    documents: bool, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chargen.inspection.reading.MOST_NUMBERS", rows * TOKENIZER.vocab_size)
    model = language_model(bos_id=TOKENIZER.bos_id if documents else None)
    weights = {name: weight.detach().numpy() for name, weight in model.named_parameters()}
    engine, text = NumpyEngine(model.config, weights), "abcé dec-ab" * 60
    expected = score(engine, TOKENIZER, text, documents=documents)
    before = [TOKENIZER.bos_id] if documents else TOKENIZER.encode("\n")
    passage = Passage.of(TOKENIZER, [np.concatenate([before, expected.ids])], lead=1)
    reading = Reading.joined(read_part(model, passage, part) for part in trace(model.encoder, passage))
    np.testing.assert_allclose(-reading.bits * math.log(2), expected.log_probs, atol=1e-4)
    likeliest = reading.probabilities[:, 0]
    assert (likeliest >= 2**-reading.bits - 1e-9).all() and (np.diff(reading.probabilities) <= 0).all()


def test_a_first_token_that_follows_nothing_may_be_any() -> None:
    model = language_model()
    passage = Passage.of(TOKENIZER, [TOKENIZER.encode("abc")])
    reading = Reading.joined(read_part(model, passage, part) for part in trace(model.encoder, passage))
    assert len(reading.bits) == 3 and reading.bits[0] == pytest.approx(math.log2(TOKENIZER.vocab_size))


@pytest.mark.parametrize("cell", SPECS)
def test_a_trace_is_what_the_layers_put_out(cell: str) -> None:
    model, passage = language_model(cell), passage_of("abc" * 250, "de")
    parts = list(trace(model.encoder, passage))
    assert [(part.text, part.start) for part in parts] == [(0, 0), (0, 500), (1, 0)]
    ids = torch.from_numpy(passage.texts[0])[:, None]
    outputs, _ = model.encoder(ids)
    own = torch.cat([part.outputs for part in parts[:2]])
    torch.testing.assert_close(own, outputs[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(own, torch.cat([part.layers[:, 1] for part in parts[:2]]))


def test_backward_layers_come_last() -> None:
    config = ClassifierConfig(EncoderConfig(TOKENIZER.vocab_size, "gru", 2, 4, 3, bidirectional=True), 2)
    model = load_weights(Classifier(config), random_weights(config)).eval()
    (part,) = trace(model.encoder, passage_of("abcde"))
    assert part.layers.shape == (6, 4, 4)
    torch.testing.assert_close(torch.cat([part.layers[:, 1], part.layers[:, 3]], dim=1), part.outputs)
    ids = torch.from_numpy(passage_of("abcde").texts[0])
    gates, stack = gates_along(model.encoder, ids), model.encoder.stack
    first = model.encoder.embedding(ids)
    second = torch.cat([part.layers[:, 0], part.layers[:, 2]], dim=1)
    for layer, gate, inputs in (
        (stack.backward_layers[0], gates[2], first.flip(0)),
        (stack.layers[1], gates[1], second),
        (stack.backward_layers[1], gates[3], second.flip(0)),
    ):
        h, expected = layer.initial_state(1), []
        for one in inputs:
            expected.append(layer.gates(one[None], h)["z"])
            h = layer.step(one[None], h)[1]
        torch.testing.assert_close(gate["z"], torch.cat(expected))


@pytest.mark.parametrize("lengths", [(3, 1200, 40), (9,)])
def test_a_survey_keeps_all_units_first_and_chosen_ones_to_the_end(
    lengths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chargen.inspection.survey.FIRST", 20)
    monkeypatch.setattr("chargen.inspection.survey.PROBED", 400)
    model, passage = language_model(), passage_of(*("abcde" * length for length in lengths))
    found = survey(model.encoder, passage, [Unit(1, 2), Unit(0, 0)], model)
    every = torch.cat([part.layers[max(0, 1 - part.start) :] for part in trace(model.encoder, passage)]).numpy()
    assert np.array_equal(found.first, every[:20].reshape(len(found.first), 8))
    assert np.array_equal(probed_activations(model.encoder, passage), every[:50].reshape(-1, 8))
    assert np.array_equal(found.values, np.stack([every[:, 1, 2], every[:, 0, 0]], axis=1))
    assert np.array_equal(found.unit(Unit(0, 0)), every[:, 0, 0])
    assert found.reading is not None and len(found.reading.bits) == len(passage.symbols) == len(every)
    lines = list(passage.lines())
    outputs = torch.cat([part.outputs[max(0, 1 - part.start) :] for part in trace(model.encoder, passage)]).numpy()
    expected = np.stack([outputs[start:stop].mean(axis=0, dtype=np.float64) for start, stop in lines])
    np.testing.assert_allclose(found.line_means, expected, atol=1e-6)


def test_gates_are_those_of_an_lstm_in_numpy() -> None:
    model, passage = language_model(layers=1), passage_of("abcdeé -" * 5, "ba")
    weights = {name: weight.detach().numpy() for name, weight in model.encoder.layers[0].named_parameters()}
    embedding = model.encoder.embedding.weight.detach().numpy()
    values: dict[str, list[np.ndarray]] = {"i": [], "f": [], "o": []}
    for text in passage.texts:
        state = [np.zeros((1, 4)), np.zeros((1, 4))]
        for place, token in enumerate(text):
            x = embedding[token : token + 1]
            for name, number in (("i", 0), ("f", 1), ("o", 3)) if place >= passage.lead else ():
                values[name].append(textbook.sigmoid(sum(textbook.summed(x, state[0], weights, number))))
            state = textbook.lstm(x, state, weights)
    (layer,) = measure_gates(model.encoder, passage)
    for gate in layer.gates:
        own = np.concatenate(values[gate.name])
        np.testing.assert_allclose(gate.left, (own < LEFT).mean(axis=0))
        np.testing.assert_allclose(gate.right, (own > RIGHT).mean(axis=0))
    assert layer.memory is not None
    np.testing.assert_allclose(layer.memory, time_constant(np.concatenate(values["f"]).mean(axis=0)), rtol=1e-4)


def test_a_document_begins_with_gates_of_the_zero_state() -> None:
    model = language_model("gru", bos_id=TOKENIZER.bos_id)
    ids = torch.tensor([TOKENIZER.bos_id, 4, 5])
    once, twice = gates_along(model.encoder, ids), gates_along(model.encoder, torch.cat([ids, ids]))
    for one, two in zip(once, twice, strict=True):
        for name, gate in one.items():
            torch.testing.assert_close(two[name], torch.cat([gate, gate]))


@pytest.mark.parametrize("cell", SPECS)
def test_norms_of_gradients_are_those_of_finite_differences(cell: str) -> None:
    model = language_model(cell).double()
    ids, steps, tiny = torch.tensor([[3, 4], [5, 3], [6, 7], [4, 4], [8, 3], [5, 6]]), 4, 1e-6
    start = model.encoder.initial_state(2)
    norms, influence = differentiate(model, ids, start)

    @torch.no_grad()
    def losses(state: tuple[tuple[torch.Tensor, ...], ...], first: int) -> torch.Tensor:
        for one in ids[first:-1]:
            logits, state = model.step(one, state)
        return cross_entropy(logits, ids[-1], reduction="none")

    for back in range(1, steps + 1):
        state, first = start, steps + 1 - back
        with torch.no_grad():
            for one in ids[:first]:
                _, state = model.step(one, state)
        squares = torch.zeros(2, dtype=torch.float64)
        for layer, parts in enumerate(state):
            for number, part in enumerate(parts):
                for unit in range(part.shape[1]):
                    sides = []
                    for change in (tiny, -tiny):
                        moved = [list(own) for own in state]
                        moved[layer][number] = part.clone()
                        moved[layer][number][:, unit] += change
                        sides.append(losses(tuple(map(tuple, moved)), first))
                    squares += ((sides[0] - sides[1]) / (2 * tiny)) ** 2
        np.testing.assert_allclose(norms[:, back - 1], squares.sqrt().numpy(), rtol=1e-5, atol=1e-8)
    assert influence.shape == (2, steps)


def test_influence_is_the_change_of_the_log_probability_as_an_embedding_grows() -> None:
    model, tiny = language_model().double(), 1e-6
    ids = torch.tensor([[3], [4], [5], [6], [7]])
    _, influence = differentiate(model, ids, model.encoder.initial_state(1))
    with torch.no_grad():
        for back in range(1, 4):
            sides = []
            for factor in (1 + tiny, 1 - tiny):
                inputs = model.encoder.embedding(ids[:-1])
                inputs[len(inputs) - back] *= factor
                outputs, _ = model.encoder.stack.run(inputs, model.encoder.initial_state(1))
                sides.append(-cross_entropy(model.projection(outputs[-1]), ids[-1]))
            expected = float((sides[0] - sides[1]) / (2 * tiny))
            assert influence[0, back - 1] == pytest.approx(expected, rel=1e-5)


def test_gradients_are_measured_where_texts_are_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    model, passage = language_model("gru"), passage_of("ab", "abcde" * 4, "edcba" * 6)
    whole = measure_gradients(model, passage, steps=5, most=7)
    monkeypatch.setattr("chargen.inspection.gradients.MOST_NUMBERS", 1)
    single = measure_gradients(model, passage, steps=5, most=7)
    assert whole is not None and single is not None and whole.norms.shape == (7, 5)
    np.testing.assert_allclose(whole.norms, single.norms, rtol=1e-9)
    np.testing.assert_allclose(whole.influence, single.influence, rtol=1e-7, atol=1e-12)
    # The first place is the last token that has five states and one more before it.
    assert whole.positions[0] == passage.starts[1] + 5 and passage.symbols[whole.positions[0]] == "a"
    assert whole.positions[-1] == len(passage.symbols) - 1
    assert measure_gradients(model, passage_of("abc"), steps=5) is None


def test_contributions_are_the_label_s_logit_above_the_mean() -> None:
    config = ClassifierConfig(EncoderConfig(9, "gru", 1, 4, 3), 3, "concat")
    pooled, head = RANDOM.normal(size=12), RANDOM.normal(size=(3, 12))
    logits = head @ pooled
    for label in range(3):
        shares = contributions(pooled, head, label)
        assert shares.sum() == pytest.approx(logits[label] - logits.mean())
        strongest = carriers(shares, config, most=4)
        assert [abs(one.weight) for one in strongest] == sorted(np.abs(shares))[::-1][:4]


def test_principal_components_are_those_of_scikit_learn() -> None:
    from sklearn.decomposition import PCA

    vectors = RANDOM.normal(size=(20, 6)) @ RANDOM.normal(size=(6, 6))
    coordinates, explained = principal_components(vectors)
    pca = PCA(2).fit(vectors)
    np.testing.assert_allclose(explained, pca.explained_variance_ratio_)
    np.testing.assert_allclose(np.abs(coordinates), np.abs(pca.transform(vectors)))
    assert (coordinates.max(axis=0) == np.abs(coordinates).max(axis=0)).all()
    alike, none = principal_components(np.ones((3, 4)))
    assert not alike.any() and not none.any()


def test_clusters_are_found_where_there_are_some() -> None:
    centres = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    vectors = np.repeat(centres, 12, axis=0) + RANDOM.normal(0, 0.3, (36, 2))
    found = cluster(vectors)
    assert len(np.unique(found)) == 3 and all(len(set(found[n : n + 12].tolist())) == 1 for n in (0, 12, 24))
    assert not cluster(np.ones((5, 2))).any() and not cluster(np.ones((1, 2))).any()


def test_an_untrained_network_is_always_the_same_and_moves_no_random_numbers() -> None:
    config = LanguageModelConfig(EncoderConfig(9, "gru", 1, 4, 3))
    torch.manual_seed(5)
    first = torch.rand(1)
    torch.manual_seed(5)
    one, other = (untrained(partial(LanguageModel, config)) for _ in range(2))
    assert torch.equal(torch.rand(1), first)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
