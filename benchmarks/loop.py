"""The whole loop at full load: bus, field, platform, event path and control room, and one fault after the other.

Starts `gridloom run` on the real clock, with the field sending the real meters' readings at a given rate. Each fault
is broken by the field, answered by the platform, and judged when its outcome stands in the journal; then the line is
repaired, the world is put back to normal, and the next one waits until plans for the normal grid lie ready again.

    python benchmarks/loop.py [--smoke] [--json] [--faults N] [--readings-per-s R] [--grid URI] [--burn] [--realtime]

A fault takes some ten seconds: switches with motors travel for up to seven, and a plan has two or three steps.
`event_to_command_ms` is the field's own: from the last frame that can decide leaving it to the first command coming
back, on one clock, both trips through the bus included. `--burn` keeps a core busy with dense algebra, as training
would; `--realtime` asks for SCHED_RR for the event path.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gridloom.cli.run_folder import table_path
from gridloom.cli.settings import DEFAULT_GRID
from gridloom.field import ControlReply, ControlRequest, decode_reply, encode_request, scoring
from gridloom.grid import Grid, load
from gridloom.ioe import subjects
from gridloom.ioe.nats_bus import NatsBus
from gridloom.ioe.server import ServerAddress
from gridloom.orchestrator.prepared import PreparedTable
from gridloom.store import JournalReader
from gridloom.store.records import FaultSeen, Outcome, Record, Refusal, SentCommand, record_of

SMOKE_GRID = "simbench:1-MV-urban--0-sw"
READY_S = 180.0
PATIENCE_S = 30.0
"""A plan has several steps, and a switch with a motor takes up to 7 s."""
LOOK_EVERY_S = 0.1
APART_S = 6.0
"""From one fault to the next at least: what indicators said of the last one is forgotten after 5 s."""
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PARTS = ("bus", "field", "platform", "event path")


@dataclass
class Figures:
    """What a run gave."""

    grid: str
    buses: int
    readings_per_s_wanted: float
    is_burning: bool
    is_real_time: bool
    faults: int = 0
    commands: int = 0
    lost: int = 0
    """Faults without a command and without a journaled reason for none."""
    not_acted: int = 0
    """Faults that ended in a journaled refusal, without a command."""
    why_not_acted: dict[str, int] = field(default_factory=dict)
    restored: int = 0
    """Faults whose plan was carried out to its end."""
    mislocated: int = 0
    """Faults that the platform saw on another line than the broken one."""
    event_to_command_p50_ms: float = float("nan")
    event_to_command_p99_ms: float = float("nan")
    event_to_command_max_ms: float = float("nan")
    over_100_ms: int = 0
    software_p50_ms: float = float("nan")
    software_p99_ms: float = float("nan")
    estimates: int = 0
    estimate_p50_ms: float = float("nan")
    estimate_p99_ms: float = float("nan")
    se_v_rmse_mv_pu: float = float("nan")
    se_v_rmse_lv_pu: float = float("nan")
    preparation_p50_ms: float = float("nan")
    preparation_p99_ms: float = float("nan")
    seconds: float = 0.0
    """Wall time from the first fault to the end of the last."""
    readings_per_s_sent: float = 0.0
    readings_per_s_received: float = 0.0
    frames_missing: int = 0
    """Telemetry frames that the platform noticed missing, by their sequence numbers."""
    messages_lost_by_links: int = 0
    """What the simulated links lost of all lanes, on purpose; more missing frames than that would be our own loss."""
    lost_events: int = 0
    commands_executed_twice: int = 0
    journal_ok: bool = False
    cpu_s: dict[str, float] = field(default_factory=dict)
    """CPU time of each process between the first fault and the end of the last [s]."""
    rss_mb: dict[str, float] = field(default_factory=dict)
    load_average: tuple[float, float] = (0.0, 0.0)
    """Of one minute, just before the start and at the end."""


class Run:
    """A `gridloom run` as a process of its own."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        """Start it."""
        self.folder = folder
        command = [sys.executable, "-m", "gridloom", "run", "--json", "--port", "0"]
        command += ["--grid", options.grid, "--data", str(folder), "--seed", str(options.seed)]
        command += ["--readings-per-second", str(options.readings_per_s)]
        command += ["--realtime"] if options.realtime else []
        with (folder / "run.log").open("wb") as log_file:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log_file)

    def wait_ready(self) -> None:
        """Return when the first plans lie ready."""
        deadline_s = time.monotonic() + READY_S
        while not (self.folder / "platform-ready.json").exists():
            if self.process.poll() is not None or time.monotonic() > deadline_s:
                raise SystemExit(f"the run did not get ready: {self.last_words()}")
            time.sleep(0.1)

    def last_words(self) -> str:
        """Return the ends of all logs."""
        logs = [self.folder / f"{name}.log" for name in ("run", "field", "platform")]
        return "\n".join(path.read_text()[-2000:] for path in logs if path.exists())

    @property
    def address(self) -> ServerAddress:
        """Where the bus is."""
        return ServerAddress.read(self.folder / "bus" / "ready.json")

    def page(self, path: str, body: dict[str, str] | None = None) -> Any:  # noqa: ANN401 - any JSON
        """Ask the control room."""
        url = json.loads((self.folder / "platform-ready.json").read_bytes())["url"]
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(f"{url}/api/{path}", data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def pids(self) -> dict[str, int]:
        """Return the process id of each part."""
        found = {
            "bus": self.address.pid,
            "event path": int((self.folder / "event-path.pid").read_text()),
        }
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            for part in ("field", "platform"):
                if part in words and any(word.startswith(str(self.folder)) for word in words):
                    found[part] = int(path.parent.name)
        return found

    def cpu_s(self) -> dict[str, float]:
        """Return the CPU time of each part so far [s]."""
        return {part: _cpu_s(pid) for part, pid in self.pids().items()}

    def peak_rss_mb(self) -> dict[str, float]:
        """Return the largest resident size of each part so far [MB]."""
        sizes = {}
        for part, pid in self.pids().items():
            status = Path(f"/proc/{pid}/status").read_text()
            line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
            sizes[part] = round(int(line.split()[1]) / 1024, 1)
        return sizes

    def finish(self) -> dict[str, Any]:
        """End the run as a person would and return its summary."""
        self.process.send_signal(signal.SIGINT)
        out, _ = self.process.communicate(timeout=120)
        if self.process.returncode != 0:
            raise SystemExit(f"the run ended with {self.process.returncode}: {self.last_words()}")
        summary: dict[str, Any] = json.loads(out)
        return summary

    def kill(self) -> None:
        """Leave nothing behind, whatever went wrong."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()


