"""How cost grows: with the size of readings, the number of inputs, streams and clients, and the backlog. A table and a chart, no goals.

    python -m bench.growth              minutes; writes bench/growth.json and bench/growth.svg
    python -m bench.growth --quick      coarser, into .cache/bench

The whole device path is measured (ZeroMQ to accepted by the endpoint), beside the bare loop where there is one for it. Rates are those of
one run each, so take differences below a tenth for noise.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import log10
from pathlib import Path
from typing import Any, Final

from bench import backlog, native, rates, readings
from bench.board import Board
from bench.processes import Endpoint, python
from bench.readings import Readings
from bench.run import Run

SIZES: Final = (16, 90, 256, 1024, 4096, 16_384, 65_536, 262_144)
MANY: Final = (1, 2, 4, 8)
CLIENTS: Final = (1, 4, 16, 64, 256)
BACKLOGS: Final = (1, 16, 128, 1024)  # MiB
_TIMEOUT: Final = 300.0
Row = dict[str, float]


def padded(source: Readings, size: int) -> Readings:
    """Return readings of exactly `size` bytes, cut out of `source` one behind the other: they compress as such text does."""
    text = b"\n".join(source.payloads)
    wanted = min(len(text) // size, len(source.payloads))
    return Readings(f"sensor JSON cut to {size} B", [text[at * size : (at + 1) * size] for at in range(max(1, wanted))])


def by_size(run: Run) -> Iterator[Row]:
    """Yield a row a size."""
    for size in SIZES:
        part = replace(run, readings=padded(run.readings, size))
        part.readings.write(part.file)
        bare, path = rates.bare(part), rates.path(part)
        yield {
            "bytes": size,
            "bare": bare,
            "path": path.rate,
            "path_mb": path.rate * size / 1e6,
            "ratio": path.rate / bare,
            "rss_mib": path.peak_mib,
        }
    run.readings.write(run.file)


def by_inputs(run: Run) -> Iterator[Row]:
    """Yield a row a number of PULL inputs on one stream, a producer each."""
    return ({"inputs": count, "path": _many(run, inputs=count, streams=1)} for count in MANY)


def by_streams(run: Run) -> Iterator[Row]:
    """Yield a row a number of streams, an input and a producer each."""
    return ({"streams": count, "path": _many(run, inputs=count, streams=count)} for count in MANY)


def _many(run: Run, *, inputs: int, streams: int) -> float:
    each = run.frames // inputs
    run.endpoint.reset()
    with Board(rates.fresh(run, "many"), endpoint=run.endpoint.url, inputs=inputs, streams=streams) as board:
        producers = [run.push(endpoint, each) for endpoint in board.pulls]
        start = min(producer.result()["start"] for producer in producers)
        board.wait(lambda counters: counters["sent"] >= each * inputs, timeout=_TIMEOUT)
    took: float = run.endpoint.counters()["last"] - start
    return each * inputs / took


def by_clients(run: Run) -> Iterator[Row]:
    """Yield a row a number of REQ clients: durable replies a second, and their latency in ms."""
    seconds = run.seconds(5, 1)
    with Board(rates.fresh(run, "clients"), endpoint=rates.NOWHERE, rep=True) as board:
        for clients in CLIENTS:
            found = run.request(board.rep, clients=clients, seconds=seconds)
            yield {
                "clients": clients,
                "replies": found["count"] / found["seconds"],
                "p50_ms": found["p50"] * 1e3,
                "p99_ms": found["p99"] * 1e3,
            }


def by_backlog(run: Run) -> Iterator[Row]:
    """Yield a row a backlog of incompressible readings: seconds to open it cold, and the agent's peak memory with it."""
    readings_16k = readings.incompressible(256, 16 * 1024)
    file = readings_16k.write(run.folder / "incompressible.bin")
    for size in BACKLOGS[: 3 if run.quick else None]:
        folder = rates.fresh(run, "backlog")
        run.reference(python("bench.fill", "write", folder / "spool", file, size * 64))
        backlog.drop_caches()
        opened = run.reference(python("bench.fill", "open", folder / "spool"))["seconds"]
        with Board(folder, endpoint=rates.NOWHERE) as board:
            yield {"mib": size, "open_s": opened, "rss_mib": board.peak_mib()}


