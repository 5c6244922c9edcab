"""Darkroom edits photographs in batches from YAML recipes. Data flows one way: recipe -> plan -> run -> record.

    import darkroom

    result = darkroom.run("car_on_mars", ["stages.inpaint.seed=7", "models=miniature"])
    print(result.folder, result.pictures)

The command line is `darkroom`, or `python run.py` in a checkout.
"""

from darkroom.api import RunResult, run
from darkroom.errors import DarkroomError

__all__ = ["DarkroomError", "RunResult", "run"]
