"""The studio in its own process, and a browser that works in it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from PIL import Image

from support.runs import Cli

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

T = TypeVar("T")

PATIENCE = 60  # seconds before a test gives up; a busy machine is no failure
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class StudioProcess:
    """`python run.py studio` in a process of its own, from `with` to the end of the block.

    Args:
        cli: where it starts.
        words: after `studio`.
    """

    def __init__(self, cli: Cli, *words: str) -> None:
        self.cli, self._words = cli, words
        self._process: subprocess.Popen[str] | None = None
        self.address = ""

    def __enter__(self) -> StudioProcess:
        self.start(0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end(signal.SIGINT)

    def start(self, port: int) -> None:
        """Start it, and wait until it has printed its address."""
        self._process = self.cli.start("studio", *self._words, f"port={port}")
        assert self._process.stdout
        late = threading.Timer(PATIENCE, self._process.kill)
        late.start()
        printed = self._process.stdout.readline()
        late.cancel()
        found = re.fullmatch(r"studio: (http://\S+)\n", printed)
        assert found, printed + self.end(signal.SIGKILL)
        self.address = found[1]

    def end(self, sign: signal.Signals) -> str:
        """Send a signal and wait; returns what it printed."""
        assert self._process
        self._process.send_signal(sign)
        try:
            return self._process.communicate(timeout=PATIENCE)[0]
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise

    def kill(self) -> None:
        """`kill -9`."""
        self.end(signal.SIGKILL)

    def restart(self) -> None:
        """The same command on the same port."""
        self.start(int(self.address.rstrip("/").rpartition(":")[2]))

    def get(self, path: str) -> Any:
        """The JSON at a path."""
        with urllib.request.urlopen(self.address.rstrip("/") + path, timeout=PATIENCE) as answer:
            return json.load(answer)

    def saved_clicks(self, photo: int, stage: str) -> dict[str, Any]:
        """The clicks on a photo, as the server has them."""
        clicks: dict[str, Any] = self.get(f"/api/photos/{photo}")["clicks"][stage]
        return clicks

    @property
    def draft(self) -> Path:
        """The folder of its draft."""
        return self.cli.folder / self.get("/api/studio")["folder"]


def wait_for(ask: Callable[[], T], what: str = "") -> T:
    """The first answer that is true."""
    end = time.monotonic() + PATIENCE
    while not (answer := ask()):
        assert time.monotonic() < end, f"not within {PATIENCE} s: {what}"
        time.sleep(0.02)
    return answer


@contextmanager
def headless_browser() -> Iterator[Browser | str]:
    """A browser without a window, or why there is none."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        yield "playwright is not installed: pip install -e '.[dev]'"
        return
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        yield f"no browser: none of {', '.join(BROWSERS)} is on PATH (Debian: apt install chromium)"
        return
    with sync_playwright() as playwright:
        playwright.selectors.set_test_id_attribute("data-test")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Desk:
    """One tab with the studio's page. The page's own content policy holds, so all scripts here are expressions.

    Args:
        page: the tab.
        studio: whose page it shows.
    """

    def __init__(self, page: Page, studio: StudioProcess) -> None:
        self.page, self.studio = page, studio
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        page.goto(studio.address)
        self.wait("window.darkroom?.openings.length > 0")

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        return self.page.evaluate(expression)

    def wait(self, expression: str) -> Any:
        """Wait until an expression is true."""

        def is_true() -> Any:
            assert not self.complaints
            return self.ask(expression)

        return wait_for(is_true, expression)

    def wait_for_text(self, test: str, pattern: str) -> str:
        """Wait until the text of an element matches; returns the text."""
        element = self.page.get_by_test_id(test)
        wait_for(lambda: re.search(pattern, element.text_content() or ""), f"{test}: {pattern}")
        return element.text_content() or ""

    def press(self, *keys: str) -> None:
        """Press keys one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def tap(self, test: str) -> None:
        """Click the element with this `data-test`."""
        self.page.get_by_test_id(test).click()

    def fill(self, stage: str, parameter: str, value: str) -> None:
        """Type a value into the field of a parameter of the open stage, and wait until it is saved."""
        revision, field = self.ask("darkroom.revision"), self.page.locator(f"#field-{stage}-{parameter}")
        if not field.is_visible():
            self.page.locator("details", has=field).locator("summary").click()  # "12 more parameters"
        field.fill(value)
        self.wait(f"darkroom.revision > {revision}")

    def point_at(self, x: float, y: float, button: Any = "left", keys: Sequence[str] = ()) -> None:
        """Click on a pixel of the photo."""
        at = self.ask(f"darkroom.toScreen({x}, {y})")
        for key in keys:
            self.page.keyboard.down(key)
        self.page.mouse.click(at["x"], at["y"], button=button)
        for key in keys:
            self.page.keyboard.up(key)

    def mark(self, x: float, y: float, button: Any = "left", keys: Sequence[str] = ()) -> None:
        """Click on a pixel of the photo, and wait until the mask is drawn."""
        before = self.ask("darkroom.latencies.length")
        self.point_at(x, y, button, keys)
        self.wait(f"darkroom.latencies.length > {before}")

    def open_photo(self, name: str) -> int:
        """Open the photo of this name from the list; returns its index."""
        listed = self.studio.get("/api/photos?count=1000")["photos"]
        index: int = next(photo["index"] for photo in listed if photo["name"] == name)
        before = self.ask("darkroom.openings.length")
        self.page.locator(f"#photos [data-index='{index}']").click()
        self.wait(f"darkroom.openings.length > {before}")
        return index

    def screenshot(self) -> np.ndarray:
        """What the window shows, (H, W, 3) uint8 RGB, in device pixels."""
        return np.asarray(Image.open(BytesIO(self.page.screenshot())).convert("RGB"))
