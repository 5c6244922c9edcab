"""Weights in 8 or 4 bits: layers keep them small, and make them anew in the dtype of the model for each use.

Only PyTorch's own operations, the same ones on every device, so a picture does not depend on its company. What a layer
computes with is a rounded weight; what it computes is not rounded further.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

# The quantiles of a normal distribution, from -1 to 1, with an exact 0: NF4 (Dettmers et al., QLoRA, arXiv 2305.14314,
# appendix E).
_NF4 = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)
_BLOCK = 64  # weights that share a scale in nf4, as in QLoRA
_FEWEST_CHANNELS = 16  # the layers next to pictures, latents and noise have fewer, are small, and stay as they are


def keep_small(network: torch.nn.Module, bits: Literal["int8", "nf4"]) -> None:
    """Keep the weights of a network's matrices and convolutions in fewer bits.

    `int8` rounds each output channel to 255 steps. `nf4` rounds the weights of matrices to the 16 levels of NF4 in
    blocks of 64, and those of convolutions as `int8`. Biases, norms and layers with fewer than 16 channels stay.

    Args:
        network: loaded, on any device; its layers are changed in place.
        bits: `int8` or `nf4`.
    """
    import torch

    layer: Any
    for layer in network.modules():
        kind: Any = type(layer)
        if kind not in (torch.nn.Linear, torch.nn.Conv2d) or min(layer.weight.shape[:2]) < _FEWEST_CHANNELS:
            continue
        weight = layer.weight.detach()
        in_blocks = bits == "nf4" and kind is torch.nn.Linear and weight.numel() % _BLOCK == 0
        kept = _in_nf4(weight) if in_blocks else _in_int8(weight)
        del layer.weight
        for name, tensor in kept.items():
            layer.register_parameter(name, torch.nn.Parameter(tensor, requires_grad=False))
        layer.__class__ = _small(kind, in_blocks)


def _in_int8(weight: torch.Tensor) -> dict[str, torch.Tensor]:
    """Whole numbers, and for each output channel the step between them."""
    largest = weight.float().flatten(1).abs().amax(dim=1)
    steps = _above_zero(largest / 127, weight).reshape(-1, *[1] * (weight.dim() - 1))
    return {"codes": (weight.float() / steps.float()).round().clamp(-127, 127).char(), "steps": steps}


def _from_int8(layer: Any) -> Any:
    return layer.codes.to(layer.steps.dtype) * layer.steps


def _in_nf4(weight: torch.Tensor) -> dict[str, torch.Tensor]:
    """Two levels to a byte, the largest weight of each block, and the pair of levels that each byte stands for."""
    import torch

    blocks = weight.float().reshape(-1, _BLOCK)
    steps = _above_zero(blocks.abs().amax(dim=1, keepdim=True), weight)
    levels = torch.tensor(_NF4, device=weight.device)
    codes = torch.bucketize(blocks / steps.float(), (levels[1:] + levels[:-1]) / 2).flatten()
    pairs = torch.cartesian_prod(levels, levels).to(weight.dtype)
    return {"codes": (codes[::2] * 16 + codes[1::2]).byte(), "steps": steps, "pairs": pairs}


def _from_nf4(layer: Any) -> Any:
    levels = layer.pairs[layer.codes.int()].reshape(-1, _BLOCK)
    return (levels * layer.steps).reshape(layer.out_features, layer.in_features)


def _above_zero(steps: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Steps in the dtype of the weights; where all weights are 0, any number that one can divide by."""
    return steps.clamp(min=1e-7).to(weight.dtype)


@cache
def _small(kind: Any, in_blocks: bool) -> Any:
    """A class of layers that compute as `kind` does, with a `weight` that is made for each use."""
    return type(f"Small{kind.__name__}", (kind,), {"weight": property(_from_nf4 if in_blocks else _from_int8)})
