"""Who may talk to the control room: browsers that opened this very page on this very machine.

Two attacks are kept out: a foreign web page that sends requests to this address (its Origin gives it away), and a
foreign name that resolves to this address (its Host header gives it away). Scripts without an Origin may pass.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
MAX_BODY_BYTES = 16_384

_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
)


class Guard:
    """ASGI middleware that refuses foreign hosts, foreign origins and oversized bodies, and adds safe headers."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand in front of `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with words."""
        if scope["type"] not in {ScopeType.HTTP, ScopeType.WEBSOCKET}:
            await self._app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        refusal = why_refused(headers, changes=_changes(scope))
        if not refusal:
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == ScopeType.WEBSOCKET:
            await receive()
            await send({"type": "websocket.close", "code": 4403, "reason": refusal[:120]})
        else:
            await _answer(send, refusal)


def why_refused(headers: dict[str, str], *, changes: bool) -> str:
    """Return why a request with these `headers` is refused, or nothing.

    Args:
        headers: Names in lower case.
        changes: Whether it can change something or opens a WebSocket.
    """
    host = headers.get("host", "")
    if urlsplit(f"//{host}").hostname not in LOOPBACK_NAMES:
        return "the control room answers only to the name of this machine's own loopback address"
    if not changes:
        return ""
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != host:
        return "this request comes from another page; open the control room itself"
    if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return "this request comes from another site; open the control room itself"
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length[:12]) > MAX_BODY_BYTES:
        return f"a request has at most {MAX_BODY_BYTES} bytes"
    return ""


def _changes(scope: Scope) -> bool:
    return scope["type"] == ScopeType.WEBSOCKET or scope["method"] not in {"GET", "HEAD", "OPTIONS"}


def _with_headers(send: Send) -> Send:
    async def sending(message: object) -> None:
        if isinstance(message, dict) and message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            added = [pair for pair in _HEADERS if pair[0] not in present]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)  # type: ignore[arg-type] # the message is litestar's own, with headers added

    return sending


async def _answer(send: Send, words: str) -> None:
    body = msgspec.json.encode({"error": "Refused", "message": words})
    headers = [(b"content-type", b"application/json"), *_HEADERS]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
