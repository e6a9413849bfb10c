"""The page in a real browser: what a person sees, does, and can rely on."""

import asyncio
import io
import re
import zlib

import msgspec
import numpy as np
import pytest
from playwright.async_api import Browser, Page, expect
from tests.control_room.district import district
from tests.control_room.recorded import RecordedView
from tests.ui.conftest import Shoot

from gridloom.control_room.app import create_app
from gridloom.control_room.server import serving
from gridloom.control_room.view import Alarm, PlanState, Topic

pytestmark = [pytest.mark.ui, pytest.mark.asyncio(loop_scope="session")]
CABLE = "MV line 1.2"


async def choose(page: Page, name: str) -> None:
    """Select a cable as a person with a mouse would."""
    await page.get_by_role("button", name=f"line {name}", exact=True).click(force=True)


async def drawn_frames(page: Page, at_least: int) -> int:
    """Return how many frames the page has drawn, once it has drawn that many."""
    # Not wait_for_function: it polls with eval, which the page's policy forbids.
    async with asyncio.timeout(20):
        while True:
            drawn = await page.locator(".schematic").get_attribute("data-frames")
            if int(drawn or 0) >= at_least:
                return int(drawn or 0)
            await asyncio.sleep(0.05)


async def test_the_schematic_shows_every_station_and_line_and_goes_on_drawing(
    page: Page, shoot: Shoot
) -> None:
    await expect(page.locator(".station")).to_have_count(26)
    await expect(page.locator(".link.line")).to_have_count(26)
    await drawn_frames(page, await drawn_frames(page, 1) + 3)
    await shoot(page, "well")


async def test_no_pixel_is_coloured_while_all_is_well(page: Page) -> None:
    await expect(page.get_by_text("Nothing to attend to.")).to_be_visible()
    assert coloured(await page.screenshot()) == 0


async def test_breaking_a_cable_shows_the_fault_the_plan_and_the_healing(
    page: Page, view: RecordedView, shoot: Shoot
) -> None:
    await choose(page, CABLE)
    await page.get_by_role("button", name="Break this cable").click()
    await shoot(page, "confirm")
    assert not view.wishes, "nothing happens before the second step"
    view.gate = asyncio.Semaphore(1)
    await page.get_by_role("button", name="Yes, break it").click()
    await expect(page.get_by_test_id("customers-out")).to_have_text("18")
    await expect(page.locator('.station[data-band="dead"]')).to_have_count(6)
    await expect(page.get_by_text("Cable fault")).to_be_visible()
    assert coloured(await page.screenshot()) > 100
    await shoot(page, "fault")
    view.gate.release()
    view.gate.release()
    await expect(page.get_by_text("18 restored")).to_be_visible(timeout=10_000)
    await expect(page.get_by_test_id("customers-out")).to_have_text("0")
    await expect(page.locator('.station[data-band="dead"]')).to_have_count(0)
    await expect(page.get_by_text("18 of 18 customers have supply again")).to_be_visible()
    await expect(page.get_by_text("+1490 ms")).to_be_visible()
    for words in ("✓ voltage", "0.971 pu, limit 0.95 pu at MV 1.0", "tie 2: reaches 112 %", "Undo"):
        await expect(page.get_by_text(words)).to_be_visible()
    tie = page.locator('.link.tie[data-id="tie 0"]')
    await expect(tie).to_have_attribute("data-open", "false")
    assert view.wishes == [("break", CABLE)]
    await shoot(page, "healed")


async def test_a_refusal_is_told_in_words(page: Page, view: RecordedView) -> None:
    view.faulted.add(CABLE)
    await choose(page, CABLE)
    await page.get_by_role("button", name="Break this cable").click()
    await page.get_by_role("button", name="Yes, break it").click()
    await expect(page.get_by_text(f"{CABLE} is broken already")).to_be_visible()


async def test_switching_does_not_move_the_picture(page: Page, view: RecordedView) -> None:
    places = """[...document.querySelectorAll('.schematic .bar, .way')]
        .map(each => ['d', 'x', 'y'].map(name => each.getAttribute(name)).join(' ')).join()"""
    before = await page.evaluate(places)
    view.operate(open_=["switch MV line 0.2 a"], close=["switch tie 0 a"])
    await expect(page.locator('[data-id="tie 0"]')).to_have_attribute("data-open", "false")
    assert await page.evaluate(places) == before


async def test_a_cable_is_found_and_broken_with_the_keyboard_alone(
    page: Page, view: RecordedView
) -> None:
    await page.locator('.schematic [tabindex="0"]').first.focus()
    for _ in range(40):
        await page.keyboard.press("ArrowRight")
        if await page.evaluate("document.activeElement.classList.contains('line')"):
            break
    line = await page.evaluate("document.activeElement.dataset.id")
    await expect(page.get_by_role("button", name="Break this cable")).to_be_enabled()
    for _ in range(40):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.textContent") == "Break this cable":
            break
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Yes, break it")).to_be_focused()
    view.gate = asyncio.Semaphore(1)
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("customers-out")).not_to_have_text("0")
    assert view.wishes == [("break", line)]


