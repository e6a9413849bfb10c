"""The break-this-cable story with nothing replayed: bus, simulated field, platform and page, each real."""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect
from tests.control_room.district import district
from tests.ui.conftest import Shoot

import gridloom.grid
from gridloom.control_room.app import STATIC

pytestmark = [
    pytest.mark.ui,
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
]
START_S = 90.0


@pytest_asyncio.fixture(loop_scope="session")
async def address(tmp_path: Path) -> AsyncIterator[str]:
    """The address that `gridloom run` prints; it is ended as a person would, and must end well."""
    if not (STATIC / "index.html").is_file():
        pytest.skip("the page is not built: make ui")
    gridloom.grid.save(district(), tmp_path / "district.gridloom")
    command = (
        *(sys.executable, "-c", "import gridloom.cli; gridloom.cli.main()", "run"),
        *("--grid", str(tmp_path / "district.gridloom")),
        *("--data", str(tmp_path / "run"), "--port", "0"),
    )
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    said = b""
    try:
        async with asyncio.timeout(START_S):
            while not (found := re.search(rb"http://127\.0\.0\.1:\d+", said)):
                line = await process.stderr.readline()
                assert line, f"ended before it served: {said.decode()}"
                said += line
        yield found[0].decode()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        async with asyncio.timeout(30):
            await process.communicate()


@pytest.mark.timeout(240)
async def test_a_broken_cable_is_isolated_and_the_rest_gets_supply_again(
    browser: Browser, address: str, shoot: Shoot
) -> None:
    page = await browser.new_page(viewport={"width": 1600, "height": 900})
    await page.goto(f"{address}/#line/{'MV line 1.2'.replace(' ', '%20')}")
    await page.wait_for_selector(".schematic[data-frames]", timeout=60_000)
    await page.get_by_role("button", name="Break this cable").click()
    await page.get_by_role("button", name="Yes, break it").click()
    await expect(page.locator(".cross")).to_have_count(1, timeout=30_000)
    await expect(page.get_by_text("18 restored")).to_be_visible(timeout=60_000)
    await expect(page.get_by_test_id("customers-out")).to_have_text("0", timeout=20_000)
    await expect(page.get_by_text("18 of 18 customers have supply again")).to_be_visible()
    await expect(page.locator('.link.tie[data-id="tie 0"]')).to_have_attribute("data-open", "false")
    await expect(page.locator('[data-id="MV line 1.2"]')).to_have_attribute("data-open", "true")
    await shoot(page, "whole-platform")
    await page.close()