class Trials:
    """Breaks lines one after the other and follows what the platform makes of each."""

    def __init__(self, run: Run, bus: NatsBus, grid: Grid, figures: Figures) -> None:
        """Look at a run that is ready."""
        self._run, self._bus, self._grid, self._figures = run, bus, grid, figures
        self._journal = JournalReader(run.folder / "journal.sqlite")
        self._table = PreparedTable(table_path(run.folder))
        self._normal = (grid.switches.closed & grid.switches.in_service).astype(np.uint8)
        self._why_not: Counter[str] = Counter()
        self._rates: list[float] = []

    async def play(self, lines: list[str]) -> None:
        """Play one fault on each line."""
        figures = self._figures
        cpu_before, sent_before = self._run.cpu_s(), (await self._ask("status")).readings
        started_s = time.monotonic()
        for number, line in enumerate(lines):
            await self._one(line)
            progress(f"fault {number + 1} of {len(lines)}: {line}")
        figures.seconds = time.monotonic() - started_s
        sent = (await self._ask("status")).readings - sent_before
        figures.readings_per_s_sent = sent / figures.seconds
        figures.readings_per_s_received = float(np.mean(self._rates))
        used = self._run.cpu_s()
        figures.cpu_s = {part: round(used[part] - cpu_before[part], 1) for part in PARTS}
        figures.rss_mb = self._run.peak_rss_mb()
        figures.why_not_acted = dict(self._why_not)
        figures.load_average = (figures.load_average[0], os.getloadavg()[0])

    async def _one(self, line: str) -> None:
        figures, head = self._figures, self._journal.head.sequence
        began_s = time.monotonic()
        await self._ask("inject", line)
        figures.faults += 1
        records = await self._until_over(head)
        self._judge(line, records)
        self._rates.append(self._run.page("state")["status"]["readings_per_s"])
        series = self._table.series
        await self._heal(line)
        await self._until_ready(series)
        await asyncio.sleep(max(0.0, began_s + APART_S - time.monotonic()))

    async def _until_over(self, head: int) -> list[Record]:
        """Return what the journal says of the fault once its plan has ended, or once nothing more is to come."""
        deadline_s, quiet_s = time.monotonic() + PATIENCE_S, 0.0
        while time.monotonic() < deadline_s:
            await asyncio.sleep(LOOK_EVERY_S)
            records = self._told(head)
            if any(isinstance(record, Outcome) for record in records):
                break
            is_refused = any(isinstance(record, Refusal) for record in records)
            is_acting = any(isinstance(record, SentCommand) for record in records)
            # After a refusal the platform plans anew; if nothing comes of that either, it is over.
            quiet_s = quiet_s + LOOK_EVERY_S if is_refused and not is_acting else 0.0
            if quiet_s > PATIENCE_S / 10:
                break
        return self._told(head)

    def _told(self, head: int) -> list[Record]:
        """Read what matters and leave the many prepared plans alone: looking must not cost what is measured."""
        return [
            record_of(entry)
            for kind in ("fault", "command", "refusal", "outcome")
            for entry in self._journal.entries(after=head, kind=kind)
        ]

    def _judge(self, line: str, records: list[Record]) -> None:
        figures = self._figures
        commands = sum(isinstance(record, SentCommand) for record in records)
        refusals = [record for record in records if isinstance(record, Refusal)]
        figures.commands += commands
        figures.restored += any(isinstance(one, Outcome) and one.succeeded for one in records)
        sections = {one.section for one in records if isinstance(one, FaultSeen) and one.section}
        figures.mislocated += bool(sections - {line})
        self._why_not.update(refusal.reason for refusal in refusals)
        if not commands:
            figures.not_acted += bool(refusals)
            figures.lost += not refusals

    async def _heal(self, line: str) -> None:
        """Tell the platform that the line is sound again, as a person at the desk would, and go back to normal."""
        await asyncio.to_thread(self._run.page, "faults/repair", {"line": line})
        await self._ask("reset")

    async def _until_ready(self, series: int) -> None:
        """Wait until newer plans than `series` lie ready for the normal grid."""
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            if self._table.series > series and self._table.consistently(self._is_normal):
                return
            await asyncio.sleep(LOOK_EVERY_S)
        raise SystemExit(f"no plans for the normal grid: {self._run.last_words()}")

    def _is_normal(self) -> bool:
        return bool((self._table.positions == self._normal).all())

    async def _ask(self, do: Any, target: str = "") -> ControlReply:  # noqa: ANN401 - one of the deeds
        request = encode_request(ControlRequest(do=do, target=target))
        reply = decode_reply(await self._bus.request(subjects.FIELD_CONTROL, request, 30.0))
        if not reply.ok:
            raise SystemExit(f"the field cannot {do} {target}: {reply.note}")
        return reply


