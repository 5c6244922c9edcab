"""A person works in the studio: in a real browser, on a real server, with the miniature models."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from miniature.examples import EXAMPLES
from studio.conftest import OpenDesk
from support.in_process import CliInProcess
from support.runs import ROOT, Cli, iou, journal, pixels
from support.studio import Desk, StudioProcess, wait_for

ON_CAR = (330, 360)
FEW_STEPS = ("stages.inpaint.steps=2", "stages.inpaint.seed=0")
ENDLESS = ("stages.inpaint.steps=900", "stages.inpaint.seed=0")
RESULTS = "document.querySelectorAll('[data-test=result]').length"
CUT_OUT = """
dataset: {images: photos}
stages:
  thing: {op: grabcut, box: [8, 8, 40, 30], iterations: 1}
  background: {colour: white}
"""


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioProcess]:
    """A studio on all examples, for tests that only click."""
    cli = Cli(tmp_path_factory.mktemp("examples"))
    with StudioProcess(cli, f"dataset.images={ROOT}/examples", "models=miniature") as studio:
        yield studio


def cut_out(cli: Cli, names: list[str]) -> StudioProcess:
    """A studio on small photos, with a recipe that needs no model."""
    (cli.folder / "photos").mkdir()
    (cli.folder / "cut_out.yaml").write_text(CUT_OUT)
    photo = Image.new("RGB", (64, 48), (0, 99, 9))
    photo.paste((200, 30, 30), (16, 12, 32, 26))
    photo.save(cli.folder / "photo.png")
    data = (cli.folder / "photo.png").read_bytes()
    for name in names:
        (cli.folder / "photos" / name).write_bytes(data)
    return StudioProcess(cli, "recipe=cut_out.yaml")


def test_a_car_goes_to_mars_and_the_command_line_makes_the_same_bytes(quick_cli: CliInProcess, desk: OpenDesk) -> None:
    with StudioProcess(quick_cli, f"dataset.images={ROOT}/examples", "models=miniature") as studio:
        tab = desk(studio)
        tab.open_photo("car.png")
        tab.fill("inpaint", "prompt", "red desert of Mars, dusty sky")
        tab.mark(*ON_CAR)
        tab.tap("stage-refine")
        tab.fill("refine", "grow", "5")
        tab.fill("inpaint", "seed", "0, 1")
        tab.fill("inpaint", "steps", "2")
        tab.tap("paint")
        tab.wait(f"{RESULTS} == 2")
        tab.page.get_by_role("button", name="seed 1").click()
        tab.tap("second-pass")
        tab.page.get_by_test_id("stage-inpaint_2").wait_for()
        tab.fill("inpaint_2", "steps", "2")
        tab.tap("paint")
        tab.wait(f"{RESULTS} == 3")
        tab.tap("save")
        tab.page.get_by_test_id("save-name").fill("mars")
        tab.tap("save-confirm")
        tab.wait_for_text("save-answer", "recipe=mars.yaml")
        first, second = sorted((quick_cli.folder / "outputs").glob("2*"))

    done = quick_cli("recipe=mars.yaml", "models=miniature", "outputs=fresh")
    assert done.returncode == 0, done.stderr
    (again,) = (quick_cli.folder / "fresh").glob("2*")
    (line,), (painted,) = journal(again), journal(second)
    assert [stage["seed"] for stage in line["settings"] if stage["op"] == "inpaint"] == [1, 0]
    assert (again / line["result"]).read_bytes() == (second / painted["result"]).read_bytes()
    clicked, grown = (pixels(again / step["mask"]) for step in line["steps"][1:3])
    assert iou(clicked, EXAMPLES["car.png"].main().mask) > 0.9
    assert (grown > 0).sum() > (clicked > 0).sum()
    for folder in (first, second):
        same = quick_cli(f"reproduce={folder}")
        assert same.returncode == 0 and "identical" in same.stdout, same.stdout + same.stderr


def test_mouse_and_keys_mark_the_object_and_take_it_back(examples: StudioProcess, desk: OpenDesk) -> None:
    tab = desk(examples)
    photo = tab.open_photo("dog.png")

    def saved(**marks: list) -> None:
        nothing: dict[str, list] = {"points": [], "negative": [], "boxes": [], "strokes": []}
        wait_for(lambda: examples.saved_clicks(photo, "object") == {"choose": "score", **nothing, **marks}, f"{marks}")

    tab.mark(300, 300)
    tab.mark(20, 20, button="right")
    tab.mark(600, 20, keys=["Alt"])
    saved(points=[[300, 300]], negative=[[20, 20], [600, 20]])
    tab.press("z", "Control+z")
    saved(points=[[300, 300]])
    tab.press("Control+Shift+z")
    saved(points=[[300, 300]], negative=[[20, 20]])
    tab.press("x")
    saved()
    start, end = tab.ask("[darkroom.toScreen(99.5, 199.5), darkroom.toScreen(399.5, 499.5)]")
    tab.page.mouse.move(start["x"], start["y"])
    tab.page.mouse.down()
    tab.page.mouse.move(end["x"], end["y"], steps=4)
    tab.page.mouse.up()
    saved(boxes=[[100, 200, 400, 500]])
    for key, choice in {"1": "smallest", "2": "middle", "3": "largest", "s": "score"}.items():
        tab.press(key)
        saved(boxes=[[100, 200, 400, 500]], choose=choice)


def test_keys_move_between_photos_and_views(examples: StudioProcess, desk: OpenDesk) -> None:
    tab = desk(examples)
    photo = tab.open_photo("car.png")
    for key, index in {"ArrowRight": photo + 1, "ArrowLeft": photo, "ArrowDown": photo + 1}.items():
        tab.press(key)
        tab.wait(f"document.querySelector('#photos [aria-selected=true]').dataset.index == {index}")
    for mode in ("outline", "mask", "off", "overlay"):
        tab.press("m")
        tab.wait(f"document.querySelector('[data-test=mode-{mode}]').ariaPressed == 'true'")
    tab.press("?")
    assert tab.page.get_by_role("dialog", name="Keyboard help").is_visible()
    tab.press("Escape", "Control+s")
    assert tab.page.get_by_role("dialog", name="Save").is_visible()


@pytest.mark.slow
@pytest.mark.fault(
    "The studio",
    "`kill -9` of the server while it paints; a click while it is gone",
    "started again, the open page goes on by itself, and all clicks are saved",
)
def test_after_kill_minus_9_the_open_page_goes_on_with_everything(cli: Cli, desk: OpenDesk) -> None:
    with StudioProcess(cli, "recipe=car_on_mars", "models=miniature", *ENDLESS) as studio:
        tab = desk(studio)
        tab.mark(400, 340)
        tab.tap("paint")
        tab.wait("document.querySelector('[data-test=paint-progress]').value > 0")
        studio.kill()
        tab.page.get_by_test_id("banner").wait_for(state="visible")
        tab.point_at(250, 350)  # nobody is there to hear it
        studio.restart()
        tab.page.get_by_test_id("banner").wait_for(state="hidden")
        every = [[330, 360], [400, 340], [250, 350]]
        wait_for(lambda: studio.saved_clicks(0, "car")["points"] == every)
        assert tab.ask("darkroom.clicks.points") == every
        tab.fill("inpaint", "steps", "2")
        tab.tap("paint")
        tab.wait(f"{RESULTS} >= 1")


def test_cancel_stops_a_painting_between_two_steps(cli: Cli, desk: OpenDesk) -> None:
    with StudioProcess(cli, "recipe=car_on_mars", "models=miniature", *ENDLESS) as studio:
        tab = desk(studio)
        tab.tap("paint")
        tab.wait("document.querySelector('[data-test=paint-progress]').value > 0")
        tab.tap("paint-cancel")
        wait_for(lambda: studio.get("/api/studio")["job"]["status"] == "cancelled")  # 900 steps take minutes
        tab.fill("inpaint", "steps", "1")
        tab.tap("paint")
        tab.wait(f"{RESULTS} == 1")


def test_what_one_tab_changes_the_other_shows(examples: StudioProcess, desk: OpenDesk) -> None:
    one, other = desk(examples), desk(examples)
    for tab in (one, other):
        tab.open_photo("horse.png")
    one.mark(400, 300)
    other.wait("darkroom.clicks.points.length == 1")
    other.tap("stage-refine")
    other.fill("refine", "grow", "7")
    one.wait("document.querySelector('#field-refine-grow').value == '7'")
    other.press("Escape", "x")  # out of the field first
    one.wait("darkroom.clicks.points.length == 0")


@pytest.mark.fault(
    "The studio",
    "clicks in two tabs at the same time",
    "on two photos, both are kept; on one photo, the later tab shows what the earlier one saved",
)
@pytest.mark.parametrize("photo", ["car.png", "dog.png"])
def test_tabs_that_write_at_the_same_time_lose_nothing(examples: StudioProcess, desk: OpenDesk, photo: str) -> None:
    """One tab's click on the car is on its way while the other tab clicks on the same photo, or on another one."""
    one, other = desk(examples), desk(examples)
    car, clicked = one.open_photo("car.png"), other.open_photo(photo)
    for tab in (one, other):
        tab.press("x")
    held: list[Any] = []
    one.page.route("**/clicks", lambda route: route.continue_() if held else held.append(route))
    one.point_at(330, 360)
    wait_for(lambda: one.ask("1") and held)  # asking lets the route be seen
    other.point_at(200, 330)
    wait_for(lambda: examples.saved_clicks(clicked, "object")["points"] == [[200, 330]])
    held[0].continue_()
    expected = [[200, 330]] if clicked == car else [[330, 360]]
    wait_for(lambda: one.ask("darkroom.clicks.points") == examples.saved_clicks(car, "object")["points"] == expected)


