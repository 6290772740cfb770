"""The optimizers: Muon for the matrices of recurrent layers, AdamW for all other weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from chargen.models.cells.cell import Cell
from chargen.workers import ONE_WORKER, Workers

BETAS = (0.9, 0.99)  # AdamW's decay of both moments per step; a second beta of 0.95 gained nothing
# Muon's learning rate per AdamW's, since Muon's updates have another size. 3 and 8 are worse (benchmarks/notes.md).
MUON_RATE = 5.0
MOMENTUM = 0.95  # Muon's, kept per step; 0.9 is slightly worse (benchmarks/notes.md)
# Coefficients (a, b, c) of a·x + b·x³ + c·x⁵, applied one after the other to each singular value. Each polynomial is
# the odd quintic closest to 1 on the interval that the one before it leaves, the first on [0.03, 1]. Both together
# bring singular values from there to within 0.38 of 1. Three are hardly better and cost half as much again
# (benchmarks/notes.md).
QUINTICS = ((7.3625, -20.7434, 15.1606), (2.9175, -2.1824, 0.4755))
MARGIN = 1.02  # factor on the norm, so that rounding lifts no singular value above 1, where the first one is steep


def make_optimizers(
    model: nn.Module, kind: str, weight_decay: float, precision: str = "fp32", workers: Workers = ONE_WORKER
) -> list[Optimizer]:
    """Make the optimizers of a model, with learning rate 0 until `set_rate` sets it.

    Args:
        model: Its cells' matrices go to Muon if `kind` is muon, all other weights to AdamW.
        kind: One of options.OPTIMIZERS.
        weight_decay: Of matrices; biases do not decay.
        precision: Of Muon's matrix products, `fp32` or `bf16`.
        workers: Threads that share Muon's work on a CPU.

    Returns:
        AdamW, followed by Muon if it has any weights.

    AdamW: Loshchilov & Hutter 2019, arXiv:1711.05101, as one fused kernel.
    """
    layers = [part for part in model.modules() if kind == "muon" and isinstance(part, Cell)]
    matrices = list(dict.fromkeys(getattr(layer, name) for layer in layers for name in layer.spec.matrices))
    taken = {id(weight) for weight in matrices}
    others = [weight for weight in model.parameters() if id(weight) not in taken]
    groups = [
        {"params": [weight for weight in others if weight.ndim > 1], "weight_decay": weight_decay},
        {"params": [weight for weight in others if weight.ndim == 1], "weight_decay": 0.0},
    ]
    optimizers: list[Optimizer] = [AdamW(groups, betas=BETAS, fused=True)]
    if layers:
        optimizers.append(
            Muon(
                matrices,
                hidden_size=layers[0].hidden_size,
                lr=0.0,
                weight_decay=weight_decay,
                dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
                workers=workers,
            )
        )
    return optimizers


def set_rate(optimizers: Sequence[Optimizer], rate: float) -> None:
    """Set the learning rate, given in AdamW's units and converted to each optimizer's own."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * (MUON_RATE if isinstance(optimizer, Muon) else 1.0)


def moments_of(optimizers: Sequence[Optimizer]) -> dict[str, Tensor]:
    """Templates of the state that the optimizers keep per weight from the first step on.

    Returns:
        Uninitialised tensors of the right shapes and dtypes, named `OPTIMIZER.WEIGHT.MOMENT` with the indices of the
        optimizer and of the weight in it, such as `0.2.exp_avg`.
    """
    moments: dict[str, Tensor] = {}
    for number, optimizer in enumerate(optimizers):
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        for index, weight in enumerate(weights):
            if isinstance(optimizer, Muon):
                parts = {"momentum": weight}
            else:
                parts = {"step": torch.zeros(()), "exp_avg": weight, "exp_avg_sq": weight}
            moments |= {f"{number}.{index}.{name}": torch.empty_like(part) for name, part in parts.items()}
    return moments


