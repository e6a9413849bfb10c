"""Serving: loopback only, a free port, and a clean end."""

import asyncio
import socket

import httpx
import pytest
from tests.control_room.recorded import RecordedView
from websockets.asyncio.client import connect

from gridloom.control_room.app import create_app
from gridloom.control_room.server import serving
from gridloom.core.errors import BadInput, Unavailable


async def test_it_serves_and_ends_while_a_browser_is_connected(view: RecordedView) -> None:
    async with serving(create_app(view)) as url:
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{url}/healthz")).json()["ok"]
        socket_ = await connect(url.replace("http", "ws") + "/ws", origin=url)
        assert await socket_.recv()
    async with asyncio.timeout(5):
        await socket_.wait_closed()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org"])
async def test_it_binds_loopback_only(view: RecordedView, host: str) -> None:
    with pytest.raises(BadInput, match="loopback"):
        async with serving(create_app(view), host=host):
            pass


async def test_a_taken_port_is_named(view: RecordedView) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=str(port)):
            async with serving(create_app(view), port=port):
                pass
