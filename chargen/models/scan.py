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
        states[0] = h
        gates = given.new_empty(steps, batch, 4 * hidden)  # r, z, the product that r resets, n
        carried, rz, (r, z, reset, n) = gates[..., : 3 * hidden], gates[..., : 2 * hidden], gates.chunk(4, dim=-1)
        rz_given, n_given = given.split([2 * hidden, hidden], dim=-1)
        transposed = weight.t()
        parts = (states[:-1], states[1:], rz_given, n_given, carried, rz, r, z, reset, n)
        for now, after, rz_t, n_t, carried, rz, r, z, reset, n in _steps(*parts):
            torch.addmm(bias, now, transposed, out=carried)  # (B, 3·H)
            rz.add_(rz_t).sigmoid_()
            torch.addcmul(n_t, r, reset, out=n).tanh_()
            torch.lerp(n, now, z, out=after)  # (1 - z)·n + z·h
        ctx.save_for_backward(states, gates, weight)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Gradients of what `forward` was given, from that of the outputs (T, B, H)."""
        states, gates, weight = ctx.saved_tensors
        r, z, reset, n = gates.chunk(4, dim=-1)
        to_n = (1 - z) * (1 - n * n)  # what h' passes to n before its tanh
        # What h' passes to the product with the last h, (T, B, 3, H): through r, through z, and reset by r to n.
        shares = torch.stack([to_n * reset * r * (1 - r), (states[:-1] - n) * z * (1 - z), to_n * r], dim=2)
        carried = torch.empty_like(shares)
        products = carried.flatten(2)  # the same, (T, B, 3·H)
        after = torch.empty_like(grad)  # the gradient of each h', that of the steps after it included
        before = torch.zeros_like(grad[0])
        parts = (grad, z, shares, carried, products, after, after[:, :, None])
        for grad_t, z_t, shares_t, carried_t, products_t, after_t, row in reversed(_steps(*parts)):
            torch.add(before, grad_t, out=after_t)
            torch.mul(row, shares_t, out=carried_t)
            before = torch.addmm(after_t * z_t, products_t, weight)
        given = products.clone()
        torch.mul(after, to_n, out=given[..., 2 * grad.shape[-1] :])
        flat = products.flatten(0, 1)  # (T·B, 3·H)
        return given, before, flat.t() @ states[:-1].flatten(0, 1), flat.sum(0)


def _steps(*tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """Views of each step of tensors (T, …), made at once: one by one they cost as much as a small product."""
    return list(zip(*(tensor.unbind() for tensor in tensors), strict=True))
