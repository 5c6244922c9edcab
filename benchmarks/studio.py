"""`make bench-studio`: how long somebody waits in the studio, in a headless browser on this machine.

A click counts from the release of the mouse button until its mask is drawn, opening a photo from the key until it is
drawn: the page measures both. Every line has the median of the measurements, and the lowest and the highest. SAM at
full size has random weights, which take as long as real ones.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from darkroom.models.names import SAM_CHECKPOINTS
from full_size.real import write_sam
from support.runs import CAR, ROOT, Cli
from support.studio import Desk, StudioProcess, headless_browser

CLICKS, PHOTOS = 30, 6
REST = 8_000  # ms, in which the next photos are encoded
SMALL, LARGE = (768, 512), (6000, 4000)  # px
RECIPE = "dataset: {images: photos}\nstages: {thing: {op: sam}}\n"
PLACES = [(x, y) for y in (0.3, 0.45, 0.6, 0.75, 0.9) for x in (0.1, 0.25, 0.4, 0.55, 0.7, 0.85)]  # shares of the photo


def write_photos(folder: Path, size: tuple[int, int], count: int) -> None:
    """So many pictures of a car, no two of the same bytes."""
    (folder / "photos").mkdir()
    with Image.open(CAR) as image:
        large = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    for number in range(count):
        large.paste((number, 0, 0), (0, 0, 16, 16))
        large.save(folder / f"photos/{number}.jpg", quality=90)


@contextmanager
def tab(size: tuple[int, int], count: int = 1, *words: str) -> Iterator[Desk]:
    """The studio's page, on photos of this size."""
    with tempfile.TemporaryDirectory() as name, headless_browser() as browser:
        if isinstance(browser, str):
            sys.exit(browser)
        folder = Path(name)
        write_photos(folder, size, count)
        (folder / "click.yaml").write_text(RECIPE)
        with StudioProcess(Cli(folder), "recipe=click.yaml", "models=miniature", *words) as studio:
            yield Desk(browser.new_page(viewport={"width": 1280, "height": 800}), studio)


def clicks(desk: Desk, size: tuple[int, int]) -> tuple[list[float], list[float]]:
    """Waiting times of single clicks, and what of them is the server's, in ms; without the first click."""
    served: list[float] = []

    def note(response: Any) -> None:
        if "/mask?" in response.url and "exact=0" in response.url and response.status == 200:
            served.append(json.loads(response.headers["x-darkroom"])["milliseconds"])

    desk.page.on("response", note)
    for x, y in [(0.5, 0.5), *PLACES]:
        desk.press("x")
        desk.page.wait_for_timeout(400)  # a person looks at the mask
        desk.mark(round(x * size[0]), round(y * size[1]))
    desk.page.wait_for_timeout(400)
    return desk.ask("darkroom.latencies")[-CLICKS:], served[-CLICKS:]


def report_clicks(name: str, size: tuple[int, int], *words: str) -> None:
    """Measure and print clicks on one photo."""
    with tab(size, 1, *words) as desk:
        drawn, served = clicks(desk, size)
    report(f"click to mask drawn, {name}", drawn)
    report(f"    of this in the server, {name}", served)


def report_openings(name: str, key: str, count: int) -> None:
    """Measure and print what it takes to open photos of 24 megapixels with a key, and the first click on each."""
    with tab(LARGE, count) as desk:
        desk.page.wait_for_timeout(REST)
        times = [opened(desk, key) for _ in range(PHOTOS)]
    report(f"open {name}, 24 megapixels", [opening for opening, _ in times])
    report(f"    the first click on {name}", [click for _, click in times])


def opened(desk: Desk, key: str) -> tuple[float, float]:
    """Open another photo and click on it at once, then rest; both times in ms."""
    before = desk.ask("darkroom.openings.length")
    desk.page.locator("#photos [role=listbox]").press(key)
    desk.wait(f"darkroom.openings.length > {before}")
    desk.mark(LARGE[0] // 2, LARGE[1] // 2)
    times: tuple[float, float] = tuple(desk.ask("[darkroom.openings.at(-1), darkroom.latencies.at(-1)]"))
    desk.page.wait_for_timeout(REST)
    return times


def report(name: str, times: Sequence[float]) -> None:
    spread = f"({min(times):.0f} to {max(times):.0f}, {len(times)} times)"
    print(f"{statistics.median(times):7.0f} ms  {name}   {spread}", flush=True)


def main() -> None:
    """Measure and print."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    print(f"commit {commit}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    report_clicks("miniature SAM, 768 x 512", SMALL)
    report_clicks("miniature SAM, 6000 x 4000", LARGE)
    report_openings("the next photo", "ArrowDown", PHOTOS + 2)
    report_openings("a photo further on", "PageDown", 10 * PHOTOS)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / SAM_CHECKPOINTS["vit_b"]
        write_sam(checkpoint)
        report_clicks("SAM ViT-B, 768 x 512", SMALL, f"models.sam={checkpoint}")
    print(f"load {os.getloadavg()[0]:.1f}", flush=True)


if __name__ == "__main__":
    main()
