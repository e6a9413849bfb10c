"""The control room's web application: what can be read, what can be wished, and the live feed.

Every handler is a translation of one call of the `PlatformView`. Errors come back as JSON with words.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Annotated

import msgspec
import structlog
from litestar import (
    Controller,
    Litestar,
    MediaType,
    Request,
    Response,
    WebSocket,
    get,
    post,
    websocket,
)
from litestar.config.compression import CompressionConfig
from litestar.datastructures import State
from litestar.exceptions import HTTPException, WebSocketDisconnect
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.static_files import create_static_files_router

from gridloom.control_room.alarms import AlarmBoard, alarm_board
from gridloom.control_room.elements import ElementReading, extreme, read_element
from gridloom.control_room.guard import MAX_BODY_BYTES, Guard
from gridloom.control_room.hub import FAULTS_SHOWN, Hub, Listener
from gridloom.control_room.schematic import Schematic, area_schematic, schematic
from gridloom.control_room.view import (
    AutonomyLevel,
    FaultStory,
    Lock,
    PlanCard,
    PlatformView,
    Status,
)
from gridloom.core.errors import BadInput, GridloomError, Refused, Unavailable, UnknownId

STATIC = Path(__file__).parent / "static"
PLAIN = Path(__file__).parent / "plain"
SEND_TIMEOUT_S = 30.0
_STATUS_OF = ((UnknownId, 404), (BadInput, 400), (Refused, 409), (Unavailable, 503))

log = structlog.get_logger()


class LineName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a request about one line."""

    line: str


class LockWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of a request to lock a switch or to lift the lock."""

    switch: str
    locked: bool = True
    owner: str = "operator"
    reason: str = ""


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a person's decision on a held plan."""

    approve: bool


class Accepted(msgspec.Struct, frozen=True):
    """Answer to a wish that was passed on; what comes of it arrives by the feed."""

    message: str


class Health(msgspec.Struct, frozen=True):
    """Answer of the health check."""

    ok: bool
    estimate_ns: int
    browsers: int


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the plain page shows of the state, in one answer."""

    status: Status
    energised_buses: int
    buses: int
    v_min_pu: float | None
    v_max_pu: float | None
    max_loading_pct: float | None


class Api(Controller):
    """What can be read, and what a person can ask for."""

    path = "/api"

    @get("/schematic", sync_to_thread=False)
    def schematic(self, state: State) -> Response[bytes]:
        """Return the first picture of the grid."""
        return _encoded(state.schematic)

    @get("/area", sync_to_thread=True)
    def area(self, state: State, transformer: FromQuery[str]) -> Schematic:
        """Return the picture of the low-voltage area below one transformer."""
        return area_schematic(_view(state).grid, transformer)

    @get("/state", sync_to_thread=False)
    def snapshot(self, state: State) -> Snapshot:
        """Return the platform's status and the extremes of the newest estimate."""
        return take_snapshot(_view(state))

    @get("/elements/{kind:str}", sync_to_thread=False)
    def element(
        self, state: State, kind: FromPath[str], element: Annotated[str, QueryParameter(name="id")]
    ) -> ElementReading:
        """Return the newest values of one element, to the digit."""
        view = _view(state)
        return read_element(view.grid, view.live(), kind, element)

    @get("/alarms", sync_to_thread=False)
    def alarms(self, state: State) -> AlarmBoard:
        """Return the alarms, grouped."""
        return alarm_board(_view(state).alarms())

    @get("/plans", sync_to_thread=False)
    def plans(
        self, state: State, limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50
    ) -> tuple[PlanCard, ...]:
        """Return the latest plans, newest first."""
        return _view(state).plans(limit)

    @get("/plans/{plan_id:str}", sync_to_thread=False)
    def plan(self, state: State, plan_id: FromPath[str]) -> PlanCard:
        """Return one plan."""
        return _view(state).plan(plan_id)

    @get("/faults", sync_to_thread=False)
    def faults(self, state: State) -> tuple[FaultStory, ...]:
        """Return the latest faults, newest first."""
        return _view(state).faults(FAULTS_SHOWN)

    @get("/locks", sync_to_thread=False)
    def locks(self, state: State) -> tuple[Lock, ...]:
        """Return the locks in force."""
        return _view(state).locks()

    @get("/autonomy", sync_to_thread=False)
    def autonomy(self, state: State) -> tuple[AutonomyLevel, ...]:
        """Return how far each agent may go."""
        return _view(state).autonomy()

    @post("/faults", status_code=202)
    async def break_cable(self, state: State, data: JSONBody[LineName]) -> Accepted:
        """Ask the simulated field to break a cable."""
        await _view(state).break_cable(data.line)
        return Accepted(f"the field was asked to break {data.line}")

    @post("/faults/repair", status_code=202)
    async def repair(self, state: State, data: JSONBody[LineName]) -> Accepted:
        """Ask the simulated field to repair a cable."""
        await _view(state).repair(data.line)
        return Accepted(f"the field was asked to repair {data.line}")

    @post("/locks", status_code=202)
    async def lock(self, state: State, data: JSONBody[LockWish]) -> Accepted:
        """Lock a switch, or lift the lock."""
        lock = Lock(switch=data.switch, owner=data.owner, reason=data.reason)
        await _view(state).lock(lock, locked=data.locked)
        return Accepted(f"{data.switch} is {'locked' if data.locked else 'free again'}")

    @post("/autonomy", status_code=202)
    async def set_autonomy(self, state: State, data: JSONBody[AutonomyLevel]) -> Accepted:
        """Set how far an agent may go in a cell."""
        await _view(state).set_autonomy(data)
        return Accepted(f"{data.agent} may {data.level} in {data.cell}")

    @post("/plans/{plan_id:str}/decision", status_code=202)
    async def decide(
        self, state: State, plan_id: FromPath[str], data: JSONBody[Decision]
    ) -> Accepted:
        """Approve or refuse a plan that is held for a person."""
        await _view(state).decide(plan_id, approve=data.approve)
        return Accepted(f"{plan_id} is {'approved' if data.approve else 'refused'}")


