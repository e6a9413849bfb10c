"""One real NATS server for the tests of this room that need one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from gridloom.ioe.bus import NatsBus
from gridloom.ioe.server import NatsServer, ServerAddress


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerAddress]:
    """Return the address of a server that nobody kills."""
    with NatsServer(store=tmp_path_factory.mktemp("bus")) as address:
        yield address


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[NatsServer]:
    """Return a started server that the test may kill."""
    server = NatsServer(store=tmp_path / "mortal")
    with server:
        yield server


@pytest.fixture
async def bus(address: ServerAddress) -> AsyncIterator[NatsBus]:
    """Return a bus connected to the server that nobody kills."""
    bus = await NatsBus.connect(address.url, address.credentials)
    yield bus
    await bus.close()


async def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Wait until `condition` holds; fail if it never does."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - the condition may live on a server
            await asyncio.sleep(0.005)
