"""Painters that are flow transformers: the pictures of plain diffusers, and what they lack is told before a run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_inpaint
from safetensors.torch import load_file, save, save_file

from darkroom.errors import Cancelled, PhotoError, SetupError
from darkroom.models import Memory, Models
from darkroom.models.device import resolve_memory
from darkroom.models.flow_painters import FlowPainter
from darkroom.models.offload import network_of
from darkroom.models.painter_families import FLUX2_KLEIN
from darkroom.models.prompts import Prompt
from darkroom.models.request import InpaintRequest
from darkroom.stages import STAGES
from darkroom.system.watching import watched
from support.pipelines import OFFLOADS, pipeline_of
from support.tiny_models import models_of, request_of
from support.tiny_painters import PAINTERS, plain_picture, write_painter

DISTILLED, UNDISTILLED = "flux2_klein", "flux2_klein_base"
SCHNELL, WITHOUT_T5 = "flux1_schnell", "sd3_without_t5"
KINDS = [kind for kind in PAINTERS if kind not in (UNDISTILLED, SCHNELL, WITHOUT_T5)]


@pytest.fixture(scope="module")
def painters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny checkpoint of each of `PAINTERS`."""
    folder = tmp_path_factory.mktemp("painters")
    for kind in PAINTERS:
        write_painter(folder / kind, kind)
    return folder


@pytest.fixture(autouse=True)
def _small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Qwen-Image-Edit's pipeline scales every picture to 1024 x 1024 px; here to 96 x 96."""
    fitted = pipeline_qwenimage_edit_inpaint.calculate_dimensions
    small = lambda _area, ratio: fitted(96 * 96, ratio)  # noqa: E731
    monkeypatch.setattr(pipeline_qwenimage_edit_inpaint, "calculate_dimensions", small)


@pytest.fixture(params=KINDS)
def painter(request: pytest.FixtureRequest, painters: Path) -> Path:
    """A tiny checkpoint of each family in turn, and of Flux.1 one for each pipeline."""
    return painters / request.param


def ask(seed: int = 7, **changes: object) -> InpaintRequest:
    """A request of 64 x 96 px, which is not square and has a hole in its mask."""
    asked = request_of(seed, guidance_scale=1.0, **changes)
    image, mask = np.tile(asked.image, (2, 2, 1))[:64, :96], np.pad(asked.mask, ((8, 16), (16, 16)))
    return replace(asked, image=image, mask=mask)


@pytest.mark.parametrize("kind", PAINTERS)
def test_on_a_cpu_it_is_the_picture_of_plain_diffusers(painters: Path, kind: str) -> None:
    painter = painters / kind
    painted = models_of(painter).diffusion
    guided = replace(ask(3), guidance_scale=4.0, prompt=Prompt("a red car", negative="a dog"))
    asked = [ask(), ask(strength=0.6), *([] if painter.name == DISTILLED else [guided])]
    pictures = painted.inpaint(asked)
    for request, picture in zip(asked, pictures, strict=True):
        assert picture.shape == request.image.shape and picture.dtype == np.uint8
        assert np.array_equal(picture, plain_picture(painter, request))


def test_seeds_and_prompts_show_and_company_does_not(painter: Path) -> None:
    painted = models_of(painter).diffusion
    asked = [ask(1), ask(2), ask(1, prompt=Prompt("a blue sky"))]
    together = painted.inpaint(asked)
    assert len({picture.tobytes() for picture in together}) == 3
    for request, picture in reversed(list(zip(asked, together, strict=True))):
        assert np.array_equal(painted.inpaint([request])[0], picture)


@pytest.mark.parametrize("kind", OFFLOADS)
def test_where_a_painter_waits_does_not_show(painter: Path, kind: str) -> None:
    plain, pipe = _aligned(pipeline_of(painter)), _aligned(pipeline_of(painter))
    OFFLOADS[kind](pipe)
    asked = [ask(1), ask(2)]
    assert np.array_equal(FlowPainter(pipe).inpaint(asked), FlowPainter(plain).inpaint(asked))


def _aligned(pipe: DiffusionPipeline) -> DiffusionPipeline:
    """With copies of all weights, at addresses as a device has them. A file maps weights to any address, and on a CPU
    the last bits of products depend on it.
    """
    for part in pipe.components.values():
        for tensor in (*part.parameters(), *part.buffers()) if isinstance(part, torch.nn.Module) else ():
            tensor.data = tensor.data.clone()
    return pipe


