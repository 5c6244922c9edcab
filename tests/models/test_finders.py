"""Models that find phrases: each answers in its published layout, and other folders are refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from darkroom.errors import SetupError
from darkroom.models import Memory, ModelNames, Models
from darkroom.models.finder_info import class_problem, known_classes
from darkroom.models.finders import load_finder
from support.tiny_finders import (
    BoxFiller,
    write_d_fine,
    write_detr,
    write_grounding_dino,
    write_owlv2,
    write_rt_detr_v2,
    write_sam3,
    write_yolos,
)

PHOTO = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
WRITERS = pytest.mark.parametrize(
    "write", [write_sam3, write_owlv2, write_grounding_dino], ids=lambda one: one.__name__
)
BY_CLASS = pytest.mark.parametrize(
    "write", [write_rt_detr_v2, write_d_fine, write_yolos, write_detr], ids=lambda one: one.__name__
)


@WRITERS
def test_objects_come_with_scores_and_masks_of_the_photos_size(write: Callable, tmp_path: Path) -> None:
    find = load_finder(write(tmp_path / "model"), "cpu", BoxFiller, nullcontext())
    both, cars, dogs = (find(PHOTO, phrases) for phrases in (["a car", "a dog"], ["a car"], ["a dog"]))
    assert len(cars.scores) and (np.diff(both.scores) <= 0).all()
    assert ((both.scores > 0) & (both.scores <= 1)).all()
    assert np.array_equal(cars.scores, find(PHOTO, ["a car"]).scores)
    assert both.scores[0] == max(cars.scores[0], dogs.scores[0])
    for number in range(len(cars.scores)):
        mask = cars.mask(number)
        assert mask.shape == (60, 90) and mask.dtype == bool
    strict = both.at_least(float(both.scores[0]), 5)
    assert 1 <= len(strict.scores) <= 5 and (strict.scores == both.scores[0]).all()


def test_sam3_encodes_a_photo_once_for_all_phrases(tmp_path: Path) -> None:
    find = load_finder(write_sam3(tmp_path / "model"), "cpu", BoxFiller, nullcontext())
    encoder, calls = find._network.vision_encoder, []
    encoder.register_forward_hook(lambda *_: calls.append(1))
    find(PHOTO, ["a car", "a dog"])
    find(PHOTO, ["a house"])
    assert len(calls) == 1


@BY_CLASS
def test_a_detector_finds_the_classes_that_it_knows_and_no_others(write: Callable, tmp_path: Path) -> None:
    find = load_finder(write(tmp_path / "model"), "cpu", BoxFiller, nullcontext())
    calls: list[int] = []
    find._boxes._network.register_forward_hook(lambda *_: calls.append(1))
    every = find(PHOTO, ["face", "hand", "left foot"])
    assert len(calls) == 1 and len(every.scores) and (np.diff(every.scores) <= 0).all()
    assert every.mask(0).shape == (60, 90) and every.mask(0).any()
    alone = [find(PHOTO, [phrase]) for phrase in ("a face", "the HAND", "Left  foot")]
    assert max(float(one.scores[0]) for one in alone if len(one.scores)) == every.scores[0]
    assert sum(len(one.scores) for one in alone) >= len(every.scores)  # boxes of two classes may be one object
    assert not len(find(PHOTO, ["a nose"]).scores)


def test_a_class_that_a_detector_lacks_is_named_before_anything_is_loaded(tmp_path: Path) -> None:
    folder = write_yolos(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    known = known_classes(folder)
    assert class_problem(known, "A  face") is class_problem(known, "left foot") is None
    assert class_problem(known, "a fase") == "knows no class 'a fase'; did you mean 'face'?"
    assert class_problem(known, "zebra") == "knows no class 'zebra'; valid: face, hand, left foot"
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {str(number): f"thing {number}" for number in range(365)}
    (folder / "config.json").write_text(json.dumps(config))
    assert str(class_problem(known_classes(folder), "zebra")).endswith("thing 10, thing 11 and 353 more")
    for wrong in (None, [], {}, {"0": 1}, {"zero": "face"}, {"0": " "}):
        (folder / "config.json").write_text(json.dumps({**config, "id2label": wrong}))
        with pytest.raises(SetupError, match="should name the detector's classes in id2label"):
            known_classes(folder)
    for text in ("[]", "{", "[" * 100_000, '{"model_type": ["yolos"]}'):
        (folder / "config.json").write_text(text)
        with pytest.raises(SetupError, match=r"no config\.json|holds"):
            known_classes(folder)


@pytest.mark.fault(
    "Masks",
    "a detector whose files name a backbone of the Hub, or would enlarge photos to a terabyte",
    "refused in one line; nothing is asked for and nothing is enlarged",
)
def test_a_detector_that_would_ask_the_hub_or_take_all_memory_is_refused(tmp_path: Path) -> None:
    folder = write_detr(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    for wrong in ({"backbone": "owner/repository"}, {"backbone_config": {"model_type": "timm_backbone"}}):
        (folder / "config.json").write_text(json.dumps({**config, **wrong}))
        with pytest.raises(SetupError, match=r"only names its backbone"):
            Models(ModelNames(find=str(folder), sam="miniature"), Memory(), "cpu").require(["find"])
    (folder / "config.json").write_text(json.dumps(config))
    processor = json.loads((folder / "preprocessor_config.json").read_text())
    for size in ("size", "pad_size"):
        large = {**processor, size: {"height": 600_000, "width": 600_000}}
        (folder / "preprocessor_config.json").write_text(json.dumps(large))
        with pytest.raises(SetupError, match=r"photos of 600000 px, more than 4096"):
            load_finder(folder, "cpu", BoxFiller, nullcontext())


@pytest.mark.fault(
    "Masks",
    "a model's folder that names Python code of its own, with somebody at the terminal who says yes",
    "one line; the code does not run",
)
def test_a_folders_own_code_never_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the main thread: elsewhere transformers cannot ask, and gives up."""
    folder = write_yolos(tmp_path / "model")
    settings = folder / "preprocessor_config.json"
    named = {"image_processor_type": "Evil", "auto_map": {"AutoImageProcessor": "evil.Evil"}}
    settings.write_text(json.dumps({**json.loads(settings.read_text()), **named}))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(SetupError) as caught:
        load_finder(folder, "cpu", BoxFiller, nullcontext())
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "ran").exists()


