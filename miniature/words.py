"""The tokenizer of the miniature models: byte-pair encoding, trained on captions of the world."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from miniature.networks import TOKENS
from miniature.world import KINDS, LIGHTS, PLACES, describe, random_specs

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

CAPTIONS = 20_000
EXTRA = (
    "background",
    "the background",
    "sky",
    "ground",
    "photo",
    "picture",
    "two",
    "without",
    "with",
    "dark",
    "bright light",
    "big",
    "small",
    "blurry, low quality",
    "photo of the background",
)


def build_tokenizer() -> CLIPTokenizer:
    """A `CLIPTokenizer` of some seven hundred tokens; unknown words are spelt in bytes."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    rng = np.random.default_rng(0)
    places, lights = [*PLACES, None], list(LIGHTS)
    captions = [
        describe(places[rng.integers(len(places))], random_specs(rng), rng, light=lights[rng.integers(len(lights))])
        for _ in range(CAPTIONS)
    ]
    captions += [*EXTRA * 50, *list(KINDS) * 50]
    pattern = CLIPTokenizer()._tokenizer  # its splitting and lower-casing, without a vocabulary
    learner = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix="</w>", fuse_unk=False))
    learner.normalizer, learner.pre_tokenizer = pattern.normalizer, pattern.pre_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=2000, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
    )
    learner.train_from_iterator(captions, trainer)
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    words = [
        *alphabet,
        *(letter + "</w>" for letter in alphabet),
        *(a + b for a, b in merges),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys(words))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=TOKENS)


def save_tokenizer(tokenizer: CLIPTokenizer, folder: Path) -> None:
    """`save_pretrained` with vocab.json and merges.txt beside it, which transformers 5 no longer writes."""
    tokenizer.save_pretrained(folder)
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False) + "\n", encoding="utf-8")
    merges = [" ".join(pair) for pair in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
