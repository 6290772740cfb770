"""The GRU over time for training on a CPU in bfloat16, where torch's own kernel is slow.

Torch runs the cell a step at a time and lets autograd undo it a step at a time, which makes the recurrent weight's
gradient from T small products. Here the way back collects the gates' gradients of all steps first, so that this
gradient is one large product; what the way back needs beside it is computed for all steps at once. The kernel and
`GRU.step` are its readable twins, and tests hold the three together.

Shapes: T steps, B streams, H hidden.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


def gru_scan(given: Tensor, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Outputs (T, B, H) of given products (T, B, 3·H), h (B, H), weight (3·H, H), bias (3·H,), all of one dtype."""
    outputs: Tensor = GRUScan.apply(given, h, weight, bias)  # type: ignore[no-untyped-call]
    return outputs


class GRUScan(Function):
    """A GRU over time, from its inputs' products to its outputs."""

    @staticmethod
    def forward(ctx: Any, given: Tensor, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """As `gru_scan` has it."""
        steps, batch, hidden = *given.shape[:2], h.shape[1]
        states = given.new_empty(steps + 1, batch, hidden)
        gates = given.new_empty(steps, batch, 4 * hidden)  # r z n, and the product that r resets
        states[0] = h
        transposed = weight.t()
        for t in range(steps):
            carried = torch.addmm(bias, states[t], transposed)  # (B, 3·H)
            rz, n, reset = gates[t].split([2 * hidden, hidden, hidden], dim=1)
            torch.add(given[t, :, : 2 * hidden], carried[:, : 2 * hidden], out=rz)
            rz.sigmoid_()
            reset.copy_(carried[:, 2 * hidden :])
            torch.addcmul(given[t, :, 2 * hidden :], rz[:, :hidden], reset, out=n)
            n.tanh_()
            torch.lerp(n, states[t], rz[:, hidden:], out=states[t + 1])  # (1 - z)·n + z·h
        ctx.save_for_backward(states, gates, weight)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Gradients of what `forward` was given, from that of the outputs (T, B, H)."""
        states, gates, weight = ctx.saved_tensors
        steps, _, hidden = grad.shape
        r, z, n, reset = gates.chunk(4, dim=-1)
        to_n = (1 - z) * (1 - n * n)  # what h' passes to n before its tanh
        to_z = (states[:-1] - n) * z * (1 - z)
        to_r = reset * r * (1 - r)  # what n, before its tanh, passes to r before its sigmoid
        given = torch.empty_like(gates[..., : 3 * hidden])
        carried = torch.empty_like(given)
        grad_h = torch.zeros_like(grad[0])
        for t in range(steps - 1, -1, -1):
            grad_h = grad_h + grad[t]
            grad_r, grad_z, grad_reset = carried[t].chunk(3, dim=1)
            grad_n = given[t, :, 2 * hidden :]
            torch.mul(grad_h, to_n[t], out=grad_n)
            torch.mul(grad_h, to_z[t], out=grad_z)
            torch.mul(grad_n, to_r[t], out=grad_r)
            torch.mul(grad_n, r[t], out=grad_reset)
            grad_h = torch.addmm(grad_h * z[t], carried[t], weight)
        given[..., : 2 * hidden] = carried[..., : 2 * hidden]
        flat = carried.flatten(0, 1)  # (T·B, 3·H)
        return given, grad_h, flat.t() @ states[:-1].flatten(0, 1), flat.sum(0)
