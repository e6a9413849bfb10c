"""What a live state costs on the way to the browser: our frames of bytes beside JSON of the same values.

    python benchmarks/control_room.py [--smoke] [--json]

Both sides pack the same noisy states in one process, on one core; JSON is msgspec's, the fastest that we know,
rounded to the digits that a screen shows, and compressed like ours.
"""

import argparse
import json
import sys
import time
import zlib
from statistics import median

import msgspec
import numpy as np

from gridloom.control_room.feed import FeedEncoder
from gridloom.control_room.view import LiveState

SIZES = (1_000, 10_000, 100_000)
LEVEL = 1


def states(n: int, count: int) -> list[LiveState]:
    """Return states of `n` buses, `n` branches and `2 n` switches that differ by the noise of an estimate."""
    rng = np.random.default_rng(7)
    base = 1.0 + 0.01 * np.sin(np.arange(n) / 50)
    loading = np.abs(rng.normal(25, 10, n))
    alive = np.ones(n, dtype=bool)
    return [
        LiveState(
            time_ns=at,
            v_pu=base + rng.normal(0, 2e-4, n),
            is_energised=alive,
            loading_pct=np.abs(loading + rng.normal(0, 0.3, n)),
            is_live=alive,
            closed=np.ones(2 * n, dtype=np.float32),
        )
        for at in range(count)
    ]


def as_json(live: LiveState) -> bytes:
    """Return a state as compressed JSON with three digits."""
    body = {
        "time_ns": live.time_ns,
        "v_pu": np.round(live.v_pu, 3).tolist(),
        "loading_pct": np.round(live.loading_pct, 1).tolist(),
        "closed": live.closed.astype(int).tolist(),
    }
    return zlib.compress(msgspec.json.encode(body), LEVEL)


def measure(n: int, count: int) -> dict[str, float]:
    """Return bytes a frame and CPU time a frame [ms] of both, medians over `count` states."""
    encoder, history = FeedEncoder(), states(n, count + 1)
    encoder.push(history[0])
    ours_bytes, ours_ms, json_bytes, json_ms = [], [], [], []
    for live in history[1:]:
        start = time.process_time_ns()
        encoder.push(live)
        ours_ms.append((time.process_time_ns() - start) / 1e6)
        ours_bytes.append(len(encoder.frame_after(encoder.sequence - 1)))
        start = time.process_time_ns()
        json_bytes.append(len(as_json(live)))
        json_ms.append((time.process_time_ns() - start) / 1e6)
    return {
        "buses": n,
        "frame_bytes": median(ours_bytes),
        "json_bytes": median(json_bytes),
        "frame_cpu_ms": median(ours_ms),
        "json_cpu_ms": median(json_ms),
        "times_smaller": median(json_bytes) / median(ours_bytes),
        "times_cheaper": median(json_ms) / median(ours_ms),
    }


def main() -> int:
    """Measure, and print a table or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a second instead of a minute")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    rows = [measure(n, 3 if args.smoke else 30) for n in (SIZES[:2] if args.smoke else SIZES)]
    if args.json:
        print(json.dumps({"control_room_feed": rows}))
        return 0
    print(
        f"{'buses':>8} {'frame B':>9} {'JSON B':>9} {'smaller':>8} {'frame ms':>9} {'JSON ms':>9} {'cheaper':>8}"
    )
    for row in rows:
        print(
            f"{row['buses']:8.0f} {row['frame_bytes']:9.0f} {row['json_bytes']:9.0f} {row['times_smaller']:7.1f}x "
            f"{row['frame_cpu_ms']:9.3f} {row['json_cpu_ms']:9.3f} {row['times_cheaper']:7.1f}x"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
