"""SAM 2.1 and EdgeTAM answer like transformers itself, in their published layouts; other folders are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Sam2Processor

from darkroom.errors import SetupError
from darkroom.models import Memory, ModelNames, Models, sam2
from darkroom.models.sam2 import Sam2, kind_of, load_sam2
from darkroom.models.weights import find_weights
from support.checkpoint_files import into_cache
from support.tiny_sam2 import SIDE, write_edgetam_video, write_sam2, write_sam2_video

WRITERS = {"sam2": write_sam2, "sam2_video": write_sam2_video, "edgetam_video": write_edgetam_video}
PHOTO = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
CLICKS, LABELS, BOX = np.array([[30.0, 20.0], [70.5, 44.0]]), np.array([1, 0]), np.array([10.0, 5.0, 80.0, 50.0])
NONE = np.empty((0, 2)), np.empty(0, int)


@pytest.fixture(scope="module", params=list(WRITERS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return WRITERS[request.param](tmp_path_factory.mktemp(request.param) / "model")


@pytest.fixture
def made(folder: Path) -> Callable[..., Sam2]:
    kind = sam2.KINDS[json.loads((folder / "config.json").read_text())["model_type"]]
    return lambda keep=None: load_sam2(folder, kind, "cpu", keep)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Sam2:
    return load_sam2(write_sam2(tmp_path_factory.mktemp("plain") / "model"), "sam2", "cpu")


@pytest.mark.parametrize(("points", "labels", "box"), [(CLICKS, LABELS, None), (*NONE, BOX), (CLICKS, LABELS, BOX)])
def test_masks_are_those_of_transformers(made: Callable[..., Sam2], points, labels, box) -> None:
    sam = made()
    processor = Sam2Processor(sam._processor)
    prompt = {"input_points": [[points.tolist()]], "input_labels": [[labels.tolist()]]} if len(points) else {}
    prompt |= {} if box is None else {"input_boxes": [[box.tolist()]]}
    inputs = processor(images=PHOTO, return_tensors="pt", **prompt)
    with torch.inference_mode():
        maps = [each.half().float() for each in sam.network.get_image_embeddings(inputs.pop("pixel_values"))]
        size = inputs.pop("original_sizes")
        outputs = sam.network(image_embeddings=maps, **inputs)
    candidates, scores = sam.masks(PHOTO, points, labels, box)
    masks = np.stack(candidates)
    theirs = processor.post_process_masks(outputs.pred_masks, size)[0][0].numpy()
    assert (masks == theirs).mean() > 0.999  # they scale coordinates in fp32
    assert np.allclose(scores, outputs.iou_scores[0, 0].numpy(), atol=1e-5)
    assert scores.dtype == np.float32 and masks.any() and not masks.all()


def test_an_embedding_that_was_kept_gives_the_same_masks(made: Callable[..., Sam2]) -> None:
    shelf: dict[bytes, np.ndarray] = {}

    def keep(pixels: np.ndarray, compute: Callable[[], np.ndarray]) -> np.ndarray:
        if (key := pixels.tobytes()) not in shelf:
            shelf[key] = compute()
        return shelf[key]

    first, second = made(keep), made(keep)
    computed = [made().masks(PHOTO, CLICKS, LABELS, BOX), first.masks(PHOTO, CLICKS, LABELS, BOX)]
    second.network.get_image_embeddings = None  # would fail
    for masks, scores in [*computed, second.masks(PHOTO, CLICKS, LABELS, BOX)]:
        assert np.array_equal(masks, computed[0][0]) and np.array_equal(scores, computed[0][1])
    (kept,) = shelf.values()
    assert kept.dtype == np.float16
    first.masks(PHOTO[:30], CLICKS[:1], LABELS[:1], None, is_crop=True)
    assert len(shelf) == 1, "crops are not kept"


def test_reduced_copies_share_the_photos_encoding(made: Callable[..., Sam2]) -> None:
    sam, calls = made(), []
    sam.network.vision_encoder.register_forward_hook(lambda *_: calls.append(1))
    copy = np.ascontiguousarray(PHOTO[::2, ::2])
    sam.embed(PHOTO, [copy])
    masks, scores = sam.masks(copy, CLICKS / 2, LABELS, BOX / 2)
    large, of_large = sam.masks(PHOTO, CLICKS, LABELS, BOX)
    assert len(calls) == 1 and np.stack(masks).shape == (3, 30, 45)
    assert np.allclose(scores, of_large, atol=1e-5)
    assert np.allclose(np.mean(masks, axis=(1, 2)), np.mean(large, axis=(1, 2)), atol=0.05)


def test_several_threads_get_what_one_gets(made: Callable[..., Sam2]) -> None:
    photos = [np.roll(PHOTO, 7 * number, 1) for number in range(6)]
    alone = [made().masks(photo, CLICKS, LABELS, BOX) for photo in photos]
    shared = made()
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda photo: shared.masks(photo, CLICKS, LABELS, BOX), photos * 2))
    for number, (masks, scores) in enumerate(together):
        assert np.array_equal(masks, alone[number % 6][0]) and np.array_equal(scores, alone[number % 6][1])


def test_a_grid_of_clicks_gives_what_its_clicks_give(made: Callable[..., Sam2]) -> None:
    sam = made()
    found = sam.segment_everything(PHOTO, 5)  # two batches
    assert found.masks.shape == (75, 21, 32) and found.clicks.shape == (75, 2)
    assert ((found.stability >= 0) & (found.stability <= 1)).all() and found.stability.max() > 0
    for place in (0, 31, 74):
        masks, scores = sam.masks(PHOTO, found.clicks[place : place + 1], np.ones(1, int), None)
        assert found.scores[place] == pytest.approx(scores[place % 3], abs=1e-4)
        assert found.masks[place].mean() == pytest.approx(masks[place % 3].mean(), abs=0.08)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.sampled_from([1, 2, 3, 50, 3000]), st.booleans(), st.data())
def test_masks_have_the_photos_size_whatever_its_shape(
    plain: Sam2, short: int, long: int, tall: bool, data: st.DataObject
) -> None:
    height, width = (long, short) if tall else (short, long)
    photo = np.random.default_rng(short).integers(0, 256, (height, width, 3), np.uint8)
    click = np.array([[data.draw(st.floats(0, width)), data.draw(st.floats(0, height))]])
    masks, scores = plain.masks(photo, click, np.ones(1, int), None)
    assert np.stack(masks).shape == (3, height, width) and masks[0].dtype == bool and np.isfinite(scores).all()
    found = plain.segment_everything(photo, 1)
    assert max(found.masks.shape[1:]) == SIDE // 4 and min(found.masks.shape[1:]) >= 1


def test_models_take_a_folder_or_a_repository_and_know_its_libraries(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"^facebook/sam2: weights not in .*: hf download facebook/sam2 --include"):
        find_weights("sam", "facebook/sam2")
    models = Models(ModelNames(sam=str(write_sam2_video(tmp_path / "video"))), Memory(threads=1), "cpu")
    assert set(models.identity("sam")["libraries"]) == {"torch", "torchvision", "transformers"}
    by_path = models.sam.masks(PHOTO, CLICKS, LABELS, None)
    into_cache(cache, "facebook/sam2", tmp_path / "video")
    models = Models(ModelNames(sam="facebook/sam2"), Memory(threads=1), "cpu")
    assert models.identity("sam")["weights"].startswith("facebook/sam2@")
    assert np.array_equal(models.sam.masks(PHOTO, CLICKS, LABELS, None)[0], by_path[0])
    assert "segment-anything" in Models(ModelNames(sam="miniature"), Memory(), "cpu").identity("sam")["libraries"]


def test_other_folders_are_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(config: object, message: str) -> None:
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(SetupError, match=message) as caught:
            Models(ModelNames(sam=str(tmp_path)), Memory(threads=1), "cpu").sam  # noqa: B018
        assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)

    with pytest.raises(SetupError, match=r"no config\.json of a SAM"):
        kind_of(tmp_path)
    refused({"model_type": "bert"}, r"holds 'bert'; models\.sam takes folders of SAM 2\.1 and EdgeTAM")
    refused({"model_type": ["sam2"]}, r"models\.sam takes")
    refused([], r"config\.json: should hold a mapping of settings; got \[\]")
    refused({"model_type": "sam2"}, "cannot be read as sam2 weights")
    monkeypatch.setattr(sam2, "find_spec", lambda name: None)
    refused({"model_type": "edgetam_video"}, r"EdgeTAM needs timm: pip install")


def test_a_folder_that_lacks_tensors_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    write_sam2(tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    tensors = load_file(file)
    del tensors["no_memory_embedding"]
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(SetupError, match="lacks tensors: no_memory_embedding"):
        load_sam2(tmp_path / "model", "sam2", "cpu")
