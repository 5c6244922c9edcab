"""The files of a draft, in a folder of its own: see `draft`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic requires it before Python 3.12

from darkroom.config.recipe_paths import label
from darkroom.dataset import Dataset
from darkroom.errors import OutputError, RecordError
from darkroom.studio.brush import Painter
from darkroom.studio.recipe_text import Written, as_lines, plain
from darkroom.system import strict_json
from darkroom.system.files import Folder, writing

RECIPE, MANIFEST, STUDIO, RUNS = "recipe.yaml", "photos.jsonl", "studio.json", "runs.jsonl"
BEGUN = "begun.jsonl"  # the manifest of photos that wait for more clicks
MASKS = "masks"  # the folder of painted masks

_MAX_BYTES = 16_000_000  # of studio.json and of runs.jsonl


class DraftRun(TypedDict):
    """A run that the studio started: a line of `runs.jsonl`. `photo` is None for a run of all photos."""

    photo: str | None
    run: str


_DATASET = TypeAdapter(Dataset)
_RUN = TypeAdapter(DraftRun)


class DraftFiles:
    """Reads and writes the files of a draft.

    Args:
        folder: its folder.

    Attributes:
        shown: the name of the photo that was shown last; None if no photo was.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = Folder(folder)
        self._last: dict[str, bytes] = {}
        self._dataset: Dataset | None = None
        self._painter = Painter()
        self.shown: str | None = None

    @property
    def masks(self) -> Path:
        """The folder of painted masks."""
        return self.folder.absolute() / MASKS

    @property
    def recipe(self) -> str:
        """The recipe's path, as a command line in the current folder names it."""
        return label(self.folder / RECIPE)

    def create(self) -> None:
        """Make the folder, if it is not there. Raises `OutputError` if it cannot be made."""
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)

    def exists(self) -> bool:
        """Whether a draft has been saved here."""
        return self._files.has(STUDIO)

    def dataset(self) -> Dataset:
        """All photos of the draft. Raises `RecordError` if the file is damaged."""
        try:
            saved = strict_json.loads(self._files.read(STUDIO, _MAX_BYTES))
            self.shown = str(saved["shown"]) if saved.get("shown") else None
            return _DATASET.validate_python(saved["dataset"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ValidationError):
            raise RecordError(f"{self.folder / STUDIO}: is damaged; delete it to begin anew") from None

    def begun(self) -> Path | None:
        """The manifest of photos that wait for more clicks; None if there are none."""
        return self.folder / BEGUN if self._files.has(BEGUN) else None

    def show(self, photo: str) -> None:
        """Remember the photo that is shown."""
        self.shown = photo
        self._write_studio()

    def write(self, written: Written, dataset: Dataset) -> None:
        """Save the draft. Files that would not change are left alone. Raises `OutputError` if that fails."""
        for name, painting in written.paintings.items():
            if not self._files.has(f"{MASKS}/{name}"):
                with writing(self.folder / MASKS):
                    self._files.write(f"{MASKS}/{name}", self._painter.file(painting))
        if written.rows is not None:  # first, so that the recipe never names a manifest that is not there
            self._replace(MANIFEST, written.manifest())
        if written.begun or self._files.has(BEGUN):
            self._replace(BEGUN, as_lines(written.begun))
        self._replace(RECIPE, written.recipe(self.recipe, MANIFEST))
        self._dataset = dataset
        self._write_studio()

    def _write_studio(self) -> None:
        if self._dataset:
            saved = {"dataset": plain(self._dataset), "shown": self.shown}
            self._replace(STUDIO, json.dumps(saved, ensure_ascii=False, indent=1) + "\n")

    def keep_manifest(self, text: str) -> Path:
        """Write a manifest under a name of its own; the same text has the same name."""
        path = self.folder / f"photos-{hashlib.sha256(text.encode()).hexdigest()[:8]}.jsonl"
        self._replace(path.name, text)
        return path

    def add_run(self, photo: str | None, run: str) -> None:
        """Remember a run of one photo, or of all."""
        line = json.dumps({"photo": photo, "run": run}, ensure_ascii=False) + "\n"
        with writing(self.folder / RUNS), self._files.append(RUNS) as file:
            file.write(line.encode())

    def runs(self) -> Iterator[DraftRun]:
        """The runs that the studio started, oldest first; damaged lines are left out."""
        try:
            lines = self._files.read(RUNS, _MAX_BYTES).splitlines()
        except OSError:
            return
        for text in lines:
            with suppress(ValueError):
                yield _RUN.validate_python(strict_json.loads(text), strict=True)

    def _replace(self, name: str, text: str) -> None:
        data = text.encode()
        if not (self._last.get(name) == data and self._files.has(name)) and not self._holds(name, data):
            with writing(self.folder / name):
                self._files.write(name, data)
        self._last[name] = data

    def _holds(self, name: str, data: bytes) -> bool:
        try:
            return self._files.read(name, len(data)) == data
        except OSError:
            return False


def masks_of(name: str) -> str:
    """The folder in which painted masks are saved beside the recipe of a name."""
    return f"{name}_masks"


class SavedFiles:
    """Recipes and manifests that were saved for the user. A file that is not as it was saved is never overwritten.

    Args:
        folder: where the user works.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = Folder(folder)
        self._digests: dict[str, str] = {}
        self._painter = Painter()

    def save(self, written: Written, name: str) -> list[str]:
        """Write a recipe, its manifest if it needs one, and painted masks into the folder `masks_of(name)`.

        Args:
            written: the draft; its relative paths start at the folder.
            name: of the recipe, and of the files without suffix.

        Returns:
            the names of the recipe and the manifest.

        Raises:
            OutputError: there is such a file already, or it cannot be written; nothing is overwritten.
        """
        recipe, manifest = f"{name}.yaml", f"{name}.jsonl"
        written = replace(written, name=name)
        texts = {recipe: written.recipe(label(self._folder / recipe), manifest).encode()}
        if written.rows is not None:
            texts = {manifest: written.manifest().encode(), **texts}  # first, as the recipe names it
        masks = {f"{masks_of(name)}/{file}": painting for file, painting in written.named_paintings().items()}
        for file in (*masks, *texts):
            if self._files.holds(file) and not self._is_as_saved(file):
                raise OutputError(f"{file}: exists already; choose another name")
        for file, painting in masks.items():
            if not self._files.holds(file):
                self._write(file, self._painter.file(painting))
        for file, data in texts.items():
            self._write(file, data)
        return list(reversed(texts))

    def _write(self, file: str, data: bytes) -> None:
        with writing(self._folder / file):
            self._files.write(file, data)
        self._digests[file] = hashlib.sha256(data).hexdigest()

    def _is_as_saved(self, file: str) -> bool:
        try:
            return self._files.digest(file) == self._digests.get(file)
        except OSError:
            return False
