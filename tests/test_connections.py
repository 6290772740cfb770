"""Layer normalisation, residual and highway connections: by their equations, and the same in every twin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from builders import random_weights

from chargen.errors import ChargenError
from chargen.generation.engines.contract import Engine
from chargen.generation.engines.numpy_engine import NumpyEngine
from chargen.generation.engines.torch_engine import TorchEngine
from chargen.models.classifier import Classifier, label_logits
from chargen.models.classifier_numpy import NumpyClassifier
from chargen.models.config import CONNECTIONS, POOLINGS, ClassifierConfig, EncoderConfig, LanguageModelConfig
from chargen.models.encoder import Encoder
from chargen.models.weights import load_weights

V, T, B = 9, 7, 3
ENCODER = EncoderConfig(V, "lstm", 3, hidden_size=6, embedding_size=4)
every = pytest.mark.parametrize(
    "config",
    [
        replace(ENCODER, cell=cell, connections=kind, layer_norm=norm, embedding_size=embedding)
        for kind in CONNECTIONS
        for norm in (False, True)
        for cell, embedding in (("lstm", 4), ("gru", 6), ("qrnn", 6), ("grid-lstm", 12))
    ]
    + [replace(ENCODER, cell="grid-lstm", tied_layers=True)],
    ids=lambda config: (
        f"{config.cell}-{config.connections}-{'norm' if config.layer_norm else 'plain'}"
        + ("-tied" if config.tied_layers else "")
    ),
)


def normed(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Each vector's mean taken off, divided by its standard deviation, then scaled and moved."""
    mean = x.mean(-1, keepdims=True)
    result: np.ndarray = (x - mean) / np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + 1e-5) * weight + bias
    return result


@every
def test_a_stack_is_its_equations(config: EncoderConfig) -> None:
    torch.manual_seed(0)
    encoder = Encoder(config)
    weights = random_weights(LanguageModelConfig(config), 0.5)
    own = {name.removeprefix("encoder."): weight for name, weight in weights.items() if name.startswith("encoder.")}
    load_weights(encoder, own)
    ids = torch.randint(V, (T, B))
    x = own["embedding.weight"][ids.numpy()]
    for number, layer in enumerate(encoder.stack.layers):
        norm = f"connections.norms.{number}."
        read = normed(x, own[f"{norm}weight"], own[f"{norm}bias"]) if config.layer_norm else x
        with torch.no_grad():
            found = layer(torch.from_numpy(read.astype(np.float32)), layer.initial_state(B))[0].numpy()
        if config.connections == "none" or x.shape != found.shape:
            x = found
        elif config.connections == "residual":
            x = x + found
        else:
            highway = f"connections.highways.{number}."
            t = 1 / (1 + np.exp(-(x @ own[f"{highway}weight"].T + own[f"{highway}bias"])))
            x = t * found + (1 - t) * x
    if config.layer_norm:
        x = normed(x, own["connections.norms.3.weight"], own["connections.norms.3.bias"])
    outputs, _ = encoder(ids)
    np.testing.assert_allclose(outputs.detach().numpy(), x, atol=1e-5)


@every
def test_steps_and_engines_agree(config: EncoderConfig) -> None:
    model = LanguageModelConfig(config)
    weights = random_weights(model, 0.5)
    ids = np.random.default_rng(0).integers(0, V, (T, B))
    every_logits = []
    engines: list[Engine] = [NumpyEngine(model, weights), TorchEngine(model, weights)]
    for engine in engines:
        logits, _ = engine.read_all(ids, engine.start(B))
        state, stepped = engine.start(B), []
        for row in ids:
            one, state = engine.step(row, state)
            stepped.append(one)
        np.testing.assert_allclose(logits, np.stack(stepped), atol=1e-4)
        every_logits.append(logits)
    np.testing.assert_allclose(every_logits[0], every_logits[1], atol=1e-4)


@every
@pytest.mark.parametrize("bidirectional", [False, True])
def test_classifiers_agree(config: EncoderConfig, bidirectional: bool) -> None:
    for pooling in POOLINGS:
        made = ClassifierConfig(replace(config, bidirectional=bidirectional), 3, pooling)
        weights = random_weights(made, 0.5)
        texts = [np.random.default_rng(length).integers(0, V, length) for length in (1, 5, 3)]
        twin = load_weights(Classifier(made), weights)
        np.testing.assert_allclose(NumpyClassifier(made, weights).logits(texts), label_logits(twin, texts), atol=1e-4)


def test_highways_begin_with_most_of_the_inputs() -> None:
    encoder = Encoder(replace(ENCODER, connections="highway"))
    below, found = torch.zeros(1, 6), torch.ones(1, 6)
    assert 0.2 < encoder.connections.connect(1, below, found).mean().item() < 0.4
    assert torch.equal(encoder.connections.connect(0, torch.zeros(1, 4), found), found)  # of another width


def test_connections_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ChargenError, match="unknown connections 'dense': choose one of none, residual, highway"):
        replace(ENCODER, connections="dense")


def test_tied_layers_are_one_set_of_weights_in_each_direction() -> None:
    config = replace(ENCODER, cell="grid-lstm", tied_layers=True, bidirectional=True)
    encoder = Encoder(config)
    stored = dict(encoder.named_parameters())
    for stack in (encoder.layers, encoder.backward_layers):
        for name in ("weight_time", "bias_time", "weight_depth", "bias_depth"):
            assert len({id(layer.get_parameter(name)) for layer in stack}) == 1
    assert encoder.layers[0].get_parameter("weight_time") is not encoder.backward_layers[0].get_parameter(
        "weight_time"
    )
    assert {name for name in stored if ".weight_depth" in name} == {
        "layers.0.weight_depth",
        "backward_layers.0.weight_depth",
    }
    untied = Encoder(replace(config, tied_layers=False))
    shared = {name: weight.detach() for name, weight in stored.items()}
    for number in (1, 2):
        for side in config.stacks:
            for name in config.shared:
                shared[f"{side}.{number}.{name}"] = shared[f"{side}.0.{name}"]
    untied.load_state_dict(shared)
    ids = torch.randint(V, (T, B))
    torch.testing.assert_close(encoder(ids)[0], untied(ids)[0], atol=0, rtol=0)
