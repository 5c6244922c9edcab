"""A person paints masks with the brush, in a real browser, with mouse, keys and finger."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from darkroom.imaging.strokes import Stroke, painted
from studio.conftest import OpenDesk
from support.in_process import CliInProcess
from support.runs import Cli, journal, pixels
from support.studio import PATIENCE, Desk, StudioProcess, wait_for

SIZE = (1500, 1000)
STAGES = "{drawn: {op: mask_file}, background: {colour: white}}"
CLICKED = "{thing: {op: grabcut, iterations: 1}, background: {colour: white}}"


def opened(cli: Cli | CliInProcess, stages: str = STAGES) -> StudioProcess:
    """A studio on a photo of `SIZE` with a red box in it."""
    (cli.folder / "photos").mkdir()
    photo = Image.new("RGB", SIZE, (90, 110, 100))
    photo.paste((200, 40, 40), (300, 300, 900, 700))
    photo.save(cli.folder / "photos/1.png")
    (cli.folder / "brushed.yaml").write_text(f"dataset: {{images: photos}}\nstages: {stages}\n")
    return StudioProcess(cli, "recipe=brushed.yaml")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioProcess]:
    with opened(Cli(tmp_path_factory.mktemp("brush"))) as made:
        yield made


def drag(tab: Desk, way: Sequence[tuple[float, float]], button: Any = "left") -> None:
    """Move the pressed mouse along some pixels of the photo."""
    places = [tab.ask(f"darkroom.toScreen({x - 0.5}, {y - 0.5})") for x, y in way]
    tab.page.mouse.move(places[0]["x"], places[0]["y"])
    tab.page.mouse.down(button=button)
    for at in places[1:]:
        tab.page.mouse.move(at["x"], at["y"], steps=5)
    tab.page.mouse.up(button=button)


def saved(studio: StudioProcess, count: int, stage: str = "drawn") -> list[Stroke]:
    """The strokes on the photo, as the server has them, once there are as many."""
    wait_for(lambda: len(studio.saved_clicks(0, stage)["strokes"]) == count, f"{count} strokes")
    found = studio.saved_clicks(0, stage)["strokes"]
    return [Stroke(tuple(map(tuple, each["points"])), each["radius"], each["erase"]) for each in found]


def mask_on_disk(studio: StudioProcess, strokes: Sequence[Stroke]) -> np.ndarray:
    """The mask that the draft's recipe names, after checking that it is that of the strokes."""
    recipe = (studio.draft / "recipe.yaml").read_text()
    (path,) = [each for each in (studio.draft / "masks").iterdir() if each.name in recipe]
    mask = np.asarray(Image.open(path))
    assert np.array_equal(mask, painted(np.zeros(SIZE[::-1], np.uint8), strokes))
    return mask


def fresh(studio: StudioProcess, desk: OpenDesk, **options: Any) -> Desk:
    tab = desk(studio, **options)
    if tab.page.get_by_test_id("clear").is_enabled():
        tab.tap("clear")
        saved(studio, 0)
    return tab


@pytest.mark.parametrize("zoom", [0, 3])
def test_a_stroke_sets_the_pixels_under_the_brush(studio: StudioProcess, desk: OpenDesk, zoom: int) -> None:
    tab = fresh(studio, desk)
    tab.page.mouse.move(*(tab.ask(f"darkroom.toScreen(700, 500).{axis}") for axis in "xy"))
    for _ in range(zoom):
        tab.page.mouse.wheel(0, -120)
    tab.page.get_by_test_id("brush-radius").fill("0.5")
    radius = int(tab.wait_for_text("brush-size", r"^\d+ px").split()[0])
    assert radius == 32  # 1000 ** 0.5
    drag(tab, [(600, 450), (800, 450), (800, 550)])
    mask = mask_on_disk(studio, saved(studio, 1))
    css_px = 1000 / (tab.ask("darkroom.toScreen(1000, 0).x") - tab.ask("darkroom.toScreen(0, 0).x"))
    y, x = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    along = np.hypot(np.maximum(0, np.maximum(600 - x, x - 800)), y - 450)
    down = np.hypot(x - 800, np.maximum(0, np.maximum(450 - y, y - 550)))
    far = np.minimum(along, down)
    assert (mask[far < radius - css_px - 1] == 255).all() and (mask[far > radius + css_px + 1] == 0).all()


def test_keys_and_buttons_paint_erase_resize_and_take_back(studio: StudioProcess, desk: OpenDesk) -> None:
    tab = fresh(studio, desk)
    size = tab.page.get_by_test_id("brush-size")
    before = int((size.text_content() or "").split()[0])
    tab.press("]", "]", "[")
    assert int((size.text_content() or "").split()[0]) > before
    drag(tab, [(200, 200), (700, 200)])
    drag(tab, [(300, 200), (320, 200)], button="right")
    tab.page.keyboard.down("Shift")
    drag(tab, [(500, 200), (520, 200)])
    tab.page.keyboard.up("Shift")
    tab.press("e")
    drag(tab, [(600, 200), (620, 200)])
    tab.press("e")
    strokes = saved(studio, 4)
    assert [stroke.erase for stroke in strokes] == [False, True, True, True]
    mask = mask_on_disk(studio, strokes)
    assert [mask[200, x] for x in (220, 310, 430, 510, 610, 690)] == [255, 0, 255, 0, 0, 255]
    tab.press("z", "Control+z")
    assert saved(studio, 2) == strokes[:2]
    tab.press("Control+Shift+z")
    assert saved(studio, 3) == strokes[:3]
    tab.page.reload()
    tab.wait("window.darkroom?.openings.length > 0")
    assert tab.ask("darkroom.clicks.strokes.length") == 3
    tab.wait_for_text("mask-info", r"\d %")
    tab.press("x")
    assert saved(studio, 0) == []


