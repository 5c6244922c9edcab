"""Prompts: how they are written, and what the text encoders make of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache, lru_cache, reduce
from typing import TYPE_CHECKING, Any, NamedTuple

from darkroom.models.foreign_syntax import WEIGHT, Syntax

if TYPE_CHECKING:
    from types import ModuleType

    import torch
    from compel import Compel
    from diffusers import DiffusionPipeline
    from transformers import CLIPTextModel

_FUNCTIONS = ("blend", "and", "swap")
_CALL = re.compile(r"[)\"]\s*\.\s*(\w{1,40})\(")
_APART = re.compile(r"\)\s+([01]?\.\d{1,4})(?=\s*(?:,|$))")
_HALF = re.compile(r"\\.|(?<![:;])\(|\)")  # a parenthesis, unless it is a plain or a sad one
_WEIGHTED = re.compile(r"\)(?:\d?\.\d|[+-])")


class Prompt(NamedTuple):
    """What a picture shall show and what not.

    Attributes:
        text: what it shall show.
        negative: what it shall not. None is no negative prompt (SDXL then guides away from zeros), which is not the
            same as the empty text "".
        text_2: `text` for the second text encoder of SDXL; None is the same as for the first.
        negative_2: likewise; there is one only where there is a `negative`.
        syntax: `plain`: a text is a text, of which the encoders read as much as they can. `compel`: it holds weights
            as compel writes them, and is read to its end.
    """

    text: str
    negative: str | None = None
    text_2: str | None = None
    negative_2: str | None = None
    syntax: Syntax = "plain"


class PromptEmbeds(NamedTuple):
    """What the UNet gets of N texts.

    Attributes:
        embeds: (N, tokens, width), the state of each word.
        pooled: (N, width) for SDXL, which also takes a summary; None for others.
    """

    embeds: torch.Tensor
    pooled: torch.Tensor | None

    def and_then(self, others: PromptEmbeds) -> PromptEmbeds:
        """These texts, then the others, which have as many tokens."""
        import torch

        pooled = None if self.pooled is None else torch.cat([self.pooled, others.pooled])
        return PromptEmbeds(torch.cat([self.embeds, others.embeds]), pooled)

    def repeated(self, times: int) -> PromptEmbeds:
        """Each text so many times in a row."""
        pooled = None if self.pooled is None else self.pooled.repeat_interleave(times, 0)
        return PromptEmbeds(self.embeds.repeat_interleave(times, 0), pooled)


def read(pipe: DiffusionPipeline, texts: Sequence[str | None]) -> PromptEmbeds:
    """Encode plain texts one by one; None is no text, as guidance has it without a negative prompt."""
    pairs = (encode(pipe, Prompt(text or "")) for text in texts)
    return reduce(PromptEmbeds.and_then, (pair[text is None] for pair, text in zip(pairs, texts, strict=True)))


def encode(pipe: DiffusionPipeline, prompt: Prompt) -> tuple[PromptEmbeds, PromptEmbeds]:
    """What the picture shall show and what not, one text each, of as many tokens as the longer one takes.

    A plain prompt gives, bit for bit, what the pipeline itself makes of it.
    """
    import torch

    with torch.no_grad():
        return (_weighted if prompt.syntax == "compel" else _plain)(pipe, prompt)


@lru_cache(maxsize=1000)  # a negative prompt that thousands of photos share
def compel_error(text: str) -> str | None:
    """Why compel would not read a prompt as it was meant, in a line; None where it does. Imports compel."""
    if found := WEIGHT.search(text):
        return f"{found[0]} is how web UIs write a weight; compel's way is ({found[1].strip()}){found[2].strip()}"
    try:
        conjunction = _parse(text)
    except RecursionError:
        return "too many parentheses within each other"
    except Exception as error:  # of its own and of its parser's many kinds
        return f"compel cannot read it: {(str(error).splitlines() or [''])[0]:.200}"
    if not conjunction.prompts:
        return "holds no words"
    if conjunction.lora_weights or any(prompt.wants_cross_attention_control for prompt in conjunction.prompts):
        return "`.swap()` and `withLora()` do not work here; weights, `.blend()` and `.and()` do"
    return None


@lru_cache(maxsize=1000)
def compel_warnings(text: str) -> tuple[str, ...]:
    """What of a prompt that compel can read it takes for words though a sign was meant, a line each. Imports compel."""
    if compel_error(text):
        return ()
    lines, calls = [], [(match[0], match[1]) for match in _CALL.finditer(text)]
    for call, name in calls:
        if f".{name}(" in _without_signs(text):
            close = get_close_matches(name, _FUNCTIONS, n=1, cutoff=0.5) or _FUNCTIONS
            right = f'as in ("a car", "a road").{close[0]}(1, 1)'
            lines.append(f"`{call[1:]}` is read as words: compel's functions stand behind texts in quotes, {right}")
    if piece := _unbalanced(text):
        lines.append(f"`{piece}`: this parenthesis has no other half, and is read as a word")
    if match := _APART.search(text):
        lines.append(f"`{match[0]}` is read as words: a weight follows its parenthesis without a space, ){match[1]}")
    return tuple(lines)


def _unbalanced(text: str) -> str | None:
    """The text at the first parenthesis that is not closed, or that closes none and has a weight; `1)` is prose."""
    opened: list[int] = []
    for half in _HALF.finditer(text):
        if half[0] == "(":
            opened.append(half.start())
        elif half[0] == ")" and opened:
            opened.pop()
        elif half[0] == ")" and (weight := _WEIGHTED.match(text, half.start())):
            return text[max(half.start() - 20, 0) : weight.end()]
    return text[opened[0] : opened[0] + 30] if opened else None


def _plain(pipe: DiffusionPipeline, prompt: Prompt) -> tuple[PromptEmbeds, PromptEmbeds]:
    given = {"prompt": prompt.text, "negative_prompt": prompt.negative}
    if getattr(pipe, "text_encoder_2", None) is not None:
        given |= {"prompt_2": prompt.text_2, "negative_prompt_2": prompt.negative_2}
    # As lists: diffusers takes an empty text that stands by itself for none.
    listed = {name: None if text is None else [text] for name, text in given.items()}
    device = pipe._execution_device
    shown, unwanted, *pooled = pipe.encode_prompt(
        **listed, device=device, num_images_per_prompt=1, do_classifier_free_guidance=True
    )
    pooled_shown, pooled_unwanted = pooled or (None, None)
    return PromptEmbeds(shown, pooled_shown), PromptEmbeds(unwanted, pooled_unwanted)


def _weighted(pipe: DiffusionPipeline, prompt: Prompt) -> tuple[PromptEmbeds, PromptEmbeds]:
    """By compel, all but the summaries: there it takes its own signs for words (damian0815/compel, issue 96)."""
    plain = (None if text is None else _without_signs(text) for text in prompt[:4])
    shown, unwanted = _plain(pipe, Prompt(*plain))
    encoders = _encoders(pipe)
    shown_words = [encoder([text]) for encoder, text in zip(encoders, _both(prompt.text, prompt.text_2), strict=False)]
    unwanted_words = []
    if prompt.negative is not None:
        texts = _both(prompt.negative, prompt.negative_2)
        unwanted_words = [encoder([text]) for encoder, text in zip(encoders, texts, strict=False)]
    tokens = max(words.shape[1] for words in [*shown_words, *unwanted_words])
    no_words = _joined(encoders, unwanted_words, tokens) if unwanted_words else _stretched(unwanted.embeds, tokens)
    return PromptEmbeds(_joined(encoders, shown_words, tokens), shown.pooled), PromptEmbeds(no_words, unwanted.pooled)


def _both(first: str, second: str | None) -> tuple[str, str]:
    """The texts of two encoders."""
    return first, first if second is None else second


def _encoders(pipe: DiffusionPipeline) -> list[Compel]:
    """One compel for each text encoder, with what diffusers takes of it: of SDXL's the layer before the last."""
    compel, device = _import_compel(), pipe._execution_device
    kinds = compel.ReturnedEmbeddingsType
    names = [name for name in ("", "_2") if getattr(pipe, f"text_encoder{name}", None) is not None]
    layer = kinds.LAST_HIDDEN_STATES_NORMALIZED if len(names) == 1 else kinds.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED
    return [
        compel.Compel(
            getattr(pipe, f"tokenizer{name}"),
            _Encoder(getattr(pipe, f"text_encoder{name}"), device),
            truncate_long_prompts=False,
            returned_embeddings_type=layer,
            device=device,
        )
        for name in names
    ]


