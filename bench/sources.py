"""Sources: readings a second of each kind onto the disk, against its bare client library, and the memory that a source adds.

Brokers are filled before a round, so that nobody publishes meanwhile; the rate is that from the first message on, both times. Servers and
NNG's PULL have the same clients, which are processes of plain sockets (`bench.loads`). Bare and ours take turns.

Kind `poll` is not here: it asks at most every 10 ms, so its rate is a setting, and no measure of speed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench.bare import NAME, SESSION
from bench.board import Board
from bench.goals import Figure, not_measured, of_rounds, ratios
from bench.processes import Failed, Process, free_port, python
from bench.rates import NOWHERE, fresh
from bench.run import Run
from localcloud.brokers import ActiveMq, Broker, MissingError, Mosquitto, RabbitMq

MEMORY: Final = "source_rss_mib"
_TIMEOUT: Final = 300.0
_LOOK: Final = 0.05  # seconds between looks at the agent
#: Share of a core above which clients may be what holds a server back.
_BUSY: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One round, bare or ours."""

    rate: float  # readings a second
    cpu: float = 0.0  # seconds of the process a reading; 0: not known
    clients: float = 0.0  # share of a core that the clients took
    peak_mib: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of source. `where` in its keys is the broker's URL, or the port that it listens on."""

    name: str
    keys: str
    counts: tuple[int, int]  # readings a round, full and quick
    loads: str = ""  # what asks or pushes; empty: the broker is filled
    broker: Callable[[Path], Broker] | None = None

    @property
    def figure(self) -> str:
        """Name of its figure."""
        return f"source_{self.name}_ratio"


def _mosquitto(folder: Path) -> Broker:
    """Without what tests ask of it: every line in the log, and every change on disk at once."""
    return Mosquitto(
        folder, autosave_interval="0", autosave_on_changes="false", log_type="error", max_inflight_messages="1000",
    )  # fmt: skip


KINDS: Final = (
    Kind(name="amqp", broker=RabbitMq, counts=(50_000, 16_000), keys=f'kind = "amqp"\nurl = "{{where}}"\nqueue = "{NAME}"'),
    Kind(
        name="mqtt", broker=_mosquitto, counts=(50_000, 16_000),
        keys=f'kind = "mqtt"\nurl = "{{where}}"\ntopics = ["{NAME}"]\nclient_id = "{SESSION}"',
    ),
    Kind(name="stomp", broker=ActiveMq, counts=(50_000, 16_000), keys=f'kind = "stomp"\nurl = "{{where}}"\ndestination = "/queue/{NAME}"'),
    Kind(name="http", loads="http", counts=(30_000, 5_000), keys='kind = "http"\nlisten = "127.0.0.1:{where}"'),
    Kind(name="coap", loads="coap", counts=(30_000, 5_000), keys='kind = "coap"\nlisten = "127.0.0.1:{where}"'),
    Kind(
        name="nng_rep", loads="rep", counts=(100_000, 15_000), keys='kind = "nng"\npattern = "rep"\nbind = ["tcp://127.0.0.1:{where}"]'
    ),
    Kind(
        name="nng_pull", loads="push", counts=(400_000, 50_000), keys='kind = "nng"\npattern = "pull"\nbind = ["tcp://127.0.0.1:{where}"]'
    ),
)  # fmt: skip
NAMES: Final = (*(kind.figure for kind in KINDS), MEMORY)


@dataclass(slots=True)
class Rounds:
    """The rounds of one kind."""

    bare: list[Taken] = field(default_factory=list)
    ours: list[Taken] = field(default_factory=list)


def measure(run: Run) -> list[Figure]:
    """Measure all of `NAMES`."""
    figures, peaks = [], {}
    for kind in KINDS:
        try:
            with _broker(run, kind) as url:
                rounds = _measured(run, kind, url)
        except MissingError as error:
            figures.append(not_measured(kind.figure, str(error)))
            continue
        figures.append(figure(kind, rounds))
        peaks[kind.name] = median(one.peak_mib for one in rounds.ours)
    return [*figures, _memory(peaks, plain(run, max(kind.counts[run.quick] for kind in KINDS)))]


@contextmanager
def _broker(run: Run, kind: Kind) -> Iterator[str]:
    if kind.broker is None:
        yield ""
        return
    with kind.broker(fresh(run, f"broker-{kind.name}")) as broker:
        yield broker.url


def _measured(run: Run, kind: Kind, url: str) -> Rounds:
    count, rounds = run.readings.count(kind.counts[run.quick]), Rounds()
    turns = 1 if run.quick else run.rounds  # starting brokers takes long enough
    for number in range(turns):
        run.say(f"source {kind.name}, round {number + 1} of {turns}: {count:,} readings, bare and ours")
        rounds.bare.append(bare(run, kind, url, count))
        rounds.ours.append(ours(run, kind, url, count))
        run.say(f"{kind.name}: {_told(rounds.bare[-1:], rounds.ours[-1:])}")
    return rounds