async def test_a_lock_is_set_and_shown(page: Page, view: RecordedView) -> None:
    await choose(page, CABLE)
    await page.get_by_role("button", name=f"Lock switch {CABLE} a").click()
    await expect(page.get_by_text("locked by operator")).to_be_visible()
    await page.get_by_role("button", name=f"Unlock switch {CABLE} a").click()
    await expect(page.get_by_text("locked by operator")).to_have_count(0)
    assert [wish[0] for wish in view.wishes] == ["lock", "unlock"]


async def test_autonomy_is_changed_from_the_header(page: Page, view: RecordedView) -> None:
    await page.get_by_label("restoration may").select_option("advise")
    await expect(page.get_by_label("restoration may")).to_have_value("advise")
    await asyncio.sleep(0.2)
    assert view.wishes == [("autonomy", "restoration", "root", "advise")]


async def test_values_out_of_their_limits_are_named_with_number_and_shape(
    page: Page, view: RecordedView, shoot: Shoot
) -> None:
    view.loading = 108.0
    await expect(page.locator(".callout").first).to_be_visible()
    view.alarm_list = (
        Alarm(
            id="a",
            priority=2,
            element_kind="line",
            element=CABLE,
            text="Loading above its limit",
            since_ns=view.now_ns,
            value=108.0,
            limit=100.0,
            unit="%",
        ),
    )
    view.changed(Topic.ALARMS)
    await expect(page.get_by_role("img", name="priority 2").first).to_be_visible()
    await expect(page.get_by_text("108 (limit 100) %")).to_be_visible()
    await shoot(page, "overload")


async def test_a_repaired_cable_is_marked_no_longer(page: Page, view: RecordedView) -> None:
    view.gate = asyncio.Semaphore(9)
    await view.break_cable(CABLE)
    await expect(page.locator(".cross")).to_have_count(1)
    await choose(page, CABLE)
    await expect(page.get_by_role("button", name="Break this cable")).to_be_disabled()
    await page.get_by_role("button", name="Repair it").click()
    await expect(page.locator(".cross")).to_have_count(0)
    assert view.wishes == [("break", CABLE), ("repair", CABLE)]


async def test_a_held_plan_is_approved_by_a_person(page: Page, view: RecordedView) -> None:
    plan = view._plan(CABLE, [f"switch {CABLE} a"], "switch MV line 1.0 a", "tie 0")
    view.plan_list = (msgspec.structs.replace(plan, state=PlanState.HELD, commands=()),)
    view.changed(Topic.PLANS)
    await expect(page.get_by_text("waits for you")).to_be_visible()
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_text("plan-1 is approved")).to_be_visible()
    assert view.wishes == [("approve", "plan-1")]


async def test_a_refused_plan_names_the_check_that_failed(page: Page, view: RecordedView) -> None:
    plan = view._plan(CABLE, [f"switch {CABLE} a"], "switch MV line 1.0 a", "tie 0")
    failed = msgspec.structs.replace(plan.checks[1], passed=False, worst=112.0)
    view.plan_list = (
        msgspec.structs.replace(
            plan, state=PlanState.REFUSED, commands=(), checks=(failed,), verdict="overload"
        ),
    )
    view.changed(Topic.PLANS)
    await expect(page.get_by_text("refused by the gate")).to_be_visible()
    await expect(page.get_by_text("✕ FAILED: loading")).to_be_visible()
    await expect(page.get_by_text("112 %, limit 100 % at MV line 1.0")).to_be_visible()


async def test_a_thousand_alarms_are_one_line(page: Page, view: RecordedView) -> None:
    view.alarm_list = tuple(
        Alarm(
            id=str(number),
            priority=3,
            element_kind="bus",
            element=f"bus {number}",
            text="Voltage low",
            since_ns=1,
        )
        for number in range(1000)
    )
    view.changed(Topic.ALARMS)
    await expect(page.get_by_text("1,000 buses")).to_be_visible()
    await expect(page.get_by_text("1000 active")).to_be_visible()


async def test_the_area_below_a_station_is_shown_on_demand(page: Page, shoot: Shoot) -> None:
    await page.get_by_role("button", name="station MV 0.3").click(force=True)
    await page.get_by_role("button", name="Show its low-voltage area").click()
    await expect(page.get_by_text("Low-voltage area of MV-LV 0.3")).to_be_visible()
    await expect(page.locator(".station")).to_have_count(5)
    await shoot(page, "area")
    await page.get_by_role("button", name="Back to the district").click()
    await expect(page.locator(".station")).to_have_count(26)


