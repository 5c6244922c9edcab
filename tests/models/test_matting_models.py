"""`models.matting`: closed-form matting, and ViTMatte from a checkpoint in its published layout."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from darkroom.errors import SetupError
from darkroom.imaging.masks import to_uint8
from darkroom.imaging.matting import reduced
from darkroom.models import Memory, ModelNames, Models
from darkroom.stages.matte import Matte
from miniature.edge_scenes import edge_scene, mask_as_sam_makes_it
from support.fake_models import edit_of
from support.tiny_matting import write_vitmatte


def models(matting: str) -> Models:
    return Models(ModelNames(matting=matting), Memory(), "cpu")


def disc() -> np.ndarray:
    rows, columns = np.ogrid[:90, :130]
    return ((np.hypot(rows - 45, columns - 60) < 30) * 255).astype(np.uint8)


@pytest.mark.slow
def test_closed_form_has_little_more_than_half_the_error_of_the_mask_around_fur(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # pymatting compiles for 40 s at its first import; the alpha is the same
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    scene = edge_scene("fur", 500)
    photo, alpha = scene.photo[160:420, 80:340], scene.alpha[160:420, 80:340]
    mask = mask_as_sam_makes_it(scene.alpha, 500)[160:420, 80:340]
    edit = replace(edit_of(*mask.shape, mask), original=photo, image=photo)
    found = Matte(band=0.04).apply(edit, models("closed_form"))
    errors = [np.abs(each / 255.0 - alpha)[(alpha > 0) & (alpha < 1)].mean() for each in (found.mask, mask)]
    assert errors[0] < 0.6 * errors[1]


def test_vitmatte_finds_alpha_in_the_band_alone_and_gives_the_networks_own_answer(tmp_path: Path) -> None:
    mask = disc()
    loaded = models(str(write_vitmatte(tmp_path / "weights")))
    found = Matte(band=0.05).apply(edit_of(*mask.shape, mask), loaded)
    band = (found.mask > 0) & (found.mask < 255)
    distance = np.abs(np.hypot(*np.meshgrid(np.arange(130) - 60, np.arange(90) - 45)) - 30)
    assert band.any() and distance[band].max() < 0.05 * 130 + 2
    work = reduced(edit_of(90, 130).image, mask, 0.05)
    trimap = np.where(work.unknown, 128, mask).astype(np.uint8)
    answer = loaded.matting.alpha(edit_of(90, 130).image, trimap)
    assert answer.shape == (90, 130) and np.ptp(answer[work.unknown]) > 0
    np.testing.assert_array_equal(found.mask, np.where(work.unknown, to_uint8(answer), mask))


def test_weights_that_are_missing_or_of_another_kind_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"vitmatte-small.*103 MB.*hf download"):
        models("hustvl/vitmatte-small-composition-1k").require(["matting"])
    folder = write_vitmatte(tmp_path / "weights")
    (folder / "config.json").write_text(json.dumps({"model_type": "clipseg"}))
    for wrong in (folder, tmp_path):
        with pytest.raises(SetupError, match="ViTMatte"):
            _ = models(str(wrong)).matting


def test_results_are_kept_apart(tmp_path: Path) -> None:
    folder = write_vitmatte(tmp_path / "weights")
    identities = [models(name).identity("matting") for name in ("guided", "closed_form", str(folder))]
    assert len({str(each) for each in identities}) == 3
    assert models("guided").matting is None
