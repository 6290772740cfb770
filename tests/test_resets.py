"""Documents: each starts from the zero state, whatever was read before it, everywhere that a model is run."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import edit_json
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from trainings import run_of

from chargen.api.load import load_language_model
from chargen.errors import ChargenError
from chargen.evaluation.dynamic import Adaptation, dynamic_loss
from chargen.evaluation.losses import sum_nats
from chargen.generation.engines.contract import Engine
from chargen.generation.engines.numpy_engine import NumpyEngine
from chargen.generation.engines.torch_engine import TorchEngine
from chargen.models.cells.cell import Cell, State
from chargen.models.cells.fused import GRU, FusedCell
from chargen.models.cells.packing import Packing
from chargen.models.cells.registry import CELLS
from chargen.models.config import EncoderConfig, LanguageModelConfig
from chargen.models.encoder import Encoder
from chargen.models.language_model import LanguageModel
from chargen.models.specs import SPECS
from chargen.models.weights import weights_of
from chargen.runs.folder import load_run
from chargen.text.tokenizers.char import CharTokenizer
from chargen.training.distributed import ALONE
from chargen.training.options import LanguageModelOptions, options_of
from chargen.training.setup import Context
from chargen.training.start import start
from chargen.training.tasks.language_model import prepare_language_model
from chargen.workers import ONE_WORKER

T, B, V, E, H = 9, 3, 7, 4, 6
FUSED = [name for name, cell in CELLS.items() if issubclass(cell, FusedCell)]
BOS = 1


def config_of(cell: str, bos_id: int | None = BOS) -> LanguageModelConfig:
    return LanguageModelConfig(EncoderConfig(V, cell, 2, H, E, bos_id=bos_id))


def documents(seed: int = 0) -> Tensor:
    """Ids (T, B) of streams in which documents begin at different steps."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, V, (T, B), generator=generator)
    ids[[0, 3, 4, 8], 0] = BOS
    ids[5, 1] = BOS
    return ids


def some_state(model: Encoder | Cell) -> State:
    generator = torch.Generator().manual_seed(1)
    cells = [model] if isinstance(model, Cell) else model.stack.layers
    parts = [part for cell in cells for part in cell.initial_state(B)]
    return tuple(torch.randn(part.shape, generator=generator, dtype=part.dtype) for part in parts)


@pytest.mark.parametrize("cell", CELLS)
def test_a_document_is_read_as_if_nothing_came_before_it(cell: str) -> None:
    torch.manual_seed(0)
    encoder, ids = Encoder(config_of(cell).encoder), documents()
    outputs, _ = encoder(ids)
    plain = Encoder(config_of(cell, bos_id=None).encoder)
    plain.load_state_dict(encoder.state_dict())
    for stream in range(B):
        edges = sorted({0, *np.flatnonzero(ids[:, stream] == BOS).tolist(), T})
        alone = [plain(ids[begin:end, [stream]])[0] for begin, end in pairwise(edges)]
        torch.testing.assert_close(outputs[:, [stream]], torch.cat(alone), atol=1e-6, rtol=0)
    assert not torch.allclose(plain(ids)[0], outputs)


@pytest.mark.parametrize("cell", CELLS)
def test_steps_are_a_forward_and_have_its_gradients(cell: str) -> None:
    torch.manual_seed(0)
    encoder = Encoder(config_of(cell).encoder).double()
    parts = some_state(encoder)
    size = len(encoder.stack.layers[0].spec.state)
    before = tuple(parts[start : start + size] for start in range(0, len(parts), size))
    outputs, after = encoder(documents(), before)
    assert outputs.shape == (T, B, encoder.config.output_size)
    state, steps = before, []
    for ids in documents():
        stepped, state = encoder.step(ids, state)
        steps.append(stepped)
    torch.testing.assert_close(outputs, torch.stack(steps), atol=1e-12, rtol=0)
    torch.testing.assert_close(after, state, atol=1e-12, rtol=0)
    pull = torch.randn_like(outputs)
    weights = list(encoder.parameters())
    ours = torch.autograd.grad((outputs * pull).sum(), weights)
    theirs = torch.autograd.grad((torch.stack(steps) * pull).sum(), weights)
    torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize("cell", FUSED)
@given(resets=st.lists(st.lists(st.booleans(), min_size=B, max_size=B), min_size=T, max_size=T))
def test_every_way_to_reset_is_the_same(cell: str, resets: list[list[bool]]) -> None:
    torch.manual_seed(0)
    layer = CELLS[cell](E, H).double()
    assert isinstance(layer, FusedCell)
    inputs = torch.randn(T, B, E, dtype=torch.float64, requires_grad=True)
    state = tuple(part.requires_grad_() for part in some_state(layer))
    mask = torch.rand_like(layer.weight_hh_l0)
    pull = torch.randn(T, B, H, dtype=torch.float64)
    wanted = [inputs, *layer.parameters()]
    where = torch.tensor(resets)
    expected, last = Cell.forward_with_resets(layer, inputs, state, where, mask)
    gradients = torch.autograd.grad((expected * pull).sum(), wanted)
    for outputs, after in (
        layer.forward_with_resets(inputs, state, where, mask),
        layer.forward_packed(Packing.at(where), inputs, state, mask),
    ):
        torch.testing.assert_close(outputs, expected, atol=1e-12, rtol=0)
        torch.testing.assert_close(after, last, atol=1e-12, rtol=0)
        torch.testing.assert_close(
            torch.autograd.grad((outputs * pull).sum(), wanted), gradients, atol=1e-10, rtol=1e-8
        )


