"""What moves the weights: Muon for the recurrent layers' matrices, AdamW for all else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from chargen.models.cells.cell import Cell
from chargen.workers import ONE_WORKER, Workers

OPTIMIZERS = ("muon", "adamw")
BETAS = (0.9, 0.99)  # AdamW's
MUON_RATE = 5.0  # Muon's learning rate, in AdamW's: an update of theirs has other units
MOMENTUM = 0.95
# Each is the odd quintic that is nearest to 1 on the interval that the one before it leaves, the first on [0.03, 1]:
# two of them bring singular values from there to within 0.38 of 1, which teaches about as much as closer would.
QUINTICS = ((7.3625, -20.7434, 15.1606), (2.9175, -2.1824, 0.4755))
MARGIN = 1.02  # so that rounding lifts no singular value over 1, where the first of them is steep


def make_optimizers(
    model: nn.Module, kind: str, weight_decay: float, precision: str = "fp32", workers: Workers = ONE_WORKER
) -> list[Optimizer]:
    """Optimizers for a model with an encoder; biases do not decay. `set_rate` gives them their learning rates.

    AdamW: Loshchilov & Hutter 2019, arXiv:1711.05101, in one fused kernel.
    """
    layers = [part for part in model.modules() if kind == "muon" and isinstance(part, Cell)]
    matrices = [getattr(layer, name) for layer in layers for name in layer.spec.matrices]
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
    """Give all of them the learning rate, each in its own units."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * (MUON_RATE if isinstance(optimizer, Muon) else 1.0)


def moments_of(optimizers: Sequence[Optimizer]) -> dict[str, Tensor]:
    """What the optimizers keep of each weight from the first step on: tensors of the right shapes and types.

    Their names are the optimizer's number, the weight's in it, and the moment's. They share no memory with the
    optimizers' own.
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
    """Momentum whose every update is made nearly orthogonal (Jordan et al. 2024, kellerjordan.github.io/posts/muon).

    A recurrent weight stacks a matrix for each gate, (G·H, I); each gate's is treated on its own. On a GPU, matrices
    of one shape are worked on together.
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
        """`dtype`: of the products that make an update orthogonal, which the workers share."""
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})
        self.hidden_size, self.dtype, self.workers = hidden_size, dtype, workers

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Move the weights by their gradients."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            ahead = [self._momentum(weight) for weight in weights]
            self._make_orthogonal([gate for update in ahead for gate in update.split(self.hidden_size)])
            for weight, update in zip(weights, ahead, strict=True):
                step = group["lr"] * max(1.0, self.hidden_size / weight.shape[1]) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.sub_(update, alpha=step)

    def _momentum(self, weight: nn.Parameter) -> Tensor:
        """The gradient with Nesterov's momentum."""
        assert weight.grad is not None
        if not self.state[weight]:
            self.state[weight]["momentum"] = torch.zeros_like(weight)
        momentum: Tensor = self.state[weight]["momentum"]
        momentum.lerp_(weight.grad, 1 - MOMENTUM)
        return weight.grad.lerp(momentum, MOMENTUM)

    def _make_orthogonal(self, matrices: list[Tensor]) -> None:
        """Change matrices (H, I) in place: on a CPU the workers take one each, else all of one shape go together."""
        matrices.sort(key=lambda matrix: matrix.shape[1], reverse=True)  # the largest first, so that none ends late

        def change(same: list[Tensor]) -> None:
            with torch.no_grad():  # which is each thread's own
                for matrix, result in zip(same, orthogonalise(torch.stack(same), self.dtype), strict=True):
                    matrix.copy_(result)

        by_shape = [list(same) for _, same in groupby(matrices, key=lambda matrix: matrix.shape[1])]
        self.workers.map(change, [[one] for one in matrices] if matrices[0].is_cpu else by_shape)


def orthogonalise(matrices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Nearly the orthogonal factor of each of matrices (…, M, N): singular values become about 1.

    Newton and Schulz's iteration with the polynomials of Amsel et al. 2025 (Polar Express, arXiv:2505.16932), with
    products in `dtype`: it bears bfloat16. It starts from the matrix divided by its Schatten 4-norm, which costs
    nothing, since its square is needed anyway, and bounds the largest singular value more tightly than the Frobenius
    norm does.
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
