"""What writing things down costs: the event path's ring, the journal, the history.

Each figure stands beside a plain way of doing the same in the same run: a file synced for every record for the ring,
one commit a record for the journal, SQLite for the history. CPU time is the process's own; wall times depend on the
disk under `--directory`.

    python benchmarks/store.py [--smoke] [--json] [--directory DIR]
"""

import argparse
import json
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from gridloom.store import Draft, Journal, Ring, RingReader, drain_ring
from gridloom.store.history import History

RECORD = bytes(range(128))
BODY = {"plan_id": "restoration/1", "switch": "MV1.101 Switch 17", "closed": False, "step": 3}
Figures = dict[str, float]


def main() -> int:
    """Measure, print, and return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="prove that it runs, in seconds")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--directory", type=Path, help="where to write; default: a temporary one")
    arguments = parser.parse_args()
    scale = 20 if arguments.smoke else 1
    with tempfile.TemporaryDirectory(dir=arguments.directory) as name:
        directory = Path(name)
        figures = {
            **ring_figures(directory, 200_000 // scale),
            **synced_file_figures(directory, 1_000 // scale),
            **drain_figures(directory, 50_000 // scale),
            **journal_figures(directory, 100_000 // scale, 1_000 // scale),
            **history_figures(directory, 10_000, 400 // scale),
        }
    if arguments.json:
        print(json.dumps(figures))
    else:
        for key, value in figures.items():
            print(f"{key:<40} {value:>14,.2f}")
    return 0


def percentiles_us(prefix: str, taken_ns: list[int]) -> Figures:
    """Return the median and the 99th percentile [us]."""
    p50, p99 = np.percentile(taken_ns, [50, 99]) / 1000
    return {f"{prefix}_p50_us": float(p50), f"{prefix}_p99_us": float(p99)}


def timed(action: Callable[[], object], n: int) -> list[int]:
    """Return the wall time of each of `n` calls [ns]."""
    clock, taken_ns = time.perf_counter_ns, []
    for _ in range(n):
        start = clock()
        action()
        taken_ns.append(clock() - start)
    return taken_ns


def ring_figures(directory: Path, n: int) -> Figures:
    """Append `n` records of 128 bytes; the drained mark follows, as it would from the other process."""
    with Ring(directory / "ring", 8192, len(RECORD)) as ring, RingReader(ring.path) as reader:
        taken_ns: list[int] = []
        for _ in range(n // 1000):
            taken_ns += timed(lambda: ring.append(RECORD), 1000)
            reader.mark_drained(ring.tail)
        start = time.process_time()
        for _ in range(n // 1000):
            for _ in range(1000):
                ring.append(RECORD)
            reader.mark_drained(ring.tail)
        cpu_us = (time.process_time() - start) * 1e6 / n
    empty_ns = timed(lambda: None, 10_000)
    return {
        **percentiles_us("ring_append", taken_ns),
        "ring_append_cpu_us": cpu_us,
        "timer_p50_us": percentiles_us("timer", empty_ns)["timer_p50_us"],
    }


def synced_file_figures(directory: Path, n: int) -> Figures:
    """Do what a ring saves: write and sync a file for every record."""
    handle = os.open(directory / "plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def append() -> None:
        os.write(handle, RECORD)
        os.fdatasync(handle)

    taken_ns = timed(append, n)
    os.close(handle)
    return percentiles_us("synced_file_append", taken_ns)


def drain_figures(directory: Path, n: int) -> Figures:
    """Drain `n` records into a journal, 1,000 at a time."""
    ring_path = directory / "drained"
    with Ring(ring_path, 1000, len(RECORD)) as ring, Journal(directory / "drain.db") as journal:
        drafts = (Draft("command", BODY, 1),)
        cpu_s = 0.0
        for _ in range(n // 1000):
            for _ in range(1000):
                ring.append(RECORD)
            start = time.process_time()
            drain_ring(ring, journal, lambda _: drafts)
            cpu_s += time.process_time() - start
    return {"drain_cpu_us_per_record": cpu_s * 1e6 / n}


def journal_figures(directory: Path, n: int, n_single: int) -> Figures:
    """Compare the group commit with one commit a record; then check the whole chain."""
    with Journal(directory / "group.db", commit_every_s=0.05) as journal:
        start, cpu = time.perf_counter(), time.process_time()
        taken_ns = timed(lambda: journal.append("command", BODY, 1), n)
        journal.commit()
        group = n / (time.perf_counter() - start)
        group_cpu_us = (time.process_time() - cpu) * 1e6 / n
        start = time.process_time()
        result = journal.verify()
        verify = result.n / (time.process_time() - start)
        assert result.ok, result
    with Journal(directory / "single.db", commit_every_s=None) as journal:

        def append() -> None:
            journal.append("command", BODY, 1)
            journal.commit()

        start, cpu = time.perf_counter(), time.process_time()
        single_ns = timed(append, n_single)
        single = n_single / (time.perf_counter() - start)
        single_cpu_us = (time.process_time() - cpu) * 1e6 / n_single
    return {
        **percentiles_us("journal_append", taken_ns),
        "journal_group_per_s": group,
        "journal_single_per_s": single,
        "journal_group_over_single": group / single,
        "journal_group_cpu_us": group_cpu_us,
        "journal_single_cpu_us": single_cpu_us,
        "journal_single_cpu_over_group": single_cpu_us / group_cpu_us,
        **percentiles_us("journal_commit", single_ns),
        "journal_verify_per_cpu_s": verify,
    }


def history_figures(directory: Path, devices: int, steps: int) -> Figures:
    """Write `steps` readings of `devices` meters, as a day has them, and ask for them; SQLite beside it."""
    frames = [frame(devices, step) for step in range(20)]
    with History(directory / "history", in_background=False, flush_after_s=1e9) as history:
        start = time.process_time()
        for step in range(steps):
            history.append("meter", step * 10**9, *frames[step % len(frames)])
        history.flush()
        write_s = time.process_time() - start
        rows, files = devices * steps, list((directory / "history").rglob("*.parquet"))
        assert len(history.latest("meter")) == devices  # the first call reads the files, once
        start = time.process_time()
        assert len(history.latest("meter")) == devices
        latest_s = time.process_time() - start
        start = time.process_time()
        assert len(history.at("meter", steps * 10**9)) == devices
        at_s = time.process_time() - start
        start = time.process_time()
        assert len(history.query("meter", 0, steps * 10**9, index=[7])) == steps
        one_s = time.process_time() - start
    peer_steps = max(steps // 20, 1)
    peer = sqlite_rows_per_cpu_s(directory, frames, peer_steps)
    return {
        "history_rows": float(rows),
        "history_rows_per_cpu_s": rows / write_s,
        "sqlite_rows_per_cpu_s": peer,
        "history_over_sqlite": rows / write_s / peer,
        "history_bytes_per_row": sum(path.stat().st_size for path in files) / rows,
        "history_latest_cpu_ms": latest_s * 1000,
        "history_at_cpu_ms": at_s * 1000,
        "history_one_device_cpu_ms": one_s * 1000,
    }


def frame(devices: int, step: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return one frame of readings, rounded as meters round."""
    rng = np.random.default_rng(step)
    columns = {
        "p_kw": rng.gamma(2.0, 0.4, devices).round(3),
        "q_kvar": rng.normal(0.0, 0.1, devices).round(3),
        "v_pu": rng.normal(1.0, 0.01, devices).round(4),
    }
    floats = {name: values.astype(np.float32) for name, values in columns.items()}
    return np.arange(devices, dtype=np.uint32), floats


def sqlite_rows_per_cpu_s(directory: Path, frames: list, steps: int) -> float:
    """Return the rate of SQLite, in write-ahead mode, one transaction a frame."""
    with closing(sqlite3.connect(directory / "peer.db")) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("CREATE TABLE meter (t, i, p, q, v)")
        start, rows = time.process_time(), 0
        for step in range(steps):
            index, columns = frames[step % len(frames)]
            lists = [values.tolist() for values in (index, *columns.values())]
            with database:
                database.executemany(
                    f"INSERT INTO meter VALUES ({step}, ?, ?, ?, ?)", zip(*lists, strict=True)
                )
            rows += len(index)
        return rows / (time.process_time() - start)


if __name__ == "__main__":
    sys.exit(main())
