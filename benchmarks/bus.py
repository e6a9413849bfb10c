"""What a reading costs on its way: codec, table of last values, and the whole road through the server.

CPU time, not wall time: of the sender, the server and the receiver together where there is a road. The peers in the
same run are one JSON object per reading for the codec, and one message per reading for the road.

    python benchmarks/bus.py [--smoke] [--json]
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from gridloom.ioe.bus import Credentials, NatsBus
from gridloom.ioe.frames import Frame, FrameKind, decode, encode
from gridloom.ioe.server import NatsServer, ServerAddress
from gridloom.ioe.telemetry import LatestValues
from gridloom.ioe.wire import WireClient

INSTRUMENTS = 100_000
BARRIER = b"end"
Figures = dict[str, float]


class Row(msgspec.Struct):
    """One reading as a text would carry it."""

    i: int
    p: float
    q: float
    v: float


def main() -> int:
    """Measure, print, and return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="prove that it runs, in seconds")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--receive", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.receive:
        return receive(*arguments.receive)
    scale = 20 if arguments.smoke else 1
    figures = codec_figures(2000 // scale)
    with tempfile.TemporaryDirectory() as name, NatsServer(store=Path(name)) as address:
        for client in ("wire", "nats"):
            for rows, frames in ((1000, 4000), (10_000, 600), (1, 40_000)):
                figures |= road_figures(address, client, rows, frames // scale)
    for name, has_record in (("record", True), ("no_record", False)):
        figures |= latency_figures(name, 5000 // scale, has_record=has_record)
    for client in ("wire", "nats"):
        single = figures[f"road_{client}_1_cpu_us_per_reading"]
        framed = figures[f"road_{client}_1000_cpu_us_per_reading"]
        figures[f"road_{client}_message_per_reading_ratio"] = single / framed
    if arguments.json:
        print(json.dumps(figures))
    else:
        for key, value in figures.items():
            print(f"{key:<44} {value:>16,.3f}")
    return 0


def frame_of(rows: int, sequence: int) -> Frame:
    """Return a meter frame of `rows` readings that changes with its sequence."""
    first = sequence * rows % (INSTRUMENTS - rows + 1)
    index = np.arange(first, first + rows, dtype=np.uint32)
    values = np.full((3, rows), sequence, np.float32)
    return Frame(
        kind=FrameKind.METER,
        source="benchmark",
        epoch=1,
        sequence=sequence,
        time_ns=sequence + 1,
        index=index,
        values=values,
    )


def cpu_us(action: Callable[[], object], n: int) -> float:
    """Return the CPU time of one of `n` calls, the best of five rounds [us]."""
    best = float("inf")
    for _ in range(5):
        start = time.process_time_ns()
        for _ in range(n):
            action()
        best = min(best, (time.process_time_ns() - start) / n / 1000)
    return best


def codec_figures(n: int) -> Figures:
    """Encode, decode and apply 1,000 readings, as a frame and as JSON."""
    frame = frame_of(1000, 1)
    raw = encode(frame)
    table = LatestValues(INSTRUMENTS)
    frames = [frame_of(1000, sequence) for sequence in range(5 * n)]
    pending = iter(frames)
    rows = [
        Row(int(i), float(p), float(q), float(v))
        for i, (p, q, v) in zip(frame.index, frame.values.T, strict=True)
    ]
    text = msgspec.json.encode(rows)
    decoder = msgspec.json.Decoder(list[Row])

    def columns() -> object:
        got = decoder.decode(text)
        return (
            np.fromiter((row.i for row in got), np.uint32, len(got)),
            np.array([(row.p, row.q, row.v) for row in got], np.float32),
        )

    figures = {
        "encode_us_per_1000": cpu_us(lambda: encode(frame), n),
        "decode_us_per_1000": cpu_us(lambda: decode(raw), n),
        "apply_us_per_1000": cpu_us(lambda: table.apply(next(pending)), n),
        "json_encode_us_per_1000": cpu_us(lambda: msgspec.json.encode(rows), max(n // 20, 3)),
        "json_decode_us_per_1000": cpu_us(columns, max(n // 20, 3)),
        "bytes_per_reading": len(raw) / 1000,
        "json_bytes_per_reading": len(text) / 1000,
    }
    ours = figures["encode_us_per_1000"] + figures["decode_us_per_1000"]
    theirs = figures["json_encode_us_per_1000"] + figures["json_decode_us_per_1000"]
    return {**figures, "json_ratio": theirs / ours}


def road_figures(address: ServerAddress, client: str, rows: int, frames: int) -> Figures:
    """Send `frames` frames of `rows` readings to a receiver in another process."""
    receiver = subprocess.Popen(
        [
            sys.executable,
            __file__,
            "--receive",
            client,
            address.url,
            address.user,
            address.password,
            str(frames),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert receiver.stdout is not None
    assert receiver.stdout.readline() == "ready\n"
    server_s, start_s = process_cpu_s(address.pid), time.perf_counter()
    sender_s = asyncio.run(send(address, rows, frames))
    got = json.loads(receiver.stdout.readline())
    wall_s = time.perf_counter() - start_s
    receiver.wait()
    receiver.stdout.close()
    readings = rows * frames
    parts = {
        "sender": sender_s,
        "server": process_cpu_s(address.pid) - server_s,
        "receiver": got["cpu_s"],
    }
    total_s = sum(parts.values())
    name = f"road_{client}_{rows}"
    return {
        **{f"{name}_{part}_us_per_message": 1e6 * s / frames for part, s in parts.items()},
        f"{name}_cpu_us_per_reading": 1e6 * total_s / readings,
        f"{name}_readings_per_cpu_s": readings / total_s,
        f"{name}_frames_per_s_wall": frames / wall_s,
        f"{name}_lost": frames - got["frames"],
    }


async def send(address: ServerAddress, rows: int, frames: int) -> float:
    """Publish as fast as the server takes it, a window at a time; return the CPU time [s]."""
    bus = await NatsBus.connect(address.url, address.credentials)
    made = [frame_of(rows, sequence) for sequence in range(min(frames, 100))]
    window = max(1, min(2000, 200_000 // rows))
    start = time.process_time()
    for number in range(frames):
        await bus.publish("telemetry.benchmark", encode(made[number % len(made)]))
        if number % window == window - 1:
            await bus.flush(30)
    await bus.flush(30)
    taken_s = time.process_time() - start
    await bus.publish("telemetry.benchmark", BARRIER)
    await bus.close()
    return taken_s


def receive(client: str, url: str, user: str, password: str, frames: str) -> int:
    """Be the receiving process: decode and apply until the barrier, then print one JSON line."""
    who, table = Credentials(user, password), LatestValues(INSTRUMENTS)
    counts = {"frames": 0, "done": 0}

    def take(data: bytes | memoryview) -> None:
        if len(data) == len(BARRIER):
            counts["done"] = 1
            return
        table.apply(decode(data))
        counts["frames"] += 1

    run = receive_by_wire if client == "wire" else receive_by_nats
    cpu_s = run(url, who, take, counts)
    print(json.dumps({"frames": counts["frames"], "cpu_s": cpu_s, "expected": int(frames)}))
    return 0


def receive_by_wire(
    url: str, who: Credentials, take: Callable[[memoryview], None], counts: dict[str, int]
) -> float:
    """Receive with the small synchronous client; return the CPU time [s]."""
    link = WireClient.connect(url, who)
    link.subscribe("telemetry.>", lambda _, data: take(data))
    link.flush()
    print("ready", flush=True)
    start = time.process_time()
    while not counts["done"]:
        link.poll(0.1)
    return time.process_time() - start


def receive_by_nats(
    url: str, who: Credentials, take: Callable[[bytes], None], counts: dict[str, int]
) -> float:
    """Receive with the asynchronous client; return the CPU time [s]."""

    async def run() -> float:
        bus = await NatsBus.connect(url, who)
        await bus.subscribe("telemetry.>", lambda message: take(message.data))
        await bus.flush()
        print("ready", flush=True)
        start = time.process_time()
        while not counts["done"]:  # noqa: ASYNC110 - an event per frame would be measured too
            await asyncio.sleep(0.01)
        taken_s = time.process_time() - start
        await bus.close()
        return taken_s

    return asyncio.run(run())


def latency_figures(name: str, n: int, *, has_record: bool) -> Figures:
    """Send an event through the server and back, with and without JetStream keeping it [us of wall time]."""
    with (
        tempfile.TemporaryDirectory() as store,
        NatsServer(store=Path(store), has_mqtt=False, has_record=has_record) as address,
    ):
        if has_record:
            asyncio.run(make_record(address))
        link = WireClient.connect(address.url, address.credentials)
        link.subscribe("event.>", lambda _subject, _data: None)
        link.flush()
        event = encode(frame_of(10, 0))
        taken_ns = []
        for number in range(n):
            start = time.perf_counter_ns()
            link.publish("event.benchmark", event, message_id=str(number))
            while not link.poll(1.0):
                pass
            taken_ns.append(time.perf_counter_ns() - start)
        link.close()
    p50, p99 = np.percentile(taken_ns, [50, 99]) / 1000
    return {f"event_{name}_p50_us": float(p50), f"event_{name}_p99_us": float(p99)}


async def make_record(address: ServerAddress) -> None:
    """Return once the streams stand."""
    bus = await NatsBus.connect(address.url, address.credentials)
    if not await bus.wait_recorded(10):
        sys.exit("the streams could not be made")
    await bus.close()


def process_cpu_s(pid: int) -> float:
    """Return the CPU time that a process has used [s]."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
