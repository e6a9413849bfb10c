"""The pump: slow listeners cost the others nothing and always get the newest."""

import asyncio

import msgspec
import pytest
from tests.control_room.recorded import RecordedView

from gridloom.control_room.feed import KEYFRAME, FeedDecoder
from gridloom.control_room.hub import Hub
from gridloom.control_room.view import Topic
from gridloom.core.errors import Unavailable


async def test_a_slow_listener_is_given_the_newest_frame_not_a_queue(view: RecordedView) -> None:
    hub = Hub(view)
    with hub.listening() as quick, hub.listening() as slow:
        hub.refresh()
        await hub.take(slow)
        for _ in range(10):
            view.tick()
            hub.refresh()
            await hub.take(quick)
        texts, frame = await hub.take(slow)
    assert frame[3] & KEYFRAME
    assert FeedDecoder().push(frame).time_ns == view.now_ns
    assert [msgspec.json.decode(text)["topic"] for text in texts] == ["status"]


async def test_listeners_share_the_same_bytes(view: RecordedView) -> None:
    hub = Hub(view)
    with hub.listening() as one, hub.listening() as other:
        hub.refresh()
        for listener in (one, other):
            await hub.take(listener)
        view.tick()
        hub.refresh()
        frames = [(await hub.take(listener))[1] for listener in (one, other)]
    assert frames[0] is frames[1]


async def test_an_estimate_that_did_not_change_is_not_sent_again(view: RecordedView) -> None:
    hub = Hub(view)
    with hub.listening() as listener:
        hub.refresh()
        await hub.take(listener)
        hub.refresh()
        texts, frame = await hub.take(listener)
    assert frame == b""
    assert len(texts) == 1


@pytest.mark.parametrize("error", [Unavailable("starting"), RuntimeError("a mistake")])
async def test_the_pump_outlives_a_platform_that_fails_for_a_while(
    view: RecordedView, error: Exception
) -> None:
    hub, failing = Hub(view, rate_hz=50), view.status

    def broken() -> None:
        raise error

    view.status = broken  # type: ignore[method-assign, assignment]
    async with hub.running():
        await asyncio.sleep(0.05)
        view.status = failing  # type: ignore[method-assign]
        with hub.listening() as listener:
            async with asyncio.timeout(5):
                texts: list[str] = []
                while not any('"topic":"status"' in text for text in texts):
                    texts, _ = await hub.take(listener)


async def test_a_change_that_could_not_be_packed_is_packed_later(view: RecordedView) -> None:
    hub, plans = Hub(view), view.plans

    def broken(limit: int) -> None:
        raise RuntimeError(limit)

    with hub.listening() as listener:
        hub.refresh()
        await hub.take(listener)
        view.plans = broken  # type: ignore[method-assign, assignment]
        hub._mark(Topic.PLANS)
        with pytest.raises(RuntimeError):
            hub.refresh()
        view.plans = plans  # type: ignore[method-assign]
        hub.refresh()
        texts, _ = await hub.take(listener)
    assert "plans" in {msgspec.json.decode(text)["topic"] for text in texts}


async def test_changes_may_come_from_another_thread(view: RecordedView) -> None:
    hub = Hub(view, rate_hz=0.2)
    async with hub.running():
        with hub.listening() as listener:
            await hub.take(listener)
            await asyncio.to_thread(view.changed, Topic.PLANS)
            async with asyncio.timeout(2):
                seen: set[str] = set()
                while "plans" not in seen:
                    texts, _ = await hub.take(listener)
                    seen |= {msgspec.json.decode(text)["topic"] for text in texts}


async def test_the_watch_ends_with_the_hub(view: RecordedView) -> None:
    async with Hub(view).running():
        assert len(view._watchers) == 1
    assert not view._watchers
