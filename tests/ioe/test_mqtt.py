"""A device that speaks MQTT ends up in a frame; one that talks rubbish is refused by name."""

import json
from urllib.parse import urlsplit

import numpy as np
import paho.mqtt.client as paho
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom.core.clock import RealClock
from gridloom.core.errors import BadInput
from gridloom.core.units import NS_PER_S
from gridloom.grid.instruments import Instruments
from gridloom.ioe import subjects
from gridloom.ioe.bus import InProcessBus, NatsBus
from gridloom.ioe.frames import Frame, FrameKind, decode
from gridloom.ioe.mqtt import Device, DeviceReadings, MqttDoor, devices_of
from gridloom.ioe.server import ServerAddress

from .conftest import until

NOW_S = 1_700_000_000
NOW = NOW_S * NS_PER_S
DEVICES = {
    "pv-1": Device(3, "area.feeder"),
    "heater 2.a": Device(5, "area.feeder"),
    "car": Device(9, "area"),
}


def say(**changes: object) -> bytes:
    return json.dumps({"t": NOW_S, "p_kw": -1.5, "q_kvar": 0.5, "v_pu": 1.02} | changes).encode()


def test_readings_of_one_second_and_cell_become_one_frame() -> None:
    readings = DeviceReadings(DEVICES)
    odd = subjects.token("heater 2.a")
    for subject, payload in (
        ("devices.area.feeder.pv-1", say(t=NOW_S + 0.25)),
        (f"devices.area.feeder.{odd}", say(t=NOW_S + 0.75, p_kw=2)),
        ("devices.area.feeder.pv-1", say(t=NOW_S + 1)),
        ("devices.area.car", b'{"t":1700000000,"p_kw":7}'),
    ):
        assert readings.take(subject, payload, NOW) == ""
    assert readings.waiting == 4
    frames = readings.frames()
    assert [(path, frame.index.tolist(), frame.sequence) for path, frame in frames] == [
        ("area", [9], 0),
        ("area.feeder", [3, 5], 0),
        ("area.feeder", [3], 1),
    ]
    np.testing.assert_allclose(frames[1][1].values, [[-1.5, 2.0], [0.5, 0.5], [1.02, 1.02]])
    assert np.isnan(frames[0][1].values[1:]).all()
    assert frames[1][1].time_ns == NOW
    assert readings.frames() == []


@pytest.mark.parametrize(
    ("subject", "payload", "reason"),
    [
        ("devices.area.feeder.nobody", say(), "unknown_device"),
        ("devices.other.feeder.pv-1", say(), "wrong_cell"),
        ("devices.area.feeder.pv-1", b"hello", "not_json"),
        ("devices.area.feeder.pv-1", b"\xff\xfe", "not_json"),
        ("devices.area.feeder.pv-1", b"[" * 1000, "wrong_fields"),
        ("devices.area.feeder.pv-1", b"[1]", "wrong_fields"),
        ("devices.area.feeder.pv-1", b'{"t": 1}', "wrong_fields"),
        ("devices.area.feeder.pv-1", say(p_kw="1"), "wrong_fields"),
        ("devices.area.feeder.pv-1", say(p_kw=1e9), "impossible_power"),
        ("devices.area.feeder.pv-1", say(q_kvar=-1e9), "impossible_power"),
        ("devices.area.feeder.pv-1", say(v_pu=-0.1), "impossible_voltage"),
        ("devices.area.feeder.pv-1", say(v_pu=230), "impossible_voltage"),
        ("devices.area.feeder.pv-1", say(t=1e300), "impossible_time"),
        ("devices.area.feeder.pv-1", say(t=NOW_S + 60), "time_ahead"),
        ("devices.area.feeder.pv-1", say(t=NOW_S - 10**6), "time_too_old"),
        ("devices.area.feeder.pv-1", b" " * 2000, "too_large"),
    ],
)
def test_a_bad_message_is_refused_by_name_and_counted(
    subject: str, payload: bytes, reason: str
) -> None:
    readings = DeviceReadings(DEVICES)
    assert readings.take(subject, payload, NOW) == reason
    assert (readings.refused[reason], readings.accepted, readings.waiting) == (1, 0, 0)


@given(st.binary(max_size=100) | st.dictionaries(st.text(), st.floats()).map(str).map(str.encode))
def test_hostile_payloads_never_raise(payload: bytes) -> None:
    readings = DeviceReadings(DEVICES)
    assert readings.take("devices.area.feeder.pv-1", payload, NOW)


def test_a_batch_that_is_full_becomes_a_frame_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gridloom.ioe.mqtt.MAX_ROWS", 2)
    readings = DeviceReadings(DEVICES)
    for _ in range(5):
        readings.take("devices.area.car", say(), NOW)
    assert [frame.index.size for _, frame in readings.frames()] == [2, 2, 1]


def test_every_meter_is_a_device_and_nothing_else() -> None:
    instruments = Instruments(
        id=["line", "meter 1", "meter 2"],
        kind=["branch", "meter", "meter"],
        element_kind=["line", "load", "load"],
        element=[0, 0, 1],
        cell=[0, 1, 2],
    )
    assert devices_of(instruments, ["root", "root.a", "root.b"].__getitem__) == {
        "meter 1": Device(1, "root.a"),
        "meter 2": Device(2, "root.b"),
    }


def test_a_period_that_is_none_is_refused() -> None:
    with pytest.raises(BadInput):
        MqttDoor(InProcessBus(), RealClock(), DeviceReadings({}), period_s=0)


async def test_a_real_mqtt_client_reaches_the_telemetry_lane(
    address: ServerAddress, bus: NatsBus
) -> None:
    frames: list[tuple[str, Frame]] = []
    clock = RealClock(NOW)
    door = MqttDoor(bus, clock, DeviceReadings(DEVICES), period_s=0.05)
    await door.start()
    await bus.subscribe(
        "telemetry.area.>", lambda message: frames.append((message.subject, decode(message.data)))
    )
    await bus.flush(20)
    device = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="pv-1", protocol=paho.MQTTv311)
    device.username_pw_set(address.user, address.password)
    where = urlsplit(address.mqtt_url)
    device.connect(where.hostname, where.port)
    device.loop_start()
    device.publish("devices/area/feeder/pv-1", say(), qos=1).wait_for_publish(10)
    device.publish("devices/area/feeder/pv-1", b"rubbish", qos=0).wait_for_publish(10)
    device.publish("devices/area/feeder/heater%202%2Ea", say(p_kw=3), qos=0).wait_for_publish(10)
    await until(lambda: sum(frame.index.size for _, frame in frames) == 2)
    await until(lambda: door.readings.refused["not_json"] == 1)
    device.disconnect()
    device.loop_stop()
    await door.stop()
    assert {subject for subject, _ in frames} == {"telemetry.area.feeder"}
    assert all(frame.kind == FrameKind.METER for _, frame in frames)
    assert sorted(row for _, frame in frames for row in frame.index.tolist()) == [3, 5]


def test_the_door_does_not_open_without_the_password(address: ServerAddress) -> None:
    codes: list[object] = []
    device = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
    device.username_pw_set(address.user, "wrong")
    device.on_connect = lambda _client, _data, _flags, code, _properties: codes.append(code)
    where = urlsplit(address.mqtt_url)
    device.connect(where.hostname, where.port)
    for _ in range(100):
        if codes:
            break
        device.loop(0.1)
    device.disconnect()
    assert codes[0].is_failure
