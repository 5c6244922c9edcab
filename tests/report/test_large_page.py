"""The page of a run with very many pictures, in a browser: it is quick because it makes cards when they are needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from darkroom.report import run_page
from support.fake_run_folder import FakeRun
from support.studio import headless_browser

PICTURES = 3000


@pytest.mark.slow
def test_a_page_makes_cards_when_they_are_needed_and_searches_all(tmp_path: Path) -> None:
    run = FakeRun(tmp_path)
    shared = {"source": run.picture("photo.png", (9, 99, 199)), "result": run.picture("result.png", (199, 99, 9))}
    for number in range(1, PICTURES + 1):
        run.add(f"photo{number}.jpg", prompt="mars", seed=number % 9, **shared)
    index = run_page(run.write()).as_uri()
    with headless_browser() as browser:
        if isinstance(browser, str):
            pytest.skip(browser)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(index)
        cards = page.locator("#grid li")
        page.locator("#grid img").first.wait_for()
        few = cards.count()
        assert 0 < few < 1000
        page.keyboard.press("End")
        page.locator("#grid li").nth(few).wait_for()  # further cards

        page.fill("#search", f"photo{PICTURES}.jpg")
        assert cards.count() == 1 and page.text_content("#count") == "1 of 3,000"
        page.fill("#search", "")
        assert page.text_content("#count") == "" and cards.count() < 1000

        page.goto(f"{index}#picture-2500")
        page.locator("#view-name").filter(has_text="Picture 2,500 of").wait_for()
        page.keyboard.press("ArrowRight")
        assert page.text_content("#view-name") == "Picture 2,501 of 3,000"
        page.keyboard.press("Escape")
        assert "photo2501.jpg" in page.locator("#grid li a:focus").inner_text()
        assert cards.count() < 1000
        first = page.locator("#grid li").first.text_content()
        page.locator("#earlier").click()
        assert page.locator("#grid li").nth(240).text_content() == first
        assert not errors
