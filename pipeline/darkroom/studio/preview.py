"""Masks to look at: the stages of a draft applied to one photo, and remembered as long as nothing changes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from darkroom.config.stage_defaults import MISSING, with_defaults
from darkroom.config.stage_spec import StageSpec
from darkroom.errors import PhotoError, Stopped
from darkroom.imaging.edit import Edit
from darkroom.imaging.png import decode_png
from darkroom.models import Models
from darkroom.planning.cache_keys import Keys
from darkroom.stages import STAGES, Stage
from darkroom.stages.markers import PathField
from darkroom.store import Store
from darkroom.studio.photos import OpenPhoto

_REMEMBERED = 24  # edits


@dataclass(frozen=True)
class Look:
    """A mask to look at.

    Attributes:
        edit: after the stage; its mask is there.
        scale: size of its arrays ÷ size of the photo.
        flag: why a gate flags or stops the photo.
    """

    edit: Edit
    scale: float
    flag: str | None


class Preview:
    """Applies mask stages, in the worker's thread.

    A photo goes through the very stages of a run; only the copy that it goes through may be a reduced one. What
    follows a repaint is made from the repainted picture, which must be in the store.

    Args:
        models: for the stages.
        store: has the pictures of repaints.
    """

    def __init__(self, models: Models, store: Store) -> None:
        self._models = models
        self._store = store
        self._keys = Keys(models)
        self._edits: OrderedDict[str, Edit] = OrderedDict()

    def look(self, photo: OpenPhoto, stages: Mapping[str, Mapping[str, Any]], until: str, exact: bool) -> Look:
        """The mask after a stage.

        Args:
            photo: the photo.
            stages: of its recipe (`Draft.recipe_for`).
            until: the stage.
            exact: at the photo's size; else from a reduced copy if the photo is large and the stages allow it.

        Raises:
            PhotoError: a stage cannot work on this photo, or there is no mask yet.
        """
        specs = list(_until(stages, until))
        built = [(spec, _built(spec, photo)) for spec in specs]
        exact = exact or photo.scale == 1 or not all(_is_scalable(stage) for _, stage in built)
        edit, flag = self._apply(photo, built, exact)
        edit.need_mask()
        return Look(edit, 1.0 if exact else photo.scale, flag)

    def prepare(self, photo: OpenPhoto, stages: Mapping[str, Mapping[str, Any]]) -> None:
        """Encode a photo for SAM, if a stage uses it, so that the first click is answered as fast as the next."""
        if any("sam" in STAGES[stage["op"]].models_of(stage) for stage in stages.values()):
            self._embed(photo)

    def _embed(self, photo: OpenPhoto) -> None:
        copies = [] if photo.scale == 1 else [photo.quick.flattened]
        self._models.sam.embed(photo.edit.flattened, copies)

    def _apply(self, photo: OpenPhoto, built: list[tuple[StageSpec, Stage]], exact: bool) -> tuple[Edit, str | None]:
        edit, flag = photo.edit if exact else photo.quick, None
        key, above = self._keys.photo(photo.decoded.digest) + ("" if exact else " reduced"), dict[str, str]()
        for spec, stage in built:
            if "sam" in stage.models() and edit.repainted is None:
                self._embed(photo)  # so that the reduced copy shares the photo's embedding
            if stage.is_gate:
                flag = flag or self._flag(spec.name, stage, edit)
                continue
            key = self._keys.step(spec.op, stage, key, above, photo.photo.name)
            above[spec.name] = key
            shown = stage if exact else stage.at_scale(photo.scale)
            edit = self._recall(key) or self._remember(key, self._after(edit, spec, shown, key))
        return edit, flag

    def _after(self, edit: Edit, spec: StageSpec, stage: Stage, key: str) -> Edit:
        if stage.repaints:
            return self._repainted(edit, spec, key)
        edit = stage.apply(edit, self._models)
        if edit.mask is None:
            return edit
        masks = {**edit.masks, spec.name: edit.mask}
        return replace(edit, masks=masks, confidences={**edit.confidences, spec.name: edit.confidence})

    def _repainted(self, edit: Edit, spec: StageSpec, key: str) -> Edit:
        result = self._store.get(key)
        if result is None or not (result.image and result.repainted):
            raise PhotoError(f"paint first: what follows `{spec.name}` is made from its picture")
        image = decode_png(self._store.read_blob(result.image), "RGB")
        repainted = decode_png(self._store.read_blob(result.repainted), "L")
        return replace(edit, image=image, repainted=repainted, layers=None)

    def _flag(self, name: str, gate: Stage, edit: Edit) -> str | None:
        try:
            return gate.check(name, gate.apply(edit, self._models).figures, None)
        except Stopped as stopped:
            return str(stopped)

    def _recall(self, key: str) -> Edit | None:
        if key in self._edits:
            self._edits.move_to_end(key)
        return self._edits.get(key)

    def _remember(self, key: str, edit: Edit) -> Edit:
        self._edits[key] = edit
        while len(self._edits) > _REMEMBERED:
            self._edits.popitem(last=False)
        return edit


def _until(stages: Mapping[str, Mapping[str, Any]], until: str) -> Iterator[StageSpec]:
    """The stages that lead to a mask: those up to `until`; a repaint there shows the mask that it gets."""
    for name, given in stages.items():
        last = name == until
        if STAGES[given["op"]].frames or (last and STAGES[given["op"]].repaints):
            return
        complete = with_defaults(name, given)  # as a run gets it: a default that is left out makes another key
        parameters = {key: value for key, value in complete.items() if key != "op" and value != MISSING}
        yield StageSpec(name, given["op"], parameters)
        if last:
            return


def _built(spec: StageSpec, photo: OpenPhoto) -> Stage:
    """The stage for a photo; of several variants the first. Raises `PhotoError` for a wrong value."""
    try:
        digest = photo.photo.digest() if spec.needs_digest else None
        return spec.variants(photo.photo.columns(spec.columns), digest)[0]
    except ValidationError as error:
        raise PhotoError(f"{spec.name}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None


def _is_scalable(stage: Stage) -> bool:
    """Whether a reduced copy gives about the reduced mask: not with repaints, or with files of the photo's size."""
    return not stage.repaints and not any(getattr(stage, name) for name in stage.fields_with(PathField))
