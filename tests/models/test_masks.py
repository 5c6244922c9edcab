"""SAM and CLIPSeg behind their adapters equal SAM and CLIPSeg as published, and see each photo once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from segment_anything import SamPredictor

from darkroom.errors import PhotoError, SetupError
from darkroom.models import Memory, ModelNames, Models
from darkroom.models.clipseg import ClipSeg, load_clipseg
from darkroom.models.miniature.networks import build_sam
from darkroom.models.miniature.two_pass_sam import TwoPassSam, load_sam_folder
from darkroom.models.sam import Sam, load_sam
from miniature.networks import SAM_CONFIG
from support.checkpoint_files import random_state, write_tokenizer
from support.tiny_models import LENGTH, TEXT, TOKENS

CLICK, LABEL = np.array([[20.0, 30.0]]), np.array([1])


@pytest.fixture(scope="module")
def sam_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sam")
    (folder / "config.json").write_text(json.dumps(SAM_CONFIG))
    save_file(random_state(build_sam(SAM_CONFIG), torch.float32), folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def clipseg_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation, ViTImageProcessor

    folder = tmp_path_factory.mktemp("clipseg") / "model"
    write_tokenizer(folder, TOKENS, LENGTH)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
    config = CLIPSegConfig(
        text_config=TEXT,
        vision_config={**sizes, "image_size": 32, "patch_size": 16},
        projection_dim=32,
        reduce_dim=16,
        extract_layers=[0, 1, 2],
        decoder_num_attention_heads=2,
        decoder_intermediate_size=32,
    )
    torch.manual_seed(0)
    CLIPSegForImageSegmentation(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)  # more than trained at, as published
    return folder


@pytest.fixture
def sam(sam_folder: Path) -> Sam:
    return load_sam_folder(sam_folder, "cpu").sam  # without the second pass


@pytest.fixture
def clipseg(clipseg_folder: Path) -> ClipSeg:
    return load_clipseg(clipseg_folder, "cpu")


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def predictor_of(sam_folder: Path, image: np.ndarray) -> SamPredictor:
    """SAM's own predictor, with the embedding in the fp16 in which embeddings are kept."""
    predictor = SamPredictor(load_sam_folder(sam_folder, "cpu").sam.network)
    predictor.set_image(image)
    predictor.features = predictor.features.half().float()
    return predictor


def test_sam_gives_what_its_own_predictor_gives(sam: Sam, sam_folder: Path) -> None:
    image, box = photo(50, 90), np.array([10.0, 10.0, 60.0, 40.0])
    predictor = predictor_of(sam_folder, image)
    expected, scores, _ = predictor.predict(CLICK, LABEL, box=box)
    masks, told = sam.masks(image, CLICK, LABEL, box)
    assert np.stack(masks).shape == (3, 50, 90) and masks[0].dtype == bool
    assert np.array_equal(masks, expected) and np.array_equal(told, scores)


def test_sam_takes_a_click_or_a_box_alone(sam: Sam) -> None:
    box, none = np.array([5.0, 5.0, 40.0, 40.0]), np.empty((0, 2))
    assert np.stack(sam.masks(photo(64, 48), none, np.empty(0), box)[0]).shape == (3, 64, 48)
    assert np.stack(sam.masks(photo(64, 48), CLICK, LABEL, None)[0]).shape == (3, 64, 48)
    with pytest.raises(ValueError, match="a point or a box"):
        sam.masks(photo(64, 48), none, np.empty(0), None)
    with pytest.raises(PhotoError, match="too long and thin"):
        sam.masks(photo(1, 5000), CLICK, LABEL, None)


def test_sam_encodes_a_photo_once_and_never_takes_one_for_another(sam: Sam, sam_folder: Path) -> None:
    encoded = []
    sam.network.image_encoder.register_forward_hook(lambda *_: encoded.append(1))
    first, second = photo(64, 64), photo(64, 64, seed=1)
    for click in (CLICK, CLICK + 5):
        sam.masks(first, click, LABEL, None)
    sam.masks(first.copy(), CLICK, LABEL, None)
    assert len(encoded) == 1
    first[:] = second  # the same array with other pixels is another photo
    masks, _ = sam.masks(first, CLICK, LABEL, None)
    assert len(encoded) == 2
    assert np.array_equal(masks, load_sam_folder(sam_folder, "cpu").sam.masks(second, CLICK, LABEL, None)[0])


