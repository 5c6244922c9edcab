"""The command line with an op that paints noise, slowly, and kills its process when it is told to.

A file `deaths/PHOTO` in the current folder holds how often that photo still kills the process that paints it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from darkroom.imaging.edit import Edit
from darkroom.stages import STAGES
from darkroom.stages.base import Stage, stage
from darkroom.stages.fields import Seeds
from darkroom.stages.markers import EachValue


@stage
class Paint(Stage):
    """Paints noise, which depends on the seed alone."""

    repaints: ClassVar[bool] = True
    needs_mask: ClassVar[bool] = True

    seed: Annotated[Seeds, EachValue()] = Field(0, description="Seed; a list makes one picture per seed.")
    pause: float = Field(0, description="Seconds.")
    deaths: str = Field("", description="A folder.")

    def apply(self, edit: Edit, models: Any) -> Edit:
        time.sleep(self.pause)
        file = Path(self.deaths) / edit.name
        if self.deaths and file.is_file() and (left := int(file.read_text())):
            file.write_text(str(left - 1))
            os.kill(os.getpid(), signal.SIGKILL)
        mask = edit.need_mask()
        noise = np.random.default_rng(self.seed).integers(0, 256, edit.image.shape, np.uint8)
        return replace(edit, image=np.where(mask[..., None] > 0, noise, edit.image), repainted=mask)


if __name__ == "__main__":
    from darkroom.cli.main import main
    from darkroom.system import interrupts
    from support.deadly import Paint as Imported  # the workers know it by this name

    STAGES["paint"] = Imported
    interrupts.begin()
    sys.exit(interrupts.run(lambda: main(sys.argv[1:])))
