"""Acknowledgements: how soon one REQ client has its durable answer, and how many clients share an fsync.

The clients are C sockets in one process (`producer req`). Bare fdatasync, one client, 64 clients and the bare echo take turns.
"""

from __future__ import annotations

from typing import Any, Final

from bench.board import Board
from bench.goals import Figure, of_rounds
from bench.processes import Process, python
from bench.rates import NOWHERE, fresh
from bench.run import Run

NAMES: Final = ("ack_p99_over_fsync", "ack_sharing")
CLIENTS: Final = 64
_ALLOWANCE: Final = 0.001  # seconds that a reply may take beyond the disk
_OF_SINGLE: Final = 20
_OF_ECHO: Final = 0.6


def measure(run: Run) -> list[Figure]:
    """Measure all of `NAMES`."""
    seconds = run.seconds(6, 0.8)
    over, sharing, notes = [], [], []
    for number in range(run.rounds):
        run.say(
            f"acknowledgements, round {number + 1} of {run.rounds}: fdatasync, 1 client, {CLIENTS} clients, bare echo, {seconds:.1f} s each"
        )
        folder = fresh(run, "acks")
        with Board(folder, endpoint=NOWHERE, rep=True) as board:
            disk = run.reference(python("bench.references", "fdatasync", folder, seconds))
            one = run.request(board.rep, clients=1, seconds=seconds)
            many = run.request(board.rep, clients=CLIENTS, seconds=seconds)
        echoed = echo(run, seconds)
        over.append(over_fsync(one["p99"], disk["p99"]))
        sharing.append(shared(rate(one), rate(many), rate(echoed)))
        notes.append((disk, one, many, echoed))
        run.say(_told(*notes[-1]))
    last = _told(*notes[-1])
    return [
        of_rounds("ack_p99_over_fsync", over, note=f"last round: {last}"),
        of_rounds("ack_sharing", sharing, note=f"last round: {last}"),
    ]


def over_fsync(reply: float, disk: float) -> float:
    """Return how many p99 of fdatasync a reply's p99 takes, less the allowance; 0 at least."""
    return max(0.0, reply - _ALLOWANCE) / disk


def shared(one: float, many: float, echoed: float) -> float:
    """Return the rate of many clients against the smaller of what the goal compares it with."""
    return many / min(_OF_SINGLE * one, _OF_ECHO * echoed)


def rate(found: dict[str, Any]) -> float:
    """Return replies a second."""
    value: float = found["count"] / found["seconds"]
    return value


def echo(run: Run, seconds: float) -> dict[str, Any]:
    """Let the clients talk to a bare ROUTER."""
    loop = Process(python("bench.references", "echo"), log=run.log)
    try:
        return run.request(loop.line()["endpoint"], clients=CLIENTS, seconds=seconds)
    finally:
        loop.kill()


def _told(disk: dict[str, Any], one: dict[str, Any], many: dict[str, Any], echoed: dict[str, Any]) -> str:
    return (
        f"p99 of fdatasync {disk['p99'] * 1e3:.2f} ms, of a reply {one['p99'] * 1e3:.2f} ms; "
        f"1 client {rate(one):,.0f}/s, {CLIENTS} clients {rate(many):,.0f}/s, bare echo {rate(echoed):,.0f}/s"
    )
