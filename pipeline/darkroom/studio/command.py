"""`darkroom studio [recipe=NAME] [dataset.images=FOLDER] ...`: opens a draft and serves its page until Ctrl-C."""

from __future__ import annotations

import logging
import os
import re
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkroom.config.compose import Composed, check_single, compose, compose_given
from darkroom.config.override_errors import check_words
from darkroom.config.recipe_paths import outputs_folder
from darkroom.config.settings import Settings
from darkroom.config.speed import GROUP
from darkroom.dataset import Dataset, Photo
from darkroom.errors import OutputError, RecipeError, SetupError
from darkroom.report.commands import word
from darkroom.resources import ROOT, install_command
from darkroom.store import FOLDER, Store
from darkroom.studio.draft import Draft
from darkroom.studio.draft_files import RECIPE, DraftFiles
from darkroom.studio.photos import Photos
from darkroom.studio.studio import Studio
from darkroom.system.locks import locked

if TYPE_CHECKING:
    import uvicorn

_PORT, _LOOPBACK = 8642, "127.0.0.1"
_OWN = ("port", "host")
_ANY = ("0.0.0.0", "::")
_SETTINGS = re.compile(r"[+~]*(models|memory|device|results|outputs|strict)\b")
_NO_PRESET = f"{GROUP}=none"  # what a draft says comes before the preset that `models=` brings
_NEW = {"name": "studio", "stages": {"object": {"op": "sam"}, "refine": None, "invert": None, "inpaint": None}}
"""The recipe that a studio without `recipe=` begins with: an object gets a new background."""


def run(words: Sequence[str]) -> None:
    """Serve the studio until it is interrupted.

    Args:
        words: `KEY=VALUE`, as for a run, and `port=8642` and `host=127.0.0.1`.

    Raises:
        RecipeError: the words or the recipe are wrong.
        SetupError: the packages of the extra `studio` are missing.
        OutputError: the port is taken, or the draft cannot be saved.
    """
    _require_packages()
    own, words = _own_words(words)
    host, port = own.get("host", _LOOPBACK), _port(own.get("port", str(_PORT)))
    if not host:
        raise RecipeError("command line: host=: give a name or an address, such as 127.0.0.1")
    with opened(words) as studio, _listening(host, port) as listener:
        _serve(studio, listener, host)


@contextmanager
def opened(words: Sequence[str]) -> Iterator[Studio]:
    """The studio for the draft that the words name: as it was saved before, else a new one.

    Meanwhile no other studio works on the draft, and the store is not pruned.

    Args:
        words: `KEY=VALUE`, as for a run.

    Raises:
        RecipeError: the words or the recipe are wrong.
        SetupError: this machine lacks the device.
        OutputError: the draft cannot be saved, or another studio works on it.
    """
    check_words(words)
    check_single(words)
    _refuse_presets(words)
    composed = _composed(words)
    settings_words = [*filter(_SETTINGS.match, words), *([_NO_PRESET] if composed.preset != "none" else [])]
    settings, outputs = Settings.parse(composed.config), outputs_folder(str(composed.config.get("outputs")))
    settings.models()  # raises `SetupError` before anything is written
    files, dataset = _place(composed, outputs / "studio")
    store = Store(outputs / FOLDER)
    store.create()
    files.create()
    in_use, taken = f"{store.folder}: is being pruned", f"{files.folder}: another studio works on this recipe"
    with locked(store.folder, shared=True, busy=in_use), locked(files.folder, busy=taken):
        config = composed.config
        if files.exists():  # what the words say of stages was said when it began
            config = compose([word("recipe", str(files.folder / RECIPE)), *settings_words]).config
        rows = {photo.name: photo for photo in _drawn_on(config, files)}
        photos = [_usable(rows.get(photo.name, photo)) for photo in _each_once(dataset)]
        draft = Draft(files, str(config["name"]), dataset, photos, config)
        draft.save(draft.state)
        yield Studio(draft, Photos(photos), settings, outputs, settings_words)


def _drawn_on(config: Mapping[str, Any], files: DraftFiles) -> Iterator[Photo]:
    """The photos with the columns of the draft's manifest, and those that wait for more clicks."""
    dataset, begun = _dataset(config), files.begun()
    yield from dataset.photos()
    if begun and dataset.manifest:
        yield from Dataset(manifest=str(begun), folder=dataset.folder).photos()


def _require_packages() -> None:
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise SetupError(f"the studio needs {error.name}: {install_command('studio')}") from None


