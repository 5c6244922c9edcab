"""The vocabulary and the prompts that the models learn."""

import numpy as np
import pytest

from miniature.networks import TOKENS
from miniature.training.masks import grow, prompt, random_repaint
from miniature.training.scenes import SIZES, render
from miniature.words import build_tokenizer, save_tokenizer
from miniature.world import KINDS, PLACES, describe, random_specs


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


def test_captions_fit_and_come_back(tokenizer):
    rng = np.random.default_rng(1)
    for place in [*PLACES, None] * 20:
        words = describe(place, random_specs(rng), rng)
        tokens = tokenizer(words).input_ids
        assert len(tokens) <= TOKENS, words
        back = tokenizer.decode(tokens, skip_special_tokens=True)
        assert back.replace(" ", "") == words.lower().replace(" ", "")


def test_known_words_are_one_token(tokenizer):
    for kind in KINDS:
        assert len(tokenizer(kind).input_ids) == 3, kind


def test_unknown_words_are_spelt_not_lost(tokenizer):
    words = "spaceship über 東京"
    back = tokenizer.decode(tokenizer(words).input_ids, skip_special_tokens=True)
    assert back.replace(" ", "") == words.replace(" ", "")


def test_the_saved_folder_has_every_file_a_tokenizer_may_ask_for(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    save_tokenizer(tokenizer, tmp_path)
    assert {"vocab.json", "merges.txt", "tokenizer.json"} <= {path.name for path in tmp_path.iterdir()}
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again("a red car on mars").input_ids == tokenizer("a red car on mars").input_ids


def test_object_repaints_name_the_object_and_backgrounds_keep_it():
    rng = np.random.default_rng(0)
    kinds = set()
    for seed in range(120):
        sample = render(seed, SIZES[seed % len(SIZES)])
        task = random_repaint(sample, rng)
        kinds.add(task.kind)
        words = prompt(sample, task.shown, task.kind, rng)
        if task.kind == "object":
            kind, colour = sample.things[task.shown[0]]
            assert kind in words
            assert colour is None or colour in words
            assert task.mask[sample.mask(task.shown[0])].all()
        if task.kind == "background":
            assert any(phrase in words for phrase in PLACES[sample.place].phrases)
            assert 0 < task.mask.mean() < 1
    assert kinds == {"object", "background", "any"}


def test_growing_moves_the_outline_by_that_many_pixels():
    mask = np.zeros((40, 40), bool)
    mask[10:30, 10:30] = True
    assert grow(mask, 3)[20, 7:33].all()
    assert not grow(mask, 3)[20, [6, 33]].any()
    assert grow(mask, -2)[20, 12:28].all()
    assert not grow(mask, -2)[20, [11, 28]].any()
    assert np.array_equal(grow(mask, 0), mask)
