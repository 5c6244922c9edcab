"""Keeps the libraries' progress bars and notes out of Darkroom's own output."""

from __future__ import annotations

import warnings
from functools import cache


@cache
def silence_libraries() -> None:
    """Show only errors of diffusers and transformers, and no progress bars.

    Darkroom checks and reports what matters itself. This silences, for example, four lines per picture about modules
    "kept in float32", and notes on truncated prompts, which the check before a run reports.
    """
    warnings.filterwarnings("ignore", ".*upcast_vae", FutureWarning)  # diffusers deprecates it, and calls it
    warnings.filterwarnings("ignore", "Already found a `peft_config`", UserWarning)  # of a second LoRA
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()
