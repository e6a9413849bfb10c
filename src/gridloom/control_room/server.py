"""Serves the control room on the loopback interface, inside the loop of the process that owns the platform."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_address

import uvicorn
from litestar import Litestar

from gridloom.core.errors import BadInput, Unavailable

STOP_TIMEOUT_S = 5


class _QuietServer(uvicorn.Server):
    """A server that leaves signals to the command line that started it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield


@contextlib.asynccontextmanager
async def serving(app: Litestar, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve `app` as long as the context lasts; yields its address, e.g. `http://127.0.0.1:8080`.

    Args:
        app: What `create_app` made.
        host: A loopback address; anything else is refused, for nobody has to prove who they are yet.
        port: A port, or 0 for a free one.

    Raises:
        BadInput: If `host` is no loopback address.
        Unavailable: If the port is taken or the application does not start.
    """
    listener = _listen(host, port)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=STOP_TIMEOUT_S,
        server_header=False,
    )
    server = _QuietServer(config)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="control room server")
    try:
        while not server.started:
            if task.done():
                raise Unavailable("the control room did not start; its log says why")
            await asyncio.sleep(0.01)
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        is_loopback = ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise BadInput(
            f"the control room binds loopback addresses only, not {host!r}; use 127.0.0.1"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise Unavailable(
            f"port {port} on {host} cannot be used ({error.strerror}); give another --port"
        ) from error
    return listener
