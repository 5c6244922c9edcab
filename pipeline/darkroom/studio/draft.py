"""The draft: the recipe that is being made, and the clicks on its photos. Every change is saved before it is answered.

outputs/studio/NAME/recipe.yaml        the recipe, which the command line can run at any time
outputs/studio/NAME/photos.jsonl       its manifest: one line for each photo with clicks
outputs/studio/NAME/masks/*.png        what was painted with the brush
outputs/studio/NAME/begun.jsonl        photos with clicks at some stages that wait for others
outputs/studio/NAME/photos-*.jsonl     the manifests of runs, as they were when these began
outputs/studio/NAME/studio.json        where all photos are, and which is shown
outputs/studio/NAME/runs.jsonl         the runs that were started from it
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from darkroom.config.stage_defaults import op_of, with_defaults
from darkroom.config.stage_spec import fill_in
from darkroom.dataset import Dataset, Photo
from darkroom.dataset.columns import BUILT_IN
from darkroom.errors import DarkroomError, RecipeError, suggest
from darkroom.stages import STAGES
from darkroom.studio.brush import is_brush, paintings_in
from darkroom.studio.clicks import Clicks, click_parameters, made_by_clicks
from darkroom.studio.draft_files import MASKS, DraftFiles
from darkroom.studio.recipe_text import Written, columns_of, plain
from darkroom.studio.state import Stages, State

_UNDONE = 100  # changes that can be undone


class Conflict(DarkroomError):
    """Another tab has changed the draft since this one read it."""


class Draft:
    """A recipe in the making.

    Args:
        files: where it is saved.
        name: of the recipe.
        dataset: all photos, as absolute paths.
        photos: the photos of the dataset.
        config: the recipe to begin with: `stages` with all their defaults, `wildcards` and `on_empty`.
    """

    def __init__(
        self, files: DraftFiles, name: str, dataset: Dataset, photos: Sequence[Photo], config: Mapping[str, Any]
    ) -> None:
        self.files, self.name, self.dataset = files, name, dataset
        self._photos = {photo.name: photo for photo in photos}
        self._rest = {key: config[key] for key in ("wildcards", "on_empty") if config.get(key)}
        self._lock = threading.Lock()
        self._past: list[Stages] = []  # before each change that can be undone
        self._last_change = ""
        stages, common, columns = _split(config.get("stages") or {})
        clicks = self._clicks_in(columns)
        start = Path(str((config.get("dataset") or {}).get("manifest") or "")).parent
        self.state = self._with_paintings(State(0, stages, clicks, common), start)

    def change(self, revision: int, make: Callable[[State], State], what: str = "") -> State:
        """Change the draft and save it.

        Args:
            revision: of the state that the change was made for.
            make: the new state from the old one.
            what: names the change; the same again and again, as by a slider, is undone at once.

        Raises:
            Conflict: there is a newer revision.
            RecipeError: there is no such stage or parameter; nothing has changed.
            OutputError: the draft cannot be saved; nothing has changed.
        """
        with self._lock:
            self._check(revision)
            old, new = self.state, replace(make(self.state), revision=revision + 1)
            self.save(new)
            if new.stages != old.stages and not (what and what == self._last_change):
                self._past = [*self._past[1 - _UNDONE :], old.stages]
            self._last_change, self.state = what, new
            return new

    @property
    def can_undo(self) -> bool:
        """Whether a change of the stages can be undone."""
        return bool(self._past)

    def undo(self, revision: int) -> State:
        """Undo the last change of the stages; clicks stay as they are. See `change`."""
        with self._lock:
            self._check(revision)
            if not self._past:
                raise RecipeError("nothing to undo")
            new = replace(self.state, stages=self._past[-1], revision=revision + 1)
            self.save(new)
            self._past, self._last_change, self.state = self._past[:-1], "", new
            return new

    def _check(self, revision: int) -> None:
        if revision != self.state.revision:
            raise Conflict("another tab has changed this recipe")

    def save(self, state: State) -> None:
        """Write the draft's recipe and manifest.

        Raises:
            OutputError: they cannot be written.
            RecipeError: a text in it is no text, such as half of an emoji.
        """
        try:
            json.dumps(state.stages, ensure_ascii=False).encode()  # YAML would write the half as an escape
            self.files.write(self.written(state, self.files.folder, MASKS), self.dataset)
        except UnicodeEncodeError:
            raise RecipeError("a text holds half of a character") from None

    def written(self, state: State, start: Path, masks: str) -> Written:
        """The recipe and its manifest as text files hold them.

        Args:
            state: of the draft.
            start: the folder of the files, where relative paths start.
            masks: the folder of painted masks, as the files name it.
        """
        return Written.of(self.name, self._rest, self.dataset, self._photos, state, (start, masks))

    def recipe_for(self, photo: Photo, state: State) -> dict[str, Any]:
        """The recipe for one photo alone, with its clicks and its manifest columns filled in."""
        clicks = state.from_clicks(photo.name, str(self.files.masks))
        columns = {**{name: f"${{item.{name}}}" for name in BUILT_IN}, **photo.item}  # a run fills the others in
        filled = fill_in(state.stages, columns) if photo.item else state.stages
        stages = {name: stage | clicks.get(name, {}) for name, stage in filled.items()}
        return {"name": self.name, "dataset": {"images": str(photo.path)}, "stages": stages} | self._rest

    def run_recipe(self, state: State, only: Sequence[str] = ()) -> dict[str, Any]:
        """The recipe of a run of all photos, or of some; its manifest is a file of its own, which no change will touch.

        Raises:
            OutputError: the manifest cannot be written.
        """
        written = self.written(state, self.files.folder, str(self.files.masks))
        dataset = plain(self.dataset)
        if written.rows is not None:
            folder = str(self.files.folder / written.dataset["folder"])
            dataset = {"manifest": str(self.files.keep_manifest(written.manifest())), "folder": folder}
        if only:
            dataset["only"] = list(only)
        return {"name": self.name, "dataset": dataset, "stages": written.stages} | self._rest

    def photos_of_run(self, state: State) -> int:
        """The number of photos that a run of all takes: with clicks, those that have what they need."""
        if len(self._photos) == 1 or not any(any(clicks.values()) for clicks in state.clicks.values()):
            return len(self._photos)
        return sum(map(state.takes, self._photos))

    def _clicks_in(self, columns: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, Clicks]]:
        """The clicks that the manifest's columns hold, by photo and stage."""
        found: dict[str, dict[str, Clicks]] = {}
        for photo in self._photos.values():
            for stage, names in columns.items():
                given = {parameter: photo.item.get(column) for parameter, column in names.items()}
                if clicks := Clicks.of(given):
                    found.setdefault(photo.name, {})[stage] = clicks
        return found

    def _with_paintings(self, state: State, start: Path) -> State:
        """The state with the strokes that are in the masks of its `mask_file` stages.

        Args:
            state: as the recipe has it.
            start: the folder where paths in the manifest start.
        """
        stages, common = dict(state.stages), dict(state.common)
        clicks = {photo: dict(made) for photo, made in state.clicks.items()}
        items = {photo.name: photo.item for photo in self._photos.values()}
        for name, stage in stages.items():
            found = paintings_in(stage.get("file"), items, start) if stage["op"] == "mask_file" else {}
            if found:
                stages[name] = {key: value for key, value in stage.items() if key != "file"}
            for photo, painting in found.items():
                made = Clicks(strokes=painting.strokes, size=painting.size)
                (clicks.setdefault(photo, {}) if photo else common)[name] = made
        return replace(state, stages=stages, clicks=clicks, common=common)