TABLES: Final[dict[str, Callable[[Run], Iterator[Row]]]] = {
    "size": by_size, "inputs": by_inputs, "streams": by_streams, "clients": by_clients, "backlog": by_backlog,
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.growth", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="coarser")
    parser.add_argument("--only", action="append", default=[], choices=list(TABLES), help="a table; repeatable")
    options = parser.parse_args(arguments)
    try:
        producer = native.producer()
    except native.NotHere as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    native.CACHE.mkdir(parents=True, exist_ok=True)
    tables: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory(prefix="run-", dir=native.CACHE) as folder:
        endpoint = Endpoint(Path(folder) / "responder.log")
        try:
            run = Run(quick=options.quick, readings=readings.generate(), folder=Path(folder), producer=producer, endpoint=endpoint)
            run.readings.write(run.file)
            for name in options.only or TABLES:
                tables[name] = list(_told(TABLES[name](run)))
        finally:
            endpoint.close()
    target = (native.CACHE if options.quick or options.only else Path(__file__).parent) / "growth.json"
    target.write_text(json.dumps(tables, indent=2) + "\n", encoding="utf-8")
    if "size" in tables:
        target.with_suffix(".svg").write_text(draw(tables["size"]), encoding="utf-8")
    print(f"\n{target}")
    return 0


def _told(rows: Iterator[Row]) -> Iterator[Row]:
    """Print a Markdown table as it grows."""
    for number, row in enumerate(rows):
        if number == 0:
            print(f"\n| {' | '.join(row)} |\n|{'---:|' * len(row)}")
        print(
            f"| {' | '.join(f'{value:,.0f}' if value >= 100 or value == int(value) else f'{value:.3g}' for value in row.values())} |",
            flush=True,
        )
        yield row


def draw(rows: Sequence[dict[str, Any]]) -> str:
    """Return the chart of rates over sizes, both axes logarithmic, as SVG."""
    width, height, edge = 640, 360, 60
    low, high = log10(SIZES[0]), log10(SIZES[-1])
    top = max(log10(row["bare"]) for row in rows) + 0.2
    bottom = min(log10(row["path"]) for row in rows) - 0.6

    def place(size: float, rate: float) -> str:
        x = edge + (log10(size) - low) / (high - low) * (width - 2 * edge)
        return f"{x:.0f},{height - edge - (log10(rate) - bottom) / (top - bottom) * (height - 2 * edge):.0f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{edge}" y="24" font-weight="bold">Readings a second by size of a reading (both logarithmic)</text>',
    ]
    for name, colour in (("bare", "#777"), ("path", "#2a7f4f")):
        points = [place(row["bytes"], row[name]) for row in rows]
        parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [_dot(point, f"{row[name]:,.0f}", colour) for point, row in zip(points, rows, strict=True)]
        x, y = points[-1].split(",")  # the lines are furthest apart where readings are large
        says = "bare loop" if name == "bare" else "device path"
        parts.append(f'<text x="{x}" y="{int(y) + 22}" text-anchor="middle" fill="{colour}">{says}</text>')
    for row in rows:
        x, _ = place(row["bytes"], 10**bottom).split(",")
        parts.append(f'<text x="{x}" y="{height - edge + 20}" text-anchor="middle" fill="#555">{row["bytes"]:,.0f} B</text>')
    return "\n".join([*parts, "</svg>", ""])


def _dot(point: str, text: str, colour: str) -> str:
    x, y = point.split(",")
    return (
        f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/><text x="{x}" y="{int(y) - 8}" font-size="10" text-anchor="middle">{text}</text>'
    )


if __name__ == "__main__":
    sys.exit(main())