def test_settings_that_do_not_work_are_no_fault_of_a_photo(tmp_path: Path) -> None:
    folder = write_yolos(tmp_path / "model")
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps({**settings, "size": {"shortest_edge": 64}}))
    with pytest.raises(SetupError, match=r"preprocessor_config\.json of the model does not work"):
        load_finder(folder, "cpu", BoxFiller, nullcontext())(PHOTO, ["face"])


def test_weights_that_do_not_fit_the_classes_are_refused(tmp_path: Path) -> None:
    folder = write_yolos(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "id2label": {"0": "face"}}))
    with pytest.raises(SetupError) as caught:
        load_finder(folder, "cpu", BoxFiller, nullcontext())
    assert len(str(caught.value).splitlines()) == 1
    (folder / "model.safetensors").write_bytes(b"\xff" * 99)
    with pytest.raises(SetupError, match=r"model\.safetensors: cannot be read as safetensors"):
        load_finder(folder, "cpu", BoxFiller, nullcontext())


def test_a_detectors_files_are_a_part_of_keys_and_records(tmp_path: Path) -> None:
    folder = write_yolos(tmp_path / "model")
    models = Models(ModelNames(find=str(folder), sam="miniature"), Memory(), "cpu")
    before = models.identity("find")
    assert before["weights"].startswith("sha256:") and before["sam"] == models.identity("sam")
    assert models.describe(["find"])["weights"]["find"]["weights"] == before["weights"]
    other = write_detr(tmp_path / "other")
    assert Models(ModelNames(find=str(other), sam="miniature"), Memory(), "cpu").identity("find") != before


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"no config\.json"):
        load_finder(tmp_path, "cpu", BoxFiller, nullcontext())
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(
        SetupError,
        match=r"'bert'; models\.find takes d_fine, detr, grounding-dino, owlv2, rt_detr, rt_detr_v2, sam3, yolos",
    ):
        load_finder(tmp_path, "cpu", BoxFiller, nullcontext())
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "owlv2"}))
    with pytest.raises(SetupError, match="cannot be read as owlv2 weights"):
        load_finder(tmp_path, "cpu", BoxFiller, nullcontext())
