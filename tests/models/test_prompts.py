"""What the model hears of a prompt: weights, long ones, two encoders; and what of it is told to be cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from darkroom.errors import SetupError
from darkroom.models import InpaintRequest
from darkroom.models.checkpoint_info import CheckpointInfo, clip_tokenizer
from darkroom.models.diffusion import Diffusion
from darkroom.models.prompts import Prompt, PromptEmbeds, compel_error, encode_prompt
from darkroom.stages.inpaint import Inpaint
from support.pipelines import OFFLOADS, diffusers_picture, pipeline_of
from support.tiny_models import LENGTH, models_of, request_of

LONG = " ".join(["ab"] * LENGTH * 2)
MINIATURE = Path(__file__).parents[2] / "pipeline/darkroom/models/miniature/weights/sdxl_inpaint"


def compel(text: str, *others: str | None) -> Prompt:
    return Prompt(text, *others, *[None] * (3 - len(others)), syntax="compel")


def same(one: tuple[PromptEmbeds, PromptEmbeds], other: tuple[PromptEmbeds, PromptEmbeds]) -> bool:
    pairs = [pair for two in zip(one, other, strict=True) for pair in zip(*two, strict=True)]
    return all(a is b is None or torch.equal(a, b) for a, b in pairs)


def painted(folder: Path, *prompts: Prompt) -> list[np.ndarray]:
    return models_of(folder).diffusion.inpaint([request_of(prompt=prompt) for prompt in prompts])


def test_the_second_encoder_hears_its_own_prompt_as_in_plain_diffusers(tiny_folder: Path) -> None:
    requests = [request_of(prompt=Prompt("a red car", "b", *two)) for two in (("c", "d"), (None, "d"), ("", ""))]
    pictures = models_of(tiny_folder / "sdxl").diffusion.inpaint(requests)
    for picture, request in zip(pictures, requests[:2], strict=False):
        assert np.array_equal(picture, diffusers_picture(tiny_folder / "sdxl", request))
    both = models_of(tiny_folder / "sdxl").diffusion.inpaint([request_of(prompt=Prompt("a red car", "b"))])
    assert len({picture.tobytes() for picture in [*pictures, *both]}) == 4, "an empty text is a text too"


@pytest.mark.parametrize("negative", [None, "", "a dog, sky"])
def test_without_weights_compel_hears_what_diffusers_does(checkpoint: Path, negative: str | None) -> None:
    pipe = pipeline_of(checkpoint)
    plain = encode_prompt(pipe, Prompt("a red car, sky", negative))
    assert same(encode_prompt(pipe, compel("a red car, sky", negative)), plain)
    assert same(encode_prompt(pipe, compel("a (red)1.0 car, sky", negative)), plain)


def test_the_more_weight_the_further_a_prompt_moves(checkpoint: Path) -> None:
    pipe = pipeline_of(checkpoint)
    plain, *heavier = (encode_prompt(pipe, compel(f"a (red){weight} car"))[0] for weight in (1.0, 1.2, 1.5, 2.0))
    moves = [(each.embeds - plain.embeds).abs().mean().item() for each in heavier]
    assert 0 < moves[0] < moves[1] < moves[2]
    assert plain.pooled is None or all(torch.equal(each.pooled, plain.pooled) for each in heavier)
    lighter, gone = (encode_prompt(pipe, compel(f"a (red){weight} car"))[0] for weight in (0.5, 0))
    assert not torch.equal(lighter.embeds, gone.embeds)


def test_the_last_word_of_a_long_prompt_matters_to_compel_alone(checkpoint: Path) -> None:
    cut = painted(checkpoint, Prompt(f"{LONG} red"), Prompt(f"{LONG} blue"))
    whole = painted(checkpoint, compel(f"{LONG} red"), compel(f"{LONG} blue"))
    assert np.array_equal(*cut) and not np.array_equal(*whole)


def test_no_negative_prompt_is_not_the_empty_one_to_compel_either(tiny_folder: Path) -> None:
    for text in ("a (red)1.4 car", LONG):
        assert not np.array_equal(*painted(tiny_folder / "sdxl", compel(text), compel(text, "")))
        assert np.array_equal(*painted(tiny_folder / "sd15", compel(text), compel(text, "")))


def test_prompts_of_any_length_are_the_same_alone_and_in_company(tiny_folder: Path) -> None:
    prompts = [
        compel("a red car"),
        compel("a red car", LONG),
        compel(LONG, "a dog"),
        compel("a red car", "", LONG, LONG * 2),
        Prompt("a red car"),
    ]
    requests = [request_of(seed, prompt=prompt) for seed, prompt in enumerate(prompts)]
    for diffusion in (Diffusion(pipeline_of(tiny_folder / "sdxl"), batch_size=size) for size in (1, 2)):
        together = diffusion.inpaint(requests)
        alone = [diffusion.inpaint([request])[0] for request in requests]
        assert all(np.array_equal(one, other) for one, other in zip(together, alone, strict=True))


@pytest.mark.parametrize("offload", OFFLOADS)
def test_weights_are_heard_wherever_the_encoders_wait(tiny_folder: Path, offload: str) -> None:
    def two(pipe: object) -> list[np.ndarray]:
        requests: list[InpaintRequest] = [request_of(prompt=compel(text, "a (dog)1.2")) for text in ("a car--", LONG)]
        return Diffusion(pipe).inpaint(requests)

    plain, placed = (pipeline_of(tiny_folder / "sdxl", torch.float16) for _ in range(2))
    OFFLOADS[offload](placed)
    assert np.array_equal(two(plain), two(placed))


@settings(max_examples=30, deadline=None)
@given(text=st.text(st.sampled_from('ab ,.:()[]"+-1\\'), max_size=20) | st.text(max_size=8))
def test_what_compel_is_said_to_read_it_reads(tiny_pipe: object, text: str) -> None:
    if compel_error(text) is None:
        shown, unwanted = encode_prompt(tiny_pipe, compel(text, "a dog"))
        assert shown.embeds.shape == unwanted.embeds.shape and torch.isfinite(shown.embeds).all()


@pytest.fixture(scope="module")
def tiny_pipe(tiny_folder: Path) -> object:
    return pipeline_of(tiny_folder / "sdxl")


MISREAD = {
    "a (red:1.3) car": r"web UIs write a weight; compel's way is \(red\)1.3",
    '("a", "b").blend(1)': "mismatched",
    "a cat.swap(dog)": "do not work here",
    "withLora(x, 0.3) a car": "do not work here",
    "()": "no words",
    "(" * 300: "too many nested parentheses",
}


@pytest.mark.parametrize("text", MISREAD)
def test_signs_that_compel_misreads_are_told(tiny_folder: Path, text: str) -> None:
    stage = Inpaint(prompt="a car", negative_prompt=text, prompt_syntax="compel")
    ((key, line),) = stage.refusals(models_of(tiny_folder / "sdxl"))
    assert key == "negative_prompt"
    with pytest.raises(AssertionError, match=MISREAD[text]):
        raise AssertionError(line)


@pytest.mark.parametrize("text", [r"a sign \(red:1.3\)", "((((((((((((a))))))))))))++", "a (red)1.3 car, C#", "(a", ""])
def test_what_it_reads_is_let_through_at_once(text: str) -> None:
    assert compel_error(text) is None


def test_one_encoder_takes_no_second_prompt(tiny_folder: Path) -> None:
    stage = Inpaint(prompt="a", negative_prompt="b", prompt_2="c", negative_prompt_2="d")
    assert [key for key, _ in stage.refusals(models_of(tiny_folder / "sd15"))] == ["prompt_2", "negative_prompt_2"]
    assert not list(stage.refusals(models_of(tiny_folder / "sdxl")))


def test_the_words_that_are_cut_are_named_as_written(tiny_folder: Path) -> None:
    models = models_of(tiny_folder / "sdxl")
    text = "AB ab ac ad ae af ag ah ai aj ak al Zebra Crossing"
    long = Inpaint(prompt="a", negative_prompt=text, prompt_2=text)
    assert [key for key, _ in long.warnings(models)] == ["negative_prompt", "prompt_2"]
    cut = "reads 14 tokens, which cuts off the words `Zebra Crossing`"
    assert all(cut in line for _, line in long.warnings(models))
    assert not list(Inpaint(prompt="AB ab").warnings(models))
    assert not list(Inpaint(prompt=text, prompt_syntax="compel").warnings(models))
    assert models.loaded() == []


@pytest.mark.parametrize("published", [True, False], ids=["vocab.json", "tokenizer.json"])
@settings(max_examples=200, deadline=None)
@given(text=st.text() | st.text(st.sampled_from("aé火 ,'sİ\n<|endoftext|>"), max_size=60))
def test_the_outline_counts_as_the_model_does(tiny_folder: Path, published: bool, text: str) -> None:
    home = tiny_folder / "sdxl" if published else MINIATURE
    folder = home / "tokenizer"
    theirs = CLIPTokenizer.from_pretrained(folder)
    ids = theirs(text, add_special_tokens=False, verbose=False).input_ids
    assert clip_tokenizer(folder).encode(text, add_special_tokens=False).ids == ids
    rest = CheckpointInfo(home).truncated_text(text)
    assert text.endswith(rest) and bool(rest) == (len(ids) > theirs.model_max_length - 2)


def test_an_outline_loads_nothing_and_says_what_is_missing(checkpoint: Path, tmp_path: Path) -> None:
    checkpoint_info = CheckpointInfo(checkpoint)
    assert checkpoint_info.channels == (9 if "inpaint" in checkpoint.name else 4)
    assert checkpoint_info.text_encoders == (2 if "sdxl" in checkpoint.name else 1)
    (tmp_path / "model_index.json").write_text((checkpoint / "model_index.json").read_text())
    with pytest.raises(SetupError, match=f"{tmp_path}: lacks unet/config.json"):
        _ = CheckpointInfo(tmp_path).channels
    with pytest.raises(SetupError, match=r"lacks tokenizer/tokenizer_config\.json"):
        CheckpointInfo(tmp_path).truncated_text("a")
