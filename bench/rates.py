"""Full rate: durable ingest, the whole device path, and both against the bare loop and against boto3 called by hand.

A round is: bare loop, ingest, path, then boto3; a bare loop also ends the last round, so each of ours stands between two of them. Rates run
from the producer's first reading to the last that was received (bare), is on disk (ingest) or was accepted by the endpoint (path).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from statistics import median
from typing import Any, Final

from bench.board import Board
from bench.goals import Figure, of_rounds, ratios
from bench.processes import Failed, Process, python
from bench.run import Run
from device_agent.wire import zstd

NAMES: Final = (
    "durable_ingest_ratio", "device_path_ratio", "cpu_per_reading_us", "vs_send_message", "vs_send_message_batch",
    "sqs_requests_over_floor", "rss_full_mib",
)  # fmt: skip
#: Nobody listens there: readings go to the disk and stay.
NOWHERE: Final = "http://127.0.0.1:9"
_TIMEOUT: Final = 300.0
_UNIT: Final = 64 * 1024
#: The floor is what the same readings take in pieces much larger than an envelope, compressed as the wire does it.
_PIECE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """One round of the whole path."""

    rate: float
    peak_mib: float
    endpoint: dict[str, Any]
    cpu: dict[str, float]  # of the agent's threads since the first reading, seconds


@dataclass(slots=True)
class Rates:
    """Rates in readings a second, round by round."""

    bare: list[float] = field(default_factory=list)
    whole: float = 0.0  # a bare loop that keeps the frames of a message together, as the agent must; once
    ingest: list[float] = field(default_factory=list)
    path: list[Whole] = field(default_factory=list)
    single: list[float] = field(default_factory=list)
    batch: list[float] = field(default_factory=list)


def measure(run: Run) -> list[Figure]:
    """Measure all of `NAMES`."""
    rates = Rates()
    for number in range(run.rounds):
        run.say(f"full rate, round {number + 1} of {run.rounds}: {run.frames:,} readings through bare loop, disk, whole path; boto3")
        rates.bare.append(bare(run))
        rates.ingest.append(ingest(run))
        rates.path.append(path(run))
        rates.single.append(boto3(run, "send-message"))
        rates.batch.append(boto3(run, "send-message-batch"))
        run.say(_told(rates))
    rates.bare.append(bare(run))
    rates.whole = bare(run, "pull-whole")
    return figures(run, rates)


def _told(rates: Rates) -> str:
    last = rates.path[-1]
    busy = ", ".join(f"{name} {seconds:.2f}" for name, seconds in sorted(last.cpu.items(), key=lambda one: -one[1])[:5])
    return (
        f"bare {rates.bare[-1]:,.0f}/s, ingest {rates.ingest[-1]:,.0f}/s, path {last.rate:,.0f}/s, "
        f"send_message {rates.single[-1]:,.0f}/s, batch {rates.batch[-1]:,.0f}/s; CPU s of the path: {busy}"
    )


def figures(run: Run, rates: Rates) -> list[Figure]:
    """Make the figures of the rates."""
    paths = [one.rate for one in rates.path]
    base = f"{run.readings.name}, {run.readings.average:.0f} B, {run.frames:,} a round; bare loop {median(rates.bare):,.0f}/s"
    responder = median(one.endpoint["cpu"] for one in rates.path)
    return [
        of_rounds(
            "durable_ingest_ratio", ratios(rates.ingest, rates.bare),
            note=f"{base}; ingest {median(rates.ingest):,.0f}/s; a bare loop that keeps messages whole {rates.whole:,.0f}/s",
        ),
        of_rounds(
            "device_path_ratio", ratios(paths, rates.bare),
            note=f"{base}; path {median(paths):,.0f}/s; the responder took {responder:.2f} CPU s a round",
        ),
        of_rounds(
            "cpu_per_reading_us", [sum(one.cpu.values()) * 1e6 / run.frames for one in rates.path], note="all threads of the agent",
        ),
        of_rounds("vs_send_message", ratios(paths, rates.single), note=f"send_message {median(rates.single):,.0f}/s"),
        of_rounds("vs_send_message_batch", ratios(paths, rates.batch), note=f"send_message_batch of ten {median(rates.batch):,.0f}/s"),
        _requests(run, rates),
        of_rounds("rss_full_mib", [one.peak_mib for one in rates.path], note="VmHWM at the end of a round of the whole path"),
    ]  # fmt: skip


def _requests(run: Run, rates: Rates) -> Figure:
    compressed = sum(len(zstd.compress(piece, level=1)) for piece in run.readings.pieces(run.frames, _PIECE))
    floor = max(1.0, compressed * 4 / 3 / _UNIT)
    billed = [one.endpoint["billed"] for one in rates.path]
    million = median(billed) * 1e6 / run.frames
    note = (
        f"{million:.0f} a million readings, floor {floor * 1e6 / run.frames:.0f}: zstd level 1 over the payloads alone, in pieces of 1 MiB"
    )
    return of_rounds("sqs_requests_over_floor", [one / floor for one in billed], note=note)


def bare(run: Run, loop_of: str = "pull") -> float:
    """Receive and throw away."""
    loop = Process(python("bench.references", loop_of, run.frames), log=run.log)
    try:
        producer = run.push(loop.line()["endpoint"], run.frames)
        end: float = loop.result()["end"]
        return _rate(run, producer, end=end)
    finally:
        loop.kill()


def ingest(run: Run) -> float:
    """Onto the disk; the cloud is not there."""
    with Board(fresh(run, "ingest"), endpoint=NOWHERE) as board:
        producer = run.push(board.pull, run.frames)
        done = producer.result()
        end = board.wait(lambda counters: counters["committed"] >= run.frames, timeout=_TIMEOUT)
    start: float = done["start"]
    return run.frames / (end - start)


def path(run: Run) -> Whole:
    """From ZeroMQ to the endpoint."""
    run.endpoint.reset()
    with Board(fresh(run, "path"), endpoint=run.endpoint.url) as board:
        before = board.cpu()
        done = run.push(board.pull, run.frames).result()
        board.wait(lambda counters: counters["sent"] >= run.frames, timeout=_TIMEOUT)
        peak, counted = board.peak_mib(), run.endpoint.counters()
        cpu = {name: seconds - before.get(name, 0.0) for name, seconds in board.cpu().items()}
    if counted["readings"] != run.frames:
        raise Failed(f"the endpoint accepted {counted['readings']} of {run.frames} readings")
    return Whole(rate=run.frames / (counted["last"] - done["start"]), peak_mib=peak, endpoint=counted, cpu=cpu)


def boto3(run: Run, command: str) -> float:
    """By hand, without any disk."""
    found = run.reference(python("bench.references", command, run.endpoint.queue(), run.file, run.seconds(4, 0.7)))
    rate: float = found["count"] / found["seconds"]
    return rate


def fresh(run: Run, name: str) -> Path:
    """Return an empty folder of the run."""
    folder = run.folder / name
    rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _rate(run: Run, producer: Process, *, end: float) -> float:
    start: float = producer.result()["start"]
    return run.frames / (end - start)
