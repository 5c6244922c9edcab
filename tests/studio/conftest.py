"""Fixtures for the studio."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from support.studio import PATIENCE, Desk, StudioProcess, headless_browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser

OpenDesk = Callable[..., Desk]


@pytest.fixture(scope="module")  # while it is open, no event loop can run in this thread
def browser() -> Iterator[Browser]:
    """A browser; tests that need one are skipped where there is none."""
    with headless_browser() as found:
        if isinstance(found, str):
            pytest.skip(found)
        yield found


@pytest.fixture
def desk(browser: Browser) -> Iterator[OpenDesk]:
    """Opens a tab: `desk(studio, device_scale_factor=2)`. At the end no tab may have complained."""
    desks: list[Desk] = []

    def open_desk(studio: StudioProcess, **options: Any) -> Desk:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        context.set_default_timeout(1000 * PATIENCE)
        desks.append(Desk(context.new_page(), studio))
        return desks[-1]

    yield open_desk
    for each in desks:
        each.page.context.close()
    assert [complaint for each in desks for complaint in each.complaints] == []
