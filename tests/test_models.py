"""Models against the textbook's equations in NumPy, and the laws of state, masks and shapes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from textbook import run_layer
from torch import Tensor
from torch.nn.functional import cross_entropy

from chargen.errors import ChargenError
from chargen.hardware import autocast
from chargen.models.cells.fused import GRU, LSTM, FusedCell, ReluRNN
from chargen.models.cells.registry import CELLS
from chargen.models.classifier import Classifier, label_logits, pool
from chargen.models.config import (
    POOLINGS,
    ClassifierConfig,
    EncoderConfig,
    LanguageModelConfig,
    weight_shapes,
)
from chargen.models.dropout import Dropout, Masks
from chargen.models.encoder import Encoder
from chargen.models.language_model import LanguageModel
from chargen.models.stack import StackState, reverse
from chargen.training.setup import resolve_precision

V, E, H, L, T, B = 11, 4, 5, 2, 6, 3
TOLERANCE = 2e-6


def make_encoder(cell: str, *, bidirectional: bool = False) -> Encoder:
    """An encoder whose every weight is random, biases too."""
    torch.manual_seed(1)
    encoder = Encoder(EncoderConfig(V, cell, L, H, E, bidirectional)).eval()
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.copy_(torch.randn_like(weight) * 0.5)
    return encoder


def some_ids(steps: int = T, batch: int = B) -> Tensor:
    return torch.randint(V, (steps, batch), generator=torch.Generator().manual_seed(2))


def some_state(encoder: Encoder) -> StackState:
    generator = torch.Generator().manual_seed(3)
    start = encoder.initial_state(B)
    return tuple(tuple(torch.randn(part.shape, generator=generator) for part in layer) for layer in start)


def weights_of(layer: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: weight.detach().numpy() for name, weight in layer.named_parameters()}


@pytest.mark.parametrize("cell", CELLS)
def test_a_stack_is_the_textbooks_equations(cell: str) -> None:
    encoder = make_encoder(cell)
    state = some_state(encoder)
    outputs, after = encoder(some_ids(), state)
    expected = encoder.embedding.weight.detach().numpy()[some_ids().numpy()]
    for number, layer in enumerate(encoder.stack.layers):
        before = [part.numpy() for part in state[number]]
        expected, last = run_layer(cell, expected, before, weights_of(layer))
        for ours, theirs in zip(after[number], last, strict=True):
            np.testing.assert_allclose(ours.detach().numpy(), theirs, atol=TOLERANCE)
    np.testing.assert_allclose(outputs.detach().numpy(), expected, atol=TOLERANCE)


@pytest.mark.parametrize("cell", CELLS)
def test_the_way_back_is_the_textbooks_equations_from_each_texts_end(cell: str) -> None:
    encoder = make_encoder(cell, bidirectional=True)
    ids, lengths = some_ids(), [T, 2, 4]
    outputs, _ = encoder(ids, lengths=torch.tensor(lengths))
    for stream, length in enumerate(lengths):
        x = encoder.embedding.weight.detach().numpy()[ids[:length, stream].numpy()][:, None]  # (T, 1, E)
        for forwards, back in zip(encoder.stack.layers, encoder.stack.backward_layers, strict=True):
            zero = [part.numpy() for part in forwards.initial_state(1)]
            there, _ = run_layer(cell, x, zero, weights_of(forwards))
            home, _ = run_layer(cell, x[::-1], zero, weights_of(back))
            x = np.concatenate([there, home[::-1]], axis=-1)
        np.testing.assert_allclose(outputs[:length, stream].detach().numpy(), x[:, 0], atol=TOLERANCE)


@pytest.mark.parametrize("cell", CELLS)
def test_steps_are_a_forward(cell: str) -> None:
    encoder = make_encoder(cell)
    state = some_state(encoder)
    outputs, after = encoder(some_ids(), state)
    for ids, expected in zip(some_ids(), outputs, strict=True):
        stepped, state = encoder.step(ids, state)
        torch.testing.assert_close(stepped, expected, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(state, after, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("cell", CELLS)
def test_one_long_run_is_its_chunks(cell: str) -> None:
    encoder = make_encoder(cell)
    whole, after = encoder(some_ids(), some_state(encoder))
    first, state = encoder(some_ids()[:2], some_state(encoder))
    second, state = encoder(some_ids()[2:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole, atol=1e-6, rtol=0)
    torch.testing.assert_close(state, after, atol=1e-6, rtol=0)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_those_of_the_step_loop(cell: str) -> None:
    encoder = make_encoder(cell).double()
    state = tuple(tuple(part.double() for part in layer) for layer in some_state(encoder))
    weights = list(encoder.parameters())
    fused, _ = encoder(some_ids(), state)
    expected = torch.autograd.grad(fused.square().sum(), weights)
    total = torch.zeros((), dtype=torch.float64)
    for ids in some_ids():
        outputs, state = encoder.step(ids, state)
        total = total + outputs.square().sum()
    for ours, theirs in zip(torch.autograd.grad(total, weights), expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-8)


CONFIGS: list[LanguageModelConfig | ClassifierConfig] = [
    LanguageModelConfig(EncoderConfig(V, "lstm", 3, H, E)),
    LanguageModelConfig(EncoderConfig(V, "gru", 1, H, H), tied=True),
    ClassifierConfig(EncoderConfig(V, "rnn", 2, H, E, bidirectional=True), 3, "concat"),
    ClassifierConfig(EncoderConfig(V, "rnn-relu", 2, H, E), 2),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_a_config_tells_every_weight(config: LanguageModelConfig | ClassifierConfig) -> None:
    model = LanguageModel(config) if isinstance(config, LanguageModelConfig) else Classifier(config)
    assert weight_shapes(config) == {name: tuple(weight.shape) for name, weight in model.named_parameters()}


def test_tied_weights_are_one_matrix() -> None:
    model = LanguageModel(LanguageModelConfig(EncoderConfig(V, "gru", 1, H, H), tied=True))
    assert model.projection.weight is model.encoder.embedding.weight
    with pytest.raises(ChargenError, match="tied weights need"):
        LanguageModelConfig(EncoderConfig(V, "gru", 1, H, E), tied=True)


def test_a_models_step_is_its_forward() -> None:
    torch.manual_seed(0)
    model = LanguageModel(LanguageModelConfig(EncoderConfig(V, "gru", L, H, E))).eval()
    logits, _ = model(some_ids())
    first, state = model.step(some_ids()[0], model.encoder.initial_state(B))
    second, _ = model.step(some_ids()[1], state)
    torch.testing.assert_close(torch.stack([first, second]), logits[:2], atol=TOLERANCE, rtol=0)


def test_recurrences_begin_orthogonal_and_the_forget_gate_open() -> None:
    layer = LSTM(E, H)
    layer.initialise()
    for gate in layer.weight_hh_l0.chunk(4):
        torch.testing.assert_close(gate @ gate.T, torch.eye(H))
    assert layer.bias_ih_l0.chunk(4)[1].tolist() == [1.0] * H
    assert layer.bias_hh_l0.abs().sum() == 0
    relu = ReluRNN(E, H)
    relu.initialise()
    assert torch.equal(relu.weight_hh_l0, torch.eye(H))


def make_masked(**shares: float) -> tuple[Encoder, Masks]:
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(V, "gru", L, H, E))
    return encoder, encoder.draw_masks(Dropout(**shares), B)


@pytest.mark.parametrize("place", ["embedding", "input", "between", "output", "recurrent"])
def test_each_dropout_changes_outputs_and_another_draw_changes_others(place: str) -> None:
    encoder, masks = make_masked(**{place: 0.5})
    plain, once, again = (encoder(some_ids(), masks=one)[0] for one in (Masks(), masks, masks))
    assert not torch.equal(plain, once) and torch.equal(once, again)
    other = encoder.draw_masks(Dropout(**{place: 0.5}), B)
    assert not torch.equal(once, encoder(some_ids(), masks=other)[0])


@pytest.mark.parametrize("bidirectional", [False, True])
def test_masks_are_drawn_for_all_streams_and_select_some(bidirectional: bool) -> None:
    encoder = make_encoder("lstm", bidirectional=bidirectional)
    masks = encoder.draw_masks(Dropout(0.5, 0.5, 0.5, 0.5, 0.5), B)
    whole, _ = encoder(some_ids(), masks=masks)
    for streams in (slice(0, 2), slice(2, 3), slice(0, None, 2)):
        part, _ = encoder(some_ids()[:, streams], masks=masks.select(streams))
        torch.testing.assert_close(part, whole[:, streams], atol=TOLERANCE, rtol=0)


def test_locked_dropout_has_one_mask_for_all_steps() -> None:
    encoder, masks = make_masked(output=0.5)
    outputs, _ = encoder(some_ids(), masks=masks)
    left_out = outputs == 0
    assert left_out.any() and not left_out.all()
    assert torch.equal(left_out, left_out[:1].expand_as(left_out))
    kept = encoder(some_ids())[0] * 2
    torch.testing.assert_close(outputs[~left_out], kept[~left_out])


def test_embedding_dropout_leaves_out_whole_symbols() -> None:
    encoder, masks = make_masked(embedding=0.5)
    embedded = encoder._embed(torch.arange(V), masks)
    kinds = {(row == 0).all().item() or not (row == 0).any().item() for row in embedded}
    assert kinds == {True} and (embedded == 0).any() and embedded.any()


def test_a_share_of_one_is_refused() -> None:
    with pytest.raises(ChargenError, match="dropout between is 1"):
        Dropout(between=1.0)


def test_poolings_are_what_they_say() -> None:
    outputs = torch.arange(T * 2 * H, dtype=torch.float32).reshape(T, 2, H)
    outputs[4:, 1] = 1e6  # padding, which must not count
    lengths = torch.tensor([T, 4])

    def pooled(pooling: str) -> Tensor:
        return pool(outputs, lengths, ClassifierConfig(EncoderConfig(V, "gru", 1, H, E), 2, pooling))

    own = [outputs[:T, 0], outputs[:4, 1]]
    torch.testing.assert_close(pooled("final"), torch.stack([text[-1] for text in own]))
    torch.testing.assert_close(pooled("mean"), torch.stack([text.mean(0) for text in own]))
    torch.testing.assert_close(pooled("max"), torch.stack([text.amax(0) for text in own]))
    parts = [pooled(name) for name in ("final", "mean", "max")]
    torch.testing.assert_close(pooled("concat"), torch.cat(parts, dim=-1))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_changes_no_label(pooling: str, bidirectional: bool) -> None:
    torch.manual_seed(0)
    model = Classifier(ClassifierConfig(EncoderConfig(V, "lstm", 2, H, E, bidirectional), 3, pooling)).eval()
    texts = [np.array([1, 2, 3, 4, 5]), np.array([6]), np.array([7, 8])]
    together = label_logits(model, texts)
    alone = np.concatenate([label_logits(model, [text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=TOLERANCE)
    in_twos = label_logits(model, texts, batch_size=2)
    np.testing.assert_allclose(together, in_twos, atol=TOLERANCE)


def test_reverse_turns_each_stream_round_at_its_own_end() -> None:
    values = torch.arange(6.0).reshape(3, 2, 1)
    assert reverse(values, torch.tensor([3, 2]))[..., 0].tolist() == [[4, 3], [2, 1], [0, 5]]
    assert torch.equal(reverse(reverse(values)), values)


def test_a_gru_applies_reset_after_the_product() -> None:
    layer = GRU(1, 1)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.zero_()
        layer.bias_hh_l0[2] = 2.0  # inside the reset, which is a half
    outputs, _ = layer.step(torch.zeros(1, 1), layer.initial_state(1))
    assert outputs.item() == pytest.approx(0.5 * np.tanh(1.0))


def test_configs_refuse_what_cannot_be() -> None:
    with pytest.raises(ChargenError, match="unknown cell 'tcn'"):
        EncoderConfig(V, "tcn")
    with pytest.raises(ChargenError, match="num_layers is 0"):
        EncoderConfig(V, num_layers=0)
    with pytest.raises(ChargenError, match="reads forwards only"):
        LanguageModelConfig(EncoderConfig(V, bidirectional=True))
    with pytest.raises(ChargenError, match="at least two labels"):
        ClassifierConfig(EncoderConfig(V), 1)
    with pytest.raises(ChargenError, match="unknown pooling"):
        ClassifierConfig(EncoderConfig(V), 2, "sum")


def test_the_gru_scan_is_the_kernel_forwards_and_back() -> None:
    torch.manual_seed(0)
    layer = GRU(E, H).double()
    inputs = torch.randn(T, B, E, dtype=torch.float64, requires_grad=True)
    state = torch.randn(B, H, dtype=torch.float64, requires_grad=True)
    pull = torch.randn(T, B, H, dtype=torch.float64)
    wanted = [inputs, state, *layer.parameters()]
    expected, _ = FusedCell.forward_with(layer, list(layer.parameters()), inputs, (state,))
    scanned, _ = layer(inputs, (state,))
    assert "GRUScan" in repr(scanned.grad_fn) and "GRUScan" not in repr(expected.grad_fn)
    torch.testing.assert_close(scanned, expected, atol=1e-12, rtol=0)
    ours = torch.autograd.grad((scanned * pull).sum(), wanted)
    theirs = torch.autograd.grad((expected * pull).sum(), wanted)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize("cell", CELLS)
def test_bfloat16_changes_a_loss_by_less_than_a_percent(cell: str) -> None:
    try:
        resolve_precision("bf16", cell, torch.device("cpu"))
    except ChargenError as error:
        pytest.skip(str(error))
    torch.manual_seed(0)
    model = LanguageModel(LanguageModelConfig(EncoderConfig(V, cell, L, 32, 16)))
    with torch.no_grad():
        model.projection.weight *= 20  # so that the loss is not that of a guess, which is log V in any precision
    ids = some_ids(40, 8)
    losses, gradients = [], []
    for precision in ("fp32", "bf16"):
        with autocast(torch.device("cpu"), precision):
            logits, _ = model(ids[:-1])
        assert logits.dtype == (torch.float32 if precision == "fp32" else torch.bfloat16)
        loss = cross_entropy(logits.float().flatten(0, 1), ids[1:].flatten())
        losses.append(loss.item())
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    assert abs(losses[0] - math.log(V)) > 0.05
    assert losses[1] == pytest.approx(losses[0], rel=0.01) and losses[1] != losses[0]
    for exact, near in zip(*gradients, strict=True):
        assert near.dtype == torch.float32 and not torch.equal(near, exact)
        assert (near * exact).sum() > 0.99 * near.norm() * exact.norm()
