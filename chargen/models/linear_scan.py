"""The recurrence h' = a·h + b over time, for cells whose a and b depend on the inputs alone.

On a GPU all steps are computed at once, in log2(T) passes (Hillis & Steele 1986). On a CPU, where the passes would be
more work, step follows step. The gradient is the same recurrence, run backwards.

Shapes: T steps, B streams, H hidden.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


def linear_scan(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """Run h' = a·h + b over time, elementwise.

    Args:
        a: What is kept of the state at each step (T, B, H).
        b: What is added at each step (T, B, H).
        h: State (B, H) before the first step.

    Returns:
        The state after each step (T, B, H).

    >>> linear_scan(torch.full((3, 1, 1), 0.5), torch.ones(3, 1, 1), torch.zeros(1, 1)).flatten()
    tensor([1.0000, 1.5000, 1.7500])
    """
    states: Tensor = LinearScan.apply(a, b, h)  # type: ignore[no-untyped-call]
    return states


class LinearScan(Function):
    """The autograd function of `linear_scan`."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, h: Tensor) -> Tensor:
        """See `linear_scan`."""
        states = scan(a, b, h)
        ctx.save_for_backward(a, states, h)
        return states

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of a, b and h, from that of the states (T, B, H)."""
        a, states, h = ctx.saved_tensors
        following = torch.cat([a[1:], torch.zeros_like(a[:1])])  # a of the step after
        b_grad = scan(following.flip(0), grad.flip(0), torch.zeros_like(h)).flip(0)
        before = torch.cat([h[None], states[:-1]])
        return b_grad * before, b_grad, b_grad[0] * a[0]


def scan(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """`linear_scan` without a gradient."""
    return _in_passes(a, b, h) if a.device.type != "cpu" else _step_by_step(a, b, h)


def _step_by_step(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    states = torch.empty_like(b)
    for a_t, b_t, state in zip(a.unbind(), b.unbind(), states.unbind(), strict=True):
        h = torch.addcmul(b_t, a_t, h, out=state)
    return states


def _in_passes(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """After each pass, a and b of a step are those of twice as many steps up to it, taken together."""
    b = torch.cat([(b[0] + a[0] * h)[None], b[1:]])
    reach = 1
    while reach < len(a):
        b = torch.cat([b[:reach], b[reach:] + a[reach:] * b[:-reach]])
        a = torch.cat([a[:reach], a[reach:] * a[:-reach]])
        reach *= 2
    return b
