"""The studio over HTTP. `docs/studio.md` of the repository lists the requests."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from functools import wraps
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from darkroom.errors import DarkroomError, OutputError, PhotoError, RecipeError, RecordError
from darkroom.imaging.codec import decode_photo
from darkroom.studio.clicks import Clicks
from darkroom.studio.draft import Conflict
from darkroom.studio.events import Events
from darkroom.studio.photos import view
from darkroom.studio.requests import body_of, made_change, revision_of, view_of, whole
from darkroom.studio.review import RunFolder, runs_in
from darkroom.studio.studio import NoClicks, Studio
from darkroom.system.file_names import is_portable

PAGE = Path(__file__).parent / "page"

_TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
_IMAGES = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}
_MAX_LISTED = 1000  # photos in one answer
_MAX_RUNS = 200  # shown

# A run's own page may come from a stranger: it runs in a sandbox, without an origin.
_REPORT_POLICY = (
    "sandbox allow-scripts allow-popups; default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'"
)

Handler = Callable[["Pages", Request], Any]


def _answered(handler: Handler) -> Callable[[Pages, Request], Awaitable[Response]]:
    """Run a handler in a thread and make a response of what it returns or raises."""

    @wraps(handler)
    async def answer(pages: Pages, request: Request) -> Response:
        try:
            request.state.body = await body_of(request)
            made = await run_in_threadpool(handler, pages, request)
        except Conflict as error:
            return JSONResponse({"error": str(error), "revision": pages.studio.draft.state.revision}, 409)
        except (RecipeError, RecordError, PhotoError, ValueError) as error:
            return JSONResponse({"error": str(error)}, 404 if isinstance(error, RecordError) else 422)
        except ClientDisconnect:
            return Response(status_code=499)  # nobody reads it
        except OutputError as error:
            return JSONResponse({"error": str(error)}, 507)
        except DarkroomError as error:
            return JSONResponse({"error": str(error)}, 422)
        return made if isinstance(made, Response) else JSONResponse(made)

    return answer


class Pages:
    """The handlers of requests.

    Args:
        studio: what they work on.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.events = Events()
        self.reports = f"/reports/{secrets.token_urlsafe(24)}/"
        studio.tell = self.events.tell

    def app(self) -> Starlette:
        """The application."""
        photo, run = "/api/photos/{index}", "/api/runs/{name}"
        return Starlette(
            routes=[
                _get("/", self.page),
                _get("/page/{name}", self.page),
                _get("/api/studio", self.describe),
                _get("/api/events", self.events.stream),
                _get("/api/photos", self.photos),
                _get(photo, self.photo),
                _get(f"{photo}/thumbnail", self.thumbnail),
                _get(f"{photo}/view", self.photo_view),
                _get(f"{photo}/mask", self.mask),
                _post(f"{photo}/clicks", self.click),
                _post(f"{photo}/paint", self.paint),
                _post("/api/draft", self.change),
                _post("/api/current", self.show),
                _post("/api/run", self.run),
                _post("/api/cancel", self.cancel),
                _post("/api/save", self.save),
                _get("/api/results/{result}/view", self.result_view),
                _get("/api/results/{result}/picture.png", self.result_file),
                _get("/api/runs", self.runs),
                _get(run, self.review),
                _post(f"{run}/review", self.decide),
                _get(f"{run}/pictures/{{number}}/{{what}}", self.run_picture),
                _get(f"{run}/files/index.html", self.report),
                _get(self.reports + "{name}/{path:path}", self.run_file),
            ]
        )

    async def page(self, request: Request) -> Response:
        """The page itself and its files."""
        name = request.path_params.get("name", "index.html")
        path = PAGE / name
        if len(name) > 80 or not is_portable(name) or path.suffix not in _TYPES or not path.is_file():
            return JSONResponse({"error": "no such page"}, 404)
        return FileResponse(path, media_type=_TYPES[path.suffix], headers={"Cache-Control": "no-cache"})

    @_answered
    def describe(self, request: Request) -> Any:
        """The recipe and everything around it."""
        return self.studio.describe()

    @_answered
    def photos(self, request: Request) -> Any:
        """Names and states of photos."""
        start, count = (whole(request.query_params.get(key), other) for key, other in (("start", 0), ("count", 500)))
        photos = self.studio.list_photos(start, min(count, _MAX_LISTED))
        return {"total": len(self.studio.photos), "photos": photos}

    @_answered
    def photo(self, request: Request) -> Any:
        """One photo."""
        return self.studio.photo(self._index(request))

    @_answered
    def thumbnail(self, request: Request) -> Any:
        """A photo, small."""
        index = self._index(request)
        tag = f'"{sha256(repr(self.studio.photos.version(index)).encode()).hexdigest()[:16]}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(self.studio.photos.thumbnail(index), media_type="image/jpeg", headers=headers)

    @_answered
    def photo_view(self, request: Request) -> Any:
        """A part of a photo, for the screen."""
        edit = self.studio.photos.open(self._index(request)).edit
        return _jpeg(edit.flattened, edit.icc, request)

    async def mask(self, request: Request) -> Response:
        """A mask, for the screen."""
        query = request.query_params
        try:
            future = self.studio.mask(
                self._index(request),
                query.get("until", ""),
                query.get("exact") == "1",
                *view_of(request),
                query.get("tab", ""),
            )
            picture, figures = await asyncio.wrap_future(future)
        except (CancelledError, asyncio.CancelledError):
            return Response(status_code=204)
        except (DarkroomError, ValueError) as error:
            return JSONResponse({"error": str(error), "empty": isinstance(error, NoClicks)}, 422)
        return Response(picture, media_type="image/png", headers={"X-Darkroom": json.dumps(figures)})

    @_answered
    def click(self, request: Request) -> Any:
        """Set the clicks on a photo."""
        body = request.state.body
        return self.studio.click(self._index(request), revision_of(body), str(body.get("stage")), Clicks.of(body))

    @_answered
    def change(self, request: Request) -> Any:
        """Change the recipe."""
        body = request.state.body
        revision, change = revision_of(body), body.get("change")
        if not isinstance(change, dict):
            raise ValueError("change: should be an object")
        if change.get("do") == "second_pass":
            self.studio.second_pass(revision, str(change.get("result")))
        elif change.get("do") == "undo":
            self.studio.undo(revision)
        else:
            what = f"{change.get('stage')} {change.get('parameter')}" if change.get("do") == "set" else ""
            self.studio.change(revision, made_change(change), what)
        return self.studio.describe(with_ops=False)

    @_answered
    def show(self, request: Request) -> Any:
        """Note which photo is looked at."""
        self.studio.show(self._known(whole(request.state.body.get("index"), -1)))
        return {}

    @_answered
    def paint(self, request: Request) -> Any:
        """Paint one photo."""
        self.studio.paint(self._index(request))
        return {"job": self.studio.job()}

    @_answered
    def run(self, request: Request) -> Any:
        """Run the recipe on all photos."""
        rejected_of = request.state.body.get("rejected_of")
        self.studio.run(None if rejected_of is None else str(rejected_of))
        return {"job": self.studio.job()}

    @_answered
    def cancel(self, request: Request) -> Any:
        """Stop the run that goes on."""
        self.studio.cancel()
        return {}

    @_answered
    def save(self, request: Request) -> Any:
        """Write the recipe into the current folder."""
        name = request.state.body.get("name")
        if not isinstance(name, str) or not re.fullmatch(r"[\w-]{1,60}", name) or not is_portable(name):
            raise ValueError("a name has 1 to 60 letters, digits, - or _")
        return self.studio.save(name)

    @_answered
    def result_view(self, request: Request) -> Any:
        """A painted picture, for the screen."""
        run, number = self.studio.runs.find(request.path_params["result"])
        return _picture(run, number, "result", request)

    @_answered
    def result_file(self, request: Request) -> Any:
        """A painted picture, as it is."""
        run, number = self.studio.runs.find(request.path_params["result"])
        return Response(_file_of(run, number, "result"), media_type="image/png")

    @_answered
    def runs(self, request: Request) -> Any:
        """The newest runs."""
        found = (run.summary() for run, _ in zip(runs_in(self.studio.outputs), range(_MAX_RUNS), strict=False))
        return {"runs": list(found)}

    @_answered
    def review(self, request: Request) -> Any:
        """One run."""
        run = self._run(request)
        return {**run.summary(), "pictures": list(run.pictures()), **run.review()}

    @_answered
    def decide(self, request: Request) -> Any:
        """Approve or reject a picture."""
        run, decision = self._run(request), request.state.body.get("decision")
        if decision not in (None, "approved", "rejected"):
            raise ValueError("decision: approved, rejected or null")
        run.decide(whole(request.state.body.get("number"), -1), decision)
        return run.review()

    @_answered
    def run_picture(self, request: Request) -> Any:
        """A picture of a run, for the screen."""
        return _picture(
            self._run(request), whole(request.path_params["number"], -1), request.path_params["what"], request
        )

    @_answered
    def report(self, request: Request) -> Any:
        """The way to a run's own page."""
        return RedirectResponse(f"{self.reports}{quote(self._run(request).folder.name)}/index.html", 307)

    @_answered
    def run_file(self, request: Request) -> Any:
        """A run's own page, and the pictures in it."""
        path = request.path_params["path"]
        kind = {".html": "text/html", **_IMAGES}.get(Path(path).suffix)
        if kind is None:
            raise RecordError(f"{path:.80}: is not shown")
        try:
            data = self._run(request).files.read(path)
        except OSError:
            raise RecordError(f"{path:.80}: no such file in the run folder") from None
        return Response(data, media_type=kind, headers={"Content-Security-Policy": _REPORT_POLICY})

    def _index(self, request: Request) -> int:
        return self._known(whole(request.path_params["index"], -1))

    def _known(self, index: int) -> int:
        if not 0 <= index < len(self.studio.photos):
            raise RecordError(f"there is no photo {index}")
        return index

    def _run(self, request: Request) -> RunFolder:
        return RunFolder(self.studio.outputs, request.path_params["name"])


def _get(path: str, work: Any) -> Route:
    return Route(path, work, methods=["GET"])


def _post(path: str, work: Any) -> Route:
    return Route(path, work, methods=["POST"])


def _jpeg(image: Any, icc: bytes | None, request: Request) -> Response:
    return Response(view(image, icc, *view_of(request)), media_type="image/jpeg")


def _picture(run: RunFolder, number: int, what: str, request: Request) -> Response:
    """A picture of a run: `result`, `photo` or `mask`, for the screen; or its `thumbnail` as it is."""
    data = _file_of(run, number, what)
    if what == "thumbnail":
        return Response(data, media_type="image/jpeg")
    decoded = decode_photo(data)
    return _jpeg(decoded.pixels, decoded.icc, request)


def _file_of(run: RunFolder, number: int, what: str) -> bytes:
    line = run.line(number)
    paths = {
        "result": line["result"],
        "photo": line["source"],
        "mask": line["mask"],
        "thumbnail": line["thumbnails"].get("result") or line["thumbnails"].get("source"),
    }
    path = paths.get(what)
    if path is None:
        raise RecordError(f"picture {number} has no {what:.20}")
    try:
        return run.files.read(path)
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from None