class Muon(Optimizer):
    """SGD with momentum whose updates are made nearly orthogonal.

    A recurrent weight (G·H, I) stacks one matrix (H, I) per gate; each gate's update is made orthogonal separately.

    Jordan et al. 2024, kellerjordan.github.io/posts/muon.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        *,
        hidden_size: int,
        lr: float,
        weight_decay: float,
        dtype: torch.dtype = torch.float32,
        workers: Workers = ONE_WORKER,
    ) -> None:
        """Set up the optimizer.

        Args:
            params: Recurrent weights (G·H, I).
            hidden_size: H.
            lr: Learning rate, in Muon's own units.
            weight_decay: Fraction of each weight taken off per step, times the learning rate.
            dtype: Of the matrix products that make updates orthogonal.
            workers: Threads that share these products on a CPU.
        """
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})
        self.hidden_size, self.dtype, self.workers = hidden_size, dtype, workers

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update the weights from their gradients."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            updates = [self._momentum(weight) for weight in weights]
            self._make_orthogonal([gate for update in updates for gate in update.split(self.hidden_size)])
            for weight, update in zip(weights, updates, strict=True):
                step = group["lr"] * max(1.0, self.hidden_size / weight.shape[1]) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.sub_(update, alpha=step)

    def _momentum(self, weight: nn.Parameter) -> Tensor:
        """Add a gradient to its weight's momentum, and return the Nesterov update."""
        assert weight.grad is not None
        if not self.state[weight]:
            self.state[weight]["momentum"] = torch.zeros_like(weight)
        momentum: Tensor = self.state[weight]["momentum"]
        momentum.lerp_(weight.grad, 1 - MOMENTUM)
        return weight.grad.lerp(momentum, MOMENTUM)

    def _make_orthogonal(self, matrices: list[Tensor]) -> None:
        """Make matrices (H, I) orthogonal in place, one at a time per worker; on a GPU, one batch per shape."""
        matrices.sort(key=lambda matrix: matrix.shape[1], reverse=True)  # largest first, so that workers end together

        def change(same: list[Tensor]) -> None:
            with torch.no_grad():  # a setting of each thread
                for matrix, result in zip(same, orthogonalise(torch.stack(same), self.dtype), strict=True):
                    matrix.copy_(result)

        by_shape = [list(same) for _, same in groupby(matrices, key=lambda matrix: matrix.shape[1])]
        self.workers.map(change, [[one] for one in matrices] if matrices[0].is_cpu else by_shape)


def orthogonalise(matrices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Bring all singular values of matrices near 1, which approximates their orthogonal polar factors.

    Newton-Schulz iteration with the polynomials of Amsel et al. 2025 (Polar Express, arXiv:2505.16932). It starts
    from the matrix divided by its Schatten 4-norm. That norm bounds the largest singular value more tightly than the
    Frobenius norm does, and it costs nothing, since x·xᵀ is needed anyway.

    Args:
        matrices: (…, M, N); not changed.
        dtype: Of the matrix products; bfloat16 is precise enough.

    Returns:
        Matrices (…, M, N) of the dtype given.

    >>> factor = orthogonalise(torch.tensor([[3.0, 1.0], [0.0, 1.0]]))  # singular values 3.18 and 0.94
    >>> [0.62 < value < 1.38 for value in torch.linalg.svdvals(factor).tolist()]
    [True, True]
    """
    x = matrices.to(dtype)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    square = x @ x.mT
    norm = MARGIN * square.float().norm(dim=(-2, -1), keepdim=True).sqrt() + 1e-7
    x, square = (x / norm).to(dtype), (square / norm**2).to(dtype)
    for step, (a, b, c) in enumerate(QUINTICS):
        square = x @ x.mT if step else square
        x = a * x + (b * square + c * square @ square) @ x
    result: Tensor = x.mT if tall else x
    return result.to(matrices.dtype)