def main() -> None:
    """Run and print."""
    options = _parse()
    grid = load(options.grid)
    figures = Figures(
        grid=options.grid,
        buses=len(grid.buses),
        readings_per_s_wanted=options.readings_per_s,
        is_burning=options.burn,
        is_real_time=options.realtime,
        load_average=(os.getloadavg()[0], 0.0),
    )
    stop = multiprocessing.Event()
    burner = multiprocessing.Process(target=_burn, args=(stop,))
    with tempfile.TemporaryDirectory() as name:
        run = Run(Path(name), options)
        try:
            run.wait_ready()
            if options.burn:
                burner.start()
            time.sleep(options.settle_s)
            asyncio.run(_play(run, grid, figures, options))
            if burner.pid is not None:
                figures.cpu_s["burner, settling included"] = round(_cpu_s(burner.pid), 1)
            summary = run.finish()
            _summarise(figures, summary, run.folder)
        finally:
            stop.set()
            if options.burn:
                burner.join(10)
            run.kill()
            if options.keep:
                subprocess.run(["cp", "-r", name, options.keep], check=False)
    sys.stdout.write(json.dumps(asdict(figures)) + "\n" if options.json else _table(figures))


async def _play(run: Run, grid: Grid, figures: Figures, options: argparse.Namespace) -> None:
    bus = await NatsBus.connect(run.address.url, run.address.credentials, name="benchmark")
    try:
        await Trials(run, bus, grid, figures).play(_lines(grid, options))
    finally:
        await bus.close()