def with_clicks(state: State, photo: str, stage: str, clicks: Clicks) -> State:
    """The state with other clicks on a photo."""
    if stage not in state.clicked:
        raise RecipeError(f"stages.{stage}: takes no clicks")
    mine = {**state.clicks.get(photo, {}), stage: clicks}
    return replace(state, clicks={**state.clicks, photo: mine})


def with_parameter(state: State, stage: str, parameter: str, value: Any) -> State:
    """The state with another value of a stage's parameter."""
    op = _stage(state, stage)["op"]
    known = STAGES[op].__pydantic_fields__
    if parameter in click_parameters(op):
        raise RecipeError(f"stages.{stage}.{parameter}: is set by clicks on a photo")
    if parameter not in known:
        raise RecipeError(f"stages.{stage}.{parameter}: unknown key, {suggest(parameter, list(known))}")
    written = {**_stage(state, stage), parameter: value}
    return replace(state, stages={**state.stages, stage: _without_defaults(stage, written)})


def without_parameter(state: State, stage: str, parameter: str) -> State:
    """The state with a parameter's default."""
    written = {key: value for key, value in _stage(state, stage).items() if key != parameter or key == "op"}
    return replace(state, stages={**state.stages, stage: written})


def with_stage(state: State, op: str, before: str | None) -> State:
    """The state with one more stage, before another one or at the end."""
    if op not in STAGES:
        raise RecipeError(f"{op}: unknown op, {suggest(op, list(STAGES))}")
    name = _name_for(state, {"op": op}, op)
    return replace(state, stages=_placed({**state.stages, name: {"op": op}}, name, before))


def without_stage(state: State, stage: str) -> State:
    """The state without a stage. Its clicks are kept, in case it comes back."""
    _stage(state, stage)
    return replace(state, stages={name: given for name, given in state.stages.items() if name != stage})


def with_stage_moved(state: State, stage: str, before: str | None) -> State:
    """The state with a stage in another place: before another one, or at the end."""
    _stage(state, stage)
    return replace(state, stages=_placed(state.stages, stage, before))


