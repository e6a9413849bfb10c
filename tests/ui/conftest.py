"""A real headless Chromium, a served control room, and a story to look at.

Set GRIDLOOM_SCREENSHOTS to a folder to keep what the tests saw.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright
from tests.control_room.district import district
from tests.control_room.recorded import RecordedView

from gridloom.control_room.app import STATIC, create_app
from gridloom.control_room.server import serving

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

type Shoot = Callable[[Page, str], Awaitable[None]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A Chromium of this machine, or a skip that says what is missing."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no Chromium on PATH (looked for {', '.join(NAMES)})")
    async with async_playwright() as player:
        browser = await player.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        await browser.close()


@pytest.fixture
def view() -> RecordedView:
    """A platform that replays a recorded sequence slowly enough to be watched."""
    return RecordedView(district(), pause_s=0.4)


@pytest_asyncio.fixture(loop_scope="session")
async def address(view: RecordedView) -> AsyncIterator[str]:
    """The address of a control room whose grid ticks; it ticks even while the browser is busy."""
    if not (STATIC / "index.html").is_file():
        pytest.skip("the page is not built: make ui")
    async with serving(create_app(view, rate_hz=10)) as url:
        ticking = asyncio.create_task(_tick(view))
        yield url
        ticking.cancel()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, address: str) -> AsyncIterator[Page]:
    """The page, loaded and drawing, which must not have written an error at the end."""
    page = await browser.new_page(viewport={"width": 1600, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console", lambda message: errors.append(message.text) if message.type == "error" else None
    )
    await page.goto(address)
    await page.wait_for_selector(".schematic[data-frames]")
    yield page
    await page.close()
    # A refused request is told by the browser itself; anything else is a mistake of the page.
    assert [error for error in errors if "Failed to load resource" not in error] == []


@pytest.fixture
def shoot() -> Shoot:
    """Keep a picture of the page where GRIDLOOM_SCREENSHOTS says."""
    folder = os.environ.get("GRIDLOOM_SCREENSHOTS")

    async def take(page: Page, name: str) -> None:
        if folder:
            await page.screenshot(path=Path(folder) / f"{name}.png")

    return take


async def _tick(view: RecordedView) -> None:
    while True:
        view.tick(0.2)
        await asyncio.sleep(0.2)