def figure(kind: Kind, rounds: Rounds) -> Figure:
    """Make the figure of a kind."""
    share = max(one.clients for one in (*rounds.bare, *rounds.ours))
    note = _told(rounds.bare, rounds.ours)
    if share > _BUSY:
        note += f"; its clients took {share:.0%} of a core and may be the bottleneck"
    found = ratios([one.rate for one in rounds.ours], [one.rate for one in rounds.bare])
    return of_rounds(kind.figure, found, note=note)


def _told(bare: list[Taken], ours: list[Taken]) -> str:
    rates = f"bare {median(one.rate for one in bare):,.0f}/s, ours {median(one.rate for one in ours):,.0f}/s"
    used = [median(one.cpu for one in part) * 1e6 for part in (bare, ours)]
    share = median(one.clients for one in ours)
    return (
        f"{rates}; CPU time a reading {used[0]:.1f} and {used[1]:.1f} us"
        + (f"; clients {share:.0%} of a core" if share else "")
        + f"; {median(one.peak_mib for one in ours):.0f} MiB"
    )


def _memory(peaks: dict[str, float], least: float) -> Figure:
    told = ", ".join(f"{name} {peak - least:.0f}" for name, peak in peaks.items())
    return of_rounds(MEMORY, [max(peaks.values()) - least], note=f"a PULL input {least:.0f} MiB; more than that: {told}")


# One round


def bare(run: Run, kind: Kind, url: str, count: int) -> Taken:
    """Let the client library receive and acknowledge."""
    if not kind.loads:
        _load(run, kind.name, url, count).result()
        return _rate(run.reference(python("bench.bare", kind.name, url, count)))
    port = free_port()
    server = kind.loads if kind.loads != "push" else "pull"
    process = Process(python("bench.bare", server, port, *([count] if kind.loads == "push" else [])), log=run.log)
    try:
        process.line()
        before = _cpu(process.pid)
        load = _load(run, kind.loads, port, count)
        if kind.loads == "push":
            return _rate(process.result())
        found = load.result()
        return _rate(found | {"cpu": _cpu(process.pid) - before}, clients=found["cpu"] / found["seconds"])
    finally:
        process.kill()


def ours(run: Run, kind: Kind, url: str, count: int) -> Taken:
    """Let the agent take them onto the disk."""
    where = url or free_port()
    if not kind.loads:
        _load(run, kind.name, where, count).result()
    with ExitStack() as stack:
        board = stack.enter_context(Board(fresh(run, kind.name), endpoint=NOWHERE, inputs=0, source=kind.keys.format(where=where)))
        if kind.loads and kind.loads != "push":
            return _served(run, kind, board, where, count)
        load = _load(run, kind.loads, where, count) if kind.loads else None
        taken = _drained(board, count)
    if load is not None:
        load.result()
    return taken


def _served(run: Run, kind: Kind, board: Board, port: object, count: int) -> Taken:
    _stands(board)
    before = _cpu(board.pid)
    found = _load(run, kind.loads, port, count).result()
    cpu = _cpu(board.pid) - before
    if board.stream()["committed"] != count:
        raise Failed(f"{kind.name}: {board.stream()['committed']} of {count} readings are on disk; {board.log()}")
    return _rate(found | {"cpu": cpu}, clients=found["cpu"] / found["seconds"], peak_mib=board.peak_mib())


def _stands(board: Board) -> None:
    board.wait(lambda _: all(one.get("stands") for one in board.status()["inputs"].values()), timeout=_TIMEOUT)


def _drained(board: Board, count: int) -> Taken:
    """Take the time from the first look that finds readings on disk."""
    seen: list[int] = []

    def begun(counters: dict[str, int]) -> bool:
        seen[:] = [counters["committed"]]
        return seen[0] > 0

    start, before = board.wait(begun, timeout=_TIMEOUT), _cpu(board.pid)
    end = board.wait(lambda counters: counters["committed"] >= count, timeout=_TIMEOUT, pause=_LOOK)
    left = count - seen[0]
    if left <= 0:
        raise Failed(f"{count} readings are too few to take the time")
    return Taken(rate=left / (end - start), cpu=(_cpu(board.pid) - before) / left, peak_mib=board.peak_mib())


def plain(run: Run, count: int) -> float:
    """Return the peak memory of an agent that takes as many readings by ZeroMQ."""
    with Board(fresh(run, "plain"), endpoint=NOWHERE) as board:
        run.push(board.pull, count).result()
        board.wait(lambda counters: counters["committed"] >= count, timeout=_TIMEOUT)
        return board.peak_mib()


def _load(run: Run, kind: str, where: object, count: int) -> Process:
    return Process(python("bench.loads", kind, where, run.file, count), log=run.log)


def _rate(found: dict[str, Any], *, clients: float = 0.0, peak_mib: float = 0.0) -> Taken:
    count = found["count"]
    return Taken(rate=count / found["seconds"], cpu=found["cpu"] / count, clients=clients, peak_mib=peak_mib)


def _cpu(pid: int) -> float:
    """Return the CPU seconds of a process, of threads that have ended, too."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
