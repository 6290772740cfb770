"""Muon against its definition, and which optimizer moves which weight."""

from __future__ import annotations

import pytest
import torch

from chargen.models.config import EncoderConfig, LanguageModelConfig
from chargen.models.language_model import LanguageModel
from chargen.training.optimizers import MOMENTUM, MUON_RATE, Muon, make_optimizers, orthogonalise, set_rate

H, E, V = 6, 4, 9


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(8, 8), (12, 5), (5, 12), (3, 8, 6)])
def test_singular_values_come_near_one_and_directions_stay(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    result = orthogonalise(matrices, dtype)
    values = torch.linalg.svdvals(result)
    relative = torch.linalg.svdvals(matrices) / torch.linalg.matrix_norm(matrices)[..., None]
    assert values.max() < 1.45 and values[relative > 0.05].min() > 0.55
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    closeness = (result * (u @ v)).sum((-2, -1)) / result.norm(dim=(-2, -1)) / (u @ v).norm(dim=(-2, -1))
    assert (closeness > 0.93).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_one_direction_alone_stays_near_a_length_of_one(scale: float, dtype: torch.dtype) -> None:
    """The largest singular value is all there is, so that rounding could lift it where the iteration diverges."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        left, right = torch.randn(2, 32, 1, generator=generator)
        result = orthogonalise(scale * left @ right.T, dtype)
        length = torch.linalg.matrix_norm(result, 2)
        assert length == pytest.approx(1, abs=0.4)
        assert left.T @ result @ right / left.norm() / right.norm() == pytest.approx(length.item(), abs=0.05)


def test_a_matrix_of_nothing_stays_so() -> None:
    assert not orthogonalise(torch.zeros(2, 3, 4)).any()


def make_model(tied: bool = False) -> LanguageModel:
    torch.manual_seed(0)
    return LanguageModel(LanguageModelConfig(EncoderConfig(V, "gru", 2, H, H if tied else E), tied))


@pytest.mark.parametrize("tied", [False, True])
def test_every_weight_has_one_optimizer_and_matrices_of_layers_have_muon(tied: bool) -> None:
    model = make_model(tied)
    adamw, muon = make_optimizers(model, "muon", 0.1)
    owned = [weight for one in (adamw, muon) for group in one.param_groups for weight in group["params"]]
    assert sorted(map(id, owned)) == sorted(map(id, model.parameters()))
    matrices = {id(weight) for name, weight in model.named_parameters() if "layers." in name and weight.ndim == 2}
    assert {id(weight) for weight in muon.param_groups[0]["params"]} == matrices
    assert [group["weight_decay"] for group in adamw.param_groups] == [0.1, 0.0]
    assert all(weight.ndim == 1 for weight in adamw.param_groups[1]["params"])
    (alone,) = make_optimizers(model, "adamw", 0.1)
    assert sum(len(group["params"]) for group in alone.param_groups) == len(owned)


def test_a_rate_is_given_in_each_ones_units() -> None:
    optimizers = make_optimizers(make_model(), "muon", 0.0)
    set_rate(optimizers, 0.3)
    assert [group["lr"] for one in optimizers for group in one.param_groups] == [0.3, 0.3, 0.3 * MUON_RATE]


def test_a_step_is_its_definition_gate_by_gate() -> None:
    model = make_model()
    weights = [weight for name, weight in model.named_parameters() if "layers." in name and weight.ndim == 2]
    optimizer = Muon(weights, hidden_size=H, lr=0.1, weight_decay=0.5)
    expected = [weight.detach().clone() for weight in weights]
    momenta = [torch.zeros_like(weight) for weight in weights]
    for step in range(3):
        for number, weight in enumerate(weights):
            weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(10 * step + number))
            momenta[number] = MOMENTUM * momenta[number] + (1 - MOMENTUM) * weight.grad
            ahead = MOMENTUM * momenta[number] + (1 - MOMENTUM) * weight.grad
            update = torch.cat([orthogonalise(gate) for gate in ahead.chunk(3)])
            scale = max(1, H / weight.shape[1]) ** 0.5
            expected[number] = expected[number] * (1 - 0.1 * 0.5) - 0.1 * scale * update
        optimizer.step()
    for weight, value in zip(weights, expected, strict=True):
        torch.testing.assert_close(weight.detach(), value, atol=1e-5, rtol=0)