def test_sam_everywhere_equals_sam_click_by_click(sam: Sam, sam_folder: Path) -> None:
    """On its own coarse grid, of which only the part with the photo is given; stability as SAM's authors define it."""
    from segment_anything.utils.amg import calculate_stability_score

    image = photo(100, 200)
    predictor = predictor_of(sam_folder, image)
    segments = sam.segment_everything(image, grid=9)
    assert segments.masks.shape == (243, 32, 64) and segments.masks.dtype == bool
    assert np.ptp(segments.stability) > 0
    for number, expected in ((0, [100 / 9, 50 / 9]), (9 * 4 + 7, [1500 / 9, 50]), (80, [1700 / 9, 850 / 9])):
        here = slice(3 * number, 3 * number + 3)
        assert np.allclose(segments.clicks[here], expected)
        _, scores, logits = predictor.predict(segments.clicks[here][:1], LABEL)
        logits = torch.as_tensor(logits[:, :32])
        assert np.allclose(segments.scores[here], scores, atol=1e-5)
        assert (segments.masks[here] == (logits > 0).numpy()).mean() > 0.999
        assert np.allclose(segments.stability[here], calculate_stability_score(logits, 0, 1), atol=0.01)
    with pytest.raises(PhotoError, match="too long and thin"):
        sam.segment_everything(photo(1, 5000), grid=2)


def test_clipseg_gives_what_transformers_gives(clipseg: ClipSeg, clipseg_folder: Path) -> None:
    from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor

    network = CLIPSegForImageSegmentation.from_pretrained(clipseg_folder).eval()
    processor = CLIPSegProcessor.from_pretrained(clipseg_folder)
    image = photo(64, 64)
    inputs = processor(text=["a car"], images=[Image.fromarray(image)], return_tensors="pt")
    with torch.no_grad():
        expected = network(**inputs).logits.sigmoid().reshape(64, 64).numpy()
    heat = clipseg.heatmaps(image, ["a car"])
    assert heat.dtype == np.float32 and np.ptp(heat) > 0
    assert np.array_equal(heat[0], expected)


