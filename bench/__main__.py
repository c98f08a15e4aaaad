"""Command line of the benchmarks: runs the groups, prints the table as it grows, writes results and chart.

    python -m bench                     every figure, some minutes; wants an otherwise idle machine
    python -m bench --quick             the same, some two minutes with all brokers, coarser
    python -m bench --only drain_ratio  the group that measures this figure
    python -m bench --data FILE         readings from a file, one a line, instead of generated ones
    python -m bench --peer 'bento=bento -c bench/peers/bento.yaml'

Exit code: 0 measured (whatever the verdicts), 1 something broke, 2 wrong usage or no C compiler.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench import acks, archive, backlog, chart, idle, native, peer, rates, readings, sources, writes
from bench.goals import GOALS, Figure, not_measured, spread
from bench.processes import Endpoint, Failed
from bench.run import Run

HERE: Final = Path(__file__).parent
#: What is measured together, in the order of the run.
GROUPS: Final[dict[str, tuple[tuple[str, ...], Callable[[Run], list[Figure]]]]] = {
    "rates": (rates.NAMES, rates.measure),
    "acks": (acks.NAMES, acks.measure),
    "writes": (writes.NAMES, writes.measure),
    "idle": (idle.NAMES, idle.measure),
    "backlog": (backlog.NAMES, backlog.measure),
    "sources": (sources.NAMES, sources.measure),
    "archive": (archive.NAMES, archive.measure),
}


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    found = argparse.ArgumentParser(prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--quick", action="store_true", help="less of everything: about two minutes, coarser")
    found.add_argument("--data", type=Path, metavar="FILE", help="readings from this file, one a line")
    found.add_argument(
        "--peer", action="append", default=[], metavar="NAME=COMMAND", help="another shipper, on the same input and endpoint"
    )
    names = [*GOALS, *GROUPS, "peers"]
    found.add_argument("--only", action="append", default=[], metavar="FIGURE", choices=names, help="a figure or group; repeatable")
    found.add_argument("--directory", type=Path, metavar="DIR", help="where spools go, to measure another disk (default: .cache/bench)")
    where = "where to write (default: bench/results.json; of a quick or partial run, or with --data, in .cache/bench)"
    found.add_argument("--results", type=Path, metavar="FILE", help=where)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and return the exit code."""
    options = parser().parse_args(arguments)
    try:
        peers = [peer.Peer.parse(text) for text in options.peer]
        data = readings.load(options.data) if options.data else readings.generate()
        producer = native.producer()
    except (native.NotHere, OSError, ValueError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    with _run(options, data, producer) as run:
        print(f"{machine()['name']}; {data.name}, {data.average:.0f} B on average; {'quick' if options.quick else 'full'} run", flush=True)
        print_head()
        figures, broken = measure(run, options.only, peers)
        seconds = time.monotonic() - run.begun
    found = document(figures, run, seconds)
    partly = options.quick or options.only or options.data
    target = options.results or (native.CACHE if partly else HERE) / "results.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(beside_others(target, found), indent=2) + "\n", encoding="utf-8")
    target.with_suffix(".svg").write_text(chart.draw(figures, title=title(found)), encoding="utf-8")
    met = sum(figure.met for figure in figures)
    print(f"\n{met} of {len(figures)} goals met in {seconds:.0f} s; {target} and {target.with_suffix('.svg').name}")
    return 1 if broken else 0


@contextmanager
def _run(options: argparse.Namespace, data: readings.Readings, producer: Path) -> Iterator[Run]:
    place = options.directory or native.CACHE
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=place) as folder:
        endpoint = Endpoint(Path(folder) / "responder.log")
        try:
            run = Run(quick=options.quick, readings=data, folder=Path(folder), producer=producer, endpoint=endpoint)
            data.write(run.file)
            yield run
        finally:
            endpoint.close()


def measure(run: Run, only: Sequence[str], peers: Sequence[peer.Peer]) -> tuple[list[Figure], bool]:
    """Run the groups that are asked for; a group that breaks does not take the others with it. Returns whether one did."""
    jobs = [(names, group) for name, (names, group) in GROUPS.items() if not only or name in only or set(names) & set(only)]
    jobs += [((f"vs_peer_{one.name}",), partial(peer.measure, peer=one)) for one in peers]
    figures: list[Figure] = []
    broken = False
    for names, group in jobs:
        try:
            found = group(run)
        except Failed as error:
            broken = True
            print(f"bench: {', '.join(names)}: {error}", file=sys.stderr)
            found = [not_measured(name, "it broke; see above") for name in names if name in GOALS]
        for figure in sorted(found, key=lambda one: list(GOALS).index(one.name) if one.name in GOALS else len(GOALS)):
            print_row(figure)
            figures.append(figure)
    order = list(GOALS)
    figures.sort(key=lambda one: order.index(one.name) if one.name in order else len(order))
    return figures, broken


def print_head() -> None:
    """Print the head of the table."""
    print(f"{'figure':<28} {'value':>10} {'goal':>12} {'unit':<6} {'verdict':<8} {'spread':>6}  measured against", flush=True)


def print_row(figure: Figure) -> None:
    """Print a row of the table."""
    goal = figure.target
    verdict = "met" if figure.met else "-" if math.isnan(figure.value) else "MISSED"
    apart = f"{spread(figure.rounds):.0%}" if len(figure.rounds) > 1 else ""
    value, target = chart.number(figure.value), f"{goal.sign} {chart.number(goal.value)}"
    print(f"{figure.name:<28} {value:>10} {target:>12} {goal.unit:<6} {verdict:<8} {apart:>6}  {goal.says}", flush=True)
    if figure.note:
        print(f"{'':<28} {figure.note}", flush=True)


def document(figures: Sequence[Figure], run: Run, seconds: float) -> dict[str, Any]:
    """Return what `results.json` holds of one machine."""
    return {
        "figures": {figure.name: figure.document() for figure in figures},
        "machine": machine(),
        "run": {
            "quick": run.quick, "data": run.readings.name, "average_bytes": round(run.readings.average, 1), "frames": run.frames,
            "rounds": run.rounds, "seconds": round(seconds), "time": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    }  # fmt: skip


def beside_others(target: Path, found: dict[str, Any]) -> dict[str, Any]:
    """Return what a results file holds from now on: the last run on each kind of machine, by its name."""
    others = json.loads(target.read_text(encoding="utf-8")) if target.exists() else {}
    return dict(sorted({**others, found["machine"]["name"]: found}.items()))


def machine() -> dict[str, Any]:
    """Describe this machine, without its name."""
    model = next((line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    memory = next((int(line.split()[1]) // 1024 for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    cores = os.cpu_count() or 1
    versions = {name: __import__(name).__version__ for name in ("zmq", "boto3", "zstandard")}
    return {
        "name": f"{model}, {cores} cores", "cores": cores, "memory_mib": memory, "kernel": platform.release(),
        "python": platform.python_version(), "load_before": round(os.getloadavg()[0], 2), **versions,
    }  # fmt: skip


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []  # a system without it


def title(found: dict[str, Any]) -> str:
    """Return what stands above the chart."""
    run = found["run"]
    return f"{'Quick run' if run['quick'] else 'Benchmarks'}: {found['machine']['name']}; {run['data']}, {run['average_bytes']:.0f} B"


if __name__ == "__main__":
    sys.exit(main())
