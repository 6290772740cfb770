"""The saver by itself, with a task of a few weights: what it brings back, when a save is due, when it gives up."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from builders import write_run
from torch import Tensor

from chargen.errors import ChargenError
from chargen.models.config import EncoderConfig, LanguageModelConfig
from chargen.runs.folder import Run
from chargen.text.tokenizers.char import CharTokenizer
from chargen.training.distributed import ALONE, World
from chargen.training.progress import Progress
from chargen.training.saver import Saver

TOKENIZER = CharTokenizer("ab")
MODEL = LanguageModelConfig(EncoderConfig(TOKENIZER.vocab_size, "rnn", 1, 5, 4))


class Few:
    """A task as the saver knows it."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 4))
        self.state = torch.randn(2, 3)

    def state_dict(self) -> dict[str, Tensor]:
        return {"state": self.state}

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        self.state = tensors["state"].clone()


def saver_of(run: Run, seed: int = 0, world: World = ALONE) -> Saver:
    """A saver whose two optimizers have made a few steps."""
    task: Any = Few(seed)
    optimizers = [
        torch.optim.AdamW(task.model[0].parameters(), lr=0.1),
        torch.optim.AdamW(task.model[1].parameters(), lr=0.1),
    ]
    for _ in range(3):
        task.model(torch.randn(5, 3)).square().sum().backward()
        for optimizer in optimizers:
            optimizer.step()
    return Saver(task, optimizers, run, world)


def everything(saver: Saver) -> dict[str, Tensor]:
    """All that a save is of, but for random numbers."""
    tensors = {f"model.{name}": tensor.clone() for name, tensor in saver.task.model.state_dict().items()}
    tensors |= {f"carried.{name}": tensor.clone() for name, tensor in saver.task.state_dict().items()}
    for number, optimizer in enumerate(saver.optimizers):
        for index, parts in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{index}.{name}": part.clone() for name, part in parts.items()}
    return tensors


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return write_run(tmp_path / "run", MODEL, TOKENIZER)


def content(run: Run) -> bytes | None:
    path = run.path / "training" / "state.safetensors"
    return path.read_bytes() if path.exists() else None


def test_all_of_a_save_comes_back(run: Run) -> None:
    progress = Progress(7, 1.5, 900, best=0.25, stale=3, evaluation_tokens=40, average_loss=2.5, rollbacks=1)
    saver = saver_of(run)
    before, random = everything(saver), torch.get_rng_state()
    assert saver.save(progress) is progress
    other = saver_of(run, seed=1)
    assert all(
        not torch.equal(everything(other)[name], tensor) for name, tensor in before.items() if "step" not in name
    )
    assert other.restore() == progress
    after = everything(other)
    assert after.keys() == before.keys() and len(before) == 4 + 1 + 2 * 2 * 3
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert torch.equal(torch.get_rng_state(), random)


def test_the_first_save_has_no_moments(run: Run) -> None:
    saver = saver_of(run)
    fresh = Saver(saver.task, [torch.optim.AdamW(saver.task.model.parameters())], run, ALONE)
    fresh.save(Progress())
    saved = run.training_state()
    assert saved is not None and not [name for name in saved[0] if name.startswith("optimizer")]
    assert fresh.restore() == Progress()


def test_what_is_not_worth_going_on_from_is_not_saved(run: Run) -> None:
    saver = saver_of(run)
    saver.save(Progress(step=1))
    kept = content(run)
    assert kept is not None
    struck = Progress(step=2, strikes=1)
    assert saver.save(struck) is struck
    with torch.no_grad():
        saver.task.model.get_parameter("1.bias")[3] = math.nan
    saver.save(Progress(step=3))
    assert content(run) == kept
    with torch.no_grad():
        saver.task.model.get_parameter("1.bias")[3] = 0
    saver.save(Progress(step=4))
    assert content(run) != kept


