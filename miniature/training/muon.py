"""Muon: momentum whose update is made orthogonal (Jordan 2024; scaled as in Liu et al. 2025, arXiv:2502.16982)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def is_hidden_matrix(name: str, weight: nn.Parameter) -> bool:
    """Whether a weight maps hidden features to hidden features: a matrix or convolution within a block."""
    small = min(weight.shape[0], weight[0].numel()) if weight.ndim > 1 else 0
    return (
        weight.ndim > 1 and small >= 32 and not any(part in name for part in ("embed", "token", "position", "prompt"))
    )


def orthogonal(matrix: Tensor, rounds: int = 5) -> Tensor:
    """A matrix with the same singular vectors and singular values near 1, by Newton and Schulz."""
    x = matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(rounds):
        square = x @ x.T
        x = 3.4445 * x + (-4.775 * square + 2.0315 * square @ square) @ x
    return (x.T if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Muon for matrices, and for convolutions as matrices of their output channels; its steps are as long as AdamW's.

    torch has had `torch.optim.Muon` since; the next training can use that.
    """

    def __init__(self, weights: list[nn.Parameter], lr: float, decay: float, momentum: float = 0.95) -> None:
        super().__init__(weights, {"lr": lr, "decay": decay, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                pace = self.state[weight].setdefault("pace", torch.zeros_like(weight))
                pace.lerp_(weight.grad, 1 - group["momentum"])
                ahead = weight.grad.lerp(pace, group["momentum"]).flatten(1)
                length = 0.2 * max(ahead.shape) ** 0.5
                weight.mul_(1 - group["lr"] * group["decay"])
                weight.add_(orthogonal(ahead).view_as(weight), alpha=-group["lr"] * length)