def test_a_stroke_is_seen_at_once_and_again_when_the_mask_is_there(studio: StudioProcess, desk: OpenDesk) -> None:
    tab = fresh(studio, desk)
    at = tab.ask("darkroom.toScreen(1200, 800)")

    def shown() -> np.ndarray:
        return tab.screenshot()[round(at["y"]), round(at["x"])].astype(int)

    plain, before = shown(), tab.ask("darkroom.latencies.length")
    held: list[Any] = []
    free: list[bool] = []
    tab.page.route("**/mask*", lambda route: route.continue_() if free else held.append(route))  # not yet
    drag(tab, [(1100, 800), (1300, 800)])
    tab.page.mouse.move(400, 300)
    wait_for(lambda: shown()[0] - shown()[1] > plain[0] - plain[1] + 30, "the stroke in violet")
    ahead = shown()
    free.append(True)
    for route in held:
        route.continue_()
    tab.wait(f"darkroom.latencies.length > {before}")
    assert np.abs(shown() - ahead).max() <= 2, "the mask looks like the stroke did"


@pytest.mark.fault(
    "The studio",
    "strokes in a request of another web site, of over 1 MB, or malformed",
    "refused; what was painted stays",
)
def test_hostile_requests_paint_nothing(studio: StudioProcess, desk: OpenDesk) -> None:
    tab = fresh(studio, desk)
    drag(tab, [(100, 100), (200, 100)])
    before = saved(studio, 1)

    def post(strokes: Any, **headers: str) -> int:
        body = {"revision": studio.get("/api/studio")["revision"], "stage": "drawn", "strokes": strokes}
        headers = {"Content-Type": "application/json", **headers}
        request = urllib.request.Request(studio.address + "api/photos/0/clicks", json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    good = [{"points": [[1, 1]], "radius": 2}]
    assert post(good, Origin="http://evil.example") == 403
    assert post([{**good[0], "points": [[1, 1]] * 130_000}]) == 422
    assert post([{**good[0], "radius": 1e12}]) == post([{**good[0], "points": "../../etc"}]) == post({"a": 1}) == 422
    assert saved(studio, 1) == before
    assert post(good) == 200


def test_a_finger_paints_and_a_second_one_does_not(studio: StudioProcess, desk: OpenDesk) -> None:
    tab = fresh(studio, desk, has_touch=True)
    places = [tab.ask(f"darkroom.toScreen({x}, 500)") for x in (400, 600, 900)]
    session = tab.page.context.new_cdp_session(tab.page)

    def touch(kind: str, *fingers: dict[str, float]) -> None:
        points = [{"x": each["x"], "y": each["y"], "id": number} for number, each in enumerate(fingers)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", places[0])
    touch("touchMove", places[1])
    touch("touchStart", places[1], places[2])
    touch("touchEnd")
    (stroke,) = saved(studio, 1)
    xs = [x for x, _ in stroke.points]
    assert min(xs) == pytest.approx(400.5, abs=3) and max(xs) == pytest.approx(600.5, abs=3)


@pytest.mark.slow
@pytest.mark.fault(
    "The studio", "`kill -9` of the server between two strokes; a stroke while it is gone", "all strokes are kept"
)
def test_after_kill_minus_9_all_strokes_are_there(cli: Cli, desk: OpenDesk) -> None:
    with opened(cli) as studio:
        tab = desk(studio)
        drag(tab, [(300, 300), (400, 400)])
        first = saved(studio, 1)
        studio.kill()
        drag(tab, [(600, 600), (700, 650)], button="right")  # nobody is there to hear it
        tab.page.get_by_test_id("banner").wait_for(state="visible")
        studio.restart()
        strokes = saved(studio, 2)
        assert strokes[:1] == first and strokes[1].erase
        assert mask_on_disk(studio, strokes).any()


def test_the_brush_adds_to_clicks_and_the_command_line_makes_the_same_mask(
    quick_cli: CliInProcess, desk: OpenDesk
) -> None:
    with opened(quick_cli, CLICKED) as studio:
        tab = desk(studio)
        drag(tab, [(250, 250), (950, 750)])
        tab.wait_for_text("mask-info", r"\d %")
        tab.press("d")
        tab.tap("brush-union")
        tab.page.get_by_test_id("stage-with_brush").wait_for()
        drag(tab, [(1200, 200), (1300, 300)])
        strokes = saved(studio, 1, "brush")
        tab.wait_for_text("mask-info", r"\d %")
        tab.press("d")  # back to clicks
        tab.wait("document.querySelector('[data-test=brush]').ariaPressed == 'false'")
        assert tab.ask("darkroom.clicks.boxes.length") == 1
        tab.tap("save")
        tab.page.get_by_test_id("save-name").fill("mine")
        tab.tap("save-confirm")
        tab.wait_for_text("save-answer", "recipe=mine.yaml")
        assert mask_on_disk(studio, strokes).any()
    (mask,) = (quick_cli.folder / "mine_masks").iterdir()
    done = quick_cli("recipe=mine.yaml", "outputs=fresh")
    assert done.returncode == 0, done.stderr
    (run,) = (quick_cli.folder / "fresh").glob("2*")
    (line,) = journal(run)
    drawn, found, joined = (pixels(run / step["mask"]) for step in line["steps"][1:4])
    assert np.array_equal(drawn, np.asarray(Image.open(mask)))
    assert np.array_equal(joined, np.maximum(drawn, found)) and found[500, 600] == 255
