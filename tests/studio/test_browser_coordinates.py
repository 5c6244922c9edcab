"""A click on a photo names the pixel under the mouse, however the page is shown.

The photos have coloured discs at known places. The test finds them in a screenshot, as an eye would, and clicks there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from studio.conftest import OpenDesk
from support.runs import Cli
from support.studio import Desk, StudioProcess, wait_for

UPRIGHT = (4000, 6000)  # px, of a photo whose file has 6000 x 4000
DISCS = {  # colour -> centre, in px of the upright photo
    (255, 0, 255): (300, 1300),
    (0, 255, 255): (3600, 1500),
    (255, 255, 0): (2100, 3300),
    (0, 0, 255): (450, 5600),
    (0, 255, 0): (3500, 5500),
}
RADIUS = 60
TURNED = {6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE}  # from upright to what the file holds


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioProcess]:
    cli = Cli(tmp_path_factory.mktemp("coordinates"))
    picture = Image.new("RGB", UPRIGHT, (110, 110, 110))
    for colour, (x, y) in DISCS.items():
        ImageDraw.Draw(picture).ellipse((x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS), fill=colour)
    for orientation, turn in TURNED.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        (cli.folder / "photos").mkdir(exist_ok=True)
        picture.transpose(turn).save(cli.folder / f"photos/{orientation}.jpg", exif=exif)
    (cli.folder / "clicks.yaml").write_text(
        "dataset: {images: photos}\nstages: {thing: {op: grabcut, iterations: 1}}\n"
    )
    with StudioProcess(cli, "recipe=clicks.yaml") as studio:
        yield studio


def as_it_opens(desk: Desk) -> None:
    pass


def full_screen(desk: Desk) -> None:
    desk.press("f")
    desk.wait("document.fullscreenElement !== null")


def zoomed(desk: Desk) -> None:
    """Into the middle with the wheel, then away from it with the space bar."""
    desk.page.mouse.move(500, 400)
    for _ in range(4):
        desk.page.mouse.wheel(0, -240)
    desk.page.keyboard.down("Space")
    desk.page.mouse.down()
    desk.page.mouse.move(537, 421, steps=3)
    desk.page.mouse.up()
    desk.page.keyboard.up("Space")


def css_zoom(desk: Desk) -> None:
    desk.ask("document.documentElement.style.zoom = '1.5'")


WINDOWS: dict[str, tuple[dict[str, Any], Callable[[Desk], None], int]] = {
    "as it opens": ({}, as_it_opens, 5),
    "browser zoom of 150 %": ({"viewport": {"width": 853, "height": 533}, "device_scale_factor": 1.5}, as_it_opens, 5),
    "device pixel ratio 2": ({"device_scale_factor": 2}, as_it_opens, 5),
    "CSS zoom": ({}, css_zoom, 5),
    "full screen": ({}, full_screen, 5),
    "zoomed and moved": ({"device_scale_factor": 1.25}, zoomed, 1),
}


@pytest.mark.parametrize(
    ("window", "orientation"),
    [
        ("browser zoom of 150 %", 6),
        ("zoomed and moved", 6),
        ("full screen", 7),
        pytest.param("as it opens", 7, marks=pytest.mark.slow),
        pytest.param("device pixel ratio 2", 7, marks=pytest.mark.slow),
        pytest.param("CSS zoom", 6, marks=pytest.mark.slow),
    ],
)
def test_a_click_names_the_pixel_under_the_mouse(
    studio: StudioProcess, desk: OpenDesk, window: str, orientation: int
) -> None:
    options, prepare, least = WINDOWS[window]
    tab = desk(studio, **options)
    photo = tab.open_photo(f"{orientation}.jpg")
    if tab.page.get_by_test_id("clear").is_enabled():
        tab.tap("clear")
    prepare(tab)
    tab.page.wait_for_timeout(300)  # until it has been drawn
    found = discs_on(tab)
    assert len(found) >= least
    for number, (x, y) in enumerate(found.values(), 1):
        tab.page.mouse.click(x, y)
        wait_for(lambda number=number: len(studio.saved_clicks(photo, "thing")["points"]) == number)
    css_px = 1000 / (tab.ask("darkroom.toScreen(1000, 0).x") - tab.ask("darkroom.toScreen(0, 0).x"))
    saved = studio.saved_clicks(photo, "thing")["points"]
    assert np.abs(np.array(saved) - [DISCS[colour] for colour in found]).max() <= css_px + 1


def discs_on(desk: Desk) -> dict[tuple[int, int, int], tuple[float, float]]:
    """The centres of the discs that are wholly in sight, in CSS px of the window, by colour."""
    box = desk.page.get_by_test_id("canvas").bounding_box()
    assert box
    shown, ratio = desk.screenshot(), desk.ask("devicePixelRatio")
    left, top = round(box["x"] * ratio), round(box["y"] * ratio)
    canvas = shown[top : top + round(box["height"] * ratio), left : left + round(box["width"] * ratio)].astype(int)
    found = {}
    for colour in DISCS:
        rows, columns = np.nonzero(np.abs(canvas - colour).max(axis=2) < 70)
        if not rows.size or rows.min() == 0 or columns.min() == 0:
            continue
        if rows.max() == canvas.shape[0] - 1 or columns.max() == canvas.shape[1] - 1:
            continue
        found[colour] = ((left + columns.mean() + 0.5) / ratio, (top + rows.mean() + 0.5) / ratio)
    return found
