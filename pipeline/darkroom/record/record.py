"""The run folder: files of pictures, journal, snapshot, environment. It knows files and JSON, no stages or models.

Every file but the journal is written under a temporary name and renamed, so that no file is ever half written.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from darkroom.dataset import Photo
from darkroom.errors import OutputError
from darkroom.record.earlier import EARLIER, EarlierJournal, EarlierPhoto, set_aside_journal, write_all
from darkroom.record.machine import environment
from darkroom.record.naming import folder_name, is_folder_name
from darkroom.record.picture_files import import_results
from darkroom.record.reading import read_facts
from darkroom.record.schema import JOURNAL, RUN, Config, JournalLine, RunFacts, RunStatus
from darkroom.store import Store
from darkroom.system.file_names import fold
from darkroom.system.files import Folder, writing
from darkroom.system.profiling import spanned

log = logging.getLogger("darkroom")

_LOG = "run.log"


class Record:
    """The folder of one run, from its first file to its last.

    Args:
        folder: the run folder.
        facts: the first content of `run.json`: name, configuration, command line.
        earlier: what earlier attempts left; None for a new run.

    Attributes:
        folder: as given.
        ended: an earlier attempt ran to its end.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any], earlier: EarlierJournal | None = None) -> None:
        self.folder = folder
        self.ended = facts.get("status") in ("done", "failed")
        self._files = Folder(folder)
        self._earlier = earlier
        self._started = datetime.now().astimezone()
        self._facts = {**facts, "status": "running"}
        self._photos = hashlib.sha256()
        self._folders: set[str] = set()  # of photos, folded
        self._names: Counter[str] = Counter()

    @classmethod
    def begin(cls, folder: Path, name: str, files: Mapping[str, str], facts: Mapping[str, Any]) -> Self:
        """Start a run.

        Args:
            folder: the run folder, which `claim_folder` has checked.
            name: the recipe's name.
            files: texts to keep, by path within the folder: the composed recipe, Hydra's snapshot.
            facts: for `run.json`.

        Raises:
            OutputError: the folder cannot be written.
        """
        record = cls(folder, {"name": name, "started": datetime.now().astimezone().isoformat(), **facts})
        for path, text in files.items():
            record._write(path, text.encode())
        record._open()
        return record

    @classmethod
    def resume(cls, folder: Path) -> Self:
        """Continue a run that was stopped.

        Its journal is rewritten in the order of the plan; lines of finished pictures do not change.

        Raises:
            OutputError: the folder cannot be written.
            RecordError: it holds no run, or a damaged one.
        """
        facts = read_facts(folder)
        with writing(folder):
            set_aside_journal(folder)
        record = cls(folder, facts, EarlierJournal(folder))
        record._open()
        return record

    def photo_folder(self, photo: Photo) -> str:
        """The folder for the next photo, named after its file; the path is relative to the run folder."""
        number = self._names[photo.name]
        self._names[photo.name] += 1
        folder = self._earlier.folder_of(photo.name, number) if self._earlier else None
        if folder is None or not is_folder_name(folder) or fold(folder) in self._folders:
            stem = folder_name(photo)
            folder = stem if number == 0 else f"{stem}~{number + 1}"
            while fold(folder) in self._folders or (self._earlier and self._earlier.has_folder(folder)):
                number += 1
                folder = f"{stem}~{number + 1}"
        self._folders.add(fold(folder))
        return folder

    def earlier_photo(self, photo: Photo, folder: str) -> EarlierPhoto:
        """What earlier attempts made of a photo."""
        return self._earlier.photo(photo.name, folder) if self._earlier else EarlierPhoto(())

    def begin_lines(self, photo: Photo, folder: str) -> None:
        """Begin a photo's lines in the journal: lines of its failed pictures in earlier attempts no longer count."""
        if self._earlier:
            self._earlier.mark_begun(photo.name, folder)

    def import_earlier(self, name: str, store: Store) -> None:
        """Copy the results that earlier attempts made of photos with this name into a store, unverified."""
        for line in self._earlier.lines_of(name) if self._earlier else ():
            import_results(store, self._files, line)

    def add_photo(self, name: str, digest: str) -> None:
        """Add a photo to the dataset's fingerprint: the SHA-256 of all names and digests, in order."""
        self._photos.update(f"{name}\0{digest}\n".encode(errors="surrogateescape"))

    def restore_files(self, line: JournalLine, store: Store) -> list[str]:
        """Link missing files of a finished picture again from the store; returns the paths that stay missing."""
        missing = []
        for path, digest in line["files"].items():
            if not self._files.holds(path):
                blob = f"{digest}.{path.rpartition('.')[2]}"
                if store.has_blob(blob):
                    self._link(path, store, blob)
                else:
                    missing.append(path)
        return missing

    def changed_files(self, lines: Sequence[JournalLine]) -> list[str]:
        """The files of finished pictures that have changed since they were written."""
        files = dict.fromkeys(pair for line in lines for pair in line["files"].items())
        return [path for path, digest in files if self._differs(path, digest)]

    def find_conflict(self, files: Mapping[str, str], earlier: EarlierPhoto, store: Store) -> str | None:
        """Why a picture's files cannot be written, in one line; None if they can.

        Args:
            files: all files of the picture: path to blob.
            earlier: what earlier attempts made of the photo.
            store: a file that is a hard link into it belongs to this run.
        """
        for path, blob in files.items() if self._earlier else ():
            if earlier.is_foreign(path):
                return f"{path} belongs to a finished picture of another photo; start a new run"
            digest, recorded = _digest(blob), earlier.recorded_digest(path)
            if recorded == digest or not self._differs(path, digest):
                continue
            if earlier.belongs_to_finished(path):
                return f"{path} would change, but it belongs to a finished picture; start a new run to use the change"
            if (recorded is None or self._differs(path, recorded)) and not store.is_linked(self._files, path):
                return f"{path} exists and does not belong to this run; move it away and resume again"
        return None

    def add_file(self, path: str, store: Store, blob: str, earlier: EarlierPhoto) -> None:
        """Link a blob into the run folder, unless the file is there already or the user has changed it.

        Args:
            path: within the run folder.
            store: has the blob.
            blob: its name.
            earlier: what earlier attempts made of the photo.
        """
        digest = _digest(blob)
        keep = earlier.recorded_digest(path) == digest or not self._differs(path, digest)
        if not (self._earlier and self._files.holds(path) and keep):
            self._link(path, store, blob)

    @spanned("write")
    def append(self, line: JournalLine) -> None:
        """Add a line to the journal. It survives a kill of the process; see `flush` for a power failure."""
        if self._earlier:
            self._earlier.mark_written(line)
        text = json.dumps(line, ensure_ascii=True, allow_nan=False).encode() + b"\n"
        with writing(self.folder / JOURNAL), self._files.append(JOURNAL) as journal:  # a sweep has many: keep none open
            end = os.fstat(journal.fileno()).st_size
            try:
                write_all(journal, text)
            except OSError:
                journal.truncate(end)
                raise

    def flush(self) -> None:
        """Return when the journal is on the disk."""
        with writing(self.folder / JOURNAL), self._files.append(JOURNAL) as journal:
            os.fsync(journal.fileno())

    def finish(self, status: RunStatus, more: Mapping[str, Any]) -> None:
        """Complete `run.json`.

        Args:
            status: `done`, `failed` (some pictures), `interrupted`, or `stopped` by an error.
            more: facts that are known only at the end: totals, models, cache hits.
        """
        self._copy_remaining_lines(ended=status in ("done", "failed"))
        now = datetime.now().astimezone()
        self._facts |= {
            "status": status,
            "finished": now.isoformat(),
            "wall_seconds": round((now - self._started).total_seconds(), 3),
            "dataset_fingerprint": self._photos.hexdigest(),
            **more,
        }
        self._write_facts()

    def _copy_remaining_lines(self, ended: bool) -> None:
        """Keep finished pictures of earlier attempts that this one did not plan, or did not reach."""
        if self._earlier is None:
            return
        names = []
        for line in self._earlier.remaining(include_failed=not ended):
            self.append(line)
            names.append(line["result"] or line["delivered"] or line["photo"])
        if names and ended:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            log.info("kept, although not part of this attempt: %s%s", ", ".join(names[:3]), more)
        with writing(self.folder / EARLIER):
            self._files.remove(EARLIER)

    def _differs(self, path: str, digest: str) -> bool:
        """Whether a path exists and does not have this content."""
        if not self._files.holds(path):
            return False
        try:
            return self._files.digest(path) != digest
        except OSError:
            return True

    def _link(self, path: str, store: Store, blob: str) -> None:
        with writing(self.folder / path):
            self._files.link(path, store.files, store.blob_path(blob))

    def _open(self) -> None:
        self._facts["environment"] = environment()
        self._write_facts()
        self._write(JOURNAL, b"")

    def _write_facts(self) -> None:
        self._write(RUN, json.dumps(self._facts, indent=2, default=str, allow_nan=False).encode() + b"\n")

    def _write(self, path: str, data: bytes) -> None:
        with writing(self.folder / path):
            self._files.write(path, data)


def claim_folder(folder: Path, files: Mapping[str, str]) -> None:
    """Check that a run can begin in a folder: it is new, empty, or left by a run that was killed as it began.

    Args:
        folder: the run folder; created if it does not exist.
        files: texts that the run begins with, by path within the folder.

    Raises:
        OutputError: the folder holds other files, or cannot be created.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        existing = Folder(folder)
        for path in existing.files():
            if path == _LOG or Folder.is_leftover(path):
                continue
            if path not in files or existing.read(path) != files[path].encode():
                raise OutputError(f"{folder}: holds {path} already; a run begins in a folder of its own")


def keeps_results_only(facts: RunFacts) -> bool:
    """Whether a run had `results.only=true`: its folder has no photos, masks and steps."""
    results = facts["config"].get("results")
    return isinstance(results, Mapping) and results.get("only") is True


def resolved_config(facts: RunFacts) -> Config:
    """The configuration in `run.json`, with the values that the run chose for `auto`."""
    return {**facts["config"], **facts["settled"]}


def _digest(blob: str) -> str:
    return blob.partition(".")[0]
