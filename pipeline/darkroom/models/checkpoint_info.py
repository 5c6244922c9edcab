"""Properties of a checkpoint, read from its small files: before a run, without weights and without heavy libraries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkroom.errors import SetupError
from darkroom.models.checkpoint_formats import known_family, read_index
from darkroom.models.load_errors import as_setup_error
from darkroom.models.single_file import configuration

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_SPECIAL = ("<|startoftext|>", "<|endoftext|>")  # one before and one after every text
_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class CheckpointInfo:
    """An inpainting checkpoint without its weights.

    Args:
        path: a folder with `model_index.json`, or a single `.safetensors` file.

    Raises:
        SetupError: here and in every method: small files are missing or damaged.

    Attributes:
        folder: holds the configuration of the components and the tokenizers.
        family: of painters, which says what recipes can ask of it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with as_setup_error(path, "a diffusers checkpoint" if path.is_dir() else "a Stable Diffusion checkpoint"):
            self.folder = path if path.is_dir() else configuration(path)
            self._index = read_index(self.folder)
        self.family = known_family(self._index)
        self._kind = f"a {self.family.title} checkpoint"
        self._most_tokens: dict[int, int] = {}

    @cached_property
    def channels(self) -> int:
        """Input channels of the UNet: 4 for text-to-image, 9 for inpainting."""
        return self._number("unet/config.json", "in_channels")

    def config(self, component: str) -> dict[str, Any]:
        """The configuration of a component, such as `unet`."""
        with as_setup_error(self._path, self._kind):
            return _read(self.folder / component / "config.json")

    @property
    def text_encoders(self) -> int:
        """The number of text encoders: 2 for SDXL, else 1."""
        return sum(bool(self._index.get(name, [None])[0]) for name in ("text_encoder", "text_encoder_2"))

    def unsupported(self, parameters: Mapping[str, Any]) -> list[tuple[str, str]]:
        """The parameters of a stage that this checkpoint lacks (`PainterFamily.unsupported`)."""
        return list(self.family.unsupported(parameters, self._is_distilled))

    @property
    def _is_distilled(self) -> bool:
        """Whether it ignores guidance, as far as its files say it."""
        if self.family.guidance_is_input:
            return not self.config("transformer").get("guidance_embeds")
        return bool(self._index.get("is_distilled"))

    def max_tokens(self, encoder: int) -> int | None:
        """The number of tokens of a text that a text encoder (0 or 1) reads; None for all.

        75 in all published checkpoints of Stable Diffusion.
        """
        tokenizer = self._tokenizer(encoder)
        if tokenizer == self.family.tokenizer:
            return self.family.max_tokens
        if encoder not in self._most_tokens:
            number = self._number(f"{tokenizer}/tokenizer_config.json", "model_max_length")
            self._most_tokens[encoder] = number - len(_SPECIAL)
        return self._most_tokens[encoder]

    def truncated_text(self, text: str, encoder: int = 0) -> str:
        """The end of a text that a text encoder does not read, from the first word that does not fit; usually empty."""
        limit = self.max_tokens(encoder)
        if limit is None or (text.isascii() and len(text) <= limit):
            return ""  # a token has at least one letter
        folder = self.folder / self._tokenizer(encoder)
        if folder.name == self.family.tokenizer and not (folder / "tokenizer.json").is_file():
            return ""  # the other files do not say how the text is split
        with as_setup_error(self._path, self._kind):
            valid = text.encode(errors="replace").decode()  # JSON can hold half of a surrogate pair
            offsets = clip_tokenizer(folder).encode(valid, add_special_tokens=False).offsets
        start = offsets[limit][0] if len(offsets) > limit else len(text)
        while 0 < start < len(text) and text[start - 1].isalnum() and text[start].isalnum():
            start -= 1
        return text[start:]

    def _tokenizer(self, encoder: int) -> str:
        if self._index.get(self.family.tokenizer, [None])[0]:
            return self.family.tokenizer
        return "tokenizer_2" if encoder else "tokenizer"

    def _number(self, name: str, key: str) -> int:
        with as_setup_error(self._path, self._kind):
            value = _read(self.folder / name).get(key)
            if not isinstance(value, int):
                raise SetupError(f"{self._path}: {name} lacks {key}")
            return value


@lru_cache(maxsize=16)
def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise SetupError(f"{file.parents[1]}: lacks {file.parent.name}/{file.name}")
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


@lru_cache(maxsize=4)
def clip_tokenizer(folder: Path) -> Tokenizer:
    """CLIP's tokenizer from the published files. transformers has the same one, but takes seconds to import."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    if (file := folder / "tokenizer.json").is_file():
        tokenizer = Tokenizer.from_file(str(file))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer
    vocabulary, merges = str(folder / "vocab.json"), str(folder / "merges.txt")
    tokenizer = Tokenizer(models.BPE.from_file(vocabulary, merges, end_of_word_suffix="</w>", unk_token=_SPECIAL[1]))
    cleaning = [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    tokenizer.normalizer = normalizers.Sequence(cleaning)
    splitting = pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([splitting, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.add_special_tokens(list(_SPECIAL))
    return tokenizer
