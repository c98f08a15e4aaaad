"""A board for tests that break one thing at a time: the agent as a process, our own SQS, clients that remember what was acknowledged."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import zmq

from device_agent.wire import envelope
from device_agent.wire.envelope import Envelope
from tests.fakes.sqs import FakeSqs
from tests.lab.agent import AgentProcess, wait_for
from tests.lab.proxy import Proxy


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client was told about one of its readings."""

    payload: bytes
    ok: bool
    stream: str = ""
    seq: int = 0
    error: str = ""


class Board:
    """A context manager; the agent is not started by itself. Between it and SQS is the fault proxy, which lets everything pass at first."""

    def __init__(self, folder: Path, *, spool: Path | None = None, **settings: Any) -> None:
        self.sqs = FakeSqs(check_signatures=False)
        urls = {"telemetry": self.sqs.create("telemetry"), "events": self.sqs.create("events.fifo")}
        self.proxy = Proxy(self.sqs.endpoint.replace("localhost", "127.0.0.1"))
        endpoint = settings.pop("endpoint", self.proxy.url)
        self.agent = AgentProcess(folder, device="lab-board", endpoint=endpoint, spool=spool, **urls, **settings)
        self.answers: list[Answer] = []
        self._context = zmq.Context()
        self._number = 0

    @property
    def acknowledged(self) -> list[Answer]:
        """Positive answers so far."""
        return [one for one in self.answers if one.ok]

    def socket(self, kind: int, name: str) -> zmq.Socket[bytes]:
        """Return a socket that is connected to an input; the caller closes it."""
        socket = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(self.agent.endpoints[name])
        return socket

    def ask(self, count: int = 1, *, size: int = 50, name: str = "pipeline", timeout: float = 120.0) -> list[Answer]:
        """Send so many incompressible readings to a ROUTER input, and return their answers: those that came while the agent lived."""
        sent: dict[bytes, bytes] = {}
        found: list[Answer] = []
        with self.socket(zmq.DEALER, name) as socket:
            for _ in range(count):
                self._number += 1
                payload = b"%d " % self._number + os.urandom(size)
                sent[b"%d" % self._number] = payload
                socket.send_multipart([b"%d" % self._number, payload])
            until = time.monotonic() + timeout
            while len(found) < count and time.monotonic() < until:
                lives = self.agent.running
                if not socket.poll(50):
                    if not lives:
                        break
                    continue
                ident, *_, text = socket.recv_multipart()
                said = json.loads(text)
                found.append(Answer(sent[ident], said["ok"], said.get("stream", ""), said.get("seq", 0), said.get("error", "")))
        self.answers += found
        return found

    def why(self, stream: str = "events") -> str:
        """What `status` says against the stream's log; empty: nothing."""
        said: str = self.agent.status()["spool"]["streams"][stream]["why"]
        return said

    def uplink(self, stream: str = "events") -> dict[str, Any]:
        """What `status` says of sending."""
        said: dict[str, Any] = self.agent.status()["uplink"][stream]
        return said

    def received(self) -> dict[tuple[str, int], bytes]:
        """Every reading that SQS accepted, by stream and sequence number; two contents for one number fail."""
        found: dict[tuple[str, int], bytes] = {}
        for accepted in list(self.sqs.accepted):
            content = envelope.decode(accepted.body)
            assert isinstance(content, Envelope), f"a notice: {content}"
            for seq, payload in enumerate(content.readings.payloads, start=content.first):
                assert isinstance(payload, bytes)
                assert found.setdefault((content.stream, seq), payload) == payload
        return found

    def everything_arrives(self, seconds: float = 120.0) -> None:
        """Wait until all that was acknowledged is in SQS as it was, and every number from 1 to the last; fail if it does not come."""
        wanted = {(one.stream, one.seq): one.payload for one in self.acknowledged}
        wait_for(lambda: wanted.keys() <= self.received().keys(), seconds, what="the arrival of all that was acknowledged", every=0.2)
        found = self.received()
        assert {key: found[key] for key in wanted} == wanted
        for stream in ("telemetry", "events"):
            last = max((seq for name, seq in found if name == stream), default=0)
            wait_for(lambda stream=stream, last=last: sum(name == stream and seq <= last for name, seq in self.received()) == last)  # type: ignore[misc]

    def __enter__(self) -> Self:
        self.sqs.__enter__()
        self.proxy.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.agent.kill()
        self._context.destroy(linger=0)
        self.proxy.__exit__()
        self.sqs.__exit__()
