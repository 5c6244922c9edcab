"""Prompts: their syntax, and their embeddings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache, lru_cache, reduce
from importlib import import_module
from threading import RLock
from typing import TYPE_CHECKING, Any, NamedTuple

from darkroom.models.foreign_syntax import WEIGHT, Syntax
from darkroom.system.interrupts import raise_if_interrupted
from darkroom.system.profiling import spanned

if TYPE_CHECKING:
    from types import ModuleType

    import torch
    from compel import Compel
    from transformers import CLIPTextModel

    from darkroom.models.diffusers_interfaces import Pipeline

_encoding = RLock()  # a tokenizer keeps its settings for padding and truncation from call to call
_FUNCTIONS = ("blend", "and", "swap")
_CALL = re.compile(r"[)\"]\s*\.\s*(\w{1,40})\(")
_DETACHED_WEIGHT = re.compile(r"\)\s+([01]?\.\d{1,4})(?=\s*(?:,|$))")
_PARENTHESIS = re.compile(r"\\.|(?<![:;])\(|\)")  # neither escaped nor the mouth of a smiley
_WEIGHTED = re.compile(r"\)(?:\d?\.\d|[+-])")


class Prompt(NamedTuple):
    """A prompt and a negative prompt.

    Attributes:
        text: what the picture should show.
        negative: what it should not show. None is no negative prompt (SDXL then guides away from zeros), which is not
            the same as the empty text "".
        text_2: `text` for the second text encoder of SDXL; None takes `text`.
        negative_2: likewise, and only with a `negative`.
        syntax: `plain` texts have no syntax, and are truncated to what the encoders read. `compel` texts hold weights
            in compel's syntax, and are read to their end.
    """

    text: str
    negative: str | None = None
    text_2: str | None = None
    negative_2: str | None = None
    syntax: Syntax = "plain"


class PromptEmbeds(NamedTuple):
    """The embeddings of N texts, as the UNet takes them.

    Attributes:
        embeds: (N, tokens, width), one vector per token.
        pooled: (N, width), one vector per text, for SDXL; None for others.
    """

    embeds: torch.Tensor
    pooled: torch.Tensor | None

    def and_then(self, others: PromptEmbeds) -> PromptEmbeds:
        """These texts followed by others of the same number of tokens."""
        import torch

        pooled = None
        if self.pooled is not None and others.pooled is not None:
            pooled = torch.cat([self.pooled, others.pooled])
        return PromptEmbeds(torch.cat([self.embeds, others.embeds]), pooled)

    def repeated(self, times: int) -> PromptEmbeds:
        """Every text `times` times in a row."""
        pooled = None if self.pooled is None else self.pooled.repeat_interleave(times, 0)
        return PromptEmbeds(self.embeds.repeat_interleave(times, 0), pooled)


EncodedPrompt = tuple[PromptEmbeds, PromptEmbeds]
"""A prompt's embeddings: of its text, and of its negative text, with the same number of tokens."""


def encode_texts(pipe: Pipeline, texts: Sequence[str | None]) -> PromptEmbeds:
    """The embeddings of plain texts, encoded one by one; None is a missing negative prompt."""
    pairs = (encode_prompt(pipe, Prompt(text or "")) for text in texts)
    return reduce(PromptEmbeds.and_then, (pair[text is None] for pair, text in zip(pairs, texts, strict=True)))


@spanned("text")
def encode_prompt(pipe: Pipeline, prompt: Prompt) -> EncodedPrompt:
    """The embeddings of a prompt; the shorter text is padded to the tokens of the longer one.

    Those of a plain prompt equal, bit for bit, what the pipeline itself computes.
    """
    import torch

    with torch.no_grad(), _encoding:
        return (_encode_compel if prompt.syntax == "compel" else _encode_plain)(pipe, prompt)


@lru_cache(maxsize=1000)  # thousands of photos may share a negative prompt
def compel_error(text: str) -> str | None:
    """Why compel cannot read a prompt as its author meant it, in one line; None if it can. Imports compel."""
    if found := WEIGHT.search(text):
        return f"{found[0]} is how web UIs write a weight; compel's way is ({found[1].strip()}){found[2].strip()}"
    try:
        conjunction = _parse(text)
    except RecursionError:
        return "too many nested parentheses"
    except Exception as error:  # compel and its parser raise many kinds
        raise_if_interrupted()
        return f"compel cannot read it: {(str(error).splitlines() or [''])[0]:.200}"
    if not conjunction.prompts:
        return "holds no words"
    if conjunction.lora_weights or any(prompt.wants_cross_attention_control for prompt in conjunction.prompts):
        return "`.swap()` and `withLora()` do not work here; weights, `.blend()` and `.and()` do"
    return None


@lru_cache(maxsize=1000)
def compel_warnings(text: str) -> tuple[str, ...]:
    """Warnings about signs that compel reads as plain words, one line each; none if it cannot read the prompt.

    Imports compel.
    """
    if compel_error(text):
        return ()
    lines, calls = [], [(match[0], match[1]) for match in _CALL.finditer(text)]
    for call, name in calls:
        if f".{name}(" in _plain_words(text):
            close = get_close_matches(name, _FUNCTIONS, n=1, cutoff=0.5) or _FUNCTIONS
            right = f'as in ("a car", "a road").{close[0]}(1, 1)'
            lines.append(f"`{call[1:]}` is read as words: compel's functions follow quoted texts, {right}")
    if piece := _unbalanced(text):
        lines.append(f"`{piece}`: this parenthesis is unbalanced, and is read as a word")
    if match := _DETACHED_WEIGHT.search(text):
        lines.append(f"`{match[0]}` is read as words: a weight follows its parenthesis without a space, ){match[1]}")
    return tuple(lines)


