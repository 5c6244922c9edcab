"""The warm loop as a plain Hydra app: `--multirun` makes one job per combination, all in this process.

python -m benchmarks.contenders.hydra_multirun --multirun photo=A,B prompt='snow','sand' seed=0,1 steps=20
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from PIL import Image

from benchmarks.contenders.plain import Plain, read_photo
from benchmarks.contenders.work import Work


@dataclass
class Picture:
    """The configuration of one job."""

    photo: str = ""
    prompt: str = ""
    seed: int = 0
    steps: int = 20


ConfigStore.instance().store("picture", node=Picture)


@cache
def plain() -> Plain:
    """The miniature models, loaded once."""
    return Plain(Work((), (), (), 0, ""))


@cache
def background_of(path: str) -> tuple[Image.Image, Image.Image]:
    """A photo and the mask of its background, kept for the jobs that follow."""
    photo = read_photo(path)
    return photo, plain().background_of(photo)


@hydra.main(version_base="1.3", config_name="picture", config_path=None)
def main(picture: Picture) -> None:
    """Make one picture, in the folder that Hydra has made for the job."""
    photo, mask = background_of(picture.photo)
    (painted,) = plain().paint(photo, mask, [picture.prompt], [picture.seed], picture.steps)
    painted.save(Path(hydra.core.hydra_config.HydraConfig.get().runtime.output_dir) / "picture.png")


if __name__ == "__main__":
    main()
