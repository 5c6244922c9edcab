"""Trains the network of `darkroom.imaging.strands`: `python -m miniature.training.strands FILE`.

Takes about half an hour on one core. The weights in the repository were made by a draft of this code with the same
scenes, features, loss and number of steps, in another order; those that it makes are alike, not the same bytes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn

from darkroom.imaging.matting import reduced
from darkroom.imaging.strands import REACH, evidence, signed_distance
from miniature.training.strand_scenes import StrandScene, strand_scenes

FIRST, THINGS = 30_000, 131  # seeds; `miniature.evaluate_edges` has others
_ANYWHERE, _NEAR, _WRONG = 1500, 1200, 500  # pixels of each photo
_HIDDEN = (64, 48)
_STEPS, _BATCH, _RATE = 9000, 4096, 3e-3
_LAYERS = ("0_first", "2_second", "4_last")


def samples(scene: StrandScene, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """What the network sees of some pixels, (n, 39), the alpha that it corrects, (n,), and the true one, (n,).

    Half of the pixels are anywhere in the band, the others near the mask's edge or where alpha is wrong. None if the
    band is too small.
    """
    work = reduced(scene.photo, scene.mask, REACH)
    if work.unknown.sum() < 2000:
        return None
    seen, guided = evidence(work)
    near = work.unknown & (np.abs(signed_distance(work)) < 0.25)
    wrong = work.unknown & (np.abs(guided - scene.alpha) > 0.1)
    choices = ((work.unknown, _ANYWHERE), (near, _NEAR), (wrong if wrong.any() else work.unknown, _WRONG))
    where = np.concatenate([rng.choice(np.flatnonzero(pixels), count) for pixels, count in choices])
    return seen.reshape(-1, seen.shape[-1])[where], guided.ravel()[where], scene.alpha.ravel()[where]


def trained(
    seen: torch.Tensor, guided: torch.Tensor, truth: torch.Tensor, steps: int = _STEPS
) -> dict[str, np.ndarray]:
    """The weights that `darkroom.imaging.strands` reads, after training on these pixels.

    Args:
        seen: (n, 39) float32.
        guided: (n,) float32, alpha before the correction.
        truth: (n,) float32, true alpha.
        steps: of training.
    """
    torch.manual_seed(0)
    mean, deviation = seen.mean(0), seen.std(0) + 1e-3
    layers = [nn.Linear(seen.shape[1], _HIDDEN[0]), nn.ReLU(), nn.Linear(*_HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN[1], 1)]
    net = nn.Sequential(*layers)
    nn.init.zeros_(net[-1].weight)  # begins without a correction
    nn.init.zeros_(net[-1].bias)
    optimiser = torch.optim.AdamW(net.parameters(), _RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=1e-5)
    for _ in range(steps):
        batch = torch.randint(0, len(seen), (_BATCH,))
        found = guided[batch] + net((seen[batch] - mean) / deviation)[:, 0]
        optimiser.zero_grad()
        (found - truth[batch]).abs().mean().backward()
        optimiser.step()
        schedule.step()
    return _stored(net, mean, deviation)


def _stored(net: nn.Sequential, mean: torch.Tensor, deviation: torch.Tensor) -> dict[str, np.ndarray]:
    """Matrices and offsets by layer; the first layer takes the features as they are."""
    with torch.no_grad():
        net[0].weight /= deviation
        net[0].bias -= net[0].weight @ mean
        net[4].weight, net[4].bias = nn.Parameter(net[4].weight[0]), nn.Parameter(net[4].bias[0])
    names = [f"{int(layer[0]) + add}_{layer[2:]}{kind}" for layer in _LAYERS for add, kind in ((0, ""), (1, "_offset"))]
    return {
        name: np.ascontiguousarray(value.detach().numpy().T)
        for name, value in zip(names, net.parameters(), strict=True)
    }


def main() -> None:
    """Draw, train, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="where the weights go, NAME.npz")
    parser.add_argument("--things", type=int, default=THINGS, help="three photos of each; default: %(default)s")
    parser.add_argument("--steps", type=int, default=_STEPS, help="default: %(default)s")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(1)
    found = [each for scene in strand_scenes(FIRST, given.things) if (each := samples(scene, rng))]
    seen, guided, truth = (
        torch.from_numpy(np.concatenate(each).astype(np.float32)) for each in zip(*found, strict=True)
    )
    np.savez(given.file, **trained(seen, guided, truth, given.steps))


if __name__ == "__main__":
    main()
