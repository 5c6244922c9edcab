"""Saying which words of a prompt the model cannot read."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

log = logging.getLogger("darkroom")


@lru_cache
def warn_if_cut(tokenizer: CLIPTokenizer, prompt: str) -> None:
    """Warn, once for each prompt, of the words beyond the tokenizer's limit; the model never sees them.

    CLIP reads 77 tokens, start and end included: about 50 English words.
    """
    tokens = tokenizer(prompt, add_special_tokens=False, verbose=False).input_ids
    room = tokenizer.model_max_length - 2
    if len(tokens) > room:
        dropped = tokenizer.decode(tokens[room:]).strip()
        log.warning("a prompt is too long; the model reads %d tokens and not the words: %s", room, dropped)