@get("/healthz", sync_to_thread=False)
def health(state: State) -> Health:
    """Return whether the platform has an estimate and how many browsers look at it."""
    live = _view(state).live()
    hub: Hub = state.hub
    return Health(live is not None, live.time_ns if live else 0, hub.listeners)


@websocket("/ws")
async def feed(socket: WebSocket[object, object, State], state: State) -> None:
    """Send texts and frames until the browser leaves."""
    await socket.accept()
    hub: Hub = state.hub
    with (
        hub.listening() as listener,
        contextlib.suppress(WebSocketDisconnect, TimeoutError, RuntimeError),
    ):
        sending = asyncio.create_task(_send_news(socket, hub, listener))
        try:
            while True:
                # Nothing is expected from the browser; this ends when it goes.
                await socket.receive_data(mode="text")
        finally:
            sending.cancel()
            with contextlib.suppress(
                asyncio.CancelledError, WebSocketDisconnect, TimeoutError, RuntimeError
            ):
                await sending


async def _send_news(
    socket: WebSocket[object, object, State], hub: Hub, listener: Listener
) -> None:
    while True:
        texts, frame = await hub.take(listener)
        async with asyncio.timeout(SEND_TIMEOUT_S):
            for text in texts:
                await socket.send_text(text)
            if frame:
                await socket.send_bytes(frame)


def take_snapshot(view: PlatformView) -> Snapshot:
    """Return the platform's status and the extremes of the newest estimate."""
    live = view.live()
    voltages = live.v_pu[live.is_energised] if live else None
    loadings = live.loading_pct[live.is_live] if live else None
    return Snapshot(
        status=view.status(),
        energised_buses=int(live.is_energised.sum()) if live else 0,
        buses=len(view.grid.buses),
        v_min_pu=extreme(voltages, lowest=True),
        v_max_pu=extreme(voltages, lowest=False),
        max_loading_pct=extreme(loadings, lowest=False),
    )


def create_app(view: PlatformView, *, rate_hz: float = 2.0) -> Litestar:
    """Return the web application for `view`.

    Args:
        view: The platform.
        rate_hz: Highest rate of states sent to browsers [1/s].
    """
    hub = Hub(view, rate_hz=rate_hz)
    built = STATIC / "index.html"
    pages = STATIC if built.is_file() else PLAIN
    routers = [
        create_static_files_router(path="/plain", directories=[PLAIN], html_mode=True, name="plain")
    ]
    routers.append(
        create_static_files_router(path="/", directories=[pages], html_mode=True, name="page")
    )
    state = State(
        {"view": view, "hub": hub, "schematic": msgspec.json.encode(schematic(view.grid))}
    )
    return Litestar(
        route_handlers=[Api, health, feed, *routers],
        state=state,
        lifespan=[lambda _app: hub.running()],
        middleware=[Guard],
        exception_handlers={
            GridloomError: _words,
            HTTPException: _http_words,
            Exception: _fault_words,
        },
        compression_config=CompressionConfig(
            backend="gzip", minimum_size=2_000, gzip_compress_level=4
        ),
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=None,
        logging_config=None,
    )


def _view(state: State) -> PlatformView:
    view: PlatformView = state.view
    return view


def _encoded(body: bytes) -> Response[bytes]:
    return Response(body, media_type=MediaType.JSON)


def _words(_request: Request[object, object, State], error: GridloomError) -> Response[bytes]:
    status = next((code for kind, code in _STATUS_OF if isinstance(error, kind)), 500)
    return _error(type(error).__name__, str(error), status)


def _http_words(_request: Request[object, object, State], error: HTTPException) -> Response[bytes]:
    parts = [str(error.detail)]
    if isinstance(error.extra, list):
        parts += [str(item.get("message", "")) for item in error.extra if isinstance(item, dict)]
    return _error(
        "BadInput" if error.status_code < 500 else "Unavailable",
        "; ".join(parts),
        error.status_code,
    )


def _fault_words(request: Request[object, object, State], error: Exception) -> Response[bytes]:
    log.error("request_failed", path=str(request.url.path), reason=repr(error))
    return _error("InternalError", "the control room made an error; its log says more", 500)


def _error(kind: str, message: str, status: int) -> Response[bytes]:
    body = msgspec.json.encode({"error": kind, "message": message})
    return Response(body, status_code=status, media_type=MediaType.JSON)