class _Encoder:
    """A text encoder as compel asks it. One that is offloaded tells where its weights wait, not where it works."""

    def __init__(self, encoder: CLIPTextModel, device: torch.device) -> None:
        self._encoder = encoder
        self.device = device
        self.dtype = encoder.dtype

    def __call__(self, *tensors: torch.Tensor | None, **options: bool) -> Any:
        return self._encoder(*tensors, **options)


def _joined(encoders: Sequence[Compel], words: Sequence[torch.Tensor], tokens: int) -> torch.Tensor:
    """What several encoders read, side by side, each filled up with empty texts to so many tokens."""
    import torch

    fillings = (
        _stretched(encoder.conditioning_provider.empty_z, tokens - each.shape[1])
        for encoder, each in zip(encoders, words, strict=True)
    )
    return torch.cat([torch.cat(pair, dim=1) for pair in zip(words, fillings, strict=True)], dim=-1)


def _stretched(words: torch.Tensor, tokens: int) -> torch.Tensor:
    """A text again and again, up to so many tokens."""
    return words.repeat(1, tokens // words.shape[1], 1)


def _without_signs(text: str) -> str:
    """The words of a text in compel's syntax."""
    parts = (part for prompt in _parse(text).prompts for part in getattr(prompt, "prompts", [prompt]))
    return " ".join(fragment.text for part in parts for fragment in part.children)


def _parse(text: str) -> Any:
    return _import_compel().Compel.parse_prompt_string(text)


@cache
def _import_compel() -> ModuleType:
    import compel
    import pyparsing

    pyparsing.ParserElement.enable_packrat()  # without it, ten parentheses within each other take compel an hour
    return compel
