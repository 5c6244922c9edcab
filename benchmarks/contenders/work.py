"""The work of one measurement, as every contender gets it: a JSON file that is its only argument."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MINIATURE = ROOT / "pipeline/darkroom/models/miniature/weights"

CLICK = (330, 360)  # on the car, in px of the photo; as in recipes/car_on_mars.yaml
SIZE = (160, 104)  # width and height in px at which the miniature paints the whole car.png
GUIDANCE = 3.0


@dataclass(frozen=True)
class Work:
    """Every photo with every prompt and every seed.

    Attributes:
        photos: paths, each of a photo of the size of examples/car.png.
        prompts: what replaces everything but the car.
        seeds: of the noise.
        steps: of denoising.
        out: the folder in which the pictures are saved.
        sam: SAM's weights: a folder of a miniature, or a published checkpoint.
        checkpoint: the diffusers folder of the inpainting model.
        size: width and height in px at which it paints.
        device: `cpu` or `cuda`, where it runs in fp16.
        mask: a mask to use instead of what SAM has found, because its weights are random.
    """

    photos: tuple[str, ...]
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    steps: int
    out: str
    sam: str = str(MINIATURE / "sam")
    checkpoint: str = str(MINIATURE / "sdxl_inpaint")
    size: tuple[int, int] = SIZE
    device: str = "cpu"
    mask: str | None = None

    @property
    def pictures(self) -> int:
        """How many pictures there are to make."""
        return len(self.photos) * len(self.prompts) * len(self.seeds)

    def variants(self) -> Iterator[tuple[str, int, str]]:
        """The prompt, the seed and the file name's ending of every picture of a photo."""
        for index, prompt in enumerate(self.prompts):
            for seed in self.seeds:
                yield prompt, seed, f"prompt{index}-seed{seed}.png"

    def file(self, photo: str, ending: str) -> Path:
        """Where a picture is saved."""
        return Path(self.out) / f"{Path(photo).stem}_{ending}"

    def save(self, path: Path) -> Path:
        """Write the file that `given_work` reads."""
        path.write_text(json.dumps(asdict(self)))
        return path


def given_work() -> Work:
    """The work whose file the command line names; its output folder is created."""
    given = json.loads(Path(sys.argv[1]).read_text())
    work = Work(**{key: tuple(value) if isinstance(value, list) else value for key, value in given.items()})
    Path(work.out).mkdir(parents=True, exist_ok=True)
    return work
