"""The story of the demo: programs publish, the network goes, the agent is killed, everything comes back, the books are balanced.

Times are shares of the run, so that a longer demo has a longer outage. Everything is told as it happens, a line a second or two.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_agent import status
from localcloud.cloud import LocalCloud
from localcloud.demo import books
from localcloud.demo.board import Board

#: What happens when, as shares of the run.
CUT, RESTORE, KILL = 0.3, 0.5, 0.7
#: Seconds that everything may take to arrive after the programs have ended.
ARRIVAL_DEADLINE = 90.0
_TICK = 1.0

Say = Callable[[str], None]

#: Readings a second of each program.
_RATES = {"sensors": 200, "weather": 50, "orders": 20, "meters": 20, "script": 10}


#: Programs that are told what was taken; `meters` by its broker, which may forget it.
_ACKNOWLEDGED = ("orders", "meters", "script")


@dataclass(frozen=True, slots=True)
class Result:
    """What the demo found."""

    balances: list[books.Balance]
    committed: dict[str, int]
    missing: dict[str, int]
    applied: int
    faults: list[str]

    @property
    def balanced(self) -> bool:
        """Whether nothing acknowledged is missing or doubled and order held."""
        return not self.faults


def play(cloud: LocalCloud, board: Board, *, seconds: float, say: Say, waits: Callable[[], None] = lambda: None) -> Result:
    """Run the story; `seconds` 0 means until KeyboardInterrupt, without outage and kill: then `waits` is called, and the story goes on."""
    board.start()
    _start_programs(board)
    say(f"programs: {', '.join(f'{name} {rate}/s' for name, rate in _RATES.items())} readings over PULL, SUB, REP, MQTT and HTTP")
    if not board.broker.keeps:
        say("        the MQTT broker is amqtt, which forgets what is on its way at the kill (apt install mosquitto: it does not)")
    try:
        _run(cloud, board, seconds=seconds, say=say)
    except KeyboardInterrupt:
        if seconds:
            raise
        waits()
    counts = board.finish_programs()
    committed = _arrive(cloud, board, say=say)
    return _balance(cloud, board, counts, committed)


def _start_programs(board: Board) -> None:
    pull, sub, rep = f"tcp://127.0.0.1:{board.pull}", f"ipc://{board.folder}/weather.ipc", f"tcp://127.0.0.1:{board.rep}"
    board.start_program("sensors", "sensors_push.py", "--connect", pull, "--rate", str(_RATES["sensors"]))
    board.start_program("weather", "weather_pub.py", "--connect", sub, "--rate", str(_RATES["weather"]))
    board.start_program("orders", "order_req.py", "--connect", rep, "--rate", str(_RATES["orders"]), "--log", str(_log(board, "orders")))
    board.start_program(
        "meters", "meters_mqtt.py", "--url", board.broker.url, "--rate", str(_RATES["meters"]), "--log", str(_log(board, "meters"))
    )
    script = f"http://127.0.0.1:{board.http}/v1/readings/script"
    board.start_program("script", "script_http.py", "--url", script, "--rate", str(_RATES["script"]), "--log", str(_log(board, "script")))


def _log(board: Board, program: str) -> Path:
    return board.folder / f"{program}-acknowledged.ndjson"


def _run(cloud: LocalCloud, board: Board, *, seconds: float, say: Say) -> None:
    started = time.monotonic()
    acts = [(CUT, _cut), (RESTORE, _restore), (KILL, _kill)] if seconds else []
    for tick in itertools.count(1):
        time.sleep(max(0.0, started + tick * _TICK - time.monotonic()))
        elapsed = time.monotonic() - started
        while acts and elapsed >= acts[0][0] * seconds:
            acts.pop(0)[1](cloud, board, say)
        say(f"{elapsed:4.0f} s  {_line(board)}")
        if seconds and elapsed >= seconds:
            return


def _cut(cloud: LocalCloud, _board: Board, say: Say) -> None:
    cloud.network.cut()
    say("        -- network cut: the cloud cannot be reached")


def _restore(cloud: LocalCloud, _board: Board, say: Say) -> None:
    cloud.network.restore()
    say("        -- network back")


def _kill(_cloud: LocalCloud, board: Board, say: Say) -> None:
    assert board.process is not None
    board.process.kill()
    say("        -- agent killed with kill -9, and started again")
    board.start()


def _line(board: Board) -> str:
    try:
        document = board.status()
    except status.NotRunning:
        return "the agent does not answer"
    streams = document["spool"]["streams"].values()
    waiting = sum(stream["backlog_readings"] for stream in streams)
    return f"on disk {sum(_committed(document).values()):7,}   not yet in SQS {waiting:6,}   uplink: {_uplink(document)}"


def _uplink(document: dict[str, Any]) -> str:
    """Say in a few words how sending goes."""
    states = {stream["state"] for stream in document["uplink"].values()}
    return "ok" if states <= {"ok"} else ", ".join(sorted(states - {"ok"}))


def _committed(document: dict[str, Any]) -> dict[str, int]:
    """Return the last sequence number of each stream: how many readings were ever committed to it."""
    return {name: stream["next"] - 1 for name, stream in document["spool"]["streams"].items()}


def _arrive(cloud: LocalCloud, board: Board, *, say: Say) -> dict[str, int]:
    """Wait until all that was committed is in the lake and the state, or the deadline is over; return the last number of each stream."""
    say("programs stopped; waiting until everything has arrived")
    until = time.monotonic() + ARRIVAL_DEADLINE
    while True:
        committed = _committed(board.status())
        waiting = (
            sum(books.holes(list(books.rows(cloud, board.device)), committed).values())
            + committed["events"]
            - books.applied(cloud, board.device)
        )
        if waiting <= 0 or time.monotonic() > until:
            return committed
        say(f"        {waiting:,} readings on their way")
        time.sleep(_TICK)


def _balance(cloud: LocalCloud, board: Board, counts: dict[str, dict[str, int]], committed: dict[str, int]) -> Result:
    found = list(books.rows(cloud, board.device))
    told = [name for name in _ACKNOWLEDGED if name in counts and (name != "meters" or board.broker.keeps)]
    logs = {name: books.acknowledged(_log(board, name)) for name in told}
    faults = books.order_faults(found, logs.get("orders", []), books.latest_order(cloud, board.device))
    balances = [books.balance(name, count, found, logs.get(name)) for name, count in counts.items()]
    missing = books.holes(found, committed)
    faults += [
        f"{count} readings of {stream} were acknowledged or committed and are not in the lake" for stream, count in missing.items() if count
    ]
    faults += [f"{one.missing} readings of {one.program} were acknowledged and are not in the lake" for one in balances if one.missing]
    if doubled := books.doubles(found):
        faults.append(f"{doubled} readings stand in the lake twice")
    if (applied := books.applied(cloud, board.device)) != committed["events"]:
        faults.append(f"applied to the state up to {applied}, committed up to {committed['events']}")
    return Result(balances=balances, committed=committed, missing=missing, applied=applied, faults=faults)