def with_brush(state: State, stage: str | None, how: str) -> State:
    """The state with a mask that is painted by hand.

    Args:
        state: of the draft.
        stage: whose mask it changes; None for a mask of its own, in front.
        how: `instead` of that stage; or a `how` of `combine`: `union` adds to the stage's mask, and `difference` takes
            away from it.
    """
    alone: dict[str, Any] = {"op": "mask_file"}
    brush = _name_for(state, alone, "brush")
    if stage is None:
        return replace(state, stages={brush: alone, **state.stages})
    _stage(state, stage)
    if how == "instead":
        return without_stage(replace(state, stages=_placed({**state.stages, brush: alone}, brush, stage)), stage)
    joint = {"op": "combine", "mask": brush} | ({"how": how} if how != "union" else {})
    join = _name_for(state, joint, {"union": "with_brush", "difference": "without_brush"}[how])
    names = list(state.stages)
    following = names[names.index(stage) + 1] if stage != names[-1] else None
    # without strokes on a photo, its mask is one black pixel, which is scaled
    stages = _placed({**state.stages, brush: {**alone, "resize": True}}, brush, stage)
    return replace(state, stages=_placed({**stages, join: joint}, join, following))


def _name_for(state: State, stage: Mapping[str, Any], wanted: str) -> str:
    """The name for a new stage: that of a removed one whose clicks it can take, which are kept, or else a free one."""
    orphans = (
        name
        for clicks in state.clicks.values()
        for name, made in clicks.items()
        if name not in state.stages and bool(made.strokes) == is_brush(stage)
    )
    free = (name for name in (wanted, *(f"{wanted}_{number}" for number in range(2, 1000))) if name not in state.stages)
    return (next(orphans, None) if made_by_clicks(stage) else None) or next(free)


def with_second_pass(state: State, settings: Sequence[Mapping[str, Any]]) -> State:
    """The state that repaints a chosen picture once more.

    The repaint that made the picture keeps its prompt and seed, as single values; a new `inpaint` follows it.

    Args:
        state: of the draft.
        settings: of the picture's stages, as in a journal.
    """
    stages = dict(state.stages)
    for given in settings:
        name = str(given["stage"])
        if name in stages and STAGES[stages[name]["op"]].repaints:
            chosen = {key: given[key] for key in ("prompt", "negative_prompt", "seed") if key in given}
            stages[name] = _without_defaults(name, {**stages[name], **chosen})
    last = next((given for given in reversed(settings) if given["op"] == "inpaint"), None)
    if last is None:
        raise RecipeError("a second pass needs a picture that `inpaint` made")
    names = list(stages)
    following = names.index(str(last["stage"])) + 1 if last["stage"] in stages else len(names)
    before = names[following] if following < len(names) else None
    new = with_stage(replace(state, stages=stages), "inpaint", before)
    added = next(name for name in new.stages if name not in stages)
    return with_parameter(with_parameter(new, added, "prompt", last["prompt"]), added, "strength", 0.5)


def _placed(stages: Stages, stage: str, before: str | None) -> Stages:
    if before is not None and before not in stages:
        raise RecipeError(f"stages: no stage is called '{before}', {suggest(before, list(stages))}")
    order = [name for name in stages if name != stage]
    order.insert(order.index(before) if before in order else len(order), stage)
    return {name: stages[name] for name in order}


def _stage(state: State, name: str) -> dict[str, Any]:
    if name not in state.stages:
        raise RecipeError(f"stages: no stage is called '{name}', {suggest(name, list(state.stages))}")
    return state.stages[name]


def _split(
    given: Mapping[str, Any],
) -> tuple[Stages, dict[str, Clicks], dict[str, dict[str, str]]]:
    """The stages of a recipe: what is written of each, clicks for all photos, and the columns that hold clicks."""
    stages: Stages = {}
    common: dict[str, Clicks] = {}
    columns: dict[str, dict[str, str]] = {}
    for name, stage in given.items():
        if not isinstance(stage, Mapping):
            continue
        op = str(op_of(name, stage))
        made_by_clicks = click_parameters(op)
        if clicks := Clicks.of({key: stage.get(key) for key in made_by_clicks}):
            common[name] = clicks
        columns[name] = columns_of({key: stage.get(key) for key in made_by_clicks})
        rest = {key: value for key, value in stage.items() if key not in made_by_clicks}
        stages[name] = _without_defaults(name, {**rest, "op": op})
    return stages, common, columns


def _without_defaults(name: str, stage: Mapping[str, Any]) -> dict[str, Any]:
    """A stage without the parameters that have their default values; `op` comes first and stays."""
    defaults = with_defaults(name, {"op": stage["op"]})
    kept = {key: value for key, value in stage.items() if key not in defaults or value != defaults[key]}
    return {"op": stage["op"], **{key: value for key, value in kept.items() if key != "op"}}