def _own_words(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The words that only the studio knows, and the others."""
    own = {key: value for key, _, value in (word.partition("=") for word in words) if key in _OWN}
    return own, [word for word in words if word.partition("=")[0] not in _OWN]


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text[:9]) < 2**16:
        raise RecipeError(f"command line: port={text}: a whole number from 0 to 65535; 0 takes any free port")
    return int(text)


def _refuse_presets(words: Sequence[str]) -> None:
    """Raise `RecipeError` for a preset: a draft keeps its steps but, like every recipe, no path of a LoRA."""
    given = (each for each in words if each.lstrip("+").startswith(f"{GROUP}=") and each != _NO_PRESET)
    if preset := next(given, None):
        raise RecipeError(f"command line: {preset}: not in the studio, whose page sets the steps; give it to a run")


def _composed(words: Sequence[str]) -> Composed:
    if any(each.startswith("recipe=") for each in words):
        return compose(words)
    return compose_given({**_NEW, "dataset": {"images": str(ROOT / "examples")}}, words)


def _place(composed: Composed, folder: Path) -> tuple[DraftFiles, Dataset]:
    """Where the draft is or will be, and all its photos, of which a draft's own recipe names only those with clicks."""
    if composed.file and composed.file.name == RECIPE:
        files = DraftFiles(composed.file.parent)
        if files.exists():
            return files, files.dataset()
    dataset = _dataset(composed.config)
    dataset.check()
    return _files_for(folder, str(composed.config["name"]), dataset), dataset


def _dataset(config: Mapping[str, Any]) -> Dataset:
    given = {key: value for key, value in (config.get("dataset") or {}).items() if value is not None}
    try:
        return Dataset(**given)
    except ValueError:
        raise RecipeError("dataset: give the photos, such as dataset.images=photos/") from None


def _each_once(dataset: Dataset) -> Iterator[Photo]:
    seen: set[str] = set()
    for photo in dataset.photos():
        if photo.name in seen:
            where = f"{photo.row}: " if photo.row else ""
            raise RecipeError(f"dataset: {where}{photo.name} is listed twice; the studio takes each photo once")
        seen.add(photo.name)
        yield photo


def _usable(photo: Photo) -> Photo:
    """The photo; one whose name a manifest cannot hold gets a problem instead."""
    try:
        photo.name.encode()
    except UnicodeEncodeError:
        name = photo.name.encode(errors="surrogateescape").decode(errors="backslashreplace")
        return replace(photo, name=name, problem="its name is not UTF-8 text: rename the file")
    return photo


def _files_for(folder: Path, name: str, dataset: Dataset) -> DraftFiles:
    """Where a draft of this recipe and these photos is or will be: another dataset gets another folder."""
    for number in range(1, 1000):
        files = DraftFiles(folder / (name if number == 1 else f"{name}-{number}"))
        if not files.exists() or files.dataset() == dataset:
            return files
    raise OutputError(f"{folder / name}: a thousand drafts have this name; remove some")


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # asyncio sends at once (TCP_NODELAY) only if the protocol is named; otherwise an answer waits 40 ms for an ACK
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        if os.name != "nt":  # there it would let a second process take the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        raise OutputError(f"{host}:{port}: cannot be opened: {error.strerror}; choose another port=") from None
    with listener:
        yield listener


def _serve(studio: Studio, listener: socket.socket, host: str) -> None:
    """Answer requests in a thread, and work in this one, so that Ctrl-C stops the work."""
    import uvicorn

    from darkroom.studio.guard import Guard
    from darkroom.studio.server import Pages

    port = listener.getsockname()[1]
    is_local = host in (_LOOPBACK, "::1", "localhost")
    token = None if is_local else secrets.token_urlsafe(24)
    own = [socket.gethostname(), socket.getfqdn(), *([] if host in _ANY else [host])]
    names = ["localhost", "127.0.0.1", "[::1]"] if is_local else ["localhost", *own]
    pages = Pages(studio)
    guard = Guard(pages.app(), names, port, token, pages.reports)
    server = uvicorn.Server(uvicorn.Config(guard, log_level="warning", timeout_graceful_shutdown=2, lifespan="off"))
    thread = threading.Thread(target=_run_quietly, args=(server, listener), daemon=True)
    thread.start()
    shown = _own_address() if host in _ANY else f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}/" + (f"?token={token}" if token else "")
    print(f"studio: {address}\nsaved in {studio.draft.files.folder}; stop with Ctrl-C", flush=True)
    if sys.stdout.isatty():
        webbrowser.open(address)
    try:
        studio.worker.run()
    except KeyboardInterrupt:
        print("the studio has stopped; everything is saved", flush=True)
    finally:
        studio.close()
        pages.events.tell(None)
        server.should_exit = True
        thread.join(5)


def _run_quietly(server: uvicorn.Server, listener: socket.socket) -> None:
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    server.run(sockets=[listener])


def _own_address() -> str:
    """The address by which other machines reach this one; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # for documentation (RFC 5737): chooses the usual interface
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()
