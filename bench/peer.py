"""A peer: any other shipper on the same readings and the same endpoint, in turns with ours. `--peer NAME=COMMAND`.

The command is started with these variables, and may name them as $ZMQ_ENDPOINT and so on:

    ZMQ_ENDPOINT   it binds a PULL socket there; our producer connects PUSH
    ZMQ_HOST_PORT  the same without tcp://
    SQS_ENDPOINT, QUEUE_URL, AWS_REGION   where to send; AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are set to something
    PEER_FOLDER    an empty folder, for what it wants to keep on disk

It need not end by itself. A round is over when the endpoint has accepted all readings (a message counts as many as it has lines, or as an
envelope of ours says), or when nothing more has arrived for some seconds; what was lost by then stands in the note.
"""

from __future__ import annotations

import os
import shlex
import time
from dataclasses import dataclass
from statistics import median
from string import Template
from typing import Any, Final

from bench.goals import Figure, Goal
from bench.processes import Failed, free_port, running
from bench.rates import fresh, path
from bench.run import Run

_QUIET: Final = 5.0  # seconds without a request after which a peer is done, or has lost the rest
_TIMEOUT: Final = 600.0
_FEWER: Final = 10  # a slow peer would take for ever with as many readings as ours; rates are what is compared


@dataclass(frozen=True, slots=True)
class Peer:
    """Another shipper."""

    name: str
    command: str

    @classmethod
    def parse(cls, text: str) -> Peer:
        """Read NAME=COMMAND.

        Raises:
            ValueError: it is something else.
        """
        name, equals, command = text.partition("=")
        if not equals or not name.isidentifier() or not command.strip():
            raise ValueError(f"--peer takes NAME=COMMAND, with a name of letters, digits and _; this is {text!r}")
        return cls(name, command)


def measure(run: Run, peer: Peer) -> list[Figure]:
    """Return the row of a peer: our rate over its rate."""
    ours, theirs, notes = [], [], []
    for number in range(run.rounds):
        run.say(f"{peer.name}, round {number + 1} of {run.rounds}: {run.frames // _FEWER:,} readings, and ours with {run.frames:,}")
        ours.append(path(run).rate)
        rate, note = one_round(run, peer)
        theirs.append(rate)
        notes.append(note)
    goal = Goal(value=1.0, unit="x", at_least=True, says=f"the device path, against {peer.name} on the same readings and endpoint")
    rounds = tuple(our / max(1e-9, their) for our, their in zip(ours, theirs, strict=True))
    note = f"{peer.name} {median(theirs):,.0f}/s, ours {median(ours):,.0f}/s; {notes[-1]}"
    return [Figure(name=f"vs_peer_{peer.name}", value=median(rounds), rounds=rounds, note=note, goal=goal)]


def one_round(run: Run, peer: Peer) -> tuple[float, str]:
    """Return readings a second that the endpoint accepted, and what became of them."""
    count = max(1, run.frames // _FEWER)
    address = f"127.0.0.1:{free_port()}"
    variables = {
        "ZMQ_ENDPOINT": f"tcp://{address}", "ZMQ_HOST_PORT": address, "SQS_ENDPOINT": run.endpoint.url,
        "QUEUE_URL": run.endpoint.queue(peer.name), "AWS_REGION": "eu-central-1", "PEER_FOLDER": str(fresh(run, f"peer-{peer.name}")),
    }  # fmt: skip
    command = shlex.split(Template(peer.command).safe_substitute(os.environ | variables))
    run.endpoint.reset()
    with running(command, log=run.folder / f"peer-{peer.name}.log", extra=variables) as process:
        producer = run.push(variables["ZMQ_ENDPOINT"], count)
        try:
            start = producer.line()["start"]
            counted = _settle(run, count)
        finally:
            producer.kill()
        if process.popen.poll() not in {None, 0}:
            raise Failed(f"{peer.name} ended with exit code {process.popen.returncode}; {process.tail()}")
    accepted: int = counted["readings"]
    said = f"{accepted:,} of {count:,} readings in {counted['messages']:,} messages, {counted['billed']:,} billed requests"
    return accepted / max(1e-9, counted["last"] - start), said


def _settle(run: Run, count: int) -> dict[str, Any]:
    until = time.monotonic() + _TIMEOUT
    quiet_since, before = time.monotonic(), -1
    while True:
        counted = run.endpoint.counters()
        now = time.monotonic()
        if counted["readings"] != before:
            quiet_since, before = now, counted["readings"]
        if counted["readings"] >= count or now - quiet_since > _QUIET or now > until:
            return counted
        time.sleep(0.05)