def test_the_gradient_of_the_state_ends_where_a_document_begins() -> None:
    torch.manual_seed(0)
    layer = GRU(E, H).double()
    resets = torch.tensor([[True, False, False], [False, True, False]])
    inputs = torch.randn(2, B, E, dtype=torch.float64)
    (state,) = (part.requires_grad_() for part in some_state(layer))
    outputs, _ = layer.forward_with_resets(inputs, (state,), resets)
    assert "GRUScan" in repr(outputs.grad_fn)
    (last,) = torch.autograd.grad(outputs[-1].sum(), [state], retain_graph=True)
    assert [bool(row.any()) for row in last] == [False, False, True]
    (both,) = torch.autograd.grad(outputs.sum(), [state])
    assert [bool(row.any()) for row in both] == [False, True, True]


def engines(cell: str) -> tuple[Engine, Engine]:
    torch.manual_seed(0)
    config = config_of(cell)
    weights = {name: 3 * weight for name, weight in weights_of(LanguageModel(config)).items()}
    return NumpyEngine(config, weights), TorchEngine(config, weights)


@pytest.mark.parametrize("cell", SPECS)
def test_engines_reset_too(cell: str) -> None:
    ids = documents().numpy()
    for engine in engines(cell):
        every, after = engine.read_all(ids, engine.start(B))
        last, _ = engine.read(ids, engine.start(B))
        state, stepped = engine.start(B), []
        for step in ids:
            logits, state = engine.step(step, state)
            stepped.append(logits)
        np.testing.assert_allclose(every, np.stack(stepped), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(last, stepped[-1], rtol=1e-4, atol=1e-5)
        alone, _ = engine.read_all(ids[4:8, [0]], engine.start(1))
        np.testing.assert_allclose(every[4:8, [0]], alone, rtol=1e-4, atol=1e-5)
        for ours, theirs in zip(after, state, strict=True):
            for one, other in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-4, atol=1e-5)
    numpy_logits, torch_logits = (engine.read_all(ids, engine.start(B))[0] for engine in engines(cell))
    np.testing.assert_allclose(numpy_logits, torch_logits, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def poems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("poems") / "poems.txt"
    rng = np.random.default_rng(0)
    words = ["ash", "bee", "corn", "dew", "elm"]
    lines = (" ".join(rng.choice(words, rng.integers(1, 9))) for _ in range(200))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_figure_is_of_documents_that_are_read_alone(poems: Path, tmp_path: Path) -> None:
    options = LanguageModelOptions(inputs=(str(poems),), documents="line", steps=30, hidden_size=12, num_layers=2)
    run = run_of(start(options, tmp_path / "run"))
    config, tokenizer = run.model_config(LanguageModelConfig), run.tokenizer()
    assert config.encoder.bos_id == tokenizer.bos_id
    writer = load_language_model(run.path)
    texts = ["ash bee", "elm", "corn dew corn dew", "bee", "dew"] * 20
    scored = {text: -writer.score(text).log_probs.sum() for text in set(texts)}
    model = LanguageModel(config)
    model.load_state_dict({name: torch.from_numpy(weight) for name, weight in run.weights().items()})
    edges = np.array([tokenizer.bos_id]), np.array([tokenizer.eos_id])
    ids = np.concatenate([part for text in texts for part in (edges[0], tokenizer.encode(text), edges[1])])
    logits, _ = model(torch.from_numpy(ids[:-1].astype(np.int64))[:, None])
    begins = np.flatnonzero(ids[1:] == tokenizer.bos_id)
    between = -torch.log_softmax(logits[:, 0], -1)[begins, tokenizer.bos_id].sum().item()
    expected = sum(scored[text] for text in texts) + between
    for streams in (1, 4):
        assert sum_nats(model, ids, streams=streams, window=16) == pytest.approx(expected, rel=1e-5)
    slow = Adaptation(rate=1e-12, decay=0, window=16)
    assert dynamic_loss(model, tokenizer, ids, ids, slow).nats == pytest.approx(expected, rel=1e-4)


def test_a_run_made_before_goes_on_as_it_was(poems: Path, tmp_path: Path) -> None:
    options = LanguageModelOptions(inputs=(str(poems),), documents="line", steps=4, hidden_size=4, num_layers=1)
    run = run_of(start(options, tmp_path / "run"))
    edit_json(run.path / "config.json", lambda config: config["model"]["encoder"].pop("bos_id"))
    context = Context(ALONE, ONE_WORKER, torch.device("cpu"), resumed=load_run(run.path))
    prepared = prepare_language_model(options_of(run, LanguageModelOptions), context)
    assert isinstance(prepared.model, LanguageModelConfig)
    assert prepared.model.encoder.bos_id is None


def test_one_stream_of_text_is_never_reset(poems: Path, tmp_path: Path) -> None:
    run = run_of(start(LanguageModelOptions(inputs=(str(poems),), steps=1, hidden_size=4), tmp_path / "run"))
    assert run.model_config(LanguageModelConfig).encoder.bos_id is None


def test_bos_is_a_token_of_a_model_that_reads_forwards() -> None:
    assert CharTokenizer("ab").bos_id == EncoderConfig(V, bos_id=BOS).bos_id
    for bos_id in (-1, V):
        with pytest.raises(ChargenError, match="must be below the vocabulary size"):
            EncoderConfig(V, bos_id=bos_id)
    with pytest.raises(ChargenError, match="reads in both directions"):
        EncoderConfig(V, bidirectional=True, bos_id=BOS)