def _lines(grid: Grid, options: argparse.Namespace) -> list[str]:
    """Draw medium-voltage lines that are under voltage at both ends; each once before any comes again."""
    lines, vn_kv = grid.lines, grid.buses.vn_kv
    topology = grid.wiring.topology(grid.switches.closed)
    is_live = topology.line_closed.all(axis=1) & topology.is_energised[lines.from_bus]
    is_mv = (vn_kv[lines.from_bus] > 1.0) & (vn_kv[lines.from_bus] < 60.0)
    rng = np.random.default_rng(options.seed)
    rows: list[int] = []
    while len(rows) < options.faults:
        rows += rng.permutation(np.flatnonzero(is_mv & is_live)).tolist()
    return [str(lines.id[row]) for row in rows[: options.faults]]


def _summarise(figures: Figures, summary: dict[str, Any], folder: Path) -> None:
    took_ms = scoring.event_to_command_ms(folder / "field" / "truth")
    if took_ms:
        figures.event_to_command_p50_ms, figures.event_to_command_p99_ms = (
            float(np.percentile(took_ms, q)) for q in (50, 99)
        )
        figures.event_to_command_max_ms = max(took_ms)
        figures.over_100_ms = sum(took > 100 for took in took_ms)
    platform = json.loads((folder / "platform-summary.json").read_bytes())
    software, estimate = platform["software_ms"], platform["se_ms"]
    figures.software_p50_ms, figures.software_p99_ms = software["p50"], software["p99"]
    figures.estimate_p50_ms, figures.estimate_p99_ms = estimate["p50"], estimate["p99"]
    preparation = platform["preparation_ms"]
    figures.preparation_p50_ms, figures.preparation_p99_ms = preparation["p50"], preparation["p99"]
    figures.frames_missing = platform["missing_frames"]
    world = json.loads((folder / "field" / "summary.json").read_bytes())
    figures.messages_lost_by_links = world["messages_lost"]
    for name in (
        "estimates",
        "se_v_rmse_mv_pu",
        "se_v_rmse_lv_pu",
        "lost_events",
        "commands_executed_twice",
        "journal_ok",
    ):
        setattr(figures, name, summary[name])


def _cpu_s(pid: int) -> float:
    """Return the CPU time of a process so far [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _burn(stop: Any) -> None:  # noqa: ANN401 - an event
    """Do what training a forecast does: dense algebra without a pause, on one core."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    rng = np.random.default_rng(5)
    while not stop.is_set():
        a = rng.normal(size=(300, 300))
        np.linalg.solve(a @ a.T + np.eye(300), a)


def progress(text: str) -> None:
    """Say on standard error how far it is."""
    sys.stderr.write(text + "\n")


def _table(figures: Figures) -> str:
    return "".join(f"{name:28} {_shown(value)}\n" for name, value in asdict(figures).items())


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(one)}" for name, one in value.items()) or "-"
    if isinstance(value, list | tuple):
        return " -> ".join(_shown(one) for one in value)
    return str(value)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="three faults at 20,000 readings/s")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--faults", type=int, default=60)
    parser.add_argument("--readings-per-s", type=float, default=200_000.0)
    parser.add_argument("--grid", default=DEFAULT_GRID)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--burn", action="store_true", help="keep a core busy meanwhile")
    parser.add_argument("--realtime", action="store_true", help="SCHED_RR for the event path")
    parser.add_argument("--settle-s", type=float, default=15.0, help="quiet time before the first")
    parser.add_argument("--keep", default="", help="copy the run's folder here at the end")
    options = parser.parse_args()
    if options.smoke:
        options.faults, options.readings_per_s, options.grid = 3, 20_000.0, SMOKE_GRID
        options.settle_s = 2.0
    return options


if __name__ == "__main__":
    main()
