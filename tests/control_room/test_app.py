"""The interface over HTTP and WebSocket: what it answers, and to whom it does not."""

from collections.abc import Iterator

import msgspec
import pytest
from litestar.exceptions import WebSocketDisconnect
from litestar.testing import TestClient
from tests.control_room.district import district
from tests.control_room.recorded import START_NS, RecordedView

from gridloom.control_room.app import create_app
from gridloom.control_room.feed import FeedDecoder
from gridloom.control_room.schematic import Schematic
from gridloom.control_room.view import Alarm, Topic
from gridloom.core.units import NS_PER_S

BASE = "http://127.0.0.1"


@pytest.fixture
def client(view: RecordedView) -> Iterator[TestClient]:
    with TestClient(create_app(view, rate_hz=20), base_url=BASE) as client:
        yield client


def test_the_schematic_is_served_whole(client: TestClient, view: RecordedView) -> None:
    answer = client.get("/api/schematic")
    picture = msgspec.json.decode(answer.content, type=Schematic)
    assert answer.status_code == 200
    assert picture.n_bus == len(view.grid.buses)


def test_an_area_is_found_by_its_transformer(client: TestClient) -> None:
    answer = client.get("/api/area", params={"transformer": "MV-LV 0.0"})
    assert msgspec.json.decode(answer.content, type=Schematic).title == "MV-LV 0.0"


def test_the_state_tells_the_extremes(client: TestClient, view: RecordedView) -> None:
    view.set_voltage(3, 0.91)
    body = client.get("/api/state").json()
    assert body["v_min_pu"] == pytest.approx(0.91)
    assert body["energised_buses"] == body["buses"] == len(view.grid.buses)


@pytest.mark.parametrize(
    ("kind", "id_", "key"),
    [
        ("bus", "MV 0.0", "v_pu"),
        ("line", "MV line 1.1", "loading_pct"),
        ("transformer", "MV-LV 0.0", "loading_pct"),
        ("switch", "switch tie 0 a", "position"),
    ],
)
def test_an_element_is_read_to_the_digit(client: TestClient, kind: str, id_: str, key: str) -> None:
    body = client.get(f"/api/elements/{kind}", params={"id": id_}).json()
    assert body["id"] == id_
    assert body[key] not in {None, ""}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/api/elements/bus?id=MV%200.00", "nearest: MV 0.0"),
        ("/api/plans/plan-9", "no plan with id 'plan-9'"),
        ("/api/area?transformer=x", "no low-voltage area"),
    ],
)
def test_what_does_not_exist_is_named_with_status_404(
    client: TestClient, path: str, words: str
) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert words in answer.json()["message"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/faults", b"{"),
        ("/api/faults", b"[]"),
        ("/api/faults", b'{"line": 3}'),
        ("/api/faults", b'{"line": "MV line 0.0", "more": 1}'),
        ("/api/autonomy", b'{"agent": "a", "cell": "root", "level": "king"}'),
        ("/api/plans/plan-1/decision", b'{"approve": "yes"}'),
    ],
)
def test_a_bad_body_is_answered_with_words_and_status_400(
    client: TestClient, view: RecordedView, path: str, body: bytes
) -> None:
    answer = client.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["message"]
    assert not view.wishes


def test_a_wish_reaches_the_platform(client: TestClient, view: RecordedView) -> None:
    answer = client.post("/api/faults", json={"line": "MV line 0.2"})
    assert answer.status_code == 202
    again = client.post("/api/faults", json={"line": "MV line 0.2"})
    assert (again.status_code, again.json()["error"]) == (409, "Refused")
    client.post("/api/faults/repair", json={"line": "MV line 0.2"})
    client.post("/api/locks", json={"switch": "switch tie 0 a", "reason": "work"})
    client.post("/api/locks", json={"switch": "switch tie 0 a", "locked": False})
    client.post("/api/autonomy", json={"agent": "restoration", "cell": "root", "level": "advise"})
    assert view.wishes == [
        ("break", "MV line 0.2"),
        ("repair", "MV line 0.2"),
        ("lock", "switch tie 0 a"),
        ("unlock", "switch tie 0 a"),
        ("autonomy", "restoration", "root", "advise"),
    ]


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"host": "evil.example"},
        {"host": "127.0.0.1.evil.example"},
        {"content-length": "9999999"},
        {"content-length": "many"},
    ],
)
def test_a_wish_from_elsewhere_is_refused(
    client: TestClient, view: RecordedView, headers: dict[str, str]
) -> None:
    answer = client.post("/api/faults", content=b'{"line": "MV line 0.2"}', headers=headers)
    assert answer.status_code == 403
    assert answer.json()["error"] == "Refused"
    assert not view.wishes


