"""`python run.py recipe=car_on_mars`: the command line of this checkout, installed or not."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "pipeline"))

from darkroom.__main__ import entry  # fish completes only files that hold the words @hydra.main

if __name__ == "__main__":
    entry()
