"""The studio behind the page: one draft, one worker, and what the page asks of them. It knows no HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

from darkroom.config import recipe_file
from darkroom.config.recipe import Recipe, parse
from darkroom.config.seeds import draw_seeds
from darkroom.config.settings import Settings
from darkroom.engine.stored_embeddings import StoredEmbeddings
from darkroom.errors import DarkroomError, PhotoError, RecipeError
from darkroom.models import Models
from darkroom.planning.plan import StepPlanner, paths, settings_of
from darkroom.planning.preflight import check
from darkroom.report.commands import recipe_command
from darkroom.session.prepare import prepare_given
from darkroom.stages import STAGES
from darkroom.store import FOLDER, Store
from darkroom.studio.brush import is_brush
from darkroom.studio.clicks import Clicks
from darkroom.studio.draft import Draft, with_clicks, with_second_pass
from darkroom.studio.draft_files import DraftRun, SavedFiles, masks_of
from darkroom.studio.draft_runs import DraftRuns
from darkroom.studio.forms import forms
from darkroom.studio.photos import Box, Photos, mask_view, scaled_box
from darkroom.studio.preview import Look, Preview
from darkroom.studio.review import RunFolder
from darkroom.studio.state import State
from darkroom.studio.work import Progress, Work
from darkroom.studio.worker import Urgency, Worker
from darkroom.system.interrupts import raise_if_interrupted

_SOURCE = "recipe"  # names the draft in error lines
_AHEAD = 2  # photos that are encoded before they are opened

Tell = Callable[[Mapping[str, Any]], None]
"""Gets what every open page must know."""


class NoClicks(PhotoError):
    """There are no clicks on a photo yet."""


class Studio:
    """What the page works on.

    Args:
        draft: the recipe in the making.
        photos: of its dataset.
        settings: how it runs.
        outputs: where run folders go.
        words: the settings as overrides, for the runs that it starts.
    """

    def __init__(self, draft: Draft, photos: Photos, settings: Settings, outputs: Path, words: Sequence[str]) -> None:
        self.draft, self.photos, self.outputs = draft, photos, outputs
        self.worker = Worker()
        self.tell: Tell = lambda message: None
        self._settings, self._words = settings, list(words)
        self._models: Models = settings.models()
        self._store = Store(outputs / FOLDER)
        self._models.embeddings = StoredEmbeddings(self._store)
        self._preview = Preview(self._models, self._store)
        self._work: Work | None = None
        self._starting = threading.Lock()
        self._folder = Path.cwd()
        self._saved = SavedFiles(self._folder)
        self._indices = {photos[index].name: index for index in range(len(photos))}
        self._current = self._indices.get(draft.files.shown or "", 0)
        self.runs = DraftRuns(outputs, draft.files)

    # What the page shows

    def describe(self, with_ops: bool = True) -> dict[str, Any]:
        """The recipe as the page shows it."""
        state, files = self.draft.state, self.draft.files
        problems, warnings = self._problems(state)
        described = {
            "revision": state.revision,
            "name": self.draft.name,
            "folder": str(files.folder),
            "recipe": files.recipe,
            "command": recipe_command(self._words, recipe=files.recipe),
            "models": self._models.summary(
                [kind for stage in state.stages.values() for kind in STAGES[stage["op"]].models_of(stage)]
            ),
            "photos": len(self.photos),
            "run_photos": self.draft.photos_of_run(state),
            "can_undo": self.draft.can_undo,
            "current": self._current,
            "stages": [
                {"name": name, "op": stage["op"], "parameters": {k: v for k, v in stage.items() if k != "op"}}
                for name, stage in state.stages.items()
            ],
            "problems": problems,
            "warnings": warnings,
            "job": self.job(),
        }
        return {**described, "ops": forms()} if with_ops else described

    def list_photos(self, start: int, count: int) -> list[dict[str, Any]]:
        """Names and states of some photos; none is opened."""
        numbers = range(max(0, start), min(len(self.photos), start + count))
        return [{"index": i, "name": self.photos[i].name, "state": self._state_of(i)} for i in numbers]

    def photo(self, index: int) -> dict[str, Any]:
        """One photo, decoded. Raises `PhotoError`."""
        photo = self.photos.open(index)
        clicks = self.draft.state.clicks_on(photo.photo.name)
        return {
            "index": index,
            "name": photo.photo.name,
            "width": photo.size[0],
            "height": photo.size[1],
            "state": self._state_of(index),
            "clicks": {stage: made.plain() for stage, made in clicks.items()},
            "results": self.results(index),
        }

    def job(self) -> dict[str, Any] | None:
        """The latest run that the page started."""
        return vars(self._work.progress) if self._work else None

    # Changes

    def change(self, revision: int, make: Callable[[State], State], what: str = "") -> None:
        """Change the draft; see `Draft.change`."""
        state = self.draft.change(revision, make, what)
        self.tell({"type": "draft", "revision": state.revision})

    def undo(self, revision: int) -> None:
        """Undo the last change of the stages; see `Draft.undo`."""
        state = self.draft.undo(revision)
        self.tell({"type": "draft", "revision": state.revision})

    def click(self, index: int, revision: int, stage: str, clicks: Clicks) -> dict[str, Any]:
        """Set the clicks on a photo; see `Draft.change`. Returns the revision, and what is still wrong."""
        name = self.photos[index].name
        made = clicks.on(self.photos.open(index).size) if clicks.strokes else clicks
        self.change(revision, lambda state: with_clicks(state, name, stage, made))
        self.runs.forget(name)
        self.tell({"type": "photo", "index": index, "state": self._state_of(index)})
        state = self.draft.state
        problems, warnings = self._problems(state)
        return {"revision": state.revision, "problems": problems, "warnings": warnings}

    def second_pass(self, revision: int, result: str) -> None:
        """Add a repaint behind the one that made a result; see `Draft.change`."""
        run, number = self.runs.find(result)
        settings = run.line(number)["settings"]
        self.change(revision, lambda state: with_second_pass(state, settings))

    def save(self, name: str) -> dict[str, Any]:
        """Write the recipe into the current folder. Raises `OutputError` rather than overwrite a file."""
        names = self._saved.save(self.draft.written(self.draft.state, self._folder, masks_of(name)), name)
        manifest = names[1] if len(names) > 1 else None
        return {"recipe": names[0], "manifest": manifest, "command": recipe_command(self._words, recipe=names[0])}

    # Masks

    def show(self, index: int) -> None:
        """Take note of the photo that the page shows, and encode it and the next ones ahead."""
        self._current = index
        self.draft.files.show(self.photos[index].name)
        for number in range(index, min(len(self.photos), index + 1 + _AHEAD)):
            self.worker.submit(partial(self._prepare, number), Urgency.AHEAD, f"ahead {number - index}")

    def mask(
        self, index: int, until: str, exact: bool, box: Box | None, width: int, tab: str
    ) -> Future[tuple[bytes, dict[str, Any]]]:
        """A mask as a PNG, and its figures. A newer request of the same tab cancels one that waits.

        Args:
            index: of the photo.
            until: the stage.
            exact: see `Preview.look`.
            box: the part to show, in px of the photo.
            width: of the PNG at most.
            tab: names the page that asks.
        """

        def work() -> tuple[bytes, dict[str, Any]]:
            started, state = time.perf_counter(), self.draft.state
            photo = self.photos.open(index)
            self._need_clicks(photo.photo.name, until, state)
            look = self._preview.look(photo, self._stages_for(index, state), until, exact)
            picture = mask_view(look.edit.need_mask(), scaled_box(box, look.scale), width)
            return picture, {**_figures(look), "milliseconds": _milliseconds(started), "revision": state.revision}

        return self.worker.submit(work, Urgency.LATER if exact else Urgency.LOOK, f"mask {tab} {exact}")

    # Runs

    def paint(self, index: int) -> None:
        """Start a run of one photo. Raises `RecipeError` while the recipe has problems or another run goes on."""
        photo = self.photos[index]
        recipe = self.draft.recipe_for(photo, self.draft.state)
        self._start(recipe, Progress("paint", index))

    def run(self, rejected_of: str | None = None) -> None:
        """Start a run of all photos, or of those that were rejected in another run; see `paint`."""
        only = RunFolder(self.outputs, rejected_of).rejected() if rejected_of else []
        if rejected_of and not only:
            raise RecipeError(f"{rejected_of}: no picture is rejected")
        self._start(self.draft.run_recipe(self.draft.state, only), Progress("run", None))

    def cancel(self) -> None:
        """Stop the run that goes on."""
        if self._work:
            self._work.cancel()

    def results(self, index: int) -> list[dict[str, Any]]:
        """The pictures that have been painted of a photo, oldest first."""
        photo = self.photos[index]
        current = self._planned_settings(index)
        found = (painted.plain(index) for painted in self.runs.painted(photo.name))
        return [{**each, "current": json.dumps(each["all_settings"], sort_keys=True) in current} for each in found]

    def close(self) -> None:
        """Stop the worker and the run that goes on."""
        self.cancel()
        self.worker.stop()

    def _start(self, recipe: Mapping[str, Any], progress: Progress) -> None:
        with self._starting:
            if self._work and not self._work.is_over:
                raise RecipeError("another run goes on: wait for its end, or cancel it")
            self._store.create()  # somebody may have removed the outputs
            job = prepare_given(recipe, self._words)
            name = None if progress.photo is None else self.photos[progress.photo].name
            self.draft.files.add_run(name, job.folder.name)
            self._work = Work(job, progress, self.worker.run_urgent, self._tell_progress)
            self.worker.submit(self._work.run, Urgency.WORK)

    def _tell_progress(self, progress: Progress) -> None:
        if progress.status not in ("waiting", "running"):
            name = None if progress.photo is None else self.photos[progress.photo].name
            for photo in self.runs.note(DraftRun(photo=name, run=str(progress.run))):
                if photo in self._indices:
                    index = self._indices[photo]
                    self.tell({"type": "photo", "index": index, "state": self._state_of(index)})
        self.tell({"type": "job", "job": vars(progress)})

    def _state_of(self, index: int) -> str:
        name = self.photos[index].name
        if made := self.runs.state_of(name):
            return made
        return "masked" if any(self.draft.state.clicks_on(name).values()) else "untouched"

    def _prepare(self, index: int) -> None:
        """Encode a photo, unless it cannot be decoded; the page says so when it is opened."""
        try:
            self._preview.prepare(self.photos.open(index), self.draft.state.stages)
        except DarkroomError:
            return
        except Exception:
            raise_if_interrupted()

    def _stages_for(self, index: int, state: State) -> Mapping[str, Mapping[str, Any]]:
        stages: Mapping[str, Mapping[str, Any]] = self.draft.recipe_for(self.photos[index], state)["stages"]
        return stages

    def _need_clicks(self, photo: str, until: str, state: State) -> None:
        """Raise `NoClicks` if a stage up to this one still waits for clicks on a photo."""
        waiting = state.waiting(photo)
        for name, stage in state.stages.items():
            if name in waiting and is_brush(stage):
                raise NoClicks("paint the mask with the brush")
            if name in waiting:
                raise NoClicks(f"click on the photo to tell `{name}` what to cut out")
            if name == until:
                return

    def _problems(self, state: State) -> tuple[list[str], list[str]]:
        """Why the recipe cannot run as it stands, and what will have no effect."""
        clicked = (
            self._indices[name]
            for name in state.clicks
            if name in self._indices and any(state.clicks_on(name).values())
        )
        photo = next(clicked, 0)
        try:
            recipe = self._checked(photo, state)
            return [], list(check(recipe, self._models, self._settings.strict, _SOURCE))
        except DarkroomError as error:
            return [problem.removeprefix(f"{_SOURCE}: ") for problem in error.problems], []

    def _checked(self, index: int, state: State) -> Recipe:
        """The recipe for one photo, checked as every recipe is, but without the settings, which do not change here."""
        config = recipe_file.read_mapping(self.draft.recipe_for(self.photos[index], state))
        draw_seeds(config)
        draw_seeds(config)
        return parse(config, _SOURCE)

    def _planned_settings(self, index: int) -> set[str]:
        """The settings of every picture that the draft makes of a photo, as JSON."""
        try:
            recipe = self._checked(index, self.draft.state)
            (photo,) = recipe.dataset.photos()
            tree = StepPlanner(recipe).plan(photo)
        except (DarkroomError, ValueError):
            return set()
        return {json.dumps(settings_of(path), sort_keys=True) for path in paths(tree)}


def _figures(look: Look) -> dict[str, Any]:
    mask = look.edit.need_mask()
    return {
        "exact": look.scale == 1,
        "confidence": look.edit.confidence,
        "coverage": round(float(mask.mean()) / 255, 4),
        "flag": look.flag,
    }


def _milliseconds(started: float) -> float:
    return round(1000 * (time.perf_counter() - started), 1)