def test_only_the_first_process_writes(run: Run) -> None:
    saver_of(run, world=World(rank=1, size=1)).save(Progress())
    assert content(run) is None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What a clock says: the one number in it."""
    now = [1000.0]
    monkeypatch.setattr("chargen.training.saver.time.monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(("took", "wait"), [(0.0, 60.0), (1.0, 60.0), (2.0, 100.0)])
def test_a_save_is_due_after_a_minute_or_fifty_times_what_one_takes(
    run: Run, clock: list[float], monkeypatch: pytest.MonkeyPatch, took: float, wait: float
) -> None:
    saver = saver_of(run)
    clock[0] += 60.0
    assert not saver.is_due()
    clock[0] += 0.5
    assert saver.is_due()

    def write(self: Run, *arguments: object) -> None:
        clock[0] += took

    monkeypatch.setattr(Run, "save_training_state", write)
    saver.save(Progress())
    clock[0] += wait
    assert not saver.is_due()
    clock[0] += 0.5
    assert saver.is_due()


def test_a_training_rolls_back_twice_and_then_gives_up(run: Run) -> None:
    saver = saver_of(run)
    saver.save(Progress(step=5, seconds=10.0, tokens=50))
    before = everything(saver)
    progress = Progress(step=9, seconds=20.0, tokens=90, strikes=10)
    for rollbacks in (1, 2):
        with torch.no_grad():
            saver.task.model.get_parameter("0.weight").add_(1)
        progress = saver.roll_back(progress, 0.0123)
        assert progress == Progress(step=5, seconds=20.0, tokens=50, rollbacks=rollbacks)
        assert all(torch.equal(everything(saver)[name], tensor) for name, tensor in before.items())
        progress.step = 9
    with pytest.raises(ChargenError, match=r"at step 9, after 2 attempts .* --learning-rate below 0\.012 or"):
        saver.roll_back(progress, 0.0123)


def without(name: str) -> Callable[[dict[str, Any], dict[str, Any]], object]:
    return lambda tensors, facts: tensors.pop(name)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (without("model.0.weight"), r"lacks model\.0\.weight in training/state"),
        (without("carried.state"), r"lacks carried\.state in"),
        (without("random.cpu"), r"lacks random\.cpu in"),
        (without("optimizer.1.0.exp_avg"), r"lacks optimizer\.1\.0\.exp_avg in"),
        (lambda tensors, facts: tensors.update({"model.9": tensors["random.cpu"]}), r"has an unknown model\.9 in"),
        (
            lambda tensors, facts: tensors.update({"model.0.weight": tensors["model.0.weight"].T.copy()}),
            r"has model\.0\.weight in .* as \(3, 2\) of torch\.float32, where the model needs \(2, 3\) of",
        ),
        (
            lambda tensors, facts: tensors.update({"model.0.bias": tensors["model.0.bias"].astype("f2")}),
            r"as \(2,\) of torch\.float16, where the model needs \(2,\) of torch\.float32",
        ),
        (lambda tensors, facts: facts.update(strikes=-1), "has impossible numbers in"),
        (lambda tensors, facts: facts.update(stale=-1), "has impossible numbers in"),
        (lambda tensors, facts: facts.update(tokens=-1), "has impossible numbers in"),
        (lambda tensors, facts: facts.update(evaluation_tokens=-1), "has impossible numbers in"),
        (lambda tensors, facts: facts.update(rollbacks=3), "has impossible numbers in"),
        (lambda tensors, facts: facts.update(rollbacks=-1), "has impossible numbers in"),
        (lambda tensors, facts: facts.update(seconds=math.inf), "has impossible numbers in"),
        (lambda tensors, facts: facts.update(seconds=-0.5), "has impossible numbers in"),
        (lambda tensors, facts: facts.update(step=10**400), "has impossible numbers in"),
        (lambda tensors, facts: facts.update(tokens=1 << 60), "has impossible numbers in"),
        (lambda tensors, facts: facts.update(best=math.nan), "has impossible numbers in"),
        (lambda tensors, facts: facts.update(average_loss=-math.inf), "has impossible numbers in"),
        (lambda tensors, facts: facts.update(step="x"), "does not record a training"),
        (lambda tensors, facts: tensors["model.0.bias"].fill(math.nan), r"has model\.0\.bias in .* not finite"),
        (lambda tensors, facts: tensors["random.cpu"].fill(255), "no state of a generator"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_taken_up(run: Run, edit: Any, sentence: str) -> None:
    saver_of(run).save(Progress(step=5))
    saved = run.training_state()
    assert saved is not None
    edit(*saved)
    run.save_training_state(*saved)
    other = saver_of(run, seed=1)
    before, random = everything(other), torch.get_rng_state()
    with pytest.raises(ChargenError, match=sentence):
        other.restore()
    assert all(torch.equal(everything(other)[name], tensor) for name, tensor in before.items())
    assert torch.equal(torch.get_rng_state(), random)


def test_random_numbers_of_a_gpu_may_lack_or_be_too_many(run: Run) -> None:
    saver_of(run).save(Progress(step=5, rollbacks=2))
    saved = run.training_state()
    assert saved is not None
    tensors, facts = saved
    tensors.pop("random.cuda", None)
    run.save_training_state(tensors, facts)
    assert saver_of(run, seed=1).restore().step == 5
    if not torch.cuda.is_available():
        run.save_training_state(tensors | {"random.cuda": tensors["random.cpu"][:16].copy()}, facts)
        assert saver_of(run, seed=1).restore() == Progress(step=5, rollbacks=2)


def test_random_numbers_of_a_gpu_are_saved_and_set(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = torch.arange(16, dtype=torch.uint8)
    found: list[Tensor] = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_rng_state", lambda: numbers)
    monkeypatch.setattr("torch.cuda.set_rng_state", found.append)
    saver = saver_of(run)
    saver.save(Progress())
    saver.restore()
    assert len(found) == 1 and torch.equal(found[0], numbers)
    saved = run.training_state()
    assert saved is not None
    del saved[0]["random.cuda"]  # as where there was none
    run.save_training_state(*saved)
    saver.restore()
    assert len(found) == 1


def test_each_process_goes_on_with_random_numbers_of_the_step(run: Run) -> None:
    seeds: list[int] = []

    class Recorded(World):
        def seed(self, seed: int) -> None:
            seeds.append(seed)

    saver = saver_of(run, world=Recorded())
    saver.save(Progress(step=12))
    saver.restore()
    assert seeds == [12]


def test_without_a_saved_state_the_way_on_is_told(run: Run) -> None:
    with pytest.raises(
        ChargenError, match=r"lacks training/state.safetensors, so it cannot be .* --from .*run and --out, or"
    ):
        saver_of(run).restore()