def test_guidance_and_a_negative_prompt_show(painters: Path) -> None:
    for kind in set(PAINTERS) - {DISTILLED, SCHNELL}:
        plain = ask()
        guided = replace(plain, guidance_scale=4.0)
        away = replace(guided, prompt=Prompt("a red car", negative="a dog"))
        pictures = models_of(painters / kind).diffusion.inpaint([plain, guided, away])
        assert len({picture.tobytes() for picture in pictures}) == (2 if kind.startswith("flux1") else 3), kind


def test_half_precision_is_bf16_and_one_picture_at_a_time(painter: Path) -> None:
    resolved = resolve_memory(Memory(dtype="fp16", batch_size=4, channels_last=True), "cpu", FLUX2_KLEIN)
    assert (resolved.dtype, resolved.batch_size, resolved.channels_last) == ("bf16", 1, False)
    models = models_of(painter, dtype="fp16", batch_size=4)
    assert models.batch_size == models.identity("inpaint")["batch_size"] == 1
    exact = models_of(painter).diffusion.inpaint([ask()])[0]
    (near,) = models.diffusion.inpaint([ask()])
    assert models.diffusion.describe()["dtype"] == "bfloat16"
    assert 0 < np.abs(near.astype(int) - exact).mean() < 8


def test_it_stops_between_two_steps(painters: Path) -> None:
    def stop(done: int, _of: int) -> None:
        if done == 2:
            raise Cancelled("stop")

    with pytest.raises(Cancelled), watched(stop):
        models_of(painters / DISTILLED).diffusion.inpaint([ask(steps=4)])


