"""A kind of run that is defined here, in no file of the package: it guesses a line's length by its beginning."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch
from commands import call
from torch import Tensor, nn
from torch.nn.functional import mse_loss

import chargen
from chargen.errors import ChargenError
from chargen.kinds import KINDS, Kind
from chargen.models.config import EncoderConfig, ModelConfig
from chargen.models.encoder import Encoder
from chargen.models.specs import Shapes
from chargen.models.weights import weights_of
from chargen.runs.folder import Run, load_run
from chargen.text.documents import read_lines
from chargen.text.labelled import pad
from chargen.text.records import DataRecord
from chargen.text.sources import fingerprint, resolve
from chargen.text.tokenizers.registry import train_tokenizer
from chargen.training.chosen import with_defaults
from chargen.training.options import Options
from chargen.training.setup import Context, Prepared
from chargen.training.task import OptimizerSettings

READ = 5  # symbols of each line
KIND = Kind(
    name="length",
    title="guesser of lengths",
    task="length",
    use="chargen evaluate -m {}",
    wrong_kind="{} guesses lengths",
    default_input="python-docs",
    model=f"{__name__}:LengthConfig",
    data="chargen.text.records:DataRecord",
    options=f"{__name__}:LengthOptions",
    prepare=f"{__name__}:prepare",
    load=f"{__name__}:load",
    embed=f"{__name__}:load",
    evaluate=f"{__name__}:measure",
    show=f"{__name__}:show",
)


@dataclass(frozen=True, kw_only=True)
class LengthOptions(Options):
    kind = "length"


@dataclass(frozen=True)
class LengthConfig(ModelConfig):
    def output_shapes(self) -> Shapes:
        return {"head.weight": (1, self.encoder.output_size), "head.bias": (1,)}


class LengthModel(nn.Module):
    def __init__(self, config: LengthConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.head = Encoder(config.encoder), nn.Linear(config.encoder.output_size, 1)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        outputs, _ = self.encoder(ids)
        guessed: Tensor = self.head(outputs[lengths - 1, torch.arange(len(lengths))])[:, 0]
        return guessed


@dataclass
class Guessing:
    """The loop's task."""

    model: LengthModel
    lines: list[np.ndarray]
    lengths: np.ndarray
    steps_per_epoch: int = 1

    def error(self, chosen: Sequence[int]) -> Tensor:
        ids, read = map(torch.from_numpy, pad([self.lines[i][:READ] for i in chosen]))
        truth = torch.from_numpy(self.lengths[list(chosen)]).float().log()
        return mse_loss(self.model(ids, read), truth)

    def losses(self, step: int) -> tuple[list[Callable[[], Tensor]], int]:
        return [partial(self.error, range(len(self.lines)))], sum(map(len, self.lines))

    def bits(self, nats: float) -> None:
        pass

    def evaluate(self, most_tokens: int, *, last: bool = False) -> dict[str, Any]:
        with torch.no_grad():
            return {"val_loss": self.error(range(len(self.lines))).item()}

    def weights(self) -> dict[str, np.ndarray]:
        return weights_of(self.model)

    def score(self, figures: Mapping[str, Any]) -> float:
        return -float(figures["val_loss"])

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        pass


def prepare(options: LengthOptions, context: Context) -> Prepared:
    chosen = with_defaults(options, steps=5, tokenizer="char")
    sources = resolve(options.inputs)
    lines = [line for source in sources for line in read_lines(source) if line]
    tokenizer = context.tokenizer or train_tokenizer("char", lines)
    torch.manual_seed(chosen.seed)
    model = LengthModel(LengthConfig(EncoderConfig(tokenizer.vocab_size, "gru", 1, 8, 4)))
    return Prepared(
        task=Guessing(model, [tokenizer.encode(x) for x in lines], np.array([len(x) for x in lines])),
        options=chosen,
        optimizer_settings=OptimizerSettings(0.02, "muon"),
        model=model.config,
        data=DataRecord(fingerprint=fingerprint(sources)),
        tokenizer=tokenizer,
        notes=[f"{len(lines)} lines"],
    )


def load(run: Run) -> LengthModel:
    model = LengthModel(run.model_config(LengthConfig))
    model.load_state_dict({name: torch.from_numpy(weight) for name, weight in run.weights().items()})
    return model


def measure(run: Run, options: LengthOptions, inputs: Sequence[str], asked: Any) -> dict[str, Any]:
    if asked.mistakes:
        raise ChargenError("lengths have no mistakes")
    return {"lines": len(list(read_lines(resolve(list(inputs) or list(options.inputs))[0])))}


def show(run: Run, figures: dict[str, Any]) -> None:
    click.echo(f"lines {figures['lines']}")


@pytest.fixture(autouse=True)
def _registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(KINDS, "length", KIND)
    Path("lines.txt").write_text("".join(f"{'xy'[n % 2]}{'a' * (4 + 9 * (n % 2))}\n" for n in range(40)))


def test_it_trains_resumes_loads_and_is_measured() -> None:
    told = call(
        "train", "lines.txt", "--task", "length", "--device", "cpu", "--precision", "fp32", "-o", "run"
    ).stderr
    assert "40 lines" in told and "next: chargen evaluate -m ./run" in told
    before = load_run(Path("run")).summary()["val_loss"]
    call("train", "--resume", "-o", "run", "--steps", "60", "--quiet")
    run = load_run(Path("run"))
    assert run.kind == "length" and run.summary()["steps"] == 60 and run.summary()["val_loss"] < before / 2
    assert isinstance(chargen.load("./run"), LengthModel)
    assert call("evaluate", "-m", "./run").stdout == "lines 40\n"
    assert json.loads(call("evaluate", "-m", "./run", "--json").stdout)["lines"] == 40


def test_other_verbs_say_what_it_is() -> None:
    call("train", "lines.txt", "--task", "length", "--device", "cpu", "-o", "run", "--quiet")
    assert call("sample", "-m", "./run", code=1).stderr == "chargen: ./run guesses lengths\n"
    assert "a guesser of lengths, which cannot be inspected" in call("inspect", "-m", "./run", code=1).stderr
    assert (
        "--mistakes is for classifiers, and ./run is a guesser"
        in call("evaluate", "-m", "./run", "--mistakes", "3", code=1).stderr
    )
    assert (
        "--pooling is not for a guesser"
        in call("train", "lines.txt", "--task", "length", "--pooling", "max", code=2).stderr
    )
