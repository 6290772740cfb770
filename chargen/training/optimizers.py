"""What moves the weights: Muon for the recurrent layers' matrices, AdamW for all else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from chargen.hardware import fast_dtype
from chargen.models.cells import RecurrentLayer
from chargen.workers import ONE_WORKER, Workers

OPTIMIZERS = ("muon", "adamw")
BETAS = (0.9, 0.99)  # AdamW's
MUON_RATE = 5.0  # Muon's learning rate, in AdamW's: an update of theirs has other units
MOMENTUM = 0.95
# Each is the odd quintic that is nearest to 1 on the interval that the one before it leaves, the first on [0.05, 1]:
# three of them bring singular values from there to within a hundredth of 1, and smaller ones closer to it.
QUINTICS = ((6.7524, -18.3510, 13.2633), (2.5379, -1.8747, 0.4413), (1.9270, -1.3066, 0.3807))
MARGIN = 1.02  # so that rounding lifts no singular value over 1, where the first of them is steep


def make_optimizers(
    model: nn.Module, kind: str, weight_decay: float, workers: Workers = ONE_WORKER
) -> list[Optimizer]:
    """Optimizers for a model with an encoder; biases do not decay. `set_rate` gives them their learning rates.

    AdamW: Loshchilov & Hutter 2019, arXiv:1711.05101, in one fused kernel.
    """
    layers = [part for part in model.modules() if kind == "muon" and isinstance(part, RecurrentLayer)]
    matrices = [weight for layer in layers for weight in (layer.weight_ih_l0, layer.weight_hh_l0)]
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
                dtype=fast_dtype(matrices[0].device),
                workers=workers,
            )
        )
    return optimizers


def set_rate(optimizers: Sequence[Optimizer], rate: float) -> None:
    """Give all of them the learning rate, each in its own units."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * (MUON_RATE if isinstance(optimizer, Muon) else 1.0)


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
            by_width: dict[int, list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                if not self.state[weight]:
                    self.state[weight]["momentum"] = torch.zeros_like(weight)
                momentum = self.state[weight]["momentum"]
                momentum.lerp_(weight.grad, 1 - MOMENTUM)
                ahead = weight.grad.lerp(momentum, MOMENTUM)  # Nesterov's
                by_width[weight.shape[1]].append((weight, ahead.view(-1, self.hidden_size, weight.shape[1])))
            for width, members in by_width.items():
                gates = torch.cat([gates for _, gates in members])  # (all gates, H, I)
                updates = torch.cat(
                    self.workers.map(self._orthogonal, gates.split(1 if gates.is_cpu else len(gates)))
                )
                step = group["lr"] * max(1.0, self.hidden_size / width) ** 0.5
                for (weight, _), update in zip(members, updates.split([len(g) for _, g in members]), strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.sub_(update.reshape(weight.shape), alpha=step)

    def _orthogonal(self, matrices: Tensor) -> Tensor:
        with torch.no_grad():  # which is each thread's own
            return orthogonalise(matrices, self.dtype)


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