def _unbalanced(text: str) -> str | None:
    """The text near the first parenthesis without a partner; `1)` is prose, unless a weight follows it."""
    opened: list[int] = []
    for found in _PARENTHESIS.finditer(text):
        if found[0] == "(":
            opened.append(found.start())
        elif found[0] == ")" and opened:
            opened.pop()
        elif found[0] == ")" and (weight := _WEIGHTED.match(text, found.start())):
            return text[max(found.start() - 20, 0) : weight.end()]
    return text[opened[0] : opened[0] + 30] if opened else None


def _encode_plain(pipe: Pipeline, prompt: Prompt) -> EncodedPrompt:
    texts = {"prompt": prompt.text, "negative_prompt": prompt.negative}
    if getattr(pipe, "text_encoder_2", None) is not None:
        texts |= {"prompt_2": prompt.text_2, "negative_prompt_2": prompt.negative_2}
    # As lists: diffusers takes a bare empty text for None.
    listed = {name: None if text is None else [text] for name, text in texts.items()}
    positive, negative, *pooled = pipe.encode_prompt(
        **listed, device=pipe._execution_device, num_images_per_prompt=1, do_classifier_free_guidance=True
    )
    pooled_positive, pooled_negative = pooled or (None, None)
    return PromptEmbeds(positive, pooled_positive), PromptEmbeds(negative, pooled_negative)


def _encode_compel(pipe: Pipeline, prompt: Prompt) -> EncodedPrompt:
    """By compel, but with diffusers' pooled vectors: compel reads its own syntax into them (its issue 96)."""
    positive, negative = _encode_plain(pipe, _without_syntax(prompt))
    encoders = _encoders(pipe)
    positives = _encode_by_each(encoders, prompt.text, prompt.text_2)
    negatives = [] if prompt.negative is None else _encode_by_each(encoders, prompt.negative, prompt.negative_2)
    tokens = max(embeds.shape[1] for embeds in [*positives, *negatives])
    negative_embeds = _joined(encoders, negatives, tokens) if negatives else _repeated(negative.embeds, tokens)
    return (
        PromptEmbeds(_joined(encoders, positives, tokens), positive.pooled),
        PromptEmbeds(negative_embeds, negative.pooled),
    )


def _without_syntax(prompt: Prompt) -> Prompt:
    texts = (prompt.negative, prompt.text_2, prompt.negative_2)
    negative, text_2, negative_2 = (None if text is None else _plain_words(text) for text in texts)
    return Prompt(_plain_words(prompt.text), negative, text_2, negative_2)


def _encode_by_each(encoders: Sequence[Compel], text: str, text_2: str | None) -> list[torch.Tensor]:
    """The embeddings of a text by each encoder, (1, tokens, width); the second reads `text_2` if there is one."""
    texts = text, text if text_2 is None else text_2
    return [encoder([read]) for encoder, read in zip(encoders, texts, strict=False)]


def _encoders(pipe: Pipeline) -> list[Compel]:
    """One compel for each text encoder, reading the same layer as diffusers: for SDXL the last but one."""
    compel, device = _import_compel(), pipe._execution_device
    layers = compel.ReturnedEmbeddingsType
    names = [name for name in ("", "_2") if getattr(pipe, f"text_encoder{name}", None) is not None]
    last, last_but_one = layers.LAST_HIDDEN_STATES_NORMALIZED, layers.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED
    return [
        compel.Compel(
            getattr(pipe, f"tokenizer{name}"),
            _Encoder(getattr(pipe, f"text_encoder{name}"), device),
            truncate_long_prompts=False,
            returned_embeddings_type=last if len(names) == 1 else last_but_one,
            device=device,
        )
        for name in names
    ]


class _Encoder:
    """A text encoder for compel, with the device that it runs on: an offloaded one reports the device that holds its
    weights.
    """

    def __init__(self, encoder: CLIPTextModel, device: torch.device) -> None:
        self._encoder = encoder
        self.device = device
        self.dtype = encoder.dtype

    def __call__(self, *tensors: torch.Tensor | None, **options: bool) -> Any:
        return self._encoder(*tensors, **options)


def _joined(encoders: Sequence[Compel], embeds: Sequence[torch.Tensor], tokens: int) -> torch.Tensor:
    """The embeddings of several encoders side by side, each padded with empty texts to so many tokens."""
    import torch

    padded = []
    for encoder, part in zip(encoders, embeds, strict=True):
        padding = _repeated(encoder.conditioning_provider.empty_z, tokens - part.shape[1])
        padded.append(torch.cat([part, padding], dim=1))
    return torch.cat(padded, dim=-1)


def _repeated(embeds: torch.Tensor, tokens: int) -> torch.Tensor:
    """A text repeated up to so many tokens, a multiple of its own."""
    return embeds.repeat(1, tokens // embeds.shape[1], 1)


def _plain_words(text: str) -> str:
    """The words of a text in compel's syntax, without its signs."""
    parts = (part for prompt in _parse(text).prompts for part in getattr(prompt, "prompts", [prompt]))
    return " ".join(fragment.text for part in parts for fragment in part.children)


def _parse(text: str) -> Any:
    return _import_compel().Compel.parse_prompt_string(text)


@cache
def _import_compel() -> ModuleType:
    compel = import_module("compel")
    import pyparsing

    pyparsing.ParserElement.enable_packrat()  # without it, ten nested parentheses take compel an hour
    return compel
