"""`inpaint: {reference: ...}`: the pictures that the model gets, and what they are part of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from darkroom.config.recipe import parse
from darkroom.errors import PhotoError
from darkroom.planning.cache_keys import Keys
from darkroom.stages.inpaint import Inpaint
from support.fake_models import FakeModels, edit_of, stage_models


def picture(path: Path, colour: tuple[int, ...], mode: str = "RGB") -> str:
    Image.new(mode, (9, 6), colour).save(path)
    return str(path)


def masked() -> np.ndarray:
    return np.pad(np.full((20, 20), 255, np.uint8), 20)


def test_the_model_gets_the_pictures_over_white(tmp_path: Path) -> None:
    models = stage_models()
    files = [picture(tmp_path / "red.png", (255, 0, 0)), picture(tmp_path / "clear.png", (9, 9, 9, 0), "RGBA")]
    Inpaint(prompt="shoe", reference=files, reference_weight=0.8).apply(edit_of(60, 60, masked()), models)
    Inpaint(prompt="shoe", reference=files, reference_weight=0).apply(edit_of(60, 60, masked()), models)
    ((request,), (without,)) = models.diffusion.calls
    assert [each[0, 0].tolist() for each in request.references] == [[255, 0, 0], [255, 255, 255]]
    assert request.reference_weight == 0.8 and not without.references


def test_the_key_has_the_content_and_not_the_name(tmp_path: Path) -> None:
    one, same = (picture(tmp_path / name, (1, 2, 3)) for name in ("a.png", "b.png"))
    other, keys = picture(tmp_path / "c.png", (4, 5, 6)), Keys(FakeModels())

    def key(**parameters: object) -> str:
        return keys.step("inpaint", Inpaint(prompt="shoe", **parameters), "parent", {}, "photo.png")

    assert key(reference=one) == key(reference=same)
    assert key(reference=[one, other]) != key(reference=[other, one])  # as a batch is computed in its order
    different = [{}, {"reference": one}, {"reference": other}, {"reference": [one, one]}]
    assert len({key(**each) for each in different}) == len(different)
    assert key(reference=one) != key(reference=one, reference_weight=0.5)


def test_only_recipes_with_a_reference_need_the_adapter(tmp_path: Path) -> None:
    def needs(**parameters: object) -> list[str]:
        stages = {"mask": {"op": "mask_file", "alpha": True}, "inpaint": {"prompt": "shoe", **parameters}}
        return parse({"name": "t", "dataset": {"images": str(tmp_path)}, "stages": stages}, "t").models()

    assert needs() == ["inpaint"]
    assert needs(reference="a.png") == needs(reference=["a.png", "b.png"]) == ["inpaint", "reference"]


def test_a_damaged_reference_costs_its_photo(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(PhotoError, match=r"the reference picture .*bad\.png"):
        Inpaint(prompt="shoe", reference=str(tmp_path / "bad.png")).apply(edit_of(60, 60, masked()), stage_models())
