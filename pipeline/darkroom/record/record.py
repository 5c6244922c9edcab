"""The run folder: artifacts, journal, snapshot, environment. It knows files and JSON; no stages, no models.

Everything is written to a temporary file in the same folder and renamed, so that what is there is whole.
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
from darkroom.record.artifacts import adopt
from darkroom.record.earlier import EARLIER, EarlierJournal, EarlierPhoto, set_aside
from darkroom.record.machine import environment
from darkroom.record.naming import folder_name, is_folder_name
from darkroom.record.schema import JOURNAL, RUN, Config, JournalLine, RunFacts, read_facts
from darkroom.store import Store
from darkroom.system.files import Folder, writing

log = logging.getLogger("darkroom")

_LOG = "run.log"


class Record:
    """One run's folder, from its first file to its last.

    Args:
        folder: where.
        facts: goes into `run.json` as it is: name, configuration, command line.
        earlier: what earlier attempts have left; None for a new run.

    Attributes:
        folder: as given.
        ended: an earlier attempt came to its end.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any], earlier: EarlierJournal | None = None) -> None:
        self.folder = folder
        self.ended = facts.get("status") in ("done", "failed")
        self._files = Folder(folder)
        self._earlier = earlier
        self._now = datetime.now().astimezone()
        self._facts = {**facts, "status": "running"}
        self._photos = hashlib.sha256()
        self._folders: set[str] = set()  # of photos, case folded: some file systems take A for a
        self._names: Counter[str] = Counter()

    @classmethod
    def begin(cls, folder: Path, name: str, files: Mapping[str, str], facts: Mapping[str, Any]) -> Self:
        """Start a run.

        Args:
            folder: the run folder, which `claim_folder` has checked.
            name: the recipe's name.
            files: texts to keep as they are, by path within the folder: the composed recipe, Hydra's snapshot.
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
        """Go on with a run that was stopped. Its journal is written anew, in the order of the plan; the lines of
        finished pictures are taken over.

        Raises:
            OutputError: the folder cannot be written.
            RecordError: it holds no run, or a damaged one.
        """
        facts = read_facts(folder)
        with writing(folder):
            set_aside(folder)
        record = cls(folder, facts, EarlierJournal(folder))
        record._open()
        return record

    def photo_folder(self, photo: Photo) -> str:
        """The folder of the next photo, named after its file: a path within the run folder."""
        number = self._names[photo.name]
        self._names[photo.name] += 1
        folder = self._earlier.folder(photo.name, number) if self._earlier else None
        if folder is None or not is_folder_name(folder) or folder.casefold() in self._folders:
            stem = folder_name(photo)
            folder = stem if number == 0 else f"{stem}~{number + 1}"
            while folder.casefold() in self._folders or (self._earlier and self._earlier.has(folder)):
                number += 1
                folder = f"{stem}~{number + 1}"
        self._folders.add(folder.casefold())
        return folder

    def before(self, photo: Photo, folder: str) -> EarlierPhoto:
        """What earlier attempts have made of a photo."""
        return self._earlier.begin(photo.name, folder) if self._earlier else EarlierPhoto(())

    def lend(self, name: str, store: Store) -> None:
        """Let a store have, for this process, what earlier attempts have made of the photos of a name."""
        for line in self._earlier.all_of(name) if self._earlier else ():
            adopt(store, self._files, line)

    def add_photo(self, name: str, digest: str) -> None:
        """Count a photo into the dataset's fingerprint: the SHA-256 of all names and digests, in order."""
        self._photos.update(f"{name}\0{digest}\n".encode(errors="surrogateescape"))

    def restore(self, line: JournalLine, store: Store) -> list[str]:
        """Put back what is missing of a finished picture and is in the store; tells what stays missing."""
        missing = []
        for path, digest in line["files"].items():
            if not self._files.holds(path):
                blob = f"{digest}.{path.rpartition('.')[2]}"
                if store.has_blob(blob):
                    self.link(path, store, blob)
                else:
                    missing.append(path)
        return missing

    def changed(self, lines: Sequence[JournalLine]) -> list[str]:
        """The files of finished pictures that are not what was written."""
        files = dict.fromkeys(pair for line in lines for pair in line["files"].items())
        return [path for path, digest in files if self._differs(path, digest)]

    def obstacle(self, files: Mapping[str, str], before: EarlierPhoto, store: Store) -> str | None:
        """Why a picture cannot have one of its files, in a line; None where it can have all.

        Args:
            files: path to blob of all that the picture consists of.
            before: what earlier attempts have made of the photo.
            store: what these attempts have linked from there is the run's own.
        """
        for path, blob in files.items() if self._earlier else ():
            digest = blob.partition(".")[0]
            recorded, done = before.recorded(path)
            if recorded == digest or not self._differs(path, digest):
                continue
            if done:
                return (
                    f"{path} would become another, and belongs to a finished picture; start a new run for what changed"
                )
            if (recorded is None or self._differs(path, recorded)) and not store.is_linked(self._files, path):
                return f"{path} is in the way and not this run's; move it away and resume again"
        return None

    def link(self, path: str, store: Store, blob: str) -> None:
        """Give a blob of the store a name in the run folder."""
        with writing(self.folder / path):
            self._files.link(path, store.files, store.blob_path(blob))

    def put(self, path: str, store: Store, blob: str, before: EarlierPhoto) -> None:
        """`link`, unless the file is there already, or was there and has been changed by somebody."""
        digest = blob.partition(".")[0]
        stays = before.recorded(path)[0] == digest or not self._differs(path, digest)
        if not (self._earlier and self._files.holds(path) and stays):
            self.link(path, store, blob)

    def append(self, line: JournalLine) -> None:
        """Add a line to the journal. A killed process loses nothing of it; see `flush` for a power failure."""
        if self._earlier:
            self._earlier.keep(line)
        text = json.dumps(line, ensure_ascii=True, allow_nan=False).encode() + b"\n"
        with writing(self.folder / JOURNAL), self._files.append(JOURNAL) as journal:  # a sweep can have a thousand
            end = os.fstat(journal.fileno()).st_size
            rest = memoryview(text)
            try:
                while rest:  # on a disk nearly full, a part is written before the error comes
                    rest = rest[journal.write(rest) :]
            except OSError:
                journal.truncate(end)
                raise

    def flush(self) -> None:
        """Have the journal on the disk when this returns."""
        with writing(self.folder / JOURNAL), self._files.append(JOURNAL) as journal:
            os.fsync(journal.fileno())

    def finish(self, status: str, more: Mapping[str, Any]) -> None:
        """Complete `run.json`.

        Args:
            status: `done`, `failed` (some pictures), `interrupted`, or `stopped` by an error.
            more: facts that only the end tells: totals, models, what was reused.
        """
        self._carry_over(ended=status in ("done", "failed"))
        now = datetime.now().astimezone()
        self._facts |= {
            "status": status,
            "finished": now.isoformat(),
            "wall_seconds": round((now - self._now).total_seconds(), 3),
            "dataset_fingerprint": self._photos.hexdigest(),
            **more,
        }
        self._write_facts()

    def _carry_over(self, ended: bool) -> None:
        """Keep what earlier attempts have finished and this one was not asked for, or did not come to."""
        if self._earlier is None:
            return
        carried = []
        for line in self._earlier.rest(failed=not ended):
            self.append(line)
            carried.append(line["result"] or line["photo"])
        if carried and ended:
            more = f" and {len(carried) - 3} more" if len(carried) > 3 else ""
            log.info("stays, though it was not asked for again: %s%s", ", ".join(carried[:3]), more)
        with writing(self.folder / EARLIER):
            self._files.remove(EARLIER)

    def _differs(self, path: str, digest: str) -> bool:
        """Whether something has this path that is not a file of this content."""
        if not self._files.holds(path):
            return False
        try:
            return self._files.digest(path) != digest
        except OSError:
            return True

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
    """Make sure that a run can begin in a folder: it is new or empty, or an earlier attempt was killed as it began.

    Args:
        folder: where.
        files: texts that the run begins with, by path within the folder.

    Raises:
        OutputError: the folder holds something else, which would be overwritten; or it cannot be made.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        own = Folder(folder)
        for path in own.files():
            if path == _LOG or Folder.is_leftover(path):
                continue
            if path not in files or own.read(path) != files[path].encode():
                raise OutputError(f"{folder}: holds {path} already; a run begins in a folder of its own")


def resolved_config(facts: RunFacts) -> Config:
    """The configuration in `run.json`, with every `auto` as it was chosen when the run began."""
    return {**facts["config"], **facts["settled"]}
