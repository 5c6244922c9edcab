"""The contact sheet: one picture that shows what a run has made. It reads the run folder and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from itertools import batched, groupby
from pathlib import Path
from typing import Any

from PIL import Image

from pipeline.drawing import FAINT, INK, PAPER, SOFT, label, notice, padded, row, stack, thumbnail, tinted
from pipeline.journal import read_journal
from pipeline.record import write_atomically

MAX_PHOTOS = 24
MAX_HEIGHT = 16_000  # many viewers and browsers give up at 16384 pixels

_MARGIN, _GAP, _AIR = 64, 20, 56  # around the page, between pictures, between photos
_WIDTH = 2300  # of what is inside the margins, where it can be had
_NARROWEST, _WIDEST = 300, 420  # of a picture
_PER_ROW = 8

Line = Mapping[str, Any]