@pytest.mark.fault("The studio", "a photo called `<img src=x onerror=alert(1)> [2].png`", "its name is text everywhere")
def test_rejected_pictures_are_done_again(quick_cli: CliInProcess, desk: OpenDesk) -> None:
    hostile = "<img src=x onerror=alert(1)> [2].png"
    with cut_out(quick_cli, ["1.png", hostile, "3.png"]) as studio:
        tab = desk(studio)
        tab.tap("run-all")
        tab.tap("run-confirm")
        with tab.page.expect_popup() as popup:
            tab.tap("report")
        assert "cut_out" in popup.value.title()
        tab.page.get_by_role("button", name="Review").click()
        tab.wait_for_text("review-count", "3 pictures, 0 approved")
        order = [picture["photo"] for picture in studio.get(f"/api/runs/{run_name(tab)}")["pictures"]]
        tab.press(*["r" if photo == hostile else "a" for photo in order])
        tab.wait_for_text("review-count", "3 pictures, 2 approved, 1 rejected")
        command = tab.page.locator("[data-test=review-command] code").inner_text()
        assert (studio.cli.folder / f"outputs/{run_name(tab)}/rejected.txt").read_text() == hostile + "\n"
    done = quick_cli(*shlex.split(command)[2:], "outputs=again")
    assert done.returncode == 0, done.stderr
    (again,) = (quick_cli.folder / "again").glob("2*")
    assert [line["photo"] for line in journal(again)] == [hostile]


def run_name(tab: Desk) -> str:
    """The run that is reviewed."""
    name: str = tab.page.get_by_test_id("review-run").input_value()
    return name


def test_of_2000_photos_only_those_in_sight_are_loaded(cli: Cli, desk: OpenDesk) -> None:
    with cut_out(cli, [f"{number:04}.png" for number in range(2000)]) as studio:
        tab = desk(studio)
        asked: list[str] = []
        tab.page.on("request", lambda request: asked.append(request.url) if "thumbnail" in request.url else None)
        tab.wait_for_text("photo-count", "1 of 2,?000")
        tab.page.locator("#photos [role=listbox]").press("End")
        tab.wait_for_text("photo-count", "2,?000 of 2,?000")
        tab.wait("document.querySelector('#photos [data-index=\"1999\"] img').naturalWidth > 0")
        assert any("/1999/" in url for url in asked)
        assert len(asked) < 60