async def test_a_lost_connection_is_told_and_heals_by_itself(
    browser: Browser, view: RecordedView, shoot: Shoot
) -> None:
    async with serving(create_app(view, rate_hz=10)) as url:
        page = await browser.new_page(viewport={"width": 1600, "height": 900})
        await page.goto(url)
        await page.wait_for_selector(".schematic[data-frames]")
    banner = page.get_by_role("alert")
    await expect(banner).to_contain_text("Data are stale since", timeout=10_000)
    await expect(page.locator(".schematic")).to_have_class(re.compile(r"\bstale\b"))
    await expect(page.get_by_text("Not known while the data are stale.")).to_be_visible()
    await shoot(page, "lost")
    async with serving(create_app(view, rate_hz=10), port=int(url.rsplit(":", 1)[1])):
        await expect(banner).to_have_count(0, timeout=20_000)
        await page.close()


async def test_an_estimator_that_stands_still_is_told(page: Page, view: RecordedView) -> None:
    live = view.live()
    view._estimate = lambda: live  # type: ignore[method-assign, assignment, return-value]
    view.now_ns += 20_000_000_000
    await expect(page.get_by_role("alert")).to_contain_text("no new estimate")


async def test_hostile_ids_stay_words(browser: Browser) -> None:
    hostile = RecordedView(district(2, 2, mark='"><img src=x onerror="window.hit=1">'))
    async with serving(create_app(hostile)) as url:
        for path in ("/", "/plain/"):
            page = await browser.new_page()
            await page.goto(url + path)
            await expect(page.get_by_text("onerror").first).to_be_attached()
            assert await page.evaluate("window.hit") is None
            assert await page.locator("img").count() == 0
            await page.close()


async def test_the_page_fits_at_twice_the_zoom(
    browser: Browser, address: str, shoot: Shoot
) -> None:
    page = await browser.new_page(viewport={"width": 800, "height": 450})
    await page.goto(address)
    await page.wait_for_selector(".schematic[data-frames]")
    overflow = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0
    await shoot(page, "zoomed")
    await page.close()


async def test_the_plain_page_tells_the_same_story(
    browser: Browser, address: str, view: RecordedView, shoot: Shoot
) -> None:
    page = await browser.new_page(viewport={"width": 1200, "height": 800})
    await page.goto(f"{address}/plain/")
    await expect(page.get_by_text("Buses energised")).to_be_visible()
    await page.get_by_label("Line").select_option(CABLE)
    await page.get_by_label("I want the field to break it").check()
    await page.get_by_role("button", name="Break this cable").click()
    await expect(page.get_by_text("18 of 18 customers restored")).to_be_visible(timeout=10_000)
    await shoot(page, "plain")
    assert view.wishes == [("break", CABLE)]
    await page.close()


def coloured(png: bytes) -> int:
    """Count pixels of a picture whose channels differ by more than rounding and smoothing explain."""
    pixels = read_png(png).astype(np.int16)
    return int((np.ptp(pixels[..., :3], axis=-1) > 24).sum())


def read_png(png: bytes) -> np.ndarray:
    """Decode an 8-bit RGB(A) PNG without interlacing, as Chromium writes them."""
    stream = io.BytesIO(png)
    assert stream.read(8) == b"\x89PNG\r\n\x1a\n"
    parts = []
    while True:
        size = int.from_bytes(stream.read(4))
        kind, data, _ = stream.read(4), stream.read(size), stream.read(4)
        if kind == b"IHDR":
            width, height = int.from_bytes(data[:4]), int.from_bytes(data[4:8])
            assert data[8] == 8
            channels = {2: 3, 6: 4}[data[9]]
        elif kind == b"IDAT":
            parts.append(data)
        elif kind == b"IEND":
            break
    rows = np.frombuffer(zlib.decompress(b"".join(parts)), dtype=np.uint8)
    return _unfilter(rows.reshape(height, 1 + width * channels), channels).reshape(
        height, width, channels
    )


def _unfilter(rows: np.ndarray, channels: int) -> np.ndarray:
    out = np.zeros((rows.shape[0], rows.shape[1] - 1), dtype=np.uint8)
    above = np.zeros(out.shape[1], dtype=np.uint8)
    for at, row in enumerate(rows):
        kind, line = row[0], row[1:].copy()
        if kind == 1:
            line = np.cumsum(line.reshape(-1, channels), axis=0, dtype=np.uint8).reshape(-1)
        elif kind == 2:
            line += above
        elif kind in {3, 4}:
            line = _slow_filter(kind, line, above, channels)
        out[at] = above = line
    return out


def _slow_filter(kind: int, line: np.ndarray, above: np.ndarray, channels: int) -> np.ndarray:
    values, up = line.tolist(), above.tolist()
    for x in range(len(values)):
        left = values[x - channels] if x >= channels else 0
        corner = up[x - channels] if x >= channels else 0
        if kind == 3:
            guess = (left + up[x]) // 2
        else:
            near = left + up[x] - corner
            guess = min((left, up[x], corner), key=lambda value: abs(near - value))
        values[x] = (values[x] + guess) & 255
    return np.array(values, dtype=np.uint8)
