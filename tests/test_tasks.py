"""What a task's losses are: their sum over shards, their penalties, and the state between windows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from chargen.models.config import EncoderConfig, LanguageModelConfig
from chargen.models.dropout import Dropout
from chargen.models.language_model import LanguageModel
from chargen.models.specs import SPECS
from chargen.text.tokenizers.char import CharTokenizer
from chargen.training.batches import Streams
from chargen.training.events import Step
from chargen.training.options import ClassifierOptions
from chargen.training.start import start
from chargen.training.tasks.language_model import LanguageModelling
from chargen.workers import Workers

pytestmark = pytest.mark.usefixtures("data_folder")


@pytest.mark.parametrize("shards", [1, 3])
def test_a_classifiers_shards_have_the_loss_of_its_batch(table: str, tmp_path: Path, shards: int) -> None:
    options = ClassifierOptions(
        inputs=(table,), steps=3, hidden_size=8, batch_size=5, shards=shards, device="cpu", precision="fp32"
    )
    steps = [event.loss for event in start(options, tmp_path / str(shards)) if isinstance(event, Step)]
    options = replace(options, shards=2)
    others = [event.loss for event in start(options, tmp_path / "other") if isinstance(event, Step)]
    assert steps == pytest.approx(others, rel=1e-5)


def task_of(shards: int = 1, cell: str = "gru", **settings: Any) -> LanguageModelling:
    torch.manual_seed(0)
    tokenizer = CharTokenizer("abc")
    model = LanguageModel(LanguageModelConfig(EncoderConfig(tokenizer.vocab_size, cell, 1, 5, 4)))
    ids = np.random.default_rng(0).integers(3, tokenizer.vocab_size, 100)
    streams = Streams(ids, 3, 6)
    return LanguageModelling(
        model, streams, ids, tokenizer, 1.0, torch.device("cpu"), "fp32", shards=shards, **settings
    )


def loss_of(task: LanguageModelling, step: int) -> Tensor:
    losses, tokens = task.losses(step)
    assert tokens == 18
    return torch.stack([loss() for loss in losses]).sum()


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_activation_regularisation_adds_its_mean_squares(shards: int) -> None:
    plain = task_of(shards)
    tokens = torch.from_numpy(plain.streams.ids[plain.streams.indices(0)])
    outputs, _ = plain.model.encoder(tokens[:-1])
    penalised = loss_of(task_of(shards, activation_reg=2.0, temporal_reg=3.0), 0)
    expected = 2 * outputs.square().mean() + 3 * (outputs[1:] - outputs[:-1]).square().mean()
    torch.testing.assert_close(penalised - loss_of(plain, 0), expected)


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_state_passes_from_window_to_window_without_gradient(shards: int) -> None:
    task = task_of(shards)
    loss_of(task, 0)
    state = tuple(
        tuple(torch.cat(parts) for parts in zip(*layers, strict=True)) for layers in zip(*task.states, strict=True)
    )
    assert not state[0][0].requires_grad and state[0][0].abs().sum() > 0
    assert torch.equal(task.state_dict()["state.0.0"], state[0][0])
    tokens = torch.from_numpy(task.streams.ids[task.streams.indices(1)])
    logits, _ = task.model(tokens[:-1], state)
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[1:].flatten())
    torch.testing.assert_close(loss_of(task, 1), expected)


@pytest.mark.parametrize("cell", SPECS)
def test_shards_have_the_loss_and_the_gradient_of_the_whole_batch(cell: str) -> None:
    everything = Dropout(0.2, 0.2, 0.2, 0.2, 0.2)
    found = []
    for shards in (1, 2, 3):
        task = task_of(shards, cell, dropout=everything)
        torch.manual_seed(1)
        with Workers(2) as workers:
            for step in range(3):  # the state passes on as well
                loss = workers.gradients(task.model, task.losses(step)[0])
        found.append([loss, *(weight.grad for weight in task.model.parameters())])
    for other in found[1:]:
        for one, another in zip(found[0], other, strict=True):
            torch.testing.assert_close(one, another)
