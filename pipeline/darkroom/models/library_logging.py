"""Keeping the libraries' progress bars and notes out of the run's own output."""

from __future__ import annotations

from functools import cache


@cache
def silence_libraries() -> None:
    """Show only errors of diffusers and transformers, and no bars: what matters is checked and said here.

    Silenced among others: four lines per picture about modules "kept in float32", and cut prompts, which
    `darkroom.models.prompts` reports.
    """
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()