def test_no_picture_and_no_memory_cost_a_photo(painters: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    diffusion = models_of(painters / DISTILLED).diffusion
    pipe = diffusion._pipe  # type: ignore[attr-defined]
    with torch.no_grad():
        pipe.vae.decoder.conv_out.bias.fill_(float("nan"))
    with pytest.raises(PhotoError, match="no picture for seed 7"):
        diffusion.inpaint([ask()])

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(pipe.transformer, "forward", full)
    with pytest.raises(PhotoError, match="memory=low"):
        diffusion.inpaint([ask()])


@pytest.mark.parametrize(
    ("op", "given", "key"),
    [
        ("inpaint", {"lora": {"ink": 1.0}}, "lora"),
        ("inpaint", {"control": {"canny": 0.5}}, "control"),
        ("inpaint", {"reference": "car.png"}, "reference"),
        ("inpaint", {"prompt_syntax": "compel"}, "prompt_syntax"),
        ("inpaint", {"scheduler": "euler"}, "scheduler"),
        ("inpaint", {"soft_mask": True}, "soft_mask"),
        ("inpaint", {"negative_prompt": "", "negative_prompt_2": "a dog"}, "negative_prompt_2"),
        ("diffedit", {"reference": "a horse", "query": "a zebra"}, ""),
        ("diffedit_repaint", {}, ""),
    ],
)
def test_what_a_painter_lacks_is_refused_by_name_without_its_weights(
    painter: Path, tmp_path: Path, op: str, given: dict[str, object], key: str
) -> None:
    small = tmp_path / "small"
    shutil.copytree(painter, small, ignore=shutil.ignore_patterns("*.safetensors"))
    prompt = {} if op == "diffedit" else {"prompt": "a red car"}
    guidance = {"guidance_scale": 1.0} if op == "inpaint" else {}
    stage = STAGES[op](**prompt, **guidance, **given)
    problems = list(stage.refusals(models_of(small)))
    assert [name for name, _ in problems] == [key]
    assert models_of(small).checkpoint_info.family.title in problems[0][1]
    plain = STAGES["inpaint"](prompt="a red car", guidance_scale=1.0, negative_prompt="a dog")
    lacking = ["negative_prompt"] if painter.name.startswith("flux1") else []
    assert [name for name, _ in plain.refusals(models_of(small))] == lacking


def test_a_distilled_painter_refuses_guidance_and_a_guided_one_does_not(painters: Path) -> None:
    stage = STAGES["inpaint"](prompt="a red car", guidance_scale=3.0)
    for kind in PAINTERS:
        problems = [key for key, _ in stage.refusals(models_of(painters / kind))]
        assert problems == (["guidance_scale"] if kind in (DISTILLED, SCHNELL) else []), kind


def test_controls_and_references_are_refused_before_their_weights_are_looked_for(painters: Path) -> None:
    for kind in ("controls.canny", "reference"):
        with pytest.raises(SetupError, match=rf"models\.{kind}: FLUX.2 Klein takes no"):
            models_of(painters / DISTILLED).require([kind])


def test_a_prompt_that_is_cut_off_is_told(painters: Path) -> None:
    stage = STAGES["inpaint"](prompt="a car " * 200, guidance_scale=1.0)
    ((key, text),) = stage.warnings(models_of(painters / DISTILLED))
    assert key == "prompt" and "reads 500 tokens" in text and "compel" not in text
    cut = stage.prompt[
        : len(stage.prompt) - len(models_of(painters / DISTILLED).checkpoint_info.truncated_text(stage.prompt))
    ]
    assert len(cut) == 500  # a token is a byte of this tokenizer


@pytest.mark.parametrize(
    ("kind", "piece", "most"),
    [("flux1_fill", "ü", 511 - 1), ("sd3", "ü", 255 - 1), (WITHOUT_T5, "a ", 75)],  # T5 has a token before each word
)
def test_t5_reads_more_of_a_prompt_than_clip(painters: Path, kind: str, piece: str, most: int) -> None:
    info = models_of(painters / kind).checkpoint_info
    assert info.truncated_text(piece * most) == ""
    assert info.truncated_text(piece * (most + 1)) != ""


def test_the_chat_template_is_a_part_of_the_identity(painters: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(painters / DISTILLED, other)
    assert _weights(models_of(other)) == _weights(models_of(painters / DISTILLED))
    template = other / "tokenizer" / "chat_template.jinja"
    template.write_text(template.read_text().replace("user", "person") + " ")
    shutil.copytree(other, tmp_path / "third")
    assert _weights(models_of(tmp_path / "third")) != _weights(models_of(painters / DISTILLED))


def _weights(models: Models) -> str:
    weights: str = models.identity("inpaint")["weights"]
    return weights


TRANSFORMER = Path("transformer/diffusion_pytorch_model.safetensors")


def _truncated(folder: Path) -> None:
    (folder / TRANSFORMER).write_bytes((folder / TRANSFORMER).read_bytes()[:-1000])


def _no_weights(folder: Path) -> None:
    (folder / TRANSFORMER).unlink()


def _other_encoder(folder: Path) -> None:
    _index(folder, "text_encoder", ["transformers", "CLIPTextModel"])


def _foreign_code(folder: Path) -> None:
    _index(folder, "scheduler", ["my_code", "FlowMatchEulerDiscreteScheduler"])


def _of_another_model(folder: Path) -> None:
    config = folder / "text_encoder" / "config.json"
    settings = json.loads(config.read_text())
    config.write_text(json.dumps({**settings, "num_hidden_layers": 9, "layer_types": settings["layer_types"][:9]}))


def _no_tokenizer(folder: Path) -> None:
    shutil.rmtree(folder / "tokenizer")


def _no_template(folder: Path) -> None:
    (folder / "tokenizer" / "chat_template.jinja").unlink()


def _a_shard_is_missing(folder: Path) -> None:
    whole = folder / "text_encoder" / "model.safetensors"
    state = load_file(whole)
    whole.unlink()
    (folder / "text_encoder" / "model-00001-of-00002.safetensors").write_bytes(save({"a": torch.zeros(1)}))
    places = dict.fromkeys(state, "model-00002-of-00002.safetensors")
    index = {"metadata": {}, "weight_map": places}
    (folder / "text_encoder" / "model.safetensors.index.json").write_text(json.dumps(index))


def _no_pieces_of_t5(folder: Path) -> None:
    (folder / "tokenizer_2" / "tokenizer.json").unlink()


def _no_tokenizer_of_t5(folder: Path) -> None:
    _index(folder, "tokenizer_3", [None, None])


def _of_the_other_pipeline(folder: Path) -> None:
    _index(folder, "_class_name", "FluxPipeline")


def _no_text_encoder(folder: Path) -> None:
    _index(folder, "text_encoder", [None, None])


def _index(folder: Path, key: str, value: object) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, key: value}))


