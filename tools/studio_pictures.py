"""Draws the pictures of docs/studio.md: works in the studio, in a headless browser, and takes screenshots.

    PYTHONPATH=tests:. python tools/studio_pictures.py

It follows the page: three of the examples go to Mars, with the miniature models. It takes some minutes.
"""

from __future__ import annotations

import shutil
from io import BytesIO

from PIL import Image

from support.runs import ROOT, Cli
from support.studio import Desk, StudioProcess, headless_browser

FOLDER, OUTPUTS = ROOT / "docs/pictures/studio", ROOT / "outputs/pictures"
WINDOW = {"width": 1200, "height": 750}
OBJECTS = {"dog.png": (440, 330), "horse.png": (380, 300), "car.png": (330, 360)}


def take(desk: Desk, name: str, quality: int = 82) -> None:
    """Save what the window shows as `docs/pictures/studio/NAME.jpg`."""
    desk.page.mouse.move(600, 12)
    desk.page.wait_for_timeout(6000)  # until messages are gone and the mask is sharp
    with Image.open(BytesIO(desk.page.screenshot())) as image:
        image.convert("RGB").save(FOLDER / f"{name}.jpg", quality=quality, optimize=True)


def work(desk: Desk) -> None:
    """The work that the page describes."""
    for photo, place in OBJECTS.items():
        desk.open_photo(photo)
        desk.mark(*place)
    take(desk, "click")
    desk.tap("stage-refine")
    desk.fill("refine", "grow", "-2")
    desk.fill("inpaint", "prompt", "red desert of Mars, dusty sky")
    desk.fill("inpaint", "seed", "0, 1")
    desk.fill("inpaint", "guidance_scale", "3")
    desk.fill("inpaint", "steps", "20")
    desk.tap("paint")
    desk.wait("document.querySelectorAll('[data-test=result]').length == 2")
    desk.page.get_by_role("button", name="seed 0").click()
    if desk.page.get_by_test_id("compare").get_attribute("aria-pressed") == "false":
        desk.tap("compare")
    take(desk, "compare")
    desk.tap("run-all")
    desk.tap("run-confirm")
    desk.page.get_by_role("button", name="Review").click(timeout=600_000)
    desk.wait_for_text("review-count", "6 pictures")
    desk.press("a", "r", "a", "ArrowUp", "ArrowUp")
    desk.wait_for_text("review-count", "2 approved, 1 rejected")
    take(desk, "review")


def brush(desk: Desk) -> None:
    """A stroke that adds to the mask of a car."""
    desk.open_photo("car.png")
    desk.mark(*OBJECTS["car.png"])
    desk.press("d")
    desk.tap("brush-union")
    desk.page.get_by_test_id("stage-with_brush").wait_for()
    places = [desk.ask(f"darkroom.toScreen({x}, {y})") for x, y in ((150, 446), (260, 452), (520, 446))]
    for number, at in enumerate(places):
        desk.page.mouse.move(at["x"], at["y"], steps=10)
        if number == 0:
            desk.page.mouse.down()
    desk.page.mouse.up()
    take(desk, "brush", quality=68)


def main() -> None:
    """Start the studio on the examples, as somebody does who has just cloned the repository, and work."""
    FOLDER.mkdir(exist_ok=True)
    OUTPUTS.mkdir(parents=True)
    words = ("dataset.images=examples", "models=miniature", f"outputs={OUTPUTS.relative_to(ROOT)}")
    try:
        with headless_browser() as browser, StudioProcess(Cli(ROOT), *words) as studio:
            assert not isinstance(browser, str), browser
            work(Desk(browser.new_page(viewport=WINDOW), studio))
        shutil.rmtree(OUTPUTS / "studio")
        with headless_browser() as browser, StudioProcess(Cli(ROOT), *words) as studio:
            assert not isinstance(browser, str), browser
            brush(Desk(browser.new_page(viewport=WINDOW), studio))
    finally:
        shutil.rmtree(OUTPUTS)


if __name__ == "__main__":
    main()
