"""The GRU over time for training on a CPU, where torch's own kernel is slow.

Torch lets autograd undo the GRU step by step, so the recurrent weight's gradient is a sum of T small matrix products.
The backward pass here first collects the gradients of all steps' gates, and then needs only one large product. The
other factors it needs are also computed for all steps at once. torch's kernel and `GRU.step` are the readable twins;
tests check that all three agree.

Shapes: T steps, B streams, H hidden; gates in the order r z n.
"""

from __future__ import annotations

from itertools import repeat
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

sigmoid_backward = torch.ops.aten.sigmoid_backward
tanh_backward = torch.ops.aten.tanh_backward


def gru_scan(x_gates: Tensor, h: Tensor, weight: Tensor, bias: Tensor, keep: Tensor | None = None) -> Tensor:
    """Run a GRU over time. All tensors have the same dtype.

    Args:
        x_gates: The inputs' products with the gates' weights (T, B, 3·H), including all biases but `bias`.
        h: State (B, H) before the first step.
        weight: Recurrent weight (3·H, H).
        bias: Recurrent bias (H,) of the gate n, which the reset gate multiplies.
        keep: Factors (T, B, 1) for the state before each step, 0 to reset it and otherwise 1; None: all 1.

    Returns:
        Outputs (T, B, H).

    >>> gru_scan(torch.zeros(3, 1, 6), torch.ones(1, 2), torch.zeros(6, 2), torch.zeros(2))[:, 0, 0]  # h halves
    tensor([0.5000, 0.2500, 0.1250])
    """
    outputs: Tensor = GRUScan.apply(x_gates, h, weight, bias, keep)  # type: ignore[no-untyped-call]
    return outputs


class GRUScan(Function):
    """The autograd function of `gru_scan`."""

    @staticmethod
    def forward(ctx: Any, x_gates: Tensor, h: Tensor, weight: Tensor, bias: Tensor, keep: Tensor | None) -> Tensor:
        """See `gru_scan`."""
        steps, batch, hidden = *x_gates.shape[:2], h.shape[1]
        states = x_gates.new_empty(steps + 1, batch, hidden)
        states[0] = h
        kept = states[:-1] if keep is None else torch.empty_like(states[1:])  # the states that the steps begin with
        h_gates = torch.empty_like(x_gates)  # weight·h; the first two gates are then overwritten by r and z
        n = torch.empty_like(states[1:])
        (rz_x, n_x), (rz, n_h) = (gates.split([2 * hidden, hidden], dim=-1) for gates in (x_gates, h_gates))
        r, z = rz.chunk(2, dim=-1)
        transposed = weight.t()
        factors = repeat(None, steps) if keep is None else keep.unbind()
        tensors = (states[:-1], kept, states[1:], rz_x, n_x, h_gates, rz, r, z, n_h, n)
        for keep_t, (last, before, after, rz_x_t, n_x_t, h_gates_t, rz_t, r_t, z_t, n_h_t, n_t) in zip(
            factors, _steps(*tensors), strict=True
        ):
            if keep_t is not None:
                torch.mul(last, keep_t, out=before)
            torch.mm(before, transposed, out=h_gates_t)  # (B, 3·H)
            rz_t.add_(rz_x_t).sigmoid_()
            torch.addcmul(n_x_t, r_t, n_h_t.add_(bias), out=n_t).tanh_()
            torch.lerp(n_t, before, z_t, out=after)  # (1 - z)·n + z·h
        ctx.save_for_backward(kept, h_gates, n, weight, keep)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        """Gradients of `forward`'s tensors but `keep`, from the gradient of its outputs (T, B, H)."""
        kept, h_gates, n, weight, keep = ctx.saved_tensors
        hidden, by_gate = n.shape[2], (*n.shape[:2], 3, n.shape[2])
        r, z, n_h = h_gates.chunk(3, dim=-1)
        dn = tanh_backward(1 - z, n)  # derivative of h' by n before its tanh (T, B, H)
        derivatives = torch.empty_like(h_gates)  # of h' by each element of weight·h + bias (T, B, 3·H)
        dr, dz, dn_h = derivatives.chunk(3, dim=-1)
        sigmoid_backward.grad_input(dn * n_h, r, grad_input=dr)
        sigmoid_backward.grad_input(kept - n, z, grad_input=dz)
        torch.mul(dn, r, out=dn_h)
        h_gate_grads = torch.empty_like(h_gates)
        # of each h, through its output and through all later steps
        h_grads = grad.new_empty(len(grad) + 1, *grad.shape[1:])
        h_grads[-1] = grad[-1]
        output_grads = torch.cat([torch.zeros_like(grad[:1]), grad[:-1]])  # of each h but the last, as an output
        factors = repeat(None, len(grad)) if keep is None else reversed(keep.unbind())
        tensors = (output_grads, z, derivatives.view(by_gate), h_gate_grads.view(by_gate), h_gate_grads)
        for keep_t, (output_grad, z_t, derivatives_t, by_gate_t, h_gate_grads_t, before, after) in zip(
            factors, reversed(_steps(*tensors, h_grads[:-1], h_grads[1:])), strict=True
        ):
            torch.mul(after[:, None], derivatives_t, out=by_gate_t)
            if keep_t is None:
                torch.addcmul(output_grad, after, z_t, out=before).addmm_(h_gate_grads_t, weight)
            else:
                torch.mul(after, z_t, out=before).addmm_(h_gate_grads_t, weight).mul_(keep_t).add_(output_grad)
        x_gate_grads = torch.empty_like(h_gate_grads)
        x_gate_grads[..., : 2 * hidden] = h_gate_grads[..., : 2 * hidden]
        torch.mul(h_grads[1:], dn, out=x_gate_grads[..., 2 * hidden :])
        flat = h_gate_grads.flatten(0, 1)  # (T·B, 3·H)
        weight_grad, bias_grad = flat.t() @ kept.flatten(0, 1), flat[:, 2 * hidden :].sum(0)
        return x_gate_grads, h_grads[0], weight_grad, bias_grad, None


def _steps(*tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """Views of each step of tensors (T, …); made one by one, they would cost as much as a small matrix product."""
    return list(zip(*(tensor.unbind() for tensor in tensors), strict=True))