def test_parts_of_another_model_are_refused(painter: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    shutil.copytree(painter, folder)
    config = folder / "transformer" / "config.json"
    settings = json.loads(config.read_text())
    key = "cap_feat_dim" if "cap_feat_dim" in settings else "joint_attention_dim"
    config.write_text(json.dumps({**settings, key: 80}))
    parts = network_of(pipeline_of(painter)).from_config(json.loads(config.read_text()))
    save_file({name: tensor.detach().clone() for name, tensor in parts.state_dict().items()}, folder / TRANSFORMER)
    with pytest.raises(SetupError, match="are not of one model"):
        models_of(folder).diffusion  # noqa: B018


@pytest.mark.parametrize(
    ("kind", "spoil", "reason"),
    [
        ("flux1_fill", _no_pieces_of_t5, "lacks the vocabulary of its tokenizer_2"),
        ("sd3", _no_tokenizer_of_t5, "lacks the vocabulary of its tokenizer_3"),
        ("flux1_fill", _of_the_other_pipeline, "are not of one model"),
        (DISTILLED, _truncated, ".safetensors: cannot be read as safetensors: "),
        (DISTILLED, _no_weights, "lacks the .safetensors of transformer"),
        (DISTILLED, _other_encoder, "text_encoder is transformers.CLIPTextModel, which Darkroom does not load"),
        (
            DISTILLED,
            _foreign_code,
            "scheduler is my_code.FlowMatchEulerDiscreteScheduler, which Darkroom does",
        ),
        (DISTILLED, _of_another_model, "are not of one model"),
        (DISTILLED, _no_tokenizer, "lacks the vocabulary of its tokenizer"),
        (DISTILLED, _no_template, "lacks the chat template of its tokenizer"),
        (
            DISTILLED,
            _a_shard_is_missing,
            "model.safetensors.index.json: names model-00002-of-00002.safetensors, which is",
        ),
        (DISTILLED, _no_text_encoder, "text_encoder is None.None, which Darkroom does not load"),
    ],
)
def test_a_damaged_or_foreign_folder_is_refused_in_one_line(
    painters: Path, tmp_path: Path, kind: str, spoil: Callable[[Path], None], reason: str
) -> None:
    folder = tmp_path / "spoilt"
    shutil.copytree(painters / kind, folder)
    spoil(folder)
    with pytest.raises(SetupError) as caught:
        models_of(folder).diffusion  # noqa: B018
    assert reason in str(caught.value) and str(folder) in str(caught.value) and "\n" not in str(caught.value)


DELETED = "(deleted)"
TEXT, WORDS, STEPS = "text_encoder/config.json", "tokenizer/tokenizer_config.json", "scheduler/scheduler_config.json"


@pytest.mark.fault(
    "Repaints",
    "a file of a painter's folder is empty, cut off or of another kind, or has a wrong setting; a few bytes of one "
    "describe a network that takes all memory",
    "refused before memory is taken, with one line that names the file",
)
@pytest.mark.parametrize(
    ("file", "change", "reason"),
    [
        ("model_index.json", "", "model_index.json: is empty"),
        ("model_index.json", {"_class_name": DELETED}, "model_index.json: lacks _class_name"),
        ("model_index.json", {"_class_name": ["x"]}, "is for ['x']; inpainting takes "),
        ("model_index.json", {"tokenizer": DELETED}, "model_index.json: lacks tokenizer; each is given as [library"),
        (TEXT, "{", "text_encoder/config.json: cannot be read as JSON: "),
        (TEXT, "[]", "text_encoder/config.json: should hold a mapping of settings; got []"),
        (TEXT, None, "text_encoder: lacks config.json"),
        (TEXT, "{}", "CLIPTextModelWithProjection: config.json describes a network of "),
        (TEXT, {"vocab_size": "many"}, "text_encoder: cannot be read as CLIPTextModelWithProjection: Validation "),
        (TEXT, {"vocab_size": -1}, "vocab_size in config.json must not be negative; got -1"),
        (
            TEXT,
            {"num_hidden_layers": 10**8},
            "num_hidden_layers in config.json should be at most 1,000; got 100,000,000",
        ),
        (TEXT, {"intermediate_size": 24}, "by config.json"),
        (WORDS, None, "tokenizer_config.json: model_max_length should be a number from 3 to 77"),
        (WORDS, {"model_max_length": 999}, "tokenizer_config.json: model_max_length should be a number from 3 to 77"),
        ("tokenizer/vocab.json", None, "tokenizer: lacks vocab.json"),
        (STEPS, "null", "scheduler_config.json: should hold a mapping of settings"),
        (STEPS, {"num_train_timesteps": "x"}, "scheduler: cannot be read as FlowMatchEuler"),
        ("vae/config.json", {"block_out_channels": 8}, "vae: cannot be read as AutoencoderKL: "),
    ],
)
def test_a_spoilt_file_of_a_painter_is_named(
    painters: Path, tmp_path: Path, file: str, change: str | dict[str, Any] | None, reason: str
) -> None:
    folder = tmp_path / "spoilt"
    shutil.copytree(painters / "sd3", folder)
    if isinstance(change, dict):
        settings = {**json.loads((folder / file).read_text()), **change}
        change = json.dumps({key: value for key, value in settings.items() if value != DELETED})
    (folder / file).unlink()
    if change is not None:
        (folder / file).write_text(change)
    with pytest.raises(SetupError) as caught:
        models_of(folder).diffusion  # noqa: B018
    assert reason in str(caught.value) and str(folder) in str(caught.value) and "\n" not in str(caught.value)