def test_clipseg_is_read_from_a_pickle_as_from_safetensors(
    clipseg: ClipSeg, clipseg_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "published"
    shutil.copytree(clipseg_folder, folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    image = photo(64, 64)
    assert np.allclose(load_clipseg(folder, "cpu").heatmaps(image, ["a"]), clipseg.heatmaps(image, ["a"]), atol=1e-5)


def test_clipseg_without_all_its_tensors_is_refused(clipseg_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(clipseg_folder, folder)
    state = load_file(folder / "model.safetensors")
    del state["decoder.film_mul.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SetupError, match=r"lacks tensors: decoder\.film_mul\.weight"):
        load_clipseg(folder, "cpu")


def test_clipseg_sees_a_photo_that_is_not_square_undistorted(clipseg: ClipSeg) -> None:
    """As a square of the photo and the mean colour, of which the part with the photo is given back."""
    image = photo(32, 64)
    square = np.full((64, 64, 3), np.rint(0.5 * 255), np.uint8)
    square[:32] = image
    heat = clipseg.heatmaps(image, ["a car"])
    assert np.array_equal(heat, clipseg.heatmaps(square, ["a car"])[:, :32])
    for height, width in ((100, 37), (1, 300), (200, 2)):
        heat = clipseg.heatmaps(photo(height, width), ["a car"])
        assert heat.shape == (1, height, width) and heat.min() >= 0 and heat.max() <= 1


@pytest.mark.parametrize("upright", [False, True])
def test_clipseg_looks_at_a_panorama_in_squares_and_blends_them(clipseg: ClipSeg, upright: bool) -> None:
    """Five overlapping squares; between the middles of two, the heat passes from one to the other."""
    turn = (lambda array: array.swapaxes(0, 1).copy()) if upright else (lambda array: array)
    image = photo(40, 120)
    heat = turn(clipseg.heatmaps(turn(image), ["a car"])[0])
    first, second, _, _, last = (
        turn(clipseg.heatmaps(turn(image[:, x : x + 40].copy()), ["a car"])[0]) for x in range(0, 81, 20)
    )
    assert np.array_equal(heat[:, 0], first[:, 0]) and np.array_equal(heat[:, -1], last[:, -1])
    assert np.allclose(heat[:, 20], (first[:, 20] * 19.5 + second[:, 0] * 0.5) / 20, atol=1e-6)
    assert np.allclose(heat[:, 29], (first[:, 29] * 10.5 + second[:, 9] * 9.5) / 20, atol=1e-6)
    assert np.allclose(heat[:, 39], (first[:, 39] * 0.5 + second[:, 19] * 19.5) / 20, atol=1e-6)


def test_clipseg_takes_few_looks_at_however_long_a_photo(clipseg: ClipSeg) -> None:
    looks = []
    clipseg._network.clip.vision_model.register_forward_hook(lambda *_: looks.append(1))
    for shape, count in (((40, 80), 1), ((40, 90), 3), ((40, 120), 5), ((1, 3000), 15)):
        heat = clipseg.heatmaps(photo(*shape), ["a car", "a horse"])
        assert heat.shape == (2, *shape) and heat.min() >= 0 and heat.max() <= 1
        assert len(looks) == count
        looks.clear()


def test_clipseg_phrases_share_one_look_and_nothing_else(clipseg: ClipSeg) -> None:
    looks = []
    clipseg._network.clip.vision_model.register_forward_hook(lambda *_: looks.append(1))
    image = photo(40, 60)
    together = clipseg.heatmaps(image, ["a car", "a very much longer phrase", ""])
    assert np.array_equal(together[0], clipseg.heatmaps(image, ["a car"])[0])
    assert not np.array_equal(together[0], together[1])
    assert clipseg.heatmaps(image, []).shape == (0, 40, 60)
    assert len(looks) == 1


@pytest.mark.parametrize("kind", ["sam", "clipseg"])
def test_files_that_hold_something_else_are_refused(tmp_path: Path, kind: str) -> None:
    folder, file = tmp_path / "empty", tmp_path / "sam_vit_b.pth"
    folder.mkdir()
    torch.save({"some": torch.zeros(2)}, file)
    for path in (folder, file)[: 2 if kind == "sam" else 1]:
        with pytest.raises(SetupError, match=str(path)):
            getattr(Models(ModelNames(**{kind: str(path)}), Memory(), device="cpu"), kind)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"image_encoder.pos_embed": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(SetupError, match=r"evil\.pth: cannot be read as SAM weights"):
        load_sam(tmp_path / "evil.pth", "cpu")
    assert not (tmp_path / "ran").exists()


def test_a_small_sam_looks_again_at_what_it_found() -> None:
    """A SAM of 10 x 10 blocks finds a disc more exactly when it sees it close up."""
    rows, columns = np.ogrid[:240, :320]
    disc = np.hypot(rows - 120, columns - 200) < 30
    image = np.repeat(disc[..., None], 3, axis=2).astype(np.uint8) * 255

    class Blocky:
        def masks(self, image, points, labels, box, is_crop=False):
            bright = np.asarray(Image.fromarray(image[..., 0]).resize((10, 10), Image.Resampling.BOX)) > 127
            mask = np.asarray(Image.fromarray(bright).resize(image.shape[1::-1], Image.Resampling.NEAREST))
            return np.stack([mask] * 3), np.ones(3)

    click, label = np.array([[200.0, 120.0]]), np.array([1])
    once, twice = (sam.masks(image, click, label, None)[0][0] for sam in (Blocky(), TwoPassSam(Blocky())))
    overlap = [(mask & disc).sum() / (mask | disc).sum() for mask in (once, twice)]
    assert twice.shape == disc.shape and overlap[1] > overlap[0] + 0.1


def test_an_embedding_that_was_kept_gives_the_same_masks_without_encoding(sam_folder: Path) -> None:
    kept: dict[str, np.ndarray] = {}

    def keep(resized, compute):
        key = resized.tobytes()
        if key not in kept:
            kept[key] = compute()
        return kept[key]

    encoded = []
    first, later = (load_sam_folder(sam_folder, "cpu", keep).sam for _ in range(2))
    later.network.image_encoder.register_forward_hook(lambda *_: encoded.append(1))
    first.embed(photo(64, 80))
    (embedding,) = kept.values()
    assert embedding.dtype == np.float16
    masks, scores = later.masks(photo(64, 80), CLICK, LABEL, None)
    fresh = load_sam_folder(sam_folder, "cpu").sam.masks(photo(64, 80), CLICK, LABEL, None)
    assert not encoded and np.array_equal(masks, fresh[0]) and np.array_equal(scores, fresh[1])
    later.masks(photo(30, 30), np.array([[5.0, 5.0]]), LABEL, None, is_crop=True)
    assert len(kept) == 1 and len(encoded) == 1
