"""The recurrence h' = (1 - u)·h + u·n over time, for cells whose u and n depend on the inputs alone.

On a GPU all steps are computed at once, in log2(T) passes (Hillis & Steele 1986). On a CPU, where the passes would be
more work, step follows step, and each computes all it needs while its tensors are in the cache. The gradient is the
same recurrence, run backwards.

Shapes: T steps, B streams, H hidden.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


def linear_scan(u: Tensor, n: Tensor, h: Tensor, resets: Tensor | None = None) -> Tensor:
    """Run h' = (1 - u)·h + u·n over time, elementwise. All tensors but `resets` have the same dtype.

    Args:
        u: Share of the candidate in the state after each step (T, B, H).
        n: Candidate of each step (T, B, H).
        h: State (B, H) before the first step.
        resets: Steps (T, B) before which a stream's state is set to zero; None: none.

    Returns:
        The state after each step (T, B, H).

    >>> linear_scan(torch.full((3, 1, 1), 0.5), torch.ones(3, 1, 1), torch.zeros(1, 1)).flatten()
    tensor([0.5000, 0.7500, 0.8750])
    """
    scan = StepByStep if u.device.type == "cpu" else InPasses
    keep = torch.ones_like(u[..., :1]) if resets is None else (~resets)[..., None].to(u.dtype)  # (T, B, 1)
    states: Tensor = scan.apply(u, n, h, keep)  # type: ignore[no-untyped-call]
    return states


class StepByStep(Function):
    """`linear_scan` on a CPU; `keep` (T, B, 1) is 0 before a reset and otherwise 1."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, n: Tensor, h: Tensor, keep: Tensor) -> Tensor:
        """See `linear_scan`."""
        states = torch.empty_like(u)
        after = h
        for u_t, n_t, keep_t, state in zip(*(part.unbind() for part in (u, n, keep, states)), strict=True):
            after = torch.lerp(after * keep_t, n_t, u_t, out=state)
        ctx.save_for_backward(u, n, h, keep, states)
        return states

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Gradients of u, n and h, from that of the states (T, B, H)."""
        u, n, h, keep, states = ctx.saved_tensors
        u_grads, n_grads = torch.empty_like(u), torch.empty_like(n)
        h_grad = torch.zeros_like(h)
        tensors = (u, n, keep, grad, u_grads, n_grads)
        befores = (h, *states[:-1].unbind())
        for before, u_t, n_t, keep_t, grad_t, u_grad, n_grad in reversed(
            list(zip(befores, *(tensor.unbind() for tensor in tensors), strict=True))
        ):
            h_grad = h_grad + grad_t
            torch.mul(h_grad, u_t, out=n_grad)
            torch.mul(h_grad, n_t - before * keep_t, out=u_grad)
            h_grad.sub_(n_grad).mul_(keep_t)
        return u_grads, n_grads, h_grad, None


class InPasses(Function):
    """`linear_scan` on a GPU; `keep` (T, B, 1) is 0 before a reset and otherwise 1."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, n: Tensor, h: Tensor, keep: Tensor) -> Tensor:
        """See `linear_scan`."""
        states = in_passes((1 - u) * keep, u * n, h)
        ctx.save_for_backward(u, n, h, keep, states)
        return states

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Gradients of u, n and h, from that of the states (T, B, H)."""
        u, n, h, keep, states = ctx.saved_tensors
        kept = (1 - u) * keep
        following = torch.cat([kept[1:], torch.zeros_like(kept[:1])])  # what the step after keeps
        h_grads = in_passes(following.flip(0), grad.flip(0), torch.zeros_like(h)).flip(0)
        before = torch.cat([h[None], states[:-1]]) * keep
        return h_grads * (n - before), h_grads * u, h_grads[0] * kept[0], None


def in_passes(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """Run h' = a·h + b over time, for all steps at once.

    After each pass, a and b of a step are those of twice as many steps up to it, taken together.
    """
    b = torch.cat([(b[0] + a[0] * h)[None], b[1:]])
    reach = 1
    while reach < len(a):
        b = torch.cat([b[:reach], b[reach:] + a[reach:] * b[:-reach]])
        a = torch.cat([a[:reach], a[reach:] * a[:-reach]])
        reach *= 2
    return b
