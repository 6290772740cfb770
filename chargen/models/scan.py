"""The GRU over time for training on a CPU, where torch's own kernel is slow.

Torch runs the cell a step at a time and lets autograd undo it a step at a time, which makes the recurrent weight's
gradient from T small products. Here the way back collects the gates' gradients of all steps first, so that this
gradient is one large product; what the way back needs beside it is computed for all steps at once. The kernel and
`GRU.step` are its readable twins, and tests hold the three together.

Shapes: T steps, B streams, H hidden; gates in the order r z n.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

sigmoid_backward = torch.ops.aten.sigmoid_backward
tanh_backward = torch.ops.aten.tanh_backward


def gru_scan(given: Tensor, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Outputs (T, B, H) of given products (T, B, 3·H), h (B, H), weight (3·H, H), bias (H,), all of one dtype.

    The bias is that of the product which r resets; those of r and z are the given products' part.
    """
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
        carried = torch.empty_like(given)  # products with the last h, of which the first two become r and z
        n = torch.empty_like(states[1:])
        (rz_given, n_given), (rz, reset) = (part.split([2 * hidden, hidden], dim=-1) for part in (given, carried))
        r, z = rz.chunk(2, dim=-1)
        transposed = weight.t()
        parts = (states[:-1], states[1:], rz_given, n_given, carried, rz, r, z, reset, n)
        for now, after, rz_given_t, n_given_t, products_t, rz_t, r_t, z_t, reset_t, n_t in _steps(*parts):
            torch.mm(now, transposed, out=products_t)  # (B, 3·H)
            rz_t.add_(rz_given_t).sigmoid_()
            torch.addcmul(n_given_t, r_t, reset_t.add_(bias), out=n_t).tanh_()
            torch.lerp(n_t, now, z_t, out=after)  # (1 - z)·n + z·h
        ctx.save_for_backward(states, carried, n, weight)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Gradients of what `forward` was given, from that of the outputs (T, B, H)."""
        states, carried, n, weight = ctx.saved_tensors
        hidden, by_gate = n.shape[2], (*n.shape[:2], 3, n.shape[2])
        r, z, reset = carried.chunk(3, dim=-1)
        to_n = tanh_backward(1 - z, n)  # what h' passes to n before its tanh
        # What h' passes to the products with the last h: through r, through z, and reset by r to n.
        shares = torch.empty_like(carried)
        to_r, to_z, to_reset = shares.chunk(3, dim=-1)
        sigmoid_backward.grad_input(to_n * reset, r, grad_input=to_r)
        sigmoid_backward.grad_input(states[:-1] - n, z, grad_input=to_z)
        torch.mul(to_n, r, out=to_reset)
        products = torch.empty_like(carried)  # the gradients of these products
        total = torch.empty_like(states)  # the gradient of each h, that of the steps after it included
        total[-1] = grad[-1]
        own = torch.cat([torch.zeros_like(grad[:1]), grad[:-1]])  # of each h before the last, as an output
        parts = (own, z, shares.view(by_gate), products.view(by_gate), products, total[:-1], total[1:])
        for own_t, z_t, shares_t, gates_t, products_t, before, after in reversed(_steps(*parts)):
            torch.mul(after[:, None], shares_t, out=gates_t)
            torch.addcmul(own_t, after, z_t, out=before).addmm_(products_t, weight)
        given = torch.empty_like(products)
        given[..., : 2 * hidden] = products[..., : 2 * hidden]
        torch.mul(total[1:], to_n, out=given[..., 2 * hidden :])
        flat = products.flatten(0, 1)  # (T·B, 3·H)
        return given, total[0], flat.t() @ states[:-1].flatten(0, 1), flat[:, 2 * hidden :].sum(0)


def _steps(*tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """Views of each step of tensors (T, …), made at once: one by one they cost as much as a small product."""
    return list(zip(*(tensor.unbind() for tensor in tensors), strict=True))