def test_a_name_that_points_here_from_elsewhere_reads_nothing(client: TestClient) -> None:
    assert client.get("/api/state", headers={"host": "rebound.example"}).status_code == 403


def test_the_page_itself_may_wish(client: TestClient, view: RecordedView) -> None:
    headers = {"origin": BASE, "sec-fetch-site": "same-origin"}
    answer = client.post("/api/faults", json={"line": "MV line 0.2"}, headers=headers)
    assert answer.status_code == 202
    assert view.wishes


def test_a_foreign_page_gets_no_feed(client: TestClient) -> None:
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("/ws", headers={"origin": "http://evil.example"}) as socket,
    ):
        socket.receive_text()


def test_the_feed_starts_with_everything_and_goes_on_with_changes(
    client: TestClient, view: RecordedView
) -> None:
    decoder = FeedDecoder()
    with client.websocket_connect("/ws") as socket:
        topics = set()
        for _ in range(len(Topic) - 1):
            topics.add(socket.receive_json()["topic"])
        assert topics == set(Topic) - {Topic.STATE}
        first = decoder.push(socket.receive_bytes())
        assert first.time_ns == START_NS
        view.tick()
        frame = first
        while frame.time_ns == START_NS:
            message = socket.receive()
            if message.get("bytes"):
                frame = decoder.push(message["bytes"])
        assert frame.sequence == first.sequence + 1
        assert frame.time_ns == START_NS + NS_PER_S


def test_a_change_is_sent_at_once_and_whole(client: TestClient, view: RecordedView) -> None:
    with client.websocket_connect("/ws") as socket:
        for _ in range(len(Topic) - 1):
            socket.receive_json()
        view.alarm_list = tuple(
            Alarm(
                id=f"alarm-{number}",
                priority=2,
                element_kind="bus",
                element=f"bus {number}",
                text="voltage too low",
                since_ns=number,
            )
            for number in range(1000)
        )
        view.changed(Topic.ALARMS)
        board = None
        while board is None:
            message = socket.receive()
            if message.get("text") and '"alarms"' in message["text"][:20]:
                board = msgspec.json.decode(message["text"])["body"]
        assert board["active"] == [0, 1000, 0, 0]
        assert [group["count"] for group in board["groups"]] == [1000]
        assert len(board["groups"][0]["alarms"]) == 20


def test_every_answer_carries_the_page_s_security_policy(client: TestClient) -> None:
    for path in ("/", "/api/state", "/plain/plain.js", "/nothing"):
        assert "default-src 'self'" in client.get(path).headers["content-security-policy"]


def test_the_plain_page_needs_no_build(client: TestClient) -> None:
    page = client.get("/plain/")
    assert "Break this cable" in page.text
    assert client.get("/plain/plain.css").status_code == 200


def test_a_path_out_of_the_pages_is_not_served(client: TestClient) -> None:
    for path in ("/plain/../app.py", "/plain/%2e%2e/app.py", "/%2e%2e/app.py"):
        assert "create_app" not in client.get(path).text


def test_health_tells_the_newest_estimate(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"ok": True, "estimate_ns": START_NS, "browsers": 0}


def test_hostile_ids_stay_data() -> None:
    grid = district(2, 2, mark="<img src=x onerror=alert(1)>")
    with TestClient(create_app(RecordedView(grid)), base_url=BASE) as client:
        answer = client.get("/api/schematic")
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["x-content-type-options"] == "nosniff"
